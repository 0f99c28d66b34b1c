from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rslearn.dataset.sentinel2_scl import SENTINEL2_SCL_CLEAR_VALUES
from shapely import Point

from burnscar_assets.demo.burns import burn_state
from burnscar_assets.demo.clouds import make_sky
from burnscar_assets.demo.clouds import sun_at as simulated_sun
from burnscar_assets.demo.noise import block_mean
from burnscar_assets.demo.plan import Burn, Granule, ScenePlan
from burnscar_assets.demo.scenes import make_ground, render
from burnscar_assets.reader.clearness import (
    CLOUD_TOP_M,
    LOWEST_SUN,
    Clearness,
    Margin,
    Sun,
    classify,
    margin_towards,
    mask_of,
    runs_of,
    sun_at,
    weights,
)
from burnscar_assets.sensors.sensor import ClearGround

SCL_M = 20
SCL = ClearGround(rule="scl", asset="SCL", metres=SCL_M)
SHADOW, UNCLEAR = 3, (8, 9, 10)
SIDE_M = 9_000
X_M, Y_M = -90_000, 60_000
HIGH = 60.0
"""Elevation of a summer's sun, degrees."""


@dataclass(frozen=True)
class Truth:
    """A simulated scene's classification, and what is known of its pixels."""

    scl: np.ndarray
    sun: Sun
    scar: np.ndarray
    shadow: np.ndarray


def simulated(days_after: int, cloud: float) -> Truth:
    granule = Granule.around("g", "r", "sierra", 32610, X_M, Y_M, SIDE_M)
    fire = Burn("f", Point(X_M, Y_M).buffer(2_200), date(2021, 8, 1), date(2021, 8, 11), 0.8)
    ground = make_ground(7, granule, (fire,))
    acquired = datetime(2021, 8, 11, 18, 45, tzinfo=UTC) + timedelta(days=days_after)
    plan = ScenePlan(granule, acquired, cloud)
    scl = render(ground, plan).classification
    longitude, latitude = granule.centre_lonlat
    sky = make_sky(ground.seed, plan, simulated_sun(acquired, latitude))
    char = burn_state(ground.burns, ground.land.levels[1].cover, acquired.date()).at(2).char
    dark = np.zeros(scl.shape, bool) if sky.shadow is None else block_mean(sky.shadow, 2) > 0.3
    judged = np.zeros(scl.shape, bool)
    sun = sun_at(acquired, longitude, latitude)
    margin = margin_towards(sun, SCL_M)
    judged[margin.top : -margin.bottom, margin.left : -margin.right] = True
    judged &= ~np.isin(scl, UNCLEAR)
    return Truth(scl, sun, (char > 0.6) & ~dark & judged, dark & judged)


def verified_shadow(scl: np.ndarray, sun: Sun | None) -> np.ndarray:
    """Pixels called shadow that have a cloud within reach in the direction of the sun."""
    return (scl == SHADOW) & (classify(scl, SCL, sun) == Clearness.UNCLEAR)


def thrown_away(truths: list[Truth], rule: str, what: str) -> float:
    """Share of the pixels of a kind that a rule masks."""
    masked = total = 0
    for truth in truths:
        mask = {
            "best clear": lambda t: ~np.isin(t.scl, SENTINEL2_SCL_CLEAR_VALUES),
            "class 3": lambda t: np.isin(t.scl, (SHADOW, *UNCLEAR)),
            "ours": lambda t: classify(t.scl, SCL, t.sun) != Clearness.CLEAR,
        }[rule](truth)
        pixels = getattr(truth, what)
        masked, total = masked + int((mask & pixels).sum()), total + int(pixels.sum())
    assert total > 2_000
    return masked / total


@pytest.fixture(scope="module")
def clear_skies() -> list[Truth]:
    return [simulated(days, 0.0) for days in (3, 20)]


@pytest.fixture(scope="module")
def cloudy_skies() -> list[Truth]:
    return [simulated(days, cloud) for days, cloud in ((8, 0.05), (18, 0.2), (28, 0.45))]


def test_no_fresh_scar_is_taken_for_shadow_under_a_clear_sky(clear_skies: list[Truth]) -> None:
    best_clear, class_3, ours = (thrown_away(clear_skies, rule, "scar") for rule in ("best clear", "class 3", "ours"))
    assert best_clear > class_3 > 0.25
    assert ours == 0


def test_little_of_a_fresh_scar_is_taken_for_shadow_between_clouds(cloudy_skies: list[Truth]) -> None:
    best_clear, class_3, ours = (thrown_away(cloudy_skies, rule, "scar") for rule in ("best clear", "class 3", "ours"))
    assert best_clear > class_3 > 2 * ours
    assert ours < 0.12


def test_true_shadow_is_still_found(cloudy_skies: list[Truth]) -> None:
    assert thrown_away(cloudy_skies, "class 3", "shadow") == 1
    assert thrown_away(cloudy_skies, "ours", "shadow") > 0.9


@pytest.mark.parametrize(("azimuth", "shaded"), [(0, (1, 0)), (90, (0, -1)), (180, (-1, 0)), (135, (-1, -1))])
@pytest.mark.parametrize("distance_m", [40, 1_000, 1_400])
def test_shadows_lie_on_the_side_away_from_the_sun(azimuth: float, shaded: tuple[int, int], distance_m: int) -> None:
    scl = np.full((201, 201), SHADOW, np.uint8)
    scl[100, 100] = 9
    found = verified_shadow(scl, Sun(azimuth, HIGH))
    away = distance_m // SCL_M
    assert found[100 + shaded[0] * away, 100 + shaded[1] * away]
    assert not found[100 - shaded[0] * away, 100 - shaded[1] * away]


def test_shadows_beyond_reach_of_any_cloud_are_dark_ground() -> None:
    scl = np.full((1, 1301), SHADOW, np.uint8)
    scl[0, 650] = 8
    for sun in (Sun(90.0, HIGH), Sun(90.0, 35.0)):
        found = np.flatnonzero(verified_shadow(scl, sun)[0])
        assert 650 - sun.reach_m / SCL_M - 1 <= found.min() <= 650 - sun.reach_m / SCL_M + 2
        assert found.max() <= 651


def test_shadows_are_looked_for_the_farther_the_lower_the_sun() -> None:
    assert Sun(0, 60).reach_m == pytest.approx(CLOUD_TOP_M / 3**0.5)
    assert Sun(0, 30).reach_m == pytest.approx(CLOUD_TOP_M * 3**0.5)
    assert Sun(0, -3).reach_m == Sun(0, LOWEST_SUN).reach_m, "twilight is no reason to look without end"
    scl = np.full((400, 400), 4, np.uint8)
    scl[390, 200], scl[150, 200] = 9, SHADOW  # 4,800 m south of the shadow
    assert not verified_shadow(scl, Sun(180, 60)).any()
    assert verified_shadow(scl, Sun(180, 30))[150, 200]


@pytest.mark.parametrize("azimuth", [0, 37.5, 135, 180, 250, 300])
@pytest.mark.parametrize("elevation", [15, 28, 65])
def test_the_margin_holds_every_cloud_whose_shadow_may_lie_in_the_image(azimuth: float, elevation: float) -> None:
    sun, size = Sun(azimuth, elevation), 5
    margin = margin_towards(sun, SCL_M)
    scl = np.full((size + 1200, size + 1200), 4, np.uint8)
    rows, columns = np.random.default_rng(1).integers(0, len(scl), (2, 400))
    scl[rows, columns] = 9
    inner = slice(600, 600 + size)
    scl[inner, inner] = SHADOW
    within = slice(600 - margin.top, 600 + size + margin.bottom), slice(600 - margin.left, 600 + size + margin.right)
    assert np.array_equal(classify(scl[within], SCL, sun, margin), classify(scl, SCL, sun)[inner, inner])


def test_where_the_sun_is_not_known_any_cloud_within_the_longest_reach_shades() -> None:
    margin = margin_towards(None, SCL_M)
    assert set(margin) == {int(CLOUD_TOP_M / np.tan(np.radians(LOWEST_SUN)) / SCL_M) + 2}
    scl = np.full((2 * margin.top + 3, 2 * margin.left + 3), SHADOW, np.uint8)
    assert (classify(scl, SCL, None, margin) == Clearness.CLEAR).all()
    scl[0, 0] = 8
    assert (classify(scl, SCL, None, margin) == Clearness.UNCLEAR).all()
    assert classify(scl, SCL, Sun(135, HIGH), Margin(*margin)).min() == Clearness.CLEAR


@given(st.integers(0, 2**32 - 1), st.floats(0, 360))
def test_shadow_is_what_a_walk_towards_the_sun_finds(seed: int, azimuth: float) -> None:
    rng = np.random.default_rng(seed)
    scl = rng.choice(np.array([3, 4, 9], np.uint8), (24, 24), p=[0.5, 0.48, 0.02])
    found = verified_shadow(scl, Sun(azimuth, np.degrees(np.arctan2(CLOUD_TOP_M, 201))))
    for row, column in np.argwhere(scl == SHADOW):
        steps = np.arange(0, 10.25, 0.25)
        rows = np.rint(row - np.cos(np.radians(azimuth)) * steps).astype(int)
        columns = np.rint(column + np.sin(np.radians(azimuth)) * steps).astype(int)
        inside = (rows >= 0) & (rows < 24) & (columns >= 0) & (columns < 24)
        if (scl[rows[inside], columns[inside]] == 9).any():
            assert found[row, column]
    assert not found[scl != SHADOW].any()


def test_every_class_is_clear_unclear_or_no_data() -> None:
    classes = np.arange(12, dtype=np.uint8)[None]
    kinds = classify(classes[:, [0, 1, 2, 4, 5, 6, 7, 11, 8, 9, 10]], SCL, Sun(180, HIGH))[0]
    assert kinds.tolist() == [Clearness.NO_DATA] * 2 + [Clearness.CLEAR] * 6 + [Clearness.UNCLEAR] * 3


def test_the_suns_place_is_that_of_the_almanac() -> None:
    noon = sun_at(datetime(2022, 6, 21, 20, 2, tzinfo=UTC), -120, 40)
    assert noon.elevation == pytest.approx(90 - 40 + 23.44, abs=0.1)
    assert noon.azimuth == pytest.approx(180, abs=1)
    sunrise_at_equinox = sun_at(datetime(2022, 3, 20, 6, 7, tzinfo=UTC), 0, 0)
    assert sunrise_at_equinox.elevation == pytest.approx(0, abs=0.3)
    assert sunrise_at_equinox.azimuth == pytest.approx(90, abs=0.3)


def test_the_suns_place_agrees_with_the_simulations() -> None:
    moment = datetime(2021, 8, 24, 18, 45, tzinfo=UTC)
    simulation, ours = simulated_sun(moment, 38.5), sun_at(moment, -121, 38.5)
    assert ours.azimuth == pytest.approx(np.degrees(simulation.azimuth), abs=3)
    assert ours.elevation == pytest.approx(np.degrees(simulation.elevation), abs=2)


@given(st.floats(-50, 50), st.floats(0.1, 30))
def test_weights_of_pixels_add_up_to_the_window(first: float, length: float) -> None:
    start = int(np.floor(first))
    count = int(np.ceil(first + length)) - start
    shares = weights(first, first + length, start, count)
    assert shares.sum() == pytest.approx(length)
    assert (shares >= 0).all()
    assert (shares <= 1).all()


@pytest.mark.real_data
def test_a_real_lake_between_mountains_is_all_clear(real_data: Path) -> None:
    with rasterio.open(real_data / "imagery" / "alps_l2a" / "S2A2A_20190723_022_Barbellino_SCL_10.tif") as source:
        scl = source.read(1)
    assert (classify(scl, SCL, Sun(155, HIGH)) == Clearness.CLEAR).all()
    assert np.isin(scl, SENTINEL2_SCL_CLEAR_VALUES).mean() < 0.85


@pytest.mark.parametrize("seed", range(5))
def test_runs_say_which_pixels_a_mask_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = (rng.random((7, 9)) < share for share in (0.5, 0.1))
    assert (mask_of(runs_of(one), one.shape) == one).all()
    assert (mask_of(f"{runs_of(one)} {runs_of(two)}", one.shape) == (one | two)).all()
    assert runs_of(np.zeros((3, 4), bool)) == "" and runs_of(np.ones((3, 4), bool)) == "0+12"
