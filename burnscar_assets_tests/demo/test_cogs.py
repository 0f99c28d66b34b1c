import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from burnscar_assets.demo.cogs import write_cog
from burnscar_assets.demo.plan import Granule
from burnscar_assets.errors import StorageError

GRANULE = Granule.around("g", "r", "sierra", 32610, -90_000, 60_000, 7200)


def ramp(size: int, dtype: type = np.uint16) -> np.ndarray:
    return (np.add.outer(np.arange(size), np.arange(size)) % 200 + 1).astype(dtype)


def test_bands_are_cloud_optimized(tmp_path: Path) -> None:
    path = tmp_path / "B02.tif"
    pixels = ramp(GRANULE.side_px)
    write_cog(path, pixels, GRANULE, 10)
    with rasterio.open(path) as band:
        assert band.block_shapes == [(512, 512)]
        assert band.overviews(1) == [2]
        assert band.nodata == 0
        assert band.dtypes == ("uint16",)
        assert band.crs.to_epsg() == 32610
        assert (band.transform.c % 60, band.transform.f % 60) == (0, 0)
        assert band.compression.name == "deflate"
        assert band.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert band.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert band.tags()["SIMULATED"] == "YES"
        assert "SIMULATED" in band.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        np.testing.assert_array_equal(band.read(1), pixels)


def test_classes_keep_their_values_in_overviews(tmp_path: Path) -> None:
    path = tmp_path / "SCL.tif"
    classes = np.where(ramp(1440, np.uint8) > 100, 4, 9).astype(np.uint8)
    write_cog(path, classes, GRANULE, 20)
    with rasterio.open(path, overview_level=0) as small:
        assert set(np.unique(small.read(1))) <= {4, 9}


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="BURNSCAR_DATA"):
        write_cog(tmp_path / "no" / "such" / "B02.tif", ramp(72), GRANULE, 10)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from burnscar_assets.demo.cogs import write_cog
from burnscar_assets.demo.plan import Granule
from burnscar_assets.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
granule = Granule.around("g", "r", "sierra", 32610, -90_000, 60_000, 7200)
pixels = np.random.default_rng(0).integers(1, 5000, (720, 720)).astype(np.uint16)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_cog(Path(sys.argv[1]), pixels, granule, 10)
except StorageError as error:
    sys.exit(0 if "free space" in str(error) else 2)
sys.exit(1)
"""


def test_a_write_cut_short_as_by_a_full_disk_is_noticed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "B02.tif")], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
