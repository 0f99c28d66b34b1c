"""A small seeded world after `tiles`: an rslearn dataset and its windows and tiles tables.

Burnt windows have lower NIR and higher SWIR than unburnt ones, with noise and overlap, so that a model
learns in a few epochs and a threshold stays below perfection. Each split of a year has fires of its own.
"""

import json
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import box

from burnscar_assets.classes import CLASS_NAMES, LABEL_PROPERTY, UNLABELLED
from burnscar_assets.dataset.windows import DATA_STORAGE, WINDOW_STORAGE
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, FIRE_SCENES, TILES, WINDOWS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, write_table

LAYER = "sentinel2_l2a"
SIZE_PX = 32
RESOLUTION_M = 10.0
UNLABELLED_COLUMNS = 4
"""Columns on the left of each window that its label raster says nothing of."""

UTM_EPSG = 32610

SPLITS = {"margin_m": 75, "block_km": 500, "train": 0.9998, "val": 0.0001}
"""Settings of splits: windows lie 80 m apart, and no fire is judged whole, since all ground is for training."""

FIRES_PER_SPLIT = {"train": 4, "val": 2, "test": 3}
SPLIT_SHARE = {"train": 0.6, "val": 0.2, "test": 0.2}

_UNBURNT_DN = {
    "B02": 450,
    "B03": 700,
    "B04": 750,
    "B08": 2600,
    "B05": 1200,
    "B06": 2000,
    "B07": 2300,
    "B8A": 2700,
    "B11": 2200,
    "B12": 1400,
    "B01": 400,
    "B09": 2700,
}
_BURNT_CHANGE_DN = {
    "B08": -1000,
    "B06": -600,
    "B07": -800,
    "B8A": -1000,
    "B09": -800,
    "B11": 300,
    "B12": 900,
    "B04": 100,
}

DATASET_CONFIG = {
    "layers": {
        LAYER: {"type": "raster", "band_sets": [{"dtype": "uint16", "bands": list(BANDS)}]},
        "label": {"type": "vector"},
        "label_raster": {
            "type": "raster",
            "band_sets": [{"dtype": "uint8", "bands": ["label"], "nodata_value": UNLABELLED}],
        },
    }
}
PACKED_STORAGE = {"storage": WINDOW_STORAGE, "window_data_storage": DATA_STORAGE}


def make_tiny_dataset(
    root: DataRoot,
    *,
    years: tuple[int, ...],
    windows_per_year: int,
    seed: int = 0,
    incomplete_per_year: int = 0,
    packed: bool = False,
) -> None:
    """Make the dataset, its windows and its tiles.

    Args:
        root: data root that is filled: `dataset/`, `tables/windows`, `tables/tiles`.
        years: fire years, one group each.
        windows_per_year: windows with complete tiles, both classes alternating in every fire.
        seed: seed of the pixels.
        incomplete_per_year: further training windows whose tile is not complete and has no pixels.
        packed: whether windows are packed files; else they are folders.
    """
    from upath import UPath

    root.dataset.mkdir(parents=True, exist_ok=True)
    storage = {key: {"class_path": path} for key, path in PACKED_STORAGE.items()} if packed else {}
    (root.dataset / "config.json").write_text(json.dumps(DATASET_CONFIG | storage))
    from rslearn.dataset import Dataset

    dataset = Dataset(UPath(root.dataset))
    for year in years:
        rows = _window_rows(year, windows_per_year, incomplete_per_year)
        tiles = [_build(dataset, row, np.random.default_rng([seed, year, n])) for n, row in enumerate(rows)]
        write_table(root, WINDOWS, gpd.GeoDataFrame(_table_rows(rows), geometry="geometry", crs=table_crs()), year)
        write_table(root, TILES, pd.DataFrame(tiles), year)
        _write_perimeters(root, year)


def _write_perimeters(root: DataRoot, year: int) -> None:
    """Perimeters about the windows of each fire, and no fire scene."""
    write_table(root, FIRE_SCENES, FIRE_SCENES.empty(), year)
    hulls = read_table(root, WINDOWS, year).dissolve("fire_id").convex_hull
    fires = gpd.GeoDataFrame({"fire_id": hulls.index}, geometry=hulls.to_numpy(), crs=hulls.crs)
    day = datetime(year, 8, 14, tzinfo=UTC)
    known = {"fire_year": year, "area_ha": fires.area / 1e4, "simulated": True, "flags": [[]] * len(fires)}
    known |= {"alarm_date": day, "containment_date": day}
    absent = {column: None for column in FIRE_PERIMETERS.column_names if column not in {*fires.columns, *known}}
    write_table(root, FIRE_PERIMETERS, fires.assign(**known, **absent), year)


def _window_rows(year: int, windows: int, incomplete: int) -> list[dict]:
    splits = [name for name, share in SPLIT_SHARE.items() for _ in range(round(windows * share))]
    splits = (splits + ["train"] * windows)[:windows] + ["train"] * incomplete
    start = datetime(year, 8, 15, tzinfo=UTC)
    rows = []
    for n, split in enumerate(splits):
        category = CLASS_NAMES[n % 2]
        fire = next(islice(cycle(range(FIRES_PER_SPLIT[split])), n // 2, None))
        min_col, min_row = 60_000 + 40 * n, -440_000 + 1000 * (year % 100)
        rows.append(
            {
                "window_id": hash_json([year, n])[:16],
                "fire_year": year,
                "point_id": f"p{year}_{n}",
                "fire_id": f"{split}_{year}_{fire}",
                "cluster_id": f"{split}_{year}_{fire}",
                "stratum": "burnt" if category == "burnt" else "ring",
                "category": category,
                "split": split,
                "utm_epsg": UTM_EPSG,
                "min_col": min_col,
                "min_row": min_row,
                "size_px": SIZE_PX,
                "resolution_m": RESOLUTION_M,
                "start_time": start,
                "end_time": start + timedelta(days=30),
                "before_start": start - timedelta(days=70),
                "before_end": start - timedelta(days=10),
                "burnt_share": float(category == "burnt") * (1 - UNLABELLED_COLUMNS / SIZE_PX),
                "unlabelled_share": UNLABELLED_COLUMNS / SIZE_PX,
                "label_hash": category,
                "complete": n < windows,
            }
        )
    return rows


def _table_rows(rows: list[dict]) -> list[dict]:
    footprints = gpd.GeoSeries(
        [
            box(r["min_col"] * 10, -(r["min_row"] + SIZE_PX) * 10, (r["min_col"] + SIZE_PX) * 10, -r["min_row"] * 10)
            for r in rows
        ],
        crs=f"EPSG:{UTM_EPSG}",
    ).to_crs(table_crs())
    plain = [{k: v for k, v in r.items() if k != "complete"} for r in rows]
    return [{**row, "geometry": shape} for row, shape in zip(plain, footprints, strict=True)]


def tiny_image(category: str, rng: np.random.Generator) -> np.ndarray:
    """One uint16 image, (12, 32, 32) DN in the sensor's order."""
    severity = rng.uniform(0.15, 1.0) if category == "burnt" else rng.uniform(0, 0.25)
    change = {**dict.fromkeys(BANDS, 0), **_BURNT_CHANGE_DN}
    spectrum = np.array([_UNBURNT_DN[b] + severity * change[b] for b in BANDS])
    brightness = rng.normal(1, 0.12)
    patches = np.kron(rng.normal(1, 0.08, (SIZE_PX // 4, SIZE_PX // 4)), np.ones((4, 4)))
    pixels = spectrum[:, None, None] * brightness * patches + rng.normal(0, 60, (len(BANDS), SIZE_PX, SIZE_PX))
    return pixels.clip(1, 10_000).astype(np.uint16)


def tiny_label(category: str) -> np.ndarray:
    """A window's label raster, (32, 32) uint8: one class throughout, but for some columns without a label."""
    label = np.full((SIZE_PX, SIZE_PX), CLASS_NAMES.index(category), np.uint8)
    label[:, :UNLABELLED_COLUMNS] = UNLABELLED
    return label


def _build(dataset: object, row: dict, rng: np.random.Generator) -> dict:
    from rasterio.crs import CRS
    from rslearn.dataset import Window
    from rslearn.utils.feature import Feature
    from rslearn.utils.geometry import Projection, STGeometry
    from rslearn.utils.raster_array import RasterArray, RasterMetadata
    from rslearn.utils.raster_format import GeotiffRasterFormat
    from rslearn.utils.vector_format import GeojsonVectorFormat

    projection = Projection(CRS.from_epsg(UTM_EPSG), RESOLUTION_M, -RESOLUTION_M)
    bounds = (row["min_col"], row["min_row"], row["min_col"] + SIZE_PX, row["min_row"] + SIZE_PX)
    window = Window(
        storage=dataset.storage,
        group=str(row["fire_year"]),
        name=row["window_id"],
        projection=projection,
        bounds=bounds,
        time_range=(row["start_time"], row["end_time"]),
        options={"split": row["split"], "fire_id": row["fire_id"], LABEL_PROPERTY: row["category"]},
        data_factory=dataset.window_data_storage_factory,
    )
    window.save()
    label = Feature(STGeometry(projection, box(*bounds), None), {LABEL_PROPERTY: row["category"]})
    with window.data.open_layer_writer("label") as writer:
        writer.write_vector(GeojsonVectorFormat(), [label])
    window.mark_layer_completed("label")
    with window.data.open_layer_writer("label_raster") as writer:
        drawn = RasterArray(chw_array=tiny_label(row["category"])[None], metadata=RasterMetadata(UNLABELLED))
        writer.write_raster(["label"], GeotiffRasterFormat(), projection, bounds, drawn)
    window.mark_layer_completed("label_raster")
    acquired = row["start_time"] + timedelta(days=int(rng.integers(0, 30)))
    image = tiny_image(row["category"], rng)
    if row["complete"]:
        with window.data.open_layer_writer(LAYER) as writer:
            raster = RasterArray(chw_array=image, time_range=(acquired, acquired))
            writer.write_raster(list(BANDS), GeotiffRasterFormat(), projection, bounds, raster)
        window.mark_layer_completed(LAYER)
    return {
        "window_id": row["window_id"],
        "fire_year": row["fire_year"],
        "layer": LAYER,
        "complete": row["complete"],
        "reason": None if row["complete"] else "no_scene",
        "item_ids": [f"S2_{row['fire_year']}"] if row["complete"] else [],
        "acquired": acquired if row["complete"] else None,
        "processing_baseline": "",
        "clear_fraction": None,
        "unclear": "",
        "passed_over": [],
        "nodata_fraction": 0.0 if row["complete"] else None,
        "content_hash": hash_json(image.tolist()) if row["complete"] else None,
    }
