"""Figures of maps: each fire once, pooled, paired with baselines, and none from too few pieces of ground."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from burnscar_assets.checks import metrics_keep_up, model_beats_baseline
from burnscar_assets.evaluation.map_figures import fires_judged, map_metrics, paired, why_no_map
from burnscar_assets.evaluation.plots import plot_evaluation
from burnscar_assets.evaluation.report import evaluate_predictions
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS
from burnscar_assets_tests.evaluation.map_score_tables import scores_of
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

SETTINGS = EvaluationSettings()


def figures_of(scores: gpd.GeoDataFrame) -> pd.DataFrame:
    rows = pd.DataFrame(map_metrics(scores, SETTINGS)).assign(fire_year=2020)
    return EVALUATION_METRICS.conform(rows).set_index(["method", "scope", "subset", "metric"])


def test_each_fire_counts_once_and_pairs_are_of_the_same_fires() -> None:
    model = [0.8, 0.7, 0.6, 0.9, 0.8, 0.7, 0.75, 0.85]
    dnbr = [0.7, 0.65, np.nan, 0.8, 0.6, 0.6, 0.7, 0.8]
    found = figures_of(scores_of({"model": model, "dnbr": dnbr}))
    mean = found.loc[("model", "maps", "mean", "iou")]
    assert mean["value"] == pytest.approx(np.mean(model)) and mean["fires"] == 8
    assert mean["low"] < mean["value"] < mean["high"]
    assert found.loc[("model", "maps", "median", "iou"), "value"] == pytest.approx(np.median(model))
    gain = found.loc[("model", "maps_gain", "dnbr", "iou")]
    difference = (np.array(model) - dnbr)[~np.isnan(dnbr)]
    assert gain["value"] == pytest.approx(difference.mean()) and gain["fires"] == 7
    assert gain["low"] > 0, "paired, the gain is larger than its spread"
    hits = 100 * np.array(model) / (1 + np.array(model))
    assert found.loc[("model", "maps_pooled", "", "iou"), "value"] == pytest.approx(hits.sum() / (100 - hits).sum())
    sizes = found.loc[("model", "maps_fire_size")]
    assert sizes["fires"].sum() == 8 and len(sizes) == 3
    false = found.loc[("model", "maps_no_fire", "", "false_ha_per_1000_km2"), "value"]
    assert false == pytest.approx(2 / 100 * 100_000)


def test_fires_of_two_years_on_the_same_ground_are_one_piece_of_it_and_six_are_needed() -> None:
    years = [scores_of({"model": [0.8, 0.7, 0.6]}, year=year) for year in (2020, 2021)]
    both = pd.concat(years, ignore_index=True)
    assert fires_judged(both)["ground"].nunique() == 3
    found = pd.DataFrame(map_metrics(both, SETTINGS)).set_index(["scope", "subset", "metric"])
    assert np.isnan(found.loc[("maps", "mean", "iou"), "low"]) and found.loc[("maps", "mean", "iou"), "fires"] == 6


def test_fires_that_a_person_remarked_on_are_told_with_and_without() -> None:
    scores = scores_of({"model": [0.8, 0.2]})
    assert "maps_unflagged" not in figures_of(scores).reset_index()["scope"].to_numpy()
    scores.loc[scores["frame_id"] == "f1", "flag"] = "nothing changed here"
    found = figures_of(scores)
    assert found.loc[("model", "maps", "mean", "iou"), "value"] == pytest.approx(0.5)
    assert found.loc[("model", "maps_unflagged", "mean", "iou"), "value"] == pytest.approx(0.8)


def test_fires_that_a_person_took_out_are_in_no_figure_but_the_one_with_them() -> None:
    scores = scores_of({"model": [0.8, 0.2, 0.6], "dnbr": [0.5, 0.5, 0.5]})
    assert "maps_with_out" not in figures_of(scores).reset_index()["scope"].to_numpy()
    scores.loc[scores["frame_id"] == "f1", "out"] = True
    found = figures_of(scores)
    for method, without, of_all in (("model", 0.7, 1.6 / 3), ("dnbr", 0.5, 0.5)):
        assert found.loc[(method, "maps", "mean", "iou"), "value"] == pytest.approx(without)
        assert found.loc[(method, "maps_with_out", "mean", "iou"), "value"] == pytest.approx(of_all)
    assert found.loc[("model", "maps_gain", "dnbr", "iou"), "value"] == pytest.approx(0.2)
    assert (found["fires"].loc[:, ["maps", "maps_pooled"]] == 2).all() and why_no_map(scores) == ""
    scores["out"] = True
    assert why_no_map(scores) == "a person took it out of the scores"


def test_checks_look_at_maps_first() -> None:
    def metrics(*ious: float, window_f1: float = 0.9) -> pd.DataFrame:
        maps = figures_of(scores_of({"model": [ious[0]] * 3, "dnbr": [ious[1]] * 3, "all_burnt": [0.1] * 3}))
        windows = [
            {"method": method, "scope": "pooled", "subset": "", "metric": "f1_burnt", "value": value}
            for method, value in (("model", window_f1), ("nbr_threshold", 0.5))
        ]
        return pd.concat([maps.reset_index(), pd.DataFrame(windows)], ignore_index=True)

    worse = model_beats_baseline(metrics(0.5, 0.7))
    assert not worse.holds and "dnbr" in worse.detail
    assert model_beats_baseline(metrics(0.7, 0.5, window_f1=0.4)).holds
    assert not metrics_keep_up(metrics(0.5, 0.4), metrics(0.7, 0.4)).holds
    assert metrics_keep_up(metrics(0.65, 0.4, window_f1=0.2), metrics(0.7, 0.4)).holds


def test_the_picture_shows_maps_first() -> None:
    rows = make_predictions(fires=3)
    scores = scores_of({"model": [0.8, 0.7, 0.9], "dnbr": [0.5, 0.6, 0.4]})
    metrics = evaluate_predictions(rows, SETTINGS, 2020, of_maps=map_metrics(scores, SETTINGS))
    axes = plot_evaluation(rows, metrics, title="t", simulated=True).axes
    assert len(axes) == 5 and [label.get_text() for label in axes[0].get_yticklabels()] == ["dnbr  n=3", "model  n=3"]


def test_pairs_are_by_frame_and_year() -> None:
    scores = fires_judged(scores_of({"model": [0.8, 0.7], "dnbr": [0.5, np.nan]}))
    assert paired(scores, "model", "dnbr")["gain"].tolist() == pytest.approx([0.3])


def test_omission_is_told_by_severity_over_all_fires_with_an_image_before() -> None:
    scores = scores_of({"model": [0.8, 0.7, 0.9]})
    assert "maps_severity" not in figures_of(scores).reset_index()["scope"].to_numpy()
    fires = scores["fire_id"] != ""
    scores.loc[fires, ["burnt_high_ha", "hits_high_ha"]] = [(30.0, 30.0), (10.0, 0.0), (np.nan, np.nan)]
    scores.loc[fires, ["burnt_low_ha", "hits_low_ha"]] = [(0.0, 0.0), (4.0, 1.0), (np.nan, np.nan)]
    found = figures_of(scores).loc[("model", "maps_severity")].reset_index().set_index("subset")
    assert found["value"].to_dict() == {"low": 0.75, "high": 0.25} and found["fires"].to_dict() == {"low": 1, "high": 2}
