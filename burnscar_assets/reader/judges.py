"""Scenes of one call are judged once each, beside a neighbour in time where their own pixels prove nothing."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from burnscar_assets.reader.file_work import FileWork
from burnscar_assets.reader.files import UNREADABLE, Patience
from burnscar_assets.reader.judging import Neighbour, judge
from burnscar_assets.reader.origin import Origin, wanted_bands
from burnscar_assets.reader.pool import Pool
from burnscar_assets.reader.radiometry import stated_of_item
from burnscar_assets.reader.sample import sampled_bands
from burnscar_assets.reader.scene import Scene

if TYPE_CHECKING:
    from rslearn.data_sources import Item

    from burnscar_assets.reader.radiometry import RadiometryDecision


class Judges:
    """Decides what the numbers of scenes are worth, and remembers it.

    Attributes:
        decisions: what was found out of scenes, by name.
    """

    def __init__(
        self,
        origin: Origin,
        pool: Pool,
        patience: Patience,
        decisions: "dict[str, RadiometryDecision]",
        neighbours: "Mapping[str, Item]",
    ) -> None:
        """Know where scenes are, and what is known of them; nothing is read yet."""
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
