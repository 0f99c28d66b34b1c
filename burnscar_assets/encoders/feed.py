"""What a sensor feeds an encoder: which of its bands, in which order, and what stands for those that it lacks."""

from dataclasses import dataclass
from typing import Any

from burnscar_assets.encoders.encoder import Encoder, EncoderBand, Lacking, filled
from burnscar_assets.errors import SettingsError
from burnscar_assets.sensors.sensor import Sensor

NORMALISE = "rslearn.train.transforms.normalize.Normalize"
FILLED = "burnscar_assets.encoders.filled.Filled"


@dataclass(frozen=True)
class Feed:
    """Bands of a sensor as an encoder's input reads them.

    Attributes:
        read: names of the sensor's bands, in the encoder's order.
        bands: the encoder's bands that they are.
        places: of each of the encoder's bands, its place among those read, from 0; None: zero stands for it.
        complete: whether the encoder lacks none, or masks itself what it lacks.
    """

    read: tuple[str, ...]
    bands: tuple[EncoderBand, ...]
    places: tuple[int | None, ...]
    complete: bool

    @property
    def names(self) -> list[str]:
        """The encoder's names of the bands that are there."""
        return [band.name for band in self.bands]


def feed(encoder: Encoder, sensor: Sensor, lacking: Lacking | None = None) -> Feed:
    """What a sensor feeds an encoder.

    Args:
        encoder: whose bands are sought among the sensor's.
        sensor: whose band feeds one of the encoder's if it shows the same, or, where neither says, has the same name.
        lacking: what is done about bands that the sensor lacks; empty: what the encoder's file says.

    Raises:
        SettingsError: it lacks bands, and nothing may stand for them, or it has none at all.
    """
    found: dict[str, str] = {}
    for band in encoder.bands:
        name = _of_sensor(band, sensor)
        if name is not None and name not in found.values():
            found[band.name] = name
    missing = [band.name for band in encoder.bands if band.name not in found]
    rule = lacking or encoder.lacking
    if missing and (rule == "error" or not found):
        raise SettingsError(
            f"{encoder.title} reads {', '.join(missing)}, which the sensor {sensor.name} has no band for (roles and "
            "names of bands are compared): choose another training.model.encoder, or a sensor that has them"
        )
    there = tuple(band for band in encoder.bands if band.name in found)
    places = tuple(_place(band, there, rule) for band in encoder.bands)
    complete = rule == "mask" or not missing
    return Feed(tuple(found[band.name] for band in there), there, places, complete)


def normaliser(encoder: Encoder, there: Feed) -> dict[str, Any]:
    """The transform that makes the encoder's numbers of reflectance × 10,000, as rslearn's configuration has it."""
    if encoder.normaliser is None:
        return _normalised(encoder.input, there.bands)
    said = encoder.normaliser
    values = {"INPUT": encoder.input, "BANDS": there.names}
    return {"class_path": said.class_path, "init_args": filled(said.init_args, values)}


def radar_normaliser(encoder: Encoder) -> dict[str, Any] | None:
    """The same of its input for Sentinel-1, of decibels; none if it has no such input."""
    return None if encoder.radar is None else _normalised(encoder.radar.input, encoder.radar.bands)


def _normalised(name: str, bands: tuple[EncoderBand, ...]) -> dict[str, Any]:
    numbers = {"mean": [band.subtract for band in bands], "std": [band.divide for band in bands]}
    return {"class_path": NORMALISE, "init_args": numbers | {"selectors": [name]}}


def _of_sensor(band: EncoderBand, sensor: Sensor) -> str | None:
    """The sensor's band that shows the same."""
    roles = band.role if isinstance(band.role, tuple) else () if band.role is None else (band.role,)
    for role in roles:
        if sensor.has(role):
            return sensor.band(role)
    alike = [found.name for found in sensor.bands if found.name == band.name and not (roles and found.roles)]
    return alike[0] if alike else None


def _place(band: EncoderBand, there: tuple[EncoderBand, ...], rule: Lacking) -> int | None:
    if band in there:
        return there.index(band)
    if rule != "nearest":
        return None
    away = [abs((other.nm or 0) - (band.nm or 0)) for other in there]
    return away.index(min(away))
