"""What the files of a scene are worth together: evidence gathered from them, and the decision carried out.

Each scene of a call is judged once, beside a neighbour in time where its own pixels prove nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from burnscar_assets.reader.cells import FileWork
from burnscar_assets.reader.files import UNREADABLE, Header, Patience, Pool
from burnscar_assets.reader.fitting import sampled_bands
from burnscar_assets.reader.neighbours import compare
from burnscar_assets.reader.origin import Origin, wanted_bands
from burnscar_assets.reader.pixels import Radiometry
from burnscar_assets.reader.radiometry import (
    VISIBLE,
    BandSample,
    Conversion,
    Evidence,
    RadiometryDecision,
    Statement,
    conversion_of_range,
    conversion_of_sensor,
    decide,
    decide_fixed,
    is_standard,
    prefer_files,
    stated_of_item,
    statement_of_scale,
)
from burnscar_assets.reader.request import Failure, FailureKind
from burnscar_assets.reader.scene import Scene
from burnscar_assets.sensors.sensor import DN_PER_REFLECTANCE, Sensor

if TYPE_CHECKING:
    from rslearn.data_sources import Item

    from burnscar_assets.reader.radiometry import RadiometryDecision

TAGS = "tags of the files"

Neighbour = tuple[str, Sequence[FileWork]]
"""Name of a scene's neighbour in time, and its files that have bands to compare."""


def judge(
    scene: str,
    sensor: Sensor,
    files: Sequence[FileWork],
    known: RadiometryDecision | None,
    neighbour: Callable[[], Neighbour | None] = lambda: None,
    stated: Sequence[Radiometry] = (),
) -> RadiometryDecision | None:
    """Decide what the numbers of a scene are worth, and have its files converted so, or set aside.

    Args:
        scene: name of the scene.
        sensor: whose scene it is.
        files: its files that were opened; without any, there is no decision.
        known: what was decided of the scene before, from other files of it.
        neighbour: reads the scene's neighbour in time; called only where the scene's own pixels prove nothing.
        stated: scales and offsets that the scene's item states.
    """
    opened = [work for work in files if work.header is not None and work.failure is None]
    if not opened:
        return None
    if sensor.radiometry.rule == "fixed":
        return _judge_fixed(scene, sensor, opened, stated)
    conversions = [_conversion(work, opened) for work in opened]
    decision = known or _decide(scene, sensor, opened, conversions, neighbour)
    for work, conversion in zip(opened, conversions, strict=True):
        if decision.usable and conversion is not None:
            shifted = Conversion(conversion.factor, conversion.shift - decision.offset_dn)
            work.conversion = None if shifted == Conversion() else shifted
        else:
            work.failure = Failure(scene, decision.reason or _doubt(scene, [work]).reason, FailureKind.IN_DOUBT)
    return decision


def _judge_fixed(
    scene: str, sensor: Sensor, opened: Sequence[FileWork], of_item: Sequence[Radiometry]
) -> RadiometryDecision:
    """Have the files of a sensor with one scale converted so, or set aside where another one is stated."""
    headers = [work.header for work in opened if work.header is not None]
    unstated = [header.dtype.name for header in headers if header.stated is None]
    of_files = [header.stated for header in headers if header.stated is not None]
    decision = decide_fixed(scene, sensor, unstated, [*of_item, *of_files])
    for work in opened:
        if decision.usable:
            work.conversion = conversion_of_sensor(sensor)
        else:
            work.failure = Failure(scene, decision.reason, FailureKind.IN_DOUBT)
    return decision


def _decide(
    scene: str,
    sensor: Sensor,
    opened: Sequence[FileWork],
    conversions: Sequence[Conversion | None],
    neighbour: Callable[[], Neighbour | None],
) -> RadiometryDecision:
    if any(conversion is None for conversion in conversions):
        return _doubt(scene, [work for work, known in zip(opened, conversions, strict=True) if known is None])
    visible = sensor.bands_of(VISIBLE)
    samples = [
        sample
        for work, conversion in zip(opened, conversions, strict=True)
        for band, numbers in _numbers(work, conversion).items()
        if (sample := BandSample.of(band, numbers.compressed(), visible=band in visible)) is not None
    ]
    of_files = [
        statement
        for work, conversion in zip(opened, conversions, strict=True)
        if conversion is not None and (statement := _statement(work.header, conversion)) is not None
    ]
    said, overruled = prefer_files(opened[0].statements, of_files)
    decision = decide(scene, said, samples, overruled)
    found = None if decision.is_proved else neighbour()
    if found is None:
        return decision
    return decide(scene, said, samples, overruled, _beside(sensor, opened, conversions, *found))


def _beside(
    sensor: Sensor,
    opened: Sequence[FileWork],
    conversions: Sequence[Conversion | None],
    neighbour: str,
    files: Sequence[FileWork],
) -> Evidence:
    """What a scene's numbers show beside its neighbour's, if those are proved by the neighbour's own pixels."""
    others = [work for work in files if work.header is not None and work.failure is None]
    if not others or len(others) < len(files):
        return Evidence(None, f"neighbour {neighbour} can't be read")
    of_others = [_conversion(work, others) for work in others]
    decision = _decide(neighbour, sensor, others, of_others, lambda: None)
    if not decision.is_proved:
        return Evidence(None, f"neighbour {neighbour} proves nothing: its own pixels don't")
    bands: dict[str, tuple[np.ma.MaskedArray, np.ma.MaskedArray]] = {}
    for (work, conversion), (other, its) in product(
        zip(opened, conversions, strict=True), zip(others, of_others, strict=True)
    ):
        if work.samples.keys() & other.samples.keys() and _is_same_ground(work, other):
            mine, proved = _numbers(work, conversion), _numbers(other, its)
            bands |= {band: (mine[band], proved[band] - decision.offset_dn) for band in mine.keys() & proved.keys()}
    return compare(neighbour, bands, sensor)


def _numbers(work: FileWork, conversion: Conversion | None) -> dict[str, np.ma.MaskedArray]:
    """Digital numbers of a file's samples, by band; none of a file of unknown unit."""
    if conversion is None:
        return {}
    return {band: np.ma.MaskedArray(conversion.apply(s.data), s.mask) for band, s in work.samples.items()}


def _is_same_ground(work: FileWork, other: FileWork) -> bool:
    """Whether samples of two files are the same pixels of one grid."""
    mine, its = work.header, other.header
    if mine is None or its is None:
        return False
    sizes = [{sample.size for sample in w.samples.values()} for w in (work, other)]
    grids = [(h.crs, h.transform, h.width, h.height, h.cell) for h in (mine, its)]
    return grids[0] == grids[1] and sizes[0] == sizes[1]


def _conversion(work: FileWork, opened: Sequence[FileWork]) -> Conversion | None:
    """From a file's numbers to digital numbers, but for an offset of them; None if that is in doubt."""
    header = work.header
    assert header is not None  # noqa: S101 - only files that were opened come here
    stated = header.stated
    if stated is None or stated.scale == 1:
        alike = [w for w in opened if w.header is not None and w.header.dtype == header.dtype]
        return conversion_of_range(header.dtype, [n.compressed() for w in alike for n in w.samples.values()])
    if is_standard(stated.scale):
        return Conversion()
    return Conversion(stated.scale * DN_PER_REFLECTANCE, stated.offset * DN_PER_REFLECTANCE)


def _statement(header: Header | None, conversion: Conversion) -> Statement | None:
    """What a file's own scale says of an offset of digital numbers."""
    stated = header.stated if header else None
    if stated is None:
        return None
    if stated.scale == 1:
        return statement_of_scale(TAGS, 1 / DN_PER_REFLECTANCE, stated.offset * conversion.factor / DN_PER_REFLECTANCE)
    said = statement_of_scale(TAGS, stated.scale, stated.offset)
    return said or Statement(TAGS, 0, f"scale {stated.scale:g}, offset {stated.offset:g}, which are applied")


def _doubt(scene: str, works: Sequence[FileWork]) -> RadiometryDecision:
    """Set a scene aside whose numbers are of no known unit."""
    numbers = np.concatenate([np.zeros(0), *(n.compressed() for work in works for n in work.samples.values())])
    kind = works[0].header.dtype if works[0].header else ""
    extent = f" from {numbers.min():g} to {numbers.max():g}" if numbers.size else ""
    against = f"numbers of type {kind}{extent} are neither reflectance 0–1 nor digital numbers, and no scale is stated"
    return RadiometryDecision(scene, False, 0, "nothing", (), (against,))


class Judges:
    """Decides what the numbers of scenes are worth, and remembers it by name in `decisions`."""

    def __init__(
        self,
        origin: Origin,
        pool: Pool,
        patience: Patience,
        decisions: "dict[str, RadiometryDecision]",
        neighbours: "Mapping[str, Item]",
    ) -> None:
        self.decisions = decisions
        self._origin = origin
        self._pool = pool
        self._patience = patience
        self._neighbours = neighbours

    def judge(self, scene: Scene) -> None:
        """Find out what a scene's numbers are worth, once however many grids and band sets it is read for."""
        if scene.is_judged:
            name = scene.item.name
            may_pass = any(work.failure is not None and not work.failure.lasting for work in scene.files)
            decision = judge(
                name,
                scene.sensor,
                scene.files,
                self.decisions.get(name),
                partial(self._neighbour, scene),
                stated_of_item(getattr(scene.item, "properties", None) or {}),
            )
            if decision is not None and not may_pass:  # from a part of its files, another time it may be another one
                self.decisions[name] = decision

    def _neighbour(self, scene: Scene) -> Neighbour | None:
        """Samples of a scene's neighbour in time; None if it has none. At most as much is read as of the scene."""
        item = self._neighbours.get(scene.item.name)
        if item is None:
            return None
        bands = scene.band_set.bands
        beside = Scene(item, scene.band_set, scene.projection, scene.nodata, scene.resampling, scene.sensor)
        try:
            files = wanted_bands(self._origin, item, bands)
        except UNREADABLE:
            return item.name, []
        sampled = [
            file for file in files if {bands[place] for place in file[2]} & {*sampled_bands(scene.sensor, bands)}
        ]
        looks = [self._pool.submit(partial(beside.look, self._origin, file, self._patience)) for file in sampled]
        works: list[FileWork] = [look.result() for look in looks]
        return item.name, works
