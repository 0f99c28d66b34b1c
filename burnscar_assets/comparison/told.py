"""The comparison for people: rows of text, a Markdown table, and the lines about it."""

import math
from collections.abc import Iterator
from typing import Final

import pandas as pd

from burnscar_assets.comparison.compare import COST, QUALITY, REFERENCE, Outcome, Report
from burnscar_assets.comparison.paired import DECISIVE

HEADINGS: Final = (
    "set-up", "F1 burnt", "seeds", "difference", "verdict", "precision", "recall", "AUROC", "train s", "memory MB",
    "parameters", "windows/s",
)  # fmt: skip


def comparison_rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """A line for each set-up under HEADINGS, best F1 of burnt first."""
    decisive = table[(table["scope"] == QUALITY) & (table["metric"] == DECISIVE)]
    ranked = decisive.sort_values(["value", "setup"], ascending=[False, True], kind="stable", na_position="last")
    return [tuple(_cells(table[table["setup"] == name])) for name in ranked["setup"]]


def comparison_markdown(outcome: Outcome) -> str:
    """The table and what it says, for the web UI."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- |" + " --- |" * (len(HEADINGS) - 1)]
    lines += [f"| {' | '.join(cells)} |" for cells in comparison_rows(outcome.table)]
    return "\n".join([*lines, "", *(f"{line}\n" for line in comparison_lines(outcome.report))])


def comparison_lines(report: Report) -> Iterator[str]:
    """What a comparison comes to, and what it is of."""
    yield report.verdict.said
    years = ", ".join(map(str, report.fire_years))
    yield (
        f"On {report.windows} windows of {report.fires} held-out fires of {years}, the same for all set-ups; "
        f"differences are to {report.reference}."
    )
    if report.left_out:
        yield f"Left out: {'; '.join(report.left_out)}."
    if report.simulated:
        yield "SIMULATED imagery: this says that the comparison works, not which set-up maps real fires best."


def _cells(rows: pd.DataFrame) -> Iterator[str]:
    row = rows[(rows["scope"] == QUALITY) & (rows["metric"] == DECISIVE)].iloc[0]
    values = rows.set_index(["scope", "metric"])["value"]
    yield f"{row['title']} ({row['setup']})"
    yield _with_ends(row["value"], row["low"], row["high"])
    yield f"{row['seeds']}" + _span(row["seed_low"], row["seed_high"])
    ends = row["difference_low"], row["difference_high"]
    yield "" if row["verdict"] == REFERENCE else _with_ends(row["difference"], *ends, sign="+")
    yield str(row["verdict"])
    for metric in ("precision_burnt", "recall_burnt", "auroc"):
        yield _number(values[QUALITY, metric], ".3f")
    yield _number(values[COST, "train_seconds"], ",.1f")
    yield _number(values[COST, "train_memory_mb"], ",.0f")
    yield _number(values[COST, "parameters"], ",.0f")
    yield _number(values[COST, "predict_windows_per_s"], ",.0f")


def _with_ends(value: float, low: float, high: float, sign: str = "") -> str:
    span = "" if math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return _number(value, f"{sign}.3f") + span


def _span(low: float, high: float) -> str:
    return "" if math.isnan(low) else f": {low:.3f} to {high:.3f}"


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else f"{value:{form}}"
