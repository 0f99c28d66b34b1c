"""Requests to a catalogue on the network that wait and ask again when it is busy, broken or out of reach."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from burnscar_assets.errors import InputError, SourceUnavailableError

logger = logging.getLogger(__name__)

TIMEOUT_S = (10.0, 60.0)
"""How long a server may take to take a connection, and to send anything."""

LONGEST_WAIT_S = 300.0
_BUSY = frozenset({408, 425, 429})


class PatientSession(requests.Session):
    """A session whose requests are tried again; a wait that the server asks for is kept."""

    def __init__(self, retries: int, backoff_s: float, sleep: Callable[[float], object] | None = None) -> None:
        """Make the session; nothing is asked yet.

        Args:
            retries: further tries of a request.
            backoff_s: base of the wait before each, which doubles from try to try.
            sleep: how to wait; by default, until `stop` at the longest.
        """
        super().__init__()
        self._retries = retries
        self._backoff_s = backoff_s
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait

    def stop(self) -> None:
        """Have requests that wait for another try fail at once, in whatever thread they are."""
        self._stopped.set()

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Ask, as `requests.Session.request` does.

        Raises:
            SourceUnavailableError: no try got an answer.
            InputError: the service refuses the request, as it would again.
        """
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT_S
        service = urlsplit(str(url)).netloc
        for attempt in range(self._retries + 1):
            wait: float | None = None
            try:
                response = super().request(method, url, *args, **kwargs)
            except requests.RequestException as error:
                problem = str(error)
            else:
                if response.ok and _is_json(response):
                    return response
                problem = _problem(response)
                if 400 <= response.status_code < 500 and response.status_code not in _BUSY:
                    raise InputError(
                        f"{service} refuses a search ({problem}): check the data source's query, sort_by and "
                        "credentials in config.json"
                    )
                wait = _asked_wait_s(response)
            if self._stopped.is_set():
                break
            if attempt < self._retries:
                pause = self._backoff_s * 2**attempt * (1 + random.random()) if wait is None else wait  # noqa: S311
                logger.info("%s: %s; trying again in %.1f s", service, problem, pause)
                self._sleep(min(pause, LONGEST_WAIT_S))
        raise SourceUnavailableError(
            f"searching {service} for scenes failed ({problem}), after {attempt + 1} tries: try again later; "
            "what was matched is kept"
        )


def _is_json(response: requests.Response) -> bool:
    """Whether an answer is what a catalogue answers; a proxy in between may answer with a page."""
    return "json" in response.headers.get("Content-Type", "json")


def _problem(response: requests.Response) -> str:
    if response.ok:
        return f"an answer of type {response.headers.get('Content-Type')}"
    return f"HTTP {response.status_code} {response.reason}: {response.text[:200].strip()}"


def _asked_wait_s(response: requests.Response) -> float | None:
    """The wait that the server asks for: seconds, or a date."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        return float(asked)
    try:
        return max((parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
