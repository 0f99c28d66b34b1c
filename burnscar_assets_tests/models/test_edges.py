"""Windows on the edges of fires teach models that answer pixel by pixel, and no others; nothing is judged on them."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from burnscar_assets.classes import MIXED, Split
from burnscar_assets.evaluation import predictions
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.plan import (
    choose_windows,
    complete_windows,
    of_one_class,
    plan_training,
    seen_hash,
    windows_of,
)
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.models.training_kit import tiny_settings
from burnscar_assets_tests.tiny_dataset import LAYER

UNET = "model-unet.yaml"
pytestmark = pytest.mark.filterwarnings("ignore:.*RANDOM WEIGHTS")


@pytest.fixture
def with_edges(tiny_world: DataRoot, tmp_path: Path) -> DataRoot:
    """A year of which every third window, of every split, is on the edge of its fire."""
    root = DataRoot(tmp_path / "data")
    for table in (FIRE_PERIMETERS, TILES):
        write_table(root, table, read_table(tiny_world, table, 2020), 2020)
    windows = read_table(tiny_world, WINDOWS, 2020)
    windows.loc[windows.index % 3 == 0, ["category", "stratum"]] = [MIXED, "edge"]
    write_table(root, WINDOWS, windows, 2020)
    root.dataset.mkdir()
    (root.dataset / "config.json").write_bytes((tiny_world.dataset / "config.json").read_bytes())
    return root


def test_models_that_answer_for_windows_leave_them_out(with_edges: DataRoot) -> None:
    spec = plan_training(tiny_settings(), with_edges, 2020)
    windows = read_table(with_edges, WINDOWS, 2020).set_index("window_id")
    assert MIXED not in set(windows.loc[[name for names in spec.names.values() for name in names], "category"])
    assert not any(MIXED in classes for years in spec.windows.values() for classes in years.values())
    assert MIXED not in set(complete_windows(with_edges, [2020], LAYER)["category"]), "scores are of pure windows"


def test_models_of_pixels_are_trained_and_chosen_by_them_and_never_tested(with_edges: DataRoot) -> None:
    spec = plan_training(tiny_settings(config=UNET), with_edges, 2020)
    windows = read_table(with_edges, WINDOWS, 2020).set_index("window_id")
    for split, names in spec.names.items():
        mixed = int((windows.loc[list(names), "category"] == MIXED).sum())
        assert mixed == spec.windows.get(split, {}).get(2020, {}).get(MIXED, 0)
        assert bool(mixed) == (split != Split.TEST)


def test_a_checkpoint_finds_again_what_it_has_seen(with_edges: DataRoot) -> None:
    settings = tiny_settings()
    for per_pixel in (False, True):
        chosen = choose_windows(settings, with_edges, [2020], per_pixel=per_pixel)
        manifest = CheckpointManifest.model_construct(
            fire_years=(2020,), layers={LAYER: ()}, layer=LAYER, min_clear_fraction=0, fold=None, judged_windows={},
            per_pixel=per_pixel,
        )  # fmt: skip
        found = windows_of(with_edges, manifest, LAYER)
        assert seen_hash(found) == seen_hash(chosen.windows)
        assert (MIXED in set(found["category"])) == per_pixel
        assert len(of_one_class(found)) == (found["category"] != MIXED).sum() < 80


def test_rules_of_windows_are_fixed_without_them(with_edges: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = choose_windows(tiny_settings(), with_edges, [2020], per_pixel=True).windows
    told: list[str] = []

    def answers(spec: object, checkpoint: object, windows: gpd.GeoDataFrame, *_: object) -> tuple[np.ndarray, None]:
        told.extend(windows["category"])
        return np.where(windows["category"] == "burnt", 0.9, 0.1), None

    def batches(spec: object, windows: gpd.GeoDataFrame, *_: object) -> list[tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]]:
        told.extend(windows["category"])
        return [(windows, windows)]

    monkeypatch.setattr(predictions, "scores_of", answers)
    monkeypatch.setattr(predictions, "_batches", batches)
    monkeypatch.setattr(
        predictions, "window_nbr", lambda windows, _: np.where(windows["category"] == "burnt", -0.2, 0.5)
    )
    spec = EvaluationSpec.model_construct(sensor=None)
    rules = predictions.fix_rules(spec, Path("none"), seen, lambda *_: None)
    assert set(told) == {"burnt", "unburnt"} and 0.1 < rules.decision.threshold < 0.9
