"""How GDAL reads the files of an archive; its own environment variables win over what is set here."""

import os
from typing import Final
from urllib.parse import urlsplit

from burnscar_assets.network.environment import gdal_transport

_TIMEOUT: Final = "GDAL_HTTP_TIMEOUT"
_OPTIONS: Final[dict[str, str | int]] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_CACHEMAX": 256 << 20,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    _TIMEOUT: 60,
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
}

FORGETTING: Final = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/"}
"""Has GDAL forget what it knows of remote files, failures too."""


def gdal_options() -> dict[str, str | int]:
    """Options for many small reads, local or remote, through the proxies and certificates that hold for all."""
    own = {name: value for name, value in (_OPTIONS | _store()).items() if name not in os.environ}
    return own | gdal_transport()


def _store() -> dict[str, str | int]:
    """Where GDAL finds an S3 that isn't Amazon's: at AWS_ENDPOINT_URL, which all else follows."""
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")
    if not endpoint.netloc:
        return {}
    return {
        "AWS_S3_ENDPOINT": endpoint.netloc + endpoint.path.rstrip("/"),
        "AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def bulk_options() -> dict[str, str | int]:
    """Options for reading many blocks of each file once: little is fetched or kept but the blocks."""
    own: dict[str, str | int] = {
        "CPL_VSIL_CURL_CHUNK_SIZE": 4096,
        "GDAL_CACHEMAX": 48 << 20,
        "GDAL_INGESTED_BYTES_AT_OPEN": 16384,
        "GDAL_MEM_ENABLE_OPEN": "YES",
    }
    return gdal_options() | {name: value for name, value in own.items() if name not in os.environ}


def request_timeout_s() -> float:
    """How long one request to an archive may take."""
    return float(os.environ.get(_TIMEOUT, _OPTIONS[_TIMEOUT]))
