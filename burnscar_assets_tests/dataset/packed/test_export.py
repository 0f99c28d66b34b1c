"""GeoTIFFs for QGIS, from both layouts."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from burnscar_assets.cli import main
from burnscar_assets.dataset.packed.export import FOOTPRINTS, Exported, export_geotiffs
from burnscar_assets.dataset.windows import DATA_STORAGE, WINDOW_STORAGE
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.environment import DATA_VARIABLE
from burnscar_assets.errors import MissingDataError, StorageError
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests import tiny_dataset
from burnscar_assets_tests.tiny_dataset import DATASET_CONFIG, LAYER, make_tiny_dataset

PACKED = {"storage": {"class_path": WINDOW_STORAGE}, "window_data_storage": {"class_path": DATA_STORAGE}}


@pytest.fixture(params=["folders", "packed"])
def dataset(root: DataRoot, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small dataset of two years in either layout."""
    if request.param == "packed":
        monkeypatch.setattr(tiny_dataset, "DATASET_CONFIG", DATASET_CONFIG | PACKED)
    make_tiny_dataset(root, years=(2020, 2021), windows_per_year=6, incomplete_per_year=1)
    return root.dataset


def test_windows_are_written_as_they_are(dataset: Path, tmp_path: Path) -> None:
    from rslearn.dataset import Dataset
    from rslearn.utils.raster_format import GeotiffRasterFormat
    from upath import UPath

    out, told = tmp_path / "out", list[tuple[int, int]]()
    assert export_geotiffs(dataset, out, progress=lambda _, n, total: told.append((n, total))) == Exported(14, 14 + 12)
    assert told[-1] == (14, 14)
    windows = {window.name: window for window in Dataset(UPath(dataset)).load_windows()}
    tiles = sorted(out.rglob(f"{LAYER}.tif"))
    assert len(tiles) == 12
    for path in tiles:
        window = windows[path.parent.name]
        assert path.relative_to(out) == Path(window.group, window.name, f"{LAYER}.tif")
        with rasterio.open(path) as source:
            assert source.descriptions == BANDS
            assert source.crs.to_epsg() == tiny_dataset.UTM_EPSG
            assert (source.transform.c, source.transform.f) == (window.bounds[0] * 10, window.bounds[1] * -10)
            expected = window.data.read_raster(LAYER, list(BANDS), GeotiffRasterFormat()).get_chw_array()
            assert np.array_equal(source.read(), expected)
    footprints = gpd.read_file(out / FOOTPRINTS).set_index("window_id")
    assert set(footprints.index) == set(windows)
    assert all(footprints.loc[name, "split"] == window.options["split"] for name, window in windows.items())
    assert sorted(path.name for path in out.iterdir()) == ["2020", "2021", FOOTPRINTS]


def test_chosen_years_and_windows(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export_geotiffs(dataset, out, ["2021"]) == Exported(7, 7 + 6)
    assert {path.name for path in out.iterdir()} == {"2021", FOOTPRINTS}
    name = next((out / "2021").iterdir()).name
    assert export_geotiffs(dataset, out, names=[name]).windows == 1
    with pytest.raises(MissingDataError, match="no windows of nobody"):
        export_geotiffs(dataset, out, names=[name, "nobody"])
    with pytest.raises(MissingDataError, match="no windows of these fire years"):
        export_geotiffs(dataset, out, ["1999"])


def test_a_file_in_the_folders_place(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        export_geotiffs(dataset, tmp_path / "out")


def test_the_command(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(dataset.parent))
    assert main(["export", "--geotiff", str(tmp_path / "out"), "--years", "2020"]) == 0
    assert "7 windows, 13 GeoTIFFs" in capsys.readouterr().out
    (dataset / "config.json").write_text(json.dumps({"layers": 3}), encoding="utf-8")
    assert main(["export", "--geotiff", str(tmp_path / "out")]) == 1
    assert "no valid dataset configuration" in capsys.readouterr().err
    (dataset / "config.json").unlink()
    assert main(["export", "--geotiff", str(tmp_path / "out")]) == 1
    assert "run burnscar refresh" in capsys.readouterr().err
