"""Cloud-optimized GeoTIFFs as the public Sentinel-2 archives hold them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.transform import from_origin

from burnscar_assets.demo.plan import Granule
from burnscar_assets.errors import StorageError

TILE_PX = 512
SMALLEST_OVERVIEW_PX = 256
NOTICE = "SIMULATED by burnscar_assets: no observation of the Earth"


def write_cog(path: Path, pixels: npt.NDArray[np.generic], granule: Granule, resolution_m: int) -> None:
    """Write one band as a COG: 512 px tiles, deflate with horizontal predictor, overviews, nodata 0.

    Pixels are (rows, columns), uint16 digital numbers or uint8 classes.

    Raises:
        StorageError: the file could not be written.
    """
    rows, columns = pixels.shape
    overviews = max(int(np.log2(max(columns, 1) / SMALLEST_OVERVIEW_PX)), 0)
    classes = pixels.dtype == np.uint8
    profile = {
        "driver": "COG", "width": columns, "height": rows, "count": 1, "dtype": pixels.dtype, "nodata": 0,
        "crs": f"EPSG:{granule.epsg}",
        "transform": from_origin(granule.west_m, granule.north_m, resolution_m, resolution_m),
        "blocksize": TILE_PX, "compress": "DEFLATE", "level": 1, "predictor": "NO" if classes else "STANDARD",
        "overview_count": overviews, "overviews": "AUTO" if overviews else "NONE",
        "overview_resampling": "MODE" if classes else "AVERAGE", "num_threads": 1,
    }  # fmt: skip
    try:
        with rasterio.open(path, "w", **profile) as target:
            target.update_tags(SIMULATED="YES", TIFFTAG_IMAGEDESCRIPTION=NOTICE)
            target.write(pixels, 1)
    except (RasterioError, CPLE_BaseError) as error:
        raise StorageError(f"cannot write {path}: {error}; free space or choose another BURNSCAR_DATA") from error
