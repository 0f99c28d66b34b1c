"""Stages of the set-ups beside the world's own, and their comparison."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from burnscar_assets.orchestration.assets.model import answering, training_versions, version_of, windows_seen
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.processes import run_process, steps_to
from burnscar_assets.orchestration.stage import StageRun
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.changes import replace_table
from burnscar_assets.storage.contracts import SETUP_COMPARISON
from burnscar_assets.storage.paths import OWN, DataRoot

if TYPE_CHECKING:
    from burnscar_assets.comparison.read import Contestant
    from burnscar_assets.models.manifest import CheckpointManifest


def ensemble_checkpoint(run: StageRun) -> dg.MaterializeResult:
    """The checkpoints of the members, with weights chosen on frames of validation fires."""
    from burnscar_assets.evaluation.plots import plot_members
    from burnscar_assets.models.manifest import MANIFEST_FILE

    year, folder = run.year, run.world.by_fold()[0].root.checkpoint(run.year)
    weights_before = read_json(folder / MANIFEST_FILE).get("weights_sha256")
    weighed = [_weigh(run, one) for one in run.world.trained()]
    made = weighed[0]
    metadata = {
        "dagster/uri": str(folder),
        **windows_seen(made),
        "burnscar/parameters": made.parameters,
        "burnscar/seeds": list(dict.fromkeys(one.seed for one in weighed)),
        "burnscar/weights": made.members,
        **{f"burnscar/{name}": value for name, value in made.metrics.items()},
    }
    preview = partial(plot_members, made, title=f"Members {year}", simulated=run.settings.simulated_imagery)
    said = "" if made.weights_sha256 == weights_before else "other members, or other weights of theirs"
    return run.result(version_of(weighed), metadata, preview, said)


def _weigh(run: StageRun, ensemble: World) -> "CheckpointManifest":
    """Weigh the members' checkpoints of an ensemble's seed and fold, in a process of its own."""
    from burnscar_assets.evaluation.ensembles import EnsembleSpec
    from burnscar_assets.models.manifest import verify_checkpoint

    root, seed = ensemble.root, ensemble.settings.training.seed
    parts = {name: _member(run.own, name, ensemble).part for name in run.setup.members or ()}
    spec = EnsembleSpec(**answering(ensemble), fire_year=run.year, fold=ensemble.fold, parts=parts, seed=seed)
    path = spec.write(root.spec("ensemble", run.year))
    run_process(run.context, ensemble, "burnscar_assets.evaluation.ensembles", path, steps_to(run.progress))
    return verify_checkpoint(root.checkpoint(run.year))


def _member(world: World, name: str, ensemble: World) -> DataRoot:
    """Where a member's results lie: of the ensemble's seed, or its first, and of the same fold."""
    seeded = world.of(name).by_seed()
    seed, fold = ensemble.settings.training.seed, ensemble.fold
    same = next((one for one in seeded if one.settings.training.seed == seed), seeded[0])
    return same.root if fold is None else same.root.fold(fold.number)


def baseline_checkpoint(run: StageRun) -> dg.MaterializeResult:
    """A baseline tuned on the training fires of the years up to this one, with its manifest."""
    from burnscar_assets.models.baselines.plots import plot_baseline
    from burnscar_assets.models.baselines.trainer import train_baseline
    from burnscar_assets.models.manifest import MANIFEST_FILE

    setup, year, folder = run.setup, run.year, run.world.by_fold()[0].root.checkpoint(run.year)
    weights_before = read_json(folder / MANIFEST_FILE).get("weights_sha256")
    trained = [
        train_baseline(
            setup, w.settings, w.root, year, training_versions(run, w), run.progress,
            fold=w.fold, keep=w.fold is not None and number > 0,
        )
        for number, w in enumerate(run.world.trained())
    ]  # fmt: skip
    made = trained[0].manifest
    preview = partial(
        plot_baseline, trained[0], title=f"{setup.title} {year}", simulated=run.settings.simulated_imagery
    )
    metadata = {
        "dagster/uri": str(folder),
        **windows_seen(made),
        "burnscar/parameters": made.parameters,
        "burnscar/seeds": list(dict.fromkeys(one.manifest.seed for one in trained)),
        **{f"burnscar/{name}": value for name, value in made.metrics.items()},
    }
    said = "" if made.weights_sha256 == weights_before else "another model"
    return run.result(version_of([one.manifest for one in trained]), metadata, preview, said)


def setup_comparison(run: StageRun) -> dg.MaterializeResult:
    """Every set-up on the same held-out fires of all years, by its maps first.

    Paired intervals over fires and seeds, cost beside quality, and the winner with its margin, or that no difference
    was shown.
    """
    from burnscar_assets.comparison.compare import compare_setups, write_report
    from burnscar_assets.comparison.plots import plot_comparison
    from burnscar_assets.comparison.report import comparison_markdown, standings_of
    from burnscar_assets.evaluation.season import folds_note
    from burnscar_assets.publish.pages.site import write_standings

    world, root, settings = run.world, run.root, run.settings
    splits = settings.sampling.splits
    known = [int(key) for key in world.model_years.get_partition_keys()]
    simulated = settings.simulated_imagery
    outcome = compare_setups(
        contestants(world), known, settings.setups.reference, settings.evaluation, simulated=simulated,
        protocol=folds_note(splits.folds, splits.fold_gap_km) if splits.folds else "",
    )  # fmt: skip
    write_report(root, outcome.report)
    write_standings(root.maps(None).parent, standings_of(outcome))
    changes = replace_table(root, SETUP_COMPARISON, outcome.table, None)
    metadata = figures(outcome.report) | {"burnscar/comparison": dg.MetadataValue.md(comparison_markdown(outcome))}
    preview = partial(plot_comparison, outcome.table, title="Set-ups side by side", simulated=simulated)
    return run.table_result(SETUP_COMPARISON, outcome.table, changes, metadata, preview, version=outcome.version)


def contestants(world: World) -> "list[Contestant]":
    """The world's own set-up and those beside it, as a comparison takes them."""
    from burnscar_assets.comparison.read import Contestant

    settings = world.settings
    training, roots = settings.training, tuple(trained.root for trained in world.by_seed())
    seeds = (training.seed, *training.further_seeds) if training.further_seeds else ()
    own = Contestant(OWN, settings.setups.title, "fine_tuned", seeds, roots)
    others = [
        Contestant(name, setup.title, setup.kind, setup.seeds, tuple(w.root for w in world.of(name).by_seed()))
        for name, setup in world.setups.items()
    ]
    return [own, *others]
