"""Asking a server of perimeters over HTTP: its session, and which failures are worth another try.

Every failure of the transport, and every status that means "later", is a `SourceUnavailableError` and is
tried again; every other refusal is an `InputError` at once. Nothing here knows what is being fetched.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import requests
import urllib3

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.network.addresses import host_of
from burnscar_assets.network.retries import TRANSIENT, Retries, RetryLaterError, asked_wait_s
from burnscar_assets.network.session import Limits, Session
from burnscar_assets.settings import ReleaseSettings, ServiceSettings

BACKOFF_S = 1.0
"""Base of the wait before the second try in seconds; each further one is twice as long."""

LOOK_S = 15.0
"""Longest time for each answer, in seconds: a sensor that looks has a minute for all it does."""

T = TypeVar("T")
SomeService = TypeVar("SomeService", bound=ServiceSettings)


def open_session(settings: ServiceSettings, *addresses: str, max_answer_mb: float | None = None) -> Session:
    """A session with the limits of the settings, and their User-Agent and Referer.

    Args:
        settings: Limits and headers, and addresses that a person named.
        addresses: Others that a person named.
        max_answer_mb: Another limit of an answer, for the caller that checks lengths itself.
    """
    section = settings.setting.partition(".")[0]
    limits = Limits(
        settings.timeout_s,
        settings.deadline_s,
        settings.max_answer_mb if max_answer_mb is None else max_answer_mb,
        hint=f"raise {section}.max_answer_mb if that is the right address",
    )
    named = (value for _, value in settings if isinstance(value, str) and "://" in value)
    hosts = {host_of(address) for address in (*named, *addresses)}
    session = Session(limits, hosts, settings.redirect_hosts, f"{section}.redirect_hosts")
    session.headers.update({"User-Agent": settings.user_agent, "Referer": settings.referer})
    return session


def quickly(settings: SomeService) -> SomeService:
    """Settings of a service for whoever comes again soon: each question is asked once, and for `LOOK_S` at most."""
    shorter = {"timeout_s": min(settings.timeout_s, LOOK_S), "deadline_s": min(settings.deadline_s, LOOK_S)}
    return settings.model_copy(update={"retries": 0, **shorter})


def with_retries(attempt: Callable[[], T], retries: int) -> T:
    """Call `attempt` until it succeeds, at most 1 + `retries` times, waiting longer each time.

    Raises:
        SourceUnavailableError: the last failure, with the number of tries.
    """
    return Retries(retries, BACKOFF_S).call(attempt)


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
    if status in TRANSIENT:
        raise RetryLaterError(f"{url} answered {status} {response.reason}", asked_wait_s(response))
    section = setting.partition(".")[0]
    hint = {
        401: f"it wants a login: fetch the file yourself and give its path as {setting}",
        403: f"it may want a browser's {section}.user_agent and {section}.referer, or take the file by hand and give "
        f"its path as {setting}",
        404: f"the address changes with every release: look up the new one and set {setting}",
        410: f"the address changes with every release: look up the new one and set {setting}",
    }.get(status, f"check {setting}")
    raise InputError(f"{url} answered {status} {response.reason}: {hint}")
