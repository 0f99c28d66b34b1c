"""Dates of records, however a release writes them, as calendar days in California.

FRAP's FileGDB holds plain days; its REST service gives the same days as epoch milliseconds of midnight in
California, so one fire read from both must not differ by a day. Days are kept as midnight UTC.
"""

import pandas as pd

from burnscar_assets.errors import InputError

CALIFORNIA = "America/Los_Angeles"

_DAY = r"^(\d{4})[-/](\d{2})[-/](\d{2})"
_EPOCH_MS = r"-?\d{9,14}"
_ALLOWED = "real dates, ISO text such as 2021-08-15, or epoch milliseconds are allowed"


def calendar_days(column: pd.Series, label: str, field: str) -> pd.Series:
    """Days of a column of dates, times, epoch milliseconds or ISO text.

    A moment that is midnight UTC, or that has no time zone, stands for the day it is written as; any other
    moment for the day that it was in California.

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
        return _in_california(column)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return _from_epoch(column, label, field)
    return _from_text(column.astype("string").str.strip().replace("", pd.NA), label, field)


def _in_california(moments: pd.Series) -> pd.Series:
    utc = moments.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    local = utc.dt.tz_convert(CALIFORNIA).dt.tz_localize(None).dt.normalize().dt.tz_localize("UTC")
    return utc.where(utc == utc.dt.normalize(), local.astype("datetime64[us, UTC]"))


def _from_epoch(column: pd.Series, label: str, field: str) -> pd.Series:
    as_days = column.between(18_500_101, 21_001_231)  # 20210815 as a number would be a day in January 1970
    moments = pd.to_datetime(column.astype("Int64"), unit="ms", utc=True, errors="coerce")
    _refuse(column[as_days | (moments.isna() & column.notna())], label, field)
    return _in_california(moments)


def _from_text(text: pd.Series, label: str, field: str) -> pd.Series:
    days = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us, UTC]")
    epoch = text.str.fullmatch(_EPOCH_MS).fillna(False).astype(bool)
    if epoch.any():
        days[epoch] = _from_epoch(text[epoch].astype("Int64"), label, field)
    written = text[~epoch & text.notna()]
    dated = written[written.str.match(_DAY)].str.replace(_DAY, r"\1-\2-\3", regex=True)
    zoned = dated.str.contains(r"[:\d](?:Z|[+-]\d{2}(?::?\d{2})?)$", regex=True) & (dated.str.len() > 10)
    moments = pd.to_datetime(dated, format="ISO8601", utc=True, errors="coerce").astype("datetime64[us, UTC]")
    _refuse(written[~written.index.isin(moments.dropna().index)], label, field)
    days[moments.index] = _in_california(moments).where(zoned, moments.dt.normalize())
    return days


def _refuse(bad: pd.Series, label: str, field: str) -> None:
    if len(bad):
        raise InputError(
            f"{label}: field {field} holds {str(bad.iloc[0])!r} in {len(bad)} record(s), which is no date; {_ALLOWED}: "
            "correct it in the source"
        )
