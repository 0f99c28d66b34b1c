"""The funnel of a fire year: how many of the release's records became training examples, and why others did not.

Read from the tables alone. A step has what the step before has, less its losses; whatever no table gives a
reason for is `unaccounted`. Where a step counts other things than the one before (points are wanted for fires),
it starts anew. For people it is a table for the terminal, and one with bars for the web UI.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Final

import pandas as pd
from rich.table import Table as RichTable

from burnscar_assets.classes import BURNT, CATEGORIES, CLASS_NAMES, MIXED, Split, Stratum
from burnscar_assets.models.manifest import MANIFEST_FILE
from burnscar_assets.reader.clearness import is_clear_enough
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.contracts import (
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    RELEASE_RECORDS,
    SAMPLE_LOSSES,
    SAMPLE_POINTS,
    SCENE_MATCHES,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

CLOUDY: Final = "cloudy"
"""Reason of windows with complete tiles that don't count, as too little of them is clear."""
JUDGED: Final = "judged_frame"
"""Reason of windows that the year's checkpoint isn't trained with, as they reach into the frame of a judged fire."""
ANSWERS_FOR_WINDOWS: Final = "mixed"
"""Reason of windows on edges that the year's checkpoint isn't trained with, as it answers for windows as a whole."""
UNACCOUNTED: Final = "unaccounted"
"""Reason of what is lost without a reason."""
UNEXPECTED: Final = "unexpected"
"""Reason, with a negative count, of what came through a step without having been in the step before."""

COLUMNS: Final = ("step", "unit", "count", "reason")


@dataclass(frozen=True)
class _Row:
    step: str
    unit: str
    count: int
    reason: str = ""


def funnel(root: DataRoot, fire_year: int, layer: str, min_clear_fraction: float) -> pd.DataFrame:
    """From the records of a fire year to its examples.

    Steps are `records`, `perimeters`, `fires_with_points` (burnt ones), `points_wanted`, `points`, `windows`,
    `tiles` (complete), `clear`, `off_frames` (of judged fires, once the year's checkpoint was trained; without those
    on edges unless it answers pixel by pixel), and of these each `<split>_<category>`: what the checkpoint is trained
    on, chosen by and tested with. The funnel ends at the first table that has not been made.

    Args:
        root: data root.
        fire_year: the year.
        layer: raster layer that the model reads.
        min_clear_fraction: least share of a window that is clear for it to count, 0–1.

    Returns:
        step, unit (records, fires, points, windows or examples), count, reason. A row without a reason is what
        came through the step; the rows with one, after it, are what the step lost.

    Raises:
        MissingDataError: there is no release yet.
        InputError: a table is damaged.
    """
    records = _records(root, fire_year)
    rows = [_Row("records", "records", len(records))]
    stages = (
        (FIRE_PERIMETERS, lambda: _perimeters(root, fire_year, records)),
        (SAMPLE_POINTS, lambda: _points(root, fire_year)),
        (WINDOWS, lambda: _windows(root, fire_year)),
        (TILES, lambda: _tiles(root, fire_year, layer, min_clear_fraction)),
    )
    for table, rows_of_stage in stages:
        if not table_path(root, table, fire_year).exists():
            break
        rows += rows_of_stage()
    return pd.DataFrame([astuple(row) for row in rows], columns=list(COLUMNS))


def unexplained(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a funnel that keep it from adding up."""
    return rows[rows["reason"].isin([UNACCOUNTED, UNEXPECTED])]


def _records(root: DataRoot, fire_year: int) -> pd.Series:
    records = read_table(root, RELEASE_RECORDS, None, ["record_id", "kind", "fire_year"])
    of_year = (records["kind"] == "fire") & (records["fire_year"] == fire_year).fillna(False)
    return records.loc[of_year, "record_id"]


def _perimeters(root: DataRoot, fire_year: int, records: pd.Series) -> list[_Row]:
    kept = read_table(root, FIRE_PERIMETERS, fire_year, ["fire_id"])["fire_id"]
    rejects = read_table(root, FIRE_PERIMETER_REJECTS, fire_year, ["record_id", "reason"])
    reasons = dict(zip(rejects["record_id"], rejects["reason"], strict=True))
    return _passed("perimeters", "records", "fires", records, kept, reasons)


def _points(root: DataRoot, fire_year: int) -> list[_Row]:
    fires = read_table(root, FIRE_PERIMETERS, fire_year, ["fire_id"])["fire_id"]
    points = read_table(root, SAMPLE_POINTS, fire_year, ["fire_id", "category"])
    losses = read_table(root, SAMPLE_LOSSES, fire_year)
    had = points.loc[points["category"] == CLASS_NAMES[BURNT], "fire_id"]
    lost = losses.groupby("reason")["points"].sum()
    return [
        *_passed("fires_with_points", "fires", "fires", fires, had, _main_reasons(losses)),
        _Row("points_wanted", "points", len(points) + int(lost.sum())),
        _Row("points", "points", len(points)),
        *(_Row("points", "points", int(count), str(reason)) for reason, count in sorted(lost.items())),
    ]


def _main_reasons(losses: pd.DataFrame) -> dict[str, str]:
    """For each fire that lost burnt points, why it lost most of them."""
    burnt = losses[losses["stratum"] == Stratum.BURNT].sort_values(["points", "reason"], ascending=[False, True])
    main = burnt.drop_duplicates("fire_id")
    return dict(zip(main["fire_id"], main["reason"], strict=True))


def _windows(root: DataRoot, fire_year: int) -> list[_Row]:
    points = read_table(root, SAMPLE_POINTS, fire_year, ["point_id"])["point_id"]
    windows = read_table(root, WINDOWS, fire_year, ["point_id"])["point_id"]
    return _passed("windows", "points", "windows", points, windows, {})


def _tiles(root: DataRoot, fire_year: int, layer: str, min_clear_fraction: float) -> list[_Row]:
    windows = read_table(root, WINDOWS, fire_year, ["window_id", "split", "category"])
    tiles = read_table(root, TILES, fire_year, ["window_id", "layer", "complete", "reason", "clear_fraction"])
    matches = read_table(root, SCENE_MATCHES, fire_year, ["window_id", "layer", "matched", "reason"])
    tiles, matches = tiles[tiles["layer"] == layer], matches[matches["layer"] == layer]
    complete = tiles["complete"].fillna(False).astype(bool)
    reasons: dict[str, str] = {}
    for rows in (tiles[~complete], matches[~matches["matched"].astype(bool)]):
        named = rows[rows["reason"].fillna("") != ""]
        reasons |= dict(zip(named["window_id"], named["reason"], strict=True))
    usable = tiles.loc[complete, "window_id"]
    clear = usable[is_clear_enough(tiles.loc[complete, "clear_fraction"].to_numpy(), min_clear_fraction)]
    trained = read_json(root.checkpoint(fire_year) / MANIFEST_FILE)
    judged = {name for names in trained.get("judged_windows", {}).values() for name in names}
    mixed = set() if trained.get("per_pixel") else set(windows.loc[windows["category"] == MIXED, "window_id"])
    used = clear[~clear.isin(judged | mixed)]
    examples = windows[windows["window_id"].isin(used)]
    counts = examples.groupby(["split", "category"]).size()
    return [
        *_passed("tiles", "windows", "windows", windows["window_id"], usable, reasons),
        *_passed("clear", "windows", "windows", usable, clear, dict.fromkeys(usable, CLOUDY)),
        *_passed(
            "off_frames",
            "windows",
            "windows",
            clear,
            used,
            dict.fromkeys(clear, JUDGED) | dict.fromkeys(mixed, ANSWERS_FOR_WINDOWS),
        ),
        *(
            _Row(f"{split}_{name}", "examples", int(counts.get((split, name), 0)))
            for split in (Split if examples["split"].isin(list(Split)).all() else sorted(set(examples["split"])))
            for name in (CATEGORIES if (split, MIXED) in counts else CLASS_NAMES)
        ),
    ]


def _passed(
    step: str, unit_before: str, unit: str, before: Iterable[str], after: Iterable[str], reasons: Mapping[str, str]
) -> list[_Row]:
    """Rows of a step that only takes away, by the identities of what went in and what came through."""
    had, has = set(before), set(after)
    lost = Counter(reasons.get(name, UNACCOUNTED) for name in had - has)
    rows = [_Row(step, unit, len(has)), *(_Row(step, unit_before, lost[reason], reason) for reason in sorted(lost))]
    surplus = len(has - had)
    return [*rows, _Row(step, unit_before, -surplus, UNEXPECTED)] if surplus else rows


_BAR_LENGTH: Final = 20
"""Characters of the longest bar."""


@dataclass(frozen=True)
class Step:
    """One step of a funnel: what came through, and how many were lost by reason."""

    name: str
    unit: str
    count: int
    lost: dict[str, int]

    @property
    def label(self) -> str:
        """The step's name, and what it counts where the name doesn't say so."""
        shown = self.name.replace("_", " ")
        return shown if self.unit in shown else f"{shown} ({self.unit})"

    @property
    def losses(self) -> str:
        """What was lost, most first, in words."""
        most_first = sorted(self.lost.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in most_first)


def steps(rows: pd.DataFrame) -> Iterator[Step]:
    """The steps of a funnel, in order."""
    for name, of_step in rows.groupby("step", sort=False):
        through, lost = of_step[of_step["reason"] == ""].iloc[0], of_step[of_step["reason"] != ""]
        counts = {str(reason): int(count) for reason, count in zip(lost["reason"], lost["count"], strict=True)}
        yield Step(str(name), str(through["unit"]), int(through["count"]), counts)


def funnel_tables(
    root: DataRoot, fire_years: Iterable[int], layer: str, min_clear_fraction: float, *, simulated: bool
) -> Iterator[RichTable]:
    """The funnel of each fire year, for the terminal.

    Args:
        root: data root.
        fire_years: years.
        layer: raster layer that the model reads.
        min_clear_fraction: least share of a window that is clear for it to count, 0–1.
        simulated: whether perimeters or imagery are simulated, which the titles then say.

    Raises:
        MissingDataError: there is no release yet.
        InputError: a table is damaged.
    """
    for year in sorted(fire_years):
        table = RichTable("step", "count", "lost", title=_heading(f"From records to examples, {year}", simulated))
        table.columns[1].justify = "right"
        for step in steps(funnel(root, year, layer, min_clear_fraction)):
            table.add_row(step.label, f"{step.count:,}", step.losses)
        yield table


def markdown_funnel(rows: pd.DataFrame, *, title: str, simulated: bool) -> str:
    """A funnel as a table in Markdown, with a bar a step, for the web UI.

    Args:
        rows: a funnel.
        title: heading.
        simulated: whether perimeters or imagery are simulated, which the heading then says.
    """
    shown = list(steps(rows))
    most = max([1, *(step.count for step in shown)])
    lines = [f"**{_heading(title, simulated)}** (length of bars: square root of the count)", ""]
    lines += ["| step | | count | lost |", "| --- | :-- | --: | --- |"]
    for step in shown:
        bar = "█" * round(_BAR_LENGTH * math.sqrt(step.count / most))
        lines.append(f"| {step.label} | {bar} | {step.count:,} | {step.losses} |")
    return "\n".join(lines)


def _heading(title: str, simulated: bool) -> str:
    return f"{title} (simulated)" if simulated else title
