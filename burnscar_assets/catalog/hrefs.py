"""Addresses of files in an archive: which are remote, what a relative one stands for, and which may be named."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from burnscar_assets.errors import InputError
from burnscar_assets.network.addresses import WEB_SCHEMES, check_address, host_of, is_allowed

BUCKET_SCHEMES: Final = ("s3", "gs")
SETTING: Final = "imagery.allowed_hosts"

PUBLIC_PLACES: Final = (
    "planetarycomputer.microsoft.com",
    "sentinel2l2a01.blob.core.windows.net",
    "sentinel1euwestrtc.blob.core.windows.net",
    "earth-search.aws.element84.com",
    "sentinel-cogs.s3.us-west-2.amazonaws.com",
    "s3://sentinel-cogs",
    "storage.googleapis.com",
    "gs://gcp-public-data-sentinel-2",
    "*.dataspace.copernicus.eu",
    "s3://eodata",
)
"""Hosts and buckets of the public archives of Sentinel-2 and Sentinel-1 that the configurations here read."""


@dataclass(frozen=True)
class AddressRule:
    """Which addresses a catalogue may name.

    A remote one may name http(s), s3 and gs addresses of its own host or bucket, of `PUBLIC_PLACES` and of what the
    settings allow. A local one may name these but for a host of its own, and files below its own folder.

    Attributes:
        catalogue: address or path of the catalogue, as the settings give it.
        allowed: more hosts (`data.example.org`, `*.example.org`), buckets (`s3://name`) and folders (`/data/scenes`).
    """

    catalogue: str
    allowed: tuple[str, ...] = ()

    def check(self, address: str) -> None:
        """Accept an address that `resolve_href` returned.

        Raises:
            InputError: the catalogue may not name it; says why, and what allows it.
        """
        if is_remote(address):
            scheme = address.partition("://")[0].lower()
            places = self._places(scheme)
            if scheme in BUCKET_SCHEMES and not is_allowed(host_of(address), places):
                bucket = f"{scheme}://{host_of(address)}"
                raise InputError(f"{bucket} is not named by {SETTING}: add it there if its files are to be read")
            check_address(address, places, setting=SETTING, schemes=(*WEB_SCHEMES, *BUCKET_SCHEMES))
            return
        folders = [place for place in self.allowed if place.startswith("/")]
        if not is_remote(self.catalogue):
            folders.append(_folder(self.catalogue))
        if address.lower().startswith("/vsi") or "\0" in address or not _is_below(_local_path(address), folders):
            raise InputError(
                f"{address} is a path that this catalogue may not name: a remote one names addresses, a local one "
                f"files below its own folder; allow another folder in {SETTING} if that is right"
            )

    @property
    def hosts(self) -> list[str]:
        """Hosts, or patterns of them, that may be asked."""
        return self._places("https")

    def _places(self, scheme: str) -> list[str]:
        """Hosts, or for buckets their names, that addresses of a scheme may have."""
        places = (*PUBLIC_PLACES, *self.allowed)
        own = [host_of(self.catalogue)] if is_remote(self.catalogue) and _kind(self.catalogue) == _kind(scheme) else []
        if scheme in BUCKET_SCHEMES:
            return own + [place.removeprefix(f"{scheme}://") for place in places if place.startswith(f"{scheme}://")]
        return own + hosts_among(places)


def hosts_among(places: Iterable[str]) -> list[str]:
    """Those of the hosts, buckets and folders that are hosts, or patterns of them."""
    return [place for place in places if "://" not in place and not place.startswith("/")]


def _kind(address: str) -> str:
    scheme = address.partition("://")[0].lower()
    return "web" if scheme in WEB_SCHEMES else scheme


def _local_path(address: str) -> str:
    return unquote(urlsplit(address).path) if address.startswith("file://") else address


def _is_below(path: str, folders: Sequence[str]) -> bool:
    absolute = posixpath.normpath(posixpath.join(Path.cwd().as_posix(), path))
    every = [posixpath.normpath(posixpath.join(Path.cwd().as_posix(), folder)) for folder in folders]
    return any(absolute.startswith(folder.rstrip("/") + "/") for folder in every)


def is_remote(source: str) -> bool:
    """Whether an address names something other than a local file."""
    return "://" in source and not source.startswith("file://")


def resolve_href(href: str, base: str) -> str:
    """The absolute address, or for a local file its absolute path, of what stands in the file `base`.

    `href` is an absolute address, absolute path, GDAL virtual path, or a path relative to `base`.
    """
    if href.startswith("file://"):
        return unquote(urlsplit(href).path)
    if is_remote(href) or href.startswith("/vsi"):
        return href
    if base.startswith(("http://", "https://")):
        return urljoin(base, href)
    if is_remote(base):
        scheme, rest = base.split("://", 1)
        return f"{scheme}://{posixpath.normpath(posixpath.join(posixpath.dirname(rest), href))}"
    return posixpath.normpath(posixpath.join(Path.cwd().as_posix(), _folder(base), href))


@lru_cache(maxsize=64)
def _folder(base: str) -> str:
    """The folder of a local file: an index asks for it of each file of each scene."""
    return Path(_local_path(base)).parent.as_posix()
