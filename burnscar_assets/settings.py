"""One frozen tree of settings per world, read from YAML; every field has its unit in its description.

Nothing here reads data or has side effects. A stage's `code_version` holds the digest of the section
that it reads, so that a changed setting makes stale just the stages that read it.
"""

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from burnscar_assets.classes import Stratum
from burnscar_assets.errors import SettingsError
from burnscar_assets.labels.layer_address import without_token
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.mining.settings import MiningSettings
from burnscar_assets.network.masking import mask_address
from burnscar_assets.operations import AutomationSettings, ComputeSettings
from burnscar_assets.plausible import FIRST_YEAR, LAST_YEAR, meant_number
from burnscar_assets.section import Section

LEAST_RESOLUTION_M = 0.1
METRES_PER_DEGREE = 111_320
"""On a meridian, about."""


class YearSettings(Section):
    """The fire years that are partitions."""

    first: int = Field(ge=FIRST_YEAR, le=LAST_YEAR, description="First fire year.")
    last: int | None = Field(
        None, ge=FIRST_YEAR, le=LAST_YEAR, description="Last fire year; empty: the current year, as it comes."
    )
    exclude: tuple[Annotated[int, Field(ge=FIRST_YEAR, le=LAST_YEAR)], ...] = Field(
        (), description="Fire years between first and last that are left out."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"last ({self.last}) must not be before first ({self.first})")
        if self.last is not None and not set(range(self.first, self.last + 1)) - set(self.exclude):
            raise ValueError(f"exclude leaves no year of {self.first} to {self.last}: leave out fewer")
        return self


class ServiceSettings(Section):
    """How a server of perimeters is asked."""

    setting: ClassVar[str]
    """The setting that names the server, for errors."""

    layers: ClassVar[frozenset[str]] = frozenset({"source"})
    """Fields that may hold the address of an ArcGIS layer, and in it a token."""

    user_agent: str = Field("Mozilla/5.0 (X11; Linux x86_64) burnscar-assets", description="User-Agent of requests.")
    referer: str = Field("https://www.fire.ca.gov/", description="Referer of requests; FRAP's server wants one.")
    timeout_s: float = Field(60, gt=0, description="How long to wait for the server, in seconds.")
    retries: int = Field(4, ge=0, description="How often a broken download or request is tried again.")
    deadline_s: float = Field(
        900,
        gt=0,
        description="Longest time for one request and its whole answer, in seconds; a download goes on after.",
    )
    max_answer_mb: float = Field(
        1000, gt=0, description="A larger answer of a service is refused, in megabytes after decompression."
    )
    redirect_hosts: tuple[str, ...] = Field(
        (), description="Other hosts that the server may redirect to, as names or patterns (*.azureedge.net)."
    )

    carried: ClassVar[frozenset[str]] = frozenset(
        {"user_agent", "referer", "timeout_s", "retries", "deadline_s", "max_answer_mb", "redirect_hosts"}
    )
    """Fields that say how the server is asked, not what for."""

    _tokens: dict[str, SecretStr] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _tokens_apart(cls, content: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        """Keep tokens of ArcGIS addresses out of all that is shown, stored or hashed."""
        if not isinstance(content, dict):
            return build(content)
        parted = {n: without_token(v) for n, v in content.items() if n in cls.layers and isinstance(v, str)}
        section = build(content | {name: address for name, (address, _) in parted.items()})
        section._tokens = {urlsplit(url).netloc: SecretStr(token) for url, token in parted.values() if token}
        return section

    def token_for(self, url: str) -> str | None:
        """The token that the settings' address of the same host had."""
        token = self._tokens.get(urlsplit(url).netloc)
        return token.get_secret_value() if token else None


class ReleaseSettings(ServiceSettings):
    """Where the fire perimeters come from."""

    setting = "release.source"
    layers = frozenset({"source", "prescribed_layer"})
    transport = ServiceSettings.carried | {"max_download_mb"}

    source: str = Field(
        description="A local zip, FileGDB, GeoPackage, shapefile, GeoParquet or GeoJSON (relative paths: under "
        "the data root), the https address of a FRAP zip, or of an ArcGIS REST layer (…/FeatureServer/0), "
        "with its token if it wants one."
    )
    fire_layer: str | None = Field(None, description="Layer of wildfires; empty: detected (firepNN_1).")
    prescribed_layer: str | None = Field(
        None, description="Layer of prescribed burns; empty: detected (rxburnNN_1), may be absent."
    )
    max_download_mb: int = Field(2000, ge=1, description="A larger download is refused, in megabytes.")


class InSeasonSettings(ServiceSettings):
    """Perimeters of fires that the release doesn't have yet: they are mapped, and never trained on."""

    setting = "in_season.source"
    transport = ServiceSettings.carried | {"enabled", "check_minutes", "maps"}

    enabled: bool = Field(False, description="Whether the agencies' perimeters of the current season are followed.")
    source: str = Field(
        "https://services3.arcgis.com/T4QMspbfLg3qTGWY/arcgis/rest/services/"
        "WFIGS_Interagency_Perimeters/FeatureServer/0",
        description="ArcGIS REST layer of WFIGS's perimeters that keeps contained fires.",
    )
    state: str = Field("US-CA", pattern=r"^[A-Z]{2}-[A-Z]{2}$", description="State of origin, as the layer writes it.")
    min_area_ha: float = Field(
        10, ge=0, le=1_000_000, description="Smaller fires aren't mapped, in hectares; a window has 10.2."
    )
    check_minutes: float = Field(30, gt=0, description="How often the layer is looked at.")
    maps: bool = Field(
        True, description="Whether fires are mapped by themselves as they are contained, and again as imagery comes."
    )


class PerimeterSettings(Section):
    """Which perimeters are good enough to be labels."""

    max_duration_days: int = Field(
        240, ge=1, description="Longest credible time from alarm to containment, in days; longer is a reject."
    )
    max_repair_area_change: float = Field(
        0.05, ge=0, le=1, description="Largest share of area that repairing a geometry may change before it is flagged."
    )
    max_area_mismatch: float = Field(
        0.25, ge=0, description="Relative difference of computed and reported area above which a record is flagged."
    )
    scar_years: int = Field(
        10, ge=0, le=50, description="How many years a scar may still show; fires this old are no negatives."
    )
    scar_years_prescribed: int = Field(3, ge=0, le=50, description="How many years a prescribed burn may still show.")


class SplitSettings(Section):
    """How ground is divided among training, validation and test."""

    block_km: float = Field(
        20, gt=0, le=500, description="Side of the square ground blocks that are dealt to splits, in km."
    )
    margin_m: float = Field(
        320, ge=0, description="Windows closer than this to ground of another split are left out, in metres."
    )
    train: float = Field(0.6, gt=0, lt=1, description="Share of blocks for training.")
    val: float = Field(0.15, gt=0, lt=1, description="Share of blocks for validation; the rest is for test.")
    seed: int = Field(0, description="Another seed deals the blocks anew.")

    @model_validator(mode="after")
    def _leaves_a_test_share(self) -> Self:
        if self.train + self.val >= 1:
            raise ValueError("train + val must leave a share for test (be below 1)")
        return self


class SamplingSettings(Section):
    """How perimeters become points."""

    points_per_sqrt_window: float = Field(
        1.5, gt=0, description="k of n = ceil(k * sqrt(fire area / window area)), the burnt points of a fire."
    )
    max_points_per_fire: int = Field(40, ge=1, description="Cap on burnt points of one fire.")
    max_points_per_complex: int = Field(80, ge=1, description="Cap on burnt points of all fires of a complex.")
    spacing_windows: float = Field(1.0, ge=1, description="Smallest distance between points, in window sides.")
    min_burnt_share: float = Field(
        0.9, gt=0, le=1, description="Least share of a burnt window that lies inside its perimeter, 0–1."
    )
    min_burnt_share_small: float = Field(
        0.5, gt=0, le=1, description="The same for the best window of a fire where none reaches min_burnt_share, 0–1."
    )
    ring_gap_m: float = Field(150, ge=0, description="Gap between perimeter and ring of negatives, in metres.")
    ring_width_m: float = Field(1000, gt=0, description="Width of the ring of negatives, in metres.")
    granule_km: tuple[float, float] = Field(
        (5, 30), description="Nearest and farthest distance of same-granule negatives from their fire, in km."
    )
    unburnt_per_burnt: dict[Stratum, Annotated[float, Field(ge=0)]] = Field(
        {Stratum.RING: 0.5, Stratum.GRANULE: 0.3, Stratum.LAND: 0.2},
        description="Unburnt points of each stratum per burnt point: together, the class balance.",
    )
    land: str | None = Field(
        None, description="Vector file of the land to sample, under the data root; empty: California in coarse outline."
    )
    hard_negatives: str | None = Field(
        None, description="Vector file of confusers (water, lava, fields, …) for stratum hard; under the data root."
    )
    max_fires_per_year: int | None = Field(
        None, ge=3, description="Sample only so many fires a year, spread over sizes and splits; empty: all."
    )
    seed: int = Field(0, description="Seed of the random choices.")
    splits: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _strata_are_negatives(self) -> Self:
        if Stratum.BURNT in self.unburnt_per_burnt:
            raise ValueError("unburnt_per_burnt takes the strata ring, granule, land, hard, old_scar; not burnt")
        if not 0 <= self.granule_km[0] < self.granule_km[1]:
            raise ValueError("granule_km must be [nearest, farthest], 0 or more")
        if self.min_burnt_share_small > self.min_burnt_share:
            raise ValueError("min_burnt_share_small must not be above min_burnt_share")
        return self


class WindowSettings(Section):
    """The size of a window in space and time."""

    size_px: int = Field(32, ge=8, le=128, description="Side of a window, in pixels.")
    resolution_m: float = Field(10, ge=0.1, le=1000, description="Ground sampling distance, in metres.")
    days_after: tuple[int, int] = Field(
        (0, 30), description="First and last day after containment that imagery may be from."
    )
    label_margin_m: float = Field(
        20, ge=0, description="Pixels nearer than this to the edge of a burn are unlabelled, in metres."
    )

    @field_validator("resolution_m", mode="before")
    @classmethod
    def _is_in_metres(cls, value: Any) -> Any:
        if isinstance(value, float) and 0 < value < LEAST_RESOLUTION_M:
            metres = value * METRES_PER_DEGREE
            raise ValueError(f"{value} looks like degrees: give metres, did you mean {metres:.0f}?")
        return value

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if not 0 <= self.days_after[0] <= self.days_after[1]:
            raise ValueError("days_after must be [first, last], counted from containment, 0 or more")
        return self

    @property
    def side_m(self) -> float:
        """Side of a window in metres."""
        return self.size_px * self.resolution_m


class ImagerySettings(Section):
    """Which imagery, and how it is matched and read."""

    transport = frozenset({"late_days", "workers", "ray_address", "retries", "retry_backoff_s"})

    dataset_config: str = Field(
        "dataset.json", description="rslearn dataset configuration, beside the settings file or in configs/."
    )
    archive: str | None = Field(
        None, description="What ${BURNSCAR_ARCHIVE} stands for: stac-geoparquet or STAC catalogue, under the data root."
    )
    layer: str = Field("sentinel2_l2a", description="Raster layer that the model reads.")
    max_cloud_cover: float = Field(
        60, ge=0, le=100, description="Scenes above this granule cloud cover are no match, in percent."
    )
    selection: Literal["granule", "window"] = Field(
        "granule",
        description="How scenes are chosen: the least cloudy granule, as in the tutorial, or by what the window shows.",
    )
    min_clear_fraction: float = Field(
        0.9, ge=0, le=1, description="By window: a scene with this share of the window clear is good enough, 0–1."
    )
    candidates: int = Field(
        8,
        ge=1,
        description="Scenes kept for each window, least cloudy first: further choices where the first can't be read; "
        "by window, those looked at.",
    )
    exclude: tuple[str, ...] = Field(
        (), description="Scenes that are left out: their ids, or patterns of them (`S2?_MSIL2A_20220810T*`)."
    )
    fallback: str | None = Field(
        None,
        description="A second dataset configuration, whose layers are searched where the first has no scene for a "
        "window or does not answer; beside the settings file or in configs/.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts, buckets (s3://name) and folders whose files a catalogue may name, beside its own and those "
        "of the public archives; a pattern as *.example.org allows no host of a private network.",
    )
    max_nodata_fraction: float = Field(
        0.05, ge=0, le=1, description="Windows with a larger share of pixels without data are left out."
    )
    max_unreadable_fraction: float = Field(
        0.05, ge=0, le=1, description="With a larger share of windows whose scenes can't be read, tiles fail, 0–1."
    )
    late_days: int = Field(
        10, ge=0, description="Imagery may come so many days late: windows searched before are searched again, in days."
    )
    drop_granules: bool = Field(
        False, description="Scenes that were fetched whole are deleted once no window waits for them."
    )
    workers: int = Field(0, ge=0, description="Processes that make tiles; 0: threads of the calling one.")
    ray_address: str | None = Field(
        None,
        description="Ray cluster that materializes instead, as ray.init takes it, or local for one on this machine; "
        "its nodes must see the data root.",
    )
    retries: int = Field(3, ge=0, description="How often a failed search or read is tried again.")
    retry_backoff_s: float = Field(2, ge=0, description="Base of the wait between tries, in seconds.")

    @field_validator("max_cloud_cover")
    @classmethod
    def _is_in_percent(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError(f"{value} looks like a share: give percent, did you mean {value * 100:g}?")
        return value

    @model_validator(mode="after")
    def _archive_shows_no_secret(self) -> Self:
        if self.archive is not None and mask_address(self.archive) != self.archive:
            raise ValueError(
                "the address in archive holds a secret, which would stand in the dataset's config.json: put it into an "
                "environment variable and write ${NAME} in its place"
            )
        return self


class ModelSettings(Section):
    """Which OlmoEarth encoder is fine-tuned."""

    version: Literal["v1", "v1_1", "v1_2", "v1_3"] = Field("v1_2", description="OlmoEarth version.")
    size: Literal["nano", "tiny", "small", "base", "large"] = Field("nano", description="OlmoEarth size.")
    weights: str | None = Field(
        None, description="Folder with config.json and weights.pth; empty: from the hub's cache or the hub."
    )
    revision: str = Field(
        "main",
        pattern=r"^[\w-][\w.-]*$",
        description="Commit of the hub that weights are fetched of; a branch or tag may move.",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 that weights.pth must have; empty: any, which the checkpoint's manifest keeps.",
    )
    allow_random: bool = Field(
        False, description="Without weights, start from random ones (v1.2 Nano), and say so loudly."
    )
    patch_size: int = Field(4, ge=1, le=8, description="Side of a token, in pixels.")


class TrainingSettings(Section):
    """How a year's checkpoint is fine-tuned."""

    transport: ClassVar[frozenset[str]] = frozenset({"memory_gb", "devices", "logger", "classes"})

    look_back_years: int = Field(2, ge=0, le=30, description="Fire years before Y whose training split is used too.")
    model: ModelSettings = ModelSettings()
    config: str = Field(
        "model-classification.yaml", description="rslearn model configuration, beside the settings file or in configs/."
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
    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where Lightning trains.")
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        1,
        description="GPUs, or processes on a CPU, that share the windows of each step: the same mean gradient but for "
        "dropout. auto: all GPUs there are, or one process.",
    )
    seed: int = Field(42, description="Seed of weights, order and augmentation.")
    logger: Literal["none", "mlflow", "wandb"] = Field(
        "none",
        description="Who else is told of losses and metrics: MLflow (at MLFLOW_TRACKING_URI) or Weights & Biases (with "
        "WANDB_API_KEY); without these variables they write files under the data root.",
    )

    @model_validator(mode="after")
    def _sides_and_parts_are_whole(self) -> Self:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of accumulation {self.accumulation}")
        if self.crop_px and self.crop_px % self.model.patch_size:
            raise ValueError(f"crop_px {self.crop_px} is no multiple of model.patch_size {self.model.patch_size}")
        if self.devices != "auto" and self.batch_size % (self.accumulation * self.devices):
            raise ValueError(f"batch_size {self.batch_size} can't be shared by {self.devices} devices: take a multiple")
        return self

    @property
    def gpus(self) -> int:
        """GPUs that training asks a cluster for; one if it takes all that there are."""
        if self.accelerator == "cpu":
            return 0
        return 1 if self.devices == "auto" else self.devices


class EvaluationSettings(Section):
    """How a checkpoint is judged."""

    bootstrap_samples: int = Field(1000, ge=100, description="Resamples of fires for the intervals.")
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
        description="Vector file of ecoregions for metrics by region, beside the settings file or in configs/; empty: "
        "none.",
    )
    ecoregion_field: str = Field("US_L3NAME", description="Field of that file that names the region.")
    worst_windows: int = Field(12, ge=1, le=48, description="Windows most wrong that the report shows, at most.")
    champion_rule: Literal["not_worse", "better", "person"] = Field(
        "not_worse",
        description="When a year's new checkpoint takes its champion's place: its F1 of burnt on the same held-out "
        "fires is not below the champion's interval; or is above the champion's; or only by a person's word.",
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

    exclude: tuple[str, ...] = Field((), description="Set-ups that are left out, by name or pattern (`olmoearth-*`).")
    reference: str = Field(
        "default", description="Set-up that the others are compared with; default: that of this settings file."
    )


class DemoSettings(Section):
    """The simulated world; its presence makes the world a simulated one."""

    seed: int = Field(7, description="Seed of land, fires and scenes.")
    fires_per_year: int = Field(12, ge=3, description="Fires a year that imagery is simulated for.")
    perimeters: str | None = Field(
        None, description="Perimeters to simulate imagery over; empty: perimeters are simulated too."
    )


class Settings(Section):
    """Everything one world is made of."""

    name: str = Field(min_length=1, description="Name of the world, shown in the web UI.")
    years: YearSettings
    release: ReleaseSettings
    in_season: InSeasonSettings = InSeasonSettings()
    perimeters: PerimeterSettings = PerimeterSettings()
    sampling: SamplingSettings = SamplingSettings()
    windows: WindowSettings = WindowSettings()
    imagery: ImagerySettings = ImagerySettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    setups: SetupsSettings = SetupsSettings()
    mapping: MappingSettings = MappingSettings()
    mining: MiningSettings = MiningSettings()
    automation: AutomationSettings = AutomationSettings()
    compute: ComputeSettings = ComputeSettings()
    demo: DemoSettings | None = None

    @model_validator(mode="after")
    def _crops_are_in_the_middle(self) -> Self:
        crop_px, size_px = self.training.crop_px, self.windows.size_px
        if crop_px and (crop_px > size_px or (size_px - crop_px) % 2):
            raise ValueError(
                f"training.crop_px {crop_px} is not the middle of windows of {size_px} px: take a smaller number, "
                f"{'odd' if size_px % 2 else 'even'} like it"
            )
        return self

    def decisive_sections(self) -> dict[str, dict[str, Any]]:
        """The sections whose values decide the results of stages, by name."""
        return {
            name: getattr(self, name).decisive()
            for name in (
                "release",
                "in_season",
                "perimeters",
                "sampling",
                "windows",
                "imagery",
                "training",
                "evaluation",
                "mapping",
                "setups",
            )
        }

    @property
    def simulated_imagery(self) -> bool:
        """Whether the imagery is simulated."""
        return self.demo is not None

    @property
    def simulated_perimeters(self) -> bool:
        """Whether the perimeters are simulated."""
        return self.demo is not None and self.demo.perimeters is None


def load_settings(path: Path) -> Settings:
    """Read the settings of a world.

    Raises:
        SettingsError: naming file, field and what is allowed, for every mistake at once.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read settings {path}: {error.strerror}; set BURNSCAR_CONFIG") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold a mapping with name, years, release, …")
    return parse_settings(content, str(path))


def parse_settings(content: dict[str, Any], origin: str) -> Settings:
    """Validate settings; `origin` names them in errors."""
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        mistakes = [f"  {'.'.join(map(str, e['loc'])) or '(root)'}: {_allowed(e)}" for e in error.errors()]
        raise SettingsError(f"{origin} has {len(mistakes)} mistake(s):\n" + "\n".join(mistakes)) from error


def _allowed(mistake: Any) -> str:
    """What is allowed in place of a mistake; for a field that isn't known, the fields that are."""
    section: Any = Settings
    for name in mistake["loc"][:-1]:
        field = getattr(section, "model_fields", {}).get(name)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        section = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
    if mistake["type"] == "extra_forbidden":
        return f"no such field; allowed are {', '.join(section.model_fields)}"
    field = getattr(section, "model_fields", {}).get(mistake["loc"][-1] if mistake["loc"] else None)
    return f"{mistake['msg']}{_guess(mistake, field)}"


def _guess(mistake: Any, field: Any) -> str:
    """What a number out of bounds was probably meant to be."""
    value = mistake["input"]
    if mistake["type"] not in _OUT_OF_BOUNDS or not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    of_field: Any = Field(**mistake["ctx"]) if field is None else field
    kind = int if field is None or field.annotation in (int, int | None) else float
    bounded: Any = Annotated[kind, *of_field.metadata]
    allowed: TypeAdapter[Any] = TypeAdapter(bounded)
    for guess in meant_number(value, str(mistake["loc"][-1])):
        with suppress(ValidationError):
            return f"; did you mean {allowed.validate_python(guess):g}?"
    return ""


_OUT_OF_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
