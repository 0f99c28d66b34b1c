"""Days as people give them: any true day is read, whatever else is refused with what was meant."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from burnscar_assets.days import YEAR_AHEAD, image_day, why_no_image
from burnscar_assets.errors import InputError
from burnscar_assets.sensors.load import default_sensor, load_sensor

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TODAY = NOW.date()
SENTINEL2 = default_sensor()
IMAGED = st.dates(SENTINEL2.first_day, TODAY)
WRITTEN = {
    "epoch seconds": lambda day: str(int(datetime(day.year, day.month, day.day, 18, tzinfo=UTC).timestamp())),
    "epoch milliseconds": lambda day: str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000),
    "a spreadsheet's number": lambda day: str((day - date(1899, 12, 30)).days),
    "day first": lambda day: f"{day:%d/%m/%Y}",
    "day first with points": lambda day: f"{day.day}.{day.month}.{day.year}",
    "month first": lambda day: f"{day:%m/%d/%Y}",
    "year, day, month": lambda day: f"{day:%Y-%d-%m}",
    "no zeros": lambda day: f"{day.year}-{day.month}-{day.day}",
    "slashes": lambda day: f"{day:%Y/%m/%d}",
    "a float": lambda day: f"{day:%Y%m%d}.0",
    "words": lambda day: f"{day:%d %b %Y}",
    "American words": lambda day: f"{day:%B %d, %Y}",
    "a century too early": lambda day: f"00{day:%y-%m-%d}",
}


@given(day=IMAGED, form=st.sampled_from(["%Y-%m-%d", "%Y%m%d", "%Y-%m-%dT18:49:00Z"]))
def test_a_day_with_images_is_read(day: date, form: str) -> None:
    assert image_day("a place", SENTINEL2, "start", f"{day:{form}}", now=NOW).date() == day


@pytest.mark.parametrize("way", sorted(WRITTEN))
@given(day=IMAGED)
def test_another_way_of_writing_is_refused_with_the_day_meant(way: str, day: date) -> None:
    assume(way != "year, day, month" or day.day > 12)
    text = WRITTEN[way](day)
    try:
        assert image_day("a place", SENTINEL2, "start", text, now=NOW).date() == day, "the same in ISO 8601"
    except InputError as error:
        assert "did you mean" in str(error) and str(day) in str(error)


@given(st.text(max_size=20) | st.integers().map(str) | st.floats().map(str))
def test_any_text_is_a_day_with_images_or_an_error(text: str) -> None:
    try:
        assert (
            SENTINEL2.first_day
            <= image_day("a place", SENTINEL2, "start", text, now=NOW).date()
            <= TODAY + timedelta(days=1)
        )
    except InputError as error:
        assert "is no day: write it as" in str(error) or why(error)


def why(error: InputError) -> bool:
    return "is before the first image" in str(error) or "is in the future" in str(error)


@given(st.dates())
def test_no_image_is_of_a_day_before_the_first_or_to_come(day: date) -> None:
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    may = SENTINEL2.first_day <= day <= TODAY + timedelta(days=1)
    assert (why_no_image(moment, SENTINEL2, now=NOW) is None) == may


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2048-08-30", "'2048-08-30' is in the future: no image is of it yet"),
        ("2062-08-30", "did you mean 2026-08-30"),
        ("2014-12-31", "is before the first image of Sentinel-2 L2A, 2015-06-23"),
        ("2021-02-30", r"is no day: write it as 2021-08-31; did you mean 2021-02-28\?"),
        ("05/01/2021", "did you mean 2021-05-01 or 2021-01-05"),
        ("2048", "2048' is no day.*a year or a month alone is no day"),
        ("", "is no day"), ("soon", "is no day"), ("2021-08-31T25:00", "is no day"),
    ],
)  # fmt: skip
def test_what_is_no_day_with_images_is_told_why(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        image_day("a place", SENTINEL2, "start", text, now=NOW)


def test_a_search_may_end_within_a_year_from_now() -> None:
    assert image_day("a place", SENTINEL2, "end", "2027-06-30", YEAR_AHEAD, NOW).date() == date(2027, 6, 30)
    with pytest.raises(InputError, match="in the future"):
        image_day("a place", SENTINEL2, "end", "2028-06-30", YEAR_AHEAD, NOW)
    assert image_day("a place", SENTINEL2, "end", "2021-08-31T20:00-08:00", now=NOW).date() == date(2021, 9, 1)


def test_each_sensor_has_a_first_day_of_its_own() -> None:
    moment = datetime(2014, 8, 30, tzinfo=UTC)
    assert why_no_image(moment, load_sensor("landsat-c2-l2"), now=NOW) is None
    assert "first image of Sentinel-2 L2A, 2015-06-23" in str(why_no_image(moment, SENTINEL2, now=NOW))
    assert why_no_image(moment, SENTINEL2.model_copy(update={"first_day": None}), now=NOW) is None
