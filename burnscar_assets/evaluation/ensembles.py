"""`python -m burnscar_assets.evaluation.ensembles spec.json`: weighs the members of an ensemble.

An ensemble trains nothing but the weights of its members' probabilities. They are those, in tenths, whose maps of the
frames of validation fires have the greatest mean IoU, with the threshold and the bound of old scars that these fires
come to; of equally good ones those nearest to equal. Held-out fires have no part in it.
"""

import itertools
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any, Final

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from burnscar_assets.classes import Split
from burnscar_assets.cost import Cost, peak_memory_mb, read_cost, write_cost
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.frame_pixels import FramePixels
from burnscar_assets.evaluation.frames import (
    burn_ratios,
    model_of_frames,
    predict_frame,
    truth_off,
    validation_scenes,
)
from burnscar_assets.evaluation.rules import best_mean_iou
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.mapping.fire_scenes import TRUTH_UNKNOWN, FireScene
from burnscar_assets.mapping.inference import NO_ANSWER, mixed
from burnscar_assets.models.ensemble import ensemble_hash
from burnscar_assets.models.manifest import MANIFEST_FILE, CheckpointManifest, verify_checkpoint, write_manifest
from burnscar_assets.models.plan import windows_of
from burnscar_assets.process import Report, run_stage, step_reports
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.atomic import atomic_folder, recover
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot

STEPS: Final = 10
"""Weights are multiples of one over this: a few validation fires tell no finer ones apart."""

MEAN_IOU: Final = "mean_iou"
_EQUAL: Final = 1e-9


class EnsembleSpec(EvaluationSpec):
    """What the process needs: how frames are answered, and whose checkpoints are weighed."""

    parts: dict[str, str] = Field(description="By member, the folder of its results under the data root.")
    seed: int = Field(description="Seed that the ensemble goes by.")


@dataclass(frozen=True)
class FramePredictions:
    """What members say of the pixels of a validation fire's frame that have a truth and an answer of each of them.

    Attributes:
        fire_id: fire.
        probability: (members, n) of burnt, 0–1.
        truth: (n,) as `frame_pixels` codes it.
        scars: (SCAR_BOUNDS, n) old scars by each bound; None without an image before.
    """

    fire_id: str
    probability: NDArray[np.float32]
    truth: NDArray[np.uint8]
    scars: NDArray[np.bool_] | None = None

    def by(self, weights: Sequence[float]) -> FramePixels:
        """The frame's pixels by the members' weighted mean."""
        mean = mixed(self.probability, weights)
        return FramePixels.of(self.fire_id, self.fire_id, mean, self.truth, 1.0, self.scars)


def weigh_members(spec: EnsembleSpec, progress: Progress = silent) -> CheckpointManifest:
    """Weigh the members' checkpoints of a year and put the ensemble's in place, whole or not at all.

    Without a frame of a validation fire the weights are equal.

    Raises:
        CheckpointError: a member's checkpoint is missing or damaged.
        InputError: members read other images, have seen other windows, or can't map.
        MissingDataError: a year has no fire scenes, or an image of one is gone.
        StorageError: the checkpoint can't be written; the one that was there stays.
    """
    started = time.monotonic()
    folders = {name: DataRoot(spec.root, part).checkpoint(spec.fire_year) for name, part in spec.parts.items()}
    manifests = {name: verify_checkpoint(folder) for name, folder in folders.items()}
    leading = check_members(manifests)
    seen = windows_of(spec.data_root, leading, spec.layer)
    scenes = validation_scenes(spec, leading.fire_years)
    frames = _answers(spec, list(folders.values()), scenes, seen[seen["split"] == Split.TRAIN], progress)
    tried = try_weights(frames, [*folders])
    chosen = choose(tried, [*folders])
    folder = spec.data_root.checkpoint(spec.fire_year)
    recover(folder)
    with atomic_folder(folder) as place:
        files = _copy_members(folders, manifests, place)
        made = _manifest(spec, manifests, leading, chosen, tried, files)
        write_cost(place, _cost(list(folders.values()), time.monotonic() - started))
        write_manifest(place, made)
    return made


def check_members(manifests: Mapping[str, CheckpointManifest]) -> CheckpointManifest:
    """Check that checkpoints can answer together; returns the one that has seen all the windows that any has seen.

    Raises:
        InputError: they can't.
    """
    leading = max(manifests.values(), key=lambda manifest: manifest.per_pixel)  # edges of fires are for these alone
    for name, one in manifests.items():
        if _read(one) != _read(leading):  # they are given the same images
            raise InputError(
                f"member {name} reads {_in_words(one)}, another one {_in_words(leading)}: take members that read the "
                "same bands of the same layers"
            )
        same = (one.fire_years, one.layer, one.min_clear_fraction, one.fold) == (
            leading.fire_years, leading.layer, leading.min_clear_fraction, leading.fold
        )  # fmt: skip
        if not same or (one.per_pixel == leading.per_pixel and one.seen_hash != leading.seen_hash):
            raise InputError(
                f"member {name} was trained on other windows than another one: run burnscar refresh, and take members "
                "with the same training.look_back_years"
            )
    return leading


def _read(manifest: CheckpointManifest) -> dict[str, tuple[str, ...]]:
    """The bands that a checkpoint reads of each layer."""
    return dict(manifest.layers) or {manifest.layer: manifest.sensor.names}


def _in_words(manifest: CheckpointManifest) -> str:
    return ", ".join(f"{layer} ({' '.join(bands)})" for layer, bands in sorted(_read(manifest).items()))


def mixtures(count: int) -> list[tuple[float, ...]]:
    """All weights of so many members, in steps, that sum to 1."""
    cuts = itertools.combinations(range(STEPS + count - 1), count - 1)
    parts = (np.diff([-1, *cut, STEPS + count - 1]) - 1 for cut in cuts)
    return [tuple(float(part) / STEPS for part in found) for found in parts]


def try_weights(frames: Sequence[FramePredictions], names: Sequence[str]) -> list[dict[str, float]]:
    """The mean IoU of the maps of every mixture: weights by member, and `mean_iou`; NaN without burnt pixels."""
    return [
        dict(zip(names, weights, strict=True)) | {MEAN_IOU: best_mean_iou([frame.by(weights) for frame in frames])}
        for weights in mixtures(len(names))
    ]


def choose(tried: Sequence[dict[str, float]], names: Sequence[str]) -> dict[str, float]:
    """The mixture with the best maps; of equally good ones the nearest to equal weights; these if none was judged."""
    best = max((row[MEAN_IOU] for row in tried if not math.isnan(row[MEAN_IOU])), default=math.nan)
    if math.isnan(best):
        return dict.fromkeys(names, 1 / len(names)) | {MEAN_IOU: math.nan}
    good = [row for row in tried if row[MEAN_IOU] >= best - _EQUAL]
    return min(good, key=lambda row: sum(row[name] ** 2 for name in names))


def _answers(
    spec: EnsembleSpec, folders: Sequence[Path], scenes: Sequence[FireScene], left_out: gpd.GeoDataFrame,
    progress: Progress,
) -> list[FramePredictions]:  # fmt: skip
    """Members' answers for frames, off the ground of training windows."""
    if not scenes:
        return []
    models = [model_of_frames(spec, folder, scenes) for folder in folders]
    found = []
    for number, scene in enumerate(scenes):
        progress("frames of validation fires answered", number, len(scenes))
        truth = truth_off(scene, left_out)
        probability = np.stack([predict_frame(spec, model, scene) for model in models])
        known = (probability != NO_ANSWER).all(axis=0) & (truth != TRUTH_UNKNOWN)
        ratios = burn_ratios(spec, scene)
        scars = None if ratios is None else ratios.scars_by_bound()[:, known]
        found.append(FramePredictions(str(scene.fire_id), probability[:, known], truth[known], scars))
    return found


def _copy_members(
    folders: Mapping[str, Path], manifests: Mapping[str, CheckpointManifest], place: Path
) -> dict[str, str]:
    """Copy members' files below a folder; returns the hash of each by its name there."""
    files = {}
    for name, folder in folders.items():
        (place / name).mkdir()
        for file in (*sorted(manifests[name].files), MANIFEST_FILE):
            copyfile(folder / file, place / name / file)
            files[f"{name}/{file}"] = hash_file(place / name / file)
    return files


def _cost(folders: Sequence[Path], seconds: float) -> Cost:
    """Seconds of the members and of weighing them together."""
    known = [cost.train_seconds for folder in folders if (cost := read_cost(folder)).train_seconds is not None]
    return Cost(train_seconds=sum(known) + seconds, train_memory_mb=peak_memory_mb())


def _manifest(
    spec: EnsembleSpec,
    members: Mapping[str, CheckpointManifest],
    leading: CheckpointManifest,
    chosen: Mapping[str, float],
    tried: list[dict[str, float]],
    files: dict[str, str],
) -> CheckpointManifest:
    every, weights, score = [*members.values()], {name: chosen[name] for name in members}, chosen[MEAN_IOU]
    packages: dict[str, str] = {}
    for one in every:
        packages |= one.package_versions
    changes: dict[str, Any] = {
        "kind": "ensemble",
        "members": weights,
        "weights_sha256": ensemble_hash(members, weights),
        "files": files,
        "run_hash": hash_json([{name: one.run_hash for name, one in members.items()}, weights]),
        "config_hash": hash_json([*members]),
        "data_versions": leading.data_versions
        | {f"{name}/checkpoint": m.weights_sha256 for name, m in members.items()},
        "package_versions": packages,
        "seed": spec.seed,
        "encoder": next((one.encoder for one in every if one.encoder is not None), None),
        "parameters": sum(one.parameters for one in every),
        "trainable_parameters": sum(one.trainable_parameters for one in every),
        "epochs": 1,
        "best_epoch": 1,
        "metrics": {} if math.isnan(score) else {MEAN_IOU: score},
        "history": [] if math.isnan(score) else tried,
        "notice": " ".join(dict.fromkeys(one.notice for one in every)),
    }
    return leading.model_copy(update=changes)


def main(arguments: Sequence[str]) -> int:
    """Weigh the members that the file given names; returns the exit code."""

    def work(spec: Path, report: Report) -> None:
        made = weigh_members(EnsembleSpec.read(spec), step_reports(report))
        report({"event": "done", "fire_year": made.fire_year, "members": made.members})

    return run_stage("burnscar_assets.evaluation.ensembles", arguments, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
