"""Real Sentinel-2: what shared/data/PROVENANCE.md says of it holds through our own functions."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.warp
import shapely
from rasterio.windows import Window as RasterWindow
from sklearn.metrics import jaccard_score, roc_auc_score

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.config import open_dataset, write_dataset_config
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.sensors.indices import dnbr, nbr
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot

pytestmark = pytest.mark.real_data

SWIR_BANDS = ("B8A", "B11", "B12")


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read()


def test_nbr_tells_the_official_perimeter_of_a_real_fire(real_data: Path) -> None:
    folder = real_data / "imagery" / "bc_c50929"
    bands = read(folder / "C50929_post_B12_B11_B09_20m.tif")
    burnt = read(folder / "C50929_bcws_perimeter_mask.tif")[0].ravel() > 0
    harmonized = np.clip(bands.astype("int32") - BASELINE_OFFSET_DN, 0, None)
    index = nbr(harmonized[2], harmonized[0]).ravel()
    known = np.isfinite(index)
    assert burnt.mean() == pytest.approx(0.449, abs=0.001)
    assert known.mean() > 0.99
    assert roc_auc_score(burnt[known], -index[known]) == pytest.approx(0.95, abs=0.01)
    best = max(jaccard_score(burnt[known], index[known] < threshold) for threshold in np.arange(-0.2, 0.5, 0.05))
    assert best == pytest.approx(0.79, abs=0.02)


def test_the_offset_matters_for_an_absolute_threshold(real_data: Path) -> None:
    bands = read(real_data / "imagery" / "bc_c50929" / "C50929_post_B12_B11_B09_20m.tif").astype("int32")
    raw = np.nanmedian(nbr(bands[2], bands[0]))
    harmonized = np.nanmedian(nbr(bands[2] - BASELINE_OFFSET_DN, bands[0] - BASELINE_OFFSET_DN))
    assert abs(raw) < abs(harmonized)


def test_dnbr_of_a_real_fire_in_california(real_data: Path) -> None:
    folder = real_data / "imagery" / "ca_madre"
    before, after = (read(folder / f"{when}_fire_composite.tif") for when in ("Before", "After"))
    inside = (before > 0).all(axis=0) & (after > 0).all(axis=0)
    change = dnbr(nbr(before[1], before[0]), nbr(after[1], after[0]))[inside]
    assert np.median(change) == pytest.approx(0.20, abs=0.01)
    assert (change > 0.1).mean() > 0.6


def test_alpine_meadow_is_not_burnt(real_data: Path) -> None:
    bands = read(real_data / "imagery" / "alps_l2a" / "S2A2A_20190723_022_Barbellino_BOA_10.tif")
    index = nbr(bands[7], bands[10])
    assert np.isfinite(index).all()
    assert 0.2 < np.median(index) < 0.7


def make_jp2_archive(folder: Path, root: DataRoot) -> ImagerySettings:
    """An archive of the original JP2 files, and a dataset of their three bands."""
    with rasterio.open(folder / "s2_B12.jp2") as source:
        outline = rasterio.warp.transform_geom(
            source.crs, "EPSG:4326", shapely.geometry.mapping(shapely.box(*source.bounds))
        )
    item = {
        "id": "S2A_18SVG_20160112",
        "geometry": outline,
        "properties": {
            "datetime": "2016-01-12T16:00:00Z",
            "eo:cloud_cover": 0.1,
            "s2:processing_baseline": "02.01",
        },
        "assets": {band: {"href": str(folder / f"s2_{band}.jp2")} for band in SWIR_BANDS},
    }
    write_index([item], root.path / "index.parquet")
    config = json.loads((CONFIGS_DIR / "dataset.json").read_text())
    config["layers"]["sentinel2_l2a"]["band_sets"][0]["bands"] = list(SWIR_BANDS)
    (root.path / "jp2.json").write_text(json.dumps(config))
    settings = ImagerySettings(
        dataset_config=str(root.path / "jp2.json"), archive="index.parquet", allowed_hosts=(str(folder),)
    )
    write_dataset_config(settings, root)
    return settings


def test_original_jp2_files_make_tiles(real_data: Path, root: DataRoot) -> None:
    from rslearn.dataset import Window
    from rslearn.utils.geometry import Projection

    folder = real_data / "imagery" / "l1c_jp2"
    settings = make_jp2_archive(folder, root)
    with rasterio.open(folder / "s2_B12.jp2") as source:
        native = source.read(1, window=RasterWindow(400, 300, 16, 16))
        left, upper = round((source.bounds.left + 400 * 20) / 10), -round((source.bounds.top - 300 * 20) / 10)
        projection = Projection(source.crs, 10, -10)
    times = (datetime(2016, 1, 1, tzinfo=UTC), datetime(2016, 1, 31, tzinfo=UTC))
    storage = open_dataset(root.dataset).storage
    Window(storage, "2016", "w", projection, (left, upper, left + 32, upper + 32), times).save()
    windows = pd.DataFrame({"window_id": ["w"], "fire_year": [2016]})
    matches, _ = match_scenes(windows, root.dataset, settings)
    _, summary = materialize_tiles(windows, matches, root.dataset, settings)
    assert summary.complete == 1
    tile = read_tile(root.dataset, "2016", "w", "sentinel2_l2a", SWIR_BANDS)
    assert tile.shape == (3, 32, 32)
    assert tile.min() > 0
    assert tile.max() < 10_000
    coarse = tile[2].astype(float).reshape(16, 2, 16, 2).mean(axis=(1, 3))
    assert np.corrcoef(coarse.ravel(), native.ravel())[0, 1] > 0.95
    assert coarse.mean() == pytest.approx(native.mean(), rel=0.03)
