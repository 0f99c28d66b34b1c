"""The model card: whole, the same each time, and plain about limits."""

import json

import pytest

from burnscar_assets.evaluation.card import card_markdown, model_card
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.storage.contracts import EVALUATION_METRICS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets.training.manifest import verify_checkpoint
from burnscar_assets_tests.evaluation.tiny_world import spec_of


def test_the_card_says_what_the_manifest_the_report_and_the_table_say(trained: DataRoot) -> None:
    card = json.loads((trained.evaluation(2020) / "model_card.json").read_text())
    manifest, report = verify_checkpoint(trained.checkpoint(2020)), load_report(trained, 2020)
    assert card["weights_sha256"] == manifest.weights_sha256 and card["licence"] == manifest.notice
    assert card["data"]["trained_on"] == manifest.data_versions and card["data"]["fires"] == manifest.fires
    assert card["held_out"]["decision"]["threshold"] == report.held_out.decision.threshold
    metrics = read_table(trained, EVALUATION_METRICS, 2020)
    pooled = metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == "f1_burnt")].set_index("method")
    told = [f for f in card["metrics"] if (f["scope"], f["metric"]) == ("pooled", "f1_burnt")]
    for figure in told:
        assert figure["value"] == pytest.approx(pooled.loc[figure["method"], "value"])
        assert figure["low"] == pytest.approx(pooled.loc[figure["method"], "low"])
    assert {"season", "fire_size", "stratum"} <= {figure["scope"] for figure in card["metrics"]}


def test_limits_are_told_in_both_forms(trained: DataRoot) -> None:
    text = (trained.evaluation(2020) / "MODEL_CARD.md").read_text()
    card = json.loads((trained.evaluation(2020) / "model_card.json").read_text())
    assert all(f"- {limit}" in text for limit in card["limits"])
    said = " ".join(card["limits"])
    assert "SIMULATED" in said and "random weights" in said and "3 held-out fires are few" in said
    assert "**Simulated imagery.**" in text and "Checkpoint of 2019 on all windows" in text
    (ring,) = [line for line in text.splitlines() if line.startswith("| stratum: ring")]
    assert ring.split(" | ")[3] == "–", "one class has no F1"
    assert "below 100 ha" in text and "](worst_windows.png)" in text
    assert (trained.evaluation(2020) / "worst_windows.png").stat().st_size < 400_000


def test_a_card_without_simulation_does_not_mention_it(trained: DataRoot) -> None:
    manifest, report = verify_checkpoint(trained.checkpoint(2020)), load_report(trained, 2020)
    real = report.__class__(**{**report.__dict__, "simulated": False})
    metrics = read_table(trained, EVALUATION_METRICS, 2020)
    assert "imulated" not in card_markdown(model_card(spec_of(trained), manifest, real, metrics))
