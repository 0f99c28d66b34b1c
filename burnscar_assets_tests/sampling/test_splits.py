"""The deal of the ground."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.sampling.splits import NO_SPLIT, SplitMap
from burnscar_assets.settings import SplitSettings

METRES = st.floats(-600_000, 600_000)


def test_blocks_are_dealt_in_the_shares_of_the_settings() -> None:
    col, row = (axis.ravel() for axis in np.meshgrid(np.arange(-60, 60), np.arange(-60, 60)))
    splits = SplitMap(SplitSettings()).split_of_block(col, row)
    share = {name: float(np.mean(splits == name)) for name in ("train", "val", "test")}
    assert abs(share["train"] - 0.6) < 0.02
    assert abs(share["val"] - 0.15) < 0.02
    assert abs(share["test"] - 0.25) < 0.02


def test_the_deal_is_the_same_for_ever() -> None:
    """Ground that changed its split with a new version would leak test fires into training."""
    splits = SplitMap(SplitSettings()).split_of_block(np.arange(-4, 5), np.arange(5, -4, -1))
    assert splits.tolist() == ["train", "test", "train", "train", "test", "train", "train", "train", "train"]


def test_a_seed_deals_anew() -> None:
    col, row = np.arange(400), np.zeros(400, dtype=int)
    first, second = (SplitMap(SplitSettings(seed=seed)).split_of_block(col, row) for seed in (0, 1))
    assert 0.3 < float(np.mean(first == second)) < 0.7


@given(x_m=METRES, y_m=METRES, width_m=st.floats(0, 50_000), height_m=st.floats(0, 50_000), data=st.data())
def test_a_box_and_its_margin_lie_on_one_split(
    x_m: float, y_m: float, width_m: float, height_m: float, data: st.DataObject
) -> None:
    split_map = SplitMap(SplitSettings(margin_m=320))
    split = split_map.splits_touched([[x_m, y_m, x_m + width_m, y_m + height_m]])[0]
    along = np.linspace(0, 1, 40)
    xs, ys = x_m - 320 + along * (width_m + 640), y_m - 320 + along * (height_m + 640)
    ground = set(split_map.split_of(*(axis.ravel() for axis in np.meshgrid(xs, ys))).tolist())
    if split == NO_SPLIT:
        touching = shapely.box(x_m - 320, y_m - 320, x_m + width_m + 320, y_m + height_m + 320)
        blocks = {tuple(map(int, split_map.block_of(*xy))) for xy in shapely.get_coordinates(touching)}
        assert len(blocks) > 1
    else:
        assert ground == {split}


@given(x_m=METRES, y_m=METRES)
def test_a_point_lies_in_its_block(x_m: float, y_m: float) -> None:
    split_map = SplitMap(SplitSettings(block_km=7))
    min_x, min_y, max_x, max_y = split_map.block_bounds(*(int(n) for n in split_map.block_of(x_m, y_m)))
    assert shapely.box(min_x, min_y, max_x, max_y).distance(shapely.Point(x_m, y_m)) < 1e-6
    assert max_x - min_x == 7_000


def test_no_boxes_are_no_problem() -> None:
    assert SplitMap(SplitSettings()).splits_touched(np.zeros((0, 4))).tolist() == []
