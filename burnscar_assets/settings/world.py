"""One frozen tree of settings per world, read from YAML.

Nothing here reads data or has side effects.
"""

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Self, get_args

import yaml
from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from burnscar_assets.errors import SettingsError
from burnscar_assets.mapping.settings import FireScenesSettings, MappingSettings
from burnscar_assets.mining.settings import MiningSettings
from burnscar_assets.operations import AutomationSettings, ComputeSettings
from burnscar_assets.plausible import meant_number
from burnscar_assets.regions.load import DEFAULT as REGION
from burnscar_assets.regions.load import load_region
from burnscar_assets.regions.region import Region
from burnscar_assets.section import Section
from burnscar_assets.sensors.load import DEFAULT, default_sensor, load_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings.imagery import ImagerySettings
from burnscar_assets.settings.labels import (
    InSeasonSettings,
    PerimeterSettings,
    ReleaseSettings,
    YearSettings,
)
from burnscar_assets.settings.training import EvaluationSettings, SetupsSettings, TrainingSettings
from burnscar_assets.settings.windows import SamplingSettings, WindowSettings

DATASET_OF_SENSOR: Final = "dataset-sensor.json"
"""Dataset configuration whose layer is made of what the sensor says."""


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
    region: str = Field(
        REGION, min_length=1, description="Name of the region's file in `regions/`: of a shipped one, or one's own."
    )
    in_season: InSeasonSettings = Field(default_factory=InSeasonSettings)
    perimeters: PerimeterSettings = PerimeterSettings()
    sampling: SamplingSettings = SamplingSettings()
    windows: WindowSettings = WindowSettings()
    imagery: ImagerySettings = ImagerySettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    setups: SetupsSettings = SetupsSettings()
    fire_scenes: FireScenesSettings = FireScenesSettings()
    mapping: MappingSettings = MappingSettings()
    mining: MiningSettings = MiningSettings()
    automation: AutomationSettings = AutomationSettings()
    compute: ComputeSettings = ComputeSettings()
    demo: DemoSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _follow_the_sensor(cls, content: Any) -> Any:
        """What settings don't say of windows and imagery is the sensor's; the fields' own defaults are Sentinel-2's."""
        parts = [content.get(part, {}) for part in ("imagery", "windows")] if isinstance(content, dict) else []
        imagery, windows = parts if parts and all(isinstance(part, dict) for part in parts) else ({}, {})
        name = imagery.get("sensor", DEFAULT)
        if not isinstance(name, str) or (sensor := load_sensor(name)) == default_sensor():
            return content
        of_windows = {"size_px": sensor.window_px, "resolution_m": sensor.resolution_m}
        of_imagery = {"dataset_config": DATASET_OF_SENSOR, "layer": sensor.layer}
        return content | {"windows": of_windows | windows, "imagery": of_imagery | imagery}

    @model_validator(mode="after")
    def _region_is_there(self) -> Self:
        load_region(self.region)
        return self

    @model_validator(mode="after")
    def _crops_are_in_the_middle(self) -> Self:
        crop_px, size_px = self.training.crop_px, self.windows.size_px
        if crop_px and (crop_px > size_px or (size_px - crop_px) % 2):
            raise ValueError(
                f"training.crop_px {crop_px} is not the middle of windows of {size_px} px: take a smaller number, "
                f"{'odd' if size_px % 2 else 'even'} like it"
            )
        return self

    @model_validator(mode="after")
    def _folds_know_no_season(self) -> Self:
        if self.sampling.splits.folds and self.in_season.enabled:
            raise ValueError("sampling.splits.folds has no checkpoint from before a season: leave out in_season.source")
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
                "fire_scenes",
                "mapping",
                "setups",
            )
        }

    @property
    def ground(self) -> Region:
        """The region that the world lies in, read from its file.

        Raises:
            SettingsError: there is none, or naming what is wrong with it.
        """
        return load_region(self.region)

    @property
    def sensor(self) -> Sensor:
        """The sensor of the world's imagery, read from its file.

        Raises:
            SettingsError: there is none, or naming what is wrong with it.
        """
        return load_sensor(self.imagery.sensor)

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
        raise SettingsError(
            f"cannot read settings {path}: {error.strerror}; give --config or BURNSCAR_CONFIG a path, or the name of a "
            "shipped world: demo or california"
        ) from error
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
        if moved := _MOVED.get(".".join(map(str, mistake["loc"]))):
            return f"this is {moved}"
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


_MOVED = {
    f"mapping.{name}": f"windows.{name} now, for windows and maps alike" for name in ("days_after", "days_before")
} | {f"training.model.{name}": "part of training.model.variant now, such as v1_2-nano" for name in ("version", "size")}
"""Fields that older files have, and where they went."""

_OUT_OF_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
