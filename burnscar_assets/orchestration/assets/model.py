"""The pair of assets that each set-up has: the year's checkpoint, and its metrics on held-out fires.

A world seen by a set-up (`World.of`) has the set-up's settings and places; the world itself is its own set-up. A set-up
with several seeds trains and judges them one after another; its first seed is the one that pictures and figures show.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from burnscar_assets.classes import Split
from burnscar_assets.environment import config_file, corrections_file
from burnscar_assets.orchestration.metadata import figures, picture
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.processes import Event, run_process, steps_to
from burnscar_assets.orchestration.stage import StageRun
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.changes import read_if_whole, table_changes
from burnscar_assets.storage.contracts import (
    EVALUATION_METRICS,
    FIRE_PERIMETERS,
    FIRE_SCENES,
    MAP_SCORES,
    PREDICTIONS,
    TILES,
    Table,
)
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

if TYPE_CHECKING:
    from burnscar_assets.evaluation.spec import EvaluationSpec
    from burnscar_assets.models.manifest import CheckpointManifest


def checkpoint(run: StageRun) -> dg.MaterializeResult:
    """A model trained on the training fires of the years up to this one, with its manifest."""
    from burnscar_assets.models.manifest import MANIFEST_FILE
    from burnscar_assets.models.plots import plot_learning_curves

    world, year = run.world, run.year
    folder = world.by_fold()[0].root.checkpoint(year)
    weights_before = read_json(folder / MANIFEST_FILE).get("weights_sha256")
    manifests = [_train(run, trained) for trained in world.trained()]
    manifest = manifests[0]
    curves = partial(
        plot_learning_curves,
        manifest.history,
        title=f"Learning curves {year}",
        simulated=world.settings.simulated_imagery,
    )
    metadata = {
        "dagster/uri": str(folder),
        "burnscar/encoder": manifest.encoder_name,
        "burnscar/random_weights": manifest.random_encoder,
        "burnscar/notice": manifest.notice,
        **windows_seen(manifest),
        "burnscar/seeds": list(dict.fromkeys(made.seed for made in manifests)),
        "burnscar/epochs": manifest.epochs,
        "burnscar/best_epoch": manifest.best_epoch,
        **{f"burnscar/{name}": value for name, value in manifest.metrics.items()},
    }
    said = "" if manifest.weights_sha256 == weights_before else "other weights"
    return run.result(version_of(manifests), metadata, curves, said)


def _train(run: StageRun, world: World) -> "CheckpointManifest":
    """Train one seed's checkpoint in a process of its own."""
    from burnscar_assets.models.manifest import verify_checkpoint
    from burnscar_assets.models.plan import plan_training
    from burnscar_assets.models.trainer import trained_before

    year, root, settings = run.year, world.root, world.settings

    def follow(event: Event) -> None:
        if event["event"] in ("start", "epoch"):
            run.progress(f"training {year}, epochs", event.get("epoch", 0), settings.training.max_epochs)

    versions = training_versions(run, world)
    spec = plan_training(settings, root, year, versions, fold=world.fold, warn=run.context.log.warning)
    if world.fold and (there := trained_before(spec)):
        return there
    path = spec.write(root.spec("training", year))
    gpus, alone = spec.settings.gpus, spec.settings.devices == 1
    run_process(run.context, world, "burnscar_assets.models.trainer", path, follow, gpus, alone)
    return verify_checkpoint(root.checkpoint(year))


def checkpoint_holds(world: World, fire_year: int) -> bool:
    """Whether a checkpoint would be trained with the same windows if nothing but perimeters changed."""
    from burnscar_assets.models.manifest import load_manifest
    from burnscar_assets.models.plan import choose_windows, names_by_split, seen_hash

    for trained in world.trained():
        root, manifest = trained.root, load_manifest(trained.root.checkpoint(fire_year))
        chosen = choose_windows(
            trained.settings,
            root,
            manifest.fire_years,
            manifest.every_layer,
            trained.fold,
            per_pixel=manifest.per_pixel,
        )
        if seen_hash(chosen.windows) != manifest.seen_hash or names_by_split(chosen.judged) != manifest.judged_windows:
            return False
    return True


def version_of(manifests: "Sequence[CheckpointManifest]") -> str:
    """Data version of a checkpoint: its weights; with several seeds, the weights of all."""
    weights = [manifest.weights_sha256 for manifest in manifests]
    return weights[0] if len(weights) == 1 else hash_json(weights)


def windows_seen(manifest: "CheckpointManifest") -> dict[str, int]:
    """Numbers of windows that a checkpoint has seen, and of those left out, as metadata."""
    seen = {
        split: sum(sum(of_year.values()) for of_year in years.values()) for split, years in manifest.windows.items()
    }
    cloudy = sum(manifest.cloudy_windows.values())
    return {f"burnscar/{split}_windows": seen.get(split, 0) for split in (Split.TRAIN, Split.VAL)} | {
        "burnscar/cloudy_windows": cloudy,
        "burnscar/judged_windows": sum(map(len, manifest.judged_windows.values())),
    }


def evaluation_metrics(run: StageRun) -> dg.MaterializeResult:
    """Metrics on held-out fires by checkpoints that have not seen them, with a model card.

    A year's metrics are of its test fires by its checkpoint, and of all its fires by the champion of the year before,
    beside a tuned NBR threshold; with the year's champion.
    """
    from burnscar_assets.evaluation.plots import plot_evaluation

    world, year, root, settings = run.world, run.year, run.root, run.settings
    before = read_if_whole(root, EVALUATION_METRICS, year)
    for judged in world.by_seed():
        _judge(run, judged)
    metrics, predictions = read_table(root, EVALUATION_METRICS, year), read_table(root, PREDICTIONS, year)
    title = "Held-out fires" if world.setup is None else f"{world.setup.title}: held-out fires"
    preview = partial(
        plot_evaluation, predictions, metrics, title=f"{title} {year}", simulated=settings.simulated_imagery
    )
    metadata = _judgement(run, predictions, title)
    changes, version = table_changes(EVALUATION_METRICS, before, metrics), metrics_version(world, year)
    return run.table_result(EVALUATION_METRICS, metrics, changes, metadata, preview, version=version)


def _judgement(run: StageRun, predictions: pd.DataFrame, title: str) -> dict[str, Any]:
    """What a person reads of a year's metrics: figures, the windows that are most wrong, model card and champion."""
    from burnscar_assets.evaluation.card import MARKDOWN_FILE
    from burnscar_assets.evaluation.champion_record import load_champion
    from burnscar_assets.evaluation.plots import plot_worst_windows
    from burnscar_assets.evaluation.spec import load_report

    year, root, settings = run.year, run.root, run.settings
    found, champion = load_report(root, year), load_champion(root, year)
    if found.season.note:
        run.context.log.info(f"season {year}: {found.season.note}")
    worst = plot_worst_windows(
        root.dataset,
        settings.sensor,
        settings.imagery.layer,
        predictions,
        n=settings.evaluation.worst_windows,
        title=f"{title}, windows most wrong {year}",
        simulated=settings.simulated_imagery,
    )
    return figures(found.summary) | {
        "burnscar/worst_windows": picture(worst),
        "burnscar/season_note": found.season.note,
        "burnscar/model_card": dg.MetadataValue.md((root.evaluation(year) / MARKDOWN_FILE).read_text("utf-8")),
        "burnscar/champion": "" if champion is None else champion.said,
    }


def _judge(run: StageRun, world: World) -> None:
    """Judge one seed's checkpoint; without a network in this process, as that needs no torch."""
    from burnscar_assets.evaluation.evaluator import evaluate

    spec = evaluation_spec(world, run.year)
    path = spec.write(world.root.spec("evaluation", run.year))
    if run.own.needs_gpu(run.pair):
        run_process(run.context, world, "burnscar_assets.evaluation.evaluator", path, steps_to(run.progress))
    else:
        evaluate(spec, run.progress)


def metrics_version(world: World, year: int) -> str:
    """Data version of a set-up's metrics: of all seeds, of their maps' scores and their predictions.

    Of the world's own: of its metrics and its maps' scores, and of its champion's rules, by which maps and the next
    season are made; of the champion of each fold. The rules of maps are part of both, as the comparison reads in them
    how validation fires are mapped.
    """
    from burnscar_assets.evaluation.champion_record import load_champion

    validated = [_rules_of_maps(judged.root, year) for judged in world.by_seed()]
    if world.setup is None:
        champions = [load_champion(one.root, year) for one in world.by_fold()]
        of_each = [one and one.model_dump(mode="json", include={"rules"}) for one in champions]
        rules = of_each if world.folds else of_each[0]
        own = [
            table.content_hash(read_table(judged.root, table, year))
            for judged in world.by_seed()
            for table in (EVALUATION_METRICS, MAP_SCORES)
        ]
        return hash_json([*own, rules, validated])
    tables = [
        table.content_hash(read_table(judged.root, table, year))
        for judged in world.by_seed()
        for table in (EVALUATION_METRICS, MAP_SCORES, PREDICTIONS)
    ]
    return hash_json([*tables, validated])


def _rules_of_maps(root: DataRoot, year: int) -> list[Any]:
    """The rules of maps of the checkpoints of one seed, as its report has them; none before it was judged."""
    from burnscar_assets.evaluation.spec import REPORT_FILE

    report = read_json(root.evaluation(year) / REPORT_FILE)
    judgements = [*report.get("folds", ()), report.get("held_out")]
    return [one["rules"]["maps"] for one in judgements if one]


def evaluation_spec(world: World, year: int, judged_years: Sequence[int] = ()) -> "EvaluationSpec":
    """What an evaluator is told of the checkpoints of one seed, which are there already.

    Args:
        world: the set-up as it is trained with this seed.
        year: of the checkpoints.
        judged_years: in a world of blocks, years whose held-out fires are judged; empty: its own.
    """
    from burnscar_assets.evaluation.champion_record import load_champion
    from burnscar_assets.evaluation.spec import EvaluationSpec
    from burnscar_assets.models.manifest import load_manifest

    root, settings, before = world.root, world.settings, world.year_before(year)
    scored = world.training_years(year) if world.folds else [*judged_years] or [year]
    versions = table_versions(root, TILES, scored) | table_versions(root, FIRE_SCENES, world.training_years(year))
    manifests = [load_manifest(one.root.checkpoint(year)) for one in world.by_fold()]
    versions["checkpoint"] = version_of(manifests)
    champion = None if before is None else load_champion(root, before)
    if champion is not None:
        versions["champion_before"] = champion.reign.weights_sha256
    regions, cover = settings.evaluation.ecoregions, settings.evaluation.land_cover
    return EvaluationSpec(
        **answering(world),
        folds=settings.sampling.splits.folds,
        fire_years=manifests[0].fire_years if world.folds else tuple(judged_years),
        fire_year=year,
        year_before=before,
        first_day_after=settings.windows.days_after[0],
        fires_out=_fires_out(root, sorted({*scored, *world.training_years(year)})),
        ecoregions=None if regions is None else config_file(regions).resolve(),
        land_cover=None if cover is None else root.resolve(cover).resolve(),
        world=settings.name,
        data_versions=versions,
    )


def answering(world: World) -> dict[str, Any]:
    """Fields of `EvaluationSpec` that say how checkpoints of a world or set-up answer windows and frames."""
    root, settings = world.root, world.settings
    return {
        "root": root.path,
        "part": root.part,
        "sensor": settings.sensor,
        "layer": settings.imagery.layer,
        "min_clear_fraction": settings.imagery.min_clear_fraction,
        "margin_m": settings.sampling.splits.judged_apart_m,
        "settings": settings.evaluation,
        "mapping": settings.mapping,
        "size_px": settings.windows.size_px,
        "accelerator": settings.training.accelerator,
        "classes": settings.training.classes,
        "simulated": settings.simulated_imagery,
    }


def _fires_out(root: DataRoot, fire_years: list[int]) -> tuple[str, ...]:
    """Fires that a person took out of the scores.

    Raises:
        InputError: the file of corrections is wrong, or names a fire that isn't there.
    """
    from burnscar_assets.labels.corrections import OUT, read_corrections

    words, out = read_corrections(corrections_file(root)), list[str]()
    for year in fire_years:
        if named := words.out(year):
            words.check_fires(set(read_table(root, FIRE_PERIMETERS, year)["fire_id"]), year, [OUT])
            out += named
    return tuple(out)


def training_versions(run: StageRun, world: World) -> dict[str, str]:
    """Data versions of what a checkpoint is trained on; where runs are taken up at a fold, of the code too."""
    code = {"code": code_version(run.pair.asset, run.world.settings)} if world.fold else {}
    return table_versions(world.root, TILES, world.training_years(run.year)) | code


def table_versions(root: DataRoot, table: Table, years: list[int]) -> dict[str, str]:
    """Data versions of a table of some years, those that were made."""
    made = [year for year in years if table_path(root, table, year).exists()]
    return {f"{table.name}/{year}": table.content_hash(read_table(root, table, year)) for year in made}
