"""The scenes that rslearn matched a window with, as they lie in its `items.json`.

A window whose tile turned out unusable has its scenes set aside: they stay in `items.json` under a name that
no layer has, and the layer itself has none. rslearn then leaves the window out, in `materialize` as in
training, just as it leaves out a window for which no scene was found.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window
    from rslearn.dataset.window import WindowLayerData

SET_ASIDE = "set-aside:"
CANDIDATES = "candidates:"
"""Under this and a layer's name lie the scenes that a window may have, one group of them, the preferred first."""

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


def read_layer(window: "Window", layer: str) -> "WindowLayerData | None":
    """What the layer of a window was matched with, set aside or not; None if it was never matched."""
    return _matched(window.load_layer_datas(), layer)


def read_groups(window: "Window", layer: str) -> list[list[SerializedItem]]:
    """Groups of scenes that the layer of a window was matched with, set aside or not."""
    return _groups(read_layer(window, layer))


def read_all_groups(
    dataset: "Dataset", windows: "Mapping[str, Window]", layer: str
) -> dict[str, list[list[SerializedItem]]]:
    """As `read_groups`, for many windows by name; packed storage is asked for a group's at once."""
    from burnscar_assets.dataset.packed.storage import PackedWindowStorage

    if not isinstance(dataset.storage, PackedWindowStorage):
        return {name: read_groups(window, layer) for name, window in windows.items()}
    found: dict[str, dict[str, WindowLayerData]] = {}
    for group in {window.group for window in windows.values()}:
        names = [window.name for window in windows.values() if window.group == group]
        found |= dataset.storage.layer_datas(group, names)
    return {name: _groups(_matched(found.get(name, {}), layer)) for name in windows}


def set_aside(window: "Window", layer: str) -> None:
    """Have rslearn leave the window out."""
    use_instead(window, layer, [])


def use_instead(window: "Window", layer: str, groups: list[list[SerializedItem]]) -> None:
    """Have rslearn make the window's tile of other scenes than it was matched with, which are set aside; or of none."""
    from rslearn.dataset.window import WindowLayerData

    layers = window.load_layer_datas()
    aside = layers.get(SET_ASIDE + layer) or layers[layer]
    aside.layer_name = SET_ASIDE + layer
    before, times = layers.get(layer), aside.group_time_ranges
    if before is not None and before is not aside and before.serialized_item_groups == groups:
        return
    times = times if times is not None and len(times) == len(groups) else [None] * len(groups)
    layers |= {aside.layer_name: aside, layer: WindowLayerData(layer, groups, group_time_ranges=times)}
    window.save_layer_datas(layers)


def take_back(windows: "Iterable[Window]", layer: str, *, drop: bool = False) -> None:
    """Undo `set_aside`; with `drop`, forget the scenes that were set aside, because others are coming."""
    for window in windows:
        layers = window.load_layer_datas()
        aside = layers.pop(SET_ASIDE + layer, None)
        if aside is not None:
            if not drop:
                aside.layer_name = layer
                layers[layer] = aside
            window.save_layer_datas(layers)


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


def _groups(matched: "WindowLayerData | None") -> list[list[SerializedItem]]:
    return [] if matched is None else [group for group in matched.serialized_item_groups if group]
