"""Metrics agree with scikit-learn and torchmetrics, and are undefined where they are."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from burnscar_assets.evaluation.metrics import (
    METRICS,
    SMALLEST_PROBABILITY,
    Answers,
    binary_metrics,
    reliability_bins,
    weighted_metrics,
)


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
    two_classes = np.column_stack([1 - score, score]).clip(SMALLEST_PROBABILITY, 1)
    expected["nll"] = -np.log(two_classes[np.arange(len(truth)), truth.astype(int)]).mean()
    if (np.abs(score - 0.5) < 0.5).all():
        expected["nll"] = sk.log_loss(truth, score, labels=[False, True])
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


@settings(deadline=None)
@given(windows)
def test_agrees_with_torchmetrics(rows: Rows) -> None:
    import torch
    from torchmetrics.functional import classification as tm

    truth, score = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    ours = binary_metrics(answers_from(truth, score))
    probability, target = torch.from_numpy(score), torch.from_numpy(truth.astype(int))
    called = (probability >= 0.5).int()
    expected = {
        "accuracy": tm.binary_accuracy(called, target),
        "precision_burnt": tm.binary_precision(called, target),
        "recall_burnt": tm.binary_recall(called, target),
        "recall_unburnt": tm.binary_specificity(called, target),
        "f1_burnt": tm.binary_f1_score(called, target),
        "iou_burnt": tm.binary_jaccard_index(called, target),
        "auroc": tm.binary_auroc(probability, target),
        "average_precision": tm.binary_average_precision(probability, target),
    }
    inside = score < 1  # torchmetrics gives a probability of just 1 a bin of its own
    if inside.all():
        expected["ece"] = tm.binary_calibration_error(probability, target, n_bins=10, norm="l1")
    for name, value in expected.items():
        if not np.isnan(ours[name]):
            assert ours[name] == pytest.approx(float(value), abs=1e-6), name


def test_a_probability_of_one_is_in_the_last_bin() -> None:
    assert reliability_bins(np.array([0.0, 0.1, 0.95, 1.0])).tolist() == [0, 1, 9, 9]
    assert binary_metrics(answers_from([True, True], [1.0, 0.9]))["ece"] == pytest.approx(0.05)


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
