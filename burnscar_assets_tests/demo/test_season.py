from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from burnscar_assets.demo.clouds import make_sky, sun_at
from burnscar_assets.demo.plan import Granule, ScenePlan
from burnscar_assets.demo.scenes import Ground, make_ground, render
from burnscar_assets.demo.season import stress_on, weather_on
from burnscar_assets.demo.spectra import Cover

PAIRS = 24


@pytest.fixture(scope="module")
def ground() -> Ground:
    granule = Granule.around("g1", "r1", "sierra", 32610, -90_000, 60_000, 3600)
    return make_ground(7, granule, ())


def plan(ground: Ground, day: date) -> ScenePlan:
    return ScenePlan(ground.granule, datetime(day.year, day.month, day.day, 18, 55, tzinfo=UTC), 0.0)


def nbr(ground: Ground, day: date) -> np.ndarray:
    bands = render(ground, plan(ground, day)).bands
    nir, swir = (bands[band].astype(float) for band in ("B8A", "B12"))
    return (nir - swir) / (nir + swir)


def test_pairs_of_unburned_ground_differ_as_real_ones_do(ground: Ground) -> None:
    offsets, spreads = [], []
    for number in range(PAIRS):
        day = date(2020, 7, 1) + timedelta(days=3 * (number % 12), weeks=52 * (number // 12 - 1))
        dnbr = nbr(ground, day) - nbr(ground, day + timedelta(days=35))
        first, middle, third = np.percentile(dnbr, [25, 50, 75])
        offsets.append(middle)
        spreads.append((third - first) / 1.35)
    assert 0.03 < np.std(offsets) < 0.08
    assert -0.03 < np.median(offsets) < 0.06
    assert 0.02 < np.median(spreads) < 0.05


def test_stress_differs_by_cover_aspect_and_place_and_water_has_none_of_its_own(ground: Ground) -> None:
    level, scene = ground.land.levels[1], plan(ground, date(2021, 8, 1))
    none = np.zeros(level.cover.shape, np.float32)
    stress = stress_on(7, scene, level, none)
    flat = np.abs(level.slope_north) < 0.02
    by_cover = {c: np.median(stress[(level.cover == c) & flat]) for c in (Cover.GRASS, Cover.SHRUB, Cover.CONIFER)}
    assert len({round(float(value), 4) for value in by_cover.values()}) == 3
    forest = level.cover == Cover.CONIFER
    assert abs(np.corrcoef(stress[forest], level.slope_north[forest])[0, 1]) > 0.99
    weather = weather_on(7, scene)
    assert 0.005 < weather.std() < 0.03
    assert not np.allclose(weather, weather_on(7, plan(ground, date(2021, 8, 11))))


def test_days_lie_a_third_of_a_pixel_to_a_pixel_beside_the_land(ground: Ground) -> None:
    def edges(day: date) -> np.ndarray:
        image = render(ground, plan(ground, day)).bands["B08"].astype(float)
        return np.log(image) - np.log(image).mean()

    def best_shift(one: np.ndarray, other: np.ndarray) -> float:
        product = np.fft.rfft2(one) * np.conj(np.fft.rfft2(other))
        peak = np.fft.irfft2(product / np.abs(product))
        return float(peak[0, 0] / peak.max())

    days = [date(2021, 7, 1) + timedelta(days=9 * number) for number in range(4)]
    same = edges(days[0])
    assert best_shift(same, same) == pytest.approx(1)
    sharpness = [best_shift(edges(day), same) for day in days[1:]]
    assert min(sharpness) < 0.9


def test_smoke_dims_blue_and_leaves_the_far_infrared(ground: Ground) -> None:
    days = [date(2021, 7, 1) + timedelta(days=number) for number in range(40)]
    smoke = {day: make_sky(7, plan(ground, day), sun_at(plan(ground, day).acquired, 38.5)).smoke for day in days}
    thickest, clearest = (pick(days, key=lambda day: smoke[day].mean()) for pick in (max, min))
    assert smoke[thickest].max() > 0.06
    assert 0.1 < np.mean([smoke[day].max() > 0.06 for day in days]) < 0.6
    blue, far = (
        np.median(render(ground, plan(ground, thickest)).bands[band].astype(float))
        / np.median(render(ground, plan(ground, clearest)).bands[band].astype(float))
        for band in ("B02", "B12")
    )
    assert blue > 1.1
    assert abs(far - 1) < 0.25
