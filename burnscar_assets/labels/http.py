"""Asking a server over HTTP: which failures are worth another try, and how long to wait before it.

Every failure of the transport, and every status that means "later", is a `SourceUnavailableError` and is
tried again; every other refusal is an `InputError` at once. Nothing here knows what is being fetched.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import requests
import urllib3

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.settings import ReleaseSettings, ServiceSettings

BACKOFF_S = 1.0
"""Wait before the second try in seconds; each further wait is twice as long."""

LONGEST_WAIT_S = 60.0

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524})

T = TypeVar("T")


class RetryLaterError(SourceUnavailableError):
    """The server said how long to wait before the next try, in seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def open_session(settings: ServiceSettings) -> requests.Session:
    """A session with the User-Agent and Referer of the settings."""
    session = requests.Session()
    session.headers.update({"User-Agent": settings.user_agent, "Referer": settings.referer})
    return session


def with_retries(attempt: Callable[[], T], retries: int) -> T:
    """Call `attempt` until it succeeds, at most 1 + `retries` times, waiting longer each time.

    Raises:
        SourceUnavailableError: the last failure, with the number of tries.
    """
    for number in range(retries + 1):
        try:
            return attempt()
        except SourceUnavailableError as error:
            if number == retries:
                tries = f"{number + 1} {'try' if number == 0 else 'tries'}"
                raise SourceUnavailableError(f"{error} ({tries}); try again later") from error
            asked = error.wait_s if isinstance(error, RetryLaterError) else 0.0
            time.sleep(min(max(BACKOFF_S * 2**number, asked), LONGEST_WAIT_S))
    raise AssertionError("unreachable")  # the last try returned or raised


@contextmanager
def transport_errors(url: str, setting: str = ReleaseSettings.setting) -> Iterator[None]:
    """Turn failures of the connection, also in the middle of a body, into one class.

    Raises:
        SourceUnavailableError: no answer, a timeout, or a body that broke off.
        InputError: the address itself is malformed.
    """
    try:
        yield
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema) as e:
        raise InputError(f"{setting} {url} is not a web address: {e}") from e
    except (requests.RequestException, urllib3.exceptions.HTTPError) as e:
        raise SourceUnavailableError(f"{url} broke off or did not answer: {type(e).__name__}: {e}") from e


def check_status(response: requests.Response, url: str, setting: str = ReleaseSettings.setting) -> None:
    """Accept a status below 400 and 416 (which the caller of a range understands).

    Raises:
        SourceUnavailableError: the server is busy or broken for now.
        InputError: the server refuses for good.
    """
    status = response.status_code
    if status < 400 or status == 416:
        return
    if status in _TRANSIENT:
        raise RetryLaterError(f"{url} answered {status} {response.reason}", _retry_after_s(response))
    section = setting.partition(".")[0]
    hint = {
        401: f"it wants a login: fetch the file yourself and give its path as {setting}",
        403: f"it may want a browser's {section}.user_agent and {section}.referer, or take the file by hand and give "
        f"its path as {setting}",
        404: f"the address changes with every release: look up the new one and set {setting}",
        410: f"the address changes with every release: look up the new one and set {setting}",
    }.get(status, f"check {setting}")
    raise InputError(f"{url} answered {status} {response.reason}: {hint}")


def _retry_after_s(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0
