"""An archive whose scenes have a scene classification, and windows over it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rslearn.utils.geometry import Projection, STGeometry

from burnscar_assets.catalog.archive import CogArchive
from burnscar_assets.catalog.index_client import forget_indexes
from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.reader.request import ReadOptions
from burnscar_assets_tests.catalog.small_archive import EPSG, LEFT, SIDE_M, TOP, SmallScene, write_scene

START = datetime(2022, 8, 1, tzinfo=UTC)
MONTH = (START, START + timedelta(days=30))
UTM = Projection(CRS.from_epsg(EPSG), 10, -10)
SIZE = SIDE_M // 20
CLEAR, CLOUD, NOTHING = 4, 9, 0
AT_ONCE = ReadOptions(retries=0)


def scene(folder: Path, name: str, day: float, scl: np.ndarray | None, cloud: float = 10, east_m: int = 0) -> StacDict:
    """A scene with its classification; its bands are not read here."""
    assets = {band: {"href": f"./{name}/{band}.tif"} for band in BANDS}
    if scl is not None:
        (folder / name).mkdir(parents=True, exist_ok=True)
        profile = {
            "driver": "GTiff", "width": SIZE, "height": SIZE, "count": 1, "dtype": "uint8", "nodata": 0,
            "crs": f"EPSG:{EPSG}", "transform": from_origin(LEFT + east_m, TOP, 20, 20),
        }  # fmt: skip
        with rasterio.open(folder / name / "SCL.tif", "w", **profile) as sink:
            sink.write(scl, 1)
        assets["scl"] = {"href": f"./{name}/SCL.tif"}
    box = shapely.box(LEFT + east_m, TOP - SIDE_M, LEFT + east_m + SIDE_M, TOP).buffer(1, join_style="mitre")
    to_wgs84 = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    footprint = shapely.transform(box, lambda xy: np.column_stack(to_wgs84(xy[:, 0], xy[:, 1])))
    time = (START + timedelta(days=day, hours=18.8)).isoformat().replace("+00:00", "Z")
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": shapely.geometry.mapping(footprint),
        "properties": {"datetime": time, "eo:cloud_cover": cloud, "s2:processing_baseline": "02.14"},
        "links": [],
        "assets": assets,
    }


def ground(share: float = 0.0, kind: int = CLOUD) -> np.ndarray:
    """A classification whose northern rows, as many as asked for, are of a kind, and the others clear."""
    scl = np.full((SIZE, SIZE), CLEAR, np.uint8)
    scl[: round(share * SIZE)] = kind
    return scl


def archive(folder: Path, *scenes: StacDict) -> CogArchive:
    """The archive of some scenes."""
    write_index(list(scenes), folder / "index.parquet")
    forget_indexes()
    return CogArchive(str(folder / "index.parquet"))


def window(column: int = 60, row: int = 60, size: int = 32, times: Any = MONTH) -> STGeometry:
    """What a window asks for; columns and rows are from the archive's corner."""
    left, top = LEFT // 10 + column, -TOP // 10 + row
    return STGeometry(UTM, shapely.box(left, top, left + size, top + size), times)


WHOLE = window(0, 0, SIDE_M // 10)


def names(groups: list[Any]) -> list[list[str]]:
    """Names of the scenes of groups."""
    return [[item.name for item in group.items] for group in groups]


def whole_scene(folder: Path, name: str, time: str, scl: np.ndarray, cloud: float, surface: int = 0) -> StacDict:
    """A scene with bands and classification."""
    item = write_scene(folder, SmallScene(name, time=time, cloud=cloud, surface=surface))
    extra = scene(folder, name, 0, scl)
    return item | {"geometry": extra["geometry"], "assets": item["assets"] | {"scl": extra["assets"]["scl"]}}
