"""Images before fires that are made of their dNBR: NBR is as it was, and a study of change takes them."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from kit.real_fires import BANDS, image_before, write_images_before

from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.errors import InputError
from burnscar_assets.sensors.indices import nbr
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.study.prepare import StudyOptions, prepare_study
from burnscar_assets_tests.study.own_chips import CHIPS, write_chips

LARGER_BY = 3


@pytest.fixture
def fires(tmp_path: Path) -> Path:
    """Three fires, two of which have a dNBR; that of the second reaches farther than the image after."""
    folder = tmp_path / "fires"
    path = write_chips(folder, CHIPS[:3])
    table = gpd.read_file(path)
    table = table.assign(chip=[f"{name}_{year}" for name, year in zip(table["FIRE_NAME"], table["YEAR_"], strict=True)])
    path.write_text(json.dumps(table.__geo_interface__, default=str))
    for place, margin in ((folder / "ALDER_2023", 0), (folder / "CEDAR_2024", LARGER_BY)):
        write_dnbr(place, margin)
    return folder


def read_nbr(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return nbr(*source.read([source.descriptions.index(band) + 1 for band in BANDS]))


def write_dnbr(place: Path, margin: int) -> None:
    """Its first row is without data."""
    change = read_nbr(place / "pre.tif") - read_nbr(place / "post.tif")
    change[0] = np.nan
    with rasterio.open(place / "post.tif") as source:
        transform = source.transform * rasterio.Affine.translation(-margin, -margin)
        profile = source.profile | {"count": 1, "dtype": "float32", "nodata": np.nan, "transform": transform}
    grown = np.pad(change, margin, constant_values=9.0)
    profile |= {"height": grown.shape[0], "width": grown.shape[1]}
    with rasterio.open(place / "dnbr.tif", "w", **profile) as target:
        target.write(grown, 1)


def test_nbr_before_is_that_of_after_and_dnbr_on_whatever_grid(
    fires: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    written = {one.fire: one for one in write_images_before(fires, out)}
    assert {name: one.same_grid for name, one in written.items()} == {"ALDER_2023": True, "CEDAR_2024": False}
    for name, one in written.items():
        meant, made = read_nbr(fires / name / "pre.tif"), read_nbr(out / name / "pre.tif")
        assert np.isnan(made[0]).all() and one.clipped == 0
        assert np.abs(made - meant)[1:].max() == pytest.approx(one.error, abs=1e-6) and one.error < 1e-3
        with rasterio.open(out / name / "pre.tif") as before:
            assert before.descriptions == BANDS and "only the NBR" in before.tags()["NOTE"]
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "root"))
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    options = StudyOptions(out, out / "perimeters.geojson", bands=BANDS, change=True)
    prepared = prepare_study(options, DataRoot(tmp_path / "root"))
    assert "4 images have the bands B08, B12" in prepared.told[0]
    assert not any("have no image" in line or "none before" in line for line in prepared.left_out)


def test_bands_have_the_sum_of_after_and_the_impossible_is_clipped() -> None:
    after = np.array([[[3000, 3000, 0, 3000]], [[1000, 1000, 1000, 1000]]], np.uint16)
    before, clipped = image_before(after, np.array([[0.1, 0.9, 0.1, np.nan]], np.float32))
    assert before[:, 0].T.tolist() == [[3200, 800], [3999, 1], [0, 0], [0, 0]]
    assert clipped.tolist() == [[False, True, False, False]]


def test_a_folder_without_dnbr_is_refused(fires: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no fire with post"):
        write_images_before(fires / "ALDER_2023", tmp_path / "out")
