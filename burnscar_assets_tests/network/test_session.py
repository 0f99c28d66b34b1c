"""What a server may do to us: nothing beyond the limits, and nothing elsewhere."""

import socket
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
import requests

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.network.retries import Retries, RetryLaterError, asked_wait_s, within
from burnscar_assets.network.session import Limits, Session
from burnscar_assets_tests.labels.label_servers import FileSite, Habits, serving

LIMITS = Limits(timeout_s=5, deadline_s=1, max_answer_mb=10, hint="raise max_answer_mb")
HERE = ("127.0.0.1",)


@pytest.mark.parametrize("habit", ["drip", "drip_headers"])
@pytest.mark.parametrize("stream", [True, False])
def test_the_whole_of_a_request_has_a_deadline(habit: str, stream: bool) -> None:
    begun = time.monotonic()
    with serving(Habits(habit)) as address, pytest.raises(requests.RequestException, match="deadline_s"):
        for _ in Session(LIMITS, HERE).get(address, stream=stream).iter_content(100):
            pass
    assert 0.9 < time.monotonic() - begun < 20


def test_what_comes_in_time_is_not_cut() -> None:
    site = FileSite(bytes(3_000_000))
    with serving(site) as address, Session(LIMITS, HERE) as session:
        assert [len(session.get(f"{address}/{number}").content) for number in range(3)] == [3_000_000] * 3


@pytest.mark.parametrize("habit", ["bomb", "endless"])
def test_an_answer_is_limited_after_decompression(habit: str) -> None:
    with serving(Habits(habit)) as address:
        tracemalloc.start()
        with pytest.raises(InputError, match="more than 10 MB: raise max_answer_mb"):
            Session(Limits(deadline_s=30, max_answer_mb=10, hint="raise max_answer_mb"), HERE).get(address)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 60_000_000 or habit == "bomb"  # the bomb itself is made in this process


def test_nesting_ends_in_an_error_of_json() -> None:
    with serving(Habits("deep")) as address, pytest.raises(requests.exceptions.JSONDecodeError, match="nested"):
        Session(LIMITS, HERE).get(address).json()


def test_lengths_that_are_wrong() -> None:
    with serving(Habits("long")) as address:
        assert Session(LIMITS, HERE).get(address).json() == {"count": 1}
    with serving(Habits("short")) as address, pytest.raises(requests.RequestException):
        Session(LIMITS, HERE).get(address).json()


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://localhost:{port}/x",
        "//127.1:{port}/",
        "ftp://a/b",
        "http://127.0.0.1:abc/",
        "http://127.0.0.1:99999/",
        "http://[127.0.0.1/",
    ],
)
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_stays_on_the_host(target: str, status: int) -> None:
    with serving(FileSite(b"secret")) as elsewhere:
        habits = Habits(target.format(port=elsewhere.rsplit(":")[-1]), status=status)
        with serving(habits) as address, pytest.raises((InputError, requests.RequestException)) as refused:
            Session(LIMITS, HERE).get(address)
    assert len(habits.requests) == 1
    assert not isinstance(refused.value, requests.ConnectionError), "nothing was asked"


def test_a_redirect_to_another_port_is_another_server_unless_it_is_named() -> None:
    other = FileSite(b"x")
    with serving(other) as elsewhere, serving(Habits(elsewhere)) as address:
        with pytest.raises(InputError, match="redirects elsewhere"):
            Session(LIMITS, HERE).get(address)
        answer = Session(LIMITS, HERE, HERE).get(address, headers={"Authorization": "Bearer x", "X-Esri-Token": "y"})
    assert answer.content == b"x"
    assert not {"Authorization", "X-Esri-Token"} & other.requests[0].keys()


def test_redirects_without_end_end() -> None:
    habits = Habits("/again")
    with serving(habits) as address, pytest.raises(requests.TooManyRedirects):
        Session(LIMITS, HERE).get(address)
    assert len(habits.requests) == 6


def _resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> Callable[..., Any]:
    """Have names resolve to one address after another, as where a name is bound anew between look and use."""
    real, ahead = socket.getaddrinfo, list(answers)

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        known = (ahead.pop(0) if len(ahead) > 1 else ahead[0]) if host == "rebound.example" else host
        return real(known, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return resolve


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "localhost", "rebound.example"])
def test_this_machine_is_not_asked_unless_it_is_named(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "127.0.0.1")
    site = FileSite(b"secret")
    with serving(site) as address:
        url = address.replace("127.0.0.1", host)
        with pytest.raises(InputError, match="private network"):
            Session(LIMITS, ("*",)).get(url)
        assert not site.requests
        assert Session(LIMITS, (host,)).get(url).content == b"secret"


def test_a_name_is_looked_up_once_for_the_check_and_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "192.0.2.1", "127.0.0.1")
    site = FileSite(b"secret")
    monkeypatch.setattr("burnscar_assets.network.session.is_private_text", lambda text: text.startswith("127."))
    with serving(site) as address, pytest.raises(requests.ConnectionError):
        Session(Limits(timeout_s=0.3)).get(address.replace("127.0.0.1", "rebound.example"))
    assert not site.requests


def test_tries_end_and_their_number_is_told() -> None:
    waits: list[float] = []

    def fail() -> None:
        raise SourceUnavailableError("down")

    with pytest.raises(SourceUnavailableError, match=r"down \(4 tries\); try again later"):
        Retries(3, backoff_s=2, longest_wait_s=10).call(fail, waits.append)
    assert len(waits) == 3
    assert 2 <= waits[0] <= 4 <= waits[1] <= 8 <= waits[2] <= 10
    with pytest.raises(SourceUnavailableError, match=r"\(1 try\)"):
        Retries(3).call(fail, lambda seconds: True)


def test_an_error_of_another_kind_ends_the_tries_as_it_is() -> None:
    def read(errors: list[Exception]) -> None:
        raise errors.pop()

    passing, lasting, waits = OSError("hung up"), ValueError("no image"), list[float]()
    with pytest.raises(ValueError, match=r"^no image$"):
        Retries(3).call(partial(read, [lasting, passing]), waits.append, lambda error: isinstance(error, OSError))
    with pytest.raises(OSError, match=r"^hung up$"):
        Retries(1).call(partial(read, [passing, passing]), waits.append, lambda error: True)
    assert len(waits) == 2


def test_work_that_takes_too_long_is_left_behind() -> None:
    assert within(5, lambda: 7) == 7
    with pytest.raises(ValueError, match="its own"):
        within(5, partial(int, "its own"))
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"):
        within(0.05, partial(time.sleep, 1))


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [("7", 7, 7), ("0", 0, 0), ("100000", 300, 300), ("soon", 1, 2), ("-5", 1, 2), (None, 1, 2), ("9" * 400, 300, 300)],
)
def test_the_wait_that_a_server_asks_for(asked: str | None, least: float, most: float) -> None:
    response = requests.Response()
    response.headers.update({"Retry-After": asked} if asked else {})
    assert least <= Retries(1).wait_s(0, RetryLaterError("busy", asked_wait_s(response))) <= most


def test_the_wait_may_be_a_date() -> None:
    response = requests.Response()
    response.headers["Retry-After"] = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < (asked_wait_s(response) or 0) <= 90
