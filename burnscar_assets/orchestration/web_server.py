"""Dagster's web server behind a guard, and where it may be: `python -m burnscar_assets.orchestration.web_server`.

Dagster's own server takes mutations by GET and looks at neither Host nor Origin, so that any page that a person
visits can wipe materializations of a server on their machine. The guard is ASGI middleware on the same port: nothing
reaches Dagster past it.
"""

import argparse
import errno
import hmac
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.dagster_private import web_application
from burnscar_assets.parent import end_with_parent
from burnscar_assets.plausible import MOST_PORTS

COOKIE: Final = "burnscar_token"
PARAMETER: Final = "token"
"""Of the first address that a person opens; it is replaced by a cookie at once."""

TOKEN_VARIABLE: Final = "BURNSCAR_UI_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the secret that people and programs of other machines must know."""

FEWEST_CHARACTERS: Final = 16
USUAL_PORT: Final = 80
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES: Final = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site of requests that this server's own pages make, or a person by typing an address."""


@dataclass(frozen=True)
class Policy:
    """Who may ask.

    Attributes:
        hosts: Values of the Host header that are this server's, in lower case; none: any, which wants a token.
        token: Secret that every request must know; none: nobody is asked for one.
    """

    hosts: frozenset[str]
    token: str | None = None

    def __post_init__(self) -> None:
        if not self.hosts and not self.token:
            raise ValueError("a server for any Host needs a token")


def loopback_hosts(port: int, host: str = "127.0.0.1") -> frozenset[str]:
    """What browsers on this machine call a server that listens on a loopback address; they leave out the usual port."""
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
    return frozenset({f"{name}:{port}" for name in names} | (names if port == USUAL_PORT else set()))


def policy_of(host: str, port: int) -> Policy:
    """Who may ask a server that listens on an address: on loopback this machine's browsers, else who knows the token.

    Raises:
        SettingsError: others could reach it, and there is no token or one that can be guessed.
    """
    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and len(token) < FEWEST_CHARACTERS:
        raise SettingsError(f"{TOKEN_VARIABLE} can be guessed: give it {FEWEST_CHARACTERS} characters or more")
    if _is_loopback(host):
        return Policy(loopback_hosts(port, host), token)
    if token is None:
        raise SettingsError(
            f"--host {host} lets other machines in, who could run and delete everything: set {TOKEN_VARIABLE} to a "
            "long secret, or leave --host out and reach this machine through an SSH tunnel"
        )
    return Policy(frozenset(), token)


class Guard:
    """ASGI middleware that lets through what the policy allows."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refused(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self._policy.hosts and host not in self._policy.hosts:
            return _refuse("this server isn't called that: open the address that burnscar ui printed")
        if _is_foreign(scope, headers, host):
            return _refuse("asked by a page of another origin: open the web UI itself")
        if self._policy.token is not None and not _knows(headers, self._policy.token):
            return self._log_in(scope)
        path = scope["path"]
        if path.startswith("/report_asset"):
            return _refuse("events are reported by runs of this project only")
        if path.rstrip("/") == "/graphql" and scope.get("method") in SAFE_METHODS and not _wants_page(headers):
            return _refuse("GraphQL is asked by POST", status=405)
        return None

    def _log_in(self, scope: Scope) -> Response:
        """Take the token of the address for a cookie; without it, refuse."""
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(asked).get(PARAMETER, "")
        if scope["type"] != "http" or scope["method"] != "GET" or not _same(given, self._policy.token or ""):
            return _refuse("it wants a token: open its address with ?token=… once", status=401)
        rest = urlencode([(name, value) for name, value in asked if name != PARAMETER])
        path = "/" + scope["path"].lstrip("/")
        answer = RedirectResponse(f"{path}?{rest}" if rest else path, status_code=303)
        answer.set_cookie(COOKIE, given, httponly=True, samesite="strict")
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer


def _is_foreign(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether a page of another origin asks; following a link to a page of this server is no such thing."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin.lower() not in _origins(host):
        return True
    is_page = scope.get("method") in SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"
    return site is not None and site not in OWN_SITES and not (is_page and headers.get("sec-fetch-dest") == "document")


def _origins(host: str) -> Iterable[str]:
    return (f"http://{host}", f"https://{host}")


def _wants_page(headers: Headers) -> bool:
    return "text/html" in headers.get("accept", "")


def _knows(headers: Headers, token: str) -> bool:
    """Whether the token comes with a request: as a cookie, or as programs send it."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and _same(given, token):
        return True
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return cookie is not None and _same(cookie.value, token)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _refuse(why: str, status: int = 403) -> Response:
    return PlainTextResponse(f"refused: {why}\n", status_code=status)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


FIRST_FREE_PORT = 1024
"""Ports below it are for the machine's administrator."""

_SYNTAX = "?%"
"""Characters that mean something else in the addresses that Dagster's own processes make of its home."""


def check_home(home: Path) -> None:
    """Refuse a home in which Dagster's own processes would take another database than the commands.

    Raises:
        SettingsError: its path has one of these characters.
    """
    found = [character for character in _SYNTAX if character in str(home)]
    if found:
        raise SettingsError(
            f"the web UI can't work on {home}: its path may not have {' or '.join(found)}; rename the folder (other "
            "commands work on it)"
        )


def reserve_port(host: str, port: int) -> int:
    """The port if it is free, or with 0 one that is.

    Raises:
        SettingsError: somebody else listens on it, or this machine can't listen on it.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server does
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            what = "is taken by another program" if error.errno == errno.EADDRINUSE else "isn't for everybody"
            other = port + 1 if FIRST_FREE_PORT <= port < MOST_PORTS else 3000
            raise SettingsError(
                f"port {port} of {host} {what}: use another one with --port, e.g. --port {other}, or 0 for any that "
                "is free"
            ) from error
        raise SettingsError(f"this machine can't listen on {host} ({error.strerror}): choose another --host") from error


def serve(host: str, port: int, workspace: str, *, read_only: bool) -> None:
    """Serve Dagster's web UI until a signal ends it.

    Args:
        host: Address to listen on.
        port: Port.
        workspace: Path of Dagster's workspace file.
        read_only: Whether pages show everything and change nothing.
    """
    policy = policy_of(host, port)
    with web_application(workspace, read_only=read_only) as application:
        uvicorn.run(Guard(application, policy), host=host, port=port, log_level="warning", access_log=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve what the command line says."""
    parser = argparse.ArgumentParser(prog="burnscar_assets.orchestration.web_server", description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--read-only", action="store_true")
    options = parser.parse_args(arguments)
    end_with_parent()
    serve(options.host, options.port, options.workspace, read_only=options.read_only)


if __name__ == "__main__":
    main()
