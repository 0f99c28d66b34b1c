"""Which asset of a STAC item holds which band of a sensor: by key, by a catalogue's own names, by band metadata."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from burnscar_assets.sensors.sensor import Sensor

BAND_NUMBERS: Final = "burnscar:band_numbers"
"""Property of an item: the number of each band in the file that holds all of them, counted from 1."""


def band_hrefs(
    assets: Mapping[str, Mapping[str, Any]], bands: Sequence[str], chosen: Mapping[str, str], sensor: Sensor
) -> dict[str, str]:
    """Addresses of an item's bands.

    Args:
        assets: assets of a STAC item by key.
        bands: names of the bands that are wanted.
        chosen: asset keys by band that win over detection.
        sensor: whose item it is.

    Returns:
        Address by band; bands that the item does not have are left out.
    """
    possible = [name for name in sensor.assets if assets.keys().isdisjoint(sensor.absent.get(name, ()))]
    ways: list[Mapping[str, str]] = [{}, *(sensor.assets[name] for name in possible)]
    way = _best(ways, assets, sensor)
    common = {band.name: band.common_name for band in sensor.bands}
    together = _holder_of_all(assets, sensor)
    found = {}
    for band in bands:
        named = [keys.get(band, band) for keys in ([way] if band in common else [way, *ways])]
        own = next((key for key in named if key in assets), None)
        key = chosen.get(band) or own or _described(assets, band, common.get(band))
        if key is None and band in common:
            key = together
        if key is not None and key in assets:
            found[band] = assets[key]["href"]
    return found


def band_numbers(assets: Mapping[str, Mapping[str, Any]], hrefs: Mapping[str, str], sensor: Sensor) -> dict[str, int]:
    """Numbers of bands in the file that holds all of a sensor's, counted from 1; none where each has a file.

    Args:
        assets: assets of a STAC item by key.
        hrefs: address by band, as `band_hrefs` found it.
        sensor: whose item it is.
    """
    key = _holder_of_all(assets, sensor)
    if key is None:
        return {}
    names = _band_names(assets[key])
    return {
        band: names.index(band) + 1 for band, href in hrefs.items() if href == assets[key]["href"] and band in names
    }


def _best(
    ways: Sequence[Mapping[str, str]], assets: Mapping[str, Mapping[str, Any]], sensor: Sensor
) -> Mapping[str, str]:
    """Of the ways to call a sensor's bands, the one that fits an item best; the first of those that fit alike.

    One way for all bands: what one product calls a band may be another band of another product.
    """
    return max(ways, key=lambda keys: sum(keys.get(name, name) in assets for name in sensor.names))


def _described(assets: Mapping[str, Mapping[str, Any]], band: str, common_name: str | None) -> str | None:
    for field, wanted in (("name", band), ("common_name", common_name), ("eo:common_name", common_name)):
        holders = [key for key, asset in assets.items() if wanted and _only_band(asset).get(field) == wanted]
        if holders:
            return min(holders, key=lambda key: (assets[key].get("gsd", math.inf), key))
    return None


def _holder_of_all(assets: Mapping[str, Mapping[str, Any]], sensor: Sensor) -> str | None:
    """The first image that names all bands of a sensor: one that names some is a picture, such as `visual`."""
    images = {key: asset for key, asset in assets.items() if str(asset.get("type")).startswith("image/")}
    holders = [key for key, asset in images.items() if set(sensor.names) <= set(_band_names(asset))]
    return min(holders, default=None) if len(sensor.names) > 1 else None


def _band_names(asset: Mapping[str, Any]) -> list[Any]:
    bands = asset.get("bands") or asset.get("eo:bands") or []
    return [band.get("name") if isinstance(band, Mapping) else None for band in bands]


def _only_band(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    bands = asset.get("eo:bands") or asset.get("bands") or []
    return bands[0] if len(bands) == 1 else {}
