"""`python -m burnscar_assets.evaluation.published spec.json`: one checkpoint by our protocol and by a laxer one.

The laxer protocol is the one behind published scores of "96 % F1": windows near the perimeter are never scored, test
is the validation set, and fires are split by window, so that a fire has windows on both sides. The same model can't be
retrained here; its own training windows stand in for those of a leaking split, as an upper bound.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import CLASS_NAMES, Split, Stratum
from burnscar_assets.evaluation.metrics import Answers, binary_metrics, metric_intervals
from burnscar_assets.evaluation.predictions import describe_windows, fix_rules, predict
from burnscar_assets.evaluation.report import MODEL, answers_of, counting, fire_ids_of
from burnscar_assets.evaluation.season import check_seen
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.plan import of_one_class, seen_windows, windows_of
from burnscar_assets.process import Report, run_stage
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import EvaluationSettings

HELD_OUT: Final = "held-out fires, threshold from validation"
NO_GAP: Final = "… without the windows near the perimeter"
TEST_IS_VAL: Final = "… and test is validation, threshold fixed on it"
LEAKING: Final = "… and with windows of training fires"
METRICS_SHOWN: Final = ("f1_burnt", "accuracy")


def score_by_protocols(predictions: pd.DataFrame, settings: EvaluationSettings) -> pd.DataFrame:
    """Scores of one model, from our protocol step by step to the laxer one.

    Args:
        predictions: contract PREDICTIONS of one checkpoint for windows of every split, `predicted` by the threshold
            that was fixed on validation.
        settings: of the intervals.

    Returns:
        One row a protocol: `protocol`, `windows`, `fires`, `f1_burnt`, `f1_burnt_low`, `f1_burnt_high`, `accuracy`.
        Figures are NaN where a protocol has no window of a class.
    """
    rows = counting(predictions.sort_values("window_id", kind="stable"))
    far = (rows["stratum"] != Stratum.RING).to_numpy(dtype=bool)
    test, val, train = ((rows["split"] == split).to_numpy(dtype=bool) for split in (Split.TEST, Split.VAL, Split.TRAIN))
    return pd.DataFrame(
        [
            _scored(HELD_OUT, rows[test], settings, tuned=False),
            _scored(NO_GAP, rows[test & far], settings, tuned=False),
            _scored(TEST_IS_VAL, rows[val & far], settings, tuned=True),
            _scored(LEAKING, rows[(val | train) & far], settings, tuned=True),
        ]
    )


def score_checkpoint(spec: EvaluationSpec, progress: Progress = silent) -> pd.DataFrame:
    """`score_by_protocols` of a year's checkpoint on all windows of its year; nothing is written.

    Raises:
        CheckpointError, InputError, MissingDataError: as `evaluator.evaluate`.
    """
    root = spec.data_root
    folder = root.checkpoint(spec.fire_year)
    manifest = verify_checkpoint(folder)
    usable = windows_of(root, manifest, spec.layer)
    check_seen(usable, manifest)
    rules = fix_rules(spec, folder, seen_windows(usable), progress)
    year: gpd.GeoDataFrame = of_one_class(usable[usable["fire_year"] == spec.fire_year])
    return score_by_protocols(predict(spec, folder, describe_windows(spec, year), rules, progress), spec.settings)


def _scored(protocol: str, rows: pd.DataFrame, settings: EvaluationSettings, *, tuned: bool) -> dict[str, object]:
    rows = rows.reset_index(drop=True)
    answers, fires = answers_of(rows, MODEL), fire_ids_of(rows)
    counted = {"protocol": protocol, "windows": len(rows), "fires": len(set(fires) - {""})}
    names = (*METRICS_SHOWN, "f1_burnt_low", "f1_burnt_high")
    if set(rows["category"]) != set(CLASS_NAMES):
        return counted | dict.fromkeys(names, float("nan"))
    if tuned:
        answers = Answers(answers.truth, _best_calls(answers), answers.ranking, answers.probability)
    values = binary_metrics(answers)
    clusters = rows["cluster_id"].astype(str).to_list()
    interval = metric_intervals(answers, clusters, fires != "", settings.confidence)["f1_burnt"]
    return counted | dict(zip(names, (*(values[m] for m in METRICS_SHOWN), interval.low, interval.high), strict=True))


def _best_calls(answers: Answers) -> NDArray[np.bool_]:
    """The calls with the best F1 of burnt that any threshold gives on these very windows."""
    levels = np.unique(answers.ranking)
    called = answers.ranking[None, :] >= levels[:, None]
    found = (called & answers.truth).sum(axis=1)
    return called[np.argmax(2 * found / np.maximum(called.sum(axis=1) + answers.truth.sum(), 1))]


def main(arguments: Sequence[str]) -> int:
    """Score what the file given specifies and print the table; returns the exit code."""

    def work(spec: Path, report: Report) -> None:
        print(score_checkpoint(EvaluationSpec.read(spec)).to_string(index=False))

    return run_stage("burnscar_assets.evaluation.published", arguments, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
