"""A sensor for a person's own images, found out from the files: one that is shipped if it fits, else one of their own.

What the files tell is taken: names of bands, pixel size, type, number without data, days. What bands show follows from
what shipped sensors call them. What several sensors explain differently is an error that names `--sensor`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import yaml

from burnscar_assets.catalog.band_assets import OwnImage, find_images, named_bands
from burnscar_assets.catalog.own_days import days_of_file
from burnscar_assets.catalog.own_images import OwnFile
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import InputError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.section import read_named
from burnscar_assets.sensors.load import FOLDER
from burnscar_assets.sensors.sensor import DN_PER_REFLECTANCE, NEEDED, Band, Role, Sensor
from burnscar_assets.text import some_of

OWN: Final = "own"
"""Name of the sensor that is found out."""

_ALIKE: Final = 0.05
"""Pixel sizes that differ by less, relative to each other, are one."""

_LOOKED_AT_PX: Final = 256
_BRIGHTEST_REFLECTANCE: Final = 2.0
_DN: Final = (500, 20_000)
"""What nearly the brightest of numbers may be that are reflectance × 10,000."""


@dataclass(frozen=True)
class InferredSensor:
    """A sensor that files were found to be of.

    `text` is that of its file, with comments, None if it is a shipped one; `told` what was taken from the files.
    """

    sensor: Sensor
    text: str | None
    told: tuple[str, ...]


def infer_sensor(
    folder: Path, files: Mapping[str, OwnFile], title: str, wanted: Sequence[str] | None = None
) -> InferredSensor:
    """Find out which sensor the images of a folder are of.

    Args:
        folder: of the images.
        files: what each says of itself, by its path below the folder.
        title: what people call the images.
        wanted: names of the bands that the sensor is to have, of more that the files may have; None: all.

    Raises:
        InputError: the files don't tell it, or tell different things; the message says to give `--sensor`. No image has
            all of the bands wanted, or a shipped sensor has these images, whose bands are its own.
    """
    described = {name: file.descriptions for name, file in files.items()}
    fitting = [sensor for sensor in shipped_sensors() if _fits(sensor, described, files)]
    if fitting and wanted is not None:
        _refuse_bands(
            wanted,
            f"the images are of the shipped sensor {fitting[0].name}: leave --bands out, or give --sensor a copy of "
            f"{CONFIGS_DIR / FOLDER / fitting[0].name}.yaml with these bands alone",
        )
    if len(fitting) > 1:
        _refuse(folder, f"they could be of {' or '.join(sensor.name for sensor in fitting)}")
    if fitting:
        return InferredSensor(fitting[0], None, (f"the images are of the shipped sensor {fitting[0].name}",))
    bands = _bands(folder, described, wanted)
    names = tuple(band.name for band in bands)
    images = [(image, [files[name] for name in image.files]) for image in _images(described, bands)]
    of_images = [file for _, some in images for file in some]
    kind = _kind(of_images)
    dtype = _common(folder, of_images, "types of numbers", lambda file: file.dtype)
    nodata = _common(folder, of_images, "numbers without data", lambda file: file.nodata)
    metres = _metres(folder, of_images)
    scale = _scale(folder, [image for image, _ in images], dtype, nodata)
    content: dict[str, Any] = {
        "title": title,
        "layer": "own",
        "resolution_m": metres,
        "window_px": 32,
        "kind": kind,
        "bands": [
            {"name": band.name, "roles": list(band.roles), "metres": metres, "common_name": band.common_name}
            for band in bands
        ],
        "dtype": dtype,
        "nodata": nodata,
        "radiometry": {"rule": "fixed", "scale": scale, "offset": 0.0},
    }
    sensor = Sensor.model_validate(content | {"name": OWN})
    told = (
        f"{len(images)} images have the bands {', '.join(names)} at {metres:g} m, as {dtype}",
        f"reflectance is taken to be number × {scale:g}, without an offset",
        "the images are composites of several days" if kind == "composites" else "each image is of one day",
    )
    return InferredSensor(sensor, _text(folder, content), told)


def shipped_sensors() -> list[Sensor]:
    """All sensors that come with the package, by name."""
    return [read_named(path, "sensor", Sensor) for path in sorted((CONFIGS_DIR / FOLDER).glob("*.yaml"))]


def _refuse(folder: Path, why: str) -> NoReturn:
    raise InputError(
        f"which sensor the images in {folder} are of can't be told, as {why}: give --sensor NAME, a shipped one or one "
        f"of your own (copy a file of {CONFIGS_DIR / FOLDER} and change it)"
    )


def _kind(files: Iterable[OwnFile]) -> str:
    """Whether each file is of one day, by its name or tags, or images are made of several days."""
    days = [len(days_of_file(Path(file.name).stem, file.tags)) for file in files]
    return "scenes" if all(count == 1 for count in days) else "composites"


def _fits(sensor: Sensor, described: Mapping[str, Sequence[str]], files: Mapping[str, OwnFile]) -> bool:
    """Whether all bands of a shipped sensor are there by name, in files of its type, resolution and kind."""
    named = {name: texts for name, texts in described.items() if len(texts) == 1 or any(texts)}
    images, _ = find_images(named, sensor)
    measured = [files[name] for image in images for name in image.files if name not in image.quality]
    finest = min((band.metres for band in sensor.bands), default=0.0)
    return (
        bool(images)
        and sensor.kind == _kind(measured)
        and all(file.dtype == sensor.dtype for file in measured)
        and abs(min(file.metres for file in measured) / finest - 1) < _ALIKE
    )


def _bands(folder: Path, described: Mapping[str, Sequence[str]], wanted: Sequence[str] | None) -> list[Band]:
    """The bands wanted, or those that most images have; with what they show, on which shipped sensors must agree."""
    if wanted is not None:
        found = _agreed(described, NEEDED, frozenset(wanted))
        if not found:
            _refuse_wanted(described, wanted)
    else:  # images whose only bands are those of the burn ratio count if there are no others
        found = _agreed(described, ("red", *NEEDED)) or _agreed(described, NEEDED)
    if not found:
        texts = sorted({text or "(none)" for name in described.values() for text in name})
        _refuse(folder, f"no image has bands named for {', '.join(NEEDED)}; names are {some_of(texts, 12)}")
    if len(found) > 1:
        _refuse(folder, f"bands could show {' or '.join(' '.join(roles) for roles in found)}")
    ((roles, bands),) = found.items()
    if len(bands) == len(roles):
        return bands
    return [Band(name=role, roles=(role,), metres=1, common_name=role) for role in roles]


def _agreed(
    described: Mapping[str, Sequence[str]], needed: Sequence[Role], wanted: frozenset[str] | None = None
) -> dict[tuple[str, ...], list[Band]]:
    """The bands that most images have, by what they show, of every shipped sensor that has as many of them.

    `needed` is what bands must show, so that an image's count; `wanted` are all that count (None: whatever there is).
    """
    found: dict[tuple[str, ...], list[Band]] = {}
    most = 0
    for sensor in shipped_sensors():
        named = list(named_bands(described, sensor).values())
        if wanted is not None:
            named = [tuple(name for name in names if name in wanted) for names in named if wanted.issubset(names)]
        sets = Counter(named)
        for names in (names for names in sets if _shows(sensor, names, needed)):
            having = sum(count for other, count in sets.items() if set(other) >= set(names))
            bands = [band for band in sensor.bands if band.name in names]
            size = having * 100 + len(bands)
            if size > most:
                most, found = size, {}
            if size == most:
                found.setdefault(tuple(band.roles[0] for band in bands), []).extend(bands)
    return found


def _shows(sensor: Sensor, names: Collection[str], needed: Sequence[Role]) -> bool:
    """Whether bands of a sensor show all that is needed."""
    roles = {role for band in sensor.bands if band.name in names for role in band.roles}
    return roles.issuperset(needed)


def _refuse_wanted(described: Mapping[str, Sequence[str]], wanted: Sequence[str]) -> NoReturn:
    """Say why bands that were asked for make no sensor: no image has all of them, or they show too little."""
    every = [names for sensor in shipped_sensors() for names in named_bands(described, sensor).values()]
    if any(frozenset(wanted).issubset(names) for names in every):
        _refuse_bands(wanted, f"they don't show both {' and '.join(NEEDED)}, which the burn ratio is made of")
    texts = sorted({text or "(none)" for name in described.values() for text in name})
    _refuse_bands(wanted, f"no image has all of them: names are {some_of(texts, 12)}")


def _refuse_bands(wanted: Sequence[str], why: str) -> NoReturn:
    raise InputError(f"--bands {','.join(wanted)}: {why}")


def _images(described: Mapping[str, Sequence[str]], bands: Sequence[Band]) -> list[OwnImage]:
    content = {"name": OWN, "title": OWN, "resolution_m": 10, "bands": bands, "radiometry": {"scale": 1.0}}
    return find_images(described, Sensor.model_validate(content))[0]


def _common(folder: Path, files: Sequence[OwnFile], what: str, told: Callable[[OwnFile], Any]) -> Any:
    """What all files say alike."""
    values = {str(told(file)): told(file) for file in files}
    if len(values) > 1:
        _refuse(folder, f"files have different {what} ({', '.join(sorted(values))})")
    return next(iter(values.values()))


def _metres(folder: Path, files: Sequence[OwnFile]) -> float:
    sides = np.array([file.metres for file in files if file.metres])
    if not len(sides):
        raise InputError(f"no image in {folder} says where it lies: give them their CRS (gdal_edit.py -a_srs)")
    if sides.max() > sides.min() * (1 + _ALIKE):
        _refuse(folder, f"pixels are {sides.min():g} to {sides.max():g} m wide")
    return float(f"{np.median(sides):.3g}")


def _scale(folder: Path, images: Sequence[OwnImage], dtype: str, nodata: float | None) -> float:
    """Reflectance of one number, by nearly the brightest ones."""
    brightest = max(_brightest(folder / name, nodata) for image in images[:8] for name in image.files)
    if "float" in dtype and brightest <= _BRIGHTEST_REFLECTANCE:
        return 1.0
    if dtype == "uint8" or not _DN[0] <= brightest <= _DN[1]:
        _refuse(folder, f"their brightest numbers are about {brightest:.3g} of type {dtype}, which tell no scale")
    return 1 / DN_PER_REFLECTANCE


def _brightest(path: Path, nodata: float | None) -> float:
    with open_raster(path) as source:
        shape = (source.count, min(source.height, _LOOKED_AT_PX), min(source.width, _LOOKED_AT_PX))
        pixels = source.read(out_shape=shape).astype(float)
    known = pixels[np.isfinite(pixels) & (pixels != (np.nan if nodata is None else nodata))]
    return float(np.quantile(known, 0.98)) if known.size else 0.0


def _text(folder: Path, content: Mapping[str, Any]) -> str:
    """The sensor's file, with what a person may want to change."""
    bands = [{key: value for key, value in band.items() if value is not None} for band in content["bands"]]
    lines = [yaml.safe_dump(band, default_flow_style=True, sort_keys=False, width=200) for band in bands]
    listed = "".join(f"  - {line}" for line in lines)
    nodata = "null # files name none" if content["nodata"] is None else f"{content['nodata']:g}"
    nodata = nodata.replace("nan", ".nan")
    return (
        f"# Found out from the files in {folder} by burnscar study. Correct what is wrong, then run the study again.\n"
        f"title: {yaml.safe_dump(content['title'], default_style=chr(34), width=200).strip()}\n"
        f"layer: {content['layer']}\n"
        f"resolution_m: {content['resolution_m']:g} # of windows and maps: that of the files\n"
        f"window_px: {content['window_px']}\n"
        f"kind: {content['kind']} # scenes: each image is of one day; composites: of several\n"
        f"bands: # in this order; what each shows, by what other sensors call so\n{listed}"
        f"dtype: {content['dtype']}\n"
        f"nodata: {nodata}\n"
        f"radiometry: {{rule: fixed, scale: {content['radiometry']['scale']:g}, offset: 0}} # reflectance = number × "
        "scale + offset; offset −0.1 if numbers carry Sentinel-2's +1000\n"
        "# clear_ground: nothing tells cloud from ground, so all pixels with data count as clear.\n"
    )
