import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from shapely import Point

from burnscar_assets.demo.burns import BURNED_FROM
from burnscar_assets.demo.clouds import sun_at
from burnscar_assets.demo.plan import Burn, Granule, ScenePlan
from burnscar_assets.demo.scenes import Ground, Scene, make_ground, outside_swath, render
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS, Cover

X_M, Y_M = -90_000, 60_000
FIRE = Burn("f", Point(X_M, Y_M).buffer(700), date(2021, 8, 1), date(2021, 8, 11), 0.8)


@pytest.fixture(scope="module")
def granule() -> Granule:
    return Granule.around("g1", "r1", "sierra", 32610, X_M, Y_M, 3000)


@pytest.fixture(scope="module")
def ground(granule: Granule) -> Ground:
    return make_ground(7, granule, (FIRE,))


def plan(granule: Granule, day: date, cloud: float = 0.0, edge: float = 0.0) -> ScenePlan:
    return ScenePlan(granule, datetime(day.year, day.month, day.day, 18, 55, tzinfo=UTC), cloud, edge)


def digest(scene: Scene) -> str:
    parts = [scene.bands[band].tobytes() for band in BANDS] + [scene.classification.tobytes()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def nbr(ground: Ground, day: date) -> np.ndarray:
    bands = render(ground, plan(ground.granule, day)).bands
    offset = 1000 if day >= date(2022, 1, 25) else 0
    nir, swir = (bands[band].astype(float) - offset for band in ("B8A", "B12"))
    return (nir - swir) / (nir + swir)


def middle(image: np.ndarray) -> np.ndarray:
    half, reach = image.shape[0] // 2, image.shape[0] // 8
    return image[half - reach : half + reach, half - reach : half + reach]


def test_the_same_plan_gives_the_same_pixels(granule: Granule, ground: Ground) -> None:
    scene = plan(granule, date(2021, 8, 20), cloud=0.3)
    first = digest(render(ground, scene))
    assert digest(render(make_ground(7, granule, (FIRE,)), scene)) == first
    assert digest(render(make_ground(8, granule, (FIRE,)), scene)) != first
    assert digest(render(ground, plan(granule, date(2021, 8, 25), cloud=0.3))) != first


def test_bands_have_their_native_size_and_no_pixel_is_empty(granule: Granule, ground: Ground) -> None:
    scene = render(ground, plan(granule, date(2021, 8, 20)))
    for band in BANDS:
        size = granule.side_m // BAND_RESOLUTION_M[band]
        assert scene.bands[band].shape == (size, size)
        assert scene.bands[band].dtype == np.uint16
        assert scene.bands[band].min() > 0
    assert scene.classification.shape == (granule.side_m // 20,) * 2
    assert scene.cloud_cover < 1


def test_the_offset_of_1000_comes_with_2022_01_25(ground: Ground) -> None:
    before = render(ground, plan(ground.granule, date(2022, 1, 24)))
    after = render(ground, plan(ground.granule, date(2022, 1, 25)))
    for band in BANDS:
        rise = np.median(after.bands[band].astype(int)) - np.median(before.bands[band].astype(int))
        assert 850 < rise < 1150
        assert after.bands[band].min() > 950


def test_beyond_the_swath_there_is_no_data_with_or_without_offset(ground: Ground) -> None:
    scene = render(ground, plan(ground.granule, date(2022, 8, 20), edge=-0.3))
    outside = outside_swath(plan(ground.granule, date(2022, 8, 20), edge=-0.3), ground.granule.side_px)
    assert (scene.bands["B02"][outside] == 0).all()
    assert (scene.bands["B02"][~outside] > 0).all()
    assert outside[:, 0].all()
    assert not outside[:, -1].any()
    assert 0.25 < outside.mean() < 0.35
    assert 0.25 < (scene.classification == 0).mean() < 0.35


def beside_the_fire(image: np.ndarray) -> float:
    corner = slice(0, image.shape[0] // 8)
    return float(np.median(image[corner, corner]))


def test_fire_lowers_nbr_and_the_land_recovers(ground: Ground) -> None:
    before, after, a_year_on, long_after = (
        np.mean([nbr(ground, first + timedelta(days=3 * day)) for day in range(5)], axis=0)
        for first in (date(2021, 7, 15), date(2021, 8, 14), date(2022, 8, 14), date(2050, 8, 14))
    )
    change = {day: float(np.median(middle(image - before))) - beside_the_fire(image - before) for day, image in
              (("after", after), ("year", a_year_on), ("long", long_after))}  # fmt: skip
    assert change["after"] < -0.15
    assert change["after"] < change["year"] - 0.03
    assert abs(change["long"]) < 0.06
    assert abs(beside_the_fire(after - before)) < 0.08


def test_a_fire_spreads_until_it_is_contained(ground: Ground) -> None:
    share = [
        float((middle(nbr(ground, day) - nbr(ground, date(2021, 7, 30))) < -0.1).mean())
        for day in (date(2021, 8, 3), date(2021, 8, 6), date(2021, 8, 12))
    ]
    assert share[0] < share[1] < share[2]


def test_severity_varies_inside_with_unburned_islands(ground: Ground) -> None:
    severity = ground.burns[0].severity
    inside = severity[
        severity.shape[0] // 3 : -severity.shape[0] // 3, severity.shape[1] // 3 : -severity.shape[1] // 3
    ]
    big = make_ground(7, ground.granule, (replace(FIRE, geometry=Point(X_M, Y_M).buffer(1400)),)).burns[0]
    wide = big.severity[80:-80, 80:-80]
    assert inside.std() > 0.05
    assert 0.01 < (wide < 0.1).mean() < 0.25


def test_clouds_cover_what_was_asked_for_and_cast_shadows_away_from_the_sun(ground: Ground) -> None:
    scene = render(ground, plan(ground.granule, date(2021, 8, 20), cloud=0.3))
    clear = render(ground, plan(ground.granule, date(2021, 8, 20)))
    scl = scene.classification
    assert 25 < scene.cloud_cover < 50
    assert {3, 8, 9} <= set(np.unique(scl))
    bright = scene.bands["B8A"][scl == 9].mean()
    shade = (scl == 3) & (clear.classification != 3)
    assert bright > 4000
    assert scene.bands["B8A"][shade].mean() < 0.75 * clear.bands["B8A"][shade].mean()
    sun = sun_at(scene_time := datetime(2021, 8, 20, 18, 55, tzinfo=UTC), 38.5)
    assert np.degrees(sun.azimuth) == pytest.approx(145, abs=15), scene_time
    assert np.degrees(sun.elevation) == pytest.approx(58, abs=8)


def test_fresh_dark_scars_are_sometimes_taken_for_shadow() -> None:
    granule = Granule.around("g1", "r1", "chaparral", 32610, X_M, Y_M, 3000)
    ground = make_ground(3, granule, (replace(FIRE, severity=0.95, geometry=Point(X_M, Y_M).buffer(1400)),))
    classes = render(ground, plan(granule, date(2021, 8, 14))).classification
    dark = np.isin(middle(classes), (2, 3)).mean()
    assert 0.02 < dark < 0.9


def test_granules_of_a_region_see_the_same_land_in_both_zones() -> None:
    west = Granule.around("w", "r", "sierra", 32610, -500, 0, 3000)
    east = Granule.around("e", "r", "sierra", 32611, 500, 0, 3000)
    x_m, y_m = west.frame.x_m, west.frame.y_m
    covers = [make_ground(7, g, ()).land.levels[1] for g in (west, east)]
    shared = [(row, col) for row in range(10, 60, 5) for col in range(40, 70, 3) if abs(x_m[row, col]) < 700]
    agree = []
    for row, col in shared:
        distance = np.hypot(east.frame.x_m - x_m[row, col], east.frame.y_m - y_m[row, col])
        at = np.unravel_index(distance.argmin(), distance.shape)
        if distance[at] < 30 and max(at) < 75:
            agree.append(covers[0].cover[row * 4, col * 4] == covers[1].cover[at[0] * 4, at[1] * 4])
    assert len(agree) > 20
    assert np.mean(agree) > 0.85


def test_fields_change_between_green_and_bare_and_hardly_burn() -> None:
    granule = Granule.around("g1", "r2", "foothill", 32610, X_M, Y_M, 6000)
    ground = make_ground(5, granule, (FIRE,))
    cover = ground.land.levels[1].cover
    fields = cover == Cover.CROP_GREEN
    assert fields.mean() > 0.01
    assert not fields[ground.burns[0].rows, ground.burns[0].columns][ground.burns[0].severity >= BURNED_FROM].any()
    images = [render(ground, plan(granule, date(2021, 5, 1) + timedelta(days=60 * k))).bands for k in range(3)]
    ndvi = [(b["B08"].astype(float) - b["B04"]) / (b["B08"].astype(float) + b["B04"]) for b in images]
    swing = np.ptp(np.stack(ndvi), axis=0)
    assert np.median(swing[fields]) > 3 * np.median(swing[cover == Cover.CONIFER])
