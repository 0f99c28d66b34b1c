"""STAC indexes of an archive: stac-geoparquet files, static catalogues, item collections.

Reads what lies in a local folder or behind http(s), s3 and gs, and hands out plain STAC item
dictionaries whose asset addresses are absolute. Knows nothing of bands, clouds or windows. An index is
held in memory whole: meant for the archive of a state and some years, not for a global catalogue. Of a file of many
items, only those that are asked for become dictionaries.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import requests
import shapely
from upath import UPath

from burnscar_assets.catalog.hrefs import SETTING, AddressRule, is_remote, resolve_href
from burnscar_assets.catalog.stac_columns import (
    CORNERS,
    JSON_OR_MAP,
    SPEC_VERSION,
    box,
    geo_metadata,
    geometries,
    plain,
    primary_geometry,
    structure,
)
from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.network.addresses import host_of, with_secrets
from burnscar_assets.network.retries import is_refusal
from burnscar_assets.network.session import MEGABYTE, Limits, Session
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.vector_files import read_table

TIME_PROPERTIES = ("datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published")
ITEM_FIELDS = ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection")
PARALLEL_READS = 8
MOST_FILES = 200_000
MOST_ROWS = 5_000_000
MOST_BYTES = 2 * 2**30
"""Of a remote stac-geoparquet when it is decoded."""

DEEPEST_CATALOGUE = 32
LIMITS = Limits(timeout_s=60, deadline_s=300, max_answer_mb=2000, hint="name a smaller index as imagery.archive")

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
    shapes = [shapely.from_wkb(wkb) for wkb in table["geometry"].to_pylist()]
    geo = geo_metadata({shape.geom_type for shape in shapes}, shapely.total_bounds(shapes))
    metadata = {"geo": json.dumps(geo), "stac-geoparquet": json.dumps({"version": SPEC_VERSION})}
    with atomic_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


class StacIndex(Sequence[StacDict]):
    """The items of an index, ordered by id; those of a file of many are made as they are asked for."""

    def __init__(self, ids: Sequence[str], footprints: Shapes, make: Callable[[int], StacDict], content: bytes) -> None:
        """Of items by id: ids, shapes (degrees), what makes the item of a position, and the content to hash."""
        self.ids = ids
        self.footprints = footprints
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self.refused: dict[str, str] = {}
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
        """The item of a position, or items; InputError where one lacks a required field."""
        numbers = range(len(self))[position]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        if numbers not in self._made:
            self._made[numbers] = self._make(numbers)
        return self._made[numbers]


def read_index(source: str, rule: AddressRule | None = None) -> StacIndex:
    """Read a STAC index: items ordered by id, asset addresses absolute, `bbox` two-dimensional.

    Args:
        source: path or address (http, https, s3, gs) of a stac-geoparquet file, of a static catalogue or
            collection (`catalog.json`, followed through its child and item links), of an item collection,
            or of one item.
        rule: which links are followed; by default, those that any catalogue may name.

    Raises:
        InputError: there is no such file, or it isn't a STAC index.
        SourceUnavailableError: a remote file could not be read.
    """
    rule = rule or AddressRule(source)
    if _is_parquet(source):
        found = _read_parquet(source, rule)
    else:
        walk = _Walk(rule)
        found = StacIndex.of_items(walk.items(source))
        found.refused = walk.refused
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
    edges = dict(zip(CORNERS, map(float, shape.bounds), strict=True))
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


def _read_parquet(source: str, rule: AddressRule) -> StacIndex:
    content = _read_bytes(source, rule)
    try:
        foreign = is_remote(source)
        table = read_table(content, MOST_ROWS, MOST_BYTES) if foreign else pq.read_table(io.BytesIO(content))
    except InputError as error:
        raise InputError(
            f"{source} is no readable stac-geoparquet file ({error}): make it again, or name a smaller one as "
            "imagery.archive"
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{source} is no readable stac-geoparquet file ({error}): make or fetch it again") from error
    geometry = primary_geometry(table)
    needed = ("id", geometry, "assets")
    missing = sorted(set(needed) - set(table.column_names))
    if missing:
        raise InputError(f"{source} is no stac-geoparquet: it lacks {', '.join(missing)}")
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise InputError(f"{source} has two columns {', '.join(twice)}: write it with one of each")
    ids = [str(name) if name is not None else None for name in table["id"].to_pylist()]
    for name in needed:
        if table[name].null_count:
            raise InputError(f"STAC item {ids[table[name].is_null().index(True).as_py()]} of {source} lacks {name}")
    first = {str(key): row for row, key in reversed([*enumerate(ids)])}
    rows = [first[key] for key in sorted(first)]
    shapes = geometries(table, geometry, source)[rows]
    fields = table.drop_columns([geometry])

    def make(position: int) -> StacDict:
        try:
            (row,) = fields.slice(rows[position], 1).to_pylist()
            return _from_row(row, source, shapes[position])
        except (ValueError, TypeError, LookupError, pa.ArrowException) as error:
            raise InputError(
                f"STAC item {ids[rows[position]]} of {source} can't be read ({error}): its assets must be a struct, a "
                "MAP or JSON text, its times timestamps or text"
            ) from error

    return StacIndex(sorted(first), shapes, make, source.encode() + content)


def _from_row(row: StacDict, source: str, shape: shapely.Geometry) -> StacDict:
    row = {key: structure(value) if key in JSON_OR_MAP else plain(value) for key, value in row.items()}
    properties = {key: value for key, value in row.items() if key not in (*ITEM_FIELDS, "properties")}
    properties = {k: v for k, v in (properties | (row.get("properties") or {})).items() if v is not None}
    item = {key: row[key] for key in ITEM_FIELDS if row.get(key) is not None} | {"id": str(row["id"])}
    item |= {"geometry": shapely.geometry.mapping(shape), "properties": properties}
    return _absolute(item, source, shape)


class _Walk:
    """Items of a static catalogue, through its links; those that it may not name are passed over, see `refused`."""

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule
        self._seen: set[str] = set()
        self.refused: dict[str, str] = {}

    def items(self, source: str, depth: int = 0) -> Iterator[StacDict]:
        """Items of a file, and of those that it links to."""
        if source in self._seen:
            return
        if depth > DEEPEST_CATALOGUE or len(self._seen) > MOST_FILES:
            raise InputError(
                f"{source} is part of a catalogue of more than {MOST_FILES} files or {DEEPEST_CATALOGUE} levels: "
                "name a part of it as imagery.archive, or its stac-geoparquet"
            )
        self._seen.add(source)
        yield from self._of(_read_json(source, self._rule), source, depth)

    def _of(self, content: StacDict, source: str, depth: int) -> Iterator[StacDict]:
        kind = content.get("type")
        if kind == "FeatureCollection":
            yield from (_absolute(feature, source) for feature in content.get("features") or [])
        elif kind == "Feature":
            yield _absolute(content, source)
        elif kind in ("Catalog", "Collection") or "links" in content:
            item_sources = [href for href in self._links(content, source, "item") if href not in self._seen]
            self._seen.update(item_sources)
            read = partial(_read_json, rule=self._rule)
            with ThreadPoolExecutor(PARALLEL_READS) as pool:
                for href, item in zip(item_sources, pool.map(read, item_sources), strict=True):
                    yield from self._of(item, href, depth + 1)
            for href in self._links(content, source, "child"):
                yield from self.items(href, depth + 1)
        else:
            raise InputError(f"{source} is neither a STAC catalogue, collection, item nor item collection")

    def _links(self, content: StacDict, source: str, relation: str) -> list[str]:
        links = [link for link in content.get("links") or [] if isinstance(link, dict) and link.get("rel") == relation]
        found = dict.fromkeys(resolve_href(link["href"], source) for link in links if isinstance(link.get("href"), str))
        for href in [*found]:
            try:
                self._rule.check(href)
            except InputError as error:
                self.refused[href] = str(error)
                del found[href]
        return [*found]


def _absolute(item: StacDict, source: str, shape: shapely.Geometry | None = None) -> StacDict:
    if not isinstance(item, dict):
        raise InputError(f"{source} lists {str(item)[:40]!r} as a STAC item: make or fetch it again")
    missing = [key for key in ("id", "geometry", "properties", "assets") if item.get(key) is None]
    if missing:
        raise InputError(f"STAC item {item.get('id', '(without id)')} of {source} lacks {', '.join(missing)}")
    try:
        assets = {
            key: asset | {"href": resolve_href(asset["href"], source)}
            for key, asset in item["assets"].items()
            if asset.get("href")
        }
        shape = shapely.geometry.shape(item["geometry"]) if shape is None else shape
    except (AttributeError, TypeError, ValueError, LookupError, shapely.errors.ShapelyError) as error:
        raise InputError(f"STAC item {item['id']} of {source} is malformed ({error}): correct it there") from error
    return item | {"id": str(item["id"]), "assets": assets, "bbox": box(item.get("bbox")) or list(shape.bounds)}


def _read_json(source: str, rule: AddressRule) -> StacDict:
    try:
        content = json.loads(_read_bytes(source, rule))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid JSON ({error}): make or fetch it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{source} is no STAC: it must hold a JSON object")
    return content


def _read_bytes(source: str, rule: AddressRule) -> bytes:
    try:
        return _fetch(source, rule) if source.startswith(("http://", "https://")) else _read_file(source)
    except FileNotFoundError as error:
        raise InputError(f"there is no STAC index {source}: check imagery.archive in the settings") from error
    except BurnscarError:
        raise
    except Exception as error:
        if not is_remote(source) or _stays(error):
            raise InputError(f"cannot read the STAC index {source}: {error}") from error
        raise SourceUnavailableError(f"cannot read the STAC index {source}: {error}; try again later") from error


def _read_file(source: str) -> bytes:
    """What a local file or an object of a bucket holds, within the same limit as that of an answer."""
    most = round(LIMITS.max_answer_mb * MEGABYTE)
    with UPath(source).open("rb") as stream:
        content: bytes = stream.read(most + 1)
    if len(content) > most:
        raise InputError(f"{source} holds more than {LIMITS.max_answer_mb:g} MB: {LIMITS.hint}")
    return content


def _stays(error: Exception) -> bool:
    """Whether a failure to read an address would be the same the next time: a refusal, or an address that is none."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    refused = isinstance(status, int) and is_refusal(status)
    if isinstance(error, OSError) and not isinstance(error, PermissionError | requests.exceptions.InvalidURL):
        return refused
    return isinstance(error, OSError | ValueError | TypeError | LookupError | ImportError)


def _fetch(address: str, rule: AddressRule) -> bytes:
    """What fsspec does too, but it takes a server that does not answer for a file that is missing."""
    others = [host for host in rule.hosts if host != host_of(address)]
    with Session(LIMITS, rule.hosts, others, SETTING) as session:
        response = session.get(with_secrets(address) if address == rule.catalogue else address)
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
