"""Points of a fire year."""

import dataclasses

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnscar_assets.classes import Stratum
from burnscar_assets.errors import SettingsError
from burnscar_assets.sampling.ground import Pieces
from burnscar_assets.sampling.points import SampledPoints, sample_points
from burnscar_assets.sampling.randomness import mix
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.sampling.strata import OnLand
from burnscar_assets.settings import SamplingSettings, SplitSettings, WindowSettings
from burnscar_assets.storage.contracts import SAMPLE_LOSSES, SAMPLE_POINTS
from burnscar_assets_tests.sampling.fire_worlds import (
    LAND,
    WINDOWS,
    YEAR,
    Fire,
    fires_strategy,
    history_of,
    perimeters_of,
    sample,
    shuffled,
)
from burnscar_assets_tests.sampling.sample_invariants import assert_sound, footprints_of

SETTINGS = SamplingSettings()
DENSE = SamplingSettings(
    points_per_sqrt_window=3,
    max_points_per_fire=12,
    max_points_per_complex=15,
    spacing_windows=2,
    unburnt_per_burnt={Stratum.RING: 1.0, Stratum.GRANULE: 0.7, Stratum.LAND: 0.3, Stratum.OLD_SCAR: 0.4},
    granule_km=(2, 8),
    splits=SplitSettings(block_km=6, margin_m=500),
)
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(fires=fires_strategy(), burns=fires_strategy(4), sampling=st.sampled_from([SETTINGS, DENSE]))
def test_every_sample_is_sound(fires: list[Fire], burns: list[Fire], sampling: SamplingSettings) -> None:
    assert_sound(sample(fires, burns, sampling), perimeters_of(fires), history_of(burns), sampling, WINDOWS)


@quick
@given(fires=fires_strategy(5), burns=fires_strategy(3), seed=st.integers(0, 99))
def test_row_order_does_not_matter(fires: list[Fire], burns: list[Fire], seed: int) -> None:
    first = sample(fires, burns, DENSE)
    second = sample_points(
        shuffled(perimeters_of(fires), seed).assign(containment_date=_dates(fires, seed)),
        shuffled(history_of(burns), seed),
        YEAR,
        DENSE,
        WINDOWS,
        land=LAND,
        hard_negatives=None,
    )
    assert SAMPLE_POINTS.content_hash(first.points) == SAMPLE_POINTS.content_hash(second.points)
    assert SAMPLE_LOSSES.content_hash(first.losses) == SAMPLE_LOSSES.content_hash(second.losses)
    assert first.summary == second.summary


def _dates(fires: list[Fire], seed: int) -> pd.Series:
    return shuffled(perimeters_of(fires), seed)["containment_date"]


FAR = [Fire(-60_000 + 17_000 * (i % 8), 40_000 + 11_000 * (i // 8), 300 + 250 * i) for i in range(12)]
HERE = Fire(5_000, -80_000, 2_500)
NEXT = Fire(-3_000, -81_000, 900)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param([NEXT], id="removed"),
        pytest.param([dataclasses.replace(HERE, radius_m=4_000, name=HERE.fire_id), NEXT], id="grown"),
        pytest.param([HERE, NEXT, Fire(9_000, -86_000, 700)], id="another beside it"),
    ],
)
@pytest.mark.parametrize("sampling", [SETTINGS, DENSE], ids=["default", "dense"])
def test_an_edited_fire_leaves_points_far_away_as_they_are(edit: list[Fire], sampling: SamplingSettings) -> None:
    dates = {fire.fire_id: pd.Timestamp(YEAR, 9, 1, tz="UTC") for fire in [*FAR, HERE, NEXT, *edit]}

    def points_of_far_fires(fires: list[Fire]) -> pd.DataFrame:
        table = perimeters_of(fires)
        table["containment_date"] = table["fire_id"].map(dates)
        history = history_of([Fire(0, 0, 6_000), Fire(0, -60_000, 5_000)])
        sampled = sample_points(table, history, YEAR, sampling, WINDOWS, land=LAND, hard_negatives=None)
        far = sampled.points["fire_id"].isin([fire.fire_id for fire in FAR])
        return sampled.points[far].reset_index(drop=True)

    before, after = points_of_far_fires([*FAR, HERE, NEXT]), points_of_far_fires([*FAR, *edit])
    assert len(before) > 100
    pd.testing.assert_frame_equal(pd.DataFrame(before), pd.DataFrame(after))


def test_land_in_parts_far_apart_has_the_points_that_are_wanted() -> None:
    """In one box about all parts a draw in a thousand would meet land, as in a world of a few granules."""
    fires = [Fire(-250_000 + 100_000 * (i % 6), -500_000 + 400_000 * (i // 6), 500) for i in range(18)]
    half_m = np.where(np.arange(18) % 2, 2_000, 4_000)
    parts = [
        shapely.Point(fire.x_m, fire.y_m).buffer(half, cap_style="square")
        for fire, half in zip(fires, half_m, strict=True)
    ]
    land = gpd.GeoDataFrame(geometry=parts, crs=LAND.crs)
    sampling = SETTINGS.model_copy(update={"unburnt_per_burnt": {Stratum.LAND: 4.0}})

    def sampled(rows: gpd.GeoDataFrame) -> SampledPoints:
        table = perimeters_of(fires)
        return sample_points(table, history_of([]), YEAR, sampling, WINDOWS, land=rows, hard_negatives=None)

    found = sampled(land)
    on_land = found.points[found.points["stratum"] == Stratum.LAND.value]
    burnt = int((found.points["stratum"] == Stratum.BURNT.value).sum())
    assert len(on_land) >= 0.9 * 4 * burnt
    part = shapely.STRtree(parts).query(on_land.geometry.to_numpy(), predicate="within")[1]
    assert len(part) == len(on_land) and len(set(part)) >= 15
    source = OnLand(Pieces([shapely.union_all(parts)]), Pieces([]))
    boxes = source.box_of(np.zeros(20_000, dtype=np.int64), mix(np.arange(20_000, dtype=np.uint64), 0))
    small = np.ptp(source.boxes[boxes][:, [0, 2]], axis=1) < 5_000
    assert small.mean() == pytest.approx(0.2, abs=0.01), "a fifth of the land is in small parts"
    assert SAMPLE_POINTS.content_hash(sampled(land.iloc[::-1]).points) == SAMPLE_POINTS.content_hash(found.points)


def test_no_ground_is_in_two_splits_over_the_years() -> None:
    rng = np.random.default_rng(5)
    points, footprints = [], []
    for year in range(2017, 2022):
        fires = [Fire(*rng.integers(-40_000, 40_000, 2).tolist(), int(r)) for r in rng.choice([400, 1_500, 5_000], 8)]
        sampled = sample(fires, fire_year=year)
        points.append(sampled.points)
        footprints.append(footprints_of(sampled.points, WINDOWS))
    split, shapes = pd.concat(points)["split"].to_numpy(dtype=str), np.concatenate(footprints)
    assert set(split) == {"train", "val", "test"}
    margin_m = SETTINGS.splits.margin_m
    first, second = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=1.9 * margin_m)
    assert len(first) > len(shapes)
    assert (split[first] == split[second]).all()


def test_a_fire_across_two_splits_is_sampled_on_ground_of_one() -> None:
    split_map = SplitMap(SETTINGS.splits)
    col, row = next((c, r) for c in range(-4, 4) for r in range(-4, 4) if _differs(split_map, c, r))
    fire = Fire((col + 1) * 20_000 - 1_000, (row + 0.5) * 20_000, 5_000)
    sampled = sample([fire])
    assert sampled.points["split"].nunique() == 1
    assert sampled.summary.burnt_cells_on_other_ground > 100
    ground = split_map.split_of([fire.x_m - 2_000, fire.x_m + 2_000], [fire.y_m, fire.y_m])
    assert sampled.points["split"].iloc[0] == ground[0] != ground[1]


def _differs(split_map: SplitMap, col: int, row: int) -> bool:
    left, right = split_map.split_of_block([col, col + 1], [row, row]).tolist()
    return left != right


def test_a_fire_across_the_zone_border_has_points_in_both_zones() -> None:
    split_map = SplitMap(SETTINGS.splits)
    row = next(r for r in range(-6, 6) if len(set(split_map.split_of_block([-1, 0], [r, r]).tolist())) == 1)
    burnt = _burnt(sample([Fire(0, (row + 0.5) * 20_000, 4_000)]))
    assert set(burnt["utm_epsg"]) == {32610, 32611}


def test_the_class_balance_is_the_setting() -> None:
    rng = np.random.default_rng(1)
    fires = [Fire(*rng.integers(-90_000, 90_000, 2).tolist(), int(r)) for r in rng.choice([300, 900, 2_500], 40)]
    burns = [Fire(*rng.integers(-90_000, 90_000, 2).tolist(), 4_000) for _ in range(40)]
    for per_burnt in (
        {Stratum.RING: 0.5, Stratum.GRANULE: 0.3, Stratum.LAND: 0.2},
        {Stratum.RING: 1.5, Stratum.OLD_SCAR: 0.5},
    ):
        summary = sample(fires, burns, SamplingSettings(unburnt_per_burnt=per_burnt)).summary
        assert summary.unburnt_per_burnt == pytest.approx(sum(per_burnt.values()), rel=0.05)
        for stratum, share in per_burnt.items():
            assert summary.points_by_stratum[stratum] == pytest.approx(
                share * summary.points_by_stratum["burnt"], rel=0.15
            )


def test_fires_smaller_than_a_window() -> None:
    tiny, small = Fire(10_000, 10_000, 80), [Fire(30_000 + 5_137 * i, 10_000, 180) for i in range(12)]
    sampled = sample([tiny, *small])
    losses = sampled.losses.set_index("fire_id")
    assert losses.loc[tiny.fire_id, "reason"] == "smaller_than_window"
    burnt = _burnt(sampled)
    assert tiny.fire_id not in set(burnt["fire_id"])
    assert 3 <= len(burnt) <= 12
    assert set(losses.loc[[f.fire_id for f in small if f.fire_id in losses.index], "reason"]) <= {
        "too_close",
        "no_window_inside",
        "no_room",
        "ground_of_another_split",
    }


def test_windows_keep_off_unburned_islands() -> None:
    table = perimeters_of([Fire(0, 0, 4_000)])
    island = shapely.Point(0, 0).buffer(3_000)
    table["geometry"] = [table.geometry.iloc[0].difference(island)]
    sampled = sample_points(table, history_of([]), YEAR, SETTINGS, WINDOWS, land=LAND, hard_negatives=None)
    burnt = _burnt(sampled)
    assert len(burnt) > 5
    assert (shapely.area(shapely.intersection(footprints_of(burnt, WINDOWS), island)) < 0.11 * 320**2).all()


@pytest.mark.parametrize(("kind", "burn_year"), [("prescribed", YEAR - 1), ("fire", None), ("fire", YEAR)])
def test_any_burn_that_could_still_show_is_avoided(kind: str, burn_year: int | None) -> None:
    """The old burn covers all but a sliver of the ring: the ring's points are lost, and the account says why."""
    fire = Fire(3_000, 3_000, 600)
    history = history_of([Fire(3_000, 3_000, 4_000)], burn_year, kind)
    per_burnt = {Stratum.RING: 1.0}
    sampling = SamplingSettings(unburnt_per_burnt=per_burnt)
    sampled = sample_points(perimeters_of([fire]), history, YEAR, sampling, WINDOWS, land=LAND, hard_negatives=None)
    assert set(sampled.points["category"]) == {"burnt", "mixed"}
    lost = sampled.losses[sampled.losses["stratum"] == "ring"]
    assert lost["reason"].tolist() == ["could_still_show"]
    assert lost["points"].sum() == (sampled.points["stratum"] != "edge").sum()


def test_old_scars_are_burns_of_earlier_years() -> None:
    sampling = SamplingSettings(unburnt_per_burnt={Stratum.OLD_SCAR: 1.0})
    fires, old = [Fire(3_000, 3_000, 1_500)], [Fire(60_000, 40_000, 6_000), Fire(-50_000, -30_000, 6_000)]
    scars = sample(fires, old, sampling).points.query("stratum == 'old_scar'")
    inside = shapely.union_all([burn.shape for burn in old])
    assert len(scars) >= 5
    assert scars.geometry.within(inside).all()
    assert set(scars["category"]) == {"unburnt"}
    for kind, year in (("fire", None), ("fire", YEAR), ("prescribed", YEAR - 2)):
        none = sample_points(
            perimeters_of(fires), history_of(old, year, kind), YEAR, sampling, WINDOWS, land=LAND, hard_negatives=None
        )
        assert set(none.points["stratum"]) == {"burnt", "edge"}
        assert set(none.losses["reason"]) >= {"no_room"}


def test_hard_negatives_come_from_their_layer_and_keep_off_burns() -> None:
    lakes = gpd.GeoDataFrame(
        geometry=[shapely.box(x, y, x + 2_500, y + 2_500) for x in range(-90_000, 90_000, 12_000) for y in (0, 20_000)],
        crs="EPSG:3310",
    )
    sampling = SamplingSettings(unburnt_per_burnt={Stratum.HARD: 1.0})
    fires = [Fire(3_000, 3_000, 1_500), Fire(-40_000, 20_000, 1_500)]
    perimeters, history = perimeters_of(fires), history_of([Fire(30_000, 0, 9_000)])
    sampled = sample_points(perimeters, history, YEAR, sampling, WINDOWS, land=LAND, hard_negatives=lakes)
    hard = sampled.points.query("stratum == 'hard'")
    assert len(hard) == (sampled.points["stratum"] != "edge").sum() / 2
    covered = [shapely.area(lakes.geometry.intersection(window)).sum() for window in footprints_of(hard, WINDOWS)]
    assert min(covered) >= 0.5 * 320**2 * 0.99
    assert_sound(sampled, perimeters, history, sampling, WINDOWS)


def test_hard_negatives_without_a_layer_are_a_mistake() -> None:
    with pytest.raises(SettingsError, match=r"sampling\.hard_negatives"):
        sample([Fire(0, 0, 900)], settings=SamplingSettings(unburnt_per_burnt={Stratum.HARD: 0.5}))


def test_caps_of_fire_and_complex() -> None:
    sampling = SamplingSettings(max_points_per_fire=10, max_points_per_complex=12)
    row = next(r for r in range(9) if set(SplitMap(sampling.splits).split_of_block([1, 2], [r, r])) == {"train"})
    y_m = (row + 0.5) * 20_000
    complex_fires = [Fire(30_000, y_m, 2_500, "C"), Fire(37_000, y_m, 2_500, "C"), Fire(44_000, y_m, 600, "C")]
    sampled = sample(complex_fires, settings=sampling)
    counts = _burnt(sampled)["fire_id"].value_counts()
    assert counts.sum() == 12
    assert counts.max() <= 5
    capped = sampled.losses[sampled.losses["reason"] == "capped"].set_index("fire_id")["points"]
    assert capped.index.nunique() == 3


def test_fires_that_are_not_selected_are_lost_but_still_kept_off() -> None:
    fires = [Fire(2_000 + 9_000 * (i % 6), 9_000 * (i // 6), 1_200) for i in range(24)]
    sampling = SamplingSettings(max_fires_per_year=6)
    sampled = sample(fires, settings=sampling)
    left_out = sampled.losses[sampled.losses["reason"] == "not_selected"]
    assert len(left_out) == 18
    assert set(sampled.points["fire_id"]) - {""} <= {f.fire_id for f in fires} - set(left_out["fire_id"])
    assert_sound(sampled, perimeters_of(fires), history_of([]), sampling, WINDOWS)


def test_negatives_have_the_dates_of_their_fires() -> None:
    sampled = sample([Fire(2_000, 3_000, 2_000), Fire(40_000, 30_000, 2_000)])
    perimeters = perimeters_of([Fire(2_000, 3_000, 2_000), Fire(40_000, 30_000, 2_000)])
    containment = perimeters.set_index("fire_id")["containment_date"]
    of_fire = sampled.points[sampled.points["fire_id"] != ""]
    assert (of_fire["containment_date"].to_numpy() == containment.loc[of_fire["fire_id"]].to_numpy()).all()
    land = sampled.points[sampled.points["stratum"] == "land"]
    assert set(land["containment_date"]) == set(containment)


@pytest.mark.parametrize("windows", [WindowSettings(size_px=16), WindowSettings(size_px=64, resolution_m=20)])
def test_other_windows_are_sound_too(windows: WindowSettings) -> None:
    fires, burns = [Fire(1_000, 2_000, 3_000), Fire(40_000, 5_000, 900)], [Fire(9_000, 9_000, 2_000)]
    sampled = sample(fires, burns, windows=windows)
    assert len(sampled.points) > 5
    assert_sound(sampled, perimeters_of(fires), history_of(burns), SETTINGS, windows)


def test_a_year_without_fires_is_a_year_without_points() -> None:
    sampled = sample([])
    assert len(sampled.points) == len(sampled.losses) == 0
    assert sampled.summary.fire_year == YEAR
    assert sampled.summary.unburnt_per_burnt is None


def _burnt(sampled: SampledPoints) -> gpd.GeoDataFrame:
    return sampled.points[sampled.points["category"] == "burnt"]
