"""Images that are in no archive: any GeoTIFF with near and short-wave infrared, as a burn ratio on one grid."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.transform import from_gcps

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.aoi import polygons_of
from burnscar_assets.mapping.grid import Grid
from burnscar_assets.mapping.image_files import (
    IMAGE_ENDINGS,
    Bands,
    ImagePath,
    OpenImage,
    opened,
    opened_raster,
    read_numbers,
)
from burnscar_assets.mapping.image_place import on_grid, place_of, target_grid
from burnscar_assets.mapping.image_radiometry import Measured, doubts_of_pair, measured
from burnscar_assets.mapping.polygon_files import PERIMETER_LAYER
from burnscar_assets.reader.pixels import PixelFacts, read_pixels
from burnscar_assets.sensors.indices import FloatArray, nbr
from burnscar_assets.vectors import read_layers

COARSER: Final = 1.5
"""From this ratio of pixel sizes on, a reader is told that one image of a pair is coarser."""

MOST_OF_IT: Final = 0.995
"""Share of an image that the other one has to show for nobody to be told of the rest."""

MASK_VALUES: Final = 16
"""Different numbers in a mask of perimeters, at most; an image has more."""

_LEAST: Final = np.float32(1e-12)
"""Reflectance that stands for none, so that a ratio with ground that reflects nothing in one band is defined."""


@dataclass(frozen=True)
class Images:
    """Burn ratios of one or two images on one grid.

    Attributes:
        grid: In metres; that of the image after the fire, or the UTM zone's if that one can't be measured on.
        after: (height, width) NBR after the fire, NaN without data.
        before: The same before the fire, if there is such an image.
        warped: Whether the image after the fire was warped, pixel by nearest pixel.
        simulated: Whether one of the files says that it is simulated.
        notes: What a reader must know of the images.
    """

    grid: Grid
    after: FloatArray
    before: FloatArray | None
    warped: bool
    simulated: bool
    notes: tuple[str, ...] = ()


def read_images(after: ImagePath, before: ImagePath | None = None, bands: Bands | None = None) -> Images:
    """Read the burn ratio of an image after the fire, and of one before it.

    The image before is brought to the grid of the one after, by nearest pixel.

    Args:
        after: file of the image, two files of one band each, or folder of a Sentinel-2 product.
        before: the same of the image before the fire.
        bands: which bands are read, and what their numbers carry.

    Raises:
        InputError: a file can't be read, does not say where it lies, lacks the bands, or the two images don't overlap.
    """
    bands = bands or Bands()
    with opened(after, bands) as image:
        grid, shape, warped = target_grid(image.place, image.label)
        later, simulated = _measured(image, bands.offset, "--offset", grid, shape), image.is_simulated
    ratio = _ratio(later)
    if not np.isfinite(ratio).any():
        raise InputError(
            f"{later.label} has no pixel with data in both bands: are they the right ones (--nir, --swir)?"
        )
    if before is None:
        return Images(grid, ratio, None, warped, simulated, later.notes)
    offset = bands.offset if bands.offset_before is None else bands.offset_before
    with opened(before, bands) as image:
        earlier, coarser = _measured(image, offset, "--offset-before", grid, shape), _coarser(image, grid)
        simulated = simulated or image.is_simulated
    ratio_before = _ratio(earlier)
    seen, common = np.isfinite(ratio).sum(), np.isfinite(ratio_before - ratio).sum()
    if not common:
        raise InputError(f"{earlier.label} and {later.label} show no common ground: are they of the same fire?")
    notes = [*later.notes, *earlier.notes, *doubts_of_pair(later, earlier), *coarser]
    if common < MOST_OF_IT * seen:
        notes.append(
            f"{earlier.label} shows {100 * common / seen:.0f} % of the ground that {later.label} shows: there is no "
            "answer beyond it"
        )
    return Images(grid, ratio, ratio_before, warped, simulated, tuple(dict.fromkeys(notes)))


def _measured(image: OpenImage, offset: float | None, option: str, grid: Grid, shape: tuple[int, int]) -> Measured:
    """An image in reflectance, on a grid."""
    found = measured(image, read_numbers(image), offset, option)
    near, short = on_grid(np.stack([found.near, found.short]), image.place, grid, shape)
    return replace(found, near=near, short=short)


def _ratio(image: Measured) -> FloatArray:
    """(height, width) NBR; NaN without data, and where neither band reflects anything."""
    lit = (image.near > 0) | (image.short > 0)
    near, short = (np.where(lit, np.maximum(plane, _LEAST), 0) for plane in (image.near, image.short))
    return nbr(near, short)


def _coarser(image: OpenImage, grid: Grid) -> list[str]:
    """Whether pixels of the image before are much larger than those of the map."""
    ratio = image.place.pixel_m / float(np.sqrt(grid.width_m * grid.height_m))
    if ratio < COARSER:
        return []
    return [f"pixels of {image.label} are {ratio:.1f} times as large as those of the map: severity is no finer"]


def read_perimeter_of(path: Path, images: Images) -> tuple[shapely.Geometry, tuple[str, ...]]:
    """The official perimeter of what images show, in their CRS, with what a reader must know of it.

    Args:
        path: vectors, all of whose features that meet the images count; or a raster that is not 0 inside it.
        images: which the perimeter is to be of.

    Raises:
        InputError: the file can't be read, does not say where it lies, has no polygon, or none that meets the images.
    """
    outlines = _outlines(path, images.grid)
    rows, columns = images.after.shape
    frame = shapely.box(*images.grid.to_map(np.array([[0, rows], [columns, 0]])).ravel())
    meeting = outlines[shapely.intersects(outlines, frame)]
    if not len(meeting):
        km = float(shapely.distance(shapely.union_all(outlines), frame)) * images.grid.metres_per_unit / 1000
        raise InputError(f"{path} lies {km:,.0f} km from the image: is it of this fire, and does it say the right CRS?")
    found = shapely.union_all(meeting)
    notes = []
    if len(meeting) < len(outlines):
        notes.append(f"{len(outlines) - len(meeting)} of {len(outlines)} perimeters in {path} don't meet the image")
    return found, tuple(notes)


def _outlines(path: Path, grid: Grid) -> NDArray[np.object_]:
    """The polygons of each feature of a file, in a grid's CRS."""
    found = _perimeter_raster(path) if path.suffix.lower() in IMAGE_ENDINGS else _perimeter_vectors(path)
    usable_crs(found.crs, str(path), "save it with its coordinate system (a shapefile needs its .prj)")
    moved = found.geometry.dropna().force_2d().to_crs(grid.crs).to_numpy()
    finite = [shape for shape in moved if np.isfinite(shapely.get_coordinates(shape)).all()]
    outlines = np.array([polygons_of(shape) for shape in finite if not shape.is_empty], dtype=object)
    outlines = outlines[~shapely.is_empty(outlines)]
    if not len(outlines):
        raise InputError(f"{path} has no polygon: give the fire's perimeter")
    return outlines


def _perimeter_vectors(path: Path) -> gpd.GeoDataFrame:
    try:
        layers = read_layers(path)
    except InputError as error:
        raise InputError(f"the perimeter {error}, or a mask as GeoTIFF") from error
    if PERIMETER_LAYER in layers:
        return layers[PERIMETER_LAYER]
    if len(layers) > 1:
        raise InputError(f"which layer of {path} is the perimeter ({', '.join(layers)})? Name it {PERIMETER_LAYER}")
    return next(iter(layers.values()))


def _perimeter_raster(path: Path) -> gpd.GeoDataFrame:
    from rasterio.features import shapes

    with opened_raster(path) as source:
        place = place_of(source, path)
        pixels, data = read_pixels(source, PixelFacts.of(source, used=(1,)))
    if len(pixels) > 1 or len(np.unique(pixels[0])) > MASK_VALUES:
        raise InputError(f"{path} is an image, no mask of a perimeter: give one that is 0 outside and 1 inside")
    inside = (pixels[0] != 0) & data[0]
    transform = from_gcps(place.gcps) if place.gcps else place.transform
    found = shapes(inside.astype(np.uint8), mask=inside, transform=transform)
    together = shapely.union_all([shapely.geometry.shape(outline) for outline, _ in found])
    return gpd.GeoDataFrame(geometry=[together], crs=place.crs)


def pixel_boxes(grid: Grid, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """West, east, south and north edges of a raster, in units of its CRS."""
    transform: Affine = grid.transform
    return (
        transform.c,
        transform.c + shape[1] * transform.a,
        transform.f + shape[0] * transform.e,
        transform.f,
    )
