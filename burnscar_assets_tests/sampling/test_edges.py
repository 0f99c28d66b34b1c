"""Windows on the edges of fires: crossed by the outline, anywhere in them, islands too; seeded, and on their ground."""

import numpy as np
import pandas as pd
import shapely

from burnscar_assets.classes import MIXED, Split
from burnscar_assets.sampling.points import SampledPoints, sample_points
from burnscar_assets.settings import SamplingSettings, SplitSettings
from burnscar_assets_tests.sampling.fire_worlds import LAND, WINDOWS, YEAR, Fire, history_of, perimeters_of, sample
from burnscar_assets_tests.sampling.sample_invariants import footprints_of

ONE_SPLIT = SplitSettings(block_km=500, train=0.9998, val=0.0001)
SETTINGS = SamplingSettings(edge_share=1, splits=ONE_SPLIT)
ROUND = Fire(1230, 570, 4000, name="a")


def edges_of(sampled: SampledPoints) -> pd.DataFrame:
    return sampled.points[sampled.points["stratum"] == "edge"]


def shares_of(sampled: SampledPoints, fire: Fire) -> np.ndarray:
    footprints = footprints_of(edges_of(sampled), WINDOWS)
    return shapely.area(shapely.intersection(footprints, fire.shape)) / shapely.area(footprints)


def test_outlines_run_anywhere_through_windows_on_edges() -> None:
    sampled = sample([ROUND], [], SETTINGS)
    edges, shares = edges_of(sampled), shares_of(sampled, ROUND)
    assert len(edges) == (sampled.points["category"] == "burnt").sum() > 10
    assert set(edges["category"]) == {MIXED} and set(edges["fire_id"]) == {"a"}
    assert shares.min() > 0 and shares.max() < SETTINGS.min_burnt_share
    assert shares.min() < 0.25 and shares.max() > 0.65 and 0.25 < shares.mean() < 0.6
    x_m, y_m = shapely.get_coordinates(edges.geometry.to_numpy()).T
    assert len(set(np.floor(np.arctan2(y_m - 570, x_m - 1230) / (np.pi / 4)))) == 8, "on every side of the fire"


def test_an_island_has_an_edge_too() -> None:
    shape = ROUND.shape.difference(shapely.Point(1500, 500).buffer(1500))
    perimeters = perimeters_of([ROUND])
    perimeters["geometry"] = [shape]
    sampled = sample_points(perimeters, history_of([]), YEAR, SETTINGS, WINDOWS, land=LAND, hard_negatives=None)
    centres = edges_of(sampled).geometry.to_numpy()
    assert (shapely.distance(centres, shapely.Point(1500, 500)) < 2000).sum() >= 3
    assert (shapely.distance(centres, shapely.Point(1500, 500)) > 2000).sum() >= 3


def test_the_share_is_a_setting_and_other_strata_stay() -> None:
    def of(share: float) -> pd.DataFrame:
        return sample([ROUND], [], SETTINGS.model_copy(update={"edge_share": share})).points

    none, half = of(0), of(0.5)
    assert not (none["stratum"] == "edge").any()
    assert 0 <= 2 * (half["stratum"] == "edge").sum() - (half["stratum"] == "burnt").sum() <= 1
    pd.testing.assert_frame_equal(none, half[half["stratum"] != "edge"].reset_index(drop=True))


def test_ground_for_testing_has_none() -> None:
    fires = [Fire(9000 * n, 0, 2000) for n in range(-12, 12)]
    sampled = sample(
        fires, [], SamplingSettings(edge_share=1, splits=SplitSettings(block_km=9, margin_m=0, train=0.4, val=0.3))
    )
    burnt = sampled.points[sampled.points["category"] == "burnt"]
    assert set(burnt["split"]) == set(Split)
    assert set(edges_of(sampled)["split"]) == {Split.TRAIN, Split.VAL}
