import numpy as np
import pytest
from kit.burn_tellers import FOLDS, by_dnbr, folds, iou
from kit.fire_chips import FIRE_SHARE, Chip

from burnscar_assets_tests.benchmarks.quick_run import quick_figures


def chip(x_m: float) -> Chip:
    after = np.full((5, 4, 4), 1000, np.float32)
    after[3] = 3000
    after[:, 0, 0] = np.nan
    inside = np.zeros((4, 4), bool)
    inside[1:3, 1:3] = True
    return Chip("f", (x_m, 0.0), after, after, np.where(inside, 0.9, 0.5).astype(np.float32), inside)


def test_dnbr_tells_what_lost_more_than_a_tenth_and_nothing_where_a_pixel_is_missing() -> None:
    one = chip(0)
    assert by_dnbr(one).tolist() == one.perimeter.tolist()
    assert iou(by_dnbr(one), one.perimeter, np.isfinite(one.dnbr)) == 1


def test_fires_within_ten_kilometres_stay_in_one_fold() -> None:
    found = folds([chip(x) for x in (0, 9_000, 18_000, 100_000, 200_000, 300_000, 400_000, 500_000)])
    assert len(set(found[:3])) == 1
    assert set(found) == set(range(FOLDS))


@pytest.mark.slow
def test_every_figure_of_the_stage_has_its_line(tmp_path: object) -> None:
    figures = quick_figures("stage.py", tmp_path)
    assert {name for name in figures if figures[name]["bar"]} == {
        "distance to real fires, dNBR > 0.1", "distance to real fires, dNBR less its median > 0.1",
        "distance to real fires, boosted trees",
    }  # fmt: skip
    assert 0.7 < figures["median IoU of true burn and perimeter"]["ours"] < 0.95
    assert 0.02 < figures["spread of dNBR outside the perimeter"]["ours"] < 0.05
    assert 0.1 < FIRE_SHARE < 0.25
