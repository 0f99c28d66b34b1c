"""Real Sentinel-2 with and without its offset, through tiles of an archive that says right or wrong things of it."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.warp
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.windows import Window as RasterWindow

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.config import open_dataset, write_dataset_config
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.scene_radiometry import radiometry_table
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import InputError
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.reader.test_radiometry import CHIP_BANDS, UNPROVED, WITH, WITHOUT

pytestmark = pytest.mark.real_data

LAYER, SIDE = "sentinel2_l2a", 32


def item_of(name: str, source: rasterio.DatasetReader, files: dict[str, Path], **said: Any) -> dict[str, Any]:
    outline = rasterio.warp.transform_geom(
        source.crs, "EPSG:4326", shapely.geometry.mapping(shapely.box(*source.bounds))
    )
    properties = {"datetime": "2022-08-12T10:00:00Z", "eo:cloud_cover": 1.0, **said}
    assets = {band: {"href": str(path)} for band, path in files.items()}
    return {"id": name, "geometry": outline, "properties": properties, "assets": assets}


def tile_of(
    root: DataRoot, item: dict[str, Any], bands: list[str], crs: CRS, size_m: float, corner: tuple[float, float]
) -> tuple[np.ndarray, dict[str, Any]]:
    """The tile of a window of the file's own pixels, and what was found out of its scene."""
    from rslearn.dataset import Window
    from rslearn.utils.geometry import Projection

    write_index([item], root.path / "index.parquet")
    config = json.loads((CONFIGS_DIR / "dataset.json").read_text())
    config["layers"][LAYER]["band_sets"][0]["bands"] = bands
    (root.path / "real.json").write_text(json.dumps(config))
    settings = ImagerySettings(dataset_config=str(root.path / "real.json"), archive="index.parquet")
    write_dataset_config(settings, root)
    left, top = round(corner[0] / size_m), round(-corner[1] / size_m)
    times = (datetime(2022, 8, 1, tzinfo=UTC), datetime(2022, 8, 31, tzinfo=UTC))
    place = Projection(crs, size_m, -size_m), (left, top, left + SIDE, top + SIDE)
    Window(open_dataset(root.dataset).storage, "2022", "w", *place, times).save()
    windows = pd.DataFrame({"window_id": ["w"], "fire_year": [2022]})
    matches, _ = match_scenes(windows, root.dataset, settings)
    table, _ = materialize_tiles(windows, matches, root.dataset, settings)
    (found,) = radiometry_table(root.dataset, table).to_dict("records")
    return read_tile(root.dataset, "2022", "w", LAYER, bands), found


def chip_tile(root: DataRoot, folder: Path, chip: str, **said: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """A tile of a chip whose bands are files of an archive, the same pixels of the chip, and what was found out."""
    root.path.mkdir(parents=True, exist_ok=True)
    with rasterio.open(folder / f"patch_{chip}.tif") as source:
        pixels, profile = source.read(), source.profile
        west, north = (round(edge, -1) for edge in (source.transform.c, source.transform.f))
        profile |= {"driver": "GTiff", "count": 1, "nodata": 0, "transform": from_origin(west, north, 10, 10)}
        files = {}
        for band, plane in zip(CHIP_BANDS, pixels, strict=True):
            files[band] = root.path / f"{band}.tif"
            with rasterio.open(files[band], "w", **profile) as sink:
                sink.write(plane, 1)
        item = item_of(chip, source, files, **said)
        tile, found = tile_of(root, item, list(BANDS), source.crs, 10, (west + 1000, north - 600))
    native = pixels[[CHIP_BANDS.index(band) for band in BANDS], 60 : 60 + SIDE, 100 : 100 + SIDE]
    return tile, native, found


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize(("chip", "offset"), [*((c, 0) for c in WITHOUT), *((c, 1000) for c in WITH)])
def test_chips_lose_the_offset_that_they_have_whatever_is_said(
    root: DataRoot, real_data: Path, chip: str, offset: int, applied: bool
) -> None:
    said = {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": applied}
    tile, native, found = chip_tile(root, real_data / "imagery" / "s2_12band", chip, **said)
    expected = np.where(native > 0, np.clip(native.astype(int) - offset, 1, None), 0)
    np.testing.assert_array_equal(tile, expected)
    assert (found["usable"], found["offset_dn"], found["decided_by"]) == (True, offset, "pixels")
    assert len(found["evidence_against"]) == ((offset == 0) != applied)


@pytest.mark.parametrize("chip", UNPROVED)
def test_bright_chips_are_what_is_said_of_them_or_in_doubt(root: DataRoot, real_data: Path, chip: str) -> None:
    folder = real_data / "imagery" / "s2_12band"
    tile, native, found = chip_tile(root, folder, chip, **{"s2:processing_baseline": "04.00"})
    np.testing.assert_array_equal(tile, np.clip(native.astype(int) - 1000, 1, None))
    assert (found["offset_dn"], found["decided_by"]) == (1000, "statements")
    assert "pixels prove nothing" in found["evidence_against"][-1]
    other = DataRoot(root.path / "other")
    other.path.mkdir()
    for band in CHIP_BANDS:
        with rasterio.open(root.path / f"{band}.tif", "r+") as sink:
            sink.scales, sink.offsets = (1e-4,), (-0.1,)
    with rasterio.open(folder / f"patch_{chip}.tif") as source:
        files = {band: Path(shutil.copy(root.path / f"{band}.tif", other.path)) for band in CHIP_BANDS}
        item = item_of(chip, source, files, **{"earthsearch:boa_offset_applied": True})
        with pytest.raises(InputError, match="is in doubt"):
            tile_of(other, item, list(BANDS), source.crs, 10, source.transform @ (100, 60))


def test_the_original_product_loses_its_offset_once(root: DataRoot, real_data: Path) -> None:
    (safe,) = (real_data / "imagery" / "safe_l2a").glob("*.SAFE")
    bands = ["B02", "B8A", "B12"]
    originals = {band: next(safe.glob(f"GRANULE/*/IMG_DATA/R60m/*_{band}_60m.jp2")) for band in bands}
    root.path.mkdir(parents=True, exist_ok=True)
    files = {band: Path(shutil.copy(path, root.path)) for band, path in originals.items()}
    place = RasterWindow(600, 900, SIDE, SIDE)
    with rasterio.open(files["B02"]) as source:
        item = item_of("S2A_T29UNU", source, files, **{"s2:processing_baseline": "04.00"})
        corner = source.transform @ (place.col_off, place.row_off)
        tile, found = tile_of(root, item, bands, source.crs, 60, corner)
    assert (found["offset_dn"], found["decided_by"]) == (1000, "pixels")
    for number, band in enumerate(bands):
        with rasterio.open(files[band]) as source:
            native = source.read(1, window=place).astype(int)
        np.testing.assert_array_equal(tile[number], np.where(native > 0, np.clip(native - 1000, 1, None), 0))
