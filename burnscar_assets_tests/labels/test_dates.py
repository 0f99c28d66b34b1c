import datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.labels.dates import CALIFORNIA, calendar_days

DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2090, 12, 31))


def _days(values: object, dtype: object = None) -> list[object]:
    found = calendar_days(pd.Series(values, dtype=dtype), "layer firep24_1", "CONT_DATE")
    assert str(found.dtype) == "datetime64[us, UTC]"
    return [None if pd.isna(day) else day.date() for day in found]


@settings(max_examples=60, deadline=None)
@given(day=DAYS)
def test_a_day_is_the_same_however_it_is_written(day: datetime.date) -> None:
    midnight = datetime.datetime.combine(day, datetime.time(), ZoneInfo(CALIFORNIA))
    epoch_ms = round(midnight.timestamp()) * 1000
    utc = pd.Timestamp(day, tz="UTC")
    assert _days([epoch_ms, None]) == [day, None]
    assert _days([float(epoch_ms), float("nan")]) == [day, None]
    assert _days([utc, pd.NaT]) == [day, None]
    assert _days([utc.tz_localize(None) + pd.Timedelta(hours=2)]) == [day], "no zone: the day as written"
    assert _days([day, None], dtype=object) == [day, None]
    written = [
        day.isoformat(),
        day.strftime("%Y/%m/%d 00:00:00+00"),
        midnight.isoformat(),
        midnight.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        day.isoformat() + "T02:00:00",
        " ",
        None,
    ]
    assert _days(written) == [day] * 5 + [None, None]


def test_epoch_milliseconds_as_text() -> None:
    assert _days(["1629010800000"]) == [datetime.date(2021, 8, 15)]


def test_a_moment_counts_for_its_day_in_california() -> None:
    assert _days(["2021-08-15T05:30:00Z"]) == [datetime.date(2021, 8, 14)]


@pytest.mark.parametrize("bad", ["August", "15.08.2021", "2021-13-45", "2021", "08/15/2021", "2021-08-15 noon"])
def test_text_that_is_no_date_is_named(bad: str) -> None:
    with pytest.raises(InputError) as caught:
        _days(["2021-08-15", bad, bad])
    for part in ("layer firep24_1", "CONT_DATE", repr(bad), "2 record(s)", "ISO text", "epoch milliseconds"):
        assert part in str(caught.value)


def test_numbers_that_look_like_days_are_no_epochs() -> None:
    with pytest.raises(InputError, match="20210815"):
        _days([20210815])


def test_nothing_is_nothing() -> None:
    assert _days([], dtype=object) == []
    assert _days([None, None]) == [None, None]
