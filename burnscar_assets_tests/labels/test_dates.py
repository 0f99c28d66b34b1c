import datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.labels.dates import calendar_days
from burnscar_assets.regions.load import load_region
from burnscar_assets_tests.regions.kit import in_region

DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2090, 12, 31))


def _days(values: object, dtype: object = None) -> list[object]:
    found = calendar_days(pd.Series(values, dtype=dtype), "layer firep24_1", "CONT_DATE")
    assert str(found.dtype) == "datetime64[us, UTC]"
    return [None if pd.isna(day) else day.date() for day in found]


@settings(max_examples=60, deadline=None)
@given(day=DAYS)
def test_a_day_is_the_same_however_it_is_written(day: datetime.date) -> None:
    """Milliseconds of the weeks about 1970 alone could as well be seconds of our time: they are refused as such."""
    assume(not datetime.date(1969, 11, 1) <= day <= datetime.date(1970, 1, 31))
    midnight = datetime.datetime.combine(day, datetime.time(), ZoneInfo("America/Los_Angeles"))
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


def test_where_days_come_first_a_us_date_is_refused() -> None:
    """1 September in Australia would be 9 January."""
    with in_region(load_region("new-south-wales")), pytest.raises(InputError, match=r"no date.*release\.fields"):
        _days(["1/9/2025 12:00:00 AM"])


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


@settings(max_examples=60, deadline=None)
@given(day=DAYS)
def test_a_day_is_the_same_as_arcgis_hub_writes_it(day: datetime.date) -> None:
    eight = datetime.datetime.combine(day, datetime.time(8), datetime.UTC)
    written = [
        f"{day.month}/{day.day}/{day.year} 12:00:00 AM",
        f"{day:%m/%d/%Y} 11:59:59 PM",
        eight.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        eight.strftime("%Y/%m/%d %H:%M:%S+00"),
    ]
    assert _days(written) == [day] * 4


UNITS = {
    "days since 1970": 1 / 86_400,
    "seconds since 1970": 1.0,
    "microseconds since 1970": 1e6,
    "nanoseconds since 1970": 1e9,
}


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(st.dates(datetime.date(1971, 1, 1), datetime.date(2025, 12, 31)), min_size=3, max_size=9),
    unit=st.sampled_from(sorted(UNITS)),
)
def test_numbers_in_another_unit_than_milliseconds_are_refused_by_name(days: list[datetime.date], unit: str) -> None:
    midnights = [datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp() for day in days]
    with pytest.raises(InputError, match=r"looks? like") as caught:
        _days([int(seconds * UNITS[unit]) for seconds in midnights])
    if unit != "days since 1970":
        assert unit in str(caught.value)


def test_day_numbers_of_excel_are_refused() -> None:
    for values in ([44_423.0, 44_424.0], ["44423", "44424"]):
        with pytest.raises(InputError, match="Excel"):
            _days(values)


def test_real_days_of_january_1970_among_others_are_days() -> None:
    may_1968, january_1970, later = -52_500_000_000, 1_000_000_000, 1_629_010_800_000
    assert [day.year for day in _days([may_1968, january_1970, later])] == [1968, 1970, 2021]
