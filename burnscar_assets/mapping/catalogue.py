"""The STAC catalogue of the maps: a collection for each folder of maps, a catalogue over them, relative links alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from burnscar_assets.mapping.stac import ITEM_FILE, STAC_VERSION
from burnscar_assets.storage.atomic import read_json

COLLECTION_FILE: Final = "collection.json"
CATALOGUE_FILE: Final = "catalog.json"
LICENCE: Final = "other"
SIMULATED: Final = "SIMULATED imagery: no observation of the Earth. "

_JSON, _GEOJSON = "application/json", "application/geo+json"
_SUMMED = ("burnscar:setup", "burnscar:simulated", "gsd")

StacDict = dict[str, Any]


def collection(folder: Path, maps: Sequence[Path], *, title: str, simulated: bool) -> StacDict | None:
    """The collection of a folder's maps; None if none of them has an item.

    Args:
        folder: the folder, whose catalogue lies in its parent.
        maps: folders of its maps.
        title: what a person calls it.
        simulated: whether the imagery is simulated.
    """
    items = list(_items(maps))
    if not items:
        return None
    boxes = [item["bbox"] for _, item in items]
    whole = [min(box[0] for box in boxes), min(box[1] for box in boxes),
             max(box[2] for box in boxes), max(box[3] for box in boxes)]  # fmt: skip
    starts, ends = ([item["properties"][f"{side}_datetime"] for _, item in items] for side in ("start", "end"))
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": f"burned-area-{folder.name.rpartition('=')[2]}",
        "title": title,
        "description": f"{SIMULATED if simulated else ''}Burned area mapped from Sentinel-2, one item a map. Licences "
        "of imagery, perimeters and weights are told on the page beside each item.",
        "license": LICENCE,
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[min(starts), max(ends)]]}},
        "summaries": {name: found for name in _SUMMED if (found := _values(name, items))},
        "links": [
            _link("root", f"../{CATALOGUE_FILE}", _JSON),
            _link("parent", f"../{CATALOGUE_FILE}", _JSON),
            *(_link("item", f"./{quote(path.name, safe='=')}/{ITEM_FILE}", _GEOJSON) for path, _ in items),
        ],
    }


def catalogue(folders: Sequence[Path]) -> StacDict:
    """The catalogue over folders that have a collection, which lies beside them."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "burned-area-maps",
        "title": "Burned-area maps",
        "description": "Burned area mapped from Sentinel-2, one collection a fire year.",
        "links": [
            _link("root", f"./{CATALOGUE_FILE}", _JSON),
            *(_link("child", f"./{quote(path.name, safe='=')}/{COLLECTION_FILE}", _JSON) for path in folders),
        ],
    }


def _items(maps: Sequence[Path]) -> Iterator[tuple[Path, StacDict]]:
    for path in maps:
        item = read_json(path / ITEM_FILE)
        if item.get("type") == "Feature" and item.get("bbox") and "start_datetime" in item.get("properties", {}):
            yield path, item


def _values(name: str, items: Sequence[tuple[Path, StacDict]]) -> list[Any]:
    return sorted({item["properties"][name] for _, item in items if item["properties"].get(name) is not None})


def _link(rel: str, href: str, media_type: str) -> StacDict:
    return {"rel": rel, "href": href, "type": media_type}
