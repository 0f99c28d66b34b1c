"""Turning figures into text, and templates into pages: whole files with style and script inside.

Everything that comes from data is escaped and without unseen characters, and the page's own policy lets the browser
run no script but ours and reach no network.
"""

import hashlib
import math
from base64 import b64encode
from datetime import date
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from burnscar_assets.text import printable

NOTHING: Final = "–"
_UNITS = ("B", "kB", "MB", "GB")
FOLDER: Final = "templates"


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


def render(template: str, *, script: str | None = None, **content: Any) -> str:
    """A page from a template of this package.

    Templates and scripts are named without `.html.j2` and `.js`; text is escaped.
    """
    code = _source(f"{script}.js") if script else ""
    return (
        _environment()
        .get_template(f"{template}.html.j2")
        .render(style=Markup(_source("style.css")), script=Markup(code), policy=_policy(code), **content)  # noqa: S704
    )


def render_svg(template: str, **content: Any) -> Markup:
    """A picture from a template of this package, to be put into a page."""
    return Markup(_environment().get_template(f"{template}.svg.j2").render(**content))  # noqa: S704


def _policy(script: str) -> str:
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"'sha256-{digest}'" if script else "'none'"
    return (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )


def _harmless(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("burnscar_assets.publish.pages", FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None  # noqa: S101
    return environment.loader.get_source(environment, name)[0].rstrip("\n")
