"""All items of a catalogue as one table: stac-geoparquet 1.1, a row an item, with the collections in its metadata."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from burnscar_assets.catalog.stac_columns import CORNERS, SPEC_VERSION, geo_metadata
from burnscar_assets.mapping.stac import StacDict
from burnscar_assets.storage.atomic import write_if_changed

_TIMES: Final = ("datetime", "start_datetime", "end_datetime")
_TIME: Final = pa.timestamp("us", tz="UTC")
_LINK: Final = pa.struct([(name, pa.string()) for name in ("href", "rel", "type")])
_TYPES: Final = {"links": pa.list_(_LINK), "geometry": pa.binary(), **dict.fromkeys(_TIMES, _TIME)}


def write_item_table(path: Path, items: Sequence[StacDict], collections: Mapping[str, StacDict]) -> None:
    """Write items as stac-geoparquet; the same content gives the same bytes.

    Args:
        path: the file; addresses in items and collections are to be relative to it.
        items: at least one; their geometries are in longitude and latitude.
        collections: by id.

    Raises:
        StorageError: it can't be written.
    """
    rows = [_row(item) for item in items]
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


def _row(item: StacDict) -> dict[str, Any]:
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
