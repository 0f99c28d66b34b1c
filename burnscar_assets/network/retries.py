"""The one retry policy: which answers mean "later", how often to ask again, and how long to wait before it.

Requests, searches and reads of imagery are tried again by `Retries`. Libraries that do it themselves (pyarrow's object
stores, the hub's client, rslearn's ingestion) are given a number of tries or a deadline.
"""

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import requests
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from burnscar_assets.errors import SourceUnavailableError

TRANSIENT: Final = frozenset({408, 421, 423, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524, 529, 530})
"""Statuses after which the same request may succeed later."""

LONGEST_WAIT_S: Final = 300.0

T = TypeVar("T")


def may_pass(error: Exception) -> bool:
    """Whether another try may help after an error, unless the caller knows better."""
    return isinstance(error, SourceUnavailableError)


class RetryLaterError(SourceUnavailableError):
    """The server said how long to wait before the next try, in seconds."""

    def __init__(self, message: str, wait_s: float | None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def is_refusal(status: int) -> bool:
    """Whether a server refuses a request for good."""
    return 400 <= status < 500 and status not in TRANSIENT


@dataclass(frozen=True)
class Retries:
    """How often, and how long after another, something is tried.

    Attributes:
        further: Tries after the first.
        backoff_s: Base of the wait before each, which doubles from try to try and is up to doubled by chance, so that
            many clients of a busy server don't come back at once; a wait that the server asks for is kept.
        longest_wait_s: No wait is longer.
    """

    further: int
    backoff_s: float = 1.0
    longest_wait_s: float = LONGEST_WAIT_S

    def call(
        self,
        attempt: Callable[[], T],
        wait: Callable[[float], object] = time.sleep,
        passes: Callable[[Exception], bool] = may_pass,
    ) -> T:
        """Call `attempt` until it succeeds.

        Args:
            attempt: Raises an error that `passes` where another try may help.
            wait: Waits so many seconds; returns True if nobody wants the result any more.
            passes: Whether another try may help after an error.

        Raises:
            SourceUnavailableError: the last failure, with the number of tries.
            Exception: any other error, as `attempt` raised it.
        """
        for number in range(self.further + 1):
            try:
                return attempt()
            except Exception as error:
                if not passes(error):
                    raise
                given_up = number == self.further or wait(self.wait_s(number, error)) is True
                if given_up and isinstance(error, SourceUnavailableError):
                    tries = f"{number + 1} {'try' if number == 0 else 'tries'}"
                    raise SourceUnavailableError(f"{error} ({tries}); try again later") from error
                if given_up:
                    raise
        raise AssertionError("unreachable")  # the last try returned or raised

    def wait_s(self, number: int, error: Exception | None = None) -> float:
        """The wait after try `number` (from 0), which ended with `error`, in seconds."""
        asked = getattr(error, "wait_s", None)
        own = self.backoff_s * 2 ** min(number, 30) * (1 + random.random())  # noqa: S311 - spreads clients, no secret
        return min(own if asked is None else asked, self.longest_wait_s)


def asked_wait_s(response: requests.Response) -> float | None:
    """The wait that a server asks for in Retry-After, seconds or a date; None if it doesn't."""
    try:
        return Retry().parse_retry_after(response.headers["Retry-After"])
    except (KeyError, InvalidHeader, ValueError, OverflowError):
        return None


def within(deadline_s: float, work: Callable[[], T]) -> T:
    """What a library's function returns that has no deadline of its own, if it does so in time.

    It goes on in a thread that nobody waits for, and ends with this process at the latest.

    Raises:
        TimeoutError: it took longer than `deadline_s` seconds.
        Exception: what `work` raised.
    """
    ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((work(), None))
        except BaseException as error:  # raised again where it was called
            ended.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = ended.get(timeout=deadline_s)
    except queue.Empty:
        raise TimeoutError(f"it took longer than {deadline_s:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # without an error it is what work returned
