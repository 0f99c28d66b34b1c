"""Other scenes for a window whose first choice turned out to be of no use.

Matching keeps the scenes that a window may have, at most `imagery.candidates`, beside those that it chose. So what
takes a scene's place is known without another search, and is the same whenever it is asked.

Loaded only by functions that need rslearn.
"""

from collections.abc import Collection
from typing import Any

from rslearn.config import LayerConfig, SpaceMode  # noqa: TID253
from rslearn.data_sources import DataSource  # noqa: TID253
from rslearn.data_sources.utils import match_candidate_items_to_window  # noqa: TID253
from rslearn.dataset import Window  # noqa: TID253

from burnscar_assets.catalog.items import SerializedItem, read_candidates


def next_match(
    window: Window, layer: str, source: DataSource, config: LayerConfig, selection: str, excluding: Collection[str]
) -> list[list[SerializedItem]]:
    """Groups of scenes that a window gets without some of its scenes, by the rules of matching.

    To give way from scene to scene, call it again with one more name in `excluding` each time, until a tile is good or
    no group is left; there are no more than `imagery.candidates` scenes. Nothing is searched or written.

    Args:
        window: a window that was matched.
        layer: name of the raster layer.
        source: the layer's data source.
        config: the layer, which has a data source.
        selection: as `dataset.selection_of` the layer.
        excluding: names of scenes that can't be used.

    Returns:
        Groups as they stand in `items.json`, in order; empty if no scene is left.
    """
    assert config.data_source is not None  # noqa: S101 - only layers that have one are matched
    kept = {item["name"]: item for item in read_candidates(window, layer) if item["name"] not in excluding}
    items: list[Any] = [source.deserialize_item(item) for item in kept.values()]
    geometry = window.get_geometry()
    times = config.data_source.get_request_time_range(geometry.time_range)
    geometry.time_range = None if selection == "before" else times  # those may be of days before the alarm
    query = config.data_source.query_config
    if selection == "before":
        query = query.model_copy(update={"period_duration": None})
    whole = query.model_copy(update={"space_mode": SpaceMode.CONTAINS})
    groups = match_candidate_items_to_window(geometry, list(items), whole) if selection != "granule" else []
    groups = groups or match_candidate_items_to_window(geometry, list(items), query)
    return [[kept[item.name] for item in group.items] for group in groups if group.items]
