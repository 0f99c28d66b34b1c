"""Reading vector files that people give: any format, all layers, each as it is in its own CRS.

GeoParquet is read by its metadata, whatever its geometry column is called and however it is encoded; Parquet without
that metadata if it has a column of GeoArrow. A zip is unpacked with the limits that releases have.
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from burnscar_assets import vector_files
from burnscar_assets.errors import InputError
from burnscar_assets.labels.archive import unpack
from burnscar_assets.labels.cut_answers import refuse_saved_page

if TYPE_CHECKING:
    import geopandas as gpd

logger = logging.getLogger(__name__)

PARQUET: Final = frozenset({".parquet", ".geoparquet"})
FORMATS: Final = "a GeoJSON, GeoPackage, GeoParquet, KMZ or shapefile"

_IN_ZIPS: Final = frozenset({".shp", ".gpkg", ".geojson", ".json", ".fgb", ".kml", ".kmz", *PARQUET})
_MAX_BYTES: Final = 4 * 2**30


def read_layers(path: Path) -> "dict[str, gpd.GeoDataFrame]":
    """All layers with geometry of a vector file, by name.

    Args:
        path: a file, a FileGDB's folder, or a zip of such.

    Raises:
        InputError: it can't be read, or has no geometry; the message says what to give.
    """
    if not path.exists():
        raise InputError(f"{path} is not there: give {FORMATS}")
    if path.suffix.lower() == ".zip":
        return _of_zip(path)
    refuse_saved_page(path)
    kind = "GeoParquet" if path.suffix.lower() in PARQUET else "vectors"
    try:
        layers = vector_files.read_layers(path)
    except InputError as error:
        raise InputError(f"{path} can't be read as {kind} ({error}): give {FORMATS}") from error
    if not layers:
        raise InputError(f"{path} has no layer with geometry: give {FORMATS}")
    return layers


def read_first_layer(path: Path) -> "gpd.GeoDataFrame":
    """The first layer with geometry of a vector file.

    Raises:
        InputError: it can't be read, or has no geometry.
    """
    return next(iter(read_layers(path).values()))


def _of_zip(path: Path) -> "dict[str, gpd.GeoDataFrame]":
    with TemporaryDirectory() as temporary:
        notes: list[str] = []
        unpack(path, Path(temporary), _MAX_BYTES, notes=notes)
        for note in notes:
            logger.warning("%s: %s", path, note)
        inside = [entry for entry in sorted(Path(temporary).rglob("*")) if not entry.name.startswith(("._", "."))]
        folders = [entry for entry in inside if entry.is_dir() and entry.suffix.lower() == ".gdb"]
        files = [entry for entry in inside if entry.is_file() and entry.suffix.lower() in _IN_ZIPS]
        try:
            found = {entry.relative_to(temporary).as_posix(): read_layers(entry) for entry in folders + files}
        except InputError as error:
            raise InputError(f"{path}: {str(error).replace(f'{temporary}/', '')}") from error
    if not found:
        raise InputError(f"{path} holds no vector file: give a zip of {FORMATS}")
    once = [name for layers in found.values() for name in layers]
    return {
        name if once.count(name) == 1 else f"{place}/{name}": layer
        for place, layers in found.items()
        for name, layer in layers.items()
    }
