"""The STAC catalogue of the maps: a collection for each folder of maps, a catalogue over them, one table of all items.

All addresses are relative. What a collection links to is there, with all its files: a map is taken out before it is
removed, and one that lacks a file isn't listed until it is made again.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from posixpath import normpath
from typing import Any, Final
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from filelock import FileLock

from burnscar_assets.catalog.stac_columns import CORNERS, SPEC_VERSION, geo_metadata
from burnscar_assets.mapping.spec import MAP_FILE
from burnscar_assets.publish.stac import (
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
_TIMES: Final = ("datetime", "start_datetime", "end_datetime")
_TIME: Final = pa.timestamp("us", tz="UTC")
_LINK: Final = pa.struct([(name, pa.string()) for name in ("href", "rel", "type")])
_TYPES: Final = {"links": pa.list_(_LINK), "geometry": pa.binary(), **dict.fromkeys(_TIMES, _TIME)}


def write_collection(folder: Path, maps: Sequence[Path], *, title: str, simulated: bool) -> None:
    """Write the collection of a folder's maps, the catalogue over all folders beside it, and the table of all items.

    The catalogue lies in the folder's parent.

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

    `without` names maps that are about to be removed.

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
        "providers": _providers(items),
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[min(starts), max(ends)]]}},
        "summaries": {name: found for name in _SUMMED if (found := _values(name, items))},
        "links": [
            link("root", f"../{CATALOGUE_FILE}", JSON_TYPE),
            link("parent", f"../{CATALOGUE_FILE}", JSON_TYPE),
            link("self", f"./{COLLECTION_FILE}", JSON_TYPE),
            *_terms(items),
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


def _providers(items: Sequence[tuple[Path, StacDict]]) -> list[StacDict]:
    """Whose work the maps contain: of imagery and perimeters, each once, and ours."""
    unique = {one["name"]: one for _, item in items for one in item["properties"].get("providers", [])}
    return [*(unique[name] for name in sorted(unique)), _US]


def _terms(items: Sequence[tuple[Path, StacDict]]) -> list[StacDict]:
    """Links to the terms of what the maps contain, each once."""
    found = {one["href"]: one for _, item in items for one in item["links"] if one["rel"] == "license"}
    return [found[href] for href in sorted(found)]


def _values(name: str, items: Sequence[tuple[Path, StacDict]]) -> list[Any]:
    return sorted({item["properties"][name] for _, item in items if item["properties"].get(name) is not None})


def _quoted(path: Path) -> str:
    return quote(path.name, safe="=")


def _as_json(content: StacDict) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def write_item_table(path: Path, items: Sequence[StacDict], collections: Mapping[str, StacDict]) -> None:
    """Write items as stac-geoparquet; the same content gives the same bytes.

    There is at least one item; addresses in items and collections are to be relative to the file.

    Raises:
        StorageError: it can't be written.
    """
    rows = [_table_row(item) for item in items]
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: pa.array([row.get(name) for row in rows], _TYPES.get(name)) for name in names})
    boxes = [item["bbox"] for item in items]
    bbox = [
        *(min(box[side] for box in boxes) for side in (0, 1)),
        *(max(box[side] for box in boxes) for side in (2, 3)),
    ]
    geo = geo_metadata({item["geometry"]["type"] for item in items}, bbox)
    said = {"geo": geo, "stac-geoparquet": {"version": SPEC_VERSION, "collections": dict(collections)}}
    table = table.replace_schema_metadata({key: json.dumps(value, sort_keys=True) for key, value in said.items()})
    written = BytesIO()
    pq.write_table(table, written, compression="zstd")
    write_if_changed(path, written.getvalue())


def _table_row(item: StacDict) -> dict[str, Any]:
    """Top-level fields and properties side by side; times as such, the place as WKB and as four numbers."""
    properties = dict(item["properties"])
    times = {name: _time(properties.pop(name, None)) for name in _TIMES}
    kept = ("stac_version", "stac_extensions", "id", "collection", "links", "assets")
    return {
        "type": item["type"],
        **{name: item.get(name) for name in kept},
        "geometry": shapely.to_wkb(shapely.geometry.shape(item["geometry"])),
        "bbox": dict(zip(CORNERS, map(float, item["bbox"]), strict=True)),
        **times,
        **properties,
    }


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
