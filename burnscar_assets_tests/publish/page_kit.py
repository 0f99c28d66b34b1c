"""Folders of made-up maps as the mapper writes them: smooth burns with islands, clouds and a perimeter that differs."""

import hashlib
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.features import rasterize, shapes
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter
from shapely import Point, Polygon
from shapely.affinity import scale, translate
from shapely.geometry import shape
from shapely.ops import unary_union

from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.severity import classify, severity_ha
from burnscar_assets.publish.stac import map_item
from burnscar_assets.sensors.load import default_sensor

PIXEL_M = 10.0
CRS = "EPSG:32610"
CORNER = (500_000.0, 4_400_000.0)
NODATA = {"probability": -1, "after": 0, "before": 0, "dnbr": -9999}


def make_map(
    folder: Path, *, name: str = "Bear Creek", seed: int = 0, size: tuple[int, int] = (160, 220), before: bool = True,
    perimeter: bool = True, crs: str = CRS, **changes: Any,
) -> Path:  # fmt: skip
    """Write a map's folder: rasters, vectors and `map.json`.

    Args:
        folder: the folder to make; its name is the fire's id.
        name: the fire's name.
        seed: seed of everything that is drawn.
        size: rows and columns.
        before: whether there is an image from before the fire, and so severity.
        perimeter: whether there is an official perimeter.
        crs: of grid and vectors.
        changes: what the record says otherwise.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    rows, columns = size
    transform = from_origin(*CORNER, PIXEL_M, PIXEL_M)
    official = _perimeter(random, size)
    truth = rasterize([official], size, transform=transform).astype(bool)
    noise = _noise(random, size, 6) * 0.7
    inside = gaussian_filter(truth.astype(float), 2.5)
    probability = np.clip(1 / (1 + np.exp(-9 * (inside - 0.5 + 0.35 * noise))), 0, 1).astype("float32")
    validity = np.where(_noise(random, size, 9) > 1.9, 1, 0).astype("uint8")
    validity[:, : columns // 30] = 2
    probability[validity > 0] = -1
    burned = np.where(validity > 0, 255, probability >= 0.5).astype("uint8")
    rasters: dict[str, npt.NDArray[Any]] = {
        "probability": probability,
        "burned": burned,
        "acquired": np.full(size, 18_900, dtype="uint16"),
        "validity": validity,
        "after": _image(random, size, inside, validity),
    }
    if before:
        rasters["before"] = _image(np.random.default_rng(seed), size, inside * 0, validity * 0)
        rasters["dnbr"] = (probability * 0.8).astype("float32")
        rasters["severity"] = classify(np.where(validity > 0, np.nan, probability * 0.8))
    for label, pixels in rasters.items():
        write_raster(folder / f"{label}.tif", pixels, transform, crs, NODATA.get(label))
    found = [shape(part) for part, value in shapes(burned, burned == 1, transform=transform) if value == 1]
    polygons = gpd.GeoDataFrame(geometry=[part for part in found if part.area > 5_000], crs=crs)
    polygons["area_ha"] = polygons.area / 1e4
    polygons.to_file(folder / "burned_area.gpkg", layer="burned", driver="GPKG")
    if perimeter:
        gpd.GeoDataFrame({"name": [name]}, geometry=[official], crs=crs).to_file(
            folder / "burned_area.gpkg", layer="perimeter", driver="GPKG"
        )
    polygons.to_parquet(folder / "burned_area.parquet")
    polygons.to_crs("EPSG:4326").to_file(folder / "burned_area.geojson", driver="GeoJSON")
    record = _record(
        folder,
        name,
        crs,
        transform,
        size,
        polygons,
        truth,
        burned,
        perimeter=perimeter,
        severity=severity_ha(rasters["severity"], PIXEL_M**2 / 1e4) if before else None,
    )
    left, top = round(CORNER[0] / PIXEL_M), -round(CORNER[1] / PIXEL_M)
    frame = Frame(int(crs.rpartition(":")[2]), PIXEL_M, Box(left, top, left + columns, top + rows))
    record |= changes
    (folder / "item.json").write_text(json.dumps(map_item(record, frame, folder, folder), indent=2))
    record["files"]["item.json"] = hashlib.sha256((folder / "item.json").read_bytes()).hexdigest()
    (folder / "map.json").write_text(json.dumps(record, indent=2))
    return folder


def write_raster(path: Path, pixels: npt.NDArray[Any], transform: Any, crs: str, nodata: float | None) -> None:
    """Write one band, or several along the first axis, as a COG."""
    bands = pixels if pixels.ndim == 3 else pixels[None]
    overviews = "MODE" if bands.dtype == np.uint8 else "AVERAGE"
    profile = {
        "driver": "COG",
        "count": len(bands),
        "height": bands.shape[1],
        "width": bands.shape[2],
        "blocksize": 256,
        "overview_resampling": overviews,
    }
    with rasterio.open(
        path, "w", **profile, dtype=bands.dtype, crs=crs, transform=transform, nodata=nodata, compress="DEFLATE"
    ) as target:
        target.write(bands)


def _perimeter(random: np.random.Generator, size: tuple[int, int]) -> Polygon:
    """A lobed shape in the middle of the grid, with an island."""
    rows, columns = size
    centre = Point(CORNER[0] + columns * PIXEL_M / 2, CORNER[1] - rows * PIXEL_M / 2)
    reach = min(size) * PIXEL_M
    lobes = [
        translate(
            scale(centre.buffer(reach * random.uniform(0.14, 0.24)), xfact=1.6),
            *(random.normal(0, reach * 0.14, size=2) * (1.5, 0.8)),
        )
        for _ in range(7)
    ]
    whole = unary_union([centre.buffer(reach * 0.2), *lobes])
    largest = max(getattr(whole, "geoms", [whole]), key=lambda part: part.area)
    return largest.difference(translate(centre, reach * 0.1, 0).buffer(reach * 0.07))


def _noise(random: np.random.Generator, size: tuple[int, int], sigma: float) -> npt.NDArray[np.float64]:
    field = gaussian_filter(random.normal(size=size), sigma)
    return field / field.std()


def _image(
    random: np.random.Generator, size: tuple[int, int], burn: npt.NDArray[Any], validity: npt.NDArray[Any]
) -> npt.NDArray[np.uint16]:
    """B12, B08, B04 of green land with a burn in it, clouds over it, and nothing where the swath ends."""
    texture = 0.7 * _noise(random, size, 3) + 0.5 * _noise(random, size, 12)
    land = np.stack([1300 + 220 * texture, 2900 - 380 * texture, 650 + 130 * texture])
    scar = np.stack([2500 + 250 * texture, 1150 + 150 * texture, 800 + 90 * texture])
    pixels = land * (1 - burn) + scar * burn
    pixels = np.where(validity == 1, 5200, pixels)
    pixels = np.where(validity == 2, 0, np.clip(pixels, 1, 9000))
    return pixels.astype("uint16")


def _record(
    folder: Path, name: str, crs: str, transform: Any, size: tuple[int, int], polygons: gpd.GeoDataFrame,
    truth: npt.NDArray[Any], burned: npt.NDArray[Any], *, perimeter: bool, severity: dict[str, float] | None,
) -> dict[str, Any]:  # fmt: skip
    mapped = float(polygons.area_ha.sum())
    seen = burned != 255
    both, either = ((burned == 1) & truth & seen).sum(), (((burned == 1) | truth) & seen).sum()
    agreement = {
        "iou": both / either,
        "omission": float((truth & (burned == 0)).sum() / (truth & seen).sum()),
        "commission": float((~truth & (burned == 1)).sum() / (burned == 1).sum()),
        "boundary_distance_m_median": 14.1, "boundary_distance_m_p95": 62.0,
        "islands_ha": 3.4, "islands_found_ha": 2.9,
    }  # fmt: skip
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {
        "fire_id": folder.name, "fire_name": name, "fire_year": 2021, "aoi_name": None,
        "start": "2021-08-14", "end": "2021-09-13", "source": "release 24.1", "simulated": True,
        "perimeter_producer": None,
        "imagery": default_sensor().told(),
        "crs": crs, "transform": list(transform)[:6], "shape": list(size), "resolution_m": PIXEL_M,
        "setup": "spectral-32", "checkpoint": {"fire_year": 2021, "weights_sha256": "ab12" * 16},
        "data_versions": {"checkpoint": "c0ffee" * 6},
        "scenes": [{"item": "S2B_10SFH_20210822_SIM", "acquired": "2021-08-22T18:49:00Z", "baseline": "03.01"}],
        "threshold": 0.5, "clear_fraction": 0.94, "valid_fraction": 0.93,
        "area_ha": {"mapped": mapped, "estimate": mapped * 1.03, "low": mapped * 0.95, "high": mapped * 1.11,
                    "confidence": 0.95},
        "calibration": {"slope": 0.8, "intercept": -1.5, "fixed_on": "validation frames"},
        "agreement": agreement if perimeter else None,
        "reliability": _reliability(truth, seen) if perimeter else None,
        "severity_ha": severity,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }  # fmt: skip


def _reliability(truth: npt.NDArray[Any], seen: npt.NDArray[Any]) -> dict[str, Any]:
    burnt = float(truth[seen].mean())
    one = {"mean_probability": 0.85, "burnt_share": burnt, "share": 1.0}
    found = {name: [one | {"bin": bin}] for name, bin in (("before", "0.9–1.0"), ("after", "0.8–0.9"))}
    return found | {"error_before": abs(0.95 - burnt), "error_after": abs(0.85 - burnt)}
