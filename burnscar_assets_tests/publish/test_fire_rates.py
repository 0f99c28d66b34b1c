"""Whether intervals from whole maps of validation fires hold for new maps and for sums of them, few fires or many."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from burnscar_assets.evaluation.rules import FrameErrors
from burnscar_assets.publish.area import Area, FireRates, add_up, rates_of_fires
from burnscar_assets_tests.publish.fire_error_tables import errors_of

Worlds = dict[str, tuple[float, float, float, bool]]
WORLDS: Worlds = {
    "even": (-1.7, -2.0, 0.5, False),
    "uneven": (-1.2, -1.7, 1.0, False),
    "missing small fires": (-1.5, -1.7, 0.7, True),
}
"""Log odds of omission and commission in the middle, their spread over fires, and whether small fires go missing."""


@dataclass(frozen=True)
class Fires:
    """Burned, mapped and all ground of fires' maps, hectares."""

    burned: NDArray[np.float64]
    mapped: NDArray[np.float64]
    whole: NDArray[np.float64]

    def errors(self, chosen: slice) -> list[FrameErrors]:
        figures = zip(self.burned[chosen], self.mapped[chosen], self.whole[chosen], strict=True)
        return [errors_of(str(number), *fire) for number, fire in enumerate(figures)]


def draw(world: str, fires: int, noise: np.random.Generator) -> Fires:
    """Fires of 2 to 20,000 ha, half of them below 55, in frames that reach a kilometre beyond."""
    omission, commission, spread, small = WORLDS[world]
    burned = np.clip(np.exp(noise.normal(4, 1.6, fires)), 2, 20_000)
    whole = np.square(np.sqrt(burned * 1e4) * 1.3 + 2000) / 1e4
    left_out = burned * expit(noise.normal(omission, spread, fires))
    if small:
        left_out = np.minimum(0.95 * burned, left_out + np.abs(noise.normal(0, 1.2, fires)) * np.sqrt(burned))
    false = expit(noise.normal(commission, spread, fires))
    hits = burned - left_out
    mapped = hits + hits * false / (1 - false) + (whole - burned) * np.exp(noise.normal(-7, 1, fires))
    if small:
        mapped[noise.random(fires) < np.exp(-burned / 8)] = 0
    return Fires(burned, np.minimum(mapped, 0.95 * whole), whole)


def rates(errors: Sequence[FrameErrors]) -> FireRates:
    found = rates_of_fires(errors)
    assert isinstance(found, FireRates)
    return found


def quadrature_holds(areas: Sequence[Area], truth: float) -> bool:
    """Whether a sum's interval would hold if errors of maps were independent."""
    middle = sum(area.best for area in areas)
    below, above = (np.sqrt(sum((getattr(a, end) - a.best) ** 2 for a in areas)) for end in ("low", "high"))
    return bool(middle - below <= truth <= middle + above)


def coverage(world: str, fires: int, new: int, repeats: int) -> tuple[float, float, float]:
    """Share of intervals that hold: of maps, of sums over maps, and of sums in quadrature."""
    noise = np.random.default_rng([fires, new])
    one, sums, apart = [], [], []
    for _ in range(repeats):
        drawn = draw(world, fires + new, noise)
        found = rates(drawn.errors(slice(fires)))
        truths = drawn.burned[fires:]
        areas = [found.area(*pair, 0.95) for pair in zip(drawn.mapped[fires:], drawn.whole[fires:], strict=True)]
        one += [area.low <= truth <= area.high for area, truth in zip(areas, truths, strict=True)]
        total = add_up(areas)
        assert total.low is not None and total.high is not None
        sums.append(total.low <= truths.sum() <= total.high)
        apart.append(quadrature_holds(areas, float(truths.sum())))
    return float(np.mean(one)), float(np.mean(sums)), float(np.mean(apart))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("fires", [6, 12, 40])
def test_intervals_hold_for_new_maps_and_their_sums_with_few_and_many_validation_fires(world: str, fires: int) -> None:
    one, sums, _ = coverage(world, fires, new=8, repeats=250)
    assert 0.89 <= one <= 0.98 and sums >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("fires", [6, 8, 12, 20, 40])
def test_table_of_coverage(world: str, fires: int) -> None:
    """`-s` prints the table of the documentation."""
    one, sums, apart = coverage(world, fires, new=20, repeats=1000)
    print(f"\n| {world} | {fires} | {one:.0%} | {sums:.0%} | {apart:.0%} |")
    assert one >= 0.9 and sums >= 0.88


def test_a_sum_shares_what_its_maps_share() -> None:
    _, sums, apart = coverage("uneven", fires=6, new=60, repeats=250)
    assert sums >= 0.9 and apart <= 0.8
    drawn = draw("even", 12, np.random.default_rng(0))
    one = rates(drawn.errors(slice(12))).area(100.0, 900.0, 0.95)
    reach = [(add_up([one] * many).high - many * one.estimate) / many for many in (1, 10, 10_000)]
    assert reach[0] == pytest.approx(one.high - one.estimate)
    assert reach[0] > reach[1] > reach[2] == pytest.approx(reach[0] / np.sqrt(12), rel=0.01), "what is shared stays"
    other = replace(one, rates="another checkpoint's")
    assert add_up([one, other]).high < add_up([one, one]).high
    assert 2 * one.low < add_up([one, one]).low


def test_a_sum_of_one_map_is_that_map_and_without_intervals_there_is_none() -> None:
    drawn = draw("even", 12, np.random.default_rng(1))
    one = rates(drawn.errors(slice(12))).area(100.0, 900.0, 0.95)
    alone = add_up([one])
    assert (alone.estimate, alone.low, alone.high) == pytest.approx((one.estimate, one.low, one.high))
    counted = Area(mapped=50.0)
    both = add_up([one, counted])
    assert both.estimate == pytest.approx(one.estimate + 50) and both.low is None and both.high is None
    assert add_up([counted]).estimate is None and add_up([counted]).best == 50
    assert add_up([]).best == 0


def test_a_map_that_misses_as_validation_maps_do_is_corrected() -> None:
    noise = np.random.default_rng(2)
    burned = np.exp(noise.normal(5, 1, 30))
    fires = [
        errors_of(str(n), b, b * share, 10 * b)
        for n, (b, share) in enumerate(zip(burned, expit(noise.normal(0.4, 0.2, 30)), strict=True))
    ]
    area = rates(fires).area(300.0, 5000.0, 0.95)
    assert area.estimate == pytest.approx(300 / expit(0.4), rel=0.1)
    assert area.corrected_by == "validation_fires" and area.mapped == 300


def test_no_end_is_cut_off_and_an_empty_map_has_an_upper_end() -> None:
    drawn = draw("missing small fires", 20, np.random.default_rng(3))
    found = rates(drawn.errors(slice(20)))
    for mapped in (0.0, 0.01, 5.0, 900.0, 1000.0):
        area = found.area(mapped, 1000.0, 0.95)
        assert 0 < area.low < area.estimate < area.high < 1000
    large = [errors_of(str(n), b, 0.9 * b, 10 * b) for n, b in enumerate((40.0, 60.0, 90.0, 200.0, 500.0, 700.0))]
    empty = rates(large).area(0.0, 900.0, 0.95)
    assert empty.low > 0 and empty.high >= 40, "none of the fires seen was mapped with so little"


def test_below_six_effective_clusters_nothing_is_corrected() -> None:
    drawn = draw("even", 12, np.random.default_rng(4))
    assert "5.0 effective clusters" in str(rates_of_fires(drawn.errors(slice(5))))
    assert "no whole map" in str(rates_of_fires([]))
    together = [
        errors_of(str(n // 4), *fire)
        for n, fire in enumerate(zip(drawn.burned, drawn.mapped, drawn.whole, strict=True))
    ]
    assert "3.0 effective clusters" in str(rates_of_fires(together))
    of_land = [errors_of(str(n), 0.0, 3.0, 100.0) for n in range(9)]
    assert "0.0 effective clusters" in str(rates_of_fires(of_land)), "without burned ground there are no odds"


def test_fires_of_one_cluster_count_as_dependent() -> None:
    noise = np.random.default_rng(5)
    shares = np.repeat(expit(noise.normal(1, 0.5, 7)), 5)
    fires = [(100.0, 100.0 * share, 900.0) for share in shares]
    mapped = float(100 * shares.mean())
    apart = rates([errors_of(str(n), *fire) for n, fire in enumerate(fires)])
    together = rates([errors_of(str(n // 5), *fire) for n, fire in enumerate(fires)])
    assert together.effective == pytest.approx(7) and apart.effective == pytest.approx(35)
    assert together.spread > apart.spread
    assert together.area(mapped, 900.0, 0.95).high > apart.area(mapped, 900.0, 0.95).high
    assert together.identity != apart.identity
