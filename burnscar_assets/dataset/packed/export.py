"""An rslearn dataset's windows as GeoTIFFs and footprints, for QGIS; from folders or packed files alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.atomic import atomic_file, atomic_folder, storage_errors

if TYPE_CHECKING:
    from rslearn.config import BandSetConfig
    from rslearn.dataset import Dataset, Window
    from rslearn.utils.raster_array import RasterArray

FOOTPRINTS: Final = "windows.gpkg"
_FOOTPRINT_CRS = "EPSG:4326"


@dataclass(frozen=True)
class Exported:
    """How many windows, and how many GeoTIFFs, were written."""

    windows: int
    rasters: int


def export_geotiffs(
    dataset_path: Path,
    folder: Path,
    groups: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write each window's completed raster layers as `<folder>/<group>/<name>/<layer>[.<item group>].tif`.

    A layer with several band sets has one file for each, ending in the number of the band set (`_1`, `_2`, …).
    Footprints and tags of the windows go to `windows.gpkg`. Windows that were exported before are replaced.

    Args:
        dataset_path: the rslearn dataset.
        folder: where to write; created if it isn't there.
        groups: fire years; default all.
        names: windows; default all.
        progress: told about windows written.

    Raises:
        MissingDataError: there is no dataset, or none of these windows; a window's pixels are damaged.
        InputError: the dataset's configuration is not valid.
        StorageError: no space, or no permission. Each window's folder is whole or as it was.
    """
    dataset = _open(dataset_path)
    windows = dataset.load_windows(groups=list(groups) if groups else None, names=list(names) if names else None)
    lacking = set(names or ()) - {window.name for window in windows}
    if lacking or not windows:
        which = ", ".join(sorted(lacking)[:3]) or "these fire years"
        raise MissingDataError(f"{dataset_path} has no windows of {which}: run burnscar refresh, or choose others")
    rasters = 0
    with storage_errors(folder):
        for number, window in enumerate(windows):
            rasters += _export(dataset, window, folder / window.group / window.name)
            progress("windows exported", number + 1, len(windows))
        with atomic_file(folder / FOOTPRINTS) as path:
            named = path.with_name(FOOTPRINTS)
            _footprints(windows).to_file(named, driver="GPKG", layer="windows", engine="pyogrio")
            named.replace(path)
    return Exported(len(windows), rasters)


def _open(dataset_path: Path) -> "Dataset":
    from rslearn.dataset import Dataset
    from upath import UPath

    try:
        return Dataset(UPath(dataset_path))
    except FileNotFoundError as error:
        raise MissingDataError(f"no dataset in {dataset_path}: run burnscar refresh") from error
    except ValueError as error:
        raise InputError(f"{dataset_path / 'config.json'} is no valid dataset configuration: {error}") from error


def _export(dataset: "Dataset", window: "Window", folder: Path) -> int:
    """Write one window's folder; returns the number of files."""
    written = 0
    with atomic_folder(folder) as new:
        for layer, group_idx in sorted(window.list_completed_layers()):
            band_sets = dataset.layers[layer].band_sets if layer in dataset.layers else []
            for number, band_set in enumerate(band_sets, 1):
                name = layer + (f".{group_idx}" if group_idx else "") + (f"_{number}" if len(band_sets) > 1 else "")
                _write(window, layer, band_set, group_idx, new / f"{name}.tif")
                written += 1
    return written


def _write(window: "Window", layer: str, band_set: "BandSetConfig", group_idx: int, path: Path) -> None:
    import rasterio
    from rasterio.errors import RasterioIOError
    from rslearn.utils.raster_format import get_transform_from_projection_and_bounds

    projection, bounds = band_set.get_final_projection_and_bounds(window.projection, window.bounds)
    raster_format = band_set.instantiate_raster_format()
    try:
        raster = window.data.read_raster(layer, band_set.bands, raster_format, projection, bounds, group_idx)
    except (RasterioIOError, FileNotFoundError) as error:
        raise MissingDataError(
            f"no readable tile of {layer} for window {window.name}: run burnscar refresh --years {window.group}"
        ) from error
    bands, steps, height, width = raster.array.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "compress": "deflate",
        "predictor": 3 if raster.array.dtype.kind == "f" else 2,
        "width": width,
        "height": height,
        "count": bands * steps,
        "dtype": raster.array.dtype.name,
        "crs": projection.crs,
        "transform": get_transform_from_projection_and_bounds(projection, bounds),
        "nodata": raster.metadata.nodata_value,
        "photometric": "minisblack",
    }
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(raster.array.reshape(bands * steps, height, width))
        sink.descriptions = _descriptions(band_set.bands, raster)


def _descriptions(bands: Sequence[str], raster: "RasterArray") -> tuple[str, ...]:
    """Band names; with the day where there are several time steps."""
    steps = raster.array.shape[1]
    if steps == 1:
        return tuple(bands)
    days = [start.date() for start, _ in raster.timestamps] if raster.timestamps else range(steps)
    return tuple(f"{band} {day}" for band in bands for day in days)


def _footprints(windows: Sequence["Window"]) -> gpd.GeoDataFrame:
    """Footprint of each window in degrees, with its tags as columns."""
    parts = []
    for projection in dict.fromkeys(window.projection for window in windows):
        mine = [window for window in windows if window.projection == projection]
        x, y = projection.x_resolution, projection.y_resolution
        boxes = [shapely.box(w.bounds[0] * x, w.bounds[1] * y, w.bounds[2] * x, w.bounds[3] * y) for w in mine]
        rows = [
            {"window_id": w.name, "fire_year": w.group}
            | dict(zip(("start_time", "end_time"), (t.isoformat() for t in w.time_range or ()), strict=False))
            | {str(tag): str(value) for tag, value in w.options.items()}
            for w in mine
        ]
        parts.append(gpd.GeoDataFrame(rows, geometry=boxes, crs=projection.crs.to_wkt()).to_crs(_FOOTPRINT_CRS))
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True))
