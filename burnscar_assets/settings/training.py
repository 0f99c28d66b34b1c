"""Settings of training and evaluation, of the world's own set-up and beside it."""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from burnscar_assets.encoders.load import DEFAULT
from burnscar_assets.section import Section

Accelerator = Literal["auto", "cpu", "gpu"]


class ModelSettings(Section):
    """Which pretrained encoder a model starts from, if its configuration has one."""

    encoder: str = Field(
        DEFAULT, description="Name of an encoder's file, in encoders/ beside the settings file or a shipped one."
    )
    variant: str | None = Field(
        None, description="Which of its published models, such as v1_2-nano; empty: the one that its file says."
    )
    weights: str | None = Field(
        None,
        description="Folder with its files; random: none, the true architecture with random weights; empty: from a "
        "folder of the encoder's name in BURNSCAR_WEIGHTS or in pretrained/ of the data root, the hub's cache, the "
        "hub.",
    )
    revision: str | None = Field(
        None,
        pattern=r"^[\w-][\w.-]*$",
        description="Commit of the hub that weights are fetched of, as a branch or tag may move; empty: what the "
        "encoder's file says.",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 that the weights' file must have; empty: what the encoder's file says, if it says any. "
        "The checkpoint's manifest keeps it.",
    )
    allow_random: bool = Field(False, description="Where no weights are found, start from random ones, and say so.")
    patch_size: int | None = Field(
        None, ge=1, le=64, description="Side of a token, in pixels; empty: what the encoder's file says."
    )


class TrainingSettings(Section):
    """How a year's checkpoint is fine-tuned."""

    transport: ClassVar[frozenset[str]] = frozenset({"memory_gb", "devices", "logger", "classes"})

    look_back_years: int = Field(2, ge=0, le=30, description="Fire years before Y whose training split is used too.")
    model: ModelSettings = ModelSettings()
    config: str = Field(
        "model-classification.yaml",
        description="rslearn model configuration, beside the settings file or a shipped one.",
    )
    earlier_layers: tuple[str, ...] = Field(
        (),
        description="Raster layers of earlier images, oldest first, that the model reads as time steps before that of "
        "imagery.layer; windows need a tile of each.",
    )
    crop_px: int | None = Field(
        None,
        ge=1,
        description="Side of the middle of each window that the model sees, in pixels, a multiple of the patch size; "
        "empty: whole windows. For models that answer for whole windows.",
    )
    classes: tuple[str, ...] = Field(
        (),
        description="Classes that model configurations may name beyond those that are known to compute only, by their "
        "import path: whoever names a class runs its code.",
    )
    max_epochs: int = Field(20, ge=1, description="Passes over the training windows at most.")
    tuning: Literal["freeze-then-unfreeze", "frozen", "layer-decay", "lora"] = Field(
        "freeze-then-unfreeze",
        description="How a pretrained encoder is tuned: frozen for freeze_epochs, then as a whole; never; as a whole, "
        "earlier blocks more slowly; or by low-rank additions to frozen weights.",
    )
    freeze_epochs: int = Field(2, ge=0, description="Epochs for which the encoder is frozen.")
    layer_decay: float = Field(
        0.65, gt=0, le=1, description="By layer-decay: learning rate of a block over that of the next, 0–1."
    )
    lora_rank: int = Field(8, ge=1, le=64, description="By lora: rank of what is added to a projection.")
    lora_alpha: float = Field(16, gt=0, description="By lora: what is added is scaled by this over the rank.")
    learning_rate: float = Field(1e-4, gt=0, description="Learning rate of the head, and of the encoder once unfrozen.")
    batch_size: int = Field(32, ge=1, description="Windows per step.")
    accumulation: int = Field(
        1,
        ge=1,
        description="Parts, of equal size, that a step's windows go through the model in, one after another: less "
        "memory, the same mean gradient but for dropout. Doubled by itself when memory runs out.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Arithmetic of the model, mixed with float32; auto: bfloat16 on a GPU, float32 on a CPU."
    )
    compile: bool = Field(
        False,
        description="Compile the encoder (torch.compile): minutes at the start, faster steps; for long runs on a GPU.",
    )
    loader_workers: int = Field(
        0, ge=0, description="Processes that load windows where rslearn's loader is used; part of the manifest."
    )
    memory_gb: float = Field(
        4.0, ge=0, description="Pixels of a packed dataset are kept in memory up to this size (GB), else read ahead."
    )
    early_stop_epochs: int | None = Field(
        None, ge=1, description="Stop after so many epochs without a better validation loss; empty: never."
    )
    accelerator: Accelerator = Field("auto", description="Where networks train and answer.")
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        1,
        description="GPUs, or processes on a CPU, that share the windows of each step: the same mean gradient but for "
        "dropout. auto: all GPUs there are, or one process.",
    )
    seed: int = Field(42, description="Seed of weights, order and augmentation.")
    further_seeds: tuple[int, ...] = Field(
        (),
        description="Seeds that the world's own set-up is trained and judged with as well, so that a comparison knows "
        "how much chance there is in it; maps are of the first.",
    )
    logger: Literal["none", "mlflow", "wandb"] = Field(
        "none",
        description="Who else is told of losses and metrics: MLflow (at MLFLOW_TRACKING_URI) or Weights & Biases (with "
        "WANDB_API_KEY); without these variables they write files under the data root.",
    )

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len({self.seed, *self.further_seeds}) < 1 + len(self.further_seeds):
            raise ValueError("seed and further_seeds must differ")
        return self

    @model_validator(mode="after")
    def _parts_are_whole(self) -> Self:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of accumulation {self.accumulation}")
        if self.devices != "auto" and self.batch_size % (self.accumulation * self.devices):
            raise ValueError(f"batch_size {self.batch_size} can't be shared by {self.devices} devices: take a multiple")
        return self

    @property
    def gpus(self) -> int:
        """GPUs that training asks a cluster for; one if it takes all that there are."""
        if self.accelerator == "cpu":
            return 0
        return 1 if self.devices == "auto" else self.devices


_WORLD_COVER: Final = {
    10: "trees", 20: "shrubs", 30: "grass", 40: "crops", 50: "built-up", 60: "bare or sparse", 70: "snow and ice",
    80: "water", 90: "wetland", 95: "mangroves", 100: "moss and lichen",
}  # fmt: skip
"""Classes of ESA WorldCover 2020 and 2021."""


class EvaluationSettings(Section):
    """How a checkpoint is judged."""

    bootstrap_samples: int = Field(1000, ge=100, description="Resamples of fires, to compare set-ups.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Coverage of the intervals.")
    seed: int = Field(0, description="Seed of the resampling.")
    size_classes_ha: tuple[float, ...] = Field(
        (100, 1000, 10_000), description="Bounds of the classes of fire size, growing, in hectares."
    )
    days_classes: tuple[int, ...] = Field(
        (5, 10, 20), description="Bounds of the classes of days from containment to the image, growing."
    )
    ecoregions: str | None = Field(
        None,
        description="Vector file of ecoregions for metrics by region, beside the settings file or by a full path.",
    )
    land_cover: str | None = Field(
        None,
        description="GeoTIFF of classes of land cover, under the data root, by which maps are scored; nothing else "
        "reads it. Empty: none.",
    )
    cover_classes: dict[int, str] = Field(
        _WORLD_COVER, description="Names of its classes by number; numbers of one name are one class."
    )
    ecoregion_field: str = Field("US_L3NAME", description="Field of that file that names the region.")
    validation_frames: int = Field(
        12,
        ge=1,
        description="Frames of validation fires that calibration and threshold of maps are fixed on, at least: where "
        "the fire year has fewer, those of the years before that the checkpoint has seen join them, newest first.",
    )
    max_frame_km2: float = Field(
        200, gt=0, description="Of a larger frame, blocks drawn at random are answered, up to about this area, in km²."
    )
    min_map_coverage: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of a fire, and of its surroundings within 500 m, that images must show for its map to be "
        "judged, 0–1.",
    )
    outline_margin_m: float = Field(
        30,
        ge=0,
        description="Margin about the outline that the second IoU of a map leaves out, to each side, in metres.",
    )
    caveat: str = Field(
        "", description="A sentence on this world's figures that model cards, comparisons and pages say with them."
    )
    worst_windows: int = Field(12, ge=1, le=48, description="Windows most wrong that the report shows, at most.")
    champion_rule: Literal["not_worse", "better", "person"] = Field(
        "not_worse",
        description="When a year's new checkpoint takes its champion's place: the mean IoU of its maps of the same "
        "validation fires (without frames of such fires, its F1 of burnt windows) is not below the champion's by more "
        "than champion_margin; or is above the champion's; or only by a person's word.",
    )
    champion_margin: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Mean IoU (or F1) that a new champion may be worse by, at the lower end of the interval of the "
        "paired difference; what champions lost to those before them counts.",
    )

    @model_validator(mode="after")
    def _classes_grow(self) -> Self:
        for name in ("size_classes_ha", "days_classes"):
            bounds = getattr(self, name)
            if list(bounds) != sorted(set(bounds)):
                raise ValueError(f"{name} must grow from bound to bound")
        return self


class SetupsSettings(Section):
    """Which set-ups of `setups/*.yaml` stand beside the world's own, and how they are compared."""

    exclude: tuple[str, ...] = Field((), description="Set-ups that are left out, by name or pattern (`*-threshold`).")
    title: str = Field(
        "The world's own", min_length=1, description="What comparisons call the set-up of this settings file."
    )
    reference: str = Field(
        "default", description="Set-up that the others are compared with; default: that of this settings file."
    )
