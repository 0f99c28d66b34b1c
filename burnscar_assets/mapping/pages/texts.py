"""How figures are written on the pages."""

import math
from datetime import date
from typing import Any, Final

NOTHING: Final = "–"
_UNITS = ("B", "kB", "MB", "GB")


def known(value: float | None) -> bool:
    """Whether a figure is there and defined."""
    return value is not None and math.isfinite(value)


def hectares(value: float | None) -> str:
    """An area in hectares without its unit: whole ones from 100 on."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def share(value: float | None) -> str:
    """A share 0–1 as a percentage."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:.1f} %"


def ratio(value: float | None) -> str:
    """A ratio with two digits."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.2f}"


def metres(value: float | None) -> str:
    """A distance in metres."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:,.0f} m"


def size(count: int) -> str:
    """A number of bytes in the unit that reads best."""
    amount, unit = float(count), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 or amount >= 10 else f"{amount:.1f} {_UNITS[unit]}"


def day(text: str) -> str:
    """An ISO date or moment as a day in words; what isn't one stays as it is."""
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        return text
    return f"{found.day} {found:%b %Y}"


def period(start: str, end: str) -> str:
    """Two days in words, the year once if it is the same."""
    first, last = day(start), day(end)
    if first[-4:] == last[-4:] and first != last:
        first = first[:-5]
    return first if first == last else f"{first} – {last}"


def position(lon: float, lat: float) -> str:
    """Longitude and latitude to four decimals of a degree."""
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.4f}° {'E' if lon >= 0 else 'W'}"


def flat(value: Any) -> str:
    """A value of the record as text."""
    return value if isinstance(value, str) else str(value)
