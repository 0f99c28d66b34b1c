"""`python -m burnscar_assets.evaluation.evaluator spec.json`: judges a year's checkpoint, in a process of its own.

Under Dagster Pipes it reports through Pipes, else on standard error. Torch is imported only after the
checkpoint is verified and the separation of test and training is proven. The report is written last, with
the content hashes of both tables, so that a report stands for a whole evaluation.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import BANDS, BURNT, CLASS_NAMES, UNBURNT, Split
from burnscar_assets.errors import BurnscarError, InputError
from burnscar_assets.evaluation.baseline import NbrThreshold, tune_threshold, window_nbr
from burnscar_assets.evaluation.report import evaluate_predictions, summarise
from burnscar_assets.evaluation.separation import prove_separation
from burnscar_assets.evaluation.spec import EvaluationReport, EvaluationSpec, load_spec, write_report
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.contracts import EVALUATION_METRICS, PREDICTIONS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table

if TYPE_CHECKING:
    from burnscar_assets.training.model import BurnModel

DECISION: Final = 0.5
"""A window is called burnt from this probability on."""

LOG_INTERVAL_S = 5.0

_CARRIED = ["window_id", "fire_year", "fire_id", "cluster_id", "stratum", "split", "category", "geometry"]


def evaluate(spec: EvaluationSpec, progress: Progress = silent) -> EvaluationReport:
    """Predict the test windows of the year, judge them, and write both tables and the report.

    Raises:
        CheckpointError: the checkpoint is missing, incomplete or does not match its hash.
        InputError: no test window has a complete tile, or one of them, its fire or its ground was trained on.
        MissingDataError: a table of a year that the checkpoint has seen is missing.
        StorageError: the results can't be written; those that were there stay.
    """
    from burnscar_assets.training.manifest import verify_checkpoint

    root = DataRoot(spec.root)
    folder = root.checkpoint(spec.fire_year)
    manifest = verify_checkpoint(folder)
    scored = scored_windows(root, spec.fire_year, spec.layer)
    seen = seen_windows(root, manifest.fire_years, spec.layer)
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
    """Windows of the year's test split that have a complete tile, by window_id.

    Raises:
        InputError: there are none.
    """
    windows = _complete_windows(root, fire_year, layer)
    scored = windows[windows["split"] == Split.TEST]
    if scored.empty:
        raise InputError(
            f"no test window of {fire_year} has a complete tile ({len(windows)} windows of other splits have): "
            f'look at `burnscar sql "select split, reason, count(*) from windows join tiles using (window_id) where '
            f'windows.fire_year = {fire_year} group by all"`, then sample more fires or lower sampling.splits.block_km'
        )
    return scored.reset_index(drop=True)


def seen_windows(root: DataRoot, fire_years: Sequence[int], layer: str) -> gpd.GeoDataFrame:
    """Windows of the training and validation splits of the years that a checkpoint has seen, by year and id."""
    years = [_complete_windows(root, year, layer) for year in sorted(fire_years)]
    windows = pd.concat(years, ignore_index=True)
    return windows[windows["split"].isin([Split.TRAIN, Split.VAL])].reset_index(drop=True)


def _complete_windows(root: DataRoot, fire_year: int, layer: str) -> gpd.GeoDataFrame:
    windows, tiles = read_table(root, WINDOWS, fire_year), read_table(root, TILES, fire_year)
    complete = tiles.loc[(tiles["layer"] == layer) & tiles["complete"], "window_id"]
    return windows[windows["window_id"].isin(set(complete))].sort_values("window_id", kind="stable")


def _image_batches(
    root: DataRoot, windows: gpd.GeoDataFrame, spec: EvaluationSpec, progress: Progress, what: str
) -> Iterator[NDArray[np.uint16]]:
    """Tiles of the windows in their order, (up to batch_size, 12, height, width) DN at a time."""
    from burnscar_assets.imagery.tiles import read_tiles

    for start in range(0, len(windows), spec.batch_size):
        progress(what, start, len(windows))
        rows = windows.iloc[start : start + spec.batch_size]
        yield np.stack([np.asarray(tile) for tile in read_tiles(root.dataset, rows, spec.layer, BANDS)])
    progress(what, len(windows), len(windows))


def _tuned_threshold(root: DataRoot, train: gpd.GeoDataFrame, spec: EvaluationSpec, progress: Progress) -> NbrThreshold:
    batches = _image_batches(root, train, spec, progress, "NBR of training windows")
    nbr = np.concatenate([np.empty(0), *map(window_nbr, batches)])
    return tune_threshold(nbr, (train["category"] == CLASS_NAMES[BURNT]).to_numpy(dtype=bool))


def _predict(
    root: DataRoot, scored: gpd.GeoDataFrame, spec: EvaluationSpec, threshold: NbrThreshold, progress: Progress
) -> gpd.GeoDataFrame:
    from burnscar_assets.training.model import load_model

    model: BurnModel = load_model(root.checkpoint(spec.fire_year), spec.device)
    probabilities, nbr = [], []
    for images in _image_batches(root, scored, spec, progress, "predicting test windows"):
        probabilities.append(np.asarray(model.predict_batch(images), dtype=np.float64))
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


def _class_names(burnt: NDArray[np.bool_]) -> NDArray[np.str_]:
    return np.where(burnt, CLASS_NAMES[BURNT], CLASS_NAMES[UNBURNT])
