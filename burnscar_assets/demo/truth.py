"""What truly burned in the simulated world, written beside the perimeters so that maps can be scored against both.

No stage reads it: to them the perimeters are all there is, as of real fires.
"""

from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
from rasterio.transform import from_origin
from shapely import union_all
from shapely.geometry.base import BaseGeometry

from burnscar_assets.dataset.parallel import run_batches
from burnscar_assets.demo.burns import BURNED_FROM
from burnscar_assets.demo.plan import PIXEL_M, Burn, Granule, WorldPlan, project
from burnscar_assets.demo.scenes import Ground, make_ground
from burnscar_assets.mapping.frame import outlines
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.tables import table_crs

TRUTH_FILE: Final = "true_burns.parquet"


class _Seen(NamedTuple):
    """A granule and the burns that it shows."""

    seed: int
    granule: Granule
    burns: tuple[Burn, ...]


def truly_burned(ground: Ground, burn_id: str) -> npt.NDArray[np.bool_]:
    """10 m pixels of a granule that a fire burned: its outline without islands, water, rock, fields and towns."""
    burned = np.zeros((ground.granule.side_px, ground.granule.side_px), bool)
    for layer in ground.burns:
        if layer.burn.burn_id == burn_id:
            burned[layer.rows, layer.columns] = layer.severity >= BURNED_FROM
    return burned


def write_truth(path: Path, plan: WorldPlan, workers: int) -> None:
    """Write what each fire of a world truly burned, where granules show it, as GeoParquet in the region's CRS.

    Columns: `burn_id` (of given perimeters: their `fire_id`), `fire_year`, `start`, `end`, `burned_ha`, `simulated`,
    `geometry`.
    """
    tasks = [_Seen(plan.seed, granule, plan.burns_seen_by(granule)) for granule in plan.granules]
    parts: dict[str, list[BaseGeometry]] = defaultdict(list)
    for found in run_batches(_burned_in, tasks, workers if workers > 1 else 0):
        for burn_id, burned in found.items():
            parts[burn_id].append(burned)
    burns = sorted((burn for burn in plan.burns if burn.burn_id in parts), key=lambda burn: burn.burn_id)
    whole = [union_all(sorted(parts[burn.burn_id], key=lambda part: part.wkb)) for burn in burns]
    columns = {
        "burn_id": [burn.burn_id for burn in burns],
        "fire_year": [working_region().fire_year(burn.start) for burn in burns],
        "start": [burn.start.isoformat() for burn in burns],
        "end": [burn.end.isoformat() for burn in burns],
        "burned_ha": [burned.area / 10_000 for burned in whole],
        "simulated": True,
    }
    with atomic_file(path) as temporary:
        gpd.GeoDataFrame(columns, geometry=whole, crs=table_crs()).to_parquet(temporary)


def _burned_in(seen: _Seen) -> dict[str, BaseGeometry]:
    granule = seen.granule
    ground = make_ground(seen.seed, granule, seen.burns)
    burned = {}
    for layer in ground.burns:
        pixels = layer.severity >= BURNED_FROM
        west_m = granule.west_m + layer.columns.start * PIXEL_M
        corner = from_origin(west_m, granule.north_m - layer.rows.start * PIXEL_M, PIXEL_M, PIXEL_M)
        if pixels.any():
            burned[layer.burn.burn_id] = project(union_all(outlines(pixels, corner)), granule.epsg, table_crs()).buffer(
                0
            )
    return burned
