"""Clusters are pieces of ground: what burned again is one of them, in whatever year and under whatever name."""

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.evaluation.ground import NEAR_M, frame_clusters, ground_clusters
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions


def year(number: int, *, moved_m: float = 0.0) -> gpd.GeoDataFrame:
    """Three fires of a year and two blocks of land, each fire a cluster of that year."""
    rows = make_predictions(fires=3, land_blocks=2)
    rows = rows.set_geometry(rows.translate(yoff=moved_m)).assign(fire_year=number)
    fire = rows["fire_id"] != ""
    rows["cluster_id"] = rows["cluster_id"].where(~fire, rows["cluster_id"] + f"-{number}")
    return rows


def pieces(*years: gpd.GeoDataFrame) -> pd.DataFrame:
    rows = pd.concat(years, ignore_index=True)
    return rows.assign(piece=ground_clusters(rows))


def test_fires_of_one_year_stay_in_their_clusters() -> None:
    found = pieces(year(2020))
    assert found.groupby("cluster_id")["piece"].nunique().max() == 1
    assert found["piece"].nunique() == 5


def test_ground_that_burned_in_two_years_is_one_piece() -> None:
    assert pieces(year(2020), year(2021))["piece"].nunique() == 5
    assert pieces(year(2020), year(2021, moved_m=NEAR_M))["piece"].nunique() == 5
    apart = pieces(year(2020), year(2021, moved_m=2 * NEAR_M))
    assert apart["piece"].nunique() == 8, "blocks of land are ground in any case"


def test_negatives_far_from_their_fire_bind_nothing() -> None:
    later = year(2021, moved_m=50_000)
    far = later["stratum"] == "ring"
    on_the_other = later.translate(yoff=-50_000).where(far, later.geometry)
    later = later.set_geometry(on_the_other).assign(stratum=later["stratum"].mask(far, "granule"))
    assert pieces(year(2020), later)["piece"].nunique() == 8


def test_pieces_do_not_depend_on_the_order_of_windows() -> None:
    rows = pd.concat([year(2020), year(2021), year(2022, moved_m=9_000)], ignore_index=True)
    named = pd.Series(ground_clusters(rows), index=rows.index)
    shuffled = rows.sample(frac=1, random_state=1)
    assert pd.Series(ground_clusters(shuffled), index=shuffled.index).loc[rows.index].equals(named)


def test_frames_near_each_other_are_one_piece_and_those_of_a_cluster_stay_together() -> None:
    frames = shapely.box([0, 2 * NEAR_M, 9e4, 2e5], 0, [NEAR_M, 3 * NEAR_M, 9.1e4, 2.1e5], NEAR_M)
    assert frame_clusters(["c", "b", "d", "b"], frames) == ["b", "b", "d", "b"]
    assert frame_clusters(["c", "b", "d"], frames[[0, 2, 3]]) == ["c", "b", "d"]
    assert frame_clusters([], frames[:0]) == []


def test_land_alone_keeps_its_blocks() -> None:
    land = make_predictions(fires=0, land_blocks=3)
    assert ground_clusters(land) == land["cluster_id"].to_list()
