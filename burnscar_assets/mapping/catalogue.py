"""The STAC catalogue of the maps: a collection for each folder of maps, a catalogue over them, one table of all items.

All addresses are relative. What a collection links to is there, with all its files: a map is taken out before it is
removed, and one that lacks a file isn't listed until it is made again.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from posixpath import normpath
from typing import Any, Final
from urllib.parse import quote, unquote

from filelock import FileLock

from burnscar_assets.mapping.item_table import write_item_table
from burnscar_assets.mapping.spec import MAP_FILE
from burnscar_assets.mapping.stac import (
    CATALOGUE_FILE,
    COLLECTION_FILE,
    GEOJSON_TYPE,
    ITEM_FILE,
    JSON_TYPE,
    PARQUET_TYPE,
    STAC_VERSION,
    StacDict,
    collection_id,
    link,
)
from burnscar_assets.storage.atomic import read_json, storage_errors, write_if_changed
from burnscar_assets.storage.hashing import hash_file

ITEMS_FILE: Final = "items.parquet"
SIMULATED: Final = "SIMULATED imagery: no observation of the Earth. "

_LOCK: Final = ".catalog.lock"
_SUMMED: Final = ("burnscar:sensor", "burnscar:setup", "burnscar:simulated", "gsd", "proj:code")
_US: Final = {"name": "burnscar_assets", "roles": ["processor"], "description": "Mapped burned ground."}
_FRAP: Final = {
    "name": "CAL FIRE FRAP",
    "roles": ["licensor", "producer"],
    "url": "https://frap.fire.ca.gov",
    "description": "Official fire perimeters, CC BY 4.0.",
}


def write_collection(folder: Path, maps: Sequence[Path], *, title: str, simulated: bool) -> None:
    """Write the collection of a folder's maps, the catalogue over all folders beside it, and the table of all items.

    Args:
        folder: the folder, whose catalogue lies in its parent.
        maps: folders of its maps.
        title: what a person calls it.
        simulated: whether the imagery is simulated.

    Raises:
        StorageError: a file can't be written.
    """
    with storage_errors(folder), FileLock(folder.parent / _LOCK):
        found = collection(folder, maps, title=title, simulated=simulated)
        if found is None:
            _write_catalogue(folder.parent, without=folder)
            (folder / COLLECTION_FILE).unlink(missing_ok=True)
        else:
            write_if_changed(folder / COLLECTION_FILE, _as_json(found))
            _write_catalogue(folder.parent)


def refresh_collection(folder: Path, without: Collection[str] = ()) -> None:
    """Write a collection that is there once more, from the maps that it lists: some were made again, or will be gone.

    Args:
        folder: of the maps.
        without: names of maps that are about to be removed.

    Raises:
        StorageError: a file can't be written.
    """
    there = read_json(folder / COLLECTION_FILE)
    if there:
        maps = [path for path in listed_maps(folder) if path.name not in without]
        write_collection(folder, maps, title=there["title"], simulated=there["description"].startswith(SIMULATED))


def listed_maps(folder: Path) -> list[Path]:
    """Folders of the maps that a folder's collection lists, in its order."""
    links = read_json(folder / COLLECTION_FILE).get("links", [])
    return [(folder / unquote(one["href"])).parent for one in links if one["rel"] == "item"]


def collection(folder: Path, maps: Sequence[Path], *, title: str, simulated: bool) -> StacDict | None:
    """The collection of a folder's maps, as `write_collection` writes it; None if none of them has an item."""
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
        "id": collection_id(folder.name),
        "title": title,
        "description": f"{SIMULATED if simulated else ''}Burned area mapped from "
        f"{'simulated imagery' if simulated else 'satellite images'}, one item a map. Licences of imagery, perimeters "
        "and weights are told on the page beside each item.",
        "keywords": ["burned area", "wildfire", *(["simulated"] if simulated else [])],
        "license": "other",
        "providers": _providers(items, simulated),
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[min(starts), max(ends)]]}},
        "summaries": {name: found for name in _SUMMED if (found := _values(name, items))},
        "links": [
            link("root", f"../{CATALOGUE_FILE}", JSON_TYPE),
            link("parent", f"../{CATALOGUE_FILE}", JSON_TYPE),
            link("self", f"./{COLLECTION_FILE}", JSON_TYPE),
            *_terms(items, simulated),
            *(link("item", f"./{_quoted(path)}/{ITEM_FILE}", GEOJSON_TYPE) for path, _ in items),
        ],
    }


def catalogue(folders: Sequence[Path]) -> StacDict:
    """The catalogue over folders that have a collection, which lies beside them."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "burned-area-maps",
        "title": "Burned-area maps",
        "description": "Burned area mapped from satellite images, one collection a fire year, one a season that goes "
        f"on, one of areas of interest; all items in one stac-geoparquet file, {ITEMS_FILE}.",
        "links": [
            link("root", f"./{CATALOGUE_FILE}", JSON_TYPE),
            link("self", f"./{CATALOGUE_FILE}", JSON_TYPE),
            *([link("alternate", f"./{ITEMS_FILE}", PARQUET_TYPE, title="All items")] if folders else []),
            *(link("child", f"./{_quoted(path)}/{COLLECTION_FILE}", JSON_TYPE) for path in folders),
        ],
    }


def _write_catalogue(place: Path, without: Path | None = None) -> None:
    folders = [
        path
        for path in sorted(place.iterdir())
        if path != without and read_json(path / COLLECTION_FILE).get("id") == collection_id(path.name)
    ]
    collections = [_moved(read_json(folder / COLLECTION_FILE), folder, place) for folder in folders]
    items = [
        _moved(item, path, place) | {"collection": one["id"]}
        for folder, one in zip(folders, collections, strict=True)
        for path, item in _items(listed_maps(folder))
    ]
    if items:
        write_item_table(place / ITEMS_FILE, items, {one["id"]: one for one in collections})
    write_if_changed(place / CATALOGUE_FILE, _as_json(catalogue(folders)))
    if not items:
        (place / ITEMS_FILE).unlink(missing_ok=True)


def _items(maps: Sequence[Path]) -> Iterator[tuple[Path, StacDict]]:
    """Items as they were written, of maps that have all their files."""
    for path in maps:
        item = read_json(path / ITEM_FILE)
        written = (read_json(path / MAP_FILE).get("files") or {}).get(ITEM_FILE)
        named = item.get("type") == "Feature" and {"bbox", "geometry", "links", "assets", "properties"} <= item.keys()
        as_written = named and written in (None, hash_file(path / ITEM_FILE)) and "start_datetime" in item["properties"]
        if as_written and all(_is_there(path, asset) for asset in item["assets"].values()):
            yield path, item


def _is_there(folder: Path, asset: StacDict) -> bool:
    path = folder / unquote(asset["href"])
    return path.is_file() and path.stat().st_size == asset.get("file:size", path.stat().st_size)


def _moved(content: StacDict, folder: Path, place: Path) -> StacDict:
    """A STAC object of a folder with its relative addresses counted from another one above."""
    here = "/".join(quote(part, safe="=") for part in folder.relative_to(place).parts)

    def moved(one: StacDict) -> StacDict:
        href = one["href"]
        return one | ({"href": f"./{normpath(f'{here}/{href}')}"} if href.startswith(".") else {})

    links = [moved(one) for one in content["links"]]
    assets = {name: moved(one) for name, one in content.get("assets", {}).items()}
    return content | {"links": links} | ({"assets": assets} if assets else {})


def _providers(items: Sequence[tuple[Path, StacDict]], simulated: bool) -> list[StacDict]:
    """Whose work the maps contain; of simulated ones nobody's but ours."""
    if simulated:
        return [_US]
    official = any("FRAP" in str(item["properties"].get("burnscar:source")).upper() for _, item in items)
    of_imagery = [one for _, item in items for one in item["properties"].get("providers", [])]
    unique = {one["name"]: one for one in of_imagery}
    return [*(unique[name] for name in sorted(unique)), *([_FRAP] if official else []), _US]


def _terms(items: Sequence[tuple[Path, StacDict]], simulated: bool) -> list[StacDict]:
    """Links to the terms of the imagery that the maps contain, each once."""
    found = {one["href"]: one for _, item in items for one in item["links"] if one["rel"] == "license"}
    return [] if simulated else [found[href] for href in sorted(found)]


def _values(name: str, items: Sequence[tuple[Path, StacDict]]) -> list[Any]:
    return sorted({item["properties"][name] for _, item in items if item["properties"].get(name) is not None})


def _quoted(path: Path) -> str:
    return quote(path.name, safe="=")


def _as_json(content: StacDict) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
