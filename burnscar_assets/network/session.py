"""A session of requests with limits: time and bytes of a whole answer, redirects, and addresses it connects to.

`requests` times out between two bytes only, decompresses whatever comes, and follows a redirect anywhere. Here the
socket itself knows when its request must be over, so that headers, a proxy's answer and a body all count.
"""

import io
import logging
import socket
import time
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from burnscar_assets.errors import InputError
from burnscar_assets.network.addresses import (
    addresses_of,
    check_address,
    host_of,
    is_malformed,
    is_private_name,
    is_private_text,
    names_in_full,
    private_host,
)
from burnscar_assets.network.environment import certificates
from burnscar_assets.network.masking import is_secret_name, mask_address

MEGABYTE: Final = 1_000_000
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Attributes:
        timeout_s: Longest wait for a connection, and for anything at all to come.
        deadline_s: Longest time for a request and its whole answer, redirects and all.
        max_answer_mb: Most megabytes of an answer, after decompression.
        max_redirects: Most redirects of one request.
        hint: What to raise, or to look at, where an answer is too large.
    """

    timeout_s: float = 60.0
    deadline_s: float = 600.0
    max_answer_mb: float = 1000.0
    max_redirects: int = 5
    hint: str = "check the address"


class DeadlineError(OSError):
    """A request took longer in all than it may."""


class _Request(NamedTuple):
    """What the connection of a request must know."""

    ends_s: float
    named_hosts: Collection[str]


_CURRENT: ContextVar[_Request | None] = ContextVar("burnscar_request", default=None)


class Session(requests.Session):
    """A session whose requests keep to limits, and stay on the host that was asked."""

    def __init__(
        self,
        limits: Limits,
        named_hosts: Collection[str] = (),
        redirect_hosts: Collection[str] = (),
        setting: str = "the settings",
    ) -> None:
        """Make the session; nothing is asked yet.

        Args:
            limits: Of each request.
            named_hosts: Hosts that a person named: they may be of this machine or a private network.
            redirect_hosts: Other hosts, or patterns of hosts, that a redirect may lead to.
            setting: Where hosts are named, for messages.
        """
        super().__init__()
        self.verify = certificates() or True
        self.limits = limits
        self.named_hosts = (*named_hosts, *redirect_hosts)
        self.redirect_hosts = tuple(redirect_hosts)
        self.setting = setting
        self.max_redirects = limits.max_redirects
        self.whole: Whole | None = None
        adapter = _Adapter(limits)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Ask, as `requests.Session.request` does.

        Raises:
            InputError: the answer is too large, leads elsewhere, or the host is of a private network and not named; or
                all answers together take more than `whole` allows.
            requests.RequestException: no answer, or not in time.
        """
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.limits.timeout_s
        host = host_of(str(url))
        if is_private_name(host) and not names_in_full(host, self.named_hosts):
            raise InputError(private_host(host, self.setting))
        ends_s = time.monotonic() + self.limits.deadline_s
        if self.whole:
            self.whole.check_time(mask_address(str(url)))
            ends_s = min(ends_s, self.whole.ends_s)
        token = _CURRENT.set(_Request(ends_s, self.named_hosts))
        try:
            answer = super().request(method, url, *args, **kwargs)
            if self.whole:
                self.whole.spend(mask_address(str(url)), len(answer.content))
            return answer
        except requests.RequestException as error:
            error.args = (mask_address(str(error)),)
            raise error from None  # what it comes from tells the whole address
        finally:
            _CURRENT.reset(token)

    def resolve_redirects(self, *args: Any, yield_requests: bool = False, **kwargs: Any) -> Any:
        """Where an answer leads, as far as it is followed: a redirect that isn't followed isn't looked at."""
        return iter(()) if yield_requests else super().resolve_redirects(*args, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads.

        Raises:
            InputError: to another host, which the settings don't name.
        """
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        try:
            there = urljoin(resp.url, target)
        except ValueError:
            there = target
        if not _same_origin(resp.url, there):
            try:
                check_address(there, self.redirect_hosts, setting=self.setting)
            except InputError as error:
                raise InputError(
                    f"{mask_address(resp.url)} redirects elsewhere, which is not followed: {error}"
                ) from error
        return target

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Leave out of a redirected request what authorizes it, if it goes to another host."""
        super().rebuild_auth(prepared_request, response)
        if not _same_origin(str(response.request.url), str(prepared_request.url)):
            for name in [name for name in prepared_request.headers if is_secret_name(name)]:
                del prepared_request.headers[name]


class Answer(requests.Response):
    """An answer that ends in an error where it is larger than it may be."""

    limits: Limits = Limits()

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        """Pieces of the answer, as `requests.Response.iter_content` gives them.

        Raises:
            InputError: more came than may.
        """
        received = 0
        for piece in super().iter_content(chunk_size, decode_unicode):
            received += len(piece)
            if received > self.limits.max_answer_mb * MEGABYTE:
                self.close()
                raise InputError(
                    f"{mask_address(self.url)} answered with more than {self.limits.max_answer_mb:g} MB: "
                    f"{self.limits.hint}"
                )
            yield piece

    def raise_for_status(self) -> None:
        """As `requests.Response.raise_for_status`; its message is masked.

        Raises:
            requests.HTTPError: a status of 400 or above.
        """
        try:
            super().raise_for_status()
        except requests.HTTPError as error:
            error.args = (mask_address(str(error)),)
            raise

    def json(self, **kwargs: Any) -> Any:
        """The answer as JSON.

        Raises:
            requests.exceptions.JSONDecodeError: it isn't, or is nested too deeply.
        """
        try:
            return super().json(**kwargs)
        except RecursionError as error:
            raise requests.exceptions.JSONDecodeError("nested too deeply", "", 0) from error


class _Timed(io.RawIOBase):
    """What comes from a socket until its request must be over."""

    def __init__(self, stream: io.RawIOBase, sock: socket.socket, ends_s: float) -> None:
        self._stream = stream
        self._sock = sock
        self._ends_s = ends_s
        self._timeout_s = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left_s = self._ends_s - time.monotonic()
        try:
            self._sock.settimeout(max(left_s if self._timeout_s is None else min(left_s, self._timeout_s), 0.001))
            return self._stream.readinto(buffer)
        finally:
            if time.monotonic() >= self._ends_s:
                raise DeadlineError("all of it took longer than it may (deadline_s)")

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(HTTPResponse):
    """A response whose socket knows the deadline."""

    def __init__(self, sock: socket.socket, *args: Any, ends_s: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, ends_s))


class _Limited(HTTPConnection):
    """What both kinds of connection do."""

    def response_class(  # type: ignore[override]
        self, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> HTTPResponse:
        current = _CURRENT.get()
        if current is None:
            return HTTPResponse(sock, *args, **kwargs)
        return _Response(sock, *args, ends_s=current.ends_s, **kwargs)

    def _new_conn(self) -> socket.socket:
        """Connect to an address that was looked at first; a name can't change what it stands for in between."""
        current = _CURRENT.get()
        if self.proxy is not None or current is None or names_in_full(self.host.lower(), current.named_hosts):
            return super()._new_conn()
        try:
            found = addresses_of(self.host, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        if any(map(is_private_text, found)):
            raise InputError(private_host(self.host))
        own = self._dns_host
        try:
            for number, self._dns_host in enumerate(found, 1):
                try:
                    return super()._new_conn()
                except NewConnectionError:
                    if number == len(found):
                        raise
        finally:
            self._dns_host = own
        raise AssertionError("a name has an address")


class _HttpConnection(_Limited):
    pass


class _HttpsConnection(_Limited, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    """Makes connections and answers that keep to the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        answer = Answer()
        vars(answer).update(vars(super().build_response(req, resp)))
        answer.limits = self._limits
        return answer


class _MaskingFilter(logging.Filter):
    """Masks addresses in what urllib3 logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask_address(record.getMessage()), ()
        return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_MaskingFilter())

_POOLS: Final = {"http": _HttpPool, "https": _HttpsPool}


def _same_origin(asked: str, there: str) -> bool:
    """Whether a redirect stays on the host that was asked; to its encrypted port is staying."""
    if is_malformed(there) or host_of(asked) != host_of(there):
        return False
    old, new = urlsplit(asked), urlsplit(there)
    if new.username or new.password:
        return False
    ports = [part.port or _DEFAULT_PORTS.get(part.scheme) for part in (old, new)]
    if old.scheme == new.scheme:
        return ports[0] == ports[1]
    return (old.scheme, new.scheme) == ("http", "https") and ports[1] in (ports[0], 443)


TIMES: Final = 4
"""How many times the limits of one request all of them have together."""


class Whole:
    """Time and bytes that are left to the requests of a session."""

    def __init__(self, deadline_s: float, max_answer_mb: float, section: str) -> None:
        """Begin to count.

        Args:
            deadline_s: Longest time of one request, in seconds.
            max_answer_mb: Most megabytes of one answer.
            section: Of the settings, for messages.
        """
        self.ends_s = time.monotonic() + TIMES * deadline_s
        self._left_bytes = TIMES * max_answer_mb * 1e6
        self._section = section

    def check_time(self, url: str) -> None:
        """See that there is time for one more request.

        Raises:
            InputError: there is none.
        """
        if time.monotonic() >= self.ends_s:
            self._refuse(f"{url} takes longer in all than {TIMES} times", "deadline_s")

    def spend(self, url: str, received_bytes: int) -> None:
        """Count an answer.

        Raises:
            InputError: answers have more bytes than they may.
        """
        self._left_bytes -= received_bytes
        if self._left_bytes < 0:
            self._refuse(f"{url} answers with more in all than {TIMES} times", "max_answer_mb")

    def _refuse(self, what: str, name: str) -> None:
        raise InputError(f"{what} {self._section}.{name}: raise that if it is the right address")
