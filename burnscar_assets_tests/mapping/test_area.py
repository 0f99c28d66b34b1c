import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.area import AreaEstimate, estimate_area, window_counts
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

HA = 0.09
OLOFSSON = {"deforestation": 200_000, "gain": 150_000, "forest": 3_200_000, "other": 6_450_000}
OLOFSSON_COUNTS = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]


def test_the_worked_example_of_olofsson_and_others() -> None:
    found = estimate_area({name: pixels * HA for name, pixels in OLOFSSON.items()}, OLOFSSON_COUNTS)
    loss = found["deforestation"]
    assert loss.area_ha == pytest.approx(21_158, abs=1)
    assert loss.high_ha - loss.area_ha == pytest.approx(6_158, abs=1)
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


@pytest.mark.parametrize("burnt_share_of_sample", [0.2, 0.5, 0.8])
def test_samples_by_truth_give_the_area_whatever_their_mix(burnt_share_of_sample: float) -> None:
    noise = np.random.default_rng(3)
    recall, false_alarms, burned_ha, whole_ha = 0.85, 0.1, 800.0, 5_000.0
    mapped_ha = burned_ha * recall + (whole_ha - burned_ha) * false_alarms
    mapped = {"burnt": mapped_ha, "unburnt": whole_ha - mapped_ha}
    burnt = int(400 * burnt_share_of_sample)
    estimates, naive = [], []
    for _ in range(500):
        hit, alarm = noise.binomial([burnt, 400 - burnt], [recall, false_alarms])
        counts = [[hit, alarm], [burnt - hit, 400 - burnt - alarm]]
        estimates.append(estimate_area(mapped, counts, drawn_by="reference"))
        naive.append(estimate_area(mapped, counts)["burnt"].area_ha)
    assert covered(estimates, burned_ha) >= 0.92
    assert np.mean([one["burnt"].area_ha for one in estimates]) == pytest.approx(burned_ha, rel=0.02)
    if burnt_share_of_sample == 0.8:
        assert np.mean(naive) > 1.5 * burned_ha, "the other formula takes the sample's mix for the map's"


def test_windows_of_one_fire_count_as_dependent() -> None:
    noise = np.random.default_rng(5)
    fires, windows, burned_ha, whole_ha = 20, 30, 800.0, 5_000.0
    mapped_ha = burned_ha * 0.8 + (whole_ha - burned_ha) * 0.1
    mapped = {"burnt": mapped_ha, "unburnt": whole_ha - mapped_ha}
    by_fire, pooled = [], []
    for _ in range(400):
        recall, alarms = noise.beta(8, 2, fires), noise.beta(1, 9, fires)
        hit, alarm = noise.binomial(windows, recall), noise.binomial(windows, alarms)
        counts = np.array([[hit, alarm], [windows - hit, windows - alarm]]).transpose(2, 0, 1)
        by_fire.append(estimate_area(mapped, counts, drawn_by="reference"))
        pooled.append(estimate_area(mapped, counts.sum(axis=0), drawn_by="reference"))
    assert covered(by_fire, burned_ha) >= 0.90
    assert covered(pooled, burned_ha) < covered(by_fire, burned_ha) - 0.1


@settings(max_examples=100, deadline=None)
@given(
    arrays("int64", (3, 2, 2), elements=st.integers(0, 40)),
    st.floats(0, 1e4),
    st.floats(1, 1e4),
    st.sampled_from(["map", "reference"]),
)
def test_estimates_add_up_and_stay_in_bounds(counts: np.ndarray, burnt: float, unburnt: float, drawn_by: str) -> None:
    found = estimate_area({"burnt": burnt, "unburnt": unburnt}, counts, drawn_by=drawn_by)
    areas = [one.area_ha for one in found.classes]
    if np.isnan(areas).any():
        assert np.isnan(areas).all()
        assert found.notes[0].startswith("no estimate")
        return
    assert sum(areas) == pytest.approx(burnt + unburnt)
    for one in found.classes:
        assert 0 <= one.low_ha <= one.area_ha <= one.high_ha <= (burnt + unburnt) * (1 + 1e-12)
        assert one.standard_error_ha >= 0
    tiny = estimate_area({"burnt": burnt, "unburnt": unburnt}, counts, drawn_by=drawn_by, confidence=0.5)
    assert tiny["burnt"].high_ha <= found["burnt"].high_ha + 1e-9


def test_what_a_reader_must_know_is_said() -> None:
    mapped = {"burnt": 100.0, "unburnt": 900.0}
    perfect = estimate_area(mapped, [[20, 0], [0, 200]])
    assert perfect["burnt"].high_ha > perfect["burnt"].area_ha == 100
    assert any("too few samples: 20 mapped as burnt" in note for note in perfect.notes)
    assert any("all 200 samples" in note for note in perfect.notes)
    assert "no sample" in estimate_area(mapped, [[20, 0], [0, 0]]).notes[0]
    assert "too badly" in estimate_area(mapped, [[50, 45], [50, 55]], drawn_by="reference").notes[0]
    none_left = estimate_area({"burnt": 10.0, "unburnt": 990.0}, [[90, 10], [10, 90]], drawn_by="reference")
    assert none_left["burnt"].area_ha == 0
    assert "estimate is 0" in none_left.notes[-1]
    two_fires = np.array([[[40, 5], [3, 60]], [[35, 2], [8, 50]]])
    assert "2 fires only" in estimate_area(mapped, two_fires, drawn_by="reference").notes[-1]


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


def test_the_matrix_of_windows_counts_those_of_fires() -> None:
    from sklearn.metrics import confusion_matrix

    predictions = make_predictions(fires=6)
    counts = window_counts(predictions)
    assert counts.shape == (6, 2, 2)
    fires = predictions[predictions["fire_id"] != ""]
    labels = ["burnt", "unburnt"]
    np.testing.assert_array_equal(
        counts.sum(axis=0), confusion_matrix(fires["category"], fires["predicted"], labels=labels).T
    )
    assert window_counts(predictions.iloc[:0]).shape == (0, 2, 2)
