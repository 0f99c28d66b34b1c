"""Assets of the model group: the year's fine-tuned checkpoint, and its metrics on held-out fires."""

import warnings
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from burnscar_assets.classes import Split
from burnscar_assets.environment import config_file
from burnscar_assets.orchestration.metadata import figures, picture
from burnscar_assets.orchestration.partitions import World, look_back
from burnscar_assets.orchestration.processes import Event, run_process
from burnscar_assets.orchestration.runs import gpu_stage_tags
from burnscar_assets.orchestration.stage import GPU_POOL, StageRun, stage
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.changes import read_if_whole, table_changes
from burnscar_assets.storage.contracts import EVALUATION_METRICS, PREDICTIONS, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

if TYPE_CHECKING:
    from burnscar_assets.evaluation.spec import EvaluationSpec

DEVICES = {"cpu": "cpu", "gpu": "cuda", "auto": "auto"}


def build_model_assets(world: World) -> list[dg.AssetsDefinition]:
    """The assets from tiles to metrics."""
    return [_checkpoint(world), _evaluation_metrics(world)]


def _checkpoint(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings
    years_seen = look_back(settings.training.look_back_years)
    seen = [dg.AssetDep(name, partition_mapping=years_seen) for name in ("windows", "tiles")]

    @stage(
        world,
        "checkpoint",
        group="model",
        kinds={"pytorch", "lightning"},
        deps=seen,  # a new deal of the ground changes windows, and leaves tiles as they are
        pool=GPU_POOL,
        op_tags=gpu_stage_tags(settings.compute),
        description="OlmoEarth fine-tuned on the training fires of the years up to this one, with its manifest.",
    )
    def checkpoint(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.training.manifest import MANIFEST_FILE, verify_checkpoint
        from burnscar_assets.training.plan import plan_training
        from burnscar_assets.training.plots import plot_learning_curves

        year, report = run.year, run.progress

        def follow(event: Event) -> None:
            if event["event"] in ("start", "epoch"):
                report(f"training {year}, epochs", event.get("epoch", 0), settings.training.max_epochs)

        folder = root.checkpoint(year)
        weights_before = read_json(folder / MANIFEST_FILE).get("weights_sha256")
        with warnings.catch_warnings(record=True) as notices:
            spec = plan_training(settings, root, year, _tile_versions(root, world.training_years(year)))
        for notice in notices:
            run.context.log.warning(str(notice.message))
        run_process(run.context, "burnscar_assets.training.trainer", spec.write(root.spec("training", year)), follow)
        manifest = verify_checkpoint(folder)
        curves = partial(
            plot_learning_curves,
            manifest.history,
            title=f"Learning curves {year}",
            simulated=settings.simulated_imagery,
        )
        metadata = {
            "dagster/uri": str(folder),
            "burnscar/encoder": manifest.encoder.model_id,
            "burnscar/random_weights": manifest.encoder.random,
            "burnscar/notice": manifest.notice,
            "burnscar/train_windows": spec.window_count(Split.TRAIN),
            "burnscar/val_windows": spec.window_count(Split.VAL),
            "burnscar/epochs": manifest.epochs,
            "burnscar/best_epoch": manifest.best_epoch,
            **{f"burnscar/{name}": value for name, value in manifest.metrics.items()},
        }
        said = "" if manifest.weights_sha256 == weights_before else "other weights"
        return run.result(manifest.weights_sha256, metadata, curves, said)

    return checkpoint


def _evaluation_metrics(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings

    @stage(
        world,
        "evaluation_metrics",
        group="model",
        kinds={"geoparquet", "pytorch"},
        deps=[
            dg.AssetDep("checkpoint", partition_mapping=look_back(1)),  # the one of the year before served the season
            "windows",
            "tiles",
            "fire_perimeters",  # for the sizes of fires
        ],
        pool=GPU_POOL,
        op_tags=gpu_stage_tags(settings.compute),
        description="Metrics on the year's test fires by its checkpoint, and on all its fires by that of the year "
        "before, beside a tuned NBR threshold; with a model card and the year's champion.",
    )
    def evaluation_metrics(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.evaluation.card import MARKDOWN_FILE
        from burnscar_assets.evaluation.champion import load_champion
        from burnscar_assets.evaluation.plots import plot_evaluation, plot_worst_windows
        from burnscar_assets.evaluation.spec import load_report

        year, report = run.year, run.progress

        def follow(event: Event) -> None:
            if event["event"] == "step":
                report(event["what"], event["done"], event["total"])

        before = read_if_whole(root, EVALUATION_METRICS, year)
        spec = _evaluation_spec(world, year)
        path = spec.write(root.spec("evaluation", year))
        run_process(run.context, "burnscar_assets.evaluation.evaluator", path, follow)
        found = load_report(root, year)
        if found.season.note:
            run.context.log.info(f"season {year}: {found.season.note}")
        metrics, predictions = read_table(root, EVALUATION_METRICS, year), read_table(root, PREDICTIONS, year)
        preview = partial(
            plot_evaluation, predictions, metrics, title=f"Held-out fires {year}", simulated=settings.simulated_imagery
        )
        worst = plot_worst_windows(
            root.dataset,
            settings.imagery.layer,
            predictions,
            n=settings.evaluation.worst_windows,
            title=f"Held-out windows most wrong {year}",
            simulated=settings.simulated_imagery,
        )
        champion = load_champion(root, year)
        metadata = figures(found.summary) | {
            "burnscar/worst_windows": picture(worst),
            "burnscar/season_note": found.season.note,
            "burnscar/model_card": dg.MetadataValue.md((root.evaluation(year) / MARKDOWN_FILE).read_text("utf-8")),
            "burnscar/champion": "" if champion is None else champion.said,
        }
        changes = table_changes(EVALUATION_METRICS, before, metrics)
        return run.table_result(EVALUATION_METRICS, metrics, changes, metadata, preview)

    return evaluation_metrics


def _evaluation_spec(world: World, year: int) -> "EvaluationSpec":
    from burnscar_assets.evaluation.spec import EvaluationSpec
    from burnscar_assets.training.manifest import MANIFEST_FILE, load_manifest

    root, settings, before = world.root, world.settings, world.year_before(year)
    versions = _tile_versions(root, [year]) | {"checkpoint": load_manifest(root.checkpoint(year)).weights_sha256}
    if before is not None and (root.checkpoint(before) / MANIFEST_FILE).exists():
        versions["checkpoint_before"] = load_manifest(root.checkpoint(before)).weights_sha256
    regions = settings.evaluation.ecoregions
    return EvaluationSpec(
        root=root.path,
        fire_year=year,
        year_before=before,
        first_day_after=settings.windows.days_after[0],
        ecoregions=None if regions is None else config_file(regions).resolve(),
        world=settings.name,
        layer=settings.imagery.layer,
        settings=settings.evaluation,
        device=DEVICES[settings.training.accelerator],
        simulated=settings.simulated_imagery,
        data_versions=versions,
    )


def _tile_versions(root: DataRoot, years: list[int]) -> dict[str, str]:
    made = [year for year in years if table_path(root, TILES, year).exists()]
    return {f"tiles/{year}": TILES.content_hash(read_table(root, TILES, year)) for year in made}
