"""What an edited fire changes in a year of forty: its own points, and of others only where they meet the edit."""

import dataclasses
from unittest import mock

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling import points as points_module
from burnscar_assets.sampling.accounts import Losses, cells_of
from burnscar_assets.sampling.clusters import fire_clusters
from burnscar_assets.sampling.frame import SamplingFrame
from burnscar_assets.sampling.negatives import drop_too_close
from burnscar_assets.sampling.points import sample_points
from burnscar_assets.sampling.selection import select_fires
from burnscar_assets.settings import SamplingSettings, SplitSettings
from burnscar_assets_tests.sampling.fire_worlds import LAND, WINDOWS, YEAR, Fire, history_of, perimeters_of

FIRES = 40
FIRST_DAY = pd.Timestamp(YEAR, 6, 1, tz="UTC")
SETTINGS = SamplingSettings(points_per_sqrt_window=3)
DENSE = SamplingSettings(
    points_per_sqrt_window=3,
    spacing_windows=2,
    unburnt_per_burnt={Stratum.RING: 1.0, Stratum.GRANULE: 0.7, Stratum.LAND: 0.3, Stratum.OLD_SCAR: 0.4},
    granule_km=(2, 8),
    splits=SplitSettings(block_km=6, margin_m=500),
)
HISTORY = history_of([Fire(20_000 * i - 100_000, 35_000 * (i % 5) - 70_000, 3_000) for i in range(11)])
EDITS = ("grown", "shrunk", "moved", "removed", "added")
NEARBY_M = 3_000
"""Further away than rings and spacing reach."""


def world(seed: int, side_m: float = 240_000) -> list[Fire]:
    """Fires of 12 ha to 7,900 ha, named by their number."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-side_m / 2, side_m / 2, (FIRES, 2))
    radii = np.exp(rng.uniform(np.log(200), np.log(5_000), FIRES))
    return [
        Fire(round(x), round(y), round(r), name=f"{i}") for i, ((x, y), r) in enumerate(zip(places, radii, strict=True))
    ]


def edited(fires: list[Fire], number: int, edit: str) -> list[Fire]:
    """The fires with one of them edited, or another one, of that number, put in beside it."""
    fire = fires[number]
    if edit == "added":
        return [*fires, Fire(fire.x_m + fire.radius_m + 2_000, fire.y_m, 900, name=f"{FIRES}")]
    change = {
        "grown": {"radius_m": fire.radius_m * 1.3},
        "shrunk": {"radius_m": fire.radius_m * 0.7},
        "moved": {"x_m": fire.x_m + 400},
        "removed": {},
    }[edit]
    rest = [other for other in fires if other is not fire]
    return [*rest, dataclasses.replace(fire, **change)] if change else rest


def perimeters_with_days(fires: list[Fire]) -> gpd.GeoDataFrame:
    """Table `fire_perimeters` in which the days tell the fire, so that they do of each point too."""
    table = perimeters_of(fires)
    days = pd.to_timedelta(table["fire_id"].astype(int), unit="D")
    return table.assign(alarm_date=FIRST_DAY + days, containment_date=FIRST_DAY + days)


def points_of(perimeters: gpd.GeoDataFrame, sampling: SamplingSettings) -> tuple[pd.DataFrame, set[tuple[str, ...]]]:
    """The points, with `of`: the number of the fire that wanted them; and all picks, with those that gave way."""
    picks: set[tuple[str, ...]] = set()

    def told(burnt: pd.DataFrame, unburnt: pd.DataFrame, frame: SamplingFrame) -> tuple[pd.DataFrame, Losses]:
        for table in (burnt, unburnt):
            names = frame.fires["fire_id"].to_numpy()[table["fire"].to_numpy(int)]
            x_m, y_m = frame.lattice.centres(cells_of(table))
            picks.update(zip(names, table["stratum"], x_m, y_m, strict=True))
        return drop_too_close(burnt, unburnt, frame)

    with mock.patch.object(points_module, "drop_too_close", told):
        points = sample_points(perimeters, HISTORY, YEAR, sampling, WINDOWS, land=LAND, hard_negatives=None).points
    return points.assign(of=(points["containment_date"] - FIRST_DAY).dt.days).set_index("point_id"), picks


def changed_points(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Points that are only in one of the tables, or differ in any column."""
    columns = [name for name in before.columns if name != "geometry"]
    both = before.index.intersection(after.index)
    differ = both[(before.loc[both, columns].astype(str) != after.loc[both, columns].astype(str)).any(axis=1)]
    gone, new = before.index.difference(after.index), after.index.difference(before.index)
    return pd.concat([before.loc[gone.union(differ)], after.loc[new]])


def cluster_numbers(perimeters: gpd.GeoDataFrame, number: int) -> set[int]:
    """Numbers of the fires in the cluster of a fire, if it is there."""
    clusters = fire_clusters(perimeters, SETTINGS)
    own = clusters.get(f"{number}")
    return set(clusters.index[clusters == own].astype(int)) if own is not None else set()


@settings(max_examples=5)
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(0, FIRES - 1),
    edit=st.sampled_from(EDITS),
    sampling=st.sampled_from([SETTINGS, DENSE]),
)
def test_what_changes_meets_the_edit(seed: int, number: int, edit: str, sampling: SamplingSettings) -> None:
    fires = world(seed)
    first, second = perimeters_with_days(fires), perimeters_with_days(edited(fires, number, edit))
    (before, picked), (after, picked_after) = points_of(first, sampling), points_of(second, sampling)
    changed, picks = changed_points(before, after), picked ^ picked_after
    subject = FIRES if edit == "added" else number
    cluster = cluster_numbers(first, subject) | cluster_numbers(second, subject)
    others = changed[~changed["of"].isin(cluster)]

    shapes = pd.concat([first, second])
    near = shapes[shapes["fire_id"] == f"{subject}"].union_all().buffer(NEARBY_M)
    neighbours = {int(name) for name in shapes.loc[shapes.intersects(near), "fire_id"]}
    beyond = others[~others["of"].isin(neighbours)]
    assert set(beyond["stratum"]) <= {"granule", "land", "old_scar"}

    ground = _changed_ground(first, second).buffer(sampling.ring_gap_m + WINDOWS.side_m)
    for (fire, stratum), points in others.groupby(["of", "stratum"]):
        rest = [shapely.Point(x, y) for of, kind, x, y in picks if (int(of), kind) != (fire, stratum)]
        beside = shapely.union_all(shapely.buffer(rest, (sampling.spacing_windows + 0.1) * WINDOWS.side_m))
        assert points.intersects(ground).any() or points.intersects(beside).any(), (fire, stratum)
    assert others["of"].nunique() <= FIRES / 4
    assert len(others) <= 0.05 * len(before)


def _changed_ground(first: gpd.GeoDataFrame, second: gpd.GeoDataFrame) -> shapely.Geometry:
    return first.union_all().symmetric_difference(second.union_all())


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_swaps_few_of_the_fires_that_are_selected(edit: str) -> None:
    sampling = SamplingSettings(max_fires_per_year=12)
    swapped = []
    for number in range(FIRES):
        fires = world(number, side_m=800_000)
        before, after = (
            set(select_fires(perimeters_of(table), sampling)["fire_id"])
            for table in (fires, edited(fires, number, edit))
        )
        swapped.append(len((before ^ after) - {f"{number}", f"{FIRES}"}))
    assert max(swapped) <= 4
    assert np.median(swapped) == 0
