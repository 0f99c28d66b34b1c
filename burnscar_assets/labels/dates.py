"""Dates of records, however a release writes them, as calendar days in the region.

FRAP's FileGDB holds plain days; its REST service gives the same days as epoch milliseconds of midnight in
California, so one fire read from both must not differ by a day. Days are kept as midnight UTC.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from burnscar_assets.errors import InputError
from burnscar_assets.regions.load import working_region

FIRST_YEAR: Final = 1850
"""Year of the oldest burn that is taken for one."""

_EVERY_DATE_DAYS: Final = 1
"""A day that is off by no more is as good as dates are."""

_DAY_MS: Final = 86_400_000
_EXCEL_EPOCH_MS: Final = -25_569 * _DAY_MS
_UNITS: Final[Mapping[str, Callable[[float], float]]] = {
    "days since 1970": lambda value: value * _DAY_MS,
    "day numbers of Excel": lambda value: _EXCEL_EPOCH_MS + value * _DAY_MS,
    "seconds since 1970": lambda value: value * 1e3,
    "microseconds since 1970": lambda value: value / 1e3,
    "nanoseconds since 1970": lambda value: value / 1e6,
}
"""What numbers could be in the place of milliseconds since 1970, and how many of those they are."""

_MILLISECONDS: Final = tuple(pd.Timestamp(year, 1, 1).timestamp() * 1e3 for year in (FIRST_YEAR, 2201))
"""Milliseconds that are a day of a credible year."""

_NEAR_1970_MS: Final = 50 * _DAY_MS
"""Seconds, or day numbers, that are taken for milliseconds are all of January 1970."""

_DAY = r"^(\d{4})[-/](\d{2})[-/](\d{2})"
_US_TIME = r"^(\d{1,2})/(\d{1,2})/(\d{4}) +(\d{1,2}:\d{2}:\d{2} [AP]M)$"
_HTTP_DATE = r"^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$"
_UTC = "%Y-%m-%dT%H:%M:%SZ"
_EPOCH_MS = r"-?\d{9,14}"
_ALLOWED = "real dates, ISO text such as 2021-08-15, or epoch milliseconds are allowed"


def surely_over(ends: Any, precision_days: Any) -> Any:
    """The days that images after fires are counted from: the last days of the fires, later by what they may be off.

    Args:
        ends: days, a series or one.
        precision_days: how far off each may be; missing where nobody knows, as of an assumed day. A day's precision is
            that of every date, and shifts nothing.
    """
    shift = np.ceil(np.where(np.greater(precision_days, _EVERY_DATE_DAYS), precision_days, 0))
    return ends + pd.to_timedelta(shift, unit="D")


def calendar_days(column: pd.Series, label: str, field: str) -> pd.Series:
    """Days of a column of dates, times, epoch milliseconds or ISO text.

    A moment that is midnight UTC, or that has no time zone, stands for the day it is written as; any other
    moment for the day that it was in the region.

    Args:
        column: Values as delivered.
        label: How errors name the layer.
        field: How errors name the field.

    Returns:
        `datetime64[us, UTC]` at midnight, NaT where there is no date.

    Raises:
        InputError: values that are neither; the message names layer, field, an example and what is allowed.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        if column.dt.tz is None:
            return column.dt.normalize().dt.tz_localize("UTC").astype("datetime64[us, UTC]")
        return _in_region(column)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return _from_epoch(column, label, field)
    return _from_text(column.astype("string").str.strip().replace("", pd.NA), label, field)


def days_written(column: pd.Series, form: str, label: str, field: str) -> pd.Series:
    """Days of a column of text that is written in one form, as `strptime` has it; arguments as of `calendar_days`.

    Raises:
        InputError: text that is written otherwise.
    """
    text = column.str.strip().replace("", pd.NA)
    moments = pd.to_datetime(text, format=form, errors="coerce", utc=True).astype("datetime64[us, UTC]")
    bad = text[text.notna() & moments.isna()]
    if len(bad):
        raise InputError(
            f"{label}: field {field} holds {bad.iloc[0]!r} in {len(bad)} record(s), which isn't written as {form}: "
            "correct it in the source, or the format in the file of the label source"
        )
    return _in_region(moments) if "%z" in form.lower() else moments.dt.normalize()


def tells_days(form: str) -> bool:
    """Whether text that is written in a form, as `strptime` has it, tells a day of a year."""
    example = datetime(2021, 8, 15, 12, tzinfo=UTC)
    try:
        return bool(pd.to_datetime(example.strftime(form), format=form, utc=True).date() == example.date())
    except ValueError:
        return False


def _in_region(moments: pd.Series) -> pd.Series:
    utc = moments.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    local = utc.dt.tz_convert(working_region().time_zone).dt.tz_localize(None).dt.normalize().dt.tz_localize("UTC")
    return utc.where(utc == utc.dt.normalize(), local.astype("datetime64[us, UTC]"))


def _from_epoch(column: pd.Series, label: str, field: str) -> pd.Series:
    as_days = column.between(18_500_101, 21_001_231)  # 20210815 as a number would be a day in January 1970
    no_day = as_days | ~column.between(*_MILLISECONDS)
    _refuse(column[no_day & column.notna()], label, field)
    moments = pd.to_datetime(column.astype("Int64"), unit="ms", utc=True, errors="coerce")
    given = column.dropna()
    if unit := _likely_unit(given):
        raise InputError(
            f"{label}: field {field} holds numbers such as {given.iloc[0]:.0f}, which look like {unit}; milliseconds "
            "since 1970 are read: convert them, or give dates"
        )
    return _in_region(moments)


def _likely_unit(numbers: pd.Series) -> str | None:
    """The unit that most numbers are in, if as milliseconds most would be of the first weeks of 1970."""
    if not len(numbers) or (numbers.abs() < _NEAR_1970_MS).mean() <= 0.5:
        return None
    middle = float(numbers.median())
    return next((unit for unit, as_ms in _UNITS.items() if _is_credible(as_ms(middle))), None)


def _is_credible(epoch_ms: float) -> bool:
    """Whether a moment is of a year that records can be from; the first weeks of 1970 are nobody's."""
    first, last = (pd.Timestamp(year, 1, 1).timestamp() * 1e3 for year in (FIRST_YEAR, pd.Timestamp.now().year + 2))
    return first <= epoch_ms < last and abs(epoch_ms) > _NEAR_1970_MS


def _from_text(text: pd.Series, label: str, field: str) -> pd.Series:
    days = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us, UTC]")
    epoch = text.str.fullmatch(_EPOCH_MS).fillna(False).astype(bool)
    if epoch.any():
        days[epoch] = _from_epoch(text[epoch].astype("Int64"), label, field)
    written = text[~epoch & text.notna()]
    iso = _as_iso(written)
    dated = iso[iso.str.match(_DAY)].str.replace(_DAY, r"\1-\2-\3", regex=True)
    zoned = dated.str.contains(r"[:\d](?:Z|[+-]\d{2}(?::?\d{2})?)$", regex=True) & (dated.str.len() > 10)
    moments = pd.to_datetime(dated, format="ISO8601", utc=True, errors="coerce").astype("datetime64[us, UTC]")
    _refuse(written[~written.index.isin(moments.dropna().index)], label, field)
    days[moments.index] = _in_region(moments).where(zoned, moments.dt.normalize())
    return days


def _as_iso(text: pd.Series) -> pd.Series:
    """Text with the two other ways of ArcGIS Hub as ISO: `Thu, 09 Jan 2025 08:00:00 GMT`, `1/9/2025 12:00:00 AM`.

    A 12-hour time behind a date with slashes is that of the United States, whose month comes first, unless the region
    is known to be elsewhere: Australians write the day first, and no day up to the twelfth would tell.
    """
    us, http = text.str.fullmatch(_US_TIME[1:-1]), text.str.fullmatch(_HTTP_DATE[1:-1])
    us &= (working_region().iso_code or "US").startswith("US")
    iso = text.copy()
    for which, form, written in ((us, "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%d"), (http, "%a, %d %b %Y %H:%M:%S GMT", _UTC)):
        moments = pd.to_datetime(text[which], format=form, errors="coerce").dropna()
        iso[moments.index] = moments.dt.strftime(written).astype("string")
    return iso


def _refuse(bad: pd.Series, label: str, field: str) -> None:
    if len(bad):
        raise InputError(
            f"{label}: field {field} holds {str(bad.iloc[0])!r} in {len(bad)} record(s), which is no date"
            f"{_guess(bad.iloc[0])}; {_ALLOWED}: correct it in the source, or say the field's format in release.fields"
        )


def _guess(value: object) -> str:
    """What a value that is no date looks like, in words; empty if like nothing known."""
    try:
        number = float(str(value))
    except ValueError:
        return ""
    if number.is_integer() and FIRST_YEAR * 10_000 < number < 21_001_231:
        return " (it looks like a day without its hyphens)"
    unit = next((unit for unit, as_ms in _UNITS.items() if _is_credible(as_ms(number))), None)
    return f" (it looks like {unit})" if unit else ""
