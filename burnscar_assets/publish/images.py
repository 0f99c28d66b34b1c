"""Images that are in no archive: any GeoTIFF with near and short-wave infrared, as a burn ratio on one grid.

A burn ratio needs no scale, but an offset that is left in the numbers, or taken off twice, bends it: left in one image
of a pair, it looks like a fire. So each image has its own radiometry, and what is said is held against its darkest
ground and against the other image.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_gcps

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import outlines
from burnscar_assets.mapping.grid import Grid
from burnscar_assets.publish.aoi import polygons_of
from burnscar_assets.publish.image_files import (
    IMAGE_ENDINGS,
    Band,
    Bands,
    ImagePath,
    Numbers,
    OpenImage,
    opened,
    opened_raster,
    read_numbers,
)
from burnscar_assets.publish.image_place import on_grid, place_of, target_grid
from burnscar_assets.publish.polygons import PERIMETER_LAYER
from burnscar_assets.reader.pixels import PixelFacts, Radiometry, read_pixels, stated_radiometry
from burnscar_assets.reader.radiometry import (
    BandSample,
    Conversion,
    Shown,
    conversion_of_range,
    is_standard,
    what_pixels_show,
)
from burnscar_assets.sensors.indices import FloatArray, nbr
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN, DN_PER_REFLECTANCE
from burnscar_assets.sensors.sentinel2_files import is_visible, scale_of_product
from burnscar_assets.vectors import read_layers

COARSER: Final = 1.5
"""From this ratio of pixel sizes on, a reader is told that one image of a pair is coarser."""

MOST_OF_IT: Final = 0.995
"""Share of an image that the other one has to show for nobody to be told of the rest."""

MASK_VALUES: Final = 16
"""Different numbers in a mask of perimeters, at most; an image has more."""

_LEAST: Final = np.float32(1e-12)
"""Reflectance that stands for none, so that a ratio with ground that reflects nothing in one band is defined."""

NEGATIVE_DN: Final = -200
"""Ground without light comes out this low after a correction of the atmosphere, not lower, but for a few pixels."""

NEGATIVE_SHARE: Final = 0.01
SHIFT_DN: Final = (700, 1300)
"""Both bands differing by as much, on most of the ground that two images share, differ by an offset of 1,000."""


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


@dataclass(frozen=True)
class Measured:
    """An image in reflectance, or in numbers that are proportional to it.

    Attributes:
        label: What messages call it.
        near, short: (height, width) near and short-wave infrared, NaN without data.
        unit: Digital numbers (reflectance × 10,000) that one number of the file is; None if that is not known.
        dn: Digital numbers that a value of the planes is; likewise.
        taken: What was taken off each number of the file.
        notes: What a reader must know.
    """

    label: str
    near: FloatArray
    short: FloatArray
    unit: float | None
    dn: float | None
    taken: float
    notes: tuple[str, ...]


def read_images(after: ImagePath, before: ImagePath | None = None, bands: Bands | None = None) -> Images:
    """Read the burn ratio of an image after the fire, and of one before it.

    The image before is brought to the grid of the one after, by nearest pixel. Each is a file, two files of one band
    each, or the folder of a Sentinel-2 product.

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

    Of vectors, all features that meet the images count; a raster is not 0 inside it.

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
    with opened_raster(path) as source:
        place = place_of(source, path)
        pixels, data = read_pixels(source, PixelFacts.of(source, used=(1,)))
    if len(pixels) > 1 or len(np.unique(pixels[0])) > MASK_VALUES:
        raise InputError(f"{path} is an image, no mask of a perimeter: give one that is 0 outside and 1 inside")
    inside = (pixels[0] != 0) & data[0]
    transform = from_gcps(place.gcps) if place.gcps else place.transform
    return gpd.GeoDataFrame(geometry=[shapely.union_all(outlines(inside, transform))], crs=place.crs)


def measured(image: OpenImage, numbers: Numbers, offset: float | None, option: str) -> Measured:
    """Take off what an image's numbers carry, and scale them as its files say.

    Without an offset by the user, whose option of the command notes name, it is what the files say.

    Raises:
        InputError: the offset leaves nothing, or the files state a scale that can't be.
    """
    near, notes = _radiometry(image, image.nir, offset, option)
    short, _ = _radiometry(image, image.swir, offset, option)
    planes = near.reflectance(numbers.near), short.reflectance(numbers.short)
    _check_something_is_left(image.label, near, planes, numbers, option)
    kind = np.dtype(image.nir.source.dtypes[image.nir.number - 1])
    said = stated_of(image, image.nir)
    unit = _unit_dn(kind, numbers, said)
    dn = None if unit is None else unit * (1 if said is None else 1 / said.scale)
    shown = Shown.UNPROVED if unit is None else what_pixels_show(_samples(numbers, unit))
    if unit is not None and dn is not None:
        said_so = said is not None or offset is not None
        doubts = list(_offset_doubts(image.label, near, shown, unit, option, said_so=said_so))
        notes += doubts or _negative_share(image.label, planes, dn, option)
    if kind.itemsize == 1:
        notes.append(
            f"{image.label} has numbers of 8 bits, which somebody scaled: the index is right only where 0 stands for "
            "no reflectance and both bands were scaled alike"
        )
    return Measured(image.label, *planes, unit, dn, _in_numbers(near), (*image.notes, *notes))


def stated_of(image: OpenImage, band: Band) -> Radiometry | None:
    """What an image's files say of a band: its tags, or the metadata of the Sentinel-2 product that it lies in."""
    other = image.swir if band is image.nir else image.nir
    if (stated := stated_radiometry(band.source, band.number)) is not None:
        return stated
    of_product = scale_of_product(Path(band.source.name), band.name)
    return Radiometry(*of_product) if of_product else stated_radiometry(other.source, other.number)


def doubts_of_pair(after: Measured, before: Measured) -> Iterator[str]:
    """What speaks for an offset in one image of a pair only, or for one that was taken off twice.

    Both are on one grid.
    """
    if after.dn is None or before.dn is None:
        return
    pairs = ((before.near, after.near), (before.short, after.short))
    shifts = [_median(earlier * before.dn - later * after.dn) for earlier, later in pairs]
    least, most = SHIFT_DN
    for higher, lower, sign, option, other in (
        (before, after, 1, "--offset-before", "--offset"),
        (after, before, -1, "--offset", "--offset-before"),
    ):
        if all(least <= sign * shift <= most for shift in shifts):
            twice = lower.taken * (lower.unit or 1) > BASELINE_OFFSET_DN / 2
            right = higher.taken if twice else BASELINE_OFFSET_DN / (higher.unit or 1)
            why = "the second one's offset had been taken off twice" if twice else "the first still carried an offset"
            yield (
                f"{higher.label} lies about {BASELINE_OFFSET_DN:,} digital numbers above {lower.label} in both bands "
                f"on most of the ground, as if {why}; try {option} {right:g} {other} 0"
            )


def _in_numbers(taken: Radiometry) -> float:
    """What a radiometry takes off each number of a file."""
    return -taken.offset / taken.scale + 0.0


def _median(values: FloatArray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan


def _check_something_is_left(
    label: str, taken: Radiometry, planes: tuple[FloatArray, FloatArray], numbers: Numbers, option: str
) -> None:
    known = [plane[np.isfinite(plane)] for plane in planes]
    if all(plane.size and not (plane > 0).any() for plane in known):
        largest = max(float(np.nanmax(plane)) for plane in (numbers.near, numbers.short))
        raise InputError(
            f"an offset of {_in_numbers(taken):g} leaves no number of {label} above 0, they reach to "
            f"{largest:g}: give {option} in the file's own numbers"
        )


def _radiometry(image: OpenImage, band: Band, offset: float | None, option: str) -> tuple[Radiometry, list[str]]:
    """What is done to a band's numbers, and whether the user and the files contradict each other."""
    stated = stated_of(image, band)
    if offset is None:
        return stated or Radiometry(), []
    scale = 1.0 if stated is None else stated.scale
    in_file = offset if stated is None else _in_numbers(stated)
    contradicts = not np.isclose(in_file, offset, rtol=1e-3, atol=1e-9)
    notes = []
    if contradicts:
        notes.append(f"{image.label} itself says that each number carries {in_file:.6g}; {option} {offset:g} is taken")
    if offset < 0:
        notes.append(
            f"{option} {offset:g} adds {-offset:g} to each number of {image.label}; it is what a number carries: "
            f"did you mean {-offset:g}?"
        )
    return Radiometry(scale, -offset * scale), notes


def _offset_doubts(
    label: str, taken: Radiometry, shown: Shown, unit: float, option: str, *, said_so: bool
) -> Iterator[str]:
    """Where what is taken off is not what the numbers show."""
    in_numbers, taken_dn = BASELINE_OFFSET_DN / unit, _in_numbers(taken) * unit
    if shown is Shown.WITH and taken_dn < BASELINE_OFFSET_DN / 2:
        yield (
            f"the darkest ground of {label} lies at {in_numbers:g}, as if its numbers still carried Sentinel-2's "
            f"offset; try {option} {in_numbers:g}"
        )
    elif shown is Shown.WITHOUT and taken_dn > BASELINE_OFFSET_DN / 2:
        yield (
            f"{taken_dn / unit:g} is taken off each number of {label}, but much of its ground lies below that, as if "
            f"it had been taken off already; try {option} 0"
        )
    elif shown is Shown.UNPROVED and not said_so:
        yield (
            f"neither {label} nor its darkest ground says whether its numbers carry an offset, as Sentinel-2's do "
            f"since 2022: if so, give {option} {in_numbers:g}"
        )


def _negative_share(label: str, planes: tuple[FloatArray, FloatArray], dn: float, option: str) -> list[str]:
    """Whether much of the ground has reflectance below what ground can have."""
    known = [plane[np.isfinite(plane)] for plane in planes]
    share = max(float((plane * dn < NEGATIVE_DN).mean()) if plane.size else 0.0 for plane in known)
    if share <= NEGATIVE_SHARE:
        return []
    return [f"{100 * share:.0f} % of the ground of {label} has negative reflectance: is its offset right ({option})?"]


def _unit_dn(kind: np.dtype, numbers: Numbers, stated: Radiometry | None) -> float | None:
    """Digital numbers (reflectance × 10,000) for one number of the file; None if that is not known."""
    if stated is not None and stated.scale != 1.0:
        return DN_PER_REFLECTANCE * stated.scale
    found: Conversion | None = conversion_of_range(kind, list(numbers.samples.values()))
    return None if found is None else found.factor


def _samples(numbers: Numbers, unit: float) -> list[BandSample]:
    if not is_standard(unit / DN_PER_REFLECTANCE) and unit != DN_PER_REFLECTANCE:
        return []
    known = (BandSample.of(name, values * unit, visible=is_visible(name)) for name, values in numbers.samples.items())
    return [sample for sample in known if sample is not None]
