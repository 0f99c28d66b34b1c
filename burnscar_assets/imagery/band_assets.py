"""Which asset of a STAC item holds which Sentinel-2 band: by key, by Element 84's names, by band metadata."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

COMMON_NAMES: Final = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red",
    "B05": "rededge071", "B06": "rededge075", "B07": "rededge078",
    "B08": "nir", "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
"""Common names of the STAC electro-optical extension."""

SCL: Final = "SCL"
"""Scene classification: a band that scenes may have without being asked for it."""

ELEMENT84_KEYS: Final = COMMON_NAMES | {"B05": "rededge1", "B06": "rededge2", "B07": "rededge3", SCL: "scl"}
"""Asset keys of Element 84's Earth Search, version 1."""


def band_hrefs(
    assets: Mapping[str, Mapping[str, Any]], bands: Sequence[str], chosen: Mapping[str, str]
) -> dict[str, str]:
    """Addresses of an item's bands.

    Args:
        assets: assets of a STAC item by key.
        bands: names of the bands that are wanted.
        chosen: asset keys by band that win over detection.

    Returns:
        Address by band; bands that the item does not have are left out.
    """
    found = {}
    for band in bands:
        key = chosen.get(band) or _detect(assets, band)
        if key is not None and key in assets:
            found[band] = assets[key]["href"]
    return found


def _detect(assets: Mapping[str, Mapping[str, Any]], band: str) -> str | None:
    for key in (band, ELEMENT84_KEYS.get(band, band)):
        if key in assets:
            return key
    for wanted in (("name", band), ("common_name", COMMON_NAMES.get(band)), ("eo:common_name", COMMON_NAMES.get(band))):
        holders = [key for key, asset in assets.items() if wanted[1] and _only_band(asset).get(wanted[0]) == wanted[1]]
        if holders:
            return min(holders, key=lambda key: (assets[key].get("gsd", math.inf), key))
    return None


def _only_band(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    bands = asset.get("eo:bands") or asset.get("bands") or []
    return bands[0] if len(bands) == 1 else {}
