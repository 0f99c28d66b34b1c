"""Turning templates into pages: whole files with style and script inside, so that they need nothing but themselves.

Everything that comes from data is escaped and without unseen characters, and the page's own policy lets the browser
run no script but ours and reach no network.
"""

import hashlib
from base64 import b64encode
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from burnscar_assets.text import printable

FOLDER: Final = "templates"


def render(template: str, *, script: str | None = None, **content: Any) -> str:
    """A page from a template of this package.

    Args:
        template: its name without `.html.j2`.
        script: name of the script to include, without `.js`.
        content: what the template shows; text is escaped.
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
        loader=PackageLoader("burnscar_assets.mapping.pages", FOLDER),
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
