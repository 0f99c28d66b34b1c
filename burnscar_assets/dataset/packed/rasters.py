"""Pixels of a group's windows in its file: single rasters, and many at once as one array."""

import functools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from burnscar_assets.dataset.packed.codec import Pixels, checksum, decode, decode_many, encode
from burnscar_assets.dataset.packed.database import Database
from burnscar_assets.errors import InputError, MissingDataError

_NAMED_IN_ERRORS = 3

_AT_ONCE = 16
"""Rasters that are decompressed together: what they take stays in a core's cache."""

_WORTH_THREADS = 4
"""Parts of work from which on threads save more than they cost."""

_MOST_THREADS = 8


class Grid(NamedTuple):
    """A pixel grid: the CRS as text, and its units per column and per row (negative rows grow southwards)."""

    crs: str
    x_resolution: float
    y_resolution: float


@dataclass(frozen=True)
class Raster:
    """One band set of one item group of a window.

    Attributes:
        bands: names, in the order of the first axis.
        pixels: array (bands, time, rows, columns).
        grid: where columns and rows are counted.
        min_col: column of the left edge.
        min_row: row of the upper edge.
        timestamps: start and end of each time step in ISO 8601; None if they aren't known.
        nodata: value of pixels without data; None if there is no such value.
    """

    bands: tuple[str, ...]
    pixels: Pixels
    grid: Grid
    min_col: int
    min_row: int
    timestamps: tuple[tuple[str, str], ...] | None = None
    nodata: float | None = None


class RasterRow(NamedTuple):
    """A raster and whose it is."""

    window: str
    layer: str
    group_idx: int
    raster: Raster


class RasterHeader(NamedTuple):
    """A raster without its pixels; the fields are those of `Raster`, `shape` that of its pixels."""

    window: str
    bands: tuple[str, ...]
    shape: tuple[int, ...]
    grid: Grid
    min_col: int
    min_row: int
    timestamps: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True)
class _Form:
    """What rasters of one band set have in common."""

    bands: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    codec: str
    grid: Grid
    nodata: float | None


class _Part(NamedTuple):
    """Rasters of one form, as they are stored: numbers of their windows, checksums, and compressed pixels."""

    form: _Form
    keys: tuple[int, ...]
    crcs: tuple[int, ...]
    data: tuple[bytes, ...]


class CompressedRow(NamedTuple):
    """A row as it is written: with its form as text, the checksum of its pixels, and these compressed."""

    row: RasterRow
    form: str
    crc: int
    data: bytes


def compress(row: RasterRow) -> CompressedRow:
    """Compress the pixels of a row."""
    codec, data = encode(row.raster.pixels)
    return CompressedRow(row, _form_text(row.raster, codec), checksum(row.raster.pixels), data)


class Rasters:
    """The pixels in a group's file; every call that writes is a transaction, or part of the one around it."""

    def __init__(self, database: Database, group: str) -> None:
        self._database, self._group = database, group

    def put(self, rows: Iterable[RasterRow]) -> None:
        """Write rasters, in place of those of the same window, layer, item group and bands."""
        self.put_compressed([compress(row) for row in rows])

    def put_compressed(self, rows: Iterable[CompressedRow]) -> None:
        """The same for rows that were compressed before, so that the file is locked for the writing alone."""
        with self._database.transaction() as connection:
            forms: dict[str, int] = {}
            for (name, layer, group_idx, raster), form, crc, data in rows:
                if form not in forms:
                    connection.execute("INSERT OR IGNORE INTO forms (form) VALUES (?)", (form,))
                    (forms[form],) = connection.execute("SELECT id FROM forms WHERE form = ?", (form,)).fetchone()
                connection.execute("INSERT OR IGNORE INTO windows (name) VALUES (?)", (name,))
                connection.execute(
                    "INSERT INTO rasters "
                    "(window, layer, group_idx, bands, form, min_col, min_row, timestamps, crc, pixels) "
                    "SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM windows WHERE name = ?1 "
                    "ON CONFLICT (window, layer, group_idx, bands) DO UPDATE SET form = excluded.form, "
                    "min_col = excluded.min_col, min_row = excluded.min_row, timestamps = excluded.timestamps, "
                    "crc = excluded.crc, pixels = excluded.pixels",
                    (
                        name,
                        layer,
                        group_idx,
                        json.dumps(raster.bands),
                        forms[form],
                        raster.min_col,
                        raster.min_row,
                        None if raster.timestamps is None else json.dumps(raster.timestamps),
                        crc,
                        data,
                    ),
                )

    def get(self, name: str, layer: str, bands: Sequence[str], group_idx: int = 0) -> Raster:
        """One raster.

        Raises:
            MissingDataError: there is none, or it is damaged.
        """
        rows = self._database.rows(
            "SELECT f.form, r.min_col, r.min_row, r.timestamps, r.crc, r.pixels FROM rasters r "
            "JOIN forms f ON f.id = r.form WHERE r.window = (SELECT id FROM windows WHERE name = ?) "
            "AND r.layer = ? AND r.group_idx = ? AND r.bands = ?",
            (name, layer, group_idx, json.dumps(list(bands))),
        )
        if not rows:
            raise self._unreadable([name], layer)
        text, min_col, min_row, timestamps, crc, data = rows[0]
        form = _form(text)
        pixels = np.empty(form.shape, form.dtype)
        self._decode(name, layer, form, crc, data, pixels)
        return Raster(form.bands, pixels, form.grid, min_col, min_row, _times(timestamps), form.nodata)

    def headers(self, names: Sequence[str], layer: str, group_idx: int = 0) -> list[RasterHeader]:
        """What is known of the rasters of windows without reading pixels, one for each window and band set."""
        rows = self._database.rows(
            "SELECT w.name, f.form, r.min_col, r.min_row, r.timestamps FROM json_each(?) j "
            "CROSS JOIN windows w ON w.name = j.value "
            "CROSS JOIN rasters r ON r.window = w.id AND r.layer = ?2 AND r.group_idx = ?3 "
            "JOIN forms f ON f.id = r.form",
            (json.dumps(list(names)), layer, group_idx),
        )
        return [
            RasterHeader(name, form.bands, form.shape, form.grid, min_col, min_row, _times(timestamps))
            for name, form, min_col, min_row, timestamps in ((name, _form(text), *place) for name, text, *place in rows)
        ]

    def stacked(
        self,
        names: Sequence[str],
        layer: str,
        bands: Sequence[str] | None = None,
        group_idx: int = 0,
        into: Pixels | None = None,
    ) -> Pixels:
        """Completed rasters of many windows as one array (windows, bands, rows, columns), in the order given.

        `into` is an array to fill, which is used if its shape and type are those of the rasters.

        Raises:
            MissingDataError: a window has no such raster that is completed and whole.
            InputError: they don't have the same bands, type and size, or have several time steps.
        """
        rows = self._database.rows(
            "SELECT j.key, f.form, r.crc, r.pixels FROM json_each(?) j CROSS JOIN windows w ON w.name = j.value "
            "CROSS JOIN completed c ON c.window = w.id AND c.layer = ?2 AND c.group_idx = ?3 "
            "CROSS JOIN rasters r ON r.window = w.id AND r.layer = ?2 AND r.group_idx = ?3 "
            "JOIN forms f ON f.id = r.form",
            (json.dumps(list(names)), layer, group_idx),
        )
        forms = [_form(text) for text in dict.fromkeys(row[1] for row in rows)]
        wanted = (
            list(bands) if bands is not None else list(dict.fromkeys(band for form in forms for band in form.bands))
        )
        used = [form for form in forms if not set(form.bands).isdisjoint(wanted)]
        out = self._empty(len(names), layer, wanted, used)
        if into is not None and (into.shape, into.dtype) == (out.shape, out.dtype):
            out = into
        places = {form: _places(form, wanted) for form in used}
        filled = np.zeros((len(names), len(wanted)), bool)
        parts: list[_Part] = []
        for form, (_, targets) in places.items():
            mine = [(key, crc, data) for key, text, crc, data in rows if _form(text) == form]
            filled[np.ix_([key for key, _, _ in mine], targets)] = True
            parts += [_Part(form, *zip(*mine[i : i + _AT_ONCE], strict=True)) for i in range(0, len(mine), _AT_ONCE)]

        def fill(part: _Part) -> None:
            self._fill(out, part, names, layer, *places[part.form])

        _side_by_side(fill, parts)
        if not filled.all():
            raise self._unreadable([names[int(key)] for key in np.flatnonzero(~np.all(filled, axis=1))], layer)
        return out

    def _empty(self, count: int, layer: str, bands: Sequence[str], forms: Sequence[_Form]) -> Pixels:
        sizes = {form.shape[1:] for form in forms}
        types = {form.dtype for form in forms}
        if len(sizes) > 1 or len(types) > 1 or any(size[0] != 1 for size in sizes):
            kinds = ", ".join(sorted(f"{form.dtype} of {'×'.join(map(str, form.shape))}" for form in forms))
            raise InputError(
                f"windows of group {self._group} have different rasters in {layer} ({kinds}): read them singly, with "
                "rslearn's window.data"
            )
        (size,), (dtype,) = sizes or {(1, 0, 0)}, types or {np.dtype("u1")}
        return np.empty((count, len(bands), *size[1:]), dtype)

    def _fill(
        self, out: Pixels, part: "_Part", names: Sequence[str], layer: str, sources: list[int], targets: list[int]
    ) -> None:
        """Put the bands `sources` of a part's rasters at the bands `targets` of their windows."""
        form, keys = part.form, part.keys
        first, last = keys[0], keys[-1] + 1
        whole = sources == targets == list(range(out.shape[1])) and form.dtype == out.dtype
        if whole and keys == tuple(range(first, last)):
            self._decode_part(part, names, layer, out[first:last, :, None])
            return
        pixels = np.empty((len(keys), *form.shape), form.dtype)
        self._decode_part(part, names, layer, pixels)
        out[np.ix_(keys, targets)] = pixels[:, sources, 0]

    def _decode_part(self, part: "_Part", names: Sequence[str], layer: str, out: Pixels) -> None:
        try:
            decode_many(part.form.codec, part.data, out)
        except ValueError:
            for key, crc, data, pixels in zip(part.keys, part.crcs, part.data, out, strict=True):
                self._decode(names[key], layer, part.form, crc, data, pixels)
        for key, crc, pixels in zip(part.keys, part.crcs, out, strict=True):
            if checksum(pixels) != crc:
                raise self._unreadable([names[key]], layer)

    def _decode(self, name: str, layer: str, form: _Form, crc: int, data: bytes, out: Pixels) -> None:
        try:
            decode(form.codec, data, out)
        except ValueError as error:
            raise self._unreadable([name], layer) from error
        if checksum(out) != crc:
            raise self._unreadable([name], layer)

    def _unreadable(self, names: Sequence[str], layer: str) -> MissingDataError:
        some = ", ".join(names[:_NAMED_IN_ERRORS])
        more = f" (and {len(names) - _NAMED_IN_ERRORS} more)" if len(names) > _NAMED_IN_ERRORS else ""
        return MissingDataError(
            f"no readable tile of {layer} for window {some}{more}: run burnscar refresh --years {self._group}"
        )


def _places(form: _Form, wanted: Sequence[str]) -> tuple[list[int], list[int]]:
    """Where the bands of a raster that are wanted lie in it, and where they go."""
    pairs = [(form.bands.index(band), target) for target, band in enumerate(wanted) if band in form.bands]
    return [source for source, _ in pairs], [target for _, target in pairs]


def _times(text: str | None) -> tuple[tuple[str, str], ...] | None:
    return None if text is None else tuple((start, end) for start, end in json.loads(text))


def _form_text(raster: Raster, codec: str) -> str:
    pixels = raster.pixels
    return json.dumps(
        {
            "bands": raster.bands,
            "dtype": pixels.dtype.newbyteorder("<").str,
            "shape": pixels.shape,
            "codec": codec,
            "grid": raster.grid,
            "nodata": raster.nodata,
        }
    )


@functools.lru_cache(maxsize=1024)
def _form(text: str) -> _Form:
    said = json.loads(text)
    return _Form(
        tuple(said["bands"]),
        np.dtype(said["dtype"]),
        tuple(said["shape"]),
        said["codec"],
        Grid(*said["grid"]),
        said["nodata"],
    )


def _side_by_side(work: Callable[[Any], None], parts: Sequence[Any]) -> None:
    """Do the work on each part, on as many threads as there are cores; its first error is raised.

    What takes long in it, Python's own lock isn't held for. Threads live for this call only: a process that is forked
    later has none of them.
    """
    threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS, len(parts))
    if threads < 2 or len(parts) < _WORTH_THREADS:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass
