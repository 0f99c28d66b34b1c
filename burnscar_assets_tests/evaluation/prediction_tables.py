"""Seeded predictions tables for tests of evaluation."""

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import box

from burnscar_assets.storage.contracts import PREDICTIONS
from burnscar_assets.storage.tables import table_crs


def make_predictions(
    *, fires: int = 8, windows_per_fire: int = 12, land_blocks: int = 3, seed: int = 0, skill: float = 0.3
) -> gpd.GeoDataFrame:
    """Burnt and ring windows for each fire, and land windows by ground block; probabilities with noise."""
    generator = np.random.default_rng(seed)
    rows = []
    places = [(f"fire{f}", f"cluster{f}", n) for f in range(fires) for n in range(windows_per_fire)]
    places += [("", f"block{b}", n) for b in range(land_blocks) for n in range(4)]
    for number, (fire_id, cluster_id, n) in enumerate(places):
        burnt = bool(fire_id) and n % 2 == 0
        probability = float(np.clip(0.5 + (skill if burnt else -skill) + generator.normal(0, 0.3), 0, 1))
        rows.append(
            {
                "window_id": f"w{number:04d}",
                "fire_year": 2021,
                "fire_id": fire_id,
                "cluster_id": cluster_id,
                "stratum": "burnt" if burnt else ("ring" if fire_id else "land"),
                "split": "test",
                "category": "burnt" if burnt else "unburnt",
                "label_certain": None,
                "fire_area_ha": 50.0 * 10 ** (int(fire_id[4:]) % 4) if fire_id else None,
                "days_since_containment": number % 25,
                "ecoregion": "",
                "burnt_probability": probability,
                "calibrated_probability": probability,
                "predicted": "burnt" if probability >= 0.5 else "unburnt",
                "nbr": 0.3 - 0.5 * probability + generator.normal(0, 0.1),
                "baseline_predicted": "burnt" if generator.random() < (0.7 if burnt else 0.3) else "unburnt",
                "out": False,
                "geometry": box(x_m := x_of(fire_id, cluster_id) + 400 * n, 0, x_m + 320, 320),
            }
        )
    return PREDICTIONS.conform(gpd.GeoDataFrame(pd.DataFrame(rows), geometry="geometry", crs=table_crs()))


def x_of(fire_id: str, cluster_id: str) -> int:
    """Where a fire or a block of land begins, in metres: fires lie far from each other, and blocks far from fires."""
    return (
        20_000 * int(fire_id.removeprefix("fire")) if fire_id else -20_000 * (1 + int(cluster_id.removeprefix("block")))
    )
