"""Requests to a catalogue on the network that wait and ask again when it is busy, broken or out of reach."""

import threading
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.network.retries import Retries, RetryLaterError, asked_wait_s, is_refusal
from burnscar_assets.network.session import Limits, Session

LIMITS: Final = Limits(timeout_s=60, deadline_s=300, max_answer_mb=200, hint="narrow the search")
"""Of one page of a search."""


class PatientSession(Session):
    """A session whose requests are tried again; a wait that the server asks for is kept."""

    def __init__(
        self,
        retries: int,
        backoff_s: float,
        sleep: Callable[[float], object] | None = None,
        *,
        named_hosts: Collection[str] = (),
        redirect_hosts: Collection[str] = (),
        limits: Limits = LIMITS,
    ) -> None:
        """Make the session; nothing is asked yet.

        Args:
            retries: further tries of a request.
            backoff_s: base of the wait before each, which doubles from try to try.
            sleep: how to wait; by default, until `stop` at the longest.
            named_hosts: hosts that a person named, which may be of this machine or a private network.
            redirect_hosts: other hosts, or patterns of hosts, that a redirect may lead to.
            limits: of each try.
        """
        super().__init__(limits, named_hosts, redirect_hosts, setting="imagery.allowed_hosts")
        self._retries = Retries(retries, backoff_s)
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
        try:
            return self._retries.call(lambda: self._once(method, url, *args, **kwargs), self._wait)
        except SourceUnavailableError as error:
            raise SourceUnavailableError(
                f"searching {_service(url)} for scenes failed: {error}; what was matched is kept"
            ) from error

    def _once(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.RequestException as error:
            raise SourceUnavailableError(str(error)) from error
        if response.ok and _is_json(response):
            return response
        problem = _problem(response)
        if is_refusal(response.status_code):
            raise InputError(
                f"{_service(url)} refuses a search ({problem}): check the data source's query, sort_by and "
                "credentials in config.json"
            )
        raise RetryLaterError(problem, asked_wait_s(response))

    def _wait(self, seconds: float) -> bool:
        """Wait; whether nobody wants the answer any more."""
        if not self._stopped.is_set():
            self._sleep(seconds)
        return self._stopped.is_set()


def _service(url: str | bytes) -> str:
    """Host and port of an address."""
    return urlsplit(str(url)).netloc.rpartition("@")[2]


def _is_json(response: requests.Response) -> bool:
    """Whether an answer is what a catalogue answers; a proxy in between may answer with a page."""
    return "json" in response.headers.get("Content-Type", "json")


def _problem(response: requests.Response) -> str:
    if response.ok:
        return f"an answer of type {response.headers.get('Content-Type')}"
    return f"HTTP {response.status_code} {response.reason}: {response.text[:200].strip()}"
