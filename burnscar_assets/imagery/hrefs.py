"""Addresses of files in an archive: which are remote, and what a relative one stands for."""

import posixpath
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit


def is_remote(source: str) -> bool:
    """Whether an address names something other than a local file."""
    return "://" in source and not source.startswith("file://")


def resolve_href(href: str, base: str) -> str:
    """The absolute form of an address that stands in the file `base`.

    Args:
        href: absolute address, absolute path, GDAL virtual path, or a path relative to `base`.
        base: path or address of the file that `href` was read from.

    Returns:
        An address, or for a local file its absolute path.
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
    return Path(unquote(urlsplit(base).path) if base.startswith("file://") else base).parent.as_posix()
