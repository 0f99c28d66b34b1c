"""Assets of the model group: the year's fine-tuned checkpoint, and its metrics on held-out fires."""

import warnings

import dagster as dg

from burnscar_assets.classes import Split
from burnscar_assets.orchestration.assets.common import GPU_POOL, fire_year, options, provenance, result
from burnscar_assets.orchestration.metadata import figures, picture
from burnscar_assets.orchestration.partitions import World, look_back
from burnscar_assets.orchestration.processes import Event, run_process
from burnscar_assets.orchestration.reporting import reporter
from burnscar_assets.storage.contracts import EVALUATION_METRICS, PREDICTIONS, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

DEVICES = {"cpu": "cpu", "gpu": "cuda", "auto": "auto"}


def build_model_assets(world: World) -> list[dg.AssetsDefinition]:
    """The assets from tiles to metrics."""
    return [_checkpoint(world), _evaluation_metrics(world)]


def _checkpoint(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings
    years_seen = look_back(settings.training.look_back_years)
    seen = [dg.AssetDep(name, partition_mapping=years_seen) for name in ("windows", "tiles")]

    @dg.asset(
        **options(world, "checkpoint", "model", {"pytorch", "lightning"}),
        deps=seen,  # a new deal of the ground changes windows, and leaves tiles as they are
        pool=GPU_POOL,
        description="OlmoEarth fine-tuned on the training fires of the years up to this one, with its manifest.",
    )
    def checkpoint(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from burnscar_assets.training.manifest import verify_checkpoint
        from burnscar_assets.training.plan import plan_training
        from burnscar_assets.training.plots import plot_learning_curves

        year, report = fire_year(context), reporter(context)

        def follow(event: Event) -> None:
            if event["event"] in ("start", "epoch"):
                report(f"training {year}, epochs", event.get("epoch", 0), settings.training.max_epochs)

        with warnings.catch_warnings(record=True) as notices:
            spec = plan_training(settings, root, year, _tile_versions(root, world.training_years(year)))
        for notice in notices:
            context.log.warning(str(notice.message))
        run_process(context, "burnscar_assets.training.trainer", spec.write(root.spec("training", year)), follow)
        folder = root.checkpoint(year)
        manifest = verify_checkpoint(folder)
        curves = plot_learning_curves(
            manifest.history, title=f"Learning curves {year}", simulated=settings.simulated_imagery
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.weights_sha256),
            metadata={
                "burnscar/preview": picture(curves),
                "dagster/uri": str(folder),
                "burnscar/encoder": manifest.encoder.model_id,
                "burnscar/random_weights": manifest.encoder.random,
                "burnscar/notice": manifest.notice,
                "burnscar/train_windows": spec.window_count(Split.TRAIN),
                "burnscar/val_windows": spec.window_count(Split.VAL),
                "burnscar/epochs": manifest.epochs,
                "burnscar/best_epoch": manifest.best_epoch,
                **{f"burnscar/{name}": value for name, value in manifest.metrics.items()},
                **provenance(world),
            },
        )

    return checkpoint


def _evaluation_metrics(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings

    @dg.asset(
        **options(world, "evaluation_metrics", "model", {"geoparquet", "pytorch"}),
        deps=["checkpoint", "windows", "tiles"],
        pool=GPU_POOL,
        description="Metrics on the test fires of the year, pooled and per fire, beside a tuned NBR threshold.",
    )
    def evaluation_metrics(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from burnscar_assets.evaluation.plots import plot_evaluation
        from burnscar_assets.evaluation.spec import EvaluationSpec, load_report
        from burnscar_assets.training.manifest import load_manifest

        year, report = fire_year(context), reporter(context)

        def follow(event: Event) -> None:
            if event["event"] == "step":
                report(event["what"], event["done"], event["total"])

        weights = load_manifest(root.checkpoint(year)).weights_sha256
        spec = EvaluationSpec(
            root=root.path,
            fire_year=year,
            layer=settings.imagery.layer,
            settings=settings.evaluation,
            device=DEVICES[settings.training.accelerator],
            simulated=settings.simulated_imagery,
            data_versions=_tile_versions(root, [year]) | {"checkpoint": weights},
        )
        path = spec.write(root.spec("evaluation", year))
        run_process(context, "burnscar_assets.evaluation.evaluator", path, follow)
        summary = load_report(root, year).summary
        metrics, predictions = read_table(root, EVALUATION_METRICS, year), read_table(root, PREDICTIONS, year)
        preview = plot_evaluation(
            predictions, metrics, title=f"Held-out fires {year}", simulated=settings.simulated_imagery
        )
        return result(world, EVALUATION_METRICS, metrics, year, figures(summary), preview)

    return evaluation_metrics


def _tile_versions(root: DataRoot, years: list[int]) -> dict[str, str]:
    made = [year for year in years if table_path(root, TILES, year).exists()]
    return {f"tiles/{year}": TILES.content_hash(read_table(root, TILES, year)) for year in made}
