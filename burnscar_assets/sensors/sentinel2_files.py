"""What images are taken for that name no sensor: bands by Sentinel-2's or by common names, and its products."""

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from burnscar_assets.errors import InputError
from burnscar_assets.sensors.sensor import DN_PER_REFLECTANCE

NIR_NAMES: Final = ("B08", "B8", "B8A", "NIR", "NIR08")
SWIR_NAMES: Final = ("B12", "SWIR2", "SWIR22")
"""Names that a band may carry, in the order of preference; compared without case, blanks, `_` and `-`."""

BAND_IN_NAME: Final = re.compile(r"(?<![A-Z0-9])B(?:0?[1-9]|8A|1[0-2])(?![A-Z0-9])")
"""A band in a file's name, in capitals."""

_SENTINEL: Final = re.compile(r"B0?(\d{1,2})(A?)")
_LAST_VISIBLE: Final = 4
_METADATA: Final = "MTD_MSI*.xml"
_ADD_OFFSET: Final = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_QUANTIFICATION: Final = ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
_MOST_XML_BYTES: Final = 50 << 20
_SAFE_BANDS: Final = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
"""Bands by the `band_id` of a product's metadata."""


def is_visible(name: str) -> bool:
    """Whether a band of this name shows visible light; one that is not known counts as such."""
    if known := _SENTINEL.fullmatch(name):
        return not known[2] and int(known[1]) <= _LAST_VISIBLE
    return name not in (*NIR_NAMES, *SWIR_NAMES)


def scale_of_product(path: Path, name: str) -> tuple[float, float] | None:
    """Scale and offset of reflectance that the metadata of the product around a file state of a band.

    Args:
        path: the file.
        name: of the band.

    Returns:
        None if there are no metadata, or they know no such band.

    Raises:
        InputError: the metadata are damaged.
    """
    plain = re.sub(r"^B0", "B", name)
    folder = next((parent for parent in path.parents if parent.suffix.upper() == ".SAFE"), None)
    found = next(iter(sorted(folder.glob(_METADATA))), None) if folder else None
    if found is None or plain not in _SAFE_BANDS or found.stat().st_size > _MOST_XML_BYTES:
        return None
    try:
        root = _parsed(found.read_text(encoding="utf-8", errors="replace"))
        scale = 1 / next(iter(_numbers_of(root, _QUANTIFICATION).values()), float(DN_PER_REFLECTANCE))
        offset = _numbers_of(root, _ADD_OFFSET).get(str(_SAFE_BANDS.index(plain)), 0.0)
    except (ElementTree.ParseError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{found} is damaged ({error}): get the product again") from error
    return scale, offset * scale


def _parsed(text: str) -> ElementTree.Element:
    if "<!ENTITY" in text:
        raise ValueError("it declares entities, as no product does")
    return ElementTree.fromstring(text.encode())  # noqa: S314 — without entities, and of bounded size


def _numbers_of(root: ElementTree.Element, tags: tuple[str, ...]) -> dict[str, float]:
    """Numbers of elements by their `band_id`."""
    return {element.get("band_id", ""): float(element.text or "") for element in root.iter() if element.tag in tags}
