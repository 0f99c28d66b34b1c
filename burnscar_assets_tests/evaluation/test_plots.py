"""The picture of an evaluation: small, labelled as simulated, and drawn for odd inputs too."""

import io

import pytest

from burnscar_assets.evaluation.plots import plot_evaluation
from burnscar_assets.evaluation.report import evaluate_predictions
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

SETTINGS = EvaluationSettings(bootstrap_samples=100)


@pytest.mark.parametrize(("fires", "blocks"), [(1, 0), (6, 3), (90, 5), (0, 4)])
def test_picture_is_small_and_says_simulated(fires: int, blocks: int) -> None:
    predictions = make_predictions(fires=fires, land_blocks=blocks)
    metrics = evaluate_predictions(predictions, SETTINGS, 2021)
    figure = plot_evaluation(predictions, metrics, title="Evaluation 2021", simulated=True)
    assert figure.get_suptitle() == "Evaluation 2021 (simulated imagery)"
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight")
    assert 5_000 < buffer.tell() < 100_000
    counted = sum(int(text.get_text().split()[0]) for text in figure.axes[0].texts)
    assert counted == len(predictions)
