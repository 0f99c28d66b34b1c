"""Polygons of burned ground as files: GeoPackage, GeoParquet and GeoJSON, each whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import geopandas as gpd

from burnscar_assets.storage.atomic import atomic_file

BURNED_LAYER: Final = "burned"
PERIMETER_LAYER: Final = "perimeter"
POLYGONS_STEM: Final = "burned_area"
POLYGON_ENDINGS: Final = ("gpkg", "parquet", "geojson")
GEOJSON_CRS: Final = "EPSG:4326"
_DATE: Final = "2000-01-01T00:00:00Z"
"""GeoPackages carry a time of writing; a fixed one makes the same content the same file."""


def write_polygons(
    polygons: gpd.GeoDataFrame,
    folder: Path,
    *,
    perimeter: gpd.GeoDataFrame | gpd.GeoSeries | None = None,
    simulated: bool = False,
    stem: str = POLYGONS_STEM,
) -> list[Path]:
    """Write polygons as `<stem>.gpkg`, `<stem>.parquet` and `<stem>.geojson`.

    The GeoPackage has the layer `burned` and, if given, `perimeter`, both in the polygons' CRS; GeoParquet has that
    CRS too, and each polygon's bounding box as its covering (GeoParquet 1.1); GeoJSON follows RFC 7946 (EPSG:4326,
    seven decimals, cut at the antimeridian). The same content gives the same bytes.

    Args:
        polygons: of `burned_polygons`; may be empty.
        folder: folder to write to.
        perimeter: official perimeter, in any CRS.
        simulated: whether imagery or perimeter is simulated; a column of each layer says so.
        stem: name of the files, without ending.

    Returns:
        Paths of the three files.

    Raises:
        StorageError: they can't be written.
    """
    burned = polygons.assign(simulated=simulated)
    geopackage, parquet, geojson = (folder / f"{stem}.{ending}" for ending in POLYGON_ENDINGS)
    with _whole(geopackage) as path, _fixed_date():
        burned.to_file(path, layer=BURNED_LAYER, driver="GPKG", geometry_type="Polygon")
        if perimeter is not None:
            outline = gpd.GeoDataFrame(geometry=perimeter.geometry).to_crs(polygons.crs).assign(simulated=simulated)
            outline.to_file(
                path,
                layer=PERIMETER_LAYER,
                mode="a",
                driver="GPKG",
                geometry_type="MultiPolygon",
                promote_to_multi=True,
            )
    with _whole(parquet) as path:
        burned.to_parquet(path, index=False, write_covering_bbox=True)
    with _whole(geojson) as path:
        burned.to_crs(GEOJSON_CRS).to_file(path, driver="GeoJSON", RFC7946="YES")
    return [geopackage, parquet, geojson]


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """As `atomic_file`, with the name that is wanted: GDAL looks at a file's ending, and names layers after it."""
    with atomic_file(path) as temporary:
        named = temporary.with_name(path.name)
        yield named
        named.replace(temporary)


@contextmanager
def _fixed_date() -> Iterator[None]:
    import pyogrio

    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
