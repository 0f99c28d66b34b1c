"""What the training process is told."""

from pathlib import Path

from pydantic import Field

from burnscar_assets.classes import Fold, Split
from burnscar_assets.encoders.chosen import ChosenEncoder
from burnscar_assets.process import ProcessSpec
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import TrainingSettings

PROGRESS_FILE = "progress.jsonl"
RUN_FILE = "run.json"

Counts = dict[str, dict[int, dict[str, int]]]
"""Numbers of windows by split, fire year and category."""


class TrainingSpec(ProcessSpec):
    """Everything that a year's training run depends on."""

    fire_year: int = Field(description="Fire year of the checkpoint.")
    fire_years: tuple[int, ...] = Field(min_length=1, description="Fire years it is trained on, ascending.")
    dataset: Path = Field(description="Folder of the rslearn dataset.")
    checkpoint: Path = Field(description="Folder of the checkpoint to make; it is replaced whole, at the end.")
    sensor: Sensor = Field(default_factory=default_sensor, description="Sensor of the imagery.")
    layer: str = Field(
        default_factory=lambda: default_sensor().layer, description="Raster layer of the image after the fire."
    )
    layers: tuple[str, ...] = Field(
        default_factory=lambda: (default_sensor().layer,),
        min_length=1,
        description="Every raster layer that is read.",
    )
    size_px: int = Field(ge=1, description="Side of the largest window, in pixels.")
    metres: float = Field(
        default_factory=lambda: default_sensor().resolution_m, gt=0, description="Side of a window's pixel, in metres."
    )
    settings: TrainingSettings = Field(description="How to train.")
    encoder: ChosenEncoder | None = Field(description="What to start from; empty: from scratch.")
    windows: Counts = Field(description="Usable windows of training and validation by split, fire year and class.")
    names: dict[str, tuple[str, ...]] = Field(description="Names of usable windows in the dataset, by split.")
    unclear: dict[str, str] = Field(
        {}, description="Pixels of windows that are not clear, which a loss by pixels leaves out, see table tiles."
    )
    min_clear_fraction: float = Field(0, description="Least share of each that is clear, 0–1.")
    cloudy_windows: dict[str, int] = Field({}, description="Windows of training and validation left out as less clear.")
    judged_windows: dict[str, tuple[str, ...]] = Field(
        {}, description="Windows left out as they reach into the frame of a judged fire, by split."
    )
    fires: dict[str, int] = Field(description="Fires of training and validation.")
    seen_hash: str = Field(description="Hash of the windows of training and validation, see `plan.seen_hash`.")
    data_versions: dict[str, str] = Field({}, description="Data versions of what is read, kept in the manifest.")
    simulated: bool = Field(False, description="Whether the imagery is simulated.")
    fold: Fold | None = Field(None, description="Fold that it is to be judged on; empty: the world has none.")
    training_fires: int | None = Field(None, description="Training fires that it may see, see `fewer_fires`.")

    @property
    def steps(self) -> int:
        """Images of a window that are its time steps."""
        return len(self.settings.earlier_layers) + 1

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
