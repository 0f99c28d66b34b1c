"""Days as people give them in commands and tables: read strictly, with a guess at what was meant where that fails."""

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from burnscar_assets.errors import InputError
from burnscar_assets.sensors.sensor import Sensor

FIRST_GUESS: Final = date(2015, 6, 23)
"""Days before are no guess of what was meant: most images that maps and windows are made from are newer."""

DAYS_AHEAD: Final = 1
"""How far the calendar of a place may be ahead of UTC's."""

YEAR_AHEAD: Final = 366
"""How far the last day of a search may lie ahead: what is to come is found when it is there."""

_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ].*)?|(\d{4})(\d\d)(\d\d)")
_YEAR_OR_MONTH: Final = re.compile(r"\d{4}(?:-\d\d)?")
_NUMBER: Final = re.compile(r"(\d{5,})(?:\.0*)?")
_PARTS: Final = re.compile(r"(\d{1,4})[-/. ](\d{1,2})[-/. ](\d{1,4})(?:\D.*)?")
_IN_WORDS: Final = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%b-%y")
_SHEET_EPOCH: Final = date(1899, 12, 30)
_ALLOWED: Final = "write it as 2021-08-31"


def is_day(text: str) -> bool:
    """Whether a text begins with a whole day as ISO 8601 has it; a year or a month alone is none."""
    return _DAY.fullmatch(text.strip()) is not None


def image_day(
    place: str, sensor: Sensor, name: str, given: str, days_ahead: int = DAYS_AHEAD, now: datetime | None = None
) -> datetime:
    """A day that an image may be of.

    Args:
        place: what the image is to show, for errors.
        sensor: whose image it is.
        name: what the day is, for errors.
        given: ISO 8601, in UTC if it names no zone.
        days_ahead: how far it may lie ahead of today.
        now: the time; by default, that of the clock.

    Returns:
        The moment, UTC.

    Raises:
        InputError: it is no day, or one that no image can be of; the message guesses what was meant.
    """
    try:
        moment = datetime.fromisoformat(given.strip()) if is_day(given) else None
    except ValueError:
        moment = None
    if moment is None:
        raise InputError(f"{name} {given!r} is no day: {_ALLOWED}{guess(given, now)}")
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    reason = why_no_image(moment, sensor, days_ahead, now)
    if reason:
        raise InputError(f"no scene of {place}: {name} {given!r} {reason}{guess(given, now)}")
    return moment


def why_no_image(
    moment: datetime, sensor: Sensor, days_ahead: int = DAYS_AHEAD, now: datetime | None = None, days_after: int = 0
) -> str | None:
    """Why no image can be of a moment (UTC), or of so many days after; None if there is no reason.

    Args:
        moment: of the image, or of what it is to show.
        sensor: whose image it is.
        days_ahead: how far it may lie ahead of today.
        now: the time; by default, that of the clock.
        days_after: how much later the image may be.
    """
    first = sensor.first_day
    if first is not None and moment.date() < first - timedelta(days=days_after):
        return f"is before the first image of {sensor.title}, {first}"
    if moment.date() > _today(now) + timedelta(days=days_ahead):
        return "is in the future: no image is of it yet"
    return None


def guess(given: str, now: datetime | None = None) -> str:
    """What may have been meant by a text that is no day, or an impossible one, as the end of a sentence; or nothing."""
    if _YEAR_OR_MONTH.fullmatch(given.strip()):
        return "; a year or a month alone is no day"
    today = _today(now)
    days = dict.fromkeys(day for day in _candidates(given.strip(), today) if FIRST_GUESS <= day <= today)
    return f"; did you mean {' or '.join(map(str, list(days)[:2]))}?" if days else ""


def _candidates(text: str, today: date) -> Iterator[date]:
    number, parts = _NUMBER.fullmatch(text), _PARTS.fullmatch(text)
    if number:
        yield from _of_number(number[1])
    if parts:
        yield from _of_parts([int(part) for part in parts.groups()], today)
    words = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b|,", "", text)
    for form in _IN_WORDS:
        try:
            yield datetime.strptime(words, form).date()
        except ValueError:
            continue


def _of_number(digits: str) -> Iterator[date]:
    """Seconds, milliseconds or microseconds since 1970, the day number of a spreadsheet, or a day without dashes."""
    for length, per_second in ((10, 1), (13, 1_000), (16, 1_000_000)):
        if len(digits) == length:
            yield datetime.fromtimestamp(int(digits) / per_second, UTC).date()
    if len(digits) == 5:
        yield _SHEET_EPOCH + timedelta(days=int(digits))
    if len(digits) == 8:
        for year, month, day in ((digits[:4], digits[4:6], digits[6:]), (digits[4:], digits[2:4], digits[:2])):
            yield from _days(int(year), int(month), int(day))


def _of_parts(parts: list[int], today: date) -> Iterator[date]:
    """Three numbers in any order that people use, with a year that is cut, or mistyped."""
    first, second, third = parts
    if first > 31:
        years = [first] if FIRST_GUESS.year <= first <= today.year else _like(first, today)
        for year in years:
            found = [*_days(year, second, third)] or [*_days(year, third, second)]
            if not found and 1 <= second <= 12 and third <= 31:
                found = [date(year, second, monthrange(year, second)[1])]
            yield from found
        return
    for year, month, day in ((third, first, second), (third, second, first), (first, second, third)):
        yield from _days(year + 2000 if year < 100 else year, month, day)


def _like(year: int, today: date) -> Iterator[int]:
    """Years with images that a slip of the keys makes of another: two digits exchanged, or one wrong."""
    digits = f"{year:04}"
    for sensible in range(today.year, FIRST_GUESS.year - 1, -1):
        other = f"{sensible:04}"
        if sorted(digits) == sorted(other) or sum(a != b for a, b in zip(digits, other, strict=False)) == 1:
            yield sensible


def _days(year: int, month: int, day: int) -> Iterator[date]:
    try:
        yield date(year, month, day)
    except ValueError:
        return


def _today(now: datetime | None) -> date:
    return (now or datetime.now(UTC)).date()
