"""Content hashes: the same content gives the same hash, whatever the file, the row order or the machine."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
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
        digest.update(_column_bytes(rows, name))
    return digest.hexdigest()


def _column_bytes(rows: pd.DataFrame, name: str) -> bytes:
    column = rows[name]
    if isinstance(column, gpd.GeoSeries):
        shapes = shapely.set_precision(column.to_numpy(), COORDINATE_GRID_M, mode="pointwise")
        shapes = shapely.transform(shapes, lambda xy: xy + 0.0)
        return b"".join(len(w).to_bytes(4, "little") + w for w in (shapely.to_wkb(s) or b"" for s in shapes))
    if pd.api.types.is_float_dtype(column.dtype):
        return "\n".join("" if pd.isna(v) else f"{v + 0.0:.9g}" for v in column).encode()
    if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "\n".join("" if pd.isna(v) else v.isoformat() for v in column).encode()
    return json.dumps([_plain(v) for v in column], default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if value is None or value is pd.NaT or value is pd.NA or (np.isscalar(value) and pd.isna(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
