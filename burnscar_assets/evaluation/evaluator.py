"""`python -m burnscar_assets.evaluation.evaluator spec.json`: judges a year's checkpoint, in a process of its own.

Under Dagster Pipes it reports through Pipes, else on standard error. Torch is imported only after the
checkpoint is verified and the separation of test and training is proven. The report is written last, with
the content hashes of both tables, so that a report stands for a whole evaluation.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import BANDS, BURNT, CLASS_NAMES, UNBURNT, Split
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.baseline import NbrThreshold, tune_threshold, window_nbr
from burnscar_assets.evaluation.report import evaluate_predictions, summarise
from burnscar_assets.evaluation.separation import prove_separation
from burnscar_assets.evaluation.spec import EvaluationReport, EvaluationSpec, write_report
from burnscar_assets.process import Report, run_stage
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.contracts import EVALUATION_METRICS, PREDICTIONS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import write_table
from burnscar_assets.training.manifest import CheckpointManifest, verify_checkpoint
from burnscar_assets.training.plan import seen_hash, seen_windows, usable_windows

DECISION: Final = 0.5
"""A window is called burnt from this probability on."""

LOG_INTERVAL_S: Final = 5.0

_CARRIED = ["window_id", "fire_year", "fire_id", "cluster_id", "stratum", "split", "category", "geometry"]


def evaluate(spec: EvaluationSpec, progress: Progress = silent) -> EvaluationReport:
    """Predict the test windows of the year, judge them, and write both tables and the report.

    Raises:
        CheckpointError: the checkpoint is missing, incomplete or does not match its hash.
        InputError: no test window has a complete tile; one of them, its fire or its ground was trained on; or
            the windows are no longer those that the checkpoint was trained on.
        MissingDataError: a table of a year that the checkpoint has seen is missing.
        StorageError: the results can't be written; those that were there stay.
    """
    root = DataRoot(spec.root)
    manifest = verify_checkpoint(root.checkpoint(spec.fire_year))
    scored = scored_windows(root, spec.fire_year, spec.layer)
    usable = usable_windows(root, manifest.fire_years, spec.layer)
    check_seen(usable, manifest)
    seen = seen_windows(usable)
    separation = prove_separation(scored, seen)
    threshold = _tuned_threshold(root, seen[seen["split"] == Split.TRAIN], spec, progress)
    predictions = _predict(root, scored, spec, threshold, progress)
    metrics = evaluate_predictions(predictions, spec.settings, spec.fire_year)
    report = EvaluationReport(
        fire_year=spec.fire_year,
        simulated=spec.simulated,
        weights_sha256=manifest.weights_sha256,
        threshold=threshold,
        separation=separation,
        summary=summarise(predictions, metrics),
        predictions_hash=PREDICTIONS.content_hash(predictions),
        metrics_hash=EVALUATION_METRICS.content_hash(metrics),
        data_versions=spec.data_versions,
    )
    write_table(root, PREDICTIONS, predictions, spec.fire_year)
    write_table(root, EVALUATION_METRICS, metrics, spec.fire_year)
    write_report(root, report)
    return report


def scored_windows(root: DataRoot, fire_year: int, layer: str) -> gpd.GeoDataFrame:
    """Windows of the year's test split that have a complete tile, by window_id, with its `acquired`.

    Raises:
        InputError: there are none.
    """
    windows = usable_windows(root, [fire_year], layer)
    scored = windows[windows["split"] == Split.TEST]
    if scored.empty:
        sql = "select split, complete, reason, count(*) from windows join tiles using (window_id, fire_year)"
        raise InputError(
            f"no test window of {fire_year} has a complete tile ({len(windows)} windows of other splits have): see "
            f'burnscar sql "{sql} where fire_year = {fire_year} group by all", then sample more fires, or deal the '
            "ground anew (sampling.splits: block_km smaller, another seed)"
        )
    return scored.reset_index(drop=True)


def check_seen(usable: gpd.GeoDataFrame, manifest: CheckpointManifest) -> None:
    """Check that the windows of the years that a checkpoint has seen are still those that it saw, each in its split.

    Raises:
        InputError: they are not, so that a proof about them would say nothing of the checkpoint.
    """
    if seen_hash(usable) != manifest.seen_hash:
        year = manifest.fire_year
        raise InputError(
            f"the windows have changed since the checkpoint of {year} was trained on them: "
            f"run burnscar refresh --years {year}, which trains it anew"
        )


def _batches(
    root: DataRoot, windows: gpd.GeoDataFrame, spec: EvaluationSpec, progress: Progress, what: str
) -> Iterator[tuple[gpd.GeoDataFrame, NDArray[np.uint16]]]:
    """Windows in their order with their tiles, (up to batch_size, 12, height, width) DN at a time."""
    from burnscar_assets.imagery.tiles import read_tiles

    for start in range(0, len(windows), spec.batch_size):
        progress(what, start, len(windows))
        rows = windows.iloc[start : start + spec.batch_size]
        yield rows, np.stack([np.asarray(tile) for tile in read_tiles(root.dataset, rows, spec.layer, BANDS)])
    progress(what, len(windows), len(windows))


def _tuned_threshold(root: DataRoot, train: gpd.GeoDataFrame, spec: EvaluationSpec, progress: Progress) -> NbrThreshold:
    batches = _batches(root, train, spec, progress, "NBR of training windows")
    nbr = np.concatenate([np.empty(0), *(window_nbr(images) for _, images in batches)])
    return tune_threshold(nbr, (train["category"] == CLASS_NAMES[BURNT]).to_numpy(dtype=bool))


def _predict(
    root: DataRoot, scored: gpd.GeoDataFrame, spec: EvaluationSpec, threshold: NbrThreshold, progress: Progress
) -> gpd.GeoDataFrame:
    from burnscar_assets.training.model import load_model

    progress("loading the checkpoint", 0, 0)
    model = load_model(root.checkpoint(spec.fire_year), _device(spec.device))
    probabilities, nbr = [], []
    for rows, images in _batches(root, scored, spec, progress, "predicting test windows"):
        acquired = [moment.to_pydatetime() for moment in rows["acquired"]]
        probabilities.append(model.predict_batch(images, acquired))
        nbr.append(window_nbr(images))
    probability, mean_nbr = np.concatenate(probabilities), np.concatenate(nbr)
    return PREDICTIONS.conform(
        scored[_CARRIED].assign(
            burnt_probability=probability,
            predicted=_class_names(probability >= DECISION),
            nbr=mean_nbr,
            baseline_predicted=_class_names(threshold.predict(mean_nbr)),
        )
    )


def _device(wanted: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _class_names(burnt: NDArray[np.bool_]) -> NDArray[np.str_]:
    return np.where(burnt, CLASS_NAMES[BURNT], CLASS_NAMES[UNBURNT])


def _steps(report: Report) -> Progress:
    """Progress as events, a few seconds apart."""
    last = float("-inf")

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOG_INTERVAL_S:
            last = now
            report({"event": "step", "what": what, "done": done, "total": total})

    return progress


def main(arguments: Sequence[str]) -> int:
    """Evaluate what the file given specifies; returns the exit code."""

    def work(spec: Path, report: Report) -> None:
        found = evaluate(EvaluationSpec.read(spec), _steps(report))
        report({"event": "done", "fire_year": found.fire_year, "metrics_hash": found.metrics_hash})

    return run_stage("burnscar_assets.evaluation.evaluator", arguments, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
