"""Which asset of a STAC item, or file of a folder, holds which band of a sensor.

Assets tell it by key, by a catalogue's own names, by band metadata; files by their bands' descriptions, by the sensor's
order where there are none, or by what the names of files of one band end with. There a band may go by its name, by the
key that a catalogue has for it, by its common name or by its role.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from burnscar_assets.sensors.sensor import Sensor

BAND_NUMBERS: Final = "burnscar:band_numbers"
"""Property of an item: the number of each band in the file that holds all of them, counted from 1."""


def band_hrefs(
    assets: Mapping[str, Mapping[str, Any]], bands: Sequence[str], chosen: Mapping[str, str], sensor: Sensor
) -> dict[str, str]:
    """Addresses of an item's bands, by band; those that the item does not have are left out.

    Args:
        assets: assets of a STAC item by key.
        bands: names of the bands that are wanted.
        chosen: asset keys by band that win over detection.
        sensor: whose item it is.
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

    `hrefs` are the addresses by band that `band_hrefs` found in the assets.
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
    for entry, wanted in (("name", band), ("common_name", common_name), ("eo:common_name", common_name)):
        holders = [key for key, asset in assets.items() if wanted and _only_band(asset).get(entry) == wanted]
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


_RESOLUTION: Final = re.compile(r"[_-](?:10|20|30|60)m$", re.IGNORECASE)
_PRODUCT: Final = re.compile(r"_S[RT]$", re.IGNORECASE)
"""What Landsat's files have ahead of a band, but not of QA_PIXEL."""


@dataclass(frozen=True)
class OwnImage:
    """An image: the files of its bands.

    Attributes:
        name: path of its file below the folder, without ending and with `__` for `/`; of several, what they share.
        assets: file by band; `image` has all bands of an image of one file.
        numbers: of the bands in that one file, counted from 1; empty where each has a file.
        quality: files that tell clear ground, whose numbers are no reflectance.
    """

    name: str
    assets: Mapping[str, str]
    numbers: Mapping[str, int] = field(default_factory=dict)
    quality: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Its files, each once."""
        return tuple(dict.fromkeys(self.assets.values()))


def find_images(files: Mapping[str, Sequence[str]], sensor: Sensor) -> tuple[list[OwnImage], dict[str, list[str]]]:
    """The images of a sensor among files, by name, and the files that make none, by the reason.

    Args:
        files: descriptions of each file's bands, empty where one has none, by its path below the folder.
        sensor: whose images are sought.
    """
    images: list[OwnImage] = []
    left_out: dict[str, list[str]] = {}
    single: dict[str, dict[str, str]] = {}
    spelling = _spelling(sensor)
    for name, descriptions in files.items():
        if len(descriptions) > 1 or len(sensor.names) == 1:
            numbers = _numbers(descriptions, sensor, spelling)
            lacking = [band for band in sensor.names if band not in numbers]
            if lacking:
                left_out.setdefault(_lacks(lacking, sensor), []).append(name)
            else:
                images.append(OwnImage(_id(_stem(name)), {"image": name}, numbers))
            continue
        stem, key = _of_one_band(name, descriptions, spelling)
        if key is None:
            left_out.setdefault("hold one band that is none of the sensor's by its name", []).append(name)
        else:
            single.setdefault(stem, {}).setdefault(key, name)  # the finest, where there are several
    for stem, keyed in single.items():
        found = _bands(keyed, sensor)
        lacking = [band for band in sensor.names if band not in found]
        if lacking:
            left_out.setdefault(f"make images that {_lacks(lacking, sensor)}", []).extend(keyed.values())
        else:
            quality = [found[rule.asset]] if (rule := sensor.clear_ground) and rule.asset in found else []
            images.append(OwnImage(_id(stem), found, quality=tuple(quality)))
    return sorted(images, key=lambda image: image.name), left_out


def named_bands(files: Mapping[str, Sequence[str]], sensor: Sensor) -> dict[str, tuple[str, ...]]:
    """Which bands of a sensor each image has by the names of its bands or files, in the sensor's order, by image.

    Images whose bands nothing names are left out.
    """
    spelling = _spelling(sensor)
    found: dict[str, set[str]] = {}
    for name, descriptions in files.items():
        if any(descriptions):
            found[_stem(name)] = set(_numbers(descriptions, sensor, spelling))
        elif len(descriptions) == 1:
            stem, key = _of_one_band(name, descriptions, spelling)
            if key is not None:
                found.setdefault(stem, set()).update(_bands({key: name}, sensor))
    ordered = {name: tuple(band for band in sensor.names if band in bands) for name, bands in found.items()}
    return {name: bands for name, bands in ordered.items() if bands}


def _lacks(bands: Sequence[str], sensor: Sensor) -> str:
    return "name no band of the sensor" if len(bands) == len(sensor.names) else f"lack {', '.join(bands)}"


def _numbers(descriptions: Sequence[str], sensor: Sensor, spelling: Mapping[str, str]) -> dict[str, int]:
    """Number of each band in a file, by the descriptions, or by the sensor's order without any."""
    if not any(descriptions):
        fits = len(descriptions) == len(sensor.names)
        return {name: number for number, name in enumerate(sensor.names, start=1)} if fits else {}
    keyed: dict[str, str] = {}
    for number, text in enumerate(descriptions, start=1):
        key = spelling.get(_plain(text))
        if key is not None:
            keyed.setdefault(key, str(number))
    return {band: int(number) for band, number in _bands(keyed, sensor).items() if band in sensor.names}


def _of_one_band(name: str, descriptions: Sequence[str], spelling: Mapping[str, str]) -> tuple[str, str | None]:
    """What the path of a file of one band has in common with those of its image's others, and the band's key."""
    stem = _RESOLUTION.sub("", _stem(name))
    parts = re.split(r"(?<=[_\-. /])", stem)
    for count in range(len(parts)):
        key = spelling.get(_plain("".join(parts[count:]))) if "/" not in "".join(parts[count:]) else None
        if key is not None:
            return _PRODUCT.sub("", "".join(parts[:count]).rstrip("_-. /")) or "image", key
    return stem, None


def _bands(keyed: Mapping[str, str], sensor: Sensor) -> dict[str, str]:
    """What holds each band, of what is called by keys, common names or roles."""
    assets = {key: {"href": held, "bands": [{"name": key, "common_name": key}]} for key, held in keyed.items()}
    quality = [sensor.clear_ground.asset] if sensor.clear_ground else []
    found = band_hrefs(assets, [*sensor.names, *quality], {}, sensor)
    for band in sensor.bands:
        by_role = next((keyed[role] for role in band.roles if role in keyed), None)
        if band.name not in found and by_role is not None:
            found[band.name] = by_role
    return found


def _spelling(sensor: Sensor) -> dict[str, str]:
    """What a band may be called, by what is left of it without case, blanks, dashes and zeros ahead of a number."""
    names = [*sensor.names, *([sensor.clear_ground.asset] if sensor.clear_ground else [])]
    names += [key for keys in sensor.assets.values() for key in keys.values()]
    names += [band.common_name for band in sensor.bands if band.common_name]
    names += [role for band in sensor.bands for role in band.roles]
    return {_plain(name): name for name in reversed(names)}


def _plain(text: str) -> str:
    plain = re.sub(r"[\s_-]+", "", text.partition(",")[0]).lower()
    return re.sub(r"^b(?:and)?0*(?=\d)", "b", plain)


def _id(stem: str) -> str:
    """An item's id, which may become a file's name."""
    return stem.replace("/", "__")


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
