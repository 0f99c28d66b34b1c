"""Which scene each scene of a layer is compared with, the same whichever windows are made, in whatever order."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd

from burnscar_assets.catalog.items import SerializedItem
from burnscar_assets.reader.neighbours import nearest_in_time

if TYPE_CHECKING:
    from rslearn.dataset import Dataset


class SceneNeighbours:
    """Neighbours in time of the scenes that windows of a layer were matched with.

    They are chosen among the candidates of the first window, by name, that was matched with the scene. A scene that
    only takes another's place has none.
    """

    def __init__(self, dataset: "Dataset", layer: str, matches: pd.DataFrame) -> None:
        """Know which window tells the neighbour of which scene; nothing is read yet.

        Args:
            dataset: the rslearn dataset.
            layer: the layer, which has a data source.
            matches: rows of the `scene_matches` table of the layer.
        """
        self._dataset = dataset
        self._layer = layer
        self._windows: dict[tuple[str, str], str] = {}
        rows = matches.sort_values("window_id", ascending=False)
        for year, name, items in zip(rows["fire_year"], rows["window_id"], rows["item_ids"], strict=True):
            self._windows |= {(str(year), item): name for item in items}

    def of(self, group: str, scenes: Collection[str]) -> dict[str, SerializedItem]:
        """Neighbours of scenes, by name; scenes without one are left out, and all where a layer's are ingested.

        Args:
            group: of the windows.
            scenes: names of scenes.
        """
        from burnscar_assets.catalog.items import read_candidates

        source = self._dataset.layers[self._layer].data_source
        wanted = {scene: self._windows[group, scene] for scene in sorted(scenes) if (group, scene) in self._windows}
        if not wanted or source is None or source.ingest:
            return {}
        windows = self._dataset.load_windows(groups=[group], names=sorted({*wanted.values()}))
        candidates = {w.name: {item["name"]: item for item in read_candidates(w, self._layer)} for w in windows}
        return {
            scene: found
            for scene, name in wanted.items()
            if scene in candidates.get(name, {})
            and (found := nearest_in_time(candidates[name][scene], candidates[name].values())) is not None
        }
