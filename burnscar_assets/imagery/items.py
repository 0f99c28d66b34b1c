"""The scenes that rslearn matched a window with, as they lie in its `items.json`.

A window whose tile turned out unusable has its scenes set aside: they stay in `items.json` under a name that
no layer has, and the layer itself has none. rslearn then leaves the window out, in `materialize` as in
training, just as it leaves out a window for which no scene was found.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window
    from rslearn.dataset.window import WindowLayerData

SET_ASIDE = "set-aside:"
CANDIDATES = "candidates:"
"""Under this and a layer's name lie the scenes that a window may have, one group of them, the preferred first."""

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
    from burnscar_assets.packed.storage import PackedWindowStorage

    if not isinstance(dataset.storage, PackedWindowStorage):
        return {name: read_groups(window, layer) for name, window in windows.items()}
    found: dict[str, dict[str, WindowLayerData]] = {}
    for group in {window.group for window in windows.values()}:
        names = [window.name for window in windows.values() if window.group == group]
        found |= dataset.storage.layer_datas(group, names)
    return {name: _groups(_matched(found.get(name, {}), layer)) for name in windows}


def set_aside(window: "Window", layer: str) -> None:
    """Have rslearn leave the window out."""
    from rslearn.dataset.window import WindowLayerData

    layers = window.load_layer_datas()
    if SET_ASIDE + layer not in layers:
        aside = layers[layer]
        aside.layer_name = SET_ASIDE + layer
        layers |= {aside.layer_name: aside, layer: WindowLayerData(layer, [], group_time_ranges=[])}
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
    return item.get("properties", {}).get("eo:cloud_cover", item.get("cloud_cover"))


def processing_baseline(item: SerializedItem) -> str:
    """Processing baseline of a scene, such as 05.09, by its properties or its name; empty where neither tells."""
    named = re.search(r"_N(\d\d)(\d\d)_", item["name"])
    said = item.get("properties", {}).get("s2:processing_baseline")
    return str(said or (f"{named[1]}.{named[2]}" if named else ""))


def _matched(layers: "Mapping[str, WindowLayerData]", layer: str) -> "WindowLayerData | None":
    return layers.get(SET_ASIDE + layer, layers.get(layer))


def _groups(matched: "WindowLayerData | None") -> list[list[SerializedItem]]:
    return [] if matched is None else [group for group in matched.serialized_item_groups if group]
