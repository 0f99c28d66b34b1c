"""Reading a map's rasters at the size of a picture, and turning them into pictures."""

from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.pages.records import REPAIR, Grid

LONGEST_PX: Final = 1600
"""Longest side of a picture; a map that is no larger is shown pixel by pixel."""

LOSSLESS_PX: Final = 1_000_000
"""Pictures of more pixels are compressed with (invisible) loss."""

RAMP_STEPS: Final = 256
FAINT: Final = 0.2
"""Probability below which the ramp fades out, so that the image under it can be seen."""

BRIGHTEST: Final = 0.78
"""Share of the ramp that is used: its yellow end would swallow the model's outline."""

STRETCH_DN: Final = (4200, 5000, 3200)
"""Digital numbers of short-wave infrared, near infrared and red at full brightness, fixed so that dates compare."""

GAMMA: Final = 0.62

Pixels = npt.NDArray[Any]


def picture_shape(grid: Grid, longest: int = LONGEST_PX) -> tuple[int, int]:
    """Rows and columns of a picture of the whole grid, none of them more than `longest`."""
    shrink = max(1.0, grid.height / longest, grid.width / longest)
    return max(1, round(grid.height / shrink)), max(1, round(grid.width / shrink))


def read_pixels(path: Path, shape: tuple[int, int], resampling: Resampling = Resampling.nearest) -> Pixels:
    """All bands of a raster at another size, (bands, rows, columns).

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with rasterio.open(path) as raster:
            return raster.read(out_shape=(raster.count, *shape), resampling=resampling)
    except RasterioError as error:
        raise InputError(f"{path.name} of {path.parent.name} can't be read: {REPAIR}") from error


def colour_picture(image: Pixels) -> Image.Image:
    """SWIR, NIR and red, (3, rows, columns), as red, green and blue; transparent where there is no data (0)."""
    bright = np.clip(image.astype(np.float32) / np.array(STRETCH_DN, np.float32)[:, None, None], 0, 1) ** GAMMA
    there = (image > 0).all(axis=0)
    levels = (bright * 255).round().astype(np.uint8)
    return Image.fromarray(np.dstack([*levels, np.where(there, 255, 0).astype(np.uint8)]), "RGBA")


def probability_ramp() -> npt.NDArray[np.uint8]:
    """Red, green, blue and opacity of 256 probabilities from 0 to 1: perceptually even, fading out at the bottom."""
    from matplotlib import colormaps

    steps = np.linspace(0, 1, RAMP_STEPS)
    colours = (colormaps["plasma"](steps * BRIGHTEST) * 255).round().astype(np.uint8)
    colours[:, 3] = (np.clip(steps / FAINT, 0, 1) * 255).round().astype(np.uint8)
    colours[0, 3] = 0
    return colours


def palette_picture(indices: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> Image.Image:
    """Classes or steps, (rows, columns), in the colours of a palette, (256, 4)."""
    return Image.fromarray(palette[indices], "RGBA")


def probability_picture(probability: Pixels) -> Image.Image:
    """Probabilities 0–1, (rows, columns), in the colours of the ramp; transparent where negative."""
    known = probability >= 0
    steps = np.clip(probability.astype(np.float32) * (RAMP_STEPS - 1), 0, RAMP_STEPS - 1)
    return palette_picture(np.where(known, steps.round(), 0).astype(np.uint8), probability_ramp())


def as_webp(picture: Image.Image) -> bytes:
    """A picture as WebP, every pixel as it is if it isn't large."""
    buffer = BytesIO()
    lossless = picture.width * picture.height <= LOSSLESS_PX
    picture.save(buffer, "WEBP", lossless=lossless, quality=80 if lossless else 92, method=4)
    return buffer.getvalue()


def as_png(picture: Image.Image) -> bytes:
    """A picture as PNG."""
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
