"""`python -m burnscar_assets.models.trainer spec.json`: fine-tunes a year's checkpoint, in a process of its own.

Under Dagster Pipes each report goes through Pipes, else to standard error as a line; either way it is a line of
`progress.jsonl` in the run's folder. State lives in that folder until the checkpoint is whole, so a run that was
killed goes on from its last epoch, and the checkpoint that was there stays until the new one takes its place.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from burnscar_assets.cost import Cost, peak_memory_mb, write_cost
from burnscar_assets.encoders.chosen import record
from burnscar_assets.errors import CheckpointError, InputError
from burnscar_assets.models.config import (
    check_inputs,
    config_hash,
    image_layers,
    is_per_pixel,
    run_config,
    write_run_config,
)
from burnscar_assets.models.devices import Device, choose_device, device_count
from burnscar_assets.models.fit import FitResult, fit, fit_along
from burnscar_assets.models.manifest import (
    BEST_FILE,
    CONFIG_FILE,
    ENCODER_FILE,
    LAST_FILE,
    WEIGHTS_FILE,
    CheckpointManifest,
    manifest_of_run,
    write_manifest,
)
from burnscar_assets.models.spec import PROGRESS_FILE, RUN_FILE, TrainingSpec
from burnscar_assets.models.weights import hash_weights, load_state, save_weights
from burnscar_assets.process import Report, is_follower, run_stage
from burnscar_assets.storage.atomic import atomic_folder, recover, storage_errors, write_json
from burnscar_assets.storage.hashing import hash_file, hash_json

FROM_SCRATCH = "Trained from scratch, without pretrained weights: no licence but this project's."

PACKAGES = ("torch", "lightning", "rslearn", "numpy")


def train(spec: TrainingSpec, report: Report) -> CheckpointManifest:
    """Train, or go on where a run of the same specification was killed, and put the checkpoint in place.

    Args:
        spec: what to train on, from what, and where to.
        report: called with `{"event": …}` as training goes on: `start`, `reader`, `step`, `epoch`, `out_of_memory`,
            `done`.

    Raises:
        InputError: the dataset lacks what the specification promises, a GPU is asked for and absent, training
            diverged, or another process trains the same checkpoint.
        CheckpointError: the encoder's weights are not those of the specification, or not safe to read.
        StorageError: the checkpoint can't be written; the one that was there stays.
    """
    started = time.monotonic()
    device = choose_device(spec.settings)
    config = run_config(spec, device)
    check_inputs(config, spec.dataset)
    _check_encoder(spec)
    identity = run_hash(spec, device)
    with _alone(spec):
        recover(spec.checkpoint)
        last = _prepare_run(spec, identity)
        log = _journal(spec.progress_file, report)
        log(_start_event(spec, device, resumed=last is not None))
        result = fit(spec, config, spec.run_folder, last, log)
        manifest = _finish(spec, device, identity, result, started)
    report(
        {
            "event": "done",
            "seconds": round(time.monotonic() - started, 2),
            "weights_sha256": manifest.weights_sha256,
            "epochs": manifest.epochs,
            "best_epoch": manifest.best_epoch,
            "metrics": manifest.metrics,
        }
    )
    return manifest


def train_along(spec: TrainingSpec) -> None:
    """Take part in `train` of the process that started this one, on a device of its own."""
    config = run_config(spec, choose_device(spec.settings))
    last = spec.run_folder / LAST_FILE
    fit_along(spec, config, spec.run_folder, last if last.exists() else None)


def run_hash(spec: TrainingSpec, device: Device) -> str:
    """Hash of everything that a run depends on but this machine: a run resumes only one of its own hash."""
    return hash_json(
        {
            "config": config_hash(spec, device),
            "fire_year": spec.fire_year,
            "seen": spec.seen_hash,
            "windows": spec.windows,
            "unclear": spec.unclear,
            "data_versions": spec.data_versions,
            "encoder": spec.encoder and [spec.encoder.model_id, spec.encoder.random, spec.encoder.sha256],
            "packages": _package_versions(spec),
        }
    )


def trained_before(spec: TrainingSpec) -> CheckpointManifest | None:
    """The manifest of the checkpoint that is there, if it is whole and of just this run."""

    def is_ours(there: CheckpointManifest) -> bool:
        return there.run_hash == run_hash(spec, "gpu" if there.device == "gpu" else "cpu")

    return manifest_of_run(spec.checkpoint, is_ours)


def _check_encoder(spec: TrainingSpec) -> None:
    if spec.encoder is None or spec.encoder.sha256 is None:
        return
    path = spec.encoder.path / str(spec.encoder.variant.weights_file)
    if not path.is_file():
        raise CheckpointError(
            f"{path} can't be seen from here: put the weights under the data root (training.model.weights), which all "
            "machines see"
        )
    if hash_file(path) != spec.encoder.sha256:
        raise CheckpointError(f"{path} is not the file that the run was planned with: start the run again")
    load_state(path)


@contextmanager
def _alone(spec: TrainingSpec) -> Iterator[None]:
    """Hold the run's folder against another process."""
    path = spec.run_folder.with_suffix(".lock")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(f"another process is training {spec.checkpoint}: wait until it is done") from error
    try:
        yield
    finally:
        lock.release()


def _prepare_run(spec: TrainingSpec, identity: str) -> Path | None:
    """Make the run's folder, or keep it if it is of the same run; the checkpoint to go on from, if any."""
    folder = spec.run_folder
    with storage_errors(folder):
        if _run_identity(folder) != identity:
            _discard_run(folder)
            folder.mkdir(parents=True)
            write_json(folder / RUN_FILE, {"run_hash": identity})
    last = folder / LAST_FILE
    if not last.exists():
        return None
    try:
        load_state(last)
    except CheckpointError:
        last.unlink()
        return None
    return last


def _discard_run(folder: Path) -> None:
    """Delete a run's folder; its identity goes first, so that a part of it is never resumed."""
    (folder / RUN_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _run_identity(folder: Path) -> str | None:
    try:
        return json.loads((folder / RUN_FILE).read_bytes())["run_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _journal(path: Path, report: Report) -> Report:
    def log(event: dict[str, Any]) -> None:
        with storage_errors(path), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")
        report(event)

    return log


def _start_event(spec: TrainingSpec, device: Device, *, resumed: bool) -> dict[str, Any]:
    return {
        "event": "start",
        "fire_year": spec.fire_year,
        "fire_years": list(spec.fire_years),
        "windows": {split: sum(sum(c.values()) for c in years.values()) for split, years in spec.windows.items()},
        "encoder": None if spec.encoder is None else spec.encoder.model_id,
        "random_weights": spec.encoder is not None and spec.encoder.random,
        "notice": _notice(spec),
        "device": device,
        "resumed": resumed,
    }


def _finish(spec: TrainingSpec, device: Device, identity: str, result: FitResult, started: float) -> CheckpointManifest:
    """Put the checkpoint's folder together, its manifest last, and let it take the old one's place."""
    run = spec.run_folder
    with atomic_folder(spec.checkpoint) as folder:
        save_weights(folder / WEIGHTS_FILE, result.state)
        write_run_config(spec, folder, device)
        needed = [WEIGHTS_FILE, CONFIG_FILE]
        if spec.encoder is not None and spec.encoder.encoder.architecture_file is not None:
            shutil.copyfile(spec.encoder.path / spec.encoder.encoder.architecture_file, folder / ENCODER_FILE)
            needed.append(ENCODER_FILE)
        for name in (BEST_FILE, LAST_FILE, PROGRESS_FILE):
            if (run / name).exists():
                shutil.copyfile(run / name, folder / name)
        files = {name: hash_file(folder / name) for name in needed}
        write_cost(folder, _cost(spec, device, started))
        manifest = _manifest(spec, device, identity, result, files)
        write_manifest(folder, manifest)
    _discard_run(run)
    return manifest


def _cost(spec: TrainingSpec, device: Device, started: float) -> Cost:
    """What the run cost, with the epochs of the runs that it goes on from."""
    import torch

    with storage_errors(spec.progress_file):
        events = [json.loads(line) for line in spec.progress_file.read_text(encoding="utf-8").splitlines()]
    resumed_at = max(number for number, event in enumerate(events) if event["event"] == "start")
    before = sum(event["seconds"] for event in events[:resumed_at] if event["event"] == "epoch")
    on_gpu = torch.cuda.max_memory_allocated() / 1e6 if device == "gpu" else None
    return Cost(
        train_seconds=before + time.monotonic() - started,
        train_memory_mb=peak_memory_mb(),
        gpu_memory_mb=on_gpu,
        device=device,
    )


def _manifest(
    spec: TrainingSpec, device: Device, identity: str, result: FitResult, files: dict[str, str]
) -> CheckpointManifest:
    best = next(row for row in result.history if row["epoch"] == result.best_epoch)
    config = run_config(spec, device)
    return CheckpointManifest(
        fire_year=spec.fire_year,
        fire_years=spec.fire_years,
        weights_sha256=hash_weights(result.state),
        files=files,
        run_hash=identity,
        config_hash=config_hash(spec, device),
        settings_digest=spec.settings.digest(),
        data_versions=spec.data_versions,
        package_versions=_package_versions(spec),
        seed=spec.settings.seed,
        device=device,
        loader_workers=spec.settings.loader_workers,
        reader=result.reader,
        devices=device_count(spec.settings, device),
        accumulation=result.parts,
        sensor=spec.sensor,
        layer=spec.layer,
        layers=image_layers(config, spec.sensor),
        per_pixel=is_per_pixel(config),
        encoder=None if spec.encoder is None else record(spec.encoder, spec.sensor, spec.steps, spec.metres),
        parameters=result.parameters,
        trainable_parameters=result.trainable_parameters,
        windows=spec.windows,
        min_clear_fraction=spec.min_clear_fraction,
        cloudy_windows=spec.cloudy_windows,
        judged_windows=spec.judged_windows,
        fires=spec.fires,
        seen_hash=spec.seen_hash,
        epochs=len(result.history),
        best_epoch=result.best_epoch,
        metrics={name: value for name, value in best.items() if name not in ("epoch", "learning_rate")},
        history=result.history,
        simulated=spec.simulated,
        notice=_notice(spec),
        fold=spec.fold,
        training_fires=spec.training_fires,
    )


def _notice(spec: TrainingSpec) -> str:
    return FROM_SCRATCH if spec.encoder is None else spec.encoder.notice


def _package_versions(spec: TrainingSpec) -> dict[str, str]:
    of_encoder = () if spec.encoder is None else spec.encoder.encoder.packages
    return {name: version(name) for name in (*PACKAGES, *of_encoder)}


def main(arguments: list[str]) -> int:
    """Train what the file given specifies; returns the exit code."""

    def work(spec: Path, report: Report) -> None:
        if is_follower():
            train_along(TrainingSpec.read(spec))
        else:
            train(TrainingSpec.read(spec), report)

    return run_stage("burnscar_assets.models.trainer", arguments, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
