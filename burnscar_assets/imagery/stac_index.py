"""STAC indexes of an archive: stac-geoparquet files, static catalogues, item collections.

Reads what lies in a local folder or behind http(s), s3 and gs, and hands out plain STAC item
dictionaries whose asset addresses are absolute. Knows nothing of bands, clouds or windows. An index is
held in memory whole: meant for the archive of a state and some years, not for a global catalogue. Of a file of many
items, only those that are asked for become dictionaries.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import requests
import shapely
from upath import UPath

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.imagery.hrefs import is_remote, resolve_href
from burnscar_assets.storage.atomic import atomic_file

SPEC_VERSION = "1.1.0"
TIME_PROPERTIES = ("datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published")
ITEM_FIELDS = ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection")
PARALLEL_READS = 8
TIMEOUT_S = 60

StacDict = dict[str, Any]
Shapes = npt.NDArray[np.object_]


def write_index(items: Sequence[StacDict], path: Path) -> None:
    """Write STAC items as stac-geoparquet, whole or not at all.

    Args:
        items: STAC item dictionaries; relative asset addresses stay relative to `path`.
        path: the file to write.

    Raises:
        InputError: an item lacks a required field, two have one id, or a property has mixed types.
        StorageError: the file cannot be written.
    """
    ids = [item.get("id") for item in items]
    if not items or len(set(ids)) < len(ids):
        raise InputError(f"{path} needs at least one STAC item, and a different id for each")
    table = _to_table([_to_row(item) for item in items])
    geometries = [shapely.from_wkb(wkb) for wkb in table["geometry"].to_pylist()]
    geo = {
        "version": SPEC_VERSION,
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": sorted({shape.geom_type for shape in geometries}),
                "bbox": [float(edge) for edge in shapely.total_bounds(geometries)],
                "covering": {"bbox": {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}},
            }
        },
    }
    metadata = {"geo": json.dumps(geo), "stac-geoparquet": json.dumps({"version": SPEC_VERSION})}
    with atomic_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


class StacIndex(Sequence[StacDict]):
    """The items of an index, ordered by id; those of a file of many are made as they are asked for."""

    def __init__(self, ids: Sequence[str], footprints: Shapes, make: Callable[[int], StacDict], content: bytes) -> None:
        """Know what there is.

        Args:
            ids: of the items, in order.
            footprints: their shapes, degrees.
            make: makes the item of a position.
            content: what the index says, to be told from another one by.
        """
        self.ids = ids
        self.footprints = footprints
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self._make = make
        self._made: dict[int, StacDict] = {}

    @classmethod
    def of_items(cls, items: Iterable[StacDict]) -> "StacIndex":
        """The index of items that are there already; of those with the same id, the first."""
        by_id: dict[str, StacDict] = {}
        for item in items:
            by_id.setdefault(item["id"], item)
        ordered = [by_id[key] for key in sorted(by_id)]
        shapes = np.empty(len(ordered), dtype=object)
        shapes[:] = [shapely.geometry.shape(item["geometry"]) for item in ordered]
        return cls(
            sorted(by_id), shapes, ordered.__getitem__, json.dumps(ordered, sort_keys=True, default=str).encode()
        )

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.footprints)

    @overload
    def __getitem__(self, position: int) -> StacDict: ...

    @overload
    def __getitem__(self, position: slice) -> list[StacDict]: ...

    def __getitem__(self, position: int | slice) -> StacDict | list[StacDict]:
        """The item of a position, or items.

        Raises:
            InputError: an item lacks a required field.
        """
        numbers = range(len(self))[position]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        if numbers not in self._made:
            self._made[numbers] = self._make(numbers)
        return self._made[numbers]


def read_index(source: str) -> StacIndex:
    """Read a STAC index.

    Args:
        source: path or address (http, https, s3, gs) of a stac-geoparquet file, of a static catalogue or
            collection (`catalog.json`, followed through its child and item links), of an item collection,
            or of one item.

    Returns:
        STAC items ordered by id, as dictionaries: asset addresses absolute, `bbox` two-dimensional.

    Raises:
        InputError: there is no such file, or it isn't a STAC index.
        SourceUnavailableError: a remote file could not be read.
    """
    found = _read_parquet(source) if _is_parquet(source) else StacIndex.of_items(_walk(source, set()))
    if not len(found):
        raise InputError(f"the STAC index {source} has no items: check imagery.archive in the settings")
    return found


def _is_parquet(source: str) -> bool:
    return (
        (source.split("?", maxsplit=1)[0] if is_remote(source) else source)
        .lower()
        .endswith((".parquet", ".geoparquet", ".pq"))
    )


def _to_row(item: StacDict) -> StacDict:
    missing = [key for key in ("id", "geometry", "properties", "assets") if not item.get(key)]
    if missing:
        raise InputError(f"STAC item {item.get('id', '(without id)')} lacks {', '.join(missing)}")
    shape = shapely.geometry.shape(item["geometry"])
    edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, shape.bounds), strict=True))
    row = {key: item[key] for key in ITEM_FIELDS if item.get(key)}
    row |= {"type": "Feature", "links": item.get("links") or []}
    row |= {key: _parse_time(value) if key in TIME_PROPERTIES else value for key, value in item["properties"].items()}
    return row | {"geometry": shapely.to_wkb(shape, output_dimension=2), "bbox": edges}


def _to_table(rows: list[StacDict]) -> pa.Table:
    names = list(dict.fromkeys(key for row in rows for key in row))
    columns = {}
    for name in names:
        values = [_without_nothing(row.get(name)) for row in rows]
        try:
            columns[name] = pa.array(values, type=pa.timestamp("us", "UTC") if name in TIME_PROPERTIES else None)
        except pa.ArrowException as error:
            raise InputError(f"the STAC items' {name!r} has values of different types: {error}") from error
    return pa.table({name: column for name, column in columns.items() if not pa.types.is_null(column.type)})


def _read_parquet(source: str) -> StacIndex:
    content = _read_bytes(source)
    try:
        table = pq.read_table(io.BytesIO(content))
    except pa.ArrowException as error:
        raise InputError(f"{source} is no readable stac-geoparquet file ({error}): make or fetch it again") from error
    needed = ("id", "geometry", "assets")
    missing = sorted(set(needed) - set(table.column_names))
    if missing:
        raise InputError(f"{source} is no stac-geoparquet: it lacks {', '.join(missing)}")
    ids = table["id"].to_pylist()
    for name in needed:
        if table[name].null_count:
            raise InputError(f"STAC item {ids[table[name].is_null().index(True).as_py()]} of {source} lacks {name}")
    first = {key: row for row, key in reversed([*enumerate(ids)])}
    rows = [first[key] for key in sorted(first)]
    shapes = np.asarray(shapely.from_wkb(table["geometry"].to_numpy())[rows], dtype=object)

    def make(position: int) -> StacDict:
        (row,) = table.slice(rows[position], 1).to_pylist()
        return _from_row(row, source, shapes[position])

    return StacIndex(sorted(first), shapes, make, source.encode() + content)


def _from_row(row: StacDict, source: str, shape: shapely.Geometry) -> StacDict:
    properties = {
        key: value.isoformat() if isinstance(value, datetime) else _without_nothing(value)
        for key, value in row.items()
        if key not in ITEM_FIELDS and value is not None
    }
    item = {key: _without_nothing(row[key]) for key in ITEM_FIELDS if row.get(key) is not None}
    item |= {"geometry": shapely.geometry.mapping(shape), "properties": properties}
    return _absolute(item, source, shape)


def _walk(source: str, seen: set[str]) -> Iterator[StacDict]:
    if source in seen:
        return
    seen.add(source)
    yield from _items_of(_read_json(source), source, seen)


def _items_of(content: StacDict, source: str, seen: set[str]) -> Iterator[StacDict]:
    kind = content.get("type")
    if kind == "FeatureCollection":
        yield from (_absolute(feature, source) for feature in content.get("features", []))
    elif kind == "Feature":
        yield _absolute(content, source)
    elif kind in ("Catalog", "Collection") or "links" in content:
        links = [(link.get("rel"), resolve_href(link["href"], source)) for link in content.get("links", [])]
        item_sources = [href for rel, href in links if rel == "item" and href not in seen]
        seen.update(item_sources)
        with ThreadPoolExecutor(PARALLEL_READS) as pool:
            for href, item in zip(item_sources, pool.map(_read_json, item_sources), strict=True):
                yield from _items_of(item, href, seen)
        for rel, href in links:
            if rel == "child":
                yield from _walk(href, seen)
    else:
        raise InputError(f"{source} is neither a STAC catalogue, collection, item nor item collection")


def _absolute(item: StacDict, source: str, shape: shapely.Geometry | None = None) -> StacDict:
    missing = [key for key in ("id", "geometry", "properties", "assets") if item.get(key) is None]
    if missing:
        raise InputError(f"STAC item {item.get('id', '(without id)')} of {source} lacks {', '.join(missing)}")
    assets = {
        key: asset | {"href": resolve_href(asset["href"], source)}
        for key, asset in item["assets"].items()
        if asset.get("href")
    }
    shape = shapely.geometry.shape(item["geometry"]) if shape is None else shape
    return item | {"assets": assets, "bbox": list(shape.bounds)}


def _read_json(source: str) -> StacDict:
    try:
        content = json.loads(_read_bytes(source))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{source} is not valid JSON ({error}): make or fetch it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{source} is no STAC: it must hold a JSON object")
    return content


def _read_bytes(source: str) -> bytes:
    try:
        return _fetch(source) if source.startswith(("http://", "https://")) else UPath(source).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no STAC index {source}: check imagery.archive in the settings") from error
    except Exception as error:
        if not is_remote(source):
            raise InputError(f"cannot read the STAC index {source}: {error}") from error
        raise SourceUnavailableError(f"cannot read the STAC index {source}: {error}; try again later") from error


def _fetch(address: str) -> bytes:
    """What fsspec does too, but it takes a server that does not answer for a file that is missing."""
    response = requests.get(address, timeout=TIMEOUT_S)
    if response.status_code in (404, 410):
        raise FileNotFoundError(address)
    response.raise_for_status()
    return response.content


def _parse_time(value: str | datetime | None) -> datetime | None:
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _without_nothing(value: Any) -> Any:
    """Drop empty fields: a Parquet struct has every field of every row, and can't be without any."""
    if isinstance(value, dict):
        kept = {key: _without_nothing(part) for key, part in value.items() if part is not None}
        return {key: part for key, part in kept.items() if part is not None} or None
    if isinstance(value, list):
        return [_without_nothing(part) for part in value]
    return value
