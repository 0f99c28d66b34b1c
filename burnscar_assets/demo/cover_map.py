"""The simulated land cover as one raster with ESA WorldCover's classes; stages read it for statistics alone."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject
from rasterio.windows import Window

from burnscar_assets.dataset.parallel import run_batches
from burnscar_assets.demo.burns import fire_ground
from burnscar_assets.demo.cogs import NOTICE
from burnscar_assets.demo.plan import Burn, Granule, WorldPlan
from burnscar_assets.demo.spectra import Cover
from burnscar_assets.demo.terrain import make_land
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.tables import table_crs

COVER_FILE: Final = "land_cover.tif"
PIXEL_M: Final = 20
NO_CLASS: Final = 0
_CLASSES: Final = {
    Cover.CONIFER: 10, Cover.SHRUB: 20, Cover.GRASS: 30, Cover.CROP_GREEN: 40, Cover.CROP_STUBBLE: 40,
    Cover.CROP_PLOUGHED: 40, Cover.URBAN: 50, Cover.BARE: 60, Cover.LAVA: 60, Cover.WATER: 80,
}  # fmt: skip


class _Seen(NamedTuple):
    granule: Granule
    burns: tuple[Burn, ...]


def write_cover_map(path: Path, plan: WorldPlan, workers: int) -> None:
    """Write the classes that granules show as a GeoTIFF in the region's CRS, which is empty between them."""
    tasks = [_Seen(granule, plan.burns_seen_by(granule)) for granule in plan.granules]
    found = dict(run_batches(partial(_drawn, plan.seed), tasks, workers if workers > 1 else 0))
    west, south, east, north = _bounds([granule.ground.bounds for granule in plan.granules])
    profile = {
        "driver": "GTiff", "width": east - west, "height": north - south, "count": 1, "dtype": "uint8",
        "crs": table_crs(), "transform": from_origin(west * PIXEL_M, north * PIXEL_M, PIXEL_M, PIXEL_M),
        "nodata": NO_CLASS, "tiled": True, "compress": "DEFLATE", "sparse_ok": True,
    }  # fmt: skip
    with atomic_file(path) as temporary, rasterio.open(temporary, "w+", **profile) as target:
        target.update_tags(SIMULATED="YES", TIFFTAG_IMAGEDESCRIPTION=NOTICE)
        for granule in plan.granules:
            left, bottom, right, top = _bounds([granule.ground.bounds])
            part = Window(left - west, north - top, right - left, top - bottom)
            there = target.read(1, window=part)
            source = from_origin(granule.west_m, granule.north_m, PIXEL_M, PIXEL_M)
            reproject(
                found[granule.granule_id], there, src_transform=source, src_crs=f"EPSG:{granule.epsg}",
                src_nodata=NO_CLASS, dst_transform=target.window_transform(part), dst_crs=table_crs(),
                resampling=Resampling.nearest, init_dest_nodata=False,
            )  # fmt: skip
            target.write(there, 1, window=part)


def _drawn(seed: int, seen: _Seen) -> tuple[str, npt.NDArray[np.uint8]]:
    land = make_land(seed, seen.granule, fire_ground(seen.granule, seen.burns))
    classes = np.array([_CLASSES[cover] for cover in Cover], np.uint8)
    return seen.granule.granule_id, classes[land.levels[2].cover]


def _bounds(bounds: Sequence[tuple[float, float, float, float]]) -> tuple[int, int, int, int]:
    """West, south, east and north of what lies around some bounds, in whole pixels."""
    edges = np.array(bounds) / PIXEL_M
    lower, upper = np.floor(edges[:, :2].min(axis=0)), np.ceil(edges[:, 2:].max(axis=0))
    return int(lower[0]), int(lower[1]), int(upper[0]), int(upper[1])
