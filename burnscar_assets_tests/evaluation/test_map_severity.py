"""Burned ground and hits by severity: Key and Benson's steps of dNBR, whatever season and haze did to a frame."""

import numpy as np
import pytest

from burnscar_assets.evaluation.map_scores import (
    BURN_CLASSES,
    NO_CLASSES,
    ScoredGround,
    hits_by_severity,
    severity_codes,
)
from burnscar_assets.mapping.old_scars import BurnRatios

SIDE = 100
CHANGES = {"unchanged": 0.02, "low": 0.2, "moderate-low": 0.35, "moderate-high": 0.55, "high": 0.8}


def frame(haze: float = 0.0) -> tuple[BurnRatios, ScoredGround]:
    """A fire of five strips of 2 rows, each of its class, in a frame of 100 by 100; one strip's end is cloudy."""
    before = np.full((SIDE, SIDE), 0.5, np.float32)
    after, truth = before - np.float32(haze), np.zeros((SIDE, SIDE), np.uint8)
    for number, change in enumerate(CHANGES.values()):
        after[20 + 2 * number : 22 + 2 * number, 20:70] -= np.float32(change)
    truth[20:30, 20:70] = 1
    clear = np.ones((SIDE, SIDE), bool)
    clear[28:30, 60:70] = False
    everywhere = np.ones_like(clear)
    return BurnRatios(before, after, ~everywhere), ScoredGround.of(truth, clear, clear, everywhere, 10, 0.5)


@pytest.mark.parametrize("haze", [-0.12, 0.0, 0.12])
def test_ground_is_counted_by_class_and_hits_where_it_is_mapped(haze: float) -> None:
    ratios, ground = frame(haze)
    called = np.zeros((SIDE, SIDE), bool)
    called[24:, :] = True
    found = hits_by_severity(called, ground, severity_codes(ratios, ground))
    assert [found[one.columns[0]] for one in BURN_CLASSES] == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.8])
    assert [found[one.columns[1]] for one in BURN_CLASSES] == pytest.approx([0.0, 0.0, 1.0, 1.0, 0.8])
    assert tuple(CHANGES) == tuple(one.name for one in BURN_CLASSES)


def test_without_an_image_before_no_class_is_known() -> None:
    ratios, ground = frame()
    alone = ScoredGround.of(ground.burnt.astype(np.uint8), ground.judged, None, np.ones_like(ground.judged), 10, 0.5)
    assert severity_codes(None, ground) is None and severity_codes(ratios, alone) is None
    assert hits_by_severity(ground.burnt, alone, None) == dict(NO_CLASSES)
