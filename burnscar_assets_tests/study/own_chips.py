"""A person's own images and perimeters, made up: a chip of five bands at 20 m about each fire, in folders."""

import json
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin

BANDS = ("B02", "B03", "B04", "B08", "B12")
METRES, SIDE_PX = 20, 170
UTM = CRS.from_epsg(32610)
LEFT, TOP, APART_M = 600_000, 4_300_000, 15_000

_LAND = (600, 800, 900, 2600, 1500)
_SCAR = (500, 600, 700, 900, 2400)


@dataclass(frozen=True)
class Chip:
    """One fire and its images; what differs from a fire of five bands with an image after it alone."""

    name: str
    year: int
    has_before: bool = False
    bands: tuple[str, ...] = BANDS
    flag: str | None = None


CHIPS = (
    Chip("ALDER", 2023, has_before=True),
    Chip("BIRCH", 2023),
    Chip("CEDAR", 2024, has_before=True),
    Chip("DOGWOOD", 2024, flag="the burn goes on beyond the perimeter"),
    Chip("ELDER", 2024),
    Chip("FIR", 2024),
    Chip("GINKGO", 2024, bands=("B08", "B12")),
)


def write_chips(folder: Path, chips: tuple[Chip, ...] = CHIPS) -> Path:
    """Write images and `perimeters.geojson`; returns its path."""
    rng = np.random.default_rng(0)
    rows, shapes = [], []
    for number, chip in enumerate(chips):
        left, top = LEFT + number * APART_M, TOP - number % 2 * APART_M
        transform = from_origin(left, top, METRES, METRES)
        column, row = 78 + 3 * (number % 3), 85 - 4 * (number % 3)
        centre = shapely.Point(left + column * METRES, top - row * METRES)
        fire = shapely.affinity.scale(centre.buffer(500, quad_segs=16), 1.2, 0.9)
        burnt = rasterio.features.geometry_mask([fire], (SIDE_PX, SIDE_PX), transform, invert=True)
        place = folder / f"{chip.name}_{chip.year}"
        place.mkdir(parents=True)
        _write(place / "post.tif", chip.bands, burnt, transform, rng)
        if chip.has_before:
            _write(place / "pre.tif", chip.bands, np.zeros_like(burnt), transform, rng)
        rows.append(
            {
                "FIRE_NAME": chip.name,
                "YEAR_": chip.year,
                "ALARM_DATE": f"{chip.year}-07-{number + 1:02}",
                "flag": chip.flag,
            }
        )
        shapes.append(fire)
    path = folder / "perimeters.geojson"
    path.write_text(json.dumps(gpd.GeoDataFrame(rows, geometry=shapes, crs=UTM).to_crs(4326).__geo_interface__))
    return path


def _write(
    path: Path, bands: tuple[str, ...], burnt: np.ndarray, transform: rasterio.Affine, rng: np.random.Generator
) -> None:
    profile = {
        "driver": "GTiff", "dtype": "uint16", "nodata": 0, "count": len(bands), "crs": UTM, "transform": transform,
        "width": SIDE_PX, "height": SIDE_PX,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        for number, band in enumerate(bands, start=1):
            place = BANDS.index(band)
            level = np.where(burnt, _SCAR[place], _LAND[place])
            target.write((level * rng.normal(1, 0.08, burnt.shape)).astype("uint16"), number)
            target.set_band_description(number, band)
