"""Which of GDAL's drivers may open what comes from outside. GDAL picks a driver by content, never by a file's name.

A file that is called blue.tif or fires.geojson can be a virtual dataset that names other files, or a description of a
service: opened by whatever driver fits, it reads what lies on this machine and asks servers near it.
"""

import os
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

RASTER_DRIVERS: Final = ("GTiff", "JP2OpenJPEG")
"""For images and masks; a COG is a GTiff."""

INDIRECT_DRIVERS: Final = (
    # what other files hold
    "VRT", "OGR_VRT", "GDALG", "GTI", "DERIVED", "GNMFile", "GNMDatabase", "STACIT", "STACTA", "ADBC",
    # images whose header names the files that hold their pixels
    "DIMAP", "ECRGTOC", "EIR", "ERS", "FAST", "GenBin", "ILWIS", "ISCE", "ISIS2", "ISIS3", "KMLSUPEROVERLAY", "MAP",
    "MRF", "PCIDSK", "PDS", "PDS4", "PRF", "RPFTOC", "RS2", "RST", "SAFE", "SAR_CEOS", "TIL", "TSX", "VICAR",
    # what a service answers
    "HTTP", "WMS", "WMTS", "WCS", "WFS", "OAPIF", "OGCAPI", "CSW", "DAAS", "PLMOSAIC", "PLSCENES", "EEDA", "EEDAI",
    "AmigoCloud", "Carto", "Elasticsearch", "NGW",
    # programs and languages
    "GPSBabel", "Zarr",
)  # fmt: skip
"""Drivers that read what a file or an address names, not what it holds; nothing here needs one of them.

All are in the wheels of rasterio or pyogrio; GDAL complains of names that it doesn't know."""

_SKIP: Final = "GDAL_SKIP"
_OVERVIEWS: Final = "OVERVIEWS"


def open_raster(path: str | os.PathLike[str], hosts: Collection[str] = (), **options: Any) -> "DatasetReader":
    """Open an image with one of RASTER_DRIVERS, whatever its content would suggest.

    Args:
        path: Of a file or, as GDAL takes it, of a remote one.
        hosts: Other hosts that its server may redirect to, see `relayed`.
        options: As `rasterio.open` takes them to read.

    Raises:
        RasterioIOError: it isn't there, is none of theirs, or names another file or address for its overviews, which
            GDAL would open as soon as it looks for them.
        RefusedConnectionError: its server redirects to another host, or is of a private network.
    """
    from burnscar_assets.network.relay import relayed

    with relayed(os.fspath(path), hosts):
        return _opened(path, **options)


def _opened(path: str | os.PathLike[str], **options: Any) -> "DatasetReader":
    import rasterio
    from rasterio.errors import RasterioIOError

    is_jp2 = os.fspath(path).lower().split("?", maxsplit=1)[0].endswith((".jp2", ".j2k"))
    likely, other = reversed(RASTER_DRIVERS) if is_jp2 else RASTER_DRIVERS
    try:
        source = rasterio.open(path, driver=likely, **options)
    except RasterioIOError as error:
        if "not recognized as" not in str(error):
            raise
        source = rasterio.open(path, driver=other, **options)
    if source.tags(ns=_OVERVIEWS):
        source.close()
        refusal = RasterioIOError(f"'{path}' not recognized as an image of its own: it names another for its overviews")
        refusal.lasting = True
        raise refusal
    return source


def skip(drivers: Iterable[str]) -> dict[str, str]:
    """The environment in which GDAL registers none of these drivers, nor those that are skipped already.

    The comma at the end has GDAL split at commas, as names with blanks (ESRI Shapefile) need.
    """
    before = os.environ.get(_SKIP, "")
    known = before.split(",") if "," in before else before.split()
    names = dict.fromkeys(name for name in (*known, *drivers) if name)
    return {_SKIP: ",".join(names) + ","}


def skip_indirect_drivers() -> None:
    """Have this process and all that it starts do without INDIRECT_DRIVERS; takes effect before GDAL's first use."""
    os.environ.update(skip(INDIRECT_DRIVERS))
