import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioIOError
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from burnscar_assets.gdal_drivers import INDIRECT_DRIVERS, RASTER_DRIVERS, open_raster, skip


def test_no_indirect_driver_is_registered_in_either_gdal_of_a_process() -> None:
    """In a process of its own: what other tests asked of GDAL before decides nothing."""
    code = "import burnscar_assets, rasterio, pyogrio; e = rasterio.Env().__enter__(); "
    code += "print(*e.drivers(), *pyogrio.list_drivers(), sep='|')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    there = set(found.stdout.strip().split("|"))
    assert there & set(INDIRECT_DRIVERS) == set()
    assert set(RASTER_DRIVERS) | {"GPKG", "OpenFileGDB", "GeoJSON", "ESRI Shapefile"} <= there


def test_a_process_that_this_one_starts_does_without_them_too() -> None:
    code = "import rasterio, pyogrio; rasterio.Env().__enter__(); print(*pyogrio.list_drivers(), sep='|')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names = set(found.stdout.strip().split("|"))
    assert "OGR_VRT" not in names
    assert "GPKG" in names
    assert found.stderr == "", "GDAL knows each name that it is to skip"


@pytest.mark.parametrize("before", ["", "GIF PNG", "GIF,PNG", "GIF,PNG,"])
def test_what_is_skipped_already_stays_so(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_SKIP", before)
    names = skip(["ESRI Shapefile"])["GDAL_SKIP"].split(",")
    assert names == [*(["GIF", "PNG"] if before else []), "ESRI Shapefile", ""]


def _write_plain(path: Path, driver: str = "GTiff") -> Path:
    profile = {"driver": driver, "width": 8, "height": 8, "count": 1, "dtype": "uint16", "crs": "EPSG:32610"}
    with rasterio.open(path, "w", transform=from_origin(500_000, 4_000_000, 20, 20), **profile) as out:
        out.write(np.ones((1, 8, 8), np.uint16))
    return path


def _vrt_of(path: Path) -> str:
    return (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


@pytest.mark.parametrize("driver", RASTER_DRIVERS)
@pytest.mark.parametrize("name", ["a.tif", "a.jp2", "a"])
def test_an_image_opens_whatever_its_name(driver: str, name: str, tmp_path: Path) -> None:
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    with rasterio.open(_write_plain(tmp_path / "plain.tif")) as plain:
        rasterio.shutil.copy(plain, tmp_path / name, driver=driver, **options)
    with open_raster(tmp_path / name) as source:
        assert (source.driver, source.read(1).min()) == (driver, 1)


def test_a_virtual_image_is_opened_by_nothing(tmp_path: Path) -> None:
    plain, virtual = _write_plain(tmp_path / "plain.tif"), tmp_path / "B02.tif"
    virtual.write_text(_vrt_of(plain))
    with pytest.raises(RasterioIOError):
        open_raster(virtual)
    code = f"import burnscar_assets, rasterio; rasterio.open({str(virtual)!r})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode and "RasterioIOError" in found.stderr


def test_a_file_that_is_not_there_is_tried_once(tmp_path: Path) -> None:
    with pytest.raises(RasterioIOError, match="No such file"):
        open_raster(tmp_path / "B02.tif")


def test_images_are_still_warped_and_read_beyond_their_edges(tmp_path: Path) -> None:
    with open_raster(_write_plain(tmp_path / "plain.tif")) as source, WarpedVRT(source, crs="EPSG:3310") as warped:
        assert warped.read(1).max() == 1
        assert source.read(1, window=((-4, 4), (-4, 4)), boundless=True, fill_value=0).sum() == 16


@pytest.mark.parametrize("named", ["decoy.tif", "OVERVIEW_FILE:"])
@pytest.mark.parametrize("beside", [False, True], ids=["in the file", "beside it"])
def test_an_image_whose_overviews_are_elsewhere_is_refused(named: str, beside: bool, tmp_path: Path) -> None:
    path, decoy = _write_plain(tmp_path / "B02.tif"), _write_plain(tmp_path / "decoy.tif")
    if beside:
        (tmp_path / "B02.tif.aux.xml").write_text(
            f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{named}</MDI></Metadata></PAMDataset>'
        )
    else:
        with rasterio.open(path, "r+") as image:
            image.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(decoy) if named == decoy.name else named)
    with pytest.raises(RasterioIOError, match="not recognized as"):
        open_raster(path)
