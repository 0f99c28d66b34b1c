"""The comparison for people: rows of text, a Markdown table, and the lines about it."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from burnscar_assets.comparison.compare import (
    BASELINE,
    COST,
    DECISIVE_BY,
    MAPS,
    QUALITY,
    REFERENCE,
    VALIDATION,
    Outcome,
    Report,
)
from burnscar_assets.evaluation.report import MAPS_DECIDE

if TYPE_CHECKING:
    from burnscar_assets.publish.pages.index import Standings

HEADINGS: Final = (
    "set-up", "map IoU", "median IoU", "seeds", "difference", "verdict", "validation IoU", "IoU off outline",
    "boundary F 2 px", "F1 windows", "F1 difference", "precision", "recall", "AUROC", "train s", "memory MB",
    "parameters", "windows/s",
)  # fmt: skip
"""Of maps first, then of windows; without maps, seeds and verdict are those of windows. All are of held-out fires but
`validation IoU`, by which a default is chosen."""

_ON_PAGES: Final = (
    "set-up", "map IoU", "median IoU", "difference", "verdict", "validation IoU", "IoU off outline", "boundary F 2 px",
    "F1 windows",
)  # fmt: skip


def comparison_rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """A line under HEADINGS for each set-up, floor and burn index: best maps first, then best windows."""
    ranked = pd.DataFrame(
        {scope: _decisive(table, scope).set_index("setup")["value"] for scope in (MAPS, QUALITY)},
        index=pd.Index(table["setup"].unique(), name="setup"),
    ).reset_index()
    ranked = ranked.sort_values(
        [MAPS, QUALITY, "setup"], ascending=[False, False, True], kind="stable", na_position="last"
    )
    return [tuple(_cells(table[table["setup"] == name])) for name in ranked["setup"]]


def comparison_markdown(outcome: Outcome) -> str:
    """The table and what it says, for the web UI."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- |" + " --- |" * (len(HEADINGS) - 1)]
    lines += [f"| {' | '.join(cells)} |" for cells in comparison_rows(outcome.table)]
    return "\n".join([*lines, "", *(f"{line}\n" for line in comparison_lines(outcome.report))])


def standings_of(outcome: Outcome) -> "Standings":
    """What the index over all maps tells of a comparison; nothing where no map was judged."""
    from burnscar_assets.publish.pages.index import Standings

    if not outcome.report.maps:
        return Standings()
    places = [HEADINGS.index(heading) for heading in _ON_PAGES]
    rows = [[cells[place] for place in places] for cells in comparison_rows(outcome.table)]
    return Standings.of([*comparison_lines(outcome.report)], _ON_PAGES, rows)


def comparison_lines(report: Report) -> Iterator[str]:
    """What a comparison comes to, and what it is of."""
    yield report.verdict.said
    if report.by_validation:
        yield report.by_validation
    if report.flagged:
        yield report.flagged
    if report.with_out:
        yield report.with_out
    if report.over_baselines:
        yield report.over_baselines
    if report.by_windows is not None:
        yield f"By windows: {report.by_windows.said}"
    years = ", ".join(map(str, report.fire_years))
    of_maps = f"On maps of {report.maps} held-out fires and" if report.maps else "No maps are compared. On"
    yield (
        f"{of_maps} {report.windows} windows of {report.fires} held-out fires of {years}, the same for all set-ups; "
        f"differences are to {report.reference}."
    )
    if report.protocol:
        yield f"{report.protocol}."
    if report.caveat:
        yield report.caveat
    if report.left_out:
        yield f"Left out: {'; '.join(report.left_out)}."
    if report.simulated:
        yield "SIMULATED imagery: this says that the comparison works, not which set-up maps real fires best."


def _cells(rows: pd.DataFrame) -> Iterator[str]:
    first, values = rows.iloc[0], rows.set_index(["scope", "metric"])["value"]
    maps, windows = (next(_decisive(rows, scope).itertuples(), None) for scope in (MAPS, QUALITY))
    decisive = maps or windows

    def cell(scope: str, metric: str, form: str) -> str:
        return _number(values.get((scope, metric), math.nan), form)

    yield first["title"] if first["kind"] == BASELINE else f"{first['title']} ({first['setup']})"
    yield _value(maps)
    yield cell(MAPS, "iou_median", ".3f")
    yield "" if first["kind"] == BASELINE else f"{first['seeds']}" + _span(decisive)
    yield _difference(maps)
    yield "" if decisive is None else str(decisive.verdict)
    yield cell(VALIDATION, MAPS_DECIDE, ".3f")
    yield from (cell(MAPS, metric, ".3f") for metric in ("iou_off_outline", "boundary_f_2px"))
    yield from (_value(windows), _difference(windows))
    yield from (cell(QUALITY, metric, ".3f") for metric in ("precision_burnt", "recall_burnt", "auroc"))
    yield cell(COST, "train_seconds", ",.1f")
    yield from (cell(COST, name, ",.0f") for name in ("train_memory_mb", "parameters", "predict_windows_per_s"))


def _decisive(table: pd.DataFrame, scope: str) -> pd.DataFrame:
    """The rows of what decides in a scope."""
    return table[(table["scope"] == scope) & (table["metric"] == DECISIVE_BY[scope])]


def _value(row: Any) -> str:
    return "–" if row is None else _with_ends(row.value, row.low, row.high)


def _difference(row: Any) -> str:
    if row is None or row.verdict == REFERENCE:
        return ""
    return _with_ends(row.difference, row.difference_low, row.difference_high, sign="+")


def _with_ends(value: float, low: float, high: float, sign: str = "") -> str:
    span = "" if math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return _number(value, f"{sign}.3f") + span


def _span(row: Any) -> str:
    """The span of seeds."""
    return "" if row is None or math.isnan(row.seed_low) else f": {row.seed_low:.3f} to {row.seed_high:.3f}"


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else f"{value:{form}}"
