"""A simulated archive of Landsat: the demo's scenes as an instrument of 30 m pixels would have seen them."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import from_origin

from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.demo.plan import OFFSET_FROM
from burnscar_assets.demo.studio import ITEM_FILE
from burnscar_assets.sensors.load import default_sensor, load_sensor
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN, DN_PER_REFLECTANCE, Band
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.sensors.sensor_archive import numbers_of

LANDSAT: Final = load_sensor("landsat-c2-l2")
METRES: Final = 30
FINEST_M: Final = 10
CLEAR, FILL, SHADOW, CLOUD, CIRRUS = 21824, 1, 23888, 22280, 54596
QA_OF_SCL: Final = np.full(256, CLEAR, np.uint16)
for scl_classes, quality in (((0, 1), FILL), ((3,), SHADOW), ((8, 9), CLOUD), ((10,), CIRRUS)):
    QA_OF_SCL[[*scl_classes]] = quality


def write_landsat_archive(root: DataRoot) -> Path:
    """Draw a Landsat scene of each of the demo's, beside them under the data root; returns the index."""
    folder = root.path / "landsat"
    items = [_write(place, folder) for place in sorted((root.simulated / "imagery" / "scenes").glob("*/*"))]
    write_index(items, folder / "index.parquet")
    return folder / "index.parquet"


def _write(place: Path, folder: Path) -> StacDict:
    """A scene and its item, of the folder of one of the demo's."""
    theirs = json.loads((place / ITEM_FILE).read_text(encoding="utf-8"))
    properties = theirs["properties"]
    day = properties["datetime"][:10]
    name = f"SIM_LC08_L2SP_{place.parent.name}_{day.replace('-', '')}"
    keys = LANDSAT.assets[LANDSAT.name]
    (folder / name).mkdir(parents=True)
    offset = BASELINE_OFFSET_DN if day >= OFFSET_FROM.isoformat() else 0
    planes: dict[str, npt.NDArray[np.generic]] = {
        keys[band.name]: numbers_of(LANDSAT, _reflectance(place, band, offset)) for band in LANDSAT.bands
    }
    planes["qa_pixel"] = QA_OF_SCL[_fine(place / "SCL.tif")[1::3, 1::3]]
    with rasterio.open(place / "SCL.tif") as source:
        corner, crs = source.transform, source.crs
    for key, numbers in planes.items():
        _write_file(folder / name / f"{key}.tif", numbers, crs=crs, transform=from_origin(corner.c, corner.f, 30, 30))
    kept = {key: properties[key] for key in ("datetime", "eo:cloud_cover", "proj:code", "burnscar:simulated")}
    return {
        **{key: theirs[key] for key in ("type", "stac_version", "geometry", "bbox")},
        "id": name,
        "properties": kept | {"platform": "landsat-8"},
        "links": [],
        "assets": {key: {"href": f"{name}/{key}.tif", "type": "image/tiff", "roles": ["data"]} for key in planes},
    }


def _reflectance(place: Path, band: Band, offset: int) -> npt.NDArray[np.float64]:
    """Reflectance of what the demo has of a band's role, mean over pixels of 30 m; not a number without data."""
    role = "nir_narrow" if "nir_narrow" in band.roles else band.roles[0]
    numbers = _fine(place / f"{default_sensor().band(role)}.tif").astype(np.float64)
    numbers[numbers == 0] = np.nan
    side = numbers.shape[0] * FINEST_M // METRES
    blocks = numbers.reshape(side, METRES // FINEST_M, side, METRES // FINEST_M)
    return np.asarray((blocks.mean((1, 3)) - offset) / DN_PER_REFLECTANCE)


def _fine(path: Path) -> npt.NDArray[Any]:
    """A file's pixels, repeated to 10 m."""
    with rasterio.open(path) as source:
        times = round(source.res[0]) // FINEST_M
        return np.kron(source.read(1), np.ones((times, times), source.dtypes[0]))


def _write_file(path: Path, numbers: npt.NDArray[np.generic], **place: Any) -> None:
    height, width = numbers.shape
    profile = {"driver": "COG", "width": width, "height": height, "count": 1, "dtype": numbers.dtype.name} | place
    with rasterio.open(path, "w", **profile, nodata=None if path.stem == "qa_pixel" else LANDSAT.nodata) as sink:
        sink.write(numbers, 1)
