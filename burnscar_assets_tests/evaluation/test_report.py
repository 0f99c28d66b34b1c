"""The metrics table: pooled with intervals, per fire without, independent of row order."""

import numpy as np
import pandas as pd
import pytest

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.key_figures import summarise
from burnscar_assets.evaluation.metrics import METRICS
from burnscar_assets.evaluation.report import (
    BASELINE,
    MODEL,
    across_years,
    answers_of,
    evaluate_predictions,
)
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

SETTINGS = EvaluationSettings(bootstrap_samples=200)


def value(metrics: pd.DataFrame, metric: str, method: str = MODEL, fire: str = "", column: str = "value") -> float:
    scope = "fire" if fire else "pooled"
    chosen = (metrics.method == method) & (metrics.fire_id == fire) & (metrics.metric == metric)
    rows = metrics[chosen & (metrics.scope == scope)]
    return rows[column].item()


def test_every_metric_for_both_methods_pooled_and_for_each_fire() -> None:
    metrics = evaluate_predictions(make_predictions(fires=5), SETTINGS, 2021)
    assert len(metrics[metrics.scope.isin(["pooled", "fire"])]) == 2 * (1 + 5) * len(METRICS)
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


def test_fires_that_a_person_took_out_are_in_no_figure_but_the_one_with_them() -> None:
    every = make_predictions(fires=9)
    told = every.assign(out=every.fire_id.isin(["fire1", "fire2"]))
    metrics, without = (
        evaluate_predictions(rows, SETTINGS, 2021, season=rows, beside={"cloudy": rows})
        for rows in (told, every[~told["out"]])
    )
    beside = metrics.scope.isin(["pooled_with_out", "season_pooled_with_out"])
    assert EVALUATION_METRICS.content_hash(metrics[~beside]) == EVALUATION_METRICS.content_hash(without)
    of_all = evaluate_predictions(every, SETTINGS, 2021).query("scope == 'pooled'")
    assert metrics[metrics.scope == "pooled_with_out"].value.tolist() == pytest.approx(
        of_all.value.tolist(), nan_ok=True
    )
    assert summarise(told, metrics) == summarise(every[~told["out"]], without)
    assert set(across_years(told, SETTINGS).fire_id) == {"", *(f"fire{n}" for n in (0, 3, 4, 5, 6, 7, 8))}
    with pytest.raises(InputError, match="of fires that a person took out: leave one in"):
        evaluate_predictions(every.assign(out=True), SETTINGS, 2021)


def test_row_order_and_missing_fire_ids_do_not_matter() -> None:
    predictions = make_predictions()
    expected = EVALUATION_METRICS.content_hash(evaluate_predictions(predictions, SETTINGS, 2021))
    changed = predictions.sample(frac=1, random_state=4)
    changed["fire_id"] = changed["fire_id"].where(changed["fire_id"] != "", pd.NA)
    assert EVALUATION_METRICS.content_hash(evaluate_predictions(changed, SETTINGS, 2021)) == expected
    other = EvaluationSettings(confidence=0.9)
    assert EVALUATION_METRICS.content_hash(evaluate_predictions(predictions, other, 2021)) != expected


def test_a_perfect_method_scores_one_everywhere() -> None:
    predictions = make_predictions()
    predictions["burnt_probability"] = (predictions.category == "burnt").astype(float)
    predictions["calibrated_probability"] = predictions["burnt_probability"]
    predictions["predicted"] = predictions.category
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    effective = value(metrics, "accuracy", column="effective_clusters")
    assert effective == 8
    for metric in ("accuracy", "f1_macro", "iou_burnt", "auroc", "average_precision"):
        told = [value(metrics, metric, column=c) for c in ("value", "low", "high")]
        assert told == pytest.approx([1, 0.025 ** (1 / effective), 1]), "few fires without a mistake prove little"
    assert [value(metrics, "brier", column=c) for c in ("value", "low")] == [0, 0]
    assert value(metrics, "brier", column="high") == pytest.approx(1 - 0.025 ** (1 / effective))


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


def part(metrics: pd.DataFrame, scope: str, metric: str, subset: str = "", method: str = MODEL) -> pd.Series:
    chosen = (metrics.scope == scope) & (metrics.metric == metric) & (metrics.subset == subset)
    (row,) = [row for _, row in metrics[chosen & (metrics.method == method)].iterrows()]
    return row


def test_parts_are_judged_on_their_own_windows() -> None:
    predictions = make_predictions(fires=8)
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    names = set(metrics.loc[metrics.scope == "fire_size", "subset"])
    assert names == {"below 100 ha", "100 to 1,000 ha", "1,000 to 10,000 ha", "10,000 ha and more"}
    inside = predictions[(predictions.fire_area_ha >= 100) & (predictions.fire_area_ha < 1000)]
    row = part(metrics, "fire_size", "accuracy", "100 to 1,000 ha")
    assert row.value == (inside.category == inside.predicted).mean()
    assert (row.windows, row.fires) == (len(inside), 2) and np.isnan(row.low), "two fires give no interval"
    many = part(
        evaluate_predictions(make_predictions(fires=32), SETTINGS, 2021), "fire_size", "accuracy", "100 to 1,000 ha"
    )
    assert many.fires == 8 and many.low <= many.value <= many.high
    days = metrics[(metrics.scope == "days_since_containment") & (metrics.metric == "tp") & (metrics.method == MODEL)]
    assert days.windows.sum() == (predictions.fire_id != "").sum(), "land without fire was contained on no day"
    ring = part(metrics, "stratum", "recall_unburnt", "ring")
    assert ring.value == (predictions[predictions.stratum == "ring"].predicted == "unburnt").mean()
    assert "burnt" not in set(metrics.loc[metrics.scope == "stratum", "subset"])
    assert not (metrics.scope == "ecoregion").any(), "none is configured"
    regional = predictions.assign(ecoregion=np.where(np.arange(len(predictions)) % 2, "Sierra", ""))
    found = evaluate_predictions(regional, SETTINGS, 2021)
    assert set(found.loc[found.scope == "ecoregion", "subset"]) == {"Sierra"}


def test_false_alarms_are_told_by_area_of_land_without_fire() -> None:
    predictions = make_predictions(land_blocks=6)
    land = predictions.stratum == "land"
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    row = part(metrics, "land", "false_alarms_per_1000_km2")
    alarms = (predictions[land].predicted == "burnt").sum()
    area_km2 = land.sum() * 0.32**2
    assert row.value == pytest.approx(1000 * alarms / area_km2) and row.windows == 24
    assert row.low < row.value < row.high
    assert part(metrics, "land", "area_km2").value == pytest.approx(area_km2)
    silent = predictions.assign(predicted=predictions.predicted.where(~land, "unburnt"))
    none = part(evaluate_predictions(silent, SETTINGS, 2021), "land", "false_alarms_per_1000_km2")
    assert none.value == none.low == 0
    assert none.high == pytest.approx(1000 * -np.log(0.025) / area_km2), "no alarm in a small area is no proof of none"
    landless = evaluate_predictions(make_predictions(land_blocks=0), SETTINGS, 2021)
    assert not (landless.scope == "land").any()


def test_calibration_is_told_before_and_after_the_temperature() -> None:
    predictions = make_predictions(fires=10, windows_per_fire=20)
    predictions["calibrated_probability"] = 0.5
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    burnt = (predictions.category == "burnt").mean()
    assert part(metrics, "calibrated", "ece").value == pytest.approx(abs(burnt - 0.5))
    assert part(metrics, "pooled", "ece").value != part(metrics, "calibrated", "ece").value
    curve = metrics[(metrics.scope == "reliability") & (metrics.metric == "burnt_share")]
    assert curve.windows.sum() == len(predictions)
    last = predictions[predictions.burnt_probability >= 0.9]
    row = part(metrics, "reliability", "burnt_share", "0.9–1.0")
    assert row.value == pytest.approx((last.category == "burnt").mean()) and row.windows == len(last)
    mean = part(metrics, "reliability", "mean_probability", "0.9–1.0").value
    assert mean == pytest.approx(last.burnt_probability.mean())


def test_a_season_has_scopes_of_its_own() -> None:
    predictions, season = make_predictions(), make_predictions(seed=1, fires=12)
    metrics = evaluate_predictions(predictions, SETTINGS, 2021, season)
    alone = evaluate_predictions(season, SETTINGS, 2021)
    assert part(metrics, "season", "f1_burnt").value == part(alone, "pooled", "f1_burnt").value
    assert set(metrics.scope) == {*alone.scope, "season", *(f"season_{s}" for s in set(alone.scope) - {"pooled"})}
    summary = summarise(predictions, metrics)
    assert summary.season_windows == len(season) and summary.windows == len(predictions)
    assert summary.season_f1_burnt == part(metrics, "season", "f1_burnt").value


def test_each_fire_counts_once_beside_the_pooled_figures() -> None:
    predictions = make_predictions(fires=9)
    large = make_predictions(fires=9, windows_per_fire=60, skill=-0.3)
    grown = pd.concat(
        [predictions, large[large.fire_id == "fire0"].assign(window_id=lambda rows: "large" + rows.window_id)]
    )
    metrics = evaluate_predictions(grown, SETTINGS, 2021)
    each = [value(metrics, "f1_burnt", fire=f"fire{n}") for n in range(9)]
    mean, median = (part(metrics, "per_fire", "f1_burnt", subset) for subset in ("mean", "median"))
    assert mean.value == pytest.approx(np.mean(each)) and median.value == pytest.approx(np.median(each))
    assert part(metrics, "pooled", "f1_burnt").value < mean.value, "pooled, the large fire counts for most"
    assert mean.low < mean.value < mean.high and np.isnan(median.low)
    assert (mean.fires, mean.effective_clusters) == (9, 9)
    summary = summarise(grown, metrics)
    assert (summary.mean_fire_f1_burnt, summary.median_fire_f1_burnt) == (mean.value, median.value)


def test_few_or_unequal_clusters_get_no_pooled_interval() -> None:
    few = evaluate_predictions(make_predictions(fires=4), SETTINGS, 2021)
    assert few[["low", "high"]].isna().all(axis=None) and part(few, "pooled", "f1_burnt").effective_clusters == 4
    large = make_predictions(fires=7, windows_per_fire=150).query("fire_id == 'fire6'")
    unequal = evaluate_predictions(pd.concat([make_predictions(fires=6), large]), SETTINGS, 2021)
    row = part(unequal, "pooled", "f1_burnt")
    assert (
        row.fires == 7 and row.effective_clusters == pytest.approx(222**2 / (6 * 12**2 + 150**2)) and np.isnan(row.low)
    )
    assert part(unequal, "per_fire", "f1_burnt", "mean").low > 0, "there each fire counts once"


def test_across_years_the_same_ground_is_one_cluster() -> None:
    years = [
        make_predictions(fires=5, seed=year).assign(
            fire_year=year, cluster_id=lambda rows, y=year: rows.cluster_id + str(y)
        )
        for year in (2020, 2021)
    ]
    for rows, year in zip(years, (2020, 2021), strict=True):
        rows["window_id"] = rows.window_id + str(year)
        rows["fire_id"] = rows.fire_id.where(rows.fire_id == "", rows.fire_id + str(year))
    again = part(across_years(pd.concat(years, ignore_index=True), SETTINGS), "pooled", "f1_burnt")
    assert (again.fires, again.effective_clusters) == (10, 5) and np.isnan(again.low)
    years[1] = years[1].set_geometry(years[1].translate(yoff=50_000))
    apart = across_years(pd.concat(years, ignore_index=True), SETTINGS)
    row = part(apart, "pooled", "f1_burnt")
    assert (row.fires, row.effective_clusters) == (10, 10) and row.low < row.value < row.high
    assert not ((apart.scope == "pooled") & (apart.metric == "auroc")).any(), "two checkpoints' probabilities"
