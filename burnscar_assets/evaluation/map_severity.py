"""How much burned ground maps miss in each class of severity, on fires with an image before.

Classes are Key and Benson's of dNBR, less the mode of the frame's unburned ground: no perimeter and no map has a part
in them. Ground inside a perimeter that hardly changed is a class of its own, `unchanged`: it may not have burned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.evaluation.map_scores import JudgedGround, Mask
from burnscar_assets.mapping.old_scars import BurnRatios
from burnscar_assets.mapping.severity import NO_SEVERITY, SEVERITY_CLASSES, UNBURNED_CODE, classify
from burnscar_assets.sensors.indices import dnbr


@dataclass(frozen=True)
class BurnClass:
    """Classes of severity that are told as one.

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


def severity_codes(ratios: BurnRatios | None, ground: JudgedGround) -> NDArray[np.uint8] | None:
    """(height, width) codes of SEVERITY_CLASSES; None where the image before isn't asked for, or shows too little."""
    mode = None if ratios is None or not ground.with_before else ratios.mode
    if ratios is None or mode is None:
        return None
    return classify((dnbr(ratios.before, ratios.after) - np.float32(mode)).astype(np.float32))


def hits_by_severity(called: Mask, ground: JudgedGround, codes: NDArray[np.uint8] | None) -> dict[str, float | None]:
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
