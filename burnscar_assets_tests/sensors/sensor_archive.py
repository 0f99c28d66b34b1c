"""A small archive of any sensor's files: what each pixel is in reflectance, written as the sensor writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import shapely
from rasterio.transform import from_origin

from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.sensors.sensor import Sensor

EPSG = 32610
LEFT, TOP = 600_000, 4_300_320
SIDE_M = 9_600

Reflectance = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class SensorScene:
    """One scene: when, what it shows, and what is odd about its files."""

    name: str
    reflectance: Reflectance
    """By band, (rows, columns) at the band's resolution; not a number where there are no data."""
    time: str = "2022-08-20T18:50:00Z"
    end: str | None = None
    """Last moment of a composite."""
    quality: npt.NDArray[np.integer] | None = None
    """Numbers of the file that tells clear ground."""
    keys: Mapping[str, str] = field(default_factory=dict)
    stated: Mapping[str, float] = field(default_factory=dict)
    """Scale and offset that the item states of each band."""
    nodata_named: bool = True


def random_reflectance(sensor: Sensor, seed: int = 0) -> dict[str, npt.NDArray[np.float64]]:
    """Reflectance that changes from pixel to pixel, in each band otherwise."""
    rng = np.random.default_rng(seed)
    sides = {band.name: int(SIDE_M // band.metres) for band in sensor.bands}
    return {name: rng.uniform(0.01, 0.6, (side, side)) for name, side in sides.items()}


def numbers_of(sensor: Sensor, reflectance: npt.NDArray[np.float64]) -> npt.NDArray[np.generic]:
    """What the sensor's files have for reflectance."""
    rule = sensor.radiometry
    numbers = (reflectance - rule.offset) / rule.scale
    numbers = numbers if sensor.dtype == "float32" else np.rint(numbers)
    return np.where(np.isnan(numbers), sensor.nodata, numbers).astype(sensor.dtype)


def write_sensor_archive(folder: Path, sensor: Sensor, *scenes: SensorScene) -> Path:
    """Write scenes and their index; returns the index."""
    write_index([_write(folder, sensor, scene) for scene in scenes], folder / "index.parquet")
    return folder / "index.parquet"


def outline() -> shapely.Polygon:
    """Of every scene, in degrees."""
    box = shapely.box(LEFT, TOP - SIDE_M, LEFT + SIDE_M, TOP)
    to_wgs84 = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    return shapely.transform(box, lambda xy: np.column_stack(to_wgs84(xy[:, 0], xy[:, 1])))


def _write(folder: Path, sensor: Sensor, scene: SensorScene) -> StacDict:
    place = folder / scene.name
    place.mkdir(parents=True)
    assets: dict[str, StacDict] = {}
    for band in sensor.bands:
        key = scene.keys.get(band.name, band.name)
        nodata = sensor.nodata if scene.nodata_named else None
        _write_file(place / f"{key}.tif", numbers_of(sensor, scene.reflectance[band.name]), nodata)
        assets[key] = {"href": f"./{scene.name}/{key}.tif", "roles": ["data"]}
        if scene.stated:
            assets[key]["raster:bands"] = [dict(scene.stated)]
    if scene.quality is not None and sensor.clear_ground is not None:
        key = scene.keys.get(sensor.clear_ground.asset, sensor.clear_ground.asset)
        _write_file(place / f"{key}.tif", scene.quality, None)
        assets[key] = {"href": f"./{scene.name}/{key}.tif"}
    times = {"datetime": scene.time} | (
        {"start_datetime": scene.time, "end_datetime": scene.end} if scene.end is not None else {}
    )
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.name,
        "geometry": shapely.geometry.mapping(outline()),
        "properties": times | {"eo:cloud_cover": 5.0},
        "links": [],
        "assets": assets,
    }


def _write_file(path: Path, numbers: npt.NDArray[np.generic], nodata: float | None) -> None:
    side_m = SIDE_M / len(numbers)
    profile = {
        "driver": "COG",
        "width": numbers.shape[1],
        "height": numbers.shape[0],
        "count": 1,
        "dtype": numbers.dtype.name,
        "crs": f"EPSG:{EPSG}",
        "transform": from_origin(LEFT, TOP, side_m, side_m),
        "nodata": nodata,
        "blocksize": 128,
    }
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(numbers, 1)
