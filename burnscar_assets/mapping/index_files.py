"""A map by a burn index as files: rasters, polygons, a picture, and its figures, which are written last."""

from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray

from burnscar_assets.mapping.agreement import rank_disagreements
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.index_map import IndexMap
from burnscar_assets.mapping.index_plots import plot_index_map
from burnscar_assets.mapping.polygon_files import POLYGON_ENDINGS, POLYGONS_STEM, write_polygons
from burnscar_assets.mapping.severity import NO_SEVERITY
from burnscar_assets.storage.atomic import atomic_file, read_json, remove_file, storage_errors, write_json

FIGURES_FILE: Final = "figures.json"
PICTURE_FILE: Final = "map.png"
DISAGREEMENTS_FILE: Final = "disagreements.geojson"
INDEX_FILES: Final = ("nbr.tif", "dnbr.tif")
BURNED_FILE: Final = "burned.tif"
SEVERITY_FILE: Final = "severity.tif"
NO_INDEX: Final = -9999.0
REVIEWED: Final = 20
"""How many patches of disagreement are listed for a person's review."""

_DPI: Final = 110


def write_index_map(found: IndexMap, folder: Path, title: str) -> dict[str, Any]:
    """Write a map by an index to a folder; returns its figures, as in `figures.json`.

    Written are `nbr.tif` or `dnbr.tif`, `burned.tif`, `severity.tif` (with an image before the fire), the polygons as
    `burned_area.gpkg`, `.parquet` and `.geojson`, `disagreements.geojson` (with a perimeter), `map.png` and
    `figures.json`. Of an earlier map in the folder nothing stays, neither files that this one doesn't have nor what
    other programs keep beside them; what is not of a map stays.

    Raises:
        StorageError: the folder can't be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if "index" in read_json(folder / FIGURES_FILE):
        for name in map_files() - _files_of(found):
            remove_file(folder / name)
    index = np.where(np.isnan(found.index), NO_INDEX, found.index).astype(np.float32)
    _write_raster(folder / f"{found.index_name}.tif", index, found, NO_INDEX)
    _write_raster(folder / BURNED_FILE, found.burned, found, NO_ANSWER)
    if found.severity is not None:
        _write_raster(folder / SEVERITY_FILE, found.severity, found, NO_SEVERITY)
    perimeter = None if found.perimeter is None else gpd.GeoSeries([found.perimeter], crs=found.grid.crs)
    write_polygons(found.polygons, folder, perimeter=perimeter, simulated=found.simulated)
    if found.agreement is not None:
        ranked = rank_disagreements({title: found.agreement}, REVIEWED).assign(simulated=found.simulated)
        with atomic_file(folder / DISAGREEMENTS_FILE) as temporary:
            temporary.write_text(ranked.to_json(drop_id=True) + "\n", encoding="utf-8")
    with atomic_file(folder / PICTURE_FILE) as temporary:
        plot_index_map(found, title).savefig(temporary, format="png", dpi=_DPI)
    figures = index_figures(found, title)
    write_json(folder / FIGURES_FILE, figures)
    return figures


def map_files() -> set[str]:
    """Names of all files that maps by an index can have."""
    polygons = {f"{POLYGONS_STEM}.{ending}" for ending in POLYGON_ENDINGS}
    return {*INDEX_FILES, BURNED_FILE, SEVERITY_FILE, DISAGREEMENTS_FILE, PICTURE_FILE, FIGURES_FILE} | polygons


def _files_of(found: IndexMap) -> set[str]:
    lacking = {name for name in INDEX_FILES if name != f"{found.index_name}.tif"}
    lacking |= {SEVERITY_FILE} if found.severity is None else set()
    lacking |= {DISAGREEMENTS_FILE} if found.agreement is None else set()
    return map_files() - lacking


def index_figures(found: IndexMap, title: str) -> dict[str, Any]:
    """The figures of a map by an index; None where undefined."""
    seen = int((found.burned != NO_ANSWER).sum())
    return {
        "title": title,
        "simulated": found.simulated,
        "index": found.index_name,
        "threshold": {
            "value": found.threshold.value,
            "by": found.threshold.by,
            "separability": found.threshold.separability,
        },
        "crs": found.grid.crs.to_string(),
        "pixel_m": [found.grid.width_m, found.grid.height_m],
        "seen_ha": seen * found.grid.pixel_ha,
        "burned_ha": found.burned_ha,
        "patches": len(found.polygons),
        "unburned_islands": int(found.polygons["holes"].sum()),
        "agreement": None if found.agreement is None else found.agreement.figures(),
        "severity_ha": found.severity_ha,
        "severity_within": found.severity_within,
        "dnbr_offset": None if found.offset is None else found.offset.dnbr,
        "notes": list(found.notes),
    }


def _write_raster(path: Path, pixels: NDArray[np.generic], found: IndexMap, nodata: float) -> None:
    """One band as a cloud-optimized GeoTIFF, whole or not at all."""
    with (
        atomic_file(path) as temporary,
        rasterio.open(
            temporary,
            "w",
            driver="COG",
            height=pixels.shape[0],
            width=pixels.shape[1],
            count=1,
            dtype=pixels.dtype,
            crs=found.grid.crs.to_wkt(),
            transform=found.grid.transform,
            nodata=nodata,
            compress="DEFLATE",
            overview_resampling="nearest",
        ) as sink,
    ):
        sink.write(pixels, 1)
        if found.simulated:
            sink.update_tags(SIMULATED="yes")
