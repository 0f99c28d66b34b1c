"""Scenes of a group laid over each other: the first pixel with data wins, as in rslearn's FIRST_VALID."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Loaded only where tiles are made, which takes rslearn in any case.
from rslearn.utils.array import nodata_eq  # noqa: TID253
from rslearn.utils.raster_array import RasterArray, RasterMetadata  # noqa: TID253

from burnscar_assets.reader.origin import TimeRange

NO_DATA_UNKNOWN = 0
"""What rslearn takes for a pixel without data where nobody says."""


@dataclass(frozen=True)
class Region:
    """What one file gave to a window.

    Attributes:
        file: the file's number in its scene.
        rows, columns: of the window.
        bands: of the band set.
        times: of the pixels.
    """

    file: int
    rows: slice
    columns: slice
    bands: list[int]
    times: list[TimeRange] | None


@dataclass(frozen=True)
class Share:
    """What one scene gave to a band set of a window.

    Attributes:
        pixels: (bands, height, width), without data where the scene has none.
        regions: one for each of the scene's files that meet the window.
    """

    pixels: npt.NDArray[Any]
    regions: list[Region]


def composite(shares: list[Share], nodata: float | None) -> RasterArray:
    """The raster of a band set.

    Args:
        shares: of the scenes in order, at least one; the first is laid under the others in place.
        nodata: value without data, None if unknown.
    """
    known = NO_DATA_UNKNOWN if nodata is None else nodata
    met = [share for share in shares if share.regions]
    first = (met or shares)[0]
    result = first.pixels
    for share in met[1:]:
        for region in share.regions:
            target = result[:, region.rows, region.columns]
            free = np.logical_and.reduce([nodata_eq(target[band], known) for band in region.bands])
            for band in region.bands:
                np.copyto(target[band], share.pixels[band, region.rows, region.columns], where=free)
    times = min(first.regions, key=lambda region: region.file).times if met else None
    return RasterArray(array=result[:, None], timestamps=times, metadata=RasterMetadata(nodata_value=nodata))


def empty_raster(bands: int, height: int, width: int, dtype: npt.DTypeLike, nodata: float | None) -> RasterArray:
    """The raster of a band set that no scene has."""
    known = NO_DATA_UNKNOWN if nodata is None else nodata
    pixels = np.full((bands, 1, height, width), known, dtype=dtype)
    return RasterArray(array=pixels, metadata=RasterMetadata(nodata_value=nodata))
