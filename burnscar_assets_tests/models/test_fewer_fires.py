"""Subsets of training fires are whole and nested, whatever the order of rows, and leave all other windows alone."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from burnscar_assets.evaluation.season import check_seen
from burnscar_assets.models.fewer_fires import training_fires, with_training_fires
from burnscar_assets.models.plan import choose_windows, plan_training, windows_of
from burnscar_assets.models.trainer import run_hash, train
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import tiny_settings

pytestmark = pytest.mark.filterwarnings("ignore:.*RANDOM WEIGHTS")


def windows() -> pd.DataFrame:
    """Eight training fires of four windows, twenty negatives of no fire, and a fire each of the other splits."""
    rows = [("train", f"f{fire}", category) for fire in range(8) for category in ("burnt", "burnt", "unburnt", "mixed")]
    rows += [("train", None if number % 2 else "", "unburnt") for number in range(20)]
    rows += [("train", "only-a-ring", "unburnt"), ("val", "v", "burnt"), ("val", "", "unburnt"), ("test", "t", "burnt")]
    return pd.DataFrame(rows, columns=["split", "fire_id", "category"]).assign(
        window_id=[f"w{number}" for number in range(len(rows))]
    )


def test_each_subset_has_whole_fires_and_holds_the_smaller_ones() -> None:
    every, before = windows(), set[str]()
    assert len(training_fires(every)) == 8, "fires without burnt windows, and of other splits, are none to count"
    for count in range(1, 9):
        left = with_training_fires(every, count)
        ids = set(left["window_id"])
        assert before < ids
        of_fires = left[left["fire_id"].fillna("").str.startswith("f")]
        assert of_fires.groupby("fire_id").size().tolist() == [4] * count
        assert len(left[(left["split"] == "train") & (left["fire_id"].fillna("") == "")]) == round(20 * count / 8)
        assert set(every.loc[every["split"] != "train", "window_id"]) <= ids
        before = ids
    assert len(with_training_fires(every, None)) == len(with_training_fires(every, 8)) == len(every)


def test_the_order_of_rows_changes_nothing() -> None:
    every = windows()
    shuffled = every.sample(frac=1, random_state=1)
    assert training_fires(every) == training_fires(shuffled)
    assert set(with_training_fires(every, 3)["window_id"]) == set(with_training_fires(shuffled, 3)["window_id"])


def test_a_checkpoint_of_fewer_fires_knows_what_it_saw(tiny_world: DataRoot, tmp_path: Path) -> None:
    own_world, settings = DataRoot(tmp_path / "data"), tiny_settings(max_epochs=1)
    shutil.copytree(tiny_world.path, own_world.path)
    few, full = (plan_training(settings, own_world, 2020, fires=fires) for fires in (2, None))
    assert few.fires["train"] == 2 < full.fires["train"] and few.names["val"] == full.names["val"]
    assert run_hash(few, "cpu") != run_hash(full, "cpu"), "one is never taken for the other"
    manifest = train(few, lambda event: None)
    usable = windows_of(own_world, manifest, settings.imagery.layer)
    check_seen(usable, manifest)
    chosen = choose_windows(settings, own_world, manifest.fire_years, fires=2).windows
    assert set(usable["window_id"]) == set(chosen["window_id"])
