"""A user's own image: which files it is, where its bands are, where it lies, and its numbers where they are data."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from burnscar_assets.errors import InputError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.publish.image_place import Place, common_place, place_of
from burnscar_assets.reader.pixels import PixelFacts, read_pixels
from burnscar_assets.sensors.indices import FloatArray
from burnscar_assets.sensors.sentinel2_files import BAND_IN_NAME, NIR_NAMES, SWIR_NAMES

IMAGE_ENDINGS: Final = (".tif", ".tiff", ".jp2", ".j2k")
STRIP_PX: Final = 1024
"""Rows that are read at a time."""

SAMPLE_PX: Final = 200_000
"""Pixels of each band that its radiometry is judged by, about."""

_RESOLUTION_IN_NAME: Final = re.compile(r"_(?:10|20|60)M(?=\.|$)")

ImagePath = Path | Sequence[Path]


@dataclass(frozen=True)
class Bands:
    """Which bands of an image are read, and what their numbers carry.

    Attributes:
        nir: Near infrared, counted from 1 over all files of the image; None: found by names.
        swir: Short-wave infrared about 2.2 µm; likewise.
        offset: What each number carries in addition to reflectance, as baselines from 04.00 of Sentinel-2 do; None:
            what the files say, else 0.
        offset_before: The same for the image before the fire; None: as `offset`.
    """

    nir: int | None = None
    swir: int | None = None
    offset: float | None = None
    offset_before: float | None = None

    def __post_init__(self) -> None:
        for offset in (self.offset, self.offset_before):
            if offset is not None and not np.isfinite(offset):
                raise InputError(f"an offset of {offset} can't be: give what each number carries, such as 1000")


@dataclass(frozen=True)
class Band:
    """A band of an image's files.

    Counted from 1; its name is what it carries, or what its file's name carries if it is the only one, or empty.
    """

    source: DatasetReader
    number: int
    name: str


@dataclass(frozen=True)
class OpenImage:
    """The open files of an image.

    `bands` are all of the files, in order; `nir` and `swir` those that are read.
    """

    label: str
    paths: tuple[Path, ...]
    place: Place
    bands: tuple[Band, ...]
    nir: Band
    swir: Band
    notes: tuple[str, ...]

    @property
    def is_simulated(self) -> bool:
        """Whether one of the files says that it is simulated."""
        said = (band.source.tags().get("SIMULATED", "") for band in self.bands)
        return any(str(text).lower() in ("yes", "true", "1") for text in said)


@dataclass(frozen=True)
class Numbers:
    """Numbers of an image as they are in its files.

    `near` and `short` are (height, width), NaN without data; `samples` are some of the data of each measured band by
    its name, or by what it is read as.
    """

    near: FloatArray
    short: FloatArray
    samples: dict[str, npt.NDArray[Any]]


@contextmanager
def opened(given: ImagePath, bands: Bands) -> Iterator[OpenImage]:
    """Open the files of an image.

    Given is a file, two files of one band each, or the folder of a Sentinel-2 product (`.SAFE`).

    Raises:
        InputError: a file can't be read, does not say where it lies, or lacks the bands.
    """
    paths = files_of(given)
    label = " and ".join([str(paths[0]), *(path.name for path in paths[1:])])
    with ExitStack() as stack:
        try:
            sources = [stack.enter_context(opened_raster(path)) for path in paths]
            found = [band for source in sources for band in _bands_of(source)]
            near = _chosen(found, bands.nir, NIR_NAMES, label, "near infrared", "--nir")
            short = _chosen(found, bands.swir, SWIR_NAMES, label, "short-wave infrared", "--swir")
            if near == short:
                raise InputError(f"--nir and --swir name the same band of {label}: they must be two")
            _check_type(near, label)
            place = common_place([place_of(*pair) for pair in zip(sources, paths, strict=True)], paths)
            notes = tuple(_doubts_of_names(near, short, label))
            yield OpenImage(label, paths, place, tuple(found), near, short, notes)
        except RasterioError as error:
            raise InputError(
                f"{label} can't be read to its end ({error}): get it again, or write it anew (gdal_translate)"
            ) from error


@contextmanager
def opened_raster(path: Path) -> Iterator[DatasetReader]:
    """Open a GeoTIFF or JPEG 2000, and nothing else that GDAL would know.

    Raises:
        InputError: it isn't there, or is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = open_raster(path)
    except RasterioError as error:
        why = "there is no such file" if not path.exists() else str(error)
        raise InputError(f"{path} can't be read ({why}): give a GeoTIFF or JPEG 2000") from error
    with source:
        yield source


def files_of(given: ImagePath) -> tuple[Path, ...]:
    """The files that an image consists of.

    Raises:
        InputError: a folder without both bands at one resolution, or with several images.
    """
    paths = (given,) if isinstance(given, Path) else tuple(given)
    if len(paths) > 2:
        raise InputError(f"{len(paths)} files were given for one image: give one, or one each of the two bands")
    if len(paths) == 1 and paths[0].suffix.lower() == ".xml" and paths[0].name.startswith("MTD_"):
        paths = (paths[0].parent,)
    return _files_in(paths[0]) if len(paths) == 1 and paths[0].is_dir() else paths


def band_name(text: str | None) -> str:
    """A band's name without what people write differently, such as B8 for `b-8` or `Band 8, 842 nm`."""
    plain = re.sub(r"[\s_-]+", "", (text or "").partition(",")[0]).upper()
    return re.sub(r"^BAND(?=\d)", "B", plain)


def read_numbers(image: OpenImage) -> Numbers:
    """The numbers of an image's two bands, where they are data by all that its files say.

    Raises:
        RasterioError: a file can't be read.
    """
    height, width = image.place.shape
    planes = {id(band): np.full((height, width), np.nan, dtype=np.float32) for band in (image.nir, image.swir)}
    read_as = {id(image.nir): NIR_NAMES[0], id(image.swir): SWIR_NAMES[0]}
    samples: dict[str, list[npt.NDArray[Any]]] = {}
    step = max(1, int(np.sqrt(height * width / SAMPLE_PX)))
    for source in dict.fromkeys(band.source for band in image.bands):
        used = {band.number for band in (image.nir, image.swir) if band.source is source}
        facts = PixelFacts.of(source, used)
        places = {band.number: band for band in image.bands if band.source is source}
        for row in range(0, height, STRIP_PX):
            rows = min(STRIP_PX, height - row)
            pixels, data = read_pixels(source, facts, Window(0, row, width, rows))
            for number, numbers, known in zip(facts.measured, pixels, data, strict=True):
                band = places[number]
                if id(band) in planes:
                    planes[id(band)][row : row + rows] = np.where(known, numbers, np.nan)
                thin = np.s_[::step, ::step]
                name = band.name or read_as.get(id(band), f"band {number}")
                samples.setdefault(name, []).append(numbers[thin][known[thin]])
    joined = {name: np.concatenate(parts) for name, parts in samples.items()}
    return Numbers(planes[id(image.nir)], planes[id(image.swir)], joined)


def _files_in(folder: Path) -> tuple[Path, ...]:
    """The near and short-wave infrared of a product that comes as a folder with a file for each band."""
    products: dict[str, dict[tuple[str, str], dict[str, Path]]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.name.upper()
        token = BAND_IN_NAME.findall(name)
        if path.suffix.lower() in IMAGE_ENDINGS and len(token) == 1 and path.parent.name != "QI_DATA":
            rest = BAND_IN_NAME.sub("", name)
            product = products.setdefault(_RESOLUTION_IN_NAME.sub("", rest), {})
            product.setdefault((str(path.parent), rest), {})[token[0]] = path
    pairs = []
    for product in products.values():
        complete = [pair for grid in product.values() if (pair := _pair_of(grid))]
        pairs += complete[:1]
    if len(pairs) != 1:
        found = "several images" if pairs else f"no near infrared beside a {SWIR_NAMES[0]} of the same resolution"
        raise InputError(f"{folder} holds {found}: name the two files, as --after NIR.jp2 SWIR.jp2")
    return pairs[0]


def _pair_of(files: dict[str, Path]) -> tuple[Path, Path] | None:
    near = next((files[name] for name in reversed(NIR_NAMES) if name in files), None)
    short = next((files[name] for name in SWIR_NAMES if name in files), None)
    return None if near is None or short is None else (near, short)


def _bands_of(source: DatasetReader) -> Iterator[Band]:
    tokens = BAND_IN_NAME.findall(Path(source.name).name.upper())
    of_file = tokens[0] if source.count == len(tokens) == 1 else ""
    for number, text in enumerate(source.descriptions, start=1):
        yield Band(source, number, band_name(text) or of_file)


def _chosen(
    found: Sequence[Band], given: int | None, names: tuple[str, ...], label: str, what: str, option: str
) -> Band:
    if given is not None:
        if not 1 <= given <= len(found):
            raise InputError(f"{label} has bands 1 to {len(found)}, but {option} is {given}")
        return found[given - 1]
    name = next((name for name in names if any(band.name == name for band in found)), None)
    matching = [band for band in found if band.name == name]
    if name is None:
        told = ", ".join(dict.fromkeys(band.source.descriptions[band.number - 1] or "?" for band in found))
        both = "" if len(found) > 1 else "; a file of one band needs the other one beside it (--after NIR.tif SWIR.tif)"
        raise InputError(
            f"which band of {label} is {what} is not known from their names ({told}): say so with {option}{both}"
        )
    if len(matching) > 1:
        raise InputError(f"{len(matching)} bands of {label} are named {name}: say which is {what} with {option}")
    return matching[0]


def _doubts_of_names(near: Band, short: Band, label: str) -> Iterator[str]:
    for band, names, option in ((near, SWIR_NAMES, "--nir"), (short, NIR_NAMES, "--swir")):
        if band.name in names:
            yield f"band {band.number} of {label} is named {band.name}, but {option} says otherwise: are they swapped?"


def _check_type(band: Band, label: str) -> None:
    kind = np.dtype(band.source.dtypes[band.number - 1]).kind
    if kind not in "iuf":
        raise InputError(f"{label} holds complex numbers, as radar images do: give an optical image with reflectance")
