"""The process that GDAL connects through: a SOCKS5 relay on loopback that looks at every host before it connects.

A process of its own, as GDAL may hold Python's lock while it waits for an answer. It is told on standard input what may
be connected to, answers on standard output, and ends when standard input does.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from burnscar_assets.errors import InputError
from burnscar_assets.network.addresses import (
    addresses_of,
    canonical_host,
    host_of,
    is_allowed,
    is_private_name,
    is_private_text,
    names_in_full,
    private_host,
)

SETTING: Final = "imagery.allowed_hosts"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_CONNECT_S: Final = 20.0
_PIECE: Final = 1 << 18

# RFC 1928 and 1929
_VERSION: Final = 5
_BY_PASSWORD: Final = 2
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_DONE, _NOT_ALLOWED, _UNREACHABLE = 0, 2, 4


class Rule(NamedTuple):
    """What may be connected to for an address.

    Attributes:
        scheme: of the address.
        host: of the address.
        port: of the address.
        hosts: other hosts, or patterns of hosts, that a redirect may lead to.
    """

    scheme: str
    host: str
    port: int
    hosts: tuple[str, ...]

    @classmethod
    def of(cls, address: str, hosts: Collection[str]) -> "Rule":
        """That of an http(s) address."""
        parts = urlsplit(address)
        scheme = parts.scheme.lower()
        host = canonical_host(host_of(address))
        return cls(scheme, host, parts.port or _DEFAULT_PORTS[scheme], tuple(hosts))

    def check(self, host: str, port: int) -> list[str]:
        """The numeric addresses of a host that may be connected to.

        Raises:
            InputError: it may not.
            OSError: the name is unknown.
        """
        if host == self.host:
            encrypted = self.scheme == "http" and port == _DEFAULT_PORTS["https"]
            if port != self.port and not encrypted:
                raise InputError(f"{self.host} redirects to its port {port}, which is not followed")
        elif not is_allowed(host, self.hosts):
            raise InputError(
                f"{self.host} redirects to {host}, which {SETTING} does not name: add the host there if that is right"
            )
        found = addresses_of(host, port)
        is_named = names_in_full(host, self.hosts) or (host == self.host and is_private_name(host))
        if not is_named and any(map(is_private_text, found)):
            raise InputError(private_host(host, SETTING))
        return found


class Relay:
    """Listens on loopback; a client says by its user what it may connect to.

    Attributes:
        port: where it listens.
        rules: by user, what may be connected to.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.rules: dict[str, Rule] = {}
        self._refusals: dict[str, tuple[float, str]] = {}
        _start(self._accept)

    def refusal(self, user: str, since: float) -> str:
        """Why a user's last connection was refused; empty if none was since a moment of the monotonic clock."""
        when, why = self._refusals.get(user, (0.0, ""))
        return why if when >= since else ""

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            _start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(_CONNECT_S)
            user = self._greet(client)
            host, port = _destination(client)
            try:
                server = _connected(self.rules[user].check(host, port), port)
            except InputError as error:
                self._refusals[user] = time.monotonic(), str(error)
                _answer(client, _NOT_ALLOWED)
                return
            except OSError:
                _answer(client, _UNREACHABLE)
                return
            with server:
                for end in (client, server):
                    end.settimeout(None)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _answer(client, _DONE)
                back = _start(_pass_on, server, client)
                _pass_on(client, server)
                back.join()

    def _greet(self, client: socket.socket) -> str:
        """The user that a client goes by.

        Raises:
            OSError: it is unknown.
        """
        _, methods = _exact(client, 2)
        if _BY_PASSWORD not in _exact(client, methods):
            client.sendall(bytes([_VERSION, 0xFF]))
            raise OSError("no user")
        client.sendall(bytes([_VERSION, _BY_PASSWORD]))
        user = _exact(client, _exact(client, 2)[1]).decode("latin-1")
        _exact(client, _exact(client, 1)[0])
        known = user in self.rules
        client.sendall(bytes([1, 0 if known else 1]))
        if not known:
            raise OSError("unknown user")
        return user


def main() -> None:
    """Relay until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends after the process that it serves
    relay = Relay()
    _say({"port": relay.port})
    for line in sys.stdin:
        request = json.loads(line)
        if "rule" in request:
            scheme, host, port, hosts = request["rule"]
            relay.rules[request["user"]] = Rule(scheme, host, port, tuple(hosts))
            _say({})
        else:
            _say({"refusal": relay.refusal(request["user"], request["since"])})
    os._exit(0)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _destination(client: socket.socket) -> tuple[str, int]:
    """Host and port that a client asks for."""
    _, command, _, kind = _exact(client, 4)
    if command != _CONNECT or kind not in (_IPV4, _NAME, _IPV6):
        raise OSError("no request to connect")
    if kind == _NAME:
        host = _exact(client, _exact(client, 1)[0]).decode("utf-8", "replace")
    elif kind == _IPV4:
        host = socket.inet_ntop(socket.AF_INET, _exact(client, 4))
    else:
        host = socket.inet_ntop(socket.AF_INET6, _exact(client, 16))
    return canonical_host(host), int.from_bytes(_exact(client, 2))


def _connected(numeric: list[str], port: int) -> socket.socket:
    """A connection to the first address that takes one."""
    for number, address in enumerate(numeric, 1):
        try:
            return socket.create_connection((address, port), _CONNECT_S)
        except OSError:
            if number == len(numeric):
                raise
    raise OSError("a name without an address")


def _answer(client: socket.socket, reply: int) -> None:
    client.sendall(bytes([_VERSION, reply, 0, _IPV4]) + bytes(6))


def _exact(client: socket.socket, count: int) -> bytes:
    """So many bytes.

    Raises:
        OSError: fewer came.
    """
    found = b""
    while len(found) < count:
        piece = client.recv(count - len(found))
        if not piece:
            raise OSError("the connection ended")
        found += piece
    return found


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, to its end; the other end learns of it."""
    buffer = memoryview(bytearray(_PIECE))
    with suppress(OSError):
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _start(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


if __name__ == "__main__":
    main()
