"""Ensembles: their weights come from maps of validation fires, and they answer as their members do together."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from burnscar_assets.classes import Split
from burnscar_assets.errors import CheckpointError, InputError
from burnscar_assets.evaluation.champion_record import champion_folder
from burnscar_assets.evaluation.ensembles import (
    MEAN_IOU,
    EnsembleSpec,
    FramePredictions,
    check_members,
    choose,
    mixtures,
    try_weights,
    weigh_members,
)
from burnscar_assets.evaluation.evaluator import evaluate
from burnscar_assets.evaluation.frame_pixels import BURNT, UNBURNT
from burnscar_assets.evaluation.frames import predict_frame
from burnscar_assets.evaluation.plots import plot_members
from burnscar_assets.mapping.fire_scenes import read_fire_scenes
from burnscar_assets.mapping.old_scars import SCAR_BOUNDS
from burnscar_assets.models.baselines.trainer import train_baseline
from burnscar_assets.models.ensemble import EnsemblePredictor
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.model import load_model
from burnscar_assets.setups import Setup
from burnscar_assets.storage.contracts import MAP_SCORES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.evaluation.test_frames import add_scenes
from burnscar_assets_tests.evaluation.tiny_world import SETTINGS, spec_of

YEAR = 2020
WOOD = Setup(
    name="wood", title="Wood", kind="trees", trees={"per": "pixel", "rounds": 20, "min_windows_in_leaf": 3}  # type: ignore[arg-type]
)  # fmt: skip
NAMES = ("default", "wood")


@pytest.fixture
def world(trained: DataRoot, tmp_path: Path) -> DataRoot:
    """The tiny world with trees per pixel beside its network, which answers for windows, and frames of two fires."""
    shutil.copytree(trained.path, tmp_path / "data")
    root = DataRoot(tmp_path / "data")
    train_baseline(WOOD, WOOD.applied_to(SETTINGS), root.setup("wood"), YEAR, {})
    add_scenes(root, ("v", Split.VAL), ("t", Split.TEST))
    return root


def ensemble_spec(root: DataRoot) -> EnsembleSpec:
    said = spec_of(root, part=root.setup("both").part, year_before=None)
    parts = {"default": "", "wood": root.setup("wood").part}
    return EnsembleSpec(**said.model_dump(), parts=parts, seed=SETTINGS.training.seed)


def test_it_is_weighed_on_validation_fires_and_judged_by_the_average_of_its_members_maps(world: DataRoot) -> None:
    spec, root = ensemble_spec(world), world.setup("both")
    made = weigh_members(spec)
    assert made == verify_checkpoint(root.checkpoint(YEAR)) and made.kind == "ensemble" and made.per_pixel
    assert list(made.members) == [*NAMES] and sum(made.members.values()) == pytest.approx(1)
    assert made.metrics[MEAN_IOU] == max(row[MEAN_IOU] for row in made.history)
    (scene,) = read_fire_scenes(world, YEAR, [Split.VAL])
    places = {"default": world.checkpoint(YEAR), "wood": world.setup("wood").checkpoint(YEAR)}
    alone = [made.members[name] * predict_frame(spec, load_model(place), scene) for name, place in places.items()]
    together = predict_frame(spec, load_model(root.checkpoint(YEAR)), scene)
    seen = together >= 0
    assert seen.any()
    np.testing.assert_allclose(together[seen], np.sum(alone, axis=0)[seen], atol=1e-6)
    report = evaluate(spec_of(world, part=root.part, year_before=None))
    assert report.held_out.weights_sha256 == made.weights_sha256 and report.held_out.rules.maps is not None
    assert read_table(root, MAP_SCORES, YEAR)["judged"].all()
    shutil.rmtree(world.setup("wood").path / "setups" / "wood")
    assert verify_checkpoint(champion_folder(root, YEAR)) == made, "it outlives its members"
    assert plot_members(made, title="t", simulated=True).axes


def test_windows_are_answered_by_each_member_in_its_own_way(world: DataRoot) -> None:
    made = weigh_members(ensemble_spec(world))
    both, *alone = (load_model(folder.checkpoint(YEAR)) for folder in (world.setup("both"), world, world.setup("wood")))
    images = {layer: np.full((3, len(bands), 32, 32), 1500, np.uint16) for layer, bands in both.layers.items()}
    times = {layer: [datetime(2020, 9, 1, tzinfo=UTC)] * 3 for layer in images}
    expected = sum(
        weight * model.predict_windows(images, times)
        for weight, model in zip(made.members.values(), alone, strict=True)
    )
    np.testing.assert_allclose(both.predict_windows(images, times), expected)
    assert both.predict(images, times).shape == (3, 32, 32)


def test_what_became_of_held_out_fires_decides_no_weight(world: DataRoot) -> None:
    before = weigh_members(ensemble_spec(world))
    shutil.rmtree(world.fire_scenes / "windows" / str(YEAR) / "t")
    assert weigh_members(ensemble_spec(world)) == before


def test_a_member_that_was_exchanged_is_noticed(world: DataRoot) -> None:
    made = weigh_members(ensemble_spec(world))
    folder = world.setup("both").checkpoint(YEAR)
    (folder / "wood" / "trees.txt").write_text("other trees")
    with pytest.raises(CheckpointError, match=r"wood/trees\.txt"):
        verify_checkpoint(folder)
    other = made.model_copy(update={"members": {"default": 1.0, "wood": 0.0}})
    with pytest.raises(CheckpointError, match="not those that were weighed"):
        EnsemblePredictor({"default": load_model(world.checkpoint(YEAR))}, other)


def test_members_of_other_windows_or_layers_do_not_go_together(world: DataRoot) -> None:
    one, other = (verify_checkpoint(root.checkpoint(YEAR)) for root in (world, world.setup("wood")))
    assert check_members({"a": one, "b": other}) == other, "it has seen the edges of fires too"
    for change, words in (
        ({"fire_years": (2020,)}, "other windows"),
        ({"layers": {"x": ("B08",)}}, "same layers"),
        ({"layers": {other.layer: ("B08", "B12")}}, r"another one sentinel2_l2a \(B08 B12\): .*same bands"),
    ):
        with pytest.raises(InputError, match=words):
            check_members({"a": one, "b": other.model_copy(update=change)})
    with pytest.raises(InputError, match="other windows"):
        check_members({"a": one, "b": one.model_copy(update={"seen_hash": "0"})})


def answers_of(*probabilities: float) -> FramePredictions:
    """A frame of a burnt and an unburnt pixel, by members that give these to the burnt one and 0.5 to the other."""
    table = np.array([[p, 0.5] for p in probabilities], np.float32)
    return FramePredictions("f", table, np.array([BURNT, UNBURNT], np.uint8))


def test_the_mixture_with_the_best_maps_is_chosen_and_of_equal_ones_the_most_even() -> None:
    assert len(mixtures(2)) == 11 and len(mixtures(3)) == 66
    assert all(sum(weights) == pytest.approx(1) for weights in mixtures(3))
    names = ("good", "bad")
    harmful = try_weights([answers_of(0.9, 0.0)], names)
    chosen = choose(harmful, names)
    assert chosen["good"] > chosen["bad"] and chosen[MEAN_IOU] == 1
    equal = choose(try_weights([answers_of(0.9, 0.9)], names), names)
    assert (equal["good"], equal["bad"]) == (0.5, 0.5)
    # the one takes a scar for fresh, the other a greener pixel for burnt
    truth = np.repeat(np.array([BURNT, UNBURNT, UNBURNT], np.uint8), (20, 10, 1))
    answers = np.repeat(np.array([[0.5, 0.99, 0.1], [0.6, 0.5, 0.7]], np.float32), (20, 10, 1), axis=1)
    scars = np.broadcast_to(np.arange(31) // 20 == 1, (len(SCAR_BOUNDS), 31)).copy()
    scars[:, -1] = False
    for known, weight in ((None, 0.1), (scars, 0.5)):
        ruled = choose(try_weights([FramePredictions("f", answers, truth, known)], names), names)
        assert ruled["good"] == weight and (ruled[MEAN_IOU] == 1) == (known is not None)
    no_fire = replace(answers_of(0.9, 0.9), truth=np.array([UNBURNT, UNBURNT], np.uint8))
    for frames in ([], [no_fire]):
        none = choose(try_weights(frames, names), names)
        assert (none["good"], none["bad"]) == (0.5, 0.5) and np.isnan(none[MEAN_IOU])
