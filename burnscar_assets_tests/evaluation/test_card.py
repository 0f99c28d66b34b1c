"""The model card: whole, the same each time, and plain about limits."""

import json
from dataclasses import replace

import numpy as np
import pytest

from burnscar_assets.evaluation.card import model_card
from burnscar_assets.evaluation.card_markdown import card_markdown
from burnscar_assets.evaluation.report import evaluate_predictions
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions
from burnscar_assets_tests.evaluation.tiny_world import spec_of


def test_the_card_says_what_the_manifest_the_report_and_the_table_say(trained: DataRoot) -> None:
    card = json.loads((trained.evaluation(2020) / "model_card.json").read_text())
    manifest, report = verify_checkpoint(trained.checkpoint(2020)), load_report(trained, 2020)
    assert card["weights_sha256"] == manifest.weights_sha256 and card["licence"] == manifest.notice
    assert card["data"]["trained_on"] == manifest.data_versions and card["data"]["fires"] == manifest.fires
    seen = (card["data"][name].keys() for name in ("windows", "fires", "cloudy_windows"))
    assert all(splits <= {"train", "val"} for splits in seen), "windows for testing were seen by nothing"
    assert "| test |" not in (trained.evaluation(2020) / "MODEL_CARD.md").read_text()
    assert card["held_out"]["rules"]["decision"]["threshold"] == report.held_out.rules.decision.threshold
    metrics = read_table(trained, EVALUATION_METRICS, 2020)
    pooled = metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == "f1_burnt")].set_index("method")
    told = [f for f in card["metrics"] if (f["scope"], f["metric"]) == ("pooled", "f1_burnt")]
    for figure in told:
        assert figure["value"] == pytest.approx(pooled.loc[figure["method"], "value"])
        assert figure["low"] is None and np.isnan(pooled.loc[figure["method"], "low"]), "three fires give no interval"
    assert {"season", "fire_size", "stratum"} <= {figure["scope"] for figure in card["metrics"]}


def test_intervals_are_told_where_there_are_fires_enough(trained: DataRoot) -> None:
    manifest, report = verify_checkpoint(trained.checkpoint(2020)), load_report(trained, 2020)
    season = make_predictions(fires=9, seed=1)
    metrics = evaluate_predictions(make_predictions(fires=9), EvaluationSettings(), 2020, season)
    card = model_card(spec_of(trained), [manifest], report, metrics)
    for scope, subset in (("pooled", ""), ("per_fire", "mean")):
        named = (metrics["scope"] == scope) & (metrics["subset"] == subset) & (metrics["metric"] == "f1_burnt")
        row = metrics[named & (metrics["method"] == "model")].iloc[0]
        (figure,) = [
            f
            for f in card["metrics"]
            if (f["method"], f["scope"], f["subset"], f["metric"]) == ("model", scope, subset, "f1_burnt")
        ]
        assert (figure["value"], figure["low"]) == pytest.approx((row["value"], row["low"]))
        assert f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]" in card_markdown(card)
    assert "| fire | windows |" not in card_markdown(card).partition("## The season")[0]


def test_fires_are_listed_where_they_are_too_few_for_an_interval(trained: DataRoot) -> None:
    text = (trained.evaluation(2020) / "MODEL_CARD.md").read_text()
    metrics = read_table(trained, EVALUATION_METRICS, 2020)
    fires = metrics[(metrics["scope"] == "fire") & (metrics["metric"] == "f1_burnt") & (metrics["method"] == "model")]
    assert "too few for intervals, so each fire is listed" in text and "f1_burnt, median over fires" in text
    for row in fires.dropna(subset=["value"]).itertuples():
        assert f"| {row.fire_id} | {row.windows} | {row.value:.3g} |" in text


def test_limits_are_told_in_both_forms(trained: DataRoot) -> None:
    text = (trained.evaluation(2020) / "MODEL_CARD.md").read_text()
    card = json.loads((trained.evaluation(2020) / "model_card.json").read_text())
    assert all(f"- {limit}" in text for limit in card["limits"])
    said = " ".join(card["limits"])
    assert "SIMULATED" in said and "random weights" in said and "3 held-out fires are few" in said
    assert "**Simulated imagery.**" in text and "Champion of 2019 on all windows" in text
    (ring,) = [line for line in text.splitlines() if line.startswith("| stratum: ring")]
    assert ring.split(" | ")[3] == "–", "one class has no F1"
    assert "below 100 ha" in text and "](worst_windows.png)" in text
    assert (trained.evaluation(2020) / "worst_windows.png").stat().st_size < 400_000


def test_a_calibration_of_maps_at_its_bound_is_told(trained: DataRoot) -> None:
    report = load_report(trained, 2020)
    judged = report.held_out
    bound = replace(judged.rules.for_maps, at_bound=True)
    report = replace(report, held_out=replace(judged, rules=replace(judged.rules, maps=bound)))
    manifest, table = verify_checkpoint(trained.checkpoint(2020)), read_table(trained, EVALUATION_METRICS, 2020)
    limits = model_card(spec_of(trained), [manifest], report, table)["limits"]
    assert any("calibration of maps is at its bound" in limit for limit in limits)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ({}, "pretrained on: none, its weights are random."),
        ({"random": False, "pretraining": "all the world"}, "pretrained on: all the world."),
        (None, "pretrained on: none, there is no encoder."),
    ],
)
def test_what_is_known_of_the_pretraining_is_told(encoder: dict | None, said: str, trained: DataRoot) -> None:
    manifest, report = verify_checkpoint(trained.checkpoint(2020)), load_report(trained, 2020)
    assert manifest.encoder is not None
    record = None if encoder is None else manifest.encoder.model_copy(update=encoder)
    metrics = read_table(trained, EVALUATION_METRICS, 2020)
    card = model_card(spec_of(trained), [manifest.model_copy(update={"encoder": record})], report, metrics)
    assert said in card_markdown(card)
    pretrained = record is not None and not record.random
    assert any("may have been in the pretraining" in limit for limit in card["limits"]) == pretrained


def test_a_card_without_simulation_does_not_mention_it(trained: DataRoot) -> None:
    manifest, report = verify_checkpoint(trained.checkpoint(2020)), load_report(trained, 2020)
    real = report.__class__(**{**report.__dict__, "simulated": False})
    metrics = read_table(trained, EVALUATION_METRICS, 2020)
    assert "imulated" not in card_markdown(model_card(spec_of(trained), [manifest], real, metrics))
