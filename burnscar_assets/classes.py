"""Class ids, names and colours, splits and strata: the one place for each of these facts."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LABEL_PROPERTY: Final = "category"
"""Name of the property of the label layer that holds the class name."""

CLASS_NAMES: Final = ("burnt", "unburnt")
"""Class names in the order of their ids: 0 = burnt, 1 = unburnt, as in the published configuration."""

BURNT: Final = 0
UNBURNT: Final = 1

UNLABELLED: Final = 255
"""In a label raster: what a pixel shows isn't known, and no model is trained or scored on it."""

MIXED: Final = "mixed"
"""Category of windows of no single class, as the outline of a burn crosses them: label rasters say what a pixel is."""

CATEGORIES: Final = (*CLASS_NAMES, MIXED)
"""What a point or window is as a whole."""

CLASS_COLORS: Final = {"burnt": "#c1440e", "unburnt": "#3a7d44", MIXED: "#b8860b"}
SPLIT_COLORS: Final = {"train": "#4c72b0", "val": "#dd8452", "test": "#8172b3"}
_FOLD_COLORS: Final = (
    "#4c72b0",
    "#dd8452",
    "#8172b3",
    "#55a868",
    "#937860",
    "#da8bc3",
    "#8c8c8c",
    "#ccb974",
    "#64b5cd",
)


class Split(StrEnum):
    """What a fire, and the ground that it stands on, is used for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True)
class Fold:
    """The fold that a checkpoint is judged on; the next one chooses and fixes what is chosen, the others train it.

    Attributes:
        number: of the fold, from 0.
        of: how many folds there are.
    """

    number: int
    of: int

    @property
    def roles(self) -> dict[str, Split]:
        """What the ground of each fold is used for, by the fold's name as a split."""
        inner = (self.number + 1) % self.of
        special = {self.number: Split.TEST, inner: Split.VAL}
        return {name: special.get(number, Split.TRAIN) for number, name in enumerate(fold_names(self.of))}

    def splits(self, role: Split) -> tuple[str, ...]:
        """Names of the folds that have a role."""
        return tuple(name for name, given in self.roles.items() if given == role)


def every_fold(count: int) -> tuple[Fold, ...]:
    """The folds that fires are dealt into, each of which a checkpoint is judged on."""
    return tuple(Fold(number, count) for number in range(count))


def fold_names(count: int) -> tuple[str, ...]:
    """What the splits of a world with so many folds are called."""
    return tuple(f"fold_{number}" for number in range(count))


def split_colors(splits: Iterable[str]) -> dict[str, str]:
    """Colours of splits in the order in which they are shown: those of training, validation and test, or of folds."""
    others = sorted(set(splits) - set(SPLIT_COLORS), key=lambda name: (len(name), name))
    return {name: _FOLD_COLORS[number % len(_FOLD_COLORS)] for number, name in enumerate(others)} or dict(SPLIT_COLORS)


class Stratum(StrEnum):
    """Where a sampled point comes from."""

    BURNT = "burnt"
    RING = "ring"
    GRANULE = "granule"
    LAND = "land"
    HARD = "hard"
    OLD_SCAR = "old_scar"
    EDGE = "edge"

    @property
    def category(self) -> str:
        """What its windows are as a whole."""
        return {Stratum.BURNT: CLASS_NAMES[BURNT], Stratum.EDGE: MIXED}.get(self, CLASS_NAMES[UNBURNT])
