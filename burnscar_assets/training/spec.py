"""What the training process is told: one JSON file, for a local process, Ray or Kubernetes alike."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnscar_assets.classes import Split
from burnscar_assets.errors import InputError
from burnscar_assets.settings import TrainingSettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.training.olmoearth import Encoder

PROGRESS_FILE = "progress.jsonl"

Counts = dict[str, dict[int, dict[str, int]]]
"""Numbers of windows by split, fire year and class."""


class TrainingSpec(BaseModel):
    """Everything that a year's training run depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fire_year: int = Field(description="Fire year of the checkpoint.")
    fire_years: tuple[int, ...] = Field(min_length=1, description="Fire years it is trained on, ascending.")
    dataset: Path = Field(description="Folder of the rslearn dataset.")
    checkpoint: Path = Field(description="Folder of the checkpoint to make; it is replaced whole, at the end.")
    layer: str = Field("sentinel2_l2a", description="Raster layer that the model reads.")
    size_px: int = Field(ge=1, description="Side of the largest window, in pixels.")
    settings: TrainingSettings = Field(description="How to train.")
    encoder: Encoder = Field(description="What to start from.")
    windows: Counts = Field(description="Usable windows by split, fire year and class.")
    fires: dict[str, int] = Field(description="Fires by split.")
    seen_hash: str = Field(description="Hash of the windows of training and validation, see `plan.seen_hash`.")
    data_versions: dict[str, str] = Field({}, description="Data versions of what is read, kept in the manifest.")
    simulated: bool = Field(False, description="Whether the imagery is simulated.")

    @property
    def run_folder(self) -> Path:
        """Where a run keeps its state until the checkpoint is whole; `progress.jsonl` in it can be followed."""
        return self.checkpoint.with_name(f".{self.checkpoint.name}.training")

    @property
    def progress_file(self) -> Path:
        """Progress as JSON lines, while the run lasts."""
        return self.run_folder / PROGRESS_FILE

    def window_count(self, split: Split) -> int:
        """Usable windows of a split, of all years and classes."""
        return sum(sum(classes.values()) for classes in self.windows.get(split, {}).values())

    def write(self, path: Path) -> Path:
        """Write the spec as JSON; returns the path."""
        write_json(path, self.model_dump(mode="json"))
        return path


def load_spec(path: Path) -> TrainingSpec:
    """Read a spec.

    Raises:
        InputError: the file is missing, is not JSON, or lacks a field.
    """
    try:
        return TrainingSpec.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} is no specification of a training run: {error}") from error
