"""Images that are in no archive: any GeoTIFF with near and short-wave infrared, as a burn ratio on one grid."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from burnscar_assets.errors import InputError
from burnscar_assets.imagery.indices import FloatArray, nbr
from burnscar_assets.mapping.grid import Grid, grid_of, measures_ground
from burnscar_assets.mapping.polygon_files import PERIMETER_LAYER
from burnscar_assets.sampling.lattice import utm_epsg_of

NIR_NAMES: Final = ("B08", "B8", "B8A", "NIR")
SWIR_NAMES: Final = ("B12", "SWIR2", "SWIR22")
"""Descriptions that a band may carry, in the order of preference."""

SOUTHERN_EPSG: Final = 100
"""What the EPSG code of a UTM zone's southern half is larger by."""


@dataclass(frozen=True)
class Bands:
    """Which bands of a file are read, counted from 1; None: found by their descriptions.

    Attributes:
        nir: Near infrared.
        swir: Short-wave infrared about 2.2 µm.
        offset: What is added to each digital number, as processing baselines from 04.00 of Sentinel-2 do.
    """

    nir: int | None = None
    swir: int | None = None
    offset: int = 0


@dataclass(frozen=True)
class Images:
    """Burn ratios of one or two images on one grid.

    Attributes:
        grid: In metres; that of the image after the fire, or the UTM zone's if that one can't be measured on.
        after: (height, width) NBR after the fire, NaN without data.
        before: The same before the fire, if there is such an image.
        warped: Whether the image after the fire was warped, pixel by nearest pixel.
        simulated: Whether one of the files says that it is simulated.
    """

    grid: Grid
    after: FloatArray
    before: FloatArray | None
    warped: bool
    simulated: bool


def read_images(after: Path, before: Path | None = None, bands: Bands | None = None) -> Images:
    """Read the burn ratio of an image after the fire, and of one before it.

    The image before is brought to the grid of the one after, by nearest pixel.

    Raises:
        InputError: a file can't be read, says no CRS, lacks the bands, or the two images don't overlap.
    """
    bands = bands or Bands()
    with _opened(after) as source:
        target, warped = _target(source)
        ratio, simulated = _ratio(target, source, bands, after), _is_simulated(source)
        grid, shape = grid_of(target.transform, CRS.from_user_input(target.crs)), target.shape
    if not np.isfinite(ratio).any():
        raise InputError(f"{after} has no pixel with data in both bands: are they the right ones (--nir, --swir)?")
    if before is None:
        return Images(grid, ratio, None, warped, simulated)
    with _opened(before) as source:
        options = {"transform": grid.transform, "height": shape[0], "width": shape[1]}
        with WarpedVRT(source, crs=grid.crs.to_wkt(), nodata=_nodata(source), **options) as view:
            earlier = _ratio(view, source, bands, before)
        simulated = simulated or _is_simulated(source)
    if not np.isfinite(earlier - ratio).any():
        raise InputError(f"{before} and {after} show no common ground: are they of the same fire?")
    return Images(grid, ratio, earlier, warped, simulated)


def read_perimeter(path: Path, grid: Grid) -> shapely.Geometry:
    """An official perimeter in a grid's CRS, from vectors or from a raster that is not 0 inside it.

    Raises:
        InputError: the file can't be read, says no CRS, or has no polygon.
    """
    found = _perimeter_raster(path) if _is_raster(path) else _perimeter_vectors(path)
    if found.crs is None:
        raise InputError(f"{path} does not say its coordinate system: save it with one (a shapefile needs its .prj)")
    whole = shapely.union_all(shapely.make_valid(found.to_crs(grid.crs).geometry.to_numpy()))
    polygons = [part for part in shapely.get_parts(whole) if part.geom_type == "Polygon"]
    polygons += [p for part in shapely.get_parts(whole) if part.geom_type == "MultiPolygon" for p in part.geoms]
    if not polygons:
        raise InputError(f"{path} has no polygon: give the fire's perimeter")
    return shapely.union_all(polygons)


@contextmanager
def _opened(path: Path) -> Iterator[DatasetReader]:
    try:
        with rasterio.open(path) as source:
            if source.crs is None:
                raise InputError(f"{path} does not say its coordinate system: give a GeoTIFF that does")
            yield source
    except RasterioError as error:
        raise InputError(f"{path} can't be read ({error}): give a GeoTIFF") from error


def _target(source: DatasetReader) -> tuple[DatasetReader | WarpedVRT, bool]:
    """The image on a grid that can be measured on: as it is, or in its UTM zone with pixels of about the same size."""
    turned = source.transform.b or source.transform.d or source.transform.a <= 0 or source.transform.e >= 0
    if measures_ground(CRS.from_user_input(source.crs)) and not turned:
        return source, False
    middle = gpd.GeoSeries([shapely.box(*source.bounds).centroid], crs=source.crs).to_crs("EPSG:4326").iloc[0]
    epsg = int(utm_epsg_of(middle.x)) + (SOUTHERN_EPSG if middle.y < 0 else 0)
    return WarpedVRT(source, crs=f"EPSG:{epsg}", nodata=_nodata(source)), True


def _nodata(source: DatasetReader) -> float:
    return 0 if source.nodata is None else source.nodata


def _ratio(view: DatasetReader | WarpedVRT, source: DatasetReader, bands: Bands, path: Path) -> FloatArray:
    numbers = [
        _band(source, bands.nir, NIR_NAMES, path, "near infrared", "--nir"),
        _band(source, bands.swir, SWIR_NAMES, path, "short-wave infrared", "--swir"),
    ]
    near, short = (_digital_numbers(view.read(number), _nodata(source), bands.offset) for number in numbers)
    return nbr(near, short)


def _digital_numbers(read: NDArray[np.generic], nodata: float, offset: int) -> NDArray[np.float32]:
    """Digital numbers without the offset, at least 1 where there is data, 0 where there is none."""
    plain = read.astype(np.float32)
    empty = (plain == nodata) | (plain == 0) | ~np.isfinite(plain)
    if np.issubdtype(read.dtype, np.floating):
        return np.where(empty, 0, plain - offset).astype(np.float32)
    return np.where(empty, 0, np.maximum(plain - offset, 1)).astype(np.float32)


def _band(source: DatasetReader, given: int | None, names: tuple[str, ...], path: Path, what: str, option: str) -> int:
    if given is not None:
        if not 1 <= given <= source.count:
            raise InputError(f"{path} has bands 1 to {source.count}, but {option} is {given}")
        return given
    described = [(text or "").upper() for text in source.descriptions]
    found = next((described.index(name) + 1 for name in names if name in described), None)
    if found is None:
        told = ", ".join(text or "?" for text in source.descriptions)
        raise InputError(f"which band of {path} is {what} is not known from their names ({told}): say so with {option}")
    return found


def _is_simulated(source: DatasetReader) -> bool:
    return str(source.tags().get("SIMULATED", "")).lower() in ("yes", "true", "1")


def _is_raster(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff", ".vrt", ".img")


def _perimeter_vectors(path: Path) -> gpd.GeoDataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            return gpd.read_parquet(path)
        layers = gpd.list_layers(path)["name"].to_list()
        layer = PERIMETER_LAYER if PERIMETER_LAYER in layers else layers[0]
        found = gpd.read_file(path, layer=layer)
    except Exception as error:
        raise InputError(
            f"{path} can't be read as a perimeter ({error}): give a GeoPackage, GeoJSON, shapefile, GeoParquet or mask"
        ) from error
    if len(layers) > 1 and layer != PERIMETER_LAYER:
        raise InputError(f"which layer of {path} is the perimeter ({', '.join(layers)})? Name it {PERIMETER_LAYER}")
    return found


def _perimeter_raster(path: Path) -> gpd.GeoDataFrame:
    from rasterio.features import shapes

    with _opened(path) as source:
        inside = (source.read(1) != 0) & (source.read_masks(1) != 0)
        found = shapes(inside.astype(np.uint8), mask=inside, transform=source.transform)
        return gpd.GeoDataFrame(geometry=[shapely.geometry.shape(g) for g, _ in found], crs=source.crs)


def pixel_boxes(grid: Grid, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """West, east, south and north edges of a raster, in units of its CRS."""
    transform: Affine = grid.transform
    return (
        transform.c,
        transform.c + shape[1] * transform.a,
        transform.f + shape[0] * transform.e,
        transform.f,
    )
