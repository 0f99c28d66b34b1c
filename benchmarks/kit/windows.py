"""Tables of windows to measure imagery on: some fires on an archive's scenes, each with many windows."""

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.classes import CLASS_NAMES, Split
from burnscar_assets.sampling.lattice import Cells, Lattice
from burnscar_assets.storage.contracts import WINDOWS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import table_crs
from kit.scenes import EPSG, FIRE_YEAR, Scene

RESOLUTION_M = 10
SPREAD_M = 8_000
DAYS_BEFORE, DAYS_AFTER = 5, 26


def define(scenes: list[Scene], fires: int, count: int, size_px: int, seed: int = 0) -> gpd.GeoDataFrame:
    """Windows on the lattice, within `SPREAD_M` of their fire and within one scene, whose day is in their time range.

    Args:
        scenes: scenes that the fires are dealt to, in turn.
        fires: number of fires.
        count: number of windows, shared evenly among the fires.
        size_px: side of a window, pixels of 10 m.
        seed: of the places.

    Returns:
        Table `windows`, ordered by window_id.
    """
    generator = np.random.default_rng(seed)
    shares = [len(part) for part in np.array_split(np.arange(count), fires)]
    parts = [
        _of_fire(scenes[fire % len(scenes)], f"fire-{fire:03d}", share, size_px, generator)
        for fire, share in enumerate(shares)
    ]
    return WINDOWS.conform(pd.concat(parts).sort_values("window_id", kind="stable"))


def _of_fire(scene: Scene, fire_id: str, count: int, size_px: int, generator: np.random.Generator) -> gpd.GeoDataFrame:
    side_m = size_px * RESOLUTION_M
    cells = _cells(scene, side_m, count, generator)
    burnt = np.arange(count) % 2 == 0
    table = gpd.GeoDataFrame(
        on_scene(scene, size_px)
        | {
            "fire_id": fire_id,
            "cluster_id": fire_id,
            "stratum": np.where(burnt, "burnt", "ring"),
            "category": np.where(burnt, *CLASS_NAMES),
            "split": Split.TRAIN.value,
            "min_col": cells.col * size_px,
            "min_row": -(cells.row + 1) * size_px,
        },
        geometry=gpd.GeoSeries(Lattice(side_m).footprints(cells), crs=table_crs()),
    )
    places = zip(cells.col.tolist(), cells.row.tolist(), strict=True)
    table["window_id"] = [hash_json([fire_id, *place, size_px])[:16] for place in places]
    table["point_id"] = "p" + table["window_id"]
    return table


def on_scene(scene: Scene, size_px: int) -> dict[str, object]:
    """What windows that a scene's day is right for have in common, as columns of the table `windows`."""
    day = pd.Timestamp(scene.acquired).normalize()
    return {
        "fire_year": FIRE_YEAR,
        "utm_epsg": EPSG,
        "size_px": size_px,
        "resolution_m": float(RESOLUTION_M),
        "start_time": day - pd.Timedelta(days=DAYS_BEFORE),
        "end_time": day + pd.Timedelta(days=DAYS_AFTER),
        "before_start": pd.NaT,
        "before_end": pd.NaT,
        "burnt_share": np.nan,
        "unlabelled_share": np.nan,
        "label_hash": "",
    }


def _cells(scene: Scene, side_m: int, count: int, generator: np.random.Generator) -> Cells:
    """Different cells near a random place, at least one cell from the scene's edge."""
    granule = scene.granule
    west, south = granule.west_m, granule.north_m - granule.side_m
    spread_m = min(SPREAD_M, granule.side_m / 2 - 2 * side_m)
    east_m, up_m = generator.uniform(spread_m, granule.side_m - spread_m, 2)
    columns = _inside(west + east_m, spread_m, side_m, west, granule.side_m)
    rows = _inside(south + up_m, spread_m, side_m, south, granule.side_m)
    col, row = (edges.ravel() for edges in np.meshgrid(columns, rows))
    chosen = generator.choice(len(col), count, replace=False)
    return Cells(np.full(count, EPSG), col[chosen], row[chosen])


def _inside(centre_m: float, spread_m: float, side_m: int, edge_m: int, extent_m: int) -> npt.NDArray[np.int64]:
    first = max(centre_m - spread_m, edge_m + side_m)
    last = min(centre_m + spread_m, edge_m + extent_m - 2 * side_m)
    return np.arange(np.ceil(first / side_m), np.floor(last / side_m) + 1).astype(np.int64)
