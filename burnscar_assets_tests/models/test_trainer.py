"""The trainer learns, repeats itself, goes on where it broke off, and leaves what was there alone when it fails."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from burnscar_assets.errors import CheckpointError, InputError
from burnscar_assets.models.manifest import WEIGHTS_FILE, CheckpointManifest, load_manifest, verify_checkpoint
from burnscar_assets.models.trainer import run_hash, train, trained_before
from burnscar_assets_tests.models.training_kit import Event, Plan, Run, Trained


def _without_paths(manifest: CheckpointManifest) -> CheckpointManifest:
    """The manifest without the hash of model.yaml, which names the folders of this machine."""
    return manifest.model_copy(update={"files": {}})


def test_training_learns_and_tells(plan: Plan, run: Run) -> None:
    spec = plan(max_epochs=6, freeze_epochs=0)
    manifest, events = run(spec)

    assert manifest.history[-1]["train_loss"] < manifest.history[0]["train_loss"] - 0.05
    assert manifest.metrics["val_auroc"] > 0.8
    assert [e["event"] for e in events if e["event"] != "step"] == ["start", "reader"] + ["epoch"] * 6 + ["done"]
    assert manifest == verify_checkpoint(spec.checkpoint) == load_manifest(spec.checkpoint)
    assert manifest.fire_years == (2019, 2020)
    assert manifest.windows["train"] == {2019: {"burnt": 24, "unburnt": 24}, 2020: {"burnt": 24, "unburnt": 24}}
    assert manifest.data_versions == {"tiles 2020": "abc"}
    best = min(manifest.history, key=lambda row: row["val_loss"])
    assert manifest.best_epoch == best["epoch"]
    assert manifest.metrics["val_loss"] == best["val_loss"]
    assert not spec.run_folder.exists()
    written = [json.loads(line) for line in (spec.checkpoint / "progress.jsonl").read_text().splitlines()]
    assert written == [e for e in events if e["event"] != "done"]


def test_random_weights_are_said_everywhere(plan: Plan, undisturbed: Trained, run: Run) -> None:
    _, events = run(plan(max_epochs=1))
    manifest = undisturbed[1]
    assert manifest.encoder.random
    assert manifest.notice.startswith("RANDOM WEIGHTS")
    assert events[0]["random_weights"]
    assert events[0]["notice"] == manifest.notice
    assert manifest.simulated


def test_same_seed_same_weights_other_seed_others(plan: Plan, run: Run, undisturbed: Trained) -> None:
    again, _ = run(plan())
    other, _ = run(plan("b", max_epochs=1, seed=7))
    assert _without_paths(again) == _without_paths(undisturbed[1])
    assert again.files[WEIGHTS_FILE] == undisturbed[1].files[WEIGHTS_FILE]
    assert other.history[0] != again.history[0]


class BrokenOffError(RuntimeError):
    """Stands for what ends a process."""


def _break_off_after(epoch: int) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        if event["event"] == "epoch" and event["epoch"] == epoch:
            raise BrokenOffError

    return report


@pytest.mark.parametrize("epoch", [2, 4], ids=["as the encoder thaws", "before the end"])
def test_a_run_that_broke_off_ends_as_an_undisturbed_one(
    plan: Plan, run: Run, undisturbed: Trained, epoch: int
) -> None:
    spec = plan()
    with pytest.raises(BrokenOffError):
        train(spec, _break_off_after(epoch))
    manifest, events = run(spec)
    assert events[0]["resumed"]
    assert _without_paths(manifest) == _without_paths(undisturbed[1])


def test_another_configuration_starts_anew(plan: Plan, run: Run) -> None:
    spec = plan(max_epochs=3)
    with pytest.raises(BrokenOffError):
        train(spec, _break_off_after(3))
    manifest, events = run(plan(max_epochs=1))
    assert not events[0]["resumed"]
    assert manifest.epochs == 1


def test_a_last_checkpoint_that_was_cut_short_is_not_used(plan: Plan, run: Run) -> None:
    spec = plan(max_epochs=2)
    with pytest.raises(BrokenOffError):
        train(spec, _break_off_after(2))
    last = spec.run_folder / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    manifest, events = run(spec)
    assert not events[0]["resumed"]
    assert manifest.epochs == 2


def test_a_failed_run_leaves_the_checkpoint_that_was_there(plan: Plan, run: Run) -> None:
    before, _ = run(plan(max_epochs=1))
    spec = plan(max_epochs=2)
    with pytest.raises(BrokenOffError):
        train(spec, _break_off_after(1))
    assert verify_checkpoint(spec.checkpoint) == before
    promised = spec.model_copy(update={"windows": {**spec.windows, "train": {2020: {"burnt": 24, "unburnt": 500}}}})
    with pytest.raises(InputError, match="holds 96 usable train windows"):
        train(promised, lambda event: None)
    assert verify_checkpoint(spec.checkpoint) == before


def test_early_stop_ends_the_run(plan: Plan, run: Run) -> None:
    manifest, _ = run(plan(max_epochs=30, early_stop_epochs=1, learning_rate=0.5, freeze_epochs=0))
    losses = [row["val_loss"] for row in manifest.history]
    assert len(losses) < 30
    assert losses[-1] >= min(losses)


def test_diverging_is_said(plan: Plan, run: Run) -> None:
    with pytest.raises(InputError, match=r"lower training\.learning_rate"):
        run(plan(max_epochs=2, learning_rate=1e30, freeze_epochs=0))


def test_two_processes_do_not_train_the_same_checkpoint(plan: Plan, run: Run) -> None:
    def meet_another(event: Event) -> None:
        if event["event"] == "epoch":
            run(plan(max_epochs=1))

    with pytest.raises(InputError, match="another process is training"):
        train(plan(max_epochs=1), meet_another)


def test_pretrained_weights_are_loaded_and_checked(plan: Plan, run: Run, pretrained_folder: Path) -> None:
    spec = plan(max_epochs=1, model={"weights": str(pretrained_folder), "patch_size": 8})
    manifest, _ = run(spec)
    assert not manifest.encoder.random
    assert manifest.encoder.sha256 == spec.encoder.sha256
    assert "OlmoEarth Artifact License" in manifest.notice

    weights = pretrained_folder / "weights.pth"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="not the file that the run was planned with"):
        run(spec)


@pytest.fixture
def pretrained_folder(plan: Plan, tmp_path: Path) -> Path:
    """A folder like the hub's, with weights of the true architecture."""
    import torch
    from olmoearth_pretrain_minimal import load_model_from_path

    source = plan().encoder.path
    folder = tmp_path / "OlmoEarth-v1_2-Nano"
    folder.mkdir()
    shutil.copy(source / "config.json", folder)
    torch.save(load_model_from_path(source, load_weights=False).state_dict(), folder / "weights.pth")
    return folder


def test_the_run_hash_follows_what_a_run_depends_on(plan: Plan) -> None:
    spec = plan()
    assert run_hash(spec, "cpu") == run_hash(plan("elsewhere"), "cpu")
    for change in ({"data_versions": {"tiles 2020": "abd"}}, {"settings": plan(seed=3).settings}, {"windows": {}}):
        assert run_hash(spec.model_copy(update=change), "cpu") != run_hash(spec, "cpu")


def test_a_checkpoint_of_just_this_run_is_known_and_no_other(undisturbed: Trained, checkpoint: Path) -> None:
    spec, manifest = undisturbed
    assert trained_before(spec) == manifest
    for change in ({"data_versions": {"tiles 2020": "other"}}, {"seen_hash": "other"}):
        assert trained_before(spec.model_copy(update=change)) is None
    (checkpoint / WEIGHTS_FILE).write_bytes(b"cut short")
    assert trained_before(spec.model_copy(update={"checkpoint": checkpoint})) is None
