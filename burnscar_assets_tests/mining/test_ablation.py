"""Two checkpoints on the same held-out windows: the same answers show no difference, fewer false alarms show one."""

import geopandas as gpd
import pandas as pd
import pytest

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.metrics import Answers, binary_metrics
from burnscar_assets.mining.ablation import LAND_RATE, Ablation, compare_predictions
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

SETTINGS = EvaluationSettings(bootstrap_samples=300)


def rows(found: Ablation) -> pd.DataFrame:
    return found.rows.set_index("metric")


def without_false_alarms(predictions: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    better = predictions.copy()
    unburnt = better["category"] == "unburnt"
    better.loc[unburnt, "predicted"] = "unburnt"
    better.loc[unburnt, "burnt_probability"] = 0.01
    return better


def test_the_same_answers_show_no_difference() -> None:
    predictions = make_predictions(fires=12, land_blocks=8)
    found = compare_predictions(predictions, predictions.sample(frac=1, random_state=0), SETTINGS)
    assert (rows(found)[["difference", "low", "high"]] == 0).all(axis=None)
    assert set(rows(found)["verdict"]) == {"no difference shown"}
    assert (found.windows, found.left_out, found.fires) == (len(predictions), 0, 12)


def test_fewer_false_alarms_are_better_whichever_is_first() -> None:
    before = make_predictions(fires=12, land_blocks=8, skill=0.15)
    after = without_false_alarms(before)
    better, worse = (
        rows(compare_predictions(after, before, SETTINGS)),
        rows(compare_predictions(before, after, SETTINGS)),
    )
    for metric in ("f1_burnt", "precision_burnt", LAND_RATE):
        assert better.loc[metric, "verdict"] == "better with" and worse.loc[metric, "verdict"] == "worse with"
        assert better.loc[metric, "difference"] == pytest.approx(-worse.loc[metric, "difference"])
    assert better.loc["recall_burnt", "verdict"] == "no difference shown"
    answers = Answers(
        (after["category"] == "burnt").to_numpy(bool),
        (after["predicted"] == "burnt").to_numpy(bool),
        after["burnt_probability"].to_numpy(float),
    )
    assert better.loc["f1_burnt", "with"] == pytest.approx(binary_metrics(answers)["f1_burnt"])
    land = before[before["stratum"] == "land"]
    assert better.loc[LAND_RATE, "without"] == pytest.approx((land["predicted"] == "burnt").mean())


def test_only_windows_that_both_were_judged_on_count() -> None:
    predictions = make_predictions(fires=12)
    found = compare_predictions(predictions.iloc[5:], predictions.iloc[:-3], SETTINGS)
    assert (found.windows, found.left_out) == (len(predictions) - 8, 8)
    with pytest.raises(InputError, match="no held-out window in common"):
        compare_predictions(predictions.iloc[:5], predictions.iloc[5:], SETTINGS)


def test_worlds_that_label_windows_differently_are_not_compared() -> None:
    predictions = make_predictions()
    other = predictions.assign(category=predictions["category"].replace({"burnt": "unburnt", "unburnt": "burnt"}))
    with pytest.raises(InputError, match="label some windows differently"):
        compare_predictions(predictions, other, SETTINGS)
