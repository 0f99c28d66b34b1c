"""A tiny world after training: two fire years, each with perimeters and a checkpoint."""

import geopandas as gpd

from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.settings import EvaluationSettings, parse_settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, FIRE_SCENES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.tiny_dataset import make_tiny_dataset

SETTINGS = parse_settings(
    {
        "name": "tiny",
        "years": {"first": 2019, "last": 2020},
        "release": {"source": "none"},
        "training": {
            "model": {"allow_random": True, "patch_size": 8},
            "max_epochs": 2,
            "freeze_epochs": 1,
            "learning_rate": 1e-3,
            "batch_size": 8,
            "accelerator": "cpu",
            "look_back_years": 1,
        },
        "demo": {},
    },
    "tiny",
)


def train_world(root: DataRoot) -> None:
    """Fill a data root: checkpoints of 2019 and, having seen both years, 2020."""
    from burnscar_assets.training.plan import plan_training
    from burnscar_assets.training.trainer import train

    make_tiny_dataset(root, years=(2019, 2020), windows_per_year=50, seed=3, incomplete_per_year=2)
    for year in (2019, 2020):
        train(plan_training(SETTINGS, root, year), lambda event: None)
        write_perimeters(root, year)


def write_perimeters(root: DataRoot, year: int) -> None:
    """Perimeters about the windows of each fire, and no frame of one."""
    write_table(root, FIRE_SCENES, FIRE_SCENES.empty(), year)
    hulls = read_table(root, WINDOWS, year).dissolve("fire_id").convex_hull
    fires = gpd.GeoDataFrame({"fire_id": hulls.index}, geometry=hulls.to_numpy(), crs=hulls.crs)
    known = {"fire_year": year, "area_ha": fires.area / 1e4, "simulated": True, "flags": [[]] * len(fires)}
    absent = {column: None for column in FIRE_PERIMETERS.column_names if column not in {*fires.columns, *known}}
    write_table(root, FIRE_PERIMETERS, fires.assign(**known, **absent), year)


def spec_of(root: DataRoot, **changes: object) -> EvaluationSpec:
    return EvaluationSpec(
        root=root.path,
        fire_year=2020,
        year_before=2019,
        min_clear_fraction=SETTINGS.imagery.min_clear_fraction,
        settings=EvaluationSettings(bootstrap_samples=200),
        simulated=True,
        **changes,  # type: ignore[arg-type]
    )
