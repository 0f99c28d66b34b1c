"""Neighbours in time: which scene is compared with which, and what the comparison proves of the offset."""

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.catalog.items import FALLBACK_SCENE, SerializedItem
from burnscar_assets.reader import neighbours
from burnscar_assets.reader.neighbours import nearest_in_time
from burnscar_assets.reader.radiometry import BandSample, Evidence, Statement, decide
from burnscar_assets.sensors.load import default_sensor

BANDS = ("B12", "B02", "B11")
compare = partial(neighbours.compare, sensor=default_sensor())
SIDE = 60
SHIFTS = st.sampled_from([-1000, 0, 1000])

Pairs = dict[str, tuple[np.ma.MaskedArray, np.ma.MaskedArray]]


@dataclass(frozen=True)
class Ground:
    """Ground that two scenes show, and what lies between them.

    Attributes:
        seed: of all that is random.
        level, contrast: digital numbers of the darkest ground, and from there to the brightest.
        noise: standard deviation of either scene's.
        season, sun: what is added to the ground, and what multiplies it, in the later scene, at most.
        clouds: cover of each scene, 0–1.
        cloud: brightness that an opaque cloud has at least.
        haze: path radiance of what covers the whole later scene; its transmittance falls with it.
        holes: share of either scene without data.
    """

    seed: int
    level: int = 1_500
    contrast: int = 2_500
    noise: float = 30
    season: int = 0
    sun: float = 0
    clouds: tuple[float, float] = (0, 0)
    cloud: int = 2_000
    haze: int = 0
    holes: float = 0.05


grounds = st.builds(
    Ground,
    seed=st.integers(0, 9_999),
    level=st.integers(100, 4_000),
    contrast=st.integers(0, 4_000),
    noise=st.floats(0, 300),
    season=st.integers(0, 400),
    sun=st.floats(0, 0.05),
    clouds=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    cloud=st.integers(1_000, 9_000),
    haze=st.integers(0, 2_000),
    holes=st.floats(0, 0.9),
)


def clouded(generator: np.random.Generator, pixels: np.ndarray, cover: float, brightness: int) -> np.ndarray:
    """Under a cloud of any thickness from clear to opaque, darker ones at its edge."""
    rows, columns = np.indices((SIDE, SIDE)) / SIDE
    angle = generator.uniform(0, 2 * np.pi)
    field = np.sin(5 * (rows * np.cos(angle) + columns * np.sin(angle)) + angle) + generator.normal(
        0, 0.2, (SIDE, SIDE)
    )
    thickness = np.clip(3 * (np.argsort(np.argsort(field.ravel())) / field.size - (1 - cover)), 0, 1)
    texture = brightness * generator.uniform(0.8, 1.4, pixels.shape)
    return pixels * (1 - thickness) + texture * thickness


def scenes(ground: Ground, shift: int) -> Pairs:
    """The later scene with its numbers shifted, and the earlier one, in three bands."""
    generator = np.random.default_rng(ground.seed)
    relief = generator.beta(1.5, 1.5, SIDE * SIDE)
    pairs: Pairs = {}
    cover = [generator.integers(1 << 30) for _ in range(2)]
    for band, share in zip(BANDS, (1.0, 0.6, 1.1), strict=True):
        surface = (ground.level + ground.contrast * relief) * share
        later = surface * (1 + generator.uniform(-ground.sun, ground.sun))
        later += generator.uniform(-ground.season, ground.season)
        later = later * (1 - ground.haze / 5_000) + ground.haze * generator.uniform(0.3, 1.0)
        made = []
        for pixels, share_covered, seed in zip((later, surface), ground.clouds, cover, strict=True):
            seen = clouded(np.random.default_rng(seed), pixels, share_covered, ground.cloud)
            noisy = seen + generator.normal(0, ground.noise, seen.shape)
            made.append(np.ma.MaskedArray(noisy, generator.random(seen.shape) < ground.holes))
        made[0] = np.ma.MaskedArray(made[0].data + shift, made[0].mask)
        pairs[band] = (made[0], made[1])
    return pairs


@given(grounds, SHIFTS)
def test_nothing_wrong_is_ever_proved(ground: Ground, shift: int) -> None:
    assert compare("n", scenes(ground, shift)).offset_dn in (None, shift)


plain = st.builds(
    Ground,
    seed=st.integers(0, 9_999),
    level=st.integers(1_500, 4_000),
    contrast=st.integers(1_500, 4_000),
    noise=st.floats(0, 30),
    season=st.integers(0, 120),
    clouds=st.tuples(st.just(0.0), st.floats(0, 0.1)),
    cloud=st.just(9_000),
)


@given(plain, SHIFTS)
def test_the_shift_of_plain_ground_is_found(ground: Ground, shift: int) -> None:
    found = compare("n", scenes(ground, shift))
    assert found.offset_dn == shift
    assert "neighbour n" in found.text
    assert "B12" in found.text
    assert "B11" not in found.text


@given(st.integers(0, 9_999), SHIFTS)
def test_ground_without_contrast_proves_nothing(seed: int, shift: int) -> None:
    assert compare("n", scenes(Ground(seed, contrast=0), shift)).offset_dn is None


@pytest.mark.parametrize(
    "bands", [(), ("B12",), ("B02",), ("B02", "B04"), ("B11", "B02")], ids=lambda bands: "+".join(bands) or "none"
)
def test_a_visible_band_and_the_shortwave_one_must_agree(bands: tuple[str, ...]) -> None:
    pairs = scenes(Ground(1), 1000)
    pairs["B04"] = pairs["B02"]
    assert compare("n", {band: pairs[band] for band in bands}).offset_dn is None
    assert compare("n", pairs).offset_dn == 1000
    assert compare("n", pairs | {"B12": scenes(Ground(1), 0)["B12"]}).offset_dn is None


def test_few_pixels_in_common_prove_nothing() -> None:
    assert compare("n", scenes(Ground(1, holes=0.8), 1000)).offset_dn is None


@pytest.mark.real_data
def test_days_of_a_real_series_prove_no_offset_that_is_not_there(real_data: Path) -> None:
    """72 days of one place, from clear to covered, all without an offset."""
    folder = real_data / "imagery" / "s2_series"
    fine = planes(next(folder.glob("*_10m_*.nc")), "B02").reshape(-1, 32, 2, 32, 2).mean((2, 4))
    coarse = planes(next(folder.glob("*_20m_*.nc")), "B12")
    days = [
        {band: np.ma.masked_less_equal(day.ravel(), 0) for band, day in (("B12", short), ("B02", blue))}
        for short, blue in zip(coarse, fine, strict=True)
    ]
    for later, earlier in itertools.combinations(days, 2):
        assert compare("n", {band: (later[band], earlier[band]) for band in later}).offset_dn in (None, 0)


def planes(path: Path, band: str) -> np.ndarray:
    with rasterio.open(f"netcdf:{path}:{band}") as source:
        return source.read().astype(np.float64)


offsets = st.sampled_from([0, 1000])
said = st.lists(st.builds(Statement, st.sampled_from(["flag", "tags"]), offsets, st.just("")), max_size=4)
bright = [BandSample(band, 3_000, 0.0, 2_500, 3_000, 4_000, band == "B02") for band in ("B12", "B02", "B11")]
dark = [BandSample(band, 3_000, 0.2, 100, 3_000, 4_000, band == "B02") for band in ("B12", "B02", "B11")]


@given(said, st.sampled_from([-1000, 0, 1000, None]))
def test_a_neighbour_wins_over_what_is_said_and_yields_to_pixels(
    statements: list[Statement], shown: int | None
) -> None:
    evidence = Evidence(shown, "the neighbour")
    assert decide("s", statements, dark, (), evidence) == decide("s", statements, dark)
    decision, without = decide("s", statements, bright, (), evidence), decide("s", statements, bright)
    if shown is None:
        assert (decision.usable, decision.offset_dn, decision.decided_by) == (
            without.usable, without.offset_dn, without.decided_by,
        )  # fmt: skip
    elif shown < 0:
        assert (decision.usable, decision.decided_by) == (False, "neighbour")
        assert "the neighbour" in decision.reason
    else:
        assert (decision.usable, decision.offset_dn, decision.decided_by) == (True, shown, "neighbour")
        assert len(decision.evidence_against) == 1 + sum(s.offset_dn != shown for s in statements)
    assert "the neighbour" in " ".join((*decision.evidence_for, *decision.evidence_against))


def test_a_baseline_that_never_had_an_offset_is_not_overruled() -> None:
    statements = [Statement("processing baseline", 0, "02.14 has no offset")]
    decision = decide("s", statements, bright, (), Evidence(1000, "the neighbour"))
    assert (decision.usable, decision.offset_dn, decision.decided_by) == (True, 0, "statements")
    assert "the neighbour" in decision.evidence_against


def item(name: str, day: int, tile: str = "", **more: Any) -> SerializedItem:
    moment = f"2022-08-{day:02}T18:50:00+00:00"
    return {
        "name": name,
        "geometry": {"time_range": [moment, moment]},
        "properties": {"s2:processing_baseline": "05.09", **({"grid:code": f"MGRS-{tile}"} if tile else {}), **more},
    }


SCENE = item("s", 10, "11SKA")
OTHERS = [
    SCENE,
    item("a", 14, "11SKA"),
    item("b", 6, "11SKA"),
    item("other tile", 11, "11SLA"),
    item("no tile", 10),
    item("torn", 9, "11SKA", **{"earthsearch:boa_offset_applied": True, "raster:bands": {"red": [1e-4, -0.1]}}),
    item("elsewhere", 11, "11SKA") | {FALLBACK_SCENE: True},
    item("timeless", 11, "11SKA") | {"geometry": {"time_range": None}},
    item("c", 21, "11SKA"),
]


@given(st.permutations(OTHERS))
def test_the_nearest_in_time_of_the_same_tile_is_compared(candidates: list[SerializedItem]) -> None:
    found = nearest_in_time(SCENE, candidates)
    assert found is not None
    assert found["name"] == "a"


def test_some_scenes_have_no_neighbour() -> None:
    assert nearest_in_time(SCENE, [SCENE]) is None
    assert nearest_in_time(SCENE | {"geometry": {"time_range": None}}, OTHERS) is None
    untiled = nearest_in_time(item("s", 10), OTHERS)
    assert untiled is not None
    assert untiled["name"] == "no tile"
