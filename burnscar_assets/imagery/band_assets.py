"""Which asset of a STAC item holds which band of a sensor: by key, by a catalogue's own names, by band metadata."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from burnscar_assets.sensors.sensor import Sensor


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
    found = {}
    for band in bands:
        named = [keys.get(band, band) for keys in ([way] if band in common else [way, *ways])]
        own = next((key for key in named if key in assets), None)
        key = chosen.get(band) or own or _described(assets, band, common.get(band))
        if key is not None and key in assets:
            found[band] = assets[key]["href"]
    return found


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


def _only_band(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    bands = asset.get("eo:bands") or asset.get("bands") or []
    return bands[0] if len(bands) == 1 else {}
