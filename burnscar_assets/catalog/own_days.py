"""Of which days a person's own images are: by a table of theirs, by the names of the files, or by the files' tags."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pandas as pd

from burnscar_assets.days import is_day
from burnscar_assets.errors import InputError
from burnscar_assets.text import some_of

COLUMNS: Final = ("file", "start", "end")

_DAY: Final = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)"
    r"(?:(?P<part>[-_:.]?)(?P<month>0[1-9]|1[0-2])(?P=part)(?P<day>0[1-9]|[12]\d|3[01])(?!\d(?!\d{5}(?!\d)))"
    r"|(?P<of_year>[0-3]\d\d)(?=T\d{6}))"
)
"""YYYYMMDD, YYYY-MM-DD and their like, a time behind them or not; or YYYYDDDThhmmss, as HLS has it."""

_OF_ACQUISITION: Final = ("ACQUISITION", "DATE_ACQUIRED", "SENSING_TIME")
_OF_FILE: Final = "TIFFTAG_DATETIME"

Days = tuple[date, date]
"""First and last day of an image."""


def days_in(text: str) -> list[date]:
    """The days that a text names, in its order, each once."""
    found = dict.fromkeys(day for match in _DAY.finditer(text) if (day := _day_of(match)) is not None)
    return [*found]


def days_of_file(name: str, tags: Mapping[str, str]) -> list[date]:
    """The days that a file's name tells (without folders: these are often named after fires), else its tags.

    Of the tags those of the acquisition count, else TIFFTAG_DATETIME.
    """
    of_acquisition = [text for key, text in sorted(tags.items()) if key.upper().startswith(_OF_ACQUISITION)]
    texts = [name, " ".join(of_acquisition), tags.get(_OF_FILE, "")]
    return next((days for text in texts if (days := days_in(text))), [])


def read_days(csv: Path, files: Collection[str]) -> dict[str, Days]:
    """First and last day of files, as a table says.

    Args:
        csv: columns file (path below the folder, or the name alone where it is the only one), start and end (the last
            day; empty or without the column: as start), as YYYY-MM-DD.
        files: paths of the folder's files, below it.

    Raises:
        InputError: the table can't be read, lacks a column, or has rows that are unusable, which it names.
    """
    try:
        table = pd.read_csv(csv, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {csv}: {error.strerror}; give a CSV with columns {_columns()}") from error
    except ValueError as error:
        raise InputError(f"{csv} is not a CSV with a header: {error}") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    lacking = [name for name in COLUMNS[:2] if name not in table]
    if lacking:
        raise InputError(f"{csv} lacks the column {', '.join(lacking)}: it must have {_columns()}")
    ends = table["end"] if "end" in table else table["start"]
    by_name = _by_name(files)
    found: dict[str, Days] = {}
    problems: list[str] = []
    for row, (given, start, end) in enumerate(zip(table["file"], table["start"], ends, strict=True), start=2):
        name = by_name.get(given.strip().removeprefix("./").replace("\\", "/"))
        first, last = _day(start), _day(end.strip() or start)
        if name is None or first is None or last is None or last < first or name in found:
            problems.append(f"row {row} ({given}, {start}, {end})")
        else:
            found[name] = first, last
    if problems:
        raise InputError(
            f"{len(problems)} rows of {csv} can't be used: {some_of(problems)}; each must name another file of the "
            "folder, and days such as 2021-08-31, the last not before the first"
        )
    return found


def _by_name(files: Iterable[str]) -> dict[str, str]:
    """Files by their path, and by their name where it is the only one."""
    names: dict[str, list[str]] = {}
    for file in files:
        for name in {file, file.rpartition("/")[2]}:
            names.setdefault(name, []).append(file)
    return {name: found[0] for name, found in names.items() if len(found) == 1} | {file: file for file in files}


def _columns() -> str:
    return ", ".join(COLUMNS)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()[:10]) if is_day(text) else None
    except ValueError:
        return None


def _day_of(match: re.Match[str]) -> date | None:
    year = int(match["year"])
    try:
        if match["of_year"] is not None:
            found = date(year, 1, 1) + timedelta(days=int(match["of_year"]) - 1)
            return found if found.year == year else None
        return date(year, int(match["month"]), int(match["day"]))
    except ValueError:
        return None
