"""The comparison of set-ups: from their predictions to the table, the verdict, and the report that a person reads."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from burnscar_assets.comparison.paired import BETTER, COMPARED, DECISIVE, Comparison, Difference, compare
from burnscar_assets.comparison.read import (
    Contestant,
    Field,
    ValidationMaps,
    choice_in_words,
    read_costs,
    read_field,
    read_validation,
)
from burnscar_assets.errors import MissingDataError
from burnscar_assets.evaluation.ground import ground_clusters
from burnscar_assets.evaluation.metrics import FEW_CLUSTERS, MIN_CLUSTERS
from burnscar_assets.evaluation.report import MAPS_DECIDE, MODEL, OF_RANKING, answers_of, fire_ids_of
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.contracts import SETUP_COMPARISON
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot

if TYPE_CHECKING:
    from burnscar_assets.comparison.maps import MapField

MAPS, QUALITY, COST, VALIDATION = "maps", "quality", "cost", "validation"
BASELINE: Final = "baseline"
"""Kind of what is no set-up but stands beside them: floors and burn indices."""

REFERENCE: Final = "reference"
DECISIVE_BY: Final = {MAPS: MAPS_DECIDE, QUALITY: COMPARED[0]}
"""The metric that decides, by scope."""

REPORT_FILE: Final = "comparison.json"
COSTS: Final = ("train_seconds", "train_memory_mb", "gpu_memory_mb", "predict_windows_per_s", "parameters")
"""Costs, each the median over years and seeds."""

_MAY_BE_EMPTY = ("low", "high", "difference", "difference_low", "difference_high", "seed_low", "seed_high")
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


@dataclass(frozen=True)
class Report:
    """What a comparison found, beside its table.

    Attributes:
        simulated: whether the imagery is simulated.
        fire_years: years that were compared.
        windows: held-out windows, the same for all.
        fires: fires that they belong to.
        reference: set-up that the others are compared with.
        left_out: what was left out, and why.
        verdict: what it comes to: by maps where they can be compared, else by windows.
        maps: held-out fires whose maps are compared; 0: windows decide.
        by_windows: what windows come to, where maps decide.
        flagged: the set-ups' maps with and without fires that the source has a remark on, in words.
        by_validation: which set-up maps validation fires best, by which a default is chosen, in words.
        with_out: the set-ups' maps with fires that a person took out of the scores, in words.
        over_baselines: how the best set-up's maps stand beside floors and burn indices, in words.
        protocol: how fires are judged, in a world with folds.
        caveat: what the world's settings say of its figures.
    """

    simulated: bool
    fire_years: tuple[int, ...]
    windows: int
    fires: int
    reference: str
    left_out: tuple[str, ...]
    verdict: Verdict
    maps: int = 0
    by_windows: Verdict | None = None
    flagged: str = ""
    by_validation: str = ""
    with_out: str = ""
    over_baselines: str = ""
    protocol: str = ""
    caveat: str = ""


@dataclass(frozen=True)
class Outcome:
    """A comparison: contract SETUP_COMPARISON, and the report."""

    table: pd.DataFrame
    report: Report

    @property
    def version(self) -> str:
        """Hash of what was found; costs, which differ from run to run, are left out."""
        quality = self.table[self.table["scope"] != COST]
        return hash_json([SETUP_COMPARISON.content_hash(quality), _plain(asdict(self.report))])


def compare_setups(
    contestants: Sequence[Contestant],
    fire_years: Sequence[int],
    reference: str,
    settings: EvaluationSettings,
    *,
    simulated: bool,
    protocol: str = "",
) -> Outcome:
    """Compare set-ups on the held-out fires that all of them were judged on.

    Args:
        contestants: set-ups, at least two of them judged.
        fire_years: years to look at.
        reference: name of the set-up that the others are compared with.
        settings: resamples, confidence and seed.
        simulated: whether the imagery is simulated.
        protocol: how fires are judged in a world with folds, whose years were judged together.

    Raises:
        MissingDataError: fewer than two set-ups were judged, or the reference was not.
        InputError: they have no window in common.
    """
    from burnscar_assets.comparison.maps import maps_left_out, read_maps

    found = read_field(contestants, fire_years, reference)
    fire_ids = fire_ids_of(found.windows)
    answers = {name: [answers_of(rows, MODEL) for rows in seeds] for name, seeds in found.answers.items()}
    windows = compare(answers, ground_clusters(found.windows), fire_ids != "", settings)
    present = [contestant for contestant in contestants if contestant.name in found.answers]
    titles = {contestant.name: contestant.title for contestant in present}
    by_windows = verdict_on(windows, titles, settings.confidence)
    maps, validated = read_maps(present, found.fire_years), read_validation(present, found.fire_years)
    mapped = None if maps is None else maps.compare(settings)
    by_maps = None if mapped is None or len(mapped.scored) < 2 else verdict_on(mapped, titles, settings.confidence)
    report = Report(
        simulated=simulated,
        fire_years=tuple(sorted(set(map(int, found.windows["fire_year"])))) if protocol else found.fire_years,
        windows=len(found.windows),
        fires=len(set(fire_ids) - {""}),
        reference=reference,
        left_out=(*found.left_out, *maps_left_out(present, found.fire_years, maps)),
        verdict=by_maps or by_windows,
        maps=0 if maps is None else len(maps.fires),
        by_windows=None if by_maps is None else by_windows,
        protocol=protocol,
        caveat=settings.caveat,
        by_validation="" if validated is None else _choice(validated, mapped, titles, folds=bool(protocol)),
        flagged="" if maps is None or mapped is None else _with_and_without_flagged(maps, mapped, titles),
        with_out=_with_out(read_maps(present, found.fire_years, with_out=True), titles, settings),
        over_baselines="" if maps is None or mapped is None else _over_baselines(maps, mapped, titles, settings),
    )
    counted = {"windows": report.windows, "fires": report.fires}
    rows = [row | counted for one in present for row in (*_rows(one, windows, QUALITY, reference), *_costs(one, found))]
    if maps is not None and mapped is not None:
        rows += _map_rows(present, maps, mapped, reference, settings)
    if validated is not None:
        rows += _validation_rows(present, validated)
    return Outcome(_table(rows, reference, ranked=not protocol), report)


def _table(rows: list[dict[str, Any]], reference: str, *, ranked: bool) -> pd.DataFrame:
    """Contract SETUP_COMPARISON; where several checkpoints' probabilities are pooled, metrics of ranking are empty."""
    table = pd.DataFrame(rows).assign(reference=reference)
    if not ranked:
        table.loc[table["metric"].isin(OF_RANKING), ["value", *_MAY_BE_EMPTY]] = math.nan
    return pd.DataFrame(SETUP_COMPARISON.conform(table))


def write_report(root: DataRoot, report: Report) -> Path:
    """Write `comparison/comparison.json`; returns its path."""
    path = root.comparison / REPORT_FILE
    write_json(path, _plain(asdict(report)))
    return path


def load_report(root: DataRoot) -> Report:
    """Read the report of the last comparison.

    Raises:
        MissingDataError: there is none, or it is not whole.
    """
    path = root.comparison / REPORT_FILE
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        verdicts = {name: None if said[name] is None else _verdict_of(said[name]) for name in ("verdict", "by_windows")}
        lists = {name: tuple(said[name]) for name in ("fire_years", "left_out")}
        return Report(**said | lists | verdicts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingDataError(f"no comparison of set-ups yet ({path}): run burnscar refresh") from error


def _verdict_of(said: dict[str, Any]) -> Verdict:
    ends = {name: math.nan if said[name] is None else said[name] for name in ("margin", "low", "high")}
    return Verdict(**said | ends | {"undecided": tuple(said["undecided"])})


def _rows(one: Contestant, comparison: Comparison, scope: str, reference: str) -> Iterator[dict[str, Any]]:
    """A set-up's values, with differences to the reference where that was compared too; none if it wasn't itself."""
    if (scored := comparison.scored.get(one.name)) is None:
        return
    for metric, value in scored.value.items():
        own, seeds, decides = scored.interval[metric], scored.by_seed[metric], metric == comparison.decisive
        row = _named(one) | {"scope": scope, "metric": metric, "value": value, "low": own.low, "high": own.high}
        row |= {"seed_low": min(seeds), "seed_high": max(seeds)} if len(seeds) > 1 else {}
        difference = comparison.differences.get((metric, one.name, reference))
        if difference is None:
            yield row | {"verdict": REFERENCE if decides and one.name == reference else ""}
            continue
        ends = {"difference_low": difference.interval.low, "difference_high": difference.interval.high}
        yield row | ends | {"difference": difference.value, "verdict": difference.verdict if decides else ""}


def _validation_rows(present: Sequence[Contestant], found: ValidationMaps) -> Iterator[dict[str, Any]]:
    """Mean IoU of maps of validation fires, which is no figure of held-out ones and has no interval."""
    for one in present:
        if seeds := found.by_seed.get(one.name):
            row = _named(one) | {"scope": VALIDATION, "metric": MAPS_DECIDE, "value": found.values[one.name]}
            span = {"seed_low": min(seeds), "seed_high": max(seeds)} if len(seeds) > 1 else {}
            yield row | span | {"windows": 0, "fires": found.fires}


def _choice(found: ValidationMaps, mapped: Comparison | None, titles: dict[str, str], *, folds: bool) -> str:
    scored = {} if mapped is None else mapped.scored
    return choice_in_words(found, titles, {name: one.value[MAPS_DECIDE] for name, one in scored.items()}, folds=folds)


def _costs(one: Contestant, found: Field) -> Iterator[dict[str, Any]]:
    costs = read_costs(one, found.fire_years)
    for name in COSTS:
        value = _median([getattr(cost, name) for cost in costs])
        yield _named(one) | {"scope": COST, "metric": name, "value": value}


def _named(one: Contestant) -> dict[str, Any]:
    known = {"setup": one.name, "title": one.title, "kind": one.kind, "seeds": len(one.roots), "verdict": ""}
    return dict.fromkeys(_MAY_BE_EMPTY, math.nan) | known


def _map_rows(
    present: Sequence[Contestant], maps: "MapField", mapped: Comparison, reference: str, settings: EvaluationSettings
) -> Iterator[dict[str, Any]]:
    """Set-ups by their maps, then floors and burn indices, each beside the reference on the fires it has maps of."""
    counted = {"windows": 0, "fires": len(maps.fires)}
    for one in present:
        yield from (row | counted for row in _rows(one, mapped, MAPS, reference))
    setup = reference if reference in maps.scores else next(iter(maps.scores))
    for baseline in maps.beside_baselines(setup, settings):
        named = Contestant(baseline.name, baseline.title, BASELINE, (), (DataRoot(Path()),))
        told = {"setup": f"{BASELINE}/{baseline.name}", "windows": 0, "fires": baseline.fires}
        yield from (row | told for row in _rows(named, baseline.comparison, MAPS, reference))


def _over_baselines(
    maps: "MapField", mapped: Comparison, titles: Mapping[str, str], settings: EvaluationSettings
) -> str:
    """The least gain of the best set-up's maps over a floor or burn index, on the same fires."""
    best = max(sorted(mapped.scored), key=lambda name: mapped.scored[name].value[MAPS_DECIDE])
    gains = [
        (one.comparison.differences[MAPS_DECIDE, best, one.name], one) for one in maps.beside_baselines(best, settings)
    ]
    if not gains:
        return ""
    gain, least = min(gains, key=lambda pair: pair[0].value)
    span = "" if math.isnan(gain.interval.low) else f" [{gain.interval.low:+.3f}, {gain.interval.high:+.3f}]"
    return (
        f"The strongest floor or burn index on the same pixels is {least.title}: the mean IoU of {titles[best]} less "
        f"its own is {gain.value:+.3f}{span}, over {least.fires} fires."
    )


def _with_and_without_flagged(maps: "MapField", mapped: Comparison, titles: Mapping[str, str]) -> str:
    """Mean and median IoU of each set-up's maps of all fires and of those without a remark; empty if none has one."""
    from burnscar_assets.comparison.maps import MEDIANS

    if not maps.flagged:
        return ""
    figures = []
    for name, scored in mapped.scored.items():
        of = [f"{scored.value[mean]:.3f} and {scored.value[median]:.3f}" for mean, median in MEDIANS.items()]
        figures.append(f"{titles[name]} {of[0]}, without them {of[1]}")
    return (
        f"The source has a remark on {maps.flagged} of the {len(maps.fires)} fires; mean and median IoU of maps with "
        f"them: {'; '.join(figures)}."
    )


def _with_out(every: "MapField | None", titles: Mapping[str, str], settings: EvaluationSettings) -> str:
    """Mean and median IoU of each set-up's maps with the fires that a person took out; empty if none is."""
    from burnscar_assets.comparison.maps import MEDIANS

    if every is None or not every.out:
        return ""
    figures = [
        f"{titles[name]} {scored.value[MAPS_DECIDE]:.3f} and {scored.value[MEDIANS[MAPS_DECIDE]]:.3f}"
        for name, scored in every.compare(settings).scored.items()
    ]
    return (
        f"A person took {every.out} of {len(every.fires)} fires out of the scores; mean and median IoU of maps with "
        f"them: {'; '.join(figures)}."
    )


def _median(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else math.nan


def _plain(value: Any) -> Any:
    """As JSON has it; what is undefined is empty."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def verdict_on(comparison: Comparison, titles: Mapping[str, str], confidence: float) -> Verdict:
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
