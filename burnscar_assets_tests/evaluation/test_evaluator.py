"""The evaluator on a tiny world: what it writes, what it refuses, and that refusing leaves things as they were."""

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from burnscar_assets.classes import BANDS
from burnscar_assets.errors import CheckpointError, InputError, MissingDataError
from burnscar_assets.evaluation.baseline import tune_threshold, window_nbr
from burnscar_assets.evaluation.evaluator import evaluate
from burnscar_assets.evaluation.spec import EvaluationReport, EvaluationSpec, load_report
from burnscar_assets.settings import EvaluationSettings, parse_settings
from burnscar_assets.storage.contracts import EVALUATION_METRICS, PREDICTIONS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, write_table
from burnscar_assets_tests.tiny_dataset import LAYER, make_tiny_dataset

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Two fire years, a checkpoint of 2020 that has seen both, and its evaluation."""
    from huggingface_hub import constants

    from burnscar_assets.training.plan import plan_training
    from burnscar_assets.training.trainer import train

    root = DataRoot(tmp_path_factory.mktemp("evaluated") / "data")
    make_tiny_dataset(root, years=(2019, 2020), windows_per_year=50, seed=3, incomplete_per_year=2)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(root.path / "hub"))
        train(plan_training(SETTINGS, root, 2020), lambda event: None)
    evaluate(spec_of(root))
    return root


@pytest.fixture
def world(trained: DataRoot, tmp_path: Path) -> DataRoot:
    """A copy of the trained world, to be changed."""
    shutil.copytree(trained.path, tmp_path / "data")
    return DataRoot(tmp_path / "data")


def spec_of(root: DataRoot, **changes: object) -> EvaluationSpec:
    return EvaluationSpec(
        root=root.path,
        fire_year=2020,
        settings=EvaluationSettings(bootstrap_samples=200),
        simulated=True,
        **changes,  # type: ignore[arg-type]
    )


def results(root: DataRoot) -> dict[str, bytes]:
    folders = (root.evaluation(2020), root.tables / "predictions", root.tables / "evaluation_metrics")
    return {str(p): p.read_bytes() for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()}


def rewrite(root: DataRoot, table: Table, change: Callable[[pd.DataFrame], None], year: int = 2020) -> None:
    rows = read_table(root, table, year)
    change(rows)
    write_table(root, table, rows, year)


def test_test_windows_are_predicted_and_nothing_else(trained: DataRoot) -> None:
    windows, predictions = read_table(trained, WINDOWS, 2020), read_table(trained, PREDICTIONS, 2020)
    expected = windows[windows["split"] == "test"]
    assert sorted(predictions["window_id"]) == sorted(expected["window_id"])
    assert predictions["burnt_probability"].between(0, 1).all()
    called = np.where(predictions["burnt_probability"] >= 0.5, "burnt", "unburnt")
    assert (predictions["predicted"] == called).all()
    merged = predictions.merge(expected, on="window_id", suffixes=("", "_window"))
    assert (merged["category"] == merged["category_window"]).all()
    assert merged.geometry.geom_equals(merged["geometry_window"]).all()


def test_probabilities_are_those_of_the_loaded_model(trained: DataRoot) -> None:
    from burnscar_assets.imagery.tiles import read_tile
    from burnscar_assets.training.model import load_model

    predictions, tiles = read_table(trained, PREDICTIONS, 2020), read_table(trained, TILES, 2020)
    row = predictions.iloc[3]
    image = np.asarray(read_tile(trained.dataset, "2020", row["window_id"], LAYER, BANDS))[None]
    acquired = tiles.set_index("window_id").loc[row["window_id"], "acquired"].to_pydatetime()
    probability = load_model(trained.checkpoint(2020)).predict_batch(image, [acquired])
    assert row["burnt_probability"] == pytest.approx(probability[0], abs=1e-5)
    assert row["nbr"] == pytest.approx(window_nbr(image)[0])


def test_the_threshold_is_tuned_on_the_training_split_alone(trained: DataRoot) -> None:
    from burnscar_assets.imagery.tiles import read_tiles
    from burnscar_assets.training.plan import usable_windows

    seen = usable_windows(trained, (2019, 2020), LAYER)
    train = seen[seen["split"] == "train"]
    images = np.stack([np.asarray(tile) for tile in read_tiles(trained.dataset, train, LAYER, BANDS)])
    expected = tune_threshold(window_nbr(images), (train["category"] == "burnt").to_numpy(bool))
    assert load_report(trained, 2020).threshold == expected
    assert expected.train_burnt + expected.train_unburnt == 60


def test_the_report_stands_for_both_tables_and_proves_separation(trained: DataRoot) -> None:
    report = load_report(trained, 2020)
    assert report.predictions_hash == PREDICTIONS.content_hash(read_table(trained, PREDICTIONS, 2020))
    assert report.metrics_hash == EVALUATION_METRICS.content_hash(read_table(trained, EVALUATION_METRICS, 2020))
    assert (report.separation.scored_windows, report.separation.seen_windows) == (10, 80)
    assert report.separation.seen_years == (2019, 2020) and report.separation.nearest_m > 0
    assert report.summary.windows == 10 and report.simulated


def test_the_same_evaluation_gives_the_same_files_whatever_the_batches(world: DataRoot) -> None:
    before = results(world)
    evaluate(spec_of(world))
    assert results(world) == before
    shuffled = read_table(world, WINDOWS, 2020).sample(frac=1, random_state=1)
    write_table(world, WINDOWS, shuffled, 2020)
    evaluate(spec_of(world))
    assert results(world) == before
    probability = read_table(world, PREDICTIONS, 2020)["burnt_probability"]
    evaluate(spec_of(world, batch_size=3))
    assert np.allclose(read_table(world, PREDICTIONS, 2020)["burnt_probability"], probability, atol=1e-5)


def move_test_fire_to_training(windows: pd.DataFrame) -> None:
    windows.loc[windows["split"] == "test", "fire_id"] = windows.loc[windows["split"] == "train", "fire_id"].iloc[0]


def share_a_cluster(windows: pd.DataFrame) -> None:
    windows.loc[windows["split"] == "test", "cluster_id"] = windows.loc[windows["split"] == "val", "cluster_id"].iloc[0]


def share_ground(windows: pd.DataFrame) -> None:
    train, test = (windows.index[windows["split"] == split][0] for split in ("train", "test"))
    windows.loc[test, "geometry"] = windows.loc[train, "geometry"]


def deal_anew(windows: pd.DataFrame) -> None:
    windows.loc[windows.index[windows["split"] == "train"][0], "split"] = "test"


def swap_splits(windows: pd.DataFrame) -> None:
    """Leaves the numbers of windows by split and class as they were."""
    burnt = windows["category"] == "burnt"
    train, val = (windows.index[burnt & (windows["split"] == split)][0] for split in ("train", "val"))
    windows.loc[[train, val], "split"] = ["val", "train"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (move_test_fire_to_training, "fires in the test split that were trained on"),
        (share_a_cluster, "clusters in the test split that were trained on"),
        (share_ground, "ground that was trained on"),
        (deal_anew, "windows have changed since the checkpoint of 2020"),
        (swap_splits, "windows have changed since the checkpoint of 2020"),
    ],
)
def test_a_leak_stops_the_evaluation_and_keeps_the_old_one(
    change: Callable[[pd.DataFrame], None], message: str, world: DataRoot
) -> None:
    before = results(world)
    rewrite(world, WINDOWS, change)
    with pytest.raises(InputError, match=message):
        evaluate(spec_of(world))
    assert results(world) == before


def test_without_test_windows_the_error_says_what_to_do(world: DataRoot) -> None:
    test_windows = read_table(world, WINDOWS, 2020).query("split == 'test'")["window_id"]

    def lose(tiles: pd.DataFrame) -> None:
        tiles.loc[tiles["window_id"].isin(test_windows), "complete"] = False

    rewrite(world, TILES, lose)
    with pytest.raises(InputError, match=r"no test window of 2020 has a complete tile .*sampling\.splits"):
        evaluate(spec_of(world))


def test_a_tampered_checkpoint_is_refused_and_the_old_evaluation_kept(world: DataRoot) -> None:
    before = results(world)
    weights = world.checkpoint(2020) / "weights.pth"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="hash is wrong"):
        evaluate(spec_of(world))
    assert results(world) == before


def test_a_missing_tile_is_a_clear_error(world: DataRoot) -> None:
    window_id = read_table(world, PREDICTIONS, 2020)["window_id"].iloc[0]
    shutil.rmtree(world.dataset / "windows" / "2020" / window_id / "layers" / LAYER)
    with pytest.raises(MissingDataError, match="burnscar refresh --years 2020"):
        evaluate(spec_of(world))


def run_process(spec: Path) -> tuple[int, dict]:
    command = [sys.executable, "-m", "burnscar_assets.evaluation.evaluator", str(spec)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return process.returncode, json.loads(process.stderr.strip().splitlines()[-1])


def test_the_process_writes_what_the_function_does(world: DataRoot, tmp_path: Path) -> None:
    before = results(world)
    shutil.rmtree(world.evaluation(2020))
    code, event = run_process(spec_of(world).write(tmp_path / "spec.json"))
    assert (code, event["event"]) == (0, "done")
    assert results(world) == before


def test_the_process_says_what_went_wrong(tmp_path: Path) -> None:
    spec = EvaluationSpec(root=tmp_path / "data", fire_year=2020)
    code, event = run_process(spec.write(tmp_path / "spec.json"))
    assert (code, event["error"]) == (2, "CheckpointError") and "burnscar refresh --years 2020" in event["message"]
    code, event = run_process(tmp_path / "absent.json")
    assert (code, event["error"]) == (2, "InputError") and "absent.json" in event["message"]


def test_spec_round_trip_and_mistakes(tmp_path: Path) -> None:
    spec = EvaluationSpec(root=tmp_path, fire_year=2020, data_versions={"tiles/2020": "abc"})
    path = spec.write(tmp_path / "spec.json")
    assert EvaluationSpec.read(path) == spec
    path.write_text(path.read_text().replace("fire_year", "fire_jahr"))
    with pytest.raises(InputError, match="fire_jahr"):
        EvaluationSpec.read(path)


def test_a_broken_report_counts_as_missing(trained: DataRoot, tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    with pytest.raises(MissingDataError, match="burnscar refresh --years 2020"):
        load_report(root, 2020)
    root.evaluation(2020).mkdir(parents=True)
    whole = (trained.evaluation(2020) / "report.json").read_bytes()
    (root.evaluation(2020) / "report.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingDataError, match="no evaluation report"):
        load_report(root, 2020)
    (root.evaluation(2020) / "report.json").write_bytes(whole)
    assert isinstance(load_report(root, 2020), EvaluationReport)
