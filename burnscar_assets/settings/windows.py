"""Settings of sampling and windows: how perimeters become points, splits and windows."""

from typing import Annotated, Any, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from burnscar_assets.classes import Fold, Split, Stratum, every_fold, fold_names
from burnscar_assets.section import Section
from burnscar_assets.sensors.load import default_sensor

LEAST_RESOLUTION_M = 0.1
METRES_PER_DEGREE = 111_320
"""On a meridian, about."""


def _default_resolution_m() -> float:
    """Of the default sensor; a whole number where it is one, as the versions of stages' code have it."""
    found = default_sensor().resolution_m
    return int(found) if found.is_integer() else found


class SplitSettings(Section):
    """How ground is divided among training, validation and test."""

    block_km: float = Field(
        20, gt=0, le=500, description="Side of the square ground blocks that are dealt to splits, in km."
    )
    margin_m: float = Field(
        320, ge=0, description="Windows closer than this to ground of another split are left out, in metres."
    )
    train: float = Field(0.6, gt=0, lt=1, description="Share of blocks for training.")
    val: float = Field(0.15, gt=0, lt=1, description="Share of blocks for validation; the rest is for test.")
    seed: int = Field(0, description="Another seed deals the blocks anew.")
    folds: int | None = Field(
        None,
        ge=3,
        le=20,
        description="Instead of blocks, deal fires of all years into so many folds, each judged by a model that was "
        "trained on the others: for few fires. No walk-forward. Empty: blocks.",
    )
    fold_gap_km: float = Field(
        10, gt=0, le=500, description="Least distance of ground of different folds, in km; nearer fires share a fold."
    )

    @model_validator(mode="after")
    def _leaves_a_test_share(self) -> Self:
        if self.train + self.val >= 1:
            raise ValueError("train + val must leave a share for test (be below 1)")
        if self.folds and self.fold_gap_m < 2 * self.margin_m:
            raise ValueError(f"fold_gap_km must be at least twice margin_m ({self.margin_m:g})")
        return self

    @model_serializer(mode="wrap")
    def _without_folds_as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Worlds without folds keep their code versions, which settings that don't concern them are no part of."""
        values: dict[str, Any] = handler(self)
        return values if self.folds else {k: v for k, v in values.items() if k not in ("folds", "fold_gap_km")}

    @property
    def fold_gap_m(self) -> float:
        """Least distance of ground of different folds, metres."""
        return self.fold_gap_km * 1000

    @property
    def judged_apart_m(self) -> float:
        """Least distance of what is scored from what was seen, metres."""
        return self.fold_gap_m if self.folds else self.margin_m

    @property
    def members(self) -> tuple[Fold, ...]:
        """The folds, each of which a checkpoint is judged on; none in a world of blocks."""
        return every_fold(self.folds or 0)

    @property
    def judged(self) -> tuple[str, ...]:
        """Splits whose fires are judged as whole frames: every fold, else those for validation and test."""
        return fold_names(self.folds) if self.folds else (Split.VAL, Split.TEST)


class SamplingSettings(Section):
    """How perimeters become points."""

    points_per_sqrt_window: float = Field(
        1.5, gt=0, description="k of n = ceil(k * sqrt(fire area / window area)), the burnt points of a fire."
    )
    max_points_per_fire: int = Field(40, ge=1, description="Cap on burnt points of one fire.")
    max_points_per_complex: int = Field(80, ge=1, description="Cap on burnt points of all fires of a complex.")
    spacing_windows: float = Field(1.0, ge=1, description="Smallest distance between points, in window sides.")
    min_burnt_share: float = Field(
        0.9, gt=0, le=1, description="Least share of a burnt window that lies inside its perimeter, 0–1."
    )
    min_burnt_share_small: float = Field(
        0.5, gt=0, le=1, description="The same for the best window of a fire where none reaches min_burnt_share, 0–1."
    )
    ring_gap_m: float = Field(150, ge=0, description="Gap between perimeter and ring of negatives, in metres.")
    ring_width_m: float = Field(1000, gt=0, description="Width of the ring of negatives, in metres.")
    granule_km: tuple[float, float] = Field(
        (5, 30), description="Nearest and farthest distance of same-granule negatives from their fire, in km."
    )
    unburnt_per_burnt: dict[Stratum, Annotated[float, Field(ge=0)]] = Field(
        {Stratum.RING: 0.5, Stratum.GRANULE: 0.3, Stratum.LAND: 0.2},
        description="Unburnt points of each stratum per burnt point: together, the class balance.",
    )
    edge_share: float = Field(
        0.5,
        ge=0,
        le=4,
        description="Windows on the edge of a fire (stratum edge) per burnt window that it may have, on ground for "
        "training and validation: only models that answer pixel by pixel are trained with them.",
    )
    land: str | None = Field(
        None, description="Vector file of the land to sample, under the data root; empty: the region in coarse outline."
    )
    only_on_land: bool = Field(
        False,
        description="Whether rings and frames of fires keep to the land as well, as where it is all that images show.",
    )
    hard_negatives: str | None = Field(
        None, description="Vector file of confusers (water, lava, fields, …) for stratum hard; under the data root."
    )
    max_fires_per_year: int | None = Field(
        None, ge=3, description="Sample only so many fires a year, spread over sizes and splits; empty: all."
    )
    seed: int = Field(0, description="Seed of the random choices.")
    splits: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _strata_are_negatives(self) -> Self:
        if {Stratum.BURNT, Stratum.EDGE} & set(self.unburnt_per_burnt):
            raise ValueError(
                "unburnt_per_burnt takes the strata ring, granule, land, hard, old_scar; not burnt or edge"
            )
        if self.only_on_land and self.land is None:
            raise ValueError("only_on_land needs a layer of the land: name one in sampling.land")
        if self.splits.folds and self.max_fires_per_year:
            raise ValueError("splits.folds are for few fires: leave out max_fires_per_year")
        if not 0 <= self.granule_km[0] < self.granule_km[1]:
            raise ValueError("granule_km must be [nearest, farthest], 0 or more")
        if self.min_burnt_share_small > self.min_burnt_share:
            raise ValueError("min_burnt_share_small must not be above min_burnt_share")
        return self


class WindowSettings(Section):
    """The size of a window in space and time."""

    size_px: int = Field(
        default_factory=lambda: default_sensor().window_px, ge=8, le=128, description="Side of a window, in pixels."
    )
    resolution_m: float = Field(
        default_factory=_default_resolution_m, ge=0.1, le=1000, description="Ground sampling distance, in metres."
    )
    days_after: tuple[int, int] = Field(
        (0, 30), description="First and last day after containment that imagery of windows and maps may be from."
    )
    days_before: tuple[int, int] = Field(
        (1, 60), description="Nearest and farthest day before the alarm that imagery before the fire may be from."
    )
    label_margin_m: float = Field(
        20, ge=0, description="Pixels nearer than this to the edge of a burn are unlabelled, in metres."
    )

    @field_validator("resolution_m", mode="before")
    @classmethod
    def _is_in_metres(cls, value: Any) -> Any:
        if isinstance(value, float) and 0 < value < LEAST_RESOLUTION_M:
            metres = value * METRES_PER_DEGREE
            raise ValueError(f"{value} looks like degrees: give metres, did you mean {metres:.0f}?")
        return value

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        for name, counted_from in (("days_after", "containment"), ("days_before", "the alarm")):
            first, last = getattr(self, name)
            if not 0 <= first <= last:
                raise ValueError(f"{name} must be [first, last], counted from {counted_from}, 0 or more")
        return self

    @property
    def side_m(self) -> float:
        """Side of a window in metres."""
        return self.size_px * self.resolution_m
