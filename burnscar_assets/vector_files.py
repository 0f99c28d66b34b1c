"""Opening vector files that somebody else wrote: by what they are, with one driver, in a process of their own.

GDAL picks a driver by content: `fires.geojson` can be a virtual layer that names other files, or a query of a server.
So a file is told by its first bytes, only the driver of that format is registered, and the process that opens it has
limits of memory and time and none of this one's environment. Files beside a file belong to it: a GeoPackage that is
being edited keeps its newest rows in its -wal.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

from burnscar_assets.errors import InputError
from burnscar_assets.gdal_drivers import INDIRECT_DRIVERS, skip
from burnscar_assets.parent import bare_environment
from burnscar_assets.vector_child import GEOMETRY
from burnscar_assets.wkb import geometry_of, holds_arcs

if TYPE_CHECKING:
    import geopandas as gpd

FILEGDB, GPKG, SHAPEFILE, GEOJSON, KML, KMZ, FLATGEOBUF, PARQUET = (
    "FileGDB", "GeoPackage", "shapefile", "GeoJSON", "KML", "KMZ", "FlatGeobuf", "Parquet",
)  # fmt: skip
NAMES: Final = "FileGDB, GeoPackage, shapefile, GeoJSON, GeoParquet, FlatGeobuf, KML or KMZ"

MEMORY_BYTES: Final = 6 * 2**30
TIME_S: Final = 900
"""What the process that reads may use; FRAP's newest release takes a tenth."""

_DRIVERS: Final[dict[str, tuple[str, ...]]] = {
    FILEGDB: ("OpenFileGDB",),
    GPKG: ("GPKG",),
    SHAPEFILE: ("ESRI Shapefile",),
    GEOJSON: ("GeoJSON", "ESRIJSON"),
    KML: ("KML", "LIBKML"),
    FLATGEOBUF: ("FlatGeobuf",),
}
_BESIDE_DATABASE: Final = ("-wal", "-journal")
"""Rows that are not in the database yet, or not any more; its -shm holds none."""
_FILEGDB_TABLE: Final = "a00000001.gdbtable"
_HEAD_BYTES: Final = 4096


class NoGeometryError(InputError):
    """A file is complete, and no vector file: to get it again won't help."""


def format_of(path: Path) -> str | None:
    """The format of a file or folder by its content; None if it is none that is read."""
    if path.is_dir():
        return FILEGDB if path.suffix.lower() == ".gdb" or (path / _FILEGDB_TABLE).exists() else None
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(b"PK\3\4"):
        return KMZ if path.suffix.lower() == ".kmz" else None
    magic = {b"SQLite format 3\0": GPKG, b"\0\0\x27\x0a": SHAPEFILE, b"PAR1": PARQUET, b"fgb\3": FLATGEOBUF}
    if found := next((name for start, name in magic.items() if head.startswith(start)), None):
        return found
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return GEOJSON
    return KML if text.startswith((b"<?xml", b"<kml", b"<!--")) and b"<kml" in text else None


def files_of(path: Path) -> list[Path]:
    """A file and those beside it that hold a part of it: all of a shapefile, the log of a database."""
    if path.suffix.lower() == ".shp":
        stem = f"{path.stem.lower()}."
        beside = [file for file in path.parent.iterdir() if file.name.lower().startswith(stem)]
    else:
        beside = [path.with_name(path.name + ending) for ending in _BESIDE_DATABASE]
    full = {file for file in beside if file.suffix != ".lock" and file.is_file() and file.stat().st_size}
    return sorted({path, *full})


def list_layers(paths: Sequence[Path]) -> list[list[str] | str]:
    """Names of the layers with geometry of each file, or in their place the reason why it can't be read."""
    found: dict[Path, list[str] | str] = {}
    by_format: dict[str, list[Path]] = {}
    for path in paths:
        try:
            kind = format_of(path)
        except OSError as error:
            kind, found[path] = None, str(error.strerror)
        if kind == PARQUET:
            found[path] = [path.stem]
        elif kind is None:
            found.setdefault(path, f"it has no geometry in a format that is read ({NAMES}), whatever its name")
        else:
            by_format.setdefault(kind, []).append(path)
    for kind, files in by_format.items():
        try:
            found |= _listed(kind, files)
        except InputError as error:
            found |= dict.fromkeys(files, str(error))
    return [found[path] for path in paths]


def _listed(kind: str, files: list[Path]) -> dict[Path, list[str] | str]:
    with TemporaryDirectory() as temporary:
        places = [_ready(path, kind, Path(temporary) / str(number)) for number, path in enumerate(files)]
        answer = _ask({"what": "list", "paths": [str(place) for place in places]}, kind, Path(temporary))
        return dict(zip(files, answer["layers"], strict=True))


def read_layer(
    path: Path, layer: str, notes: list[str] | None = None, *, columns: list[str] | None = None
) -> "gpd.GeoDataFrame | pd.DataFrame":
    """The rows of a layer, its fields as they are, in its own CRS, without heights and curves.

    Args:
        path: Of the file.
        layer: Its layer.
        notes: What is doubtful is added.
        columns: Only these fields, and no geometry.

    Raises:
        InputError: it can't be read; the message has no remedy yet but says why.
    """
    with _opened(path, {"layer": layer, "columns": columns, "what": "read"}) as answer:
        rows, said = _rows(answer, answer["out"], geometry=columns is None)
    if notes is not None:
        notes += [f"layer {layer} of {path.name}: {note}" for note in said]
    return rows


def read_layers(path: Path) -> "dict[str, gpd.GeoDataFrame]":
    """All layers with geometry of a file, by name, as `read_layer` reads them.

    Raises:
        InputError: it can't be read; the message has no remedy yet but says why.
    """
    with _opened(path, {"columns": None, "what": "all"}) as answer:
        layers = answer.get("layers", [answer | {"name": path.stem}])
        return {layer["name"]: _rows(layer, layer["out"], geometry=True)[0] for layer in layers}


def read_table(content: bytes, most_rows: int, most_bytes: int) -> pa.Table:
    """A foreign Parquet file's columns as they are; a few bytes of it can stand for more than there is memory.

    Args:
        content: Of the file.
        most_rows: Rows that it may have.
        most_bytes: Bytes that it may have when it is decoded.

    Raises:
        InputError: it can't be read, or is larger; the message has no remedy yet but says why.
    """
    with TemporaryDirectory() as temporary:
        path, out = Path(temporary) / "table.parquet", Path(temporary) / "table.arrow"
        path.write_bytes(content)
        limits = {"most_rows": most_rows, "most_bytes": most_bytes}
        _ask({"what": "table", "path": str(path), "out": str(out)} | limits, PARQUET, Path(temporary))
        with pa.memory_map(str(out)) as source, pa.ipc.open_stream(source) as stream:
            return stream.read_all()


@contextmanager
def _opened(path: Path, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer of the process that read a file, as long as what it wrote is there."""
    kind = format_of(path)
    if kind is None:
        raise NoGeometryError(f"it has no geometry in a format that is read ({NAMES}), whatever its name")
    with TemporaryDirectory() as temporary:
        out, place = Path(temporary) / "rows.arrow", _ready(path, kind, Path(temporary) / "file")
        what = {"what": "parquet"} if kind == PARQUET else {}
        answer = _ask(request | what | {"path": str(place), "out": str(out)}, kind, Path(temporary))
        if names := answer.get("no_geometry"):
            raise NoGeometryError(
                f"it is a table without geometry, Parquet without geometry metadata (columns {', '.join(names[:8])}): "
                "save it as GeoParquet, as GeoPandas and QGIS do"
            )
        yield {"out": str(out)} | answer


def _rows(answer: dict[str, Any], out: str, *, geometry: bool) -> "tuple[gpd.GeoDataFrame | pd.DataFrame, list[str]]":
    """Rows that were written, and what is doubtful about them."""
    import geopandas as gpd

    with pa.OSFile(out) as source, pa.ipc.open_stream(source) as stream:
        rows = stream.read_all().to_pandas()
    said = [answer["note"]] if answer["note"] else []
    if not geometry:
        return rows, said
    shapes, lost = _shapes(rows.pop(GEOMETRY))
    said += [f"the geometry of {lost} record(s) can't be read, and counts as missing"] if lost else []
    return gpd.GeoDataFrame(rows, geometry=shapes, crs=answer["crs"]), said


def _shapes(wkb: pd.Series) -> tuple[np.ndarray, int]:
    """Geometries, and of how many there is nothing."""
    raw = wkb.to_numpy(dtype=object)
    shapes, lost = shapely.from_wkb(raw, on_invalid="ignore"), 0
    unread = shapely.is_missing(shapes) & wkb.notna().to_numpy()
    collections = shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION
    for position in np.flatnonzero(unread | collections):
        if not unread[position] and not holds_arcs(shapes[position]):
            continue
        try:
            shapes[position] = geometry_of(raw[position])
        except (ValueError, shapely.errors.ShapelyError):
            shapes[position], lost = None, lost + 1
    return shapes, lost


def _ready(path: Path, kind: str, folder: Path) -> Path:
    """Where a file can be opened without changing it: a copy of a database that has a log, what is in a KMZ."""
    if kind == KMZ:
        return _of_kmz(path, folder)
    files = files_of(path)
    if kind != GPKG or (len(files) == 1 and not _keeps_log(path)):
        return path.resolve()
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return folder / path.name


def _keeps_log(database: Path) -> bool:
    """Whether a database is in WAL mode, in which SQLite writes beside it even to read."""
    with database.open("rb") as stream:
        return stream.read(20)[18:20] == b"\2\2"


def _of_kmz(path: Path, folder: Path) -> Path:
    from burnscar_assets.labels.archive import unpack

    folder.mkdir(parents=True)
    unpack(path, folder, MEMORY_BYTES)
    inside = sorted(folder.rglob("*.kml"), key=lambda file: (file.name.lower() != "doc.kml", len(file.parts), file))
    if not inside or format_of(inside[0]) != KML:
        raise InputError("it is a KMZ without KML in it")
    return inside[0]


def _ask(request: dict[str, Any], kind: str, folder: Path) -> dict[str, Any]:
    """The answer of a process that reads.

    Raises:
        InputError: it can't, ended, or took too much.
    """
    import pyogrio

    drivers = _DRIVERS.get(KML if kind == KMZ else kind, ())
    environment = bare_environment() | skip({*INDIRECT_DRIVERS, *pyogrio.list_drivers()} - set(drivers))
    limits = {"memory_bytes": MEMORY_BYTES, "cpu_s": TIME_S}
    with _no_longer_than(TIME_S):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "burnscar_assets.vector_child"],
            input=json.dumps(request | limits),
            env=environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HOME": str(folder)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIME_S,
            check=False,
        )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise InputError(_ended(done.returncode, done.stderr)) from None
    if "error" in answer:
        raise InputError(str(answer["error"]))
    return dict(answer)


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    try:
        yield
    except subprocess.TimeoutExpired:
        raise InputError(f"reading it took longer than {seconds} s") from None


def _ended(code: int, said: str) -> str:
    """Why the process that reads ended without an answer."""
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        return f"reading it took more than {TIME_S} s or {MEMORY_BYTES / 2**30:g} GB of memory"
    lines = said.strip().splitlines()
    return f"the process that read it ended with {code}" + (f" ({lines[-1]})" if lines else "")
