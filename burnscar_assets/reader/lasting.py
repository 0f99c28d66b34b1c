"""Which failures of a read won't pass: a file that is gone, kept from us, or no image."""

import re
from collections.abc import Collection, Sequence
from typing import Final

import requests

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.errors import BurnscarError
from burnscar_assets.network.addresses import may_be_private
from burnscar_assets.network.session import Limits, Session

GONE: Final = re.compile(r"HTTP (?:response|error) code ?: ?(?:404|410)\b", re.IGNORECASE)
"""What GDAL says of a file that its server doesn't have."""

REFUSED: Final = re.compile(
    r"HTTP (?:response|error) code ?: ?(?:401|403)\b|NoSuch(?:Key|Bucket)|specified (?:key|bucket) does not exist"
    r"|Access ?Denied",
    re.IGNORECASE,
)
NOT_AN_IMAGE: Final = "not recognized as being in a supported file format"
"""What GDAL says of another kind of file, and of one that it knows of but could not read."""

_REFUSALS: Final = (401, 403, 404, 410)
_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")
"""First bytes of TIFF, BigTIFF and JPEG 2000."""

_LOOK: Final = Limits(timeout_s=20, deadline_s=30, max_answer_mb=1)


def is_lasting(address: str, errors: Sequence[BaseException], hosts: Collection[str] = ()) -> bool:
    """Whether reading a file would end alike another time.

    Args:
        address: of the file; empty if it is not known where it is.
        errors: of all tries. What fails in two ways may succeed in a third.
        hosts: hosts that may be asked; those named in full may be private.
    """
    if any(isinstance(error, FileNotFoundError) for error in errors):
        return True
    if address and not is_remote(address):
        return True
    texts = [str(error) for error in errors]
    if not texts or not all(GONE.search(text) or REFUSED.search(text) or NOT_AN_IMAGE in text for text in texts):
        return False
    return all(NOT_AN_IMAGE not in text for text in texts) or _serves_no_image(address, hosts)


def _serves_no_image(address: str, hosts: Collection[str]) -> bool:
    """Whether a server answers with something else than an image; not known of other stores than web servers."""
    if not address.startswith(("http://", "https://")):
        return False
    try:
        with (
            Session(_LOOK, named_hosts=may_be_private(address, hosts)) as session,
            session.get(address, headers={"Range": "bytes=0-15"}, stream=True) as answer,
        ):
            if not answer.ok:
                return answer.status_code in _REFUSALS
            return not next(answer.iter_content(16), b"").startswith(_MAGIC)
    except (BurnscarError, requests.RequestException, OSError):
        return False
