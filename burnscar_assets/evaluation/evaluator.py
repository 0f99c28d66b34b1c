"""`python -m burnscar_assets.evaluation.evaluator spec.json`: judges a year's checkpoint, in a process of its own.

Under Dagster Pipes it reports through Pipes, else on standard error. Torch is imported only after the
checkpoint is verified and the separation of test and training is proven. The report is written after the tables and
the model card, with the content hashes of the tables, so that a report stands for a whole evaluation; then the
year's champion is decided.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import geopandas as gpd
import pandas as pd

from burnscar_assets.classes import Split
from burnscar_assets.cost import Stopwatch, read_cost, together, write_cost
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.card import write_card
from burnscar_assets.evaluation.champion import Challenger, contest
from burnscar_assets.evaluation.frames import fix_rules_of_maps
from burnscar_assets.evaluation.ground import ground_clusters
from burnscar_assets.evaluation.held_out_maps import HeldOutMaps, evaluate_held_out
from burnscar_assets.evaluation.key_figures import summarise
from burnscar_assets.evaluation.label_doubt import doubt_labels
from burnscar_assets.evaluation.label_noise import LabelNoise
from burnscar_assets.evaluation.map_figures import map_metrics, why_no_map
from burnscar_assets.evaluation.plots import write_worst_windows
from burnscar_assets.evaluation.predictions import describe_windows, fix_rules, predict, predict_cloudy
from burnscar_assets.evaluation.report import CLOUDY, evaluate_predictions
from burnscar_assets.evaluation.season import check_seen, evaluate_season
from burnscar_assets.evaluation.separation import SeparationProof, prove_separation
from burnscar_assets.evaluation.spec import EvaluationReport, EvaluationSpec, Judgement, write_report
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.plan import by_clearness, complete_windows, seen_windows, windows_of
from burnscar_assets.process import Report, run_stage, step_reports
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.contracts import EVALUATION_METRICS, MAP_SCORES, PREDICTIONS, SEASON_PREDICTIONS
from burnscar_assets.storage.tables import Table, write_table


@dataclass(frozen=True)
class Judged:
    """One checkpoint and its answers for what it has not seen.

    Attributes:
        spec: of it alone.
        challenger: checkpoint, manifest, windows that it has seen, rules and predictions, contract PREDICTIONS.
        separation: proof that nothing scored was trained on.
        cloudy: its predictions for cloudy windows.
        maps: of held-out fires.
        noise: of the labels.
        watch: of its predictions.
    """

    spec: EvaluationSpec
    challenger: Challenger
    separation: SeparationProof
    cloudy: gpd.GeoDataFrame
    maps: HeldOutMaps
    noise: LabelNoise
    watch: Stopwatch

    @property
    def judgement(self) -> Judgement:
        """For the report."""
        manifest = self.challenger.manifest
        return Judgement(manifest.fire_year, manifest.weights_sha256, self.challenger.rules, self.separation)


def evaluate(spec: EvaluationSpec, progress: Progress = silent) -> EvaluationReport:
    """Predict the test windows of the year, and all of it by the champion of the year before; judge and write.

    In a world with folds, each checkpoint predicts those of its fold of all years, and what they say is judged
    together. Written are the tables, the model card, the picture of the worst windows, the report, and who is champion.

    Raises:
        CheckpointError: a checkpoint is missing, incomplete or does not match its hash.
        InputError: no test window has a complete and clear tile; one of them, its fire or its ground was trained on; or
            the windows are no longer those that the checkpoint was trained on.
        MissingDataError: a table of a year that a checkpoint has seen is missing.
        StorageError: the results can't be written; those that were there stay.
    """
    root = spec.data_root
    members = [evaluate_checkpoint(one, progress) for one in spec.members]
    predictions = put_together(PREDICTIONS, [one.challenger.predictions for one in members])
    cloudy = put_together(PREDICTIONS, [one.cloudy for one in members])
    season = evaluate_season(spec, progress)
    scores = put_together(MAP_SCORES, [*(one.maps.scores for one in members), season.maps])
    judged = predictions if spec.folds is None else predictions.assign(cluster_id=ground_clusters(predictions))
    metrics = evaluate_predictions(
        judged, spec.settings, spec.fire_year, season.predictions, {CLOUDY: cloudy, **season.beside},
        map_metrics(scores, spec.settings), several=spec.folds is not None,
    )  # fmt: skip
    manifests = [one.challenger.manifest for one in members]
    report = EvaluationReport(
        fire_year=spec.fire_year,
        simulated=spec.simulated,
        held_out=members[0].judgement if spec.folds is None else None,
        season=season.season,
        summary=summarise(judged, metrics),
        predictions_hash=PREDICTIONS.content_hash(predictions),
        season_predictions_hash=SEASON_PREDICTIONS.content_hash(season.predictions),
        metrics_hash=EVALUATION_METRICS.content_hash(metrics),
        data_versions=spec.data_versions,
        label_noise=LabelNoise.of_several([one.noise for one in members]),
        maps=members[0].maps.reliability if spec.folds is None else None,
        map_scores_hash=MAP_SCORES.content_hash(scores),
        no_maps=why_no_map(scores),
        folds=() if spec.folds is None else tuple(one.judgement for one in members),
    )
    write_table(root, PREDICTIONS, predictions, spec.fire_year)
    write_table(root, SEASON_PREDICTIONS, season.predictions, spec.fire_year)
    write_table(root, MAP_SCORES, scores, spec.fire_year)
    write_table(root, EVALUATION_METRICS, metrics, spec.fire_year)
    write_worst_windows(root, spec, predictions)
    write_card(root, spec, manifests, report, metrics)
    write_report(root, report)
    costs = [read_cost(one.challenger.folder) for one in members]
    write_cost(
        root.evaluation(spec.fire_year), together(costs, [one.watch for one in members], manifests[0].parameters)
    )
    for one in members:
        contest(one.spec, one.challenger, progress)
    return report


def evaluate_checkpoint(spec: EvaluationSpec, progress: Progress) -> Judged:
    """Fix a checkpoint's rules on what it has seen, and have it answer for what it has not; nothing is written."""
    root = spec.data_root
    folder = root.checkpoint(spec.fire_year)
    manifest = verify_checkpoint(folder)
    scored, cloudy = scored_windows(spec, manifest.every_layer)
    usable = windows_of(root, manifest, spec.layer)
    check_seen(usable, manifest)
    seen = seen_windows(usable)
    separation = prove_separation(scored, seen, spec.margin_m)
    if len(cloudy):
        prove_separation(cloudy, seen, spec.margin_m)
    doubt = doubt_labels(root, scored, spec.sensor, spec.layer, min_clear_fraction=spec.min_clear_fraction)
    described = describe_windows(spec, scored, doubt)
    of_windows = fix_rules(spec, folder, seen, progress)
    map_rules = fix_rules_of_maps(spec, folder, manifest, of_windows, seen, progress)
    rules = replace(of_windows, maps=map_rules)
    maps = evaluate_held_out(spec, folder, manifest, map_rules, seen, progress)
    watch = Stopwatch()
    predictions = predict(spec, folder, described, rules, progress, watch)
    of_cloudy = predict_cloudy(spec, folder, cloudy, rules, progress)
    challenger = Challenger(folder, manifest, seen, rules, predictions)
    return Judged(spec, challenger, separation, of_cloudy, maps, doubt.noise, watch)


def put_together(table: Table, parts: Sequence[pd.DataFrame]) -> gpd.GeoDataFrame:
    """What the checkpoints of folds answered, in one table; of one checkpoint, what it answered.

    Raises:
        InputError: a window, or a frame, was answered by several.
    """
    full = [part for part in parts if len(part)]
    rows = parts[0] if len(full) < 2 and len(parts) == 1 else pd.concat(full or parts[:1], ignore_index=True)
    return cast(gpd.GeoDataFrame, table.conform(rows))


def scored_windows(spec: EvaluationSpec, every_layer: Sequence[str] = ()) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Windows of the test split with complete tiles: those that are scored, and the cloudy ones.

    Raises:
        InputError: none can be scored.
    """
    windows = complete_windows(spec.data_root, spec.scored_years, spec.layer, every_layer, spec.fold)
    scored, cloudy = by_clearness(windows[windows["split"] == Split.TEST], spec.min_clear_fraction)
    if scored.empty:
        years = ", ".join(map(str, spec.scored_years))
        of_fold = "" if spec.fold is None else f" in fold {spec.fold.number}"
        sql = "select split, complete, reason, count(*) from windows join tiles using (window_id, fire_year)"
        raise InputError(
            f"no test window of {years}{of_fold} has a complete tile that is clear ({len(cloudy)} test windows are "
            f"less clear than imagery.min_clear_fraction, {len(windows) - len(cloudy)} of other splits are complete): "
            f'see burnscar sql "{sql} where fire_year in ({years}) group by all", then sample more fires, or deal the '
            "ground anew (sampling.splits: block_km smaller or fewer folds, another seed)"
        )
    return scored, cloudy


def main(arguments: Sequence[str]) -> int:
    """Evaluate what the file given specifies; returns the exit code."""

    def work(spec: Path, report: Report) -> None:
        found = evaluate(EvaluationSpec.read(spec), step_reports(report))
        report({"event": "done", "fire_year": found.fire_year, "metrics_hash": found.metrics_hash})

    return run_stage("burnscar_assets.evaluation.evaluator", arguments, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
