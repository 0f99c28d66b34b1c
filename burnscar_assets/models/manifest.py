"""The manifest of a checkpoint: what it is, what it has seen, and the hashes by which it is known.

A checkpoint's folder holds `weights.pth` (the model's tensors, all that a prediction needs), `model.yaml`
(the resolved configuration), `encoder.json` (the architecture of its encoder, if that has such a file), `best.ckpt`
and `last.ckpt` (for Lightning), `progress.jsonl`, and `manifest.json`, which is written last. Nothing here imports
torch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnscar_assets.classes import Fold
from burnscar_assets.encoders.chosen import EncoderRecord
from burnscar_assets.errors import CheckpointError
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.hashing import hash_file

MANIFEST_FILE: Final = "manifest.json"
WEIGHTS_FILE: Final = "weights.pth"
CONFIG_FILE: Final = "model.yaml"
ENCODER_FILE: Final = "encoder.json"
THRESHOLD_FILE: Final = "threshold.json"
TREES_FILE: Final = "trees.txt"
BEST_FILE: Final = "best.ckpt"
LAST_FILE: Final = "last.ckpt"


class CheckpointManifest(BaseModel):
    """What a checkpoint is and what it has seen."""

    model_config = ConfigDict(frozen=True)

    kind: str = Field(
        "fine_tuned", description="What was trained: fine_tuned (a network), threshold, trees, or ensemble."
    )
    fire_year: int = Field(description="Fire year of the checkpoint.")
    fire_years: tuple[int, ...] = Field(description="Fire years whose training split it has seen.")
    weights_sha256: str = Field(description="Hash of the weights' names, types, shapes and values: its identity.")
    files: dict[str, str] = Field(description="SHA-256 of each file that a prediction needs.")
    run_hash: str = Field(description="Hash of everything that the run depended on.")
    config_hash: str = Field(description="Hash of the model configuration, without the paths of this machine.")
    settings_digest: str = Field(description="Digest of the training settings.")
    data_versions: dict[str, str] = Field(description="Data versions of what it has seen.")
    package_versions: dict[str, str] = Field(description="Versions of the packages that trained it.")
    seed: int
    device: str = Field(description="What it was trained on: cpu or gpu.")
    loader_workers: int = Field(
        description="Processes that load windows if reader is rslearn; another number gives other weights then."
    )
    reader: str = Field("rslearn", description="What read and transformed windows: bulk, or rslearn and why.")
    devices: int = Field(1, description="GPUs, or processes on a CPU, that shared the windows of each step.")
    accumulation: int = Field(1, description="Parts that the windows of a step came in, in the end.")
    layer: str = Field(description="Raster layer of the image after the fire.")
    layers: dict[str, tuple[str, ...]] = Field(
        {}, description="Every raster layer that it reads, with the bands in their order; empty: `layer` alone."
    )
    sensor: Sensor = Field(default_factory=default_sensor, description="Sensor of the images that it was trained on.")
    per_pixel: bool = Field(False, description="Whether it was trained on label rasters and answers pixel by pixel.")
    encoder: EncoderRecord | None = Field(None, description="Pretrained encoder; empty: trained from scratch.")
    parameters: int = Field(0, description="Parameters of the model.")
    trainable_parameters: int = Field(0, description="Those that were trained in the end.")
    windows: dict[str, dict[int, dict[str, int]]] = Field(
        description="Windows that it has seen by split, fire year and class."
    )
    min_clear_fraction: float = Field(0, description="Least share of each of these that is clear, 0–1.")
    cloudy_windows: dict[str, int] = Field({}, description="Those of its splits left out as less clear.")
    judged_windows: dict[str, tuple[str, ...]] = Field(
        {}, description="Windows left out as they reach into the frame of a judged fire, by split."
    )
    fires: dict[str, int] = Field(description="Fires that it has seen, by split.")
    seen_hash: str = Field(description="Hash of the windows of training and validation, see `plan.seen_hash`.")
    epochs: int = Field(description="Epochs trained.")
    best_epoch: int = Field(description="Epoch whose weights these are, from 1.")
    metrics: dict[str, float] = Field(description="Losses and validation metrics of the best epoch.")
    history: list[dict[str, float]] = Field(description="The same for each epoch.")
    simulated: bool = Field(description="Whether the imagery is simulated.")
    notice: str = Field(description="Licence of the weights, or that they were random.")
    members: dict[str, float] = Field(
        {}, description="Of an ensemble, the weight of each member, whose checkpoint lies in a folder of its name."
    )
    fold: Fold | None = Field(None, description="Fold that it may be judged on; empty: the world has blocks of ground.")
    training_fires: int | None = Field(None, description="Training fires that it might see at most; empty: all.")

    @property
    def every_layer(self) -> tuple[str, ...]:
        """The raster layers whose tiles a window needs."""
        return tuple(self.layers) or (self.layer,)

    @property
    def encoder_name(self) -> str:
        """The pretrained encoder, or that there is none."""
        return "none, trained from scratch" if self.encoder is None else self.encoder.model_id

    @property
    def random_encoder(self) -> bool:
        """Whether an encoder that is to be pretrained started from random weights."""
        return self.encoder is not None and self.encoder.random


def write_manifest(folder: Path, manifest: CheckpointManifest) -> Path:
    """Write the manifest, whole or not at all; returns its path."""
    path = folder / MANIFEST_FILE
    write_json(path, manifest.model_dump(mode="json"))
    return path


def load_manifest(folder: Path) -> CheckpointManifest:
    """Read the manifest; it alone says nothing about the files beside it.

    Raises:
        CheckpointError: there is none, or it is not whole.
    """
    path = folder / MANIFEST_FILE
    try:
        return CheckpointManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint in {folder} ({MANIFEST_FILE} is missing): {_remedy(folder)}") from error
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path} is no manifest of a checkpoint: {_remedy(folder)}") from error


def verify_checkpoint(folder: Path) -> CheckpointManifest:
    """Check that each file a prediction needs is the one that was trained.

    Raises:
        CheckpointError: the manifest or a file is missing, cut short, or not the one of the manifest.
    """
    manifest = load_manifest(folder)
    if missing := sorted(_required(manifest) - manifest.files.keys()):
        raise CheckpointError(f"{folder / MANIFEST_FILE} vouches for no {', '.join(missing)}: {_remedy(folder)}")
    if outside := [name for name in manifest.files if not _is_inside(name, manifest)]:
        raise CheckpointError(f"{folder / MANIFEST_FILE} names {outside[0]!r} outside its folder: {_remedy(folder)}")
    for name, expected in sorted(manifest.files.items()):
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: {_remedy(folder)}")
        if hash_file(path) != expected:
            raise CheckpointError(f"{path} is not the file that was trained (its hash is wrong): {_remedy(folder)}")
    return manifest


def manifest_of_run(folder: Path, is_of: Callable[[CheckpointManifest], bool]) -> CheckpointManifest | None:
    """The manifest of a checkpoint that is whole and of a run that is asked for, if there is one."""
    try:
        manifest = verify_checkpoint(folder)
    except CheckpointError:
        return None
    return manifest if is_of(manifest) else None


def _required(manifest: CheckpointManifest) -> set[str]:
    """Files that a prediction by a model of this kind needs."""
    if manifest.kind == "ensemble":
        return {f"{name}/{MANIFEST_FILE}" for name in manifest.members}
    if manifest.kind == "threshold":
        return {THRESHOLD_FILE}
    if manifest.kind == "trees":
        return {TREES_FILE}
    has_architecture = manifest.encoder is not None and manifest.encoder.architecture_file is not None
    return {WEIGHTS_FILE, CONFIG_FILE} | ({ENCODER_FILE} if has_architecture else set())


def _is_inside(name: str, manifest: CheckpointManifest) -> bool:
    """Whether a file's name is one of the checkpoint's own folder, or of that of one of its members."""
    folder, _, file = name.rpartition("/")
    return (
        ".." not in (folder, file)
        and Path(file).name == file
        and folder in ("", *manifest.members)
        and Path(folder).name == folder
    )


def _remedy(folder: Path) -> str:
    year = folder.name.rpartition("=")[2]
    return f"run burnscar refresh --years {year}" if year.isdigit() else "train it anew"
