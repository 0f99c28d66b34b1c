"""Metrics agree with scikit-learn and torchmetrics, and are undefined where they are."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from burnscar_assets.evaluation.metrics import METRICS, Answers, binary_metrics, weighted_metrics


def answers_from(truth: Sequence[bool], score: Sequence[float], threshold: float = 0.5) -> Answers:
    score = np.asarray(score, dtype=float)
    return Answers(np.asarray(truth, dtype=bool), score >= threshold, score, score)


Rows = list[tuple[bool, float]]

windows = st.lists(st.tuples(st.booleans(), st.sampled_from(np.linspace(0, 1, 9).tolist())), min_size=1, max_size=60)


@given(windows)
def test_agrees_with_scikit_learn(rows: Rows) -> None:
    truth, score = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    answers = answers_from(truth, score)
    ours = binary_metrics(answers)
    expected = {"accuracy": sk.accuracy_score(truth, answers.predicted), "brier": np.mean((score - truth) ** 2)}
    for label, name in ((True, "burnt"), (False, "unburnt")):
        for metric, function in (
            ("precision", sk.precision_score),
            ("recall", sk.recall_score),
            ("f1", sk.f1_score),
            ("iou", sk.jaccard_score),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                undefined = np.nan if metric != "iou" else 0
                value = function(truth, answers.predicted, pos_label=label, zero_division=undefined)
            if metric == "iou" and not (truth == label).any() and not (answers.predicted == label).any():
                value = np.nan
            expected[f"{metric}_{name}"] = value
    if truth.all() or not truth.any():
        expected |= {"balanced_accuracy": np.nan, "auroc": np.nan}
    else:
        expected["balanced_accuracy"] = sk.balanced_accuracy_score(truth, answers.predicted)
        expected["auroc"] = sk.roc_auc_score(truth, score)
    expected["average_precision"] = sk.average_precision_score(truth, score) if truth.any() else np.nan
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, nan_ok=True), name


def test_agrees_with_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.functional import classification as tm

    generator = np.random.default_rng(1)
    truth, score = generator.random(300) < 0.3, generator.random(300).round(2)
    ours = binary_metrics(answers_from(truth, score))
    probability, target = torch.from_numpy(score), torch.from_numpy(truth.astype(int))
    assert ours["f1_burnt"] == pytest.approx(float(tm.binary_f1_score((probability >= 0.5).int(), target)))
    assert ours["iou_burnt"] == pytest.approx(float(tm.binary_jaccard_index((probability >= 0.5).int(), target)))
    assert ours["auroc"] == pytest.approx(float(tm.binary_auroc(probability, target)))
    assert ours["average_precision"] == pytest.approx(float(tm.binary_average_precision(probability, target)))


@given(windows, st.data())
def test_weights_are_repetitions(rows: Rows, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    answers = answers_from([r[0] for r in rows], [r[1] for r in rows])
    weighted = weighted_metrics(answers, np.array([counts]))
    repeated = binary_metrics(answers.take(np.repeat(np.arange(len(rows)), counts)))
    for name in METRICS:
        assert weighted[name][0] == pytest.approx(repeated[name], nan_ok=True), name


def test_undefined_is_nan_and_not_zero() -> None:
    values = binary_metrics(answers_from([False, False], [0.1, 0.2]))
    undefined = {name for name, value in values.items() if np.isnan(value)}
    assert undefined == {
        "balanced_accuracy", "precision_burnt", "recall_burnt", "f1_burnt", "iou_burnt", "f1_macro", "auroc",
        "average_precision",
    }  # fmt: skip
    assert values["f1_unburnt"] == 1


def test_a_missed_class_is_zero_and_not_nan() -> None:
    values = binary_metrics(answers_from([True, False], [0.1, 0.2]))
    assert values["f1_burnt"] == values["iou_burnt"] == values["recall_burnt"] == 0
    assert np.isnan(values["precision_burnt"])


def test_without_windows_every_ratio_is_undefined() -> None:
    values = binary_metrics(answers_from([], []))
    assert [values[name] for name in ("tp", "fp", "fn", "tn")] == [0, 0, 0, 0]
    assert np.isnan(values["accuracy"]) and np.isnan(values["auroc"])


def test_a_method_without_probability_has_no_brier_score() -> None:
    answers = Answers(np.array([True, False]), np.array([True, False]), np.array([0.0, -np.inf]))
    values = binary_metrics(answers)
    assert np.isnan(values["brier"]) and values["auroc"] == 1


def test_every_metric_is_named_once() -> None:
    assert list(binary_metrics(answers_from([True, False], [1, 0]))) == list(METRICS)
