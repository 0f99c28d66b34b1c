"""The metrics table: pooled with intervals, per fire without, independent of row order."""

import numpy as np
import pandas as pd
import pytest

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.metrics import METRICS
from burnscar_assets.evaluation.report import BASELINE, MODEL, answers_of, evaluate_predictions, summarise
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

SETTINGS = EvaluationSettings(bootstrap_samples=200)


def value(metrics: pd.DataFrame, metric: str, method: str = MODEL, fire: str = "", column: str = "value") -> float:
    rows = metrics[(metrics.method == method) & (metrics.fire_id == fire) & (metrics.metric == metric)]
    return rows[column].item()


def test_every_metric_for_both_methods_pooled_and_for_each_fire() -> None:
    metrics = evaluate_predictions(make_predictions(fires=5), SETTINGS, 2021)
    assert len(metrics) == 2 * (1 + 5) * len(METRICS)
    pooled = metrics[metrics.scope == "pooled"]
    assert (pooled.fires == 5).all() and (pooled.windows == 5 * 12 + 12).all()
    of_fires = metrics[metrics.scope == "fire"]
    assert of_fires[["low", "high"]].isna().all(axis=None) and (of_fires.windows == 12).all()


def test_a_fire_is_judged_on_its_own_burnt_windows_and_negatives() -> None:
    predictions = make_predictions(fires=3)
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    own = predictions[predictions.fire_id == "fire1"]
    right = (own.category == own.predicted).mean()
    assert value(metrics, "accuracy", fire="fire1") == pytest.approx(right)
    assert value(metrics, "tn", fire="fire1") == ((own.category == "unburnt") & (own.predicted == "unburnt")).sum()


def test_interval_contains_the_value_and_counts_have_none() -> None:
    metrics = evaluate_predictions(make_predictions(), SETTINGS, 2021)
    for metric in ("accuracy", "f1_burnt", "iou_unburnt", "auroc", "brier"):
        low, high = value(metrics, metric, column="low"), value(metrics, metric, column="high")
        assert low <= value(metrics, metric) <= high
    assert np.isnan(value(metrics, "tp", column="low"))
    assert np.isnan(value(metrics, "brier", BASELINE))


def test_row_order_and_missing_fire_ids_do_not_matter() -> None:
    predictions = make_predictions()
    expected = EVALUATION_METRICS.content_hash(evaluate_predictions(predictions, SETTINGS, 2021))
    changed = predictions.sample(frac=1, random_state=4)
    changed["fire_id"] = changed["fire_id"].where(changed["fire_id"] != "", pd.NA)
    assert EVALUATION_METRICS.content_hash(evaluate_predictions(changed, SETTINGS, 2021)) == expected
    other = EvaluationSettings(bootstrap_samples=200, seed=1)
    assert EVALUATION_METRICS.content_hash(evaluate_predictions(predictions, other, 2021)) != expected


def test_a_perfect_method_scores_one_everywhere() -> None:
    predictions = make_predictions()
    predictions["burnt_probability"] = (predictions.category == "burnt").astype(float)
    predictions["predicted"] = predictions.category
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    for metric in ("accuracy", "f1_macro", "iou_burnt", "auroc", "average_precision"):
        assert [value(metrics, metric, column=c) for c in ("value", "low", "high")] == [1, 1, 1]
    assert value(metrics, "brier") == 0


def test_baseline_ranks_by_low_nbr_and_a_window_without_nbr_last() -> None:
    predictions = make_predictions(fires=2)
    predictions["nbr"] = np.where(predictions.category == "burnt", -0.3, 0.3)
    predictions.loc[predictions.category == "unburnt", "nbr"] = np.nan
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    assert value(metrics, "auroc", BASELINE) == 1
    assert np.isneginf(answers_of(predictions, BASELINE).ranking).sum() == (predictions.category == "unburnt").sum()


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_an_impossible_probability_is_an_error(bad: float) -> None:
    predictions = make_predictions()
    predictions.loc[3, "burnt_probability"] = bad
    with pytest.raises(InputError, match="burnt_probability"):
        evaluate_predictions(predictions, SETTINGS, 2021)


def test_no_predictions_are_an_error() -> None:
    with pytest.raises(InputError, match="no predictions for 2021"):
        evaluate_predictions(make_predictions().iloc[:0], SETTINGS, 2021)


def test_summary_repeats_the_table_and_leaves_out_what_is_undefined() -> None:
    predictions = make_predictions(fires=4)
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    summary = summarise(predictions, metrics)
    assert (summary.windows, summary.fires, summary.clusters) == (60, 4, 7)
    assert summary.tp + summary.fn == summary.burnt_windows == 24
    assert summary.f1_burnt == value(metrics, "f1_burnt")
    assert summary.worst_fire_f1_burnt == min(value(metrics, "f1_burnt", fire=f"fire{n}") for n in range(4))
    lone = predictions[predictions.fire_id == "fire0"]
    undefined = summarise(lone, evaluate_predictions(lone, SETTINGS, 2021))
    assert undefined.f1_burnt_low is None and undefined.f1_burnt is not None
