"""The token that a secured layer of ArcGIS wants: whom that of the environment goes to; that no message shows it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit

import requests

from burnscar_assets.errors import BurnscarError
from burnscar_assets.labels.layer_address import TOKEN_VARIABLE
from burnscar_assets.network.addresses import host_of, is_loopback_name
from burnscar_assets.settings import ReleaseSettings, ServiceSettings

WANTS_TOKEN: Final = frozenset({401, 403, 498, 499})
"""Codes of errors by which a service asks for a token, or for another one."""


def environment_token(url: str, settings: ServiceSettings) -> str | None:
    """The token of the environment, if it may go to the server of an address."""
    return os.environ.get(TOKEN_VARIABLE) or None if _may_have_it(url, settings) else None


def token_hint(url: str, settings: ServiceSettings) -> str:
    """What to do where a service wants a token."""
    wants = "it wants a token, or another one"
    if _may_have_it(url, settings):
        return f"{wants}: set the environment variable {TOKEN_VARIABLE}"
    return (
        f"{wants}: name an environment variable of it in the address (?token=${{NAME}}), since {TOKEN_VARIABLE} goes "
        "to the server of release.source alone, over https"
    )


def token_of(session: requests.Session) -> str:
    """The token that goes with each request of a session; empty if there is none."""
    return str(session.params.get("token", "")) if isinstance(session.params, dict) else ""


@contextmanager
def token_hidden(session: requests.Session) -> Iterator[None]:
    """Take the token out of an error's message, and leave out its cause, which shows the address that was asked."""
    try:
        yield
    except BurnscarError as error:
        token, text = token_of(session), str(error)
        if not token:
            raise
        for written in (token, quote(token), quote_plus(token)):
            text = text.replace(written, "***")
        raise type(error)(text) from None


def _may_have_it(url: str, settings: ServiceSettings) -> bool:
    """Whether an address is of the server of `release.source`, and nobody on the way reads what goes there."""
    private = urlsplit(url).scheme == "https" or is_loopback_name(host_of(url))
    return private and isinstance(settings, ReleaseSettings) and _server(url) == _server(settings.source)


def _server(url: str) -> str:
    return urlsplit(url.strip()).netloc.rpartition("@")[2].lower()
