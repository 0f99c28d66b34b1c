"""Reading vector files that people give: any format, all layers, each as it is in its own CRS.

GeoParquet is read by its metadata, whatever its geometry column is called and however it is encoded; Parquet without
that metadata if it has a column of GeoArrow. A zip is unpacked with the limits that releases have.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.errors import GEOSException

from burnscar_assets.errors import InputError
from burnscar_assets.labels.archive import unpack
from burnscar_assets.labels.cut_answers import refuse_saved_page

PARQUET: Final = frozenset({".parquet", ".geoparquet"})
FORMATS: Final = "a GeoJSON, GeoPackage, GeoParquet, KMZ or shapefile"

_IN_ZIPS: Final = frozenset({".shp", ".gpkg", ".geojson", ".json", ".fgb", ".kml", ".kmz", *PARQUET})
_MAX_BYTES: Final = 4 * 2**30


def read_layers(path: Path) -> dict[str, gpd.GeoDataFrame]:
    """All layers with geometry of a vector file, by name.

    Args:
        path: a file, a FileGDB's folder, or a zip of such.

    Raises:
        InputError: it can't be read, or has no geometry; the message says what to give.
    """
    if path.suffix.lower() == ".zip":
        return _of_zip(path)
    refuse_saved_page(path)
    layers = dict(_parquet(path) if path.suffix.lower() in PARQUET else _ogr(path))
    if not layers:
        raise InputError(f"{path} has no layer with geometry: give {FORMATS}")
    return layers


def _of_zip(path: Path) -> dict[str, gpd.GeoDataFrame]:
    with TemporaryDirectory() as temporary:
        unpack(path, Path(temporary), _MAX_BYTES)
        inside = [entry for entry in sorted(Path(temporary).rglob("*")) if not entry.name.startswith(("._", "."))]
        folders = [entry for entry in inside if entry.is_dir() and entry.suffix.lower() == ".gdb"]
        files = [entry for entry in inside if entry.is_file() and entry.suffix.lower() in _IN_ZIPS]
        try:
            found = [read_layers(entry) for entry in folders + files]
        except InputError as error:
            raise InputError(f"{path}: {str(error).replace(f'{temporary}/', '')}") from error
    if not found:
        raise InputError(f"{path} holds no vector file: give a zip of {FORMATS}")
    return {name: layer for layers in found for name, layer in layers.items()}


def _ogr(path: Path) -> Iterator[tuple[str, gpd.GeoDataFrame]]:
    try:
        for name, kind in pyogrio.list_layers(path):
            if kind is not None:
                yield str(name), gpd.read_file(path, layer=name)
    except (DataSourceError, DataLayerError, GEOSException, OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as vectors ({error}): give {FORMATS}") from error


def _parquet(path: Path) -> Iterator[tuple[str, gpd.GeoDataFrame]]:
    try:
        schema = pq.read_schema(path)
        if b"geo" in (schema.metadata or {}):
            yield path.stem, gpd.read_parquet(path)
            return
        geoarrow = any(b"geoarrow." in (field.metadata or {}).get(b"ARROW:extension:name", b"") for field in schema)
        if geoarrow:
            yield path.stem, gpd.GeoDataFrame.from_arrow(pq.read_table(path))
            return
    except (pa.ArrowException, GEOSException, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} can't be read as GeoParquet ({error}): get the file again, completely") from error
    raise InputError(
        f"{path} is Parquet without geometry metadata (columns {', '.join(schema.names[:8])}): save it as GeoParquet, "
        "as GeoPandas and QGIS do, or give another format"
    )
