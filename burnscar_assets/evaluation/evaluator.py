"""`python -m burnscar_assets.evaluation.evaluator spec.json`: judges a year's checkpoint, in a process of its own.

Under Dagster Pipes it reports through Pipes, else on standard error. Torch is imported only after the
checkpoint is verified and the separation of test and training is proven. The report is written after the tables and
the model card, with the content hashes of the tables, so that a report stands for a whole evaluation; then the
year's champion is decided.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import geopandas as gpd

from burnscar_assets.classes import Split
from burnscar_assets.cost import Stopwatch, read_cost, write_cost
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.card import write_card
from burnscar_assets.evaluation.champion import Challenger, contest
from burnscar_assets.evaluation.frames import fix_rules_of_maps
from burnscar_assets.evaluation.held_out_maps import judge_held_out
from burnscar_assets.evaluation.judge import describe_windows, fix_rules, predict, predict_cloudy
from burnscar_assets.evaluation.label_doubt import doubt_labels
from burnscar_assets.evaluation.map_figures import map_metrics
from burnscar_assets.evaluation.plots import write_worst_windows
from burnscar_assets.evaluation.report import CLOUDY, evaluate_predictions, summarise
from burnscar_assets.evaluation.season import check_seen, judge_season
from burnscar_assets.evaluation.separation import prove_separation
from burnscar_assets.evaluation.spec import EvaluationReport, EvaluationSpec, Judgement, write_report
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.plan import by_clearness, complete_windows, seen_windows, windows_of
from burnscar_assets.process import Report, run_stage, step_reports
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.contracts import EVALUATION_METRICS, MAP_SCORES, PREDICTIONS, SEASON_PREDICTIONS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import write_table


def evaluate(spec: EvaluationSpec, progress: Progress = silent) -> EvaluationReport:
    """Predict the test windows of the year, and all of it by the champion of the year before; judge and write.

    Written are the tables, the model card, the picture of the worst windows, the report, and who is champion.

    Raises:
        CheckpointError: a checkpoint is missing, incomplete or does not match its hash.
        InputError: no test window has a complete and clear tile; one of them, its fire or its ground was trained on; or
            the windows are no longer those that the checkpoint was trained on.
        MissingDataError: a table of a year that a checkpoint has seen is missing.
        StorageError: the results can't be written; those that were there stay.
    """
    root = spec.data_root
    folder = root.checkpoint(spec.fire_year)
    manifest = verify_checkpoint(folder)
    scored, cloudy = scored_windows(
        root, spec.fire_year, spec.layer, manifest.every_layer, min_clear_fraction=spec.min_clear_fraction
    )
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
    maps = judge_held_out(spec, folder, manifest, map_rules, seen, progress)
    watch = Stopwatch()
    predictions = predict(spec, folder, described, rules, progress, watch)
    season = judge_season(spec, progress)
    beside = {CLOUDY: predict_cloudy(spec, folder, cloudy, rules, progress), **season.beside}
    of_maps = map_metrics(maps.scores, spec.settings)
    metrics = evaluate_predictions(predictions, spec.settings, spec.fire_year, season.predictions, beside, of_maps)
    report = EvaluationReport(
        fire_year=spec.fire_year,
        simulated=spec.simulated,
        held_out=Judgement(manifest.fire_year, manifest.weights_sha256, rules, separation),
        season=season.season,
        summary=summarise(predictions, metrics),
        predictions_hash=PREDICTIONS.content_hash(predictions),
        season_predictions_hash=SEASON_PREDICTIONS.content_hash(season.predictions),
        metrics_hash=EVALUATION_METRICS.content_hash(metrics),
        data_versions=spec.data_versions,
        label_noise=doubt.noise,
        maps=maps.reliability,
        map_scores_hash=MAP_SCORES.content_hash(maps.scores),
        no_maps=maps.why_none,
    )
    write_table(root, PREDICTIONS, predictions, spec.fire_year)
    write_table(root, SEASON_PREDICTIONS, season.predictions, spec.fire_year)
    write_table(root, MAP_SCORES, maps.scores, spec.fire_year)
    write_table(root, EVALUATION_METRICS, metrics, spec.fire_year)
    write_worst_windows(root, spec, predictions)
    write_card(root, spec, manifest, report, metrics)
    write_report(root, report)
    known = {"parameters": manifest.parameters or None, "predict_windows_per_s": watch.windows_per_s}
    write_cost(root.evaluation(spec.fire_year), read_cost(folder).model_copy(update=known))
    contest(spec, Challenger(folder, manifest, seen, rules, predictions), progress)
    return report


def scored_windows(
    root: DataRoot, fire_year: int, layer: str, every_layer: Sequence[str] = (), *, min_clear_fraction: float
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Windows of the year's test split with complete tiles: those that are scored, and the cloudy ones.

    Raises:
        InputError: none can be scored.
    """
    windows = complete_windows(root, [fire_year], layer, every_layer)
    scored, cloudy = by_clearness(windows[windows["split"] == Split.TEST], min_clear_fraction)
    if scored.empty:
        sql = "select split, complete, reason, count(*) from windows join tiles using (window_id, fire_year)"
        raise InputError(
            f"no test window of {fire_year} has a complete tile that is clear ({len(cloudy)} test windows are less "
            f"clear than imagery.min_clear_fraction, {len(windows) - len(cloudy)} of other splits are complete): see "
            f'burnscar sql "{sql} where fire_year = {fire_year} group by all", then sample more fires, or deal the '
            "ground anew (sampling.splits: block_km smaller, another seed)"
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
