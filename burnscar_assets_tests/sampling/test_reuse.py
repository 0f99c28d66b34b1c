"""Sampling with a memory gives what sampling without one gives, and draws little anew."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling import reuse
from burnscar_assets.sampling.points import SampledPoints, sample_points
from burnscar_assets.sampling.reuse import Memory, picks_stay
from burnscar_assets.settings import SamplingSettings
from burnscar_assets_tests.sampling.fire_worlds import LAND, WINDOWS, YEAR, Fire, history_of, perimeters_of
from burnscar_assets_tests.sampling.test_stability import DENSE, EDITS, FIRES, SETTINGS, edited, world

SCARS = [Fire(20_000 * i - 100_000, 35_000 * (i % 5) - 70_000, 3_000, name=f"s{i}") for i in range(11)]


def sample(
    fires: list[Fire], scars: list[Fire], sampling: SamplingSettings, before: Memory | None = None, code: str = "1"
) -> SampledPoints:
    """The year's points."""
    return sample_points(
        perimeters_of(fires), history_of(scars), YEAR, sampling, WINDOWS,
        land=LAND, hard_negatives=None, before=before, code=code,
    )  # fmt: skip


def assert_same(one: SampledPoints, other: SampledPoints) -> None:
    """The same in every table, in every byte of a geometry, in every figure, and in what is remembered."""
    assert one.points.geometry.to_wkb().tolist() == other.points.geometry.to_wkb().tolist()
    assert_frame_equal(one.points, other.points, check_exact=True)
    assert_frame_equal(one.losses, other.losses, check_exact=True)
    assert one.summary == other.summary


@settings(max_examples=6)
@given(
    seed=st.integers(0, 10_000),
    edits=st.lists(st.tuples(st.integers(0, FIRES - 1), st.sampled_from(EDITS), st.booleans()), min_size=1, max_size=3),
    sampling=st.sampled_from([SETTINGS, DENSE]),
)
def test_a_memory_changes_nothing(seed: int, edits: list[tuple[int, str, bool]], sampling: SamplingSettings) -> None:
    fires, scars = world(seed, side_m=120_000), SCARS
    memory = sample(fires, scars, sampling).memory
    for number, edit, of_fire in edits:
        chosen = fires if of_fire else scars
        at = number % len(chosen)
        changed = edited(chosen, at, edit) if edit != "added" else [*chosen, _beside(chosen[at], len(chosen) + 100)]
        fires, scars = (changed, scars) if of_fire else (fires, changed)
        came = sample(fires, scars, sampling, memory)
        assert_same(came, sample(fires, scars, sampling))
        memory = came.memory


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), number=st.integers(0, len(SCARS) - 1), edit=st.sampled_from(EDITS))
def test_picks_that_stay_are_those_of_sampling_again(seed: int, number: int, edit: str) -> None:
    sampling = SETTINGS.model_copy(update={"unburnt_per_burnt": dict.fromkeys(reuse.OF_BURNS_AND_GROUND, 0.5)})
    fires = world(seed, side_m=120_000)
    scars = edited(SCARS, number, edit)
    before = sample(fires, SCARS, sampling)
    burns = np.concatenate([table.geometry.to_numpy() for table in (history_of(scars), perimeters_of(fires))])
    if picks_stay(before.memory, burns, WINDOWS.side_m, sampling):
        assert_same(sample(fires, scars, sampling), before)


def test_picks_stay_where_no_burn_comes_near_and_no_stratum_has_shapes_of_its_own() -> None:
    fires = world(2)
    near = SETTINGS.model_copy(update={"unburnt_per_burnt": {Stratum.RING: 1.0}})
    with_scars = SETTINGS.model_copy(update={"unburnt_per_burnt": {Stratum.OLD_SCAR: 1.0}})

    def stay(scars: list[Fire], sampling: SamplingSettings) -> bool:
        memory = sample(fires, SCARS, sampling).memory
        burns = np.concatenate([table.geometry.to_numpy() for table in (history_of(scars), perimeters_of(fires))])
        return picks_stay(memory, burns, WINDOWS.side_m, sampling)

    ring_of_a_fire = dataclasses.replace(fires[0], x_m=fires[0].x_m + fires[0].radius_m + 600, radius_m=500, name="new")
    assert stay(SCARS, near)
    assert stay(SCARS[1:], near)
    assert not stay([*SCARS, ring_of_a_fire], near)
    assert not stay(SCARS, with_scars)


def _beside(fire: Fire, number: int) -> Fire:
    return dataclasses.replace(fire, x_m=fire.x_m + fire.radius_m + 2_000, radius_m=900, name=f"{number}")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how many fires windows were drawn, a number for each stratum that any were drawn of."""
    counts: list[int] = []
    pick = reuse.pick_unburnt

    def counted(stratum: Stratum, source: object, wanted: np.ndarray, frame: object) -> object:
        counts.append(int((wanted > 0).sum()))
        return pick(stratum, source, wanted, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(reuse, "pick_unburnt", counted)
    return counts


def test_nothing_is_drawn_twice(drawn: list[int], tmp_path: Path) -> None:
    fires = world(1)
    first = sample(fires, SCARS, SETTINGS)
    assert sum(drawn) > FIRES
    first.memory.write(tmp_path / "memory.npz")
    drawn.clear()
    again = sample(fires, SCARS, SETTINGS, Memory.read(tmp_path / "memory.npz"))
    assert_same(again, first)
    assert drawn == []
    assert again.memory.strata[Stratum.BURNT].fire.tolist() == first.memory.strata[Stratum.BURNT].fire.tolist()


def test_an_old_scar_that_moves_touches_few_fires(drawn: list[int]) -> None:
    fires = world(2)
    memory = sample(fires, SCARS, SETTINGS).memory
    drawn.clear()
    sample(fires, edited(SCARS, 3, "moved"), SETTINGS, memory)
    assert max(drawn, default=0) <= FIRES / 4


@pytest.mark.parametrize("change", ["code", "settings"])
def test_another_code_or_setting_forgets(change: str, drawn: list[int]) -> None:
    fires = world(3)[:8]
    memory = sample(fires, SCARS, SETTINGS).memory
    drawn.clear()
    other = SETTINGS.model_copy(update={"ring_gap_m": 700.0}) if change == "settings" else SETTINGS
    sample(fires, SCARS, other, memory, code="2" if change == "code" else "1")
    assert sum(drawn) >= 8


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_a_damaged_memory_is_none(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "memory.npz"
    if content is not None:
        path.write_bytes(content)
    assert Memory.read(path) is None
