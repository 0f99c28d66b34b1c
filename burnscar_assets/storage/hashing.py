"""Content hashes: the same content gives the same hash, whatever the file, the row order or the machine."""

import hashlib
import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

COORDINATE_GRID_M = 0.01
"""Coordinates are compared to a centimetre."""


def hash_json(content: Any) -> str:
    """SHA-256 of a JSON-encodable value in canonical form."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_table(table: pd.DataFrame, keys: Sequence[str]) -> str:
    """SHA-256 of a table's content: rows sorted by `keys`, coordinates to a centimetre, floats to 9 digits.

    Noise below that precision leaves the hash alone unless a value lies just at a rounding boundary, where
    any noise flips it: rounding makes equal runs on different machines very likely to agree, no more. The
    order and the start of a ring's vertices are content.
    """
    rows = table.sort_values(list(keys), kind="stable").reset_index(drop=True)
    digest = hashlib.sha256()
    for name in sorted(rows.columns):
        digest.update(name.encode())
        digest.update(_column_bytes(rows[name]))
    return digest.hexdigest()


def hash_rows(table: pd.DataFrame) -> list[str]:
    """SHA-256 of each row's content, to the precision of `hash_table`, in the order of the rows."""
    columns = [_cells(table[name]) for name in sorted(table.columns)]
    return [hashlib.sha256(b"\0".join(cells)).hexdigest() for cells in zip(*columns, strict=True)]


def is_geometry(column: pd.Series) -> bool:
    """Whether a column holds geometries, told without importing geopandas, which takes a while."""
    return str(column.dtype) == "geometry"


def _column_bytes(column: pd.Series) -> bytes:
    cells = _cells(column)
    if is_geometry(column):
        return b"".join(len(cell).to_bytes(4, "little") + cell for cell in cells)
    return b"\n".join(cells)


def _cells(column: pd.Series) -> list[bytes]:
    """Each value's content in canonical form."""
    if is_geometry(column):
        shapes = shapely.set_precision(column.to_numpy(), COORDINATE_GRID_M, mode="pointwise")
        shapes = shapely.transform(shapes, lambda xy: xy + 0.0)
        return [wkb or b"" for wkb in shapely.to_wkb(shapes)]
    if pd.api.types.is_float_dtype(column.dtype):
        return [b"" if pd.isna(v) else f"{v + 0.0:.9g}".encode() for v in column]
    if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _by_value(column, lambda v: v.isoformat().encode(), b"")
    if not pd.api.types.is_object_dtype(column.dtype):
        return _by_value(column, _json, b"null")
    return [_json(v) for v in column]


def _by_value(column: pd.Series, encode: Callable[[Any], bytes], missing: bytes) -> list[bytes]:
    """Each value encoded, equal ones once."""
    codes, values = pd.factorize(column)
    cells = [*(encode(value) for value in values), missing]
    return [cells[code] for code in codes]


def _json(value: Any) -> bytes:
    if type(value) is str:
        return encode_basestring_ascii(value).encode()  # what json.dumps says of a string, at a tenth of the time
    return json.dumps(_plain(value), default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if value is None or value is pd.NaT or value is pd.NA or (np.isscalar(value) and pd.isna(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
