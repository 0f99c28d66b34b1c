"""Inputs of the mapper's process, as JSON: for a year's fires, or for one area of interest."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import shapely
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from burnscar_assets.mapping.scenes import TimeSpan
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.process import ProcessSpec
from burnscar_assets.section import Producer
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.settings.training import Accelerator
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.text import clean

MAP_FILE: Final = "map.json"

CleanText = Annotated[str, AfterValidator(clean)]


class MapTask(BaseModel):
    """One map to make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the map's folder: the fire's id, or a person's name for the area.")
    title: CleanText = Field(description="What a person calls it: the fire's name, or the area's.")
    folder: Path = Field(description="Where the map goes.")
    work: Path = Field(description="Where its scenes are remembered and its finished blocks kept.")
    area: str = Field(description="Area to map, WKT in EPSG:4326: of a fire, its perimeter.")
    buffer_m: float = Field(0, description="Margin around the area's bounds that is mapped too, metres.")
    start: datetime = Field(description="First moment that imagery may be from.")
    end: datetime = Field(description="First moment after.")
    before_start: datetime | None = Field(None, description="The same of the image before the fire; empty: none.")
    before_end: datetime | None = Field(None, description="First moment after.")
    source: CleanText = Field(description="Where the area is from, such as the release of the perimeter.")
    fire_id: str | None = Field(None, description="The fire whose perimeter the area is; empty: an area of interest.")
    fire_year: int | None = Field(None, description="Its fire year.")
    simulated_perimeter: bool = Field(False, description="Whether the perimeter is simulated.")
    perimeter_producer: Producer | None = Field(
        None, description="Who publishes the perimeter; empty: nobody is named."
    )

    @property
    def geometry(self) -> shapely.Geometry:
        """The area, EPSG:4326."""
        return shapely.from_wkt(self.area)

    @property
    def after(self) -> TimeSpan:
        """When the image is to be from."""
        return TimeSpan(self.start, self.end)

    @property
    def before(self) -> TimeSpan | None:
        """When the image before the fire is to be from, if there is to be one."""
        return TimeSpan(self.before_start, self.before_end) if self.before_start and self.before_end else None


class MapSpec(ProcessSpec):
    """Everything that the process needs, wherever it runs."""

    root: Path = Field(description="Data root: dataset, tables and checkpoints.")
    part: str = Field("", description="Folder of the set-up's results under it; empty: the world's own.")
    setup: str = Field("default", description="Name of the set-up, for the provenance.")
    checkpoint_year: int = Field(description="Fire year of the checkpoint.")
    fire_year: int | None = Field(None, description="Fire year whose maps these are; empty: an area of interest.")
    tasks: tuple[MapTask, ...] = Field(description="The maps to make.")
    fold_of: dict[str, int] = Field(
        {}, description="Fold of each fire, in a world with folds: whose checkpoint maps it."
    )
    title: str = Field("Burned area", description="Heading of their index.")
    pages: Path | None = Field(None, description="Folder of the maps, for which pages are written; empty: none.")
    sensor: Sensor = Field(default_factory=default_sensor, description="Sensor of the imagery.")
    imagery: ImagerySettings = ImagerySettings()
    settings: MappingSettings = MappingSettings()
    size_px: int = Field(description="Side of a window, pixels.")
    resolution_m: float = Field(
        default_factory=lambda: default_sensor().resolution_m, description="Ground sampling distance, metres."
    )
    confidence: float = Field(0.95, description="Of the interval of the area.")
    reference: Path | None = Field(
        None, description="Vector file of points that a person drew on the maps; empty: none."
    )
    accelerator: Accelerator = Field("cpu", description="Where the model runs.")
    classes: tuple[str, ...] = Field((), description="Classes beyond the known ones that a checkpoint may name.")
    simulated: bool = Field(False, description="Whether the imagery is simulated.")
    data_versions: dict[str, str] = Field({}, description="Data versions of what is read, kept with each map.")
    may_take_long: bool = Field(True, description="Whether an area that keeps the model busy for long is mapped.")

    @property
    def data_root(self) -> DataRoot:
        """The data root, with the set-up's part."""
        return DataRoot(self.root, self.part)

    @property
    def members(self) -> "tuple[MapSpec, ...]":
        """What is made by each checkpoint: all of this, or the maps of each fold."""
        folds = sorted(set(self.fold_of.values()))
        return tuple(
            self.model_copy(update={
                "part": self.data_root.fold(fold).part,
                "tasks": tuple(task for task in self.tasks if self.fold_of[str(task.fire_id)] == fold),
            })
            for fold in folds
        ) or (self,)  # fmt: skip
