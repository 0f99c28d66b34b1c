"""How well a fire's frame is mapped, pixel by pixel: scores of one prediction on ground that is the same for all.

Ground is judged where both images show it and the truth is known, whatever a prediction has to say of it: a pixel
without an answer counts as unburnt. So every set-up, baseline and floor has as many pixels. Water is judged as any
ground is. Where the image before shows too little of the frame it isn't asked for, and what needs it isn't judged.

What maps miss is counted by class of severity too, on fires with an image before. Classes are Key and Benson's of dNBR,
less the mode of the frame's unburned ground: no perimeter and no map has a part in them. Ground inside a perimeter that
hardly changed is a class of its own, `unchanged`: it may not have burned.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.evaluation.frame_pixels import BURNT, UNBURNT
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.grid import HA_M2, MIN_AREA_HA
from burnscar_assets.mapping.ground import near
from burnscar_assets.mapping.old_scars import BurnRatios
from burnscar_assets.mapping.severity import NO_SEVERITY, SEVERITY_CLASSES, UNBURNED_CODE, classify
from burnscar_assets.sampling.randomness import key_of
from burnscar_assets.sensors.indices import dnbr
from burnscar_assets.settings import EvaluationSettings

RING_M: Final = 500.0
"""Width of a fire's surroundings, of which a least part must show too."""

CORNER: Final = math.sqrt(2) + 1e-6
"""Distance of pixels that touch at a corner, in pixels: within one pixel are all eight neighbours."""

Mask = NDArray[np.bool_]
BLOCK_PX: Final = 512
"""Side of the blocks that frames are answered in, which decides what of a large one is drawn."""


@dataclass(frozen=True)
class ScoredGround:
    """The pixels of a frame that predictions are judged on.

    Attributes:
        judged: (height, width) which pixels count.
        burnt: (height, width) what burned, by the perimeter.
        outline_px: (height, width) distance from the nearest burnt pixel that has an unburnt neighbour, in pixels;
            infinite without one.
        resolution_m: side of a pixel, metres.
        coverage: share of the fire's pixels that count, 0–1; NaN without a fire.
        ring_coverage: the same of its surroundings.
        with_before: whether the image before was asked for too.
        reason: why the frame isn't judged; empty if it is.
    """

    judged: Mask
    burnt: Mask
    outline_px: NDArray[np.float64]
    resolution_m: float
    coverage: float
    ring_coverage: float
    with_before: bool
    reason: str = ""

    @classmethod
    def of(
        cls,
        truth: NDArray[np.generic],
        clear: Mask,
        clear_before: Mask | None,
        looked_at: Mask,
        resolution_m: float,
        min_coverage: float,
        *,
        has_fire: bool = True,
    ) -> "ScoredGround":
        """Choose the pixels of a frame.

        Args:
            truth: (height, width) `BURNT`, `UNBURNT`, or something else where it isn't known.
            clear: (height, width) where the image after shows the ground.
            clear_before: the same of the image before; None without one.
            looked_at: (height, width) the part of the frame that is looked at.
            resolution_m: side of a pixel, metres.
            min_coverage: share of the fire, and of its surroundings, that must count, 0–1.
            has_fire: whether it is the frame of a fire; all of one without is looked at as surroundings are.
        """
        burnt, unburnt = (looked_at & (truth == code) for code in (BURNT, UNBURNT))
        outline_px = _distance(_edge(burnt, unburnt))
        ring = unburnt & (outline_px * resolution_m <= RING_M) if burnt.any() else unburnt

        def covered(shown: Mask) -> tuple[float, float]:
            return _share((burnt & shown).sum(), burnt.sum()), _share((ring & shown).sum(), ring.sum())

        both = clear if clear_before is None else clear & clear_before
        with_before = clear_before is not None and not _lacks(covered(both), min_coverage)
        shown = both if with_before else clear
        coverage = covered(shown)
        reason = ""
        if has_fire and not burnt.any():
            reason = "none of its ground can be judged"
        elif _lacks(coverage, min_coverage):
            reason = f"less than {min_coverage:.0%} of the fire or its surroundings is clear and may be judged"
        return cls((burnt | unburnt) & shown, burnt, outline_px, resolution_m, *coverage, with_before, reason)

    @property
    def pixel_ha(self) -> float:
        """Area of a pixel, hectares."""
        return self.resolution_m**2 / HA_M2

    def off_outline(self, margin_m: float) -> Mask:
        """(height, width) pixels that count and whose centres lie farther from the outline than a margin."""
        centre_px = np.where(self.burnt, self.outline_px + 0.5, self.outline_px - 0.5)
        return self.judged & (centre_px * self.resolution_m > margin_m)


@dataclass(frozen=True)
class MapScore:
    """Scores of a prediction on one frame; NaN where undefined.

    Attributes:
        judged_ha: ground that counts, hectares.
        burnt_ha: of it, burned.
        mapped_ha: mapped as burned.
        hits_ha: both.
        unanswered: share of the ground that counts without an answer, 0–1.
        iou: hits over what either has; 0 where nothing is mapped.
        iou_off_outline: the same without a margin about the outline.
        f1: of the pixels.
        omission: share of the burned ground that isn't mapped, 0–1.
        commission: share of the mapped ground that didn't burn, 0–1.
        area_ratio: mapped over burned.
        boundary_f_1px, boundary_f_2px: F1 of the outlines' pixels that have one of the other outline within one or two
            pixels, corners included; 0 where nothing is mapped.
        boundary_distance_m_mean, boundary_distance_m_median: distance of one outline's pixels from the other, both
            ways, metres.
        false_patches: patches of false burned ground from MIN_AREA_HA on.
    """

    judged_ha: float
    burnt_ha: float
    mapped_ha: float
    hits_ha: float
    unanswered: float
    iou: float
    iou_off_outline: float
    f1: float
    omission: float
    commission: float
    area_ratio: float
    boundary_f_1px: float
    boundary_f_2px: float
    boundary_distance_m_mean: float
    boundary_distance_m_median: float
    false_patches: int

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the scores, in their order."""
        return tuple(field.name for field in fields(cls))


def score_map(called: Mask, answered: Mask, ground: ScoredGround, margin_m: float) -> MapScore:
    """Score a prediction.

    Args:
        called: (height, width) what it calls burnt.
        answered: (height, width) where it has an answer.
        ground: what counts.
        margin_m: about the outline, left out in the second IoU, metres.
    """
    judged = ground.judged
    mapped, burnt = called & answered & judged, ground.burnt & judged
    hits, either = (mapped & burnt).sum(), (mapped | burnt).sum()
    far = ground.off_outline(margin_m)
    to_truth, to_map = _outline_distances(mapped, burnt, judged)
    both_ways = np.concatenate([to_truth, to_map]) * ground.resolution_m
    is_known = bool(len(to_truth) and len(to_map))
    ha = ground.pixel_ha
    return MapScore(
        judged_ha=float(judged.sum() * ha),
        burnt_ha=float(burnt.sum() * ha),
        mapped_ha=float(mapped.sum() * ha),
        hits_ha=float(hits * ha),
        unanswered=_share((judged & ~answered).sum(), judged.sum()),
        iou=_share(hits, either),
        iou_off_outline=_share((mapped & burnt & far).sum(), ((mapped | burnt) & far).sum()),
        f1=_share(2 * hits, mapped.sum() + burnt.sum()),
        omission=1 - _share(hits, burnt.sum()),
        commission=1 - _share(hits, mapped.sum()),
        area_ratio=_share(mapped.sum(), burnt.sum()),
        boundary_f_1px=_boundary_f(to_truth, to_map, 1),
        boundary_f_2px=_boundary_f(to_truth, to_map, 2),
        boundary_distance_m_mean=float(both_ways.mean()) if is_known else math.nan,
        boundary_distance_m_median=float(np.median(both_ways)) if is_known else math.nan,
        false_patches=_patches(mapped & ~burnt, math.ceil(MIN_AREA_HA / ha)),
    )


def _edge(inside: Mask, outside: Mask) -> Mask:
    """(height, width) pixels inside that have a pixel outside beside them."""
    beside = np.zeros(inside.shape, bool)
    beside[1:] |= outside[:-1]
    beside[:-1] |= outside[1:]
    beside[:, 1:] |= outside[:, :-1]
    beside[:, :-1] |= outside[:, 1:]
    return inside & beside


def _distance(places: Mask) -> NDArray[np.float64]:
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~places)) if places.any() else np.full(places.shape, np.inf)


def _outline_distances(mapped: Mask, burnt: Mask, judged: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances, pixels, of the map's outline from the true one, and of the true one from the map's.

    Outlines are between ground that counts on both sides, so that a cloud's edge is none. Without the other outline a
    distance is infinite.
    """
    from scipy.spatial import KDTree

    ours, theirs = (np.argwhere(_edge(inside, judged & ~inside)) for inside in (mapped, burnt))
    if not len(ours) or not len(theirs):
        return np.full(len(ours), np.inf), np.full(len(theirs), np.inf)
    return KDTree(theirs).query(ours)[0], KDTree(ours).query(theirs)[0]


def _boundary_f(to_truth: NDArray[np.float64], to_map: NDArray[np.float64], within_px: int) -> float:
    if not len(to_map):
        return math.nan
    if not len(to_truth):
        return 0.0
    right, found = ((one <= within_px * CORNER).mean() for one in (to_truth, to_map))
    return float(2 * right * found / (right + found)) if right + found else 0.0


def _patches(false: Mask, least_px: int) -> int:
    """How many patches, corners included, have at least so many pixels."""
    from scipy import ndimage

    labels, _ = ndimage.label(false, structure=np.ones((3, 3), dtype=bool))
    return int((np.bincount(labels[false]) >= least_px).sum()) if false.any() else 0


def _lacks(coverage: tuple[float, float], least: float) -> bool:
    """Whether too little shows; of what isn't there, everything does."""
    return any(share < least for share in coverage)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


@dataclass(frozen=True)
class BurnClass:
    """Classes of severity that are reported as one.

    Attributes:
        name: in figures.
        codes: of rasters of severity.
    """

    name: str
    codes: tuple[int, ...]

    @property
    def columns(self) -> tuple[str, str]:
        """Columns of contract MAP_SCORES: burned ground of the class, and what of it is mapped, hectares."""
        key = self.name.replace("-", "_")
        return f"burnt_{key}_ha", f"hits_{key}_ha"


BURN_CLASSES: Final = (
    BurnClass("unchanged", tuple(s.code for s in SEVERITY_CLASSES if s.code <= UNBURNED_CODE)),
    *(BurnClass(s.name, (s.code,)) for s in SEVERITY_CLASSES if s.code > UNBURNED_CODE),
)


NO_CLASSES: Final[Mapping[str, None]] = dict.fromkeys(column for one in BURN_CLASSES for column in one.columns)


"""Columns of a fire without an image before."""


def severity_codes(ratios: BurnRatios | None, ground: ScoredGround) -> NDArray[np.uint8] | None:
    """(height, width) codes of SEVERITY_CLASSES; None where the image before isn't asked for, or shows too little."""
    mode = None if ratios is None or not ground.with_before else ratios.mode
    if ratios is None or mode is None:
        return None
    return classify((dnbr(ratios.before, ratios.after) - np.float32(mode)).astype(np.float32))


def hits_by_severity(called: Mask, ground: ScoredGround, codes: NDArray[np.uint8] | None) -> dict[str, float | None]:
    """Hectares that burned and that are mapped, by columns of contract MAP_SCORES.

    Args:
        called: (height, width) called burnt, where there is an answer.
        ground: what counts.
        codes: of `severity_codes`.
    """
    if codes is None:
        return dict(NO_CLASSES)
    burnt = ground.burnt & ground.judged & (codes != NO_SEVERITY)
    found: dict[str, float | None] = {}
    for one in BURN_CLASSES:
        inside = burnt & np.isin(codes, one.codes)
        pixels = inside.sum(), (inside & called).sum()
        found |= {column: float(count * ground.pixel_ha) for column, count in zip(one.columns, pixels, strict=True)}
    return found


def areas_by_severity(rows: pd.DataFrame) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """By class, (n,) hectares that burned of each fire and those that its map misses; 0 without an image before.

    Args:
        rows: contract MAP_SCORES, of one predictor.
    """
    areas = {}
    for one in BURN_CLASSES:
        burnt, hits = (np.nan_to_num(rows[column].to_numpy(float, na_value=np.nan)) for column in one.columns)
        areas[one.name] = burnt, burnt - hits
    return areas


def blocks_of(frame: Frame, name: str, max_km2: float) -> list[Box]:
    """The blocks that a frame is answered in; of one larger than `max_km2`, some that are drawn by its name."""
    block_km2 = (BLOCK_PX * frame.resolution_m / 1000) ** 2
    drawn = sorted(frame.blocks(BLOCK_PX), key=lambda box: key_of("frame-block", name, *box.bounds))
    return drawn[: max(1, round(max_km2 / block_km2))]


def ground_of(scene: FireScene, settings: EvaluationSettings, off: gpd.GeoDataFrame | None = None) -> ScoredGround:
    """The pixels of a frame that every predictor is judged on.

    Args:
        scene: the frame.
        settings: least coverage, and how much of a large frame is looked at.
        off: windows whose ground doesn't count.

    Raises:
        MissingDataError: an image or the truth is gone.
    """
    looked_at = np.zeros(scene.frame.shape, bool)
    for box in blocks_of(scene.frame, scene.name, settings.max_frame_km2):
        looked_at[box.slices_in(scene.frame.box)] = True
    box, clear = scene.frame.box, scene.clear(scene.frame.box)
    if off is not None:
        clear &= ~scene.frame.covers(near(off, scene.frame), box, touched=True)
    return ScoredGround.of(
        scene.truth(), clear, scene.clear_before(box), looked_at, scene.frame.resolution_m,
        settings.min_map_coverage, has_fire=scene.fire_id is not None,
    )  # fmt: skip
