"""Points that stay as they are when a year is sampled again.

The burnt windows, and those on its edge, that a fire has by itself are remembered; what the year's other fires leave of
them is found anew. Negatives of a fire hang on the fire, on the ground, and on whether each window that is drawn for it
keeps off every burn. So the windows drawn are remembered, with that answer. Where fire and ground are as before, and no
answer changed, the picks are those of before; the other fires are sampled anew. The result is the same as without
memory.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling.accounts import Losses
from burnscar_assets.sampling.burnt import pick_burnt, spread_burnt
from burnscar_assets.sampling.edges import pick_edges, spread_edges
from burnscar_assets.sampling.frame import SamplingFrame
from burnscar_assets.sampling.ground import Pieces, Shapes
from burnscar_assets.sampling.lattice import Cells, Lattice
from burnscar_assets.sampling.negatives import pick_unburnt
from burnscar_assets.sampling.picked import PickedStratum
from burnscar_assets.sampling.strata import StratumSource
from burnscar_assets.settings import SamplingSettings
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.hashing import hash_json

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OF_BURNS_AND_GROUND: Final = (Stratum.RING, Stratum.GRANULE, Stratum.LAND)
"""Strata whose windows are drawn on the ground alone, and keep off all burns; others have shapes of their own."""

_FORMAT: Final = 2
"""Of the file; one of another format is not read."""

MOST_CHANGED_BURNS = 64
"""With more burns than this that came or went, nothing is kept: a new release of most of a state's perimeters."""


@dataclass(frozen=True)
class Inputs:
    """What the draws of a year hang on.

    Attributes:
        key: code, settings and ground; another one and nothing is kept.
        fires: hash of identity, perimeter, area, complex and split of each fire of the frame.
        burns: hash of each burn that windows keep off.
        bounds: bounds of each burn, metres of the region's CRS, shape (n, 4).
    """

    key: str
    fires: list[str]
    burns: list[str]
    bounds: Floats

    @classmethod
    def of(cls, key: str, frame: SamplingFrame, burns: Shapes, land: Shapes) -> Self:
        """The inputs of a frame."""
        rows = frame.fires
        told = (rows["fire_id"], _hashes(rows.geometry), rows["area_ha"], frame.complexes(), frame.splits)
        fires = [hash_json([str(part) for part in identity]) for identity in zip(*told, strict=True)]
        return cls(hash_json([key, _hashes(land)]), fires, _hashes(burns), shapely.bounds(burns).reshape(-1, 4))


@dataclass(frozen=True)
class Memory:
    """What was drawn and picked for the points of a year.

    Of burnt windows and those on edges it is what each fire has on its own.
    """

    inputs: Inputs
    strata: Mapping[Stratum, PickedStratum]

    def write(self, path: Path) -> None:
        """Write it to a file, whole or not at all."""
        arrays = {
            f"{stratum.value}/{column.name}": getattr(picked, column.name)
            for stratum, picked in self.strata.items()
            for column in fields(picked)
            if column.name != "losses"
        }
        inputs = self.inputs
        losses = {stratum.value: [[f, r, n] for f, _, r, n in self.strata[stratum].losses] for stratum in self.strata}
        told = {"format": _FORMAT, "key": inputs.key, "fires": inputs.fires, "burns": inputs.burns, "losses": losses}
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, text=np.array(json.dumps(told)), bounds=inputs.bounds, **arrays)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What a file holds; nothing if it isn't there, or isn't what `write` wrote."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                told = json.loads(str(stored["text"]))
                if told["format"] != _FORMAT:
                    return None
                inputs = Inputs(told["key"], told["fires"], told["burns"], stored["bounds"])
                return cls(inputs, {Stratum(name): _picked(stored, name, told) for name in told["losses"]})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def _picked(stored: Any, name: str, told: Mapping[str, Any]) -> PickedStratum:
    losses = Losses()
    for fire, reason, points in told["losses"][name]:
        losses.add(fire, Stratum(name), reason, points)
    columns = [column.name for column in fields(PickedStratum) if column.name != "losses"]
    return PickedStratum(losses=losses, **{column: stored[f"{name}/{column}"] for column in columns})


def picks_stay(before: Memory, burns: Shapes, side_m: float, settings: SamplingSettings) -> bool:
    """Whether sampling again would pick what it picked before, if nothing but burns has changed since."""
    changed = _Changed.since(before.inputs, burns, _hashes(burns), Lattice(side_m), settings.ring_gap_m)
    wanted = [stratum for stratum, share in settings.unburnt_per_burnt.items() if share]
    if changed is None or not before.strata.keys() >= set(wanted) <= set(OF_BURNS_AND_GROUND):
        return False
    return not any(changed.other_answer(before.strata[stratum]).any() for stratum in wanted)


class Resampling:
    """The picks of a year, with those of before where they stay."""

    def __init__(self, frame: SamplingFrame, burns: Shapes, inputs: Inputs, before: Memory | None) -> None:
        self._frame, self._inputs = frame, inputs
        self._before = before if before is not None and before.inputs.key == inputs.key else None
        self._picked: dict[Stratum, PickedStratum] = {}
        self._changed = None
        if self._before is not None:
            gap_m = frame.settings.ring_gap_m
            self._changed = _Changed.since(self._before.inputs, burns, inputs.burns, frame.lattice, gap_m)

    @property
    def memory(self) -> Memory:
        """What the next time keeps of this one."""
        return Memory(self._inputs, self._picked)

    def pick_burnt(self) -> PickedStratum:
        """The burnt windows, as `burnt.pick_burnt` picks them."""
        return pick_burnt(self._frame, self._of_fires(Stratum.BURNT, spread_burnt))

    def pick_edges(self) -> PickedStratum:
        """The windows on the edges of fires, as `edges.pick_edges` picks them."""
        return pick_edges(self._frame, self._of_fires(Stratum.EDGE, spread_edges))

    def pick_unburnt(self, stratum: Stratum, source: Callable[[], StratumSource], wanted: Ints) -> PickedStratum:
        """The unburnt windows of a stratum, as `pick_unburnt` picks them; the source is only made if it is needed."""
        if stratum not in OF_BURNS_AND_GROUND:
            return pick_unburnt(stratum, source(), wanted, self._frame)
        kept, stays = self._kept(stratum, wanted)
        again = np.where(stays, 0, wanted)
        picked = kept.joined(pick_unburnt(stratum, source(), again, self._frame)) if again.any() else kept
        self._picked[stratum] = picked
        return picked

    def _of_fires(self, stratum: Stratum, spread: Callable[..., PickedStratum]) -> PickedStratum:
        """What each fire has of a stratum on its own, which is remembered: of fires as they were, that of before."""
        fires = len(self._frame.fires)
        kept, stays = PickedStratum.empty(fires), np.zeros(fires, dtype=bool)
        if self._before is not None and stratum in self._before.strata:
            old_number = self._old_numbers(self._before)
            stays = old_number >= 0
            kept = self._before.strata[stratum].of_fires(old_number, stays)
        self._picked[stratum] = kept if stays.all() else kept.joined(spread(self._frame, ~stays))
        return self._picked[stratum]

    def _kept(self, stratum: Stratum, wanted: Ints) -> tuple[PickedStratum, npt.NDArray[np.bool_]]:
        """What stays of a stratum, by the fires' new numbers, and the fires of which all of it stays."""
        none = PickedStratum.empty(len(self._frame.fires))
        old = None if self._before is None else self._before.strata.get(stratum)
        if self._before is None or old is None or self._changed is None:
            return none, np.zeros(len(wanted), dtype=bool)
        old_number = self._old_numbers(self._before)
        stays = old_number >= 0
        stays[stays] = old.wanted[old_number[stays]] == wanted[stays]
        stays[stays] = ~self._changed.other_answer(old)[old_number[stays]]
        return old.of_fires(old_number, stays), stays

    def _old_numbers(self, before: Memory) -> Ints:
        """The number that each fire had before; -1 for one that is new or other than it was."""
        numbers = {fire: number for number, fire in enumerate(before.inputs.fires)}
        return np.array([numbers.get(fire, -1) for fire in self._inputs.fires], dtype=np.int64)


@dataclass(frozen=True)
class _Changed:
    """Burns that came or went since windows were drawn."""

    boxes: Floats
    burns: Shapes
    lattice: Lattice
    gap_m: float

    @classmethod
    def since(cls, before: Inputs, burns: Shapes, hashes: list[str], lattice: Lattice, gap_m: float) -> Self | None:
        """The burns that came or went; None if they are too many."""
        known, there = set(before.burns), set(hashes)
        gone = before.bounds[[burn not in there for burn in before.burns]]
        came = shapely.bounds(burns[[burn not in known for burn in hashes]]).reshape(-1, 4)
        boxes = np.concatenate([gone, came])
        boxes = boxes[~np.isnan(boxes).any(axis=1)]
        return cls(boxes, burns, lattice, gap_m) if len(boxes) <= MOST_CHANGED_BURNS else None

    def other_answer(self, old: PickedStratum) -> npt.NDArray[np.bool_]:
        """Whether any window drawn for each fire of before keeps off the burns no more, or only now."""
        touched = np.zeros(len(old.wanted), dtype=bool)
        near = _inside(old.drawn_x_m, old.drawn_y_m, self._wider(self._reach_m))
        if near.any():
            cells = Cells(*(old.drawn_cells[near].T.astype(np.int64)))
            beside = _meeting(shapely.bounds(self.burns).reshape(-1, 4), self._wider(3 * self._reach_m))
            shows = Pieces(self.burns[beside]).near(self.lattice.footprints(cells), self.gap_m)
            touched[old.drawn_fire[near][shows != old.drawn_shows[near]]] = True
        return touched

    @property
    def _reach_m(self) -> float:
        """Farther than a burn can be from the centre of a window that it matters to, metres."""
        return self.gap_m + 2 * self.lattice.side_m

    def _wider(self, by_m: float) -> Floats:
        return self.boxes + np.array([-1, -1, 1, 1]) * by_m


def _hashes(shapes: Any) -> list[str]:
    return [hashlib.sha256(wkb).hexdigest() for wkb in shapely.to_wkb(np.asarray(shapes, dtype=object))]


def _inside(x_m: npt.NDArray[Any], y_m: npt.NDArray[Any], boxes: Floats) -> npt.NDArray[np.bool_]:
    """Whether points lie in any of the boxes."""
    inside = np.zeros(len(x_m), dtype=bool)
    for min_x, min_y, max_x, max_y in boxes:
        inside |= (x_m >= min_x) & (x_m <= max_x) & (y_m >= min_y) & (y_m <= max_y)
    return inside


def _meeting(bounds: Floats, boxes: Floats) -> npt.NDArray[np.bool_]:
    """Whether bounds meet any of the boxes."""
    meeting = np.zeros(len(bounds), dtype=bool)
    for min_x, min_y, max_x, max_y in boxes:
        meeting |= (bounds[:, 0] <= max_x) & (bounds[:, 2] >= min_x) & (bounds[:, 1] <= max_y) & (bounds[:, 3] >= min_y)
    return meeting
