import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from burnscar_assets.errors import InputError
from burnscar_assets.publish.reference import AreaEstimate, estimate_area

HA = 0.09
OLOFSSON = {"deforestation": 200_000, "gain": 150_000, "forest": 3_200_000, "other": 6_450_000}
OLOFSSON_COUNTS = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]


def test_the_worked_example_of_olofsson_and_others() -> None:
    found = estimate_area({name: pixels * HA for name, pixels in OLOFSSON.items()}, OLOFSSON_COUNTS)
    loss = found["deforestation"]
    assert loss.area_ha == pytest.approx(21_158, abs=1)
    assert 1.96 * loss.standard_error_ha == pytest.approx(6_158, abs=1)
    assert 1 < (loss.high_ha - loss.low_ha) / (2 * 6_158) < 1.3, "rates of one or two samples are not known that well"
    assert [round(one.users_accuracy, 2) for one in found.classes] == [0.88, 0.73, 0.93, 0.96]
    assert [round(1.96 * one.users_accuracy_se, 2) for one in found.classes] == [0.07, 0.10, 0.04, 0.02]
    assert loss.producers_accuracy == pytest.approx(0.75, abs=0.005)
    assert 1.96 * loss.producers_accuracy_se == pytest.approx(0.21, abs=0.005)
    assert found.overall_accuracy == pytest.approx(0.95, abs=0.005)
    assert found.notes == ()


def covered(estimates: list[AreaEstimate], burned_ha: float) -> float:
    return float(np.mean([one["burnt"].low_ha <= burned_ha <= one["burnt"].high_ha for one in estimates]))


@pytest.mark.parametrize(("samples", "commission", "omission"), [(300, 0.1, 0.05), (60, 0.15, 0.03), (40, 0.02, 0.005)])
def test_intervals_of_samples_by_map_cover_the_truth(samples: int, commission: float, omission: float) -> None:
    noise = np.random.default_rng(7)
    mapped = {"burnt": 1_000.0, "unburnt": 4_000.0}
    burned_ha = 1_000 * (1 - commission) + 4_000 * omission
    estimates = []
    for _ in range(1_000):
        false, missed = noise.binomial(samples, [commission, omission])
        estimates.append(estimate_area(mapped, [[samples - false, false], [missed, samples - missed]]))
    assert covered(estimates, burned_ha) >= 0.92
    centre = np.mean([one["burnt"].area_ha for one in estimates])
    assert centre == pytest.approx(burned_ha, rel=0.02)


@settings(max_examples=100, deadline=None)
@given(
    arrays("int64", (2, 2), elements=st.integers(0, 40)),
    st.floats(0, 1e4),
    st.floats(1, 1e4),
)
def test_estimates_add_up_and_no_interval_is_cut_off(counts: np.ndarray, burnt: float, unburnt: float) -> None:
    found = estimate_area({"burnt": burnt, "unburnt": unburnt}, counts)
    areas = [one.area_ha for one in found.classes]
    if np.isnan(areas).any():
        assert np.isnan(areas).all()
        assert found.notes[0].startswith("no estimate") and not found.defined
        return
    assert sum(areas) == pytest.approx(burnt + unburnt)
    for one in found.classes:
        assert 0 <= one.low_ha <= one.area_ha <= one.high_ha <= (burnt + unburnt) * (1 + 1e-12)
        assert one.low_ha > 0 or one.area_ha == pytest.approx(0), "no end is cut off"
        assert one.standard_error_ha >= 0
    tiny = estimate_area({"burnt": burnt, "unburnt": unburnt}, counts, confidence=0.5)
    assert tiny["burnt"].high_ha <= found["burnt"].high_ha + 1e-9


def test_what_a_reader_must_know_is_said() -> None:
    mapped = {"burnt": 100.0, "unburnt": 900.0}
    perfect = estimate_area(mapped, [[20, 0], [0, 200]])
    assert perfect["burnt"].high_ha > perfect["burnt"].area_ha == 100
    assert any("too few samples: 20 mapped as burnt" in note for note in perfect.notes)
    assert any("all 200 samples" in note for note in perfect.notes)
    assert "no sample" in estimate_area(mapped, [[20, 0], [0, 0]]).notes[0]


@pytest.mark.parametrize(
    ("mapped", "counts"),
    [
        ({"burnt": 1.0}, [[1]]),
        ({"burnt": 1.0, "unburnt": 1.0}, [[1, 2, 3], [1, 2, 3]]),
        ({"burnt": -1.0, "unburnt": 1.0}, [[1, 2], [1, 2]]),
        ({"burnt": 0.0, "unburnt": 0.0}, [[1, 2], [1, 2]]),
    ],
)
def test_figures_that_fit_nothing_are_refused(mapped: dict[str, float], counts: list[list[int]]) -> None:
    with pytest.raises(InputError):
        estimate_area(mapped, counts)
