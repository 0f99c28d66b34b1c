"""An archive to measure imagery on: simulated Sentinel-2 scenes as COGs, and their STAC items.

The scenes are SIMULATED: smooth land with noise, so that they compress as reflectances do.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer
from shapely.geometry import box, mapping
from shapely.ops import transform

from burnscar_assets.demo.cogs import write_cog
from burnscar_assets.demo.noise import Floats, upsample
from burnscar_assets.demo.plan import Granule
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M
from burnscar_assets.sensors.load import default_sensor

EPSG = 32610
FIRE_YEAR = 2021
COLLECTION = "sentinel-2-l2a"
ITEMS_FILE = "items.json"

CALIFORNIA_DEGREES = (-124.5, 32.5, -114.5, 42.5)
FIRE_SEASON_DAYS = 180
DAYS_BETWEEN_SCENES = 2.5

_FIRST_CORNER_M = (540_000, 4_400_040)
_MEAN_DN = 1500.0
_SMOOTH_DN = 1200.0
_NOISE_DN = 40.0
_NODE_M = 600


@dataclass(frozen=True)
class Scene:
    """One granule on one day."""

    granule: Granule
    acquired: datetime

    @property
    def name(self) -> str:
        """Its id, and the name of its folder."""
        return f"S2_SIMULATED_{self.granule.granule_id}_{self.acquired:%Y%m%d}"


def scenes(side_px: int, granules: int, days: int) -> list[Scene]:
    """Granules side by side, each on the same few days of the fire year, two months apart."""
    first, side_m = datetime(FIRE_YEAR, 7, 15, 18, 45, tzinfo=UTC), side_px * 10
    return [
        Scene(_granule(index, side_px, side_m), first + timedelta(days=60 * day))
        for index in range(granules)
        for day in range(days)
    ]


def _granule(index: int, side_px: int, side_m: int) -> Granule:
    west_m, north_m = _FIRST_CORNER_M
    return Granule(f"G{index}", "benchmark", "forest", EPSG, west_m + index * side_m, north_m, side_px)


def build_archive(folder: Path, wanted: list[Scene]) -> None:
    """Write the bands of all scenes as COGs and their STAC items, unless they are there; hrefs are relative."""
    names = [scene.name for scene in wanted]
    there = json.loads((folder / ITEMS_FILE).read_text()) if (folder / ITEMS_FILE).exists() else []
    if [(item["id"], item["properties"]["side_px"]) for item in there] == [
        (scene.name, scene.granule.side_px) for scene in wanted
    ]:
        return
    for seed, scene in enumerate(wanted):
        (folder / names[seed]).mkdir(parents=True, exist_ok=True)
        for band, pixels in _bands(scene.granule, seed):
            write_cog(band_path(folder, scene, band), pixels, scene.granule, BAND_RESOLUTION_M[band])
    (folder / ITEMS_FILE).write_text(json.dumps([_item(scene) for scene in wanted]))


def spread_scenes(count: int) -> list[Scene]:
    """Scenes that nobody made, at random places and days of California's fire season, to put fires on."""
    generator = np.random.default_rng(0)
    west, south, east, north = CALIFORNIA_DEGREES
    to_metres = Transformer.from_crs(4326, EPSG, always_xy=True).transform
    found = []
    for number in range(count):
        x_m, y_m = to_metres(generator.uniform(west + 1, east - 1), generator.uniform(south + 1, north - 1))
        granule = Granule(f"C{number}", "benchmark", "forest", EPSG, int(x_m // 60 * 60), int(y_m // 60 * 60), 3000)
        day = int(generator.integers(FIRE_SEASON_DAYS))
        found.append(Scene(granule, datetime(FIRE_YEAR, 5, 1, 18, 45, tzinfo=UTC) + timedelta(days=day)))
    return found


def california_items() -> list[dict[str, Any]]:
    """STAC items of a fire year over a box around California, as many as there are: they have no files."""
    west, south, east, north = CALIFORNIA_DEGREES
    edges = np.stack(np.meshgrid(np.arange(west, east), np.arange(south, north)), axis=-1).reshape(-1, 2)
    first = datetime(FIRE_YEAR, 1, 1, 18, 45, tzinfo=UTC)
    return [
        _described(f"S2_SIMULATED_{place}_{number}", box(lon, lat, lon + 1.1, lat + 1.1), moment)
        for place, (lon, lat) in enumerate(edges.tolist())
        for number in range(int(365 / DAYS_BETWEEN_SCENES))
        for moment in [first + timedelta(days=number * DAYS_BETWEEN_SCENES)]
    ]


def band_path(folder: Path, scene: Scene, band: str) -> Path:
    """The file of a band."""
    return folder / scene.name / f"{band}.tif"


def _bands(granule: Granule, seed: int) -> Iterator[tuple[str, npt.NDArray[np.uint16]]]:
    """Reflectances of each band: land that all bands share, as much again of their own, and noise."""
    generator = np.random.default_rng(seed)
    nodes = granule.side_m // _NODE_M + 1
    shared = generator.random((nodes, nodes), dtype=np.float32)
    for band, resolution_m in BAND_RESOLUTION_M.items():
        land: Floats = (shared + generator.random((nodes, nodes), dtype=np.float32)) * np.float32(0.5)
        pixels = _MEAN_DN + _SMOOTH_DN * (upsample(land, _NODE_M // resolution_m) - 0.5)
        pixels += _NOISE_DN * generator.standard_normal(pixels.shape, dtype=np.float32)
        yield band, pixels.clip(1, 10_000).astype(np.uint16)


def _item(scene: Scene) -> dict[str, Any]:
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    item = _described(scene.name, transform(to_degrees, scene.granule.utm_box), scene.acquired)
    return item | {"properties": item["properties"] | {"side_px": scene.granule.side_px}}


def _described(name: str, footprint: shapely.Polygon, acquired: datetime) -> dict[str, Any]:
    keys = default_sensor().assets["earth-search"]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": COLLECTION,
        "geometry": mapping(footprint),
        "bbox": list(footprint.bounds),
        "properties": {
            "datetime": acquired.isoformat().replace("+00:00", "Z"),
            "eo:cloud_cover": 1.0,
            "s2:processing_baseline": "03.01",
            "earthsearch:boa_offset_applied": True,
        },
        "links": [],
        "assets": {keys[band]: {"href": f"{name}/{band}.tif"} for band in BAND_RESOLUTION_M},
    }
