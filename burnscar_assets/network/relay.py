"""What GDAL connects through: a relay, in a process of its own, that looks at every host before it connects.

GDAL follows a redirect wherever it leads, looks up names by itself, and has no option against either. Here each of its
connections is made for it: where a server sends it, what a name stands for, and a name that stands for something else
the second time are seen as they happen. No request is added, and encryption is between GDAL and the server as before.

Not for buckets, whose hosts are not what an item names, and not behind a person's own proxy, which decides itself.
"""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from burnscar_assets.network.addresses import WEB_SCHEMES
from burnscar_assets.network.environment import gdal_transport
from burnscar_assets.network.relay_process import Rule
from burnscar_assets.parent import bare_environment

_PROXY_OPTIONS: Final = ("GDAL_HTTP_PROXY", "GDAL_HTTPS_PROXY")
_EXCEPTIONS: Final = ("no_proxy", "NO_PROXY")

Result = TypeVar("Result")


class RefusedConnectionError(OSError):
    """A server sent GDAL to where nothing may be asked; it would another time, too."""

    lasting = True


@contextmanager
def relayed(address: str, hosts: Collection[str] = ()) -> Iterator[None]:
    """Have GDAL connect through the relay for a file that it opens meanwhile, and reads later.

    Args:
        address: as GDAL takes it; what isn't http(s) is opened as ever.
        hosts: hosts, or patterns of hosts, that a redirect may lead to; those named in full may be private. That of
            the address may be private if its name says so: whoever named it was asked about it.

    Raises:
        RefusedConnectionError: what is made meanwhile failed, and a connection was refused.
    """
    options = _options(address, hosts)
    if not options:
        yield
        return
    import rasterio

    with _explained(address, hosts), rasterio.Env(**options):
        yield


def explained(read: Callable[[], Result], address: str, hosts: Collection[str] = ()) -> Result:
    """The result of a read of a file that was opened as `relayed`.

    Raises:
        RefusedConnectionError: it failed, and a connection was refused.
    """
    with _explained(address, hosts):
        return read()


@contextmanager
def _explained(address: str, hosts: Collection[str]) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    except Exception as error:
        web = _web_address(address)
        reason = _RELAY.refusal(Rule.of(web, hosts), began) if _RELAY and web else ""
        if reason:
            raise RefusedConnectionError(reason) from error
        raise


def _options(address: str, hosts: Collection[str]) -> dict[str, str]:
    """The options of GDAL for an address; none where it connects by itself."""
    web = _web_address(address)
    if not web or gdal_transport().keys() & set(_PROXY_OPTIONS) or any(map(os.getenv, _PROXY_OPTIONS)):
        return {}
    for name in _EXCEPTIONS:  # there is no proxy to go round, but curl would go round the relay
        os.environ.pop(name, None)
    return dict.fromkeys(_PROXY_OPTIONS, _relay().proxy(Rule.of(web, hosts)))


def _web_address(address: str) -> str:
    """The http(s) address that GDAL asks, also in GDAL's own form; empty for others."""
    asked = address.removeprefix("/vsicurl/")
    return asked if asked.lower().startswith(tuple(f"{scheme}://" for scheme in WEB_SCHEMES)) else ""


class _Relay:
    """The relay of this process, and which user goes by which rule; nobody else knows the users."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "burnscar_assets.network.relay_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=bare_environment(),
        )
        self._lock = threading.Lock()
        self._users: dict[Rule, str] = {}
        self._port = self._answer()["port"]

    @property
    def is_running(self) -> bool:
        """Whether it can be connected to."""
        return self._process.poll() is None

    def proxy(self, rule: Rule) -> str:
        """Its address for a rule."""
        with self._lock:
            if rule not in self._users:
                user = secrets.token_hex(16)
                self._ask({"user": user, "rule": rule})
                self._users[rule] = user
            return f"socks5h://{self._users[rule]}:-@127.0.0.1:{self._port}"

    def refusal(self, rule: Rule, since: float) -> str:
        """Why the last connection for a rule was refused; empty if none was since a moment of the monotonic clock."""
        with self._lock:
            user = self._users.get(rule)
            if user is None or not self.is_running:
                return ""
            return str(self._ask({"user": user, "since": since})["refusal"])

    def close(self) -> None:
        """In a process that was forked: leave it to the one that started it."""
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()  # type: ignore[union-attr]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise OSError("the process that GDAL connects through ended: run the same again")
        answer: dict[str, Any] = json.loads(line)
        return answer


_RELAY: _Relay | None = None
_STARTING = threading.Lock()


def _relay() -> _Relay:
    """This process's relay; another one if it was killed."""
    global _RELAY  # noqa: PLW0603 - one for the process, as GDAL is
    with _STARTING:
        if _RELAY is None or not _RELAY.is_running:
            _RELAY = _Relay()
        return _RELAY


def _forget() -> None:
    global _RELAY, _STARTING  # noqa: PLW0603
    _STARTING = threading.Lock()
    if _RELAY is not None:
        _RELAY.close()
        _RELAY = None


os.register_at_fork(after_in_child=_forget)
