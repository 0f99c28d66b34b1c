"""The same model by both protocols: each step leaves out or takes in just the windows it says."""

import pandas as pd
import pytest

from burnscar_assets.evaluation.published import (
    HELD_OUT,
    LEAKING,
    NO_GAP,
    TEST_IS_VAL,
    score_by_protocols,
    score_checkpoint,
)
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions
from burnscar_assets_tests.evaluation.tiny_world import spec_of

SETTINGS = EvaluationSettings(bootstrap_samples=200)


def test_the_laxer_protocol_hides_what_the_model_gets_wrong() -> None:
    """A model that mistakes the surroundings of fires, and fires that it has not seen, for the other class."""
    splits = ["train", "train", "val", "test"]
    rows = pd.concat(
        [make_predictions(fires=6, seed=n).assign(split=split) for n, split in enumerate(splits)], ignore_index=True
    )
    rows["window_id"] = [f"w{n:05d}" for n in range(len(rows))]
    rows["fire_id"] = [
        f"{s}{n // 84}{f}" if f else "" for n, (s, f) in enumerate(zip(rows.split, rows.fire_id, strict=True))
    ]
    rows["cluster_id"] = rows["fire_id"].where(rows["fire_id"] != "", rows["cluster_id"])
    burnt = rows["category"] == "burnt"
    probability = burnt.astype(float) * 0.8 + 0.1
    probability = probability.mask((rows["stratum"] == "ring") & (rows.index % 3 == 0), 0.9)
    probability = probability.mask((rows["split"] == "test") & burnt & (rows.index % 4 == 0), 0.2)
    rows["burnt_probability"], rows["predicted"] = (
        probability,
        (probability > 0.5).map({True: "burnt", False: "unburnt"}),
    )
    found = score_by_protocols(rows, SETTINGS).set_index("protocol")
    assert found["f1_burnt"].is_monotonic_increasing
    assert found.loc[HELD_OUT, "f1_burnt"] < found.loc[NO_GAP, "f1_burnt"] < found.loc[TEST_IS_VAL, "f1_burnt"] == 1
    assert found["fires"].to_dict() == {HELD_OUT: 6, NO_GAP: 6, TEST_IS_VAL: 6, LEAKING: 18}
    assert (found["f1_burnt_low"] <= found["f1_burnt"]).all()


def test_a_protocol_without_a_class_has_no_score() -> None:
    rows = make_predictions(land_blocks=0)
    found = score_by_protocols(rows, SETTINGS).set_index("protocol")
    assert found["f1_burnt"].isna().to_dict() == {HELD_OUT: False, NO_GAP: True, TEST_IS_VAL: True, LEAKING: True}


def test_our_protocol_is_that_of_the_evaluation(trained: DataRoot) -> None:
    found = score_checkpoint(spec_of(trained)).set_index("protocol")
    summary = load_report(trained, 2020).summary
    assert found.loc[HELD_OUT, "f1_burnt"] == pytest.approx(summary.f1_burnt)
    assert found.loc[HELD_OUT, "windows"] == summary.windows
