"""What a map's folder says of itself, as the pages read it.

A map is a folder with a `map.json`, which its maker writes last. One whose `map.json` or rasters can't be read is
listed as broken, so that it is seen and nothing else suffers.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rasterio
from affine import Affine
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.errors import RasterioError
from rasterio.transform import array_bounds

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.spec import MAP_FILE
from burnscar_assets.publish.area import Area
from burnscar_assets.publish.rasters import PROBABILITY
from burnscar_assets.section import Producer
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.storage.atomic import read_json, write_if_changed

PAGE_FILE: Final = "index.html"
UNMAPPED_FILE: Final = "unmapped.json"
"""Fires of a folder that have no map, each with the reason: they count as such."""

REPAIR: Final = "make this map again"


class _Part(BaseModel):
    """Part of a map's record; what pages don't show is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Scene(_Part):
    """A scene that pixels of the map come from."""

    item: str
    acquired: str
    baseline: str | None = None


class Imagery(_Part):
    """Whose images the map is made of; maps that don't say are of Sentinel-2."""

    sensor: str = Field(default_factory=lambda: default_sensor().title)
    shown: tuple[str, str, str] = Field(default_factory=lambda: default_sensor().shown)
    producer: Producer | None = Field(default_factory=lambda: default_sensor().producer)

    @property
    def bands(self) -> str:
        """The bands that pictures show as red, green and blue."""
        return ", ".join(self.shown)


class Checkpoint(_Part):
    """The checkpoint that made the map."""

    fire_year: int | None = None
    weights_sha256: str = ""
    notice: str = ""


class Sample(_Part):
    """What points that a person drew on the map say of it; accuracies of burnt, 0–1."""

    file: str
    points: int
    users_accuracy: float | None = None
    producers_accuracy: float | None = None


class Agreement(_Part):
    """How the map compares with the official perimeter; shares 0–1, distances in metres, areas in hectares."""

    iou: float | None = None
    omission: float | None = None
    commission: float | None = None
    boundary_distance_m_median: float | None = None
    boundary_distance_m_p95: float | None = None
    islands_ha: float | None = None
    islands_found_ha: float | None = None


class Calibration(_Part):
    """What the model's log odds are scaled by."""

    slope: float
    intercept: float
    fixed_on: str


class ReliabilityBin(_Part):
    """Ground in a bin of probability; probability and shares 0–1."""

    bin: str
    mean_probability: float
    burnt_share: float
    share: float


class Reliability(_Part):
    """Whether probabilities mean what they say, before and after calibration."""

    before: tuple[ReliabilityBin, ...] = ()
    after: tuple[ReliabilityBin, ...] = ()
    error_before: float | None = None
    error_after: float | None = None


class MapRecord(_Part):
    """The content of a `map.json`."""

    fire_id: str | None = None
    fire_name: str | None = None
    fire_year: int | None = None
    aoi_name: str | None = None
    start: str
    end: str
    source: str
    perimeter_producer: Producer | None = None
    simulated: bool
    imagery: Imagery = Field(default_factory=Imagery)
    setup: str | None = None
    checkpoint: Checkpoint = Checkpoint()
    data_versions: dict[str, Any] = Field(default_factory=dict)
    scenes: tuple[Scene, ...] = ()
    scenes_before: tuple[Scene, ...] = ()
    trained_on_fire_years: tuple[int, ...] = ()
    threshold: float | None = None
    calibration: Calibration | None = None
    clear_fraction: float | None = None
    valid_fraction: float | None = None
    area_ha: Area = Area()
    sample: Sample | None = None
    agreement: Agreement | None = None
    reliability: Reliability | None = None
    severity_ha: dict[str, float] | None = None
    notes: tuple[str, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a person calls the fire or area."""
        return self.fire_name or self.aoi_name or self.fire_id or "Unnamed"


@dataclass(frozen=True)
class Grid:
    """The grid that all rasters of a map share."""

    crs: CRS
    transform: Affine
    height: int
    width: int

    @property
    def pixel_m(self) -> float:
        """Length of a pixel's side, metres."""
        return float(abs(self.transform.a))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in the grid's CRS."""
        return array_bounds(self.height, self.width, self.transform)


@dataclass(frozen=True)
class ReadMap:
    """A map that can be shown."""

    folder: Path
    record: MapRecord
    grid: Grid


@dataclass(frozen=True)
class BrokenMap:
    """A map that can't be shown, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class Unmapped:
    """A fire that was to be mapped, and why it wasn't: `reason` of table `burned_area_maps`."""

    name: str
    reason: str


def write_unmapped(folder: Path, fires: Sequence[Unmapped]) -> None:
    """Note the fires of a folder that have no map."""
    content = {"fires": [{"name": fire.name, "reason": fire.reason} for fire in fires]}
    write_if_changed(folder / UNMAPPED_FILE, (json.dumps(content, indent=2) + "\n").encode())


def read_unmapped(folder: Path) -> list[Unmapped]:
    """The fires of a folder that have no map; none where nothing was noted."""
    noted = read_json(folder / UNMAPPED_FILE).get("fires", [])
    return [Unmapped(str(fire["name"]), str(fire["reason"])) for fire in noted]


def read_maps(folder: Path) -> Iterator[ReadMap | BrokenMap]:
    """The maps in the sub-folders of a folder, by name; sub-folders without a `map.json` are no maps (yet)."""
    for path in sorted(folder.glob(f"*/{MAP_FILE}")):
        if path.parent.name.startswith("."):
            continue
        try:
            yield read_map(path.parent)
        except InputError as error:
            yield BrokenMap(path.parent, str(error))


def read_map(folder: Path) -> ReadMap:
    """Read a map's record and grid.

    Raises:
        InputError: the record or the probabilities can't be read, or the grid has no metric CRS.
    """
    try:
        content = json.loads((folder / MAP_FILE).read_text(encoding="utf-8"))
        record = MapRecord.model_validate(content)
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, item["loc"])) or "content" for item in error.errors()}))
        raise InputError(f"{MAP_FILE} of {folder.name} is not valid ({wrong}): {REPAIR}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{MAP_FILE} of {folder.name} can't be read: {REPAIR}") from error
    return ReadMap(folder, record, _grid(folder))


def _grid(folder: Path) -> Grid:
    path = folder / PROBABILITY.file
    try:
        with rasterio.open(path) as raster:
            crs = CRS.from_user_input(raster.crs)
            grid = Grid(crs, raster.transform, raster.height, raster.width)
    except (RasterioError, CRSError) as error:
        raise InputError(f"{path.name} of {folder.name} can't be read: {REPAIR}") from error
    if not crs.is_projected:
        raise InputError(f"{path.name} of {folder.name} has no projected CRS: {REPAIR}")
    return grid
