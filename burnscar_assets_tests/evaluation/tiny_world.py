"""A tiny world after training: two fire years, each with perimeters and a checkpoint."""

from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.settings import EvaluationSettings, parse_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.tiny_dataset import SPLITS, make_tiny_dataset

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
        "sampling": {"splits": SPLITS},
        "demo": {},
    },
    "tiny",
)

MARGIN_M = SETTINGS.sampling.splits.margin_m


def train_world(root: DataRoot) -> None:
    """Fill a data root: checkpoints of 2019 and, having seen both years, 2020."""
    from burnscar_assets.models.plan import plan_training
    from burnscar_assets.models.trainer import train

    make_tiny_dataset(root, years=(2019, 2020), windows_per_year=50, seed=3, incomplete_per_year=2)
    for year in (2019, 2020):
        train(plan_training(SETTINGS, root, year), lambda event: None)


def spec_of(root: DataRoot, **changes: object) -> EvaluationSpec:
    known = {
        "root": root.path,
        "fire_year": 2020,
        "year_before": 2019,
        "min_clear_fraction": SETTINGS.imagery.min_clear_fraction,
        "margin_m": MARGIN_M,
        "settings": EvaluationSettings(bootstrap_samples=200),
        "simulated": True,
    }
    return EvaluationSpec(**known | changes)
