"""The scenes that a window was matched with, and what is known of a scene.

A window whose tile turned out unusable has its scenes set aside: they are noted (`dataset.matched`), and the layer
itself has none. rslearn then leaves the window out, in `materialize` as in training, just as it leaves out a window for
which no scene was found.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.dataset.matched import CANDIDATES, SET_ASIDE, load_all_matched, load_matched, save_matched
from burnscar_assets.storage.atomic import storage_errors

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window
    from rslearn.dataset.window import WindowLayerData

CLOUD_COVER = "eo:cloud_cover"
BASELINE_PROPERTIES = ("s2:processing_baseline", "processing:version")
SUN_AZIMUTH = ("view:sun_azimuth", "s2:mean_solar_azimuth")
SUN_ELEVATION = ("view:sun_elevation",)
SUN_ZENITH = ("s2:mean_solar_zenith",)
OF_THE_SUN = (*SUN_AZIMUTH, *SUN_ELEVATION, *SUN_ZENITH)
PRODUCT_NAMES = ("s2:product_uri", "sentinel:product_id", "s2:granule_id")
"""Properties that hold a product's name, with its baseline in it (`…_N0511_…`)."""

FALLBACK_SCENE = "burnscar:fallback"
"""Key of a serialized scene that is of the dataset's fallback: true."""

SerializedItem = dict[str, Any]
TimeRange = tuple[datetime, datetime]


def read_layer(window: "Window", layer: str) -> "WindowLayerData | None":
    """What the layer of a window was matched with, set aside or not; None if it was never matched."""
    return _matched(load_matched(window), layer)


def read_groups(window: "Window", layer: str) -> list[list[SerializedItem]]:
    """Groups of scenes that the layer of a window was matched with, set aside or not."""
    return groups_of(load_matched(window), layer)


def read_all_groups(windows: "Iterable[Window]", layer: str) -> dict[str, list[list[SerializedItem]]]:
    """`read_groups` of windows, by name."""
    return {window.name: groups_of(found, layer) for window, found in load_all_matched(windows)}


def read_candidates(window: "Window", layer: str) -> list[SerializedItem]:
    """Scenes that a window may have, the preferred first; empty if its source doesn't list them."""
    found = load_matched(window).get(CANDIDATES + layer)
    return [item for group in found.serialized_item_groups for item in group] if found else []


def set_aside(window: "Window", layer: str) -> None:
    """Have rslearn leave the window out."""
    use_instead(window, layer, [])


def use_instead(window: "Window", layer: str, groups: list[list[SerializedItem]]) -> None:
    """Have rslearn make the window's tile of other scenes than it was matched with, which are set aside; or of none."""
    from rslearn.dataset.window import WindowLayerData

    layers = load_matched(window)
    aside = layers.get(SET_ASIDE + layer) or layers[layer]
    aside.layer_name = SET_ASIDE + layer
    before, times = layers.get(layer), aside.group_time_ranges
    if before is not None and before is not aside and before.serialized_item_groups == groups:
        return
    times = times if times is not None and len(times) == len(groups) else [None] * len(groups)
    layers |= {aside.layer_name: aside, layer: WindowLayerData(layer, groups, group_time_ranges=times)}
    save_matched({window: layers})


def take_back(windows: "Iterable[Window]", layer: str) -> None:
    """Undo `set_aside`."""
    for window in windows:
        layers = load_matched(window)
        aside = layers.pop(SET_ASIDE + layer, None)
        if aside is not None:
            aside.layer_name = layer
            layers[layer] = aside
            save_matched({window: layers})


def acquisition_time(item: SerializedItem) -> datetime | None:
    """When a scene was taken; None for one without a time."""
    times = item["geometry"].get("time_range")
    return datetime.fromisoformat(times[0]) if times else None


def cloud_cover(item: SerializedItem) -> float | None:
    """Granule cloud cover of a scene in percent; None where its source does not tell."""
    return percent(item.get("properties", {}).get(CLOUD_COVER, item.get("cloud_cover")))


def percent(value: Any) -> float | None:
    """A share in percent; None for anything that is none: missing, text, not a number, or outside 0–100."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 100 else None


def is_of_fallback(groups: Iterable[Iterable[SerializedItem]]) -> bool:
    """Whether scenes are of the dataset's fallback; those of one window are of one source."""
    return any(item.get(FALLBACK_SCENE, False) for group in groups for item in group)


def is_excluded(name: str, patterns: Iterable[str]) -> bool:
    """Whether a scene is among ids or patterns of ids."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def processing_baseline(item: SerializedItem) -> str:
    """Processing baseline of a scene, such as 05.09; empty where nothing tells."""
    return baseline_of(item["name"], item.get("properties", {}))


def baseline_of(name: str, properties: Mapping[str, Any]) -> str:
    """Processing baseline that a scene's properties say, else its own or its product's name; empty where none does."""
    for key in BASELINE_PROPERTIES:
        said = re.fullmatch(r"N?0?(\d{1,2})\.?(\d\d)", str(properties.get(key) or "").strip())
        if said:
            return f"{int(said[1]):02}.{said[2]}"
    for text in (name, *(properties.get(key) for key in PRODUCT_NAMES)):
        named = re.search(r"_N(\d\d)\.?(\d\d)(?![0-9])", str(text))
        if named:
            return f"{named[1]}.{named[2]}"
    return ""


def _matched(layers: "Mapping[str, WindowLayerData]", layer: str) -> "WindowLayerData | None":
    return layers.get(SET_ASIDE + layer, layers.get(layer))


def groups_of(found: "Mapping[str, WindowLayerData]", layer: str) -> list[list[SerializedItem]]:
    """`read_groups` of what `load_matched` found."""
    matched = _matched(found, layer)
    return [] if matched is None else [group for group in matched.serialized_item_groups if group]


def drop_done_granules(dataset: "Dataset", layer: str) -> list[str]:
    """Delete the scenes of a layer's local tile store that no window waits for, of any fire year; gives their names.

    A window waits for its scenes from when it is matched until its tile is made or it is left out. Scenes that
    windows of other years turn out to need later are fetched again then.

    Raises:
        StorageError: a scene can't be deleted.
    """
    folder = _tile_folder(dataset, layer)
    if folder is None or not folder.is_dir():
        return []
    waiting = [window for window in dataset.load_windows() if not window.is_layer_completed(layer)]
    matched = (layers[layer] for _, layers in load_all_matched(waiting) if layer in layers)
    needed = {item["name"] for data in matched for group in data.serialized_item_groups for item in group}
    done = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in needed)
    with storage_errors(folder):
        for name in done:
            shutil.rmtree(folder / name)
    return done


def _tile_folder(dataset: "Dataset", layer: str) -> Path | None:
    """Where rslearn's default tile store keeps the scenes of a layer: a folder for each."""
    from rslearn.tile_stores import DefaultTileStore

    config = dataset.layers[layer].data_source
    store = dataset.get_tile_store()
    is_local = type(store) is DefaultTileStore and store.path.protocol in ("", "file")
    return Path(store.path) / layer if is_local and config is not None and config.ingest else None
