"""Small GeoTIFFs of a burn whose truth is known, for tests of maps by an index."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

SIDE = 120
TWENTY_M = Affine(20, 0, 400_000, 0, -20, 4_500_000)


def disc() -> np.ndarray:
    """(SIDE, SIDE) whether a pixel burned: a disc with an unburned island."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2
    radius = np.hypot(rows, columns)
    return (radius < 35) & (np.hypot(rows - 10, columns) > 6)


def bands(burned: np.ndarray, seed: int, offset: int = 0) -> np.ndarray:
    """(2, SIDE, SIDE) digital numbers of B12 and B08; burnt ground is dark in the second and bright in the first."""
    noise = np.random.default_rng(seed)
    swir, nir = np.where(burned, 2600, 1200), np.where(burned, 1400, 3000)
    return (np.stack([swir, nir]) + noise.normal(0, 120, (2, *burned.shape)) + offset).astype("uint16")


def write_image(
    path: Path,
    pixels: np.ndarray,
    *,
    names: tuple[str, ...] = ("B12", "B08"),
    transform: Affine = TWENTY_M,
    crs: str | None = "EPSG:32611",
    simulated: bool = False,
) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=pixels.shape[1],
        width=pixels.shape[2],
        count=len(pixels),
        dtype=pixels.dtype,
        crs=crs,
        transform=transform,
    ) as sink:
        sink.write(pixels)
        for number, name in enumerate(names, start=1):
            sink.set_band_description(number, name)
        if simulated:
            sink.update_tags(SIMULATED="YES")
    return path
