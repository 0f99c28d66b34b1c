"""`burnscar curve`: a set-up trained with more and more training fires, each time judged on the same held-out fires.

Everything but the number of training fires is as in the world's own stages: validation fixes epochs, calibration and
threshold of each checkpoint, and held-out fires are only scored. What is whole stays, so that a command that was killed
goes on where it was. Nothing here changes what the world's assets made.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from burnscar_assets.comparison.learning_curve import curve_table, doubling, plot_curve
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.errors import SettingsError
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.models.config import image_layers, outline_config
from burnscar_assets.models.fewer_fires import training_fires
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.plan import choose_windows, plan_training, training_years
from burnscar_assets.orchestration.assets.model import evaluation_spec, table_versions
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.process import prepare_environment
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.atomic import atomic_file, read_json, write_json
from burnscar_assets.storage.contracts import LEARNING_CURVES, MAP_SCORES, TILES
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import OWN
from burnscar_assets.storage.tables import read_table, table_path, write_table

JUDGED_FILE: Final = "judged.json"
"""Beside a checkpoint's scores: the hash of what they follow from."""

_DPI: Final = 120


@dataclass(frozen=True)
class Curve:
    """A learning curve.

    Attributes:
        table: contract LEARNING_CURVES, of one set-up.
        picture: its file.
    """

    table: pd.DataFrame
    picture: Path


def draw_curve(world: World, setup: str | None = None, sizes: Sequence[int] = (), progress: Progress = silent) -> Curve:
    """Train, judge and draw; what is there already of the same inputs is taken as it is.

    In a world with folds, each fire is judged by its fold's checkpoint. In one with blocks, the last fire year's
    checkpoint maps the held-out fires of all years that it was trained on: their ground is held out in all of them.

    Args:
        world: with tiles and fire scenes.
        setup: name of the set-up; None: the world's own.
        sizes: numbers of training fires; empty: 2, doubled up to all.
        progress: told of checkpoints and their steps.

    Raises:
        SettingsError: there is no such set-up, it is an ensemble, or a size is larger than what there is.
        MissingDataError: the world has no tiles or fire scenes yet.
        InputError: so few fires leave a class without windows.
    """
    prepare_environment()
    seen = world.of(setup)
    if seen.setup is not None and seen.setup.members:
        raise SettingsError(f"{setup} trains nothing itself: draw the curves of {', '.join(seen.setup.members)}")
    name, title = (OWN, world.settings.setups.title) if seen.setup is None else (seen.setup.name, seen.setup.title)
    year = max(int(key) for key in world.model_years.get_partition_keys())
    seeds = seen.by_seed()
    sizes = _sizes(seeds[0], year, sizes)
    points, manifests = {}, {}
    for size in sizes:
        places = [replace(one, root=one.root.curve(name, size, one.settings.training.seed)) for one in seeds]
        manifests[size] = [made for place in places for made in _point(place, year, size, progress)]
        kind = "fine_tuned" if seen.setup is None else seen.setup.kind
        numbers = tuple(place.settings.training.seed for place in places)
        points[size] = Contestant(f"{size} fires", title, kind, numbers, tuple(place.root for place in places))
    table = curve_table(points, manifests, name, year, world.settings.evaluation)
    _keep(world, table, name)
    picture = world.root.curves / f"{name}.png"
    with atomic_file(picture) as temporary:
        plot_curve(table, simulated=world.settings.simulated_imagery).savefig(temporary, format="png", dpi=_DPI)
    return Curve(table, picture)


def _sizes(world: World, year: int, wanted: Sequence[int]) -> tuple[int, ...]:
    """Numbers of training fires that every checkpoint of a world can have."""
    years = training_years(world.settings, world.root, year)
    most = min(
        len(training_fires(choose_windows(one.settings, one.root, years, _layers(one), one.fold).windows))
        for one in world.by_fold()
    )
    if too_many := [size for size in wanted if size > most]:
        raise SettingsError(
            f"--fires {' '.join(map(str, too_many))}: there are {most} training fires"
            + (" in the fold that has fewest" if world.folds else "")
        )
    return tuple(sorted(set(wanted))) or doubling(most)


def _layers(world: World) -> tuple[str, ...]:
    """Layers that a set-up's checkpoints read: a window that lacks one of them is none of theirs."""
    setup, settings = world.setup, world.settings
    if setup is not None and not setup.is_neural:
        from burnscar_assets.models.baselines.trainer import layer_before

        before = layer_before(setup, settings)
        return () if before is None else (before,)
    outline = outline_config(settings.training, settings.imagery.layer, settings.sensor)
    return tuple(image_layers(outline, settings.sensor))


def _point(place: World, year: int, size: int, progress: Progress) -> list[CheckpointManifest]:
    """Train and judge the checkpoints of one seed with so many fires; their scores lie in the place's root."""
    from burnscar_assets.evaluation.evaluator import put_together

    seed, members = place.settings.training.seed, place.by_fold()
    what = f"checkpoints trained with {size} fires, seed {seed}"
    made = []
    for number, member in enumerate(members):
        progress(what, number, len(members))
        made.append(_train(member, year, size, progress))
    progress(what, len(members), len(members))
    spec = evaluation_spec(place, year, made[0].fire_years)
    versions = [code_version(place.asset("evaluation_metrics"), place.settings), *(one.weights_sha256 for one in made)]
    scores = [_scores(member, hash_json(versions), progress) for member in spec.members]
    write_table(place.root, MAP_SCORES, put_together(MAP_SCORES, scores), year)
    return made


def _train(world: World, year: int, size: int, progress: Progress) -> CheckpointManifest:
    """One checkpoint; one that is there and whole, of the same inputs, stays."""
    settings, root, setup = world.settings, world.root, world.setup
    code = code_version(world.asset("checkpoint"), settings)
    versions = table_versions(root, TILES, world.training_years(year)) | {"code": code}
    if setup is not None and not setup.is_neural:
        from burnscar_assets.models.baselines.trainer import train_baseline

        return train_baseline(
            setup, settings, root, year, versions, progress, fold=world.fold, keep=True, fires=size
        ).manifest
    from burnscar_assets.models.trainer import train, trained_before

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries' warnings would drown the progress
        spec = plan_training(settings, root, year, versions, fold=world.fold, fires=size, warn=lambda said: None)
        follow = partial(_follow, progress, settings.training.max_epochs)
        return trained_before(spec) or train(spec, follow)


def _follow(progress: Progress, epochs: int, event: dict[str, Any]) -> None:
    if event["event"] == "epoch":
        progress("epochs", event["epoch"], epochs)


def _scores(spec: EvaluationSpec, versions: str, progress: Progress) -> pd.DataFrame:
    """Scores of one checkpoint's maps of its held-out fires; those that are there of the same inputs stay."""
    from burnscar_assets.evaluation.evaluator import evaluate_checkpoint

    root, year = spec.data_root, spec.fire_year
    stamp, identity = root.evaluation(year) / JUDGED_FILE, hash_json([spec.model_dump(mode="json"), versions])
    if read_json(stamp).get("identity") == identity and table_path(root, MAP_SCORES, year).exists():
        return read_table(root, MAP_SCORES, year)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = evaluate_checkpoint(spec, progress).maps.scores
    write_table(root, MAP_SCORES, scores, year)
    write_json(stamp, {"identity": identity})
    return scores


def _keep(world: World, curve: pd.DataFrame, name: str) -> None:
    """Put a curve into the world's table in place of the set-up's former one."""
    there = table_path(world.root, LEARNING_CURVES, None).exists()
    others = read_table(world.root, LEARNING_CURVES, None) if there else LEARNING_CURVES.empty()
    write_table(world.root, LEARNING_CURVES, pd.concat([others[others["setup"] != name], curve]), None)
