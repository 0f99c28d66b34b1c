"""The assets of the set-ups beside the world's own, and their comparison."""

from functools import partial

import dagster as dg

from burnscar_assets.orchestration.assets.model import (
    checkpoint_asset,
    described,
    metrics_asset,
    model_group,
    seen_by_checkpoint,
    tile_versions,
    version_of,
    windows_seen,
)
from burnscar_assets.orchestration.automation.conditions import follow
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import StageRun, stage
from burnscar_assets.storage.atomic import read_json


def build_setup_assets(world: World) -> list[dg.AssetsDefinition]:
    """A checkpoint and metrics for each set-up beside the world's own."""
    assets = []
    for name, setup in world.setups.items():
        seen = world.of(name)
        assets += [checkpoint_asset(seen) if setup.is_neural else _baseline_checkpoint(seen), metrics_asset(seen)]
    return assets


def _baseline_checkpoint(world: World) -> dg.AssetsDefinition:
    setup, settings, root = world.setup, world.settings, world.root
    assert setup is not None  # noqa: S101 - only set-ups beside the world's own have no network

    @stage(
        world,
        world.asset("checkpoint"),
        group=model_group(world),
        kinds={"numpy"} if setup.kind == "threshold" else {"lightgbm"},
        deps=seen_by_checkpoint(world),
        automation_condition=follow(),
        description=described(world, "Tuned on the training fires of the years up to this one, with its manifest."),
    )
    def baseline_checkpoint(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.baselines.plots import plot_baseline
        from burnscar_assets.baselines.trainer import train_baseline
        from burnscar_assets.training.manifest import MANIFEST_FILE

        year, folder = run.year, root.checkpoint(run.year)
        weights_before = read_json(folder / MANIFEST_FILE).get("weights_sha256")
        versions = tile_versions(root, world.training_years(year))
        trained = [train_baseline(setup, w.settings, w.root, year, versions, run.progress) for w in world.by_seed()]
        made = trained[0].manifest
        preview = partial(
            plot_baseline, trained[0], title=f"{setup.title} {year}", simulated=settings.simulated_imagery
        )
        metadata = {
            "dagster/uri": str(folder),
            **windows_seen(made),
            "burnscar/parameters": made.parameters,
            "burnscar/seeds": [one.manifest.seed for one in trained],
            **{f"burnscar/{name}": value for name, value in made.metrics.items()},
        }
        said = "" if made.weights_sha256 == weights_before else "another model"
        return run.result(version_of([one.manifest for one in trained]), metadata, preview, said)

    return baseline_checkpoint
