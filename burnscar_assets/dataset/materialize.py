"""Pixels for matched windows: rslearn's `ingest` and `materialize`, and a row for each window.

A tile is known by its window, its layer's configuration and the scenes that it is made from. One that is
there already is kept byte for byte; a changed one is made anew; a window that can't be used is left out, for
rslearn's own tools as well.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from burnscar_assets.catalog.items import drop_done_granules
from burnscar_assets.dataset.config import image_layers, open_dataset, quiet_rslearn
from burnscar_assets.dataset.layer_tiles import LayerTiles
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.contracts import TILES


@dataclass(frozen=True)
class TileSummary:
    """What materializing a fire year's windows came to.

    Attributes:
        windows: windows of the year.
        complete: windows with a whole tile of every layer.
        left_out: windows without.
        reasons: windows left out, by reason.
        kept, made, replaced, removed: tiles, as in `layer_tiles.TileChanges`, of all layers.
        scenes: scenes that windows were matched with.
    """

    windows: int
    complete: int
    left_out: int
    reasons: dict[str, int]
    kept: int
    made: int
    replaced: int
    removed: int
    scenes: int


def materialize_tiles(
    windows: gpd.GeoDataFrame,
    matches: pd.DataFrame,
    dataset_path: Path,
    settings: ImagerySettings,
    progress: Progress = silent,
) -> tuple[pd.DataFrame, TileSummary]:
    """Make the tiles of all matched windows that are missing or changed.

    Args:
        windows: rows of the windows table.
        matches: rows of the `scene_matches` table of these windows.
        dataset_path: the rslearn dataset that holds them.
        settings: limits, workers, retries.
        progress: told of each batch.

    Returns:
        Rows of the `tiles` table, and what it came to.

    Raises:
        InputError: all, or more than `max_unreadable_fraction`, of the windows have scenes that can't be read
            locally; tiles that were there are as before.
        SourceUnavailableError: the same for scenes on the network.
        MissingDataError: the dataset, a window or its matches are missing or out of date.
        StorageError: the dataset folder can't be written.
    """
    dataset = open_dataset(dataset_path)
    rows: list[dict[str, Any]] = []
    changes: Counter[str] = Counter()
    for layer in image_layers(dataset):
        tiles = LayerTiles(dataset, layer, matches, settings)
        with quiet_rslearn():
            rows += tiles.make(windows, progress)
        if settings.drop_granules:
            drop_done_granules(dataset, layer)
        changes.update(asdict(tiles.changes()))
    table = TILES.conform(pd.DataFrame(rows, columns=TILES.column_names))
    order = {name: number for number, name in enumerate(windows["window_id"])}
    table = table.sort_values("window_id", key=lambda names: names.map(order), kind="stable", ignore_index=True)
    return table, _summary(table, changes)


def _summary(table: pd.DataFrame, changes: Counter[str]) -> TileSummary:
    complete = table.groupby("window_id")["complete"].all()
    left_out = table[~table["complete"]].drop_duplicates("window_id")
    return TileSummary(
        windows=len(complete),
        complete=int(complete.sum()),
        left_out=len(left_out),
        reasons=dict(sorted(Counter(left_out["reason"]).items())),
        kept=changes["kept"],
        made=changes["made"],
        replaced=changes["replaced"],
        removed=changes["removed"],
        scenes=len({item for items in table["item_ids"] for item in items}),
    )
