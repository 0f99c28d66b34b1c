"""What stands between a browser and Dagster's web server: who may ask, from where, and by which method.

Dagster's own server takes mutations by GET and looks at neither Host nor Origin, so that any page that a person
visits can wipe materializations of a server on their machine. The guard is ASGI middleware on the same port: nothing
reaches Dagster past it.
"""

import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from burnscar_assets.errors import SettingsError

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
