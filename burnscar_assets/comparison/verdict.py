"""Which set-up is the best, and by how much, in words; or that no difference was shown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from burnscar_assets.comparison.paired import BETTER, DECISIVE, Comparison, Difference
from burnscar_assets.evaluation.intervals import FEW_CLUSTERS, MIN_CLUSTERS
from burnscar_assets.evaluation.report import MAPS_DECIDE

WHAT_DECIDES: Final = {DECISIVE: "F1 of burnt windows", MAPS_DECIDE: "mean IoU of maps"}
"""What the metric that decides is called."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison comes to.

    Attributes:
        best: set-up with the greatest value of what decides.
        winner: the same if it is shown to be better than every other one; else empty.
        undecided: set-ups that the best one is not shown to be better than.
        margin, low, high: difference to the runner-up, with its interval; NaN if it is unknown.
        said: all of it in words.
    """

    best: str
    winner: str
    undecided: tuple[str, ...]
    margin: float
    low: float
    high: float
    said: str


def judge(comparison: Comparison, titles: Mapping[str, str], confidence: float) -> Verdict:
    """The verdict on at least two set-ups, by what decides; among equal ones the first by name comes first.

    Args:
        comparison: of the set-ups.
        titles: of each set-up by its name.
        confidence: coverage of the intervals, 0–1.
    """
    what = WHAT_DECIDES[comparison.decisive]
    values = {name: scored.value[comparison.decisive] for name, scored in comparison.scored.items()}
    ranked = sorted(values, key=lambda name: (-values[name] if values[name] == values[name] else 1.0, name))
    best, runner_up = ranked[0], ranked[1]
    differences = {name: comparison.differences[comparison.decisive, best, name] for name in ranked[1:]}
    undecided = tuple(name for name, found in differences.items() if found.verdict != BETTER)
    margin = differences[runner_up]
    pairs = len(ranked) * (len(ranked) - 1) // 2
    if undecided:
        names = ", ".join(titles[name] for name in undecided)
        ahead = "" if math.isnan(margin.value) else f"{_ahead(margin)} that of the next, {titles[runner_up]}, "
        said = (
            f"No difference shown: {titles[best]} has the greatest {what} ({values[best]:.3f}), {ahead}but it is not "
            f"shown to be better than {names}."
        )
    else:
        said = (
            f"{titles[best]} wins: its {what} ({values[best]:.3f}) is {_ahead(margin)} that of the next, "
            f"{titles[runner_up]}."
        )
    effective = comparison.effective_clusters
    of_clusters = f"{comparison.fire_clusters} clusters of fires, which tell as much as {effective:.1f} of equal size"
    if effective < MIN_CLUSTERS:
        said += f" There are {of_clusters}: with so few fires no interval would hold, and no difference can be shown."
    else:
        said += (
            f" Intervals are over {of_clusters}, and over seeds, and hold at {confidence:.0%} for all {pairs} pairs of "
            "set-ups together."
        )
        if effective < FEW_CLUSTERS:
            said += " So few fires show large differences only."
    return Verdict(
        best,
        "" if undecided else best,
        undecided,
        margin.value,
        margin.interval.low,
        margin.interval.high,
        said,
    )


def _ahead(margin: Difference) -> str:
    """By how much the best one lies above another, with the interval where there is one."""
    low, high = margin.interval.low, margin.interval.high
    return f"{margin.value:.3f} above" if math.isnan(low) else f"{margin.value:.3f} [{low:.3f}, {high:.3f}] above"
