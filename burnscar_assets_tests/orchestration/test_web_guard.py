"""Nothing but a person's own pages and programs reaches the web server past its guard."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.web_server import COOKIE, TOKEN_VARIABLE, Guard, Policy, loopback_hosts, policy_of

PORT = 3000
OWN = f"http://127.0.0.1:{PORT}"
TOKEN = "correct horse"
OTHERS = [
    "http://127.0.0.1:8000",
    "http://localhost.evil.example",
    "https://evil.example",
    "null",
    f"{OWN}.evil.example",
]


async def _answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


async def _talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("reached")
    await socket.close()


METHODS = ["GET", "POST", "PUT", "DELETE"]
APP = Starlette(routes=[WebSocketRoute("/graphql", _talk), Route("/{path:path}", _answer, methods=METHODS)])
LOCAL = Policy(loopback_hosts(PORT))
SECRET = Policy(frozenset(), TOKEN)


def client(policy: Policy, base_url: str = OWN) -> TestClient:
    return TestClient(Guard(APP, policy), base_url=base_url, follow_redirects=False)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_a_persons_own_pages_work(name: str) -> None:
    own = client(LOCAL, f"http://{name}:{PORT}")
    assert own.get("/").text == "reached"
    assert own.post("/graphql", json={}, headers={"Origin": f"http://{name}:{PORT}"}).text == "reached"
    assert own.get("/graphql", headers={"Accept": "text/html"}).text == "reached"
    headers = {"Host": f"{name}:{PORT}", "Origin": f"http://{name}:{PORT}"}
    with own.websocket_connect("/graphql", headers=headers) as socket:
        assert socket.receive_text() == "reached"


def test_programs_that_send_no_origin_work() -> None:
    assert client(LOCAL).post("/graphql", json={}).text == "reached"


@pytest.mark.parametrize("origin", OTHERS)
def test_a_page_of_another_origin_reaches_nothing(origin: str) -> None:
    headers = {"Origin": origin}
    for method in METHODS:
        for path in ("/", "/graphql", "/server_info", "/logs/x"):
            assert client(LOCAL).request(method, path, headers=headers).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        client(LOCAL).websocket_connect("/graphql", headers={**headers, "Host": f"127.0.0.1:{PORT}"}),
    ):
        pass


@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "object"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_foreign_page_embeds_reaches_nothing(dest: str, site: str) -> None:
    """An image tag sends no Origin, but browsers say where it stands."""
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": dest, "Sec-Fetch-Mode": "navigate"}
    assert client(LOCAL).get("/graphql?query=mutation{wipe}", headers=headers).status_code == 403


def test_a_link_to_the_web_ui_may_stand_elsewhere() -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    assert client(LOCAL).get("/assets/tiles", headers=headers).text == "reached"


@given(st.sampled_from(["", "text/plain", "*/*", "application/json", "image/png"]), st.sampled_from(["/", ""]))
def test_no_graphql_by_get(accept: str, slash: str) -> None:
    """Browsers that say nothing of where a request stands are old; this holds for them, too."""
    answer = client(LOCAL).get(f"/graphql{slash}?query=mutation{{wipe}}", headers={"Accept": accept})
    assert answer.status_code == 405


@pytest.mark.parametrize("kind", ["materialization", "check", "observation"])
def test_nobody_reports_events(kind: str) -> None:
    for method in METHODS:
        assert client(LOCAL).request(method, f"/report_asset_{kind}/tiles").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1", "127.0.0.1:3001", ""])
def test_a_name_that_somebody_else_points_here_is_refused(host: str) -> None:
    assert client(LOCAL).get("/", headers={"Host": host}).status_code == 403


def test_elsewhere_than_on_loopback_everything_wants_the_token() -> None:
    away = client(SECRET, "http://machine.example:3000")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"{COOKIE}=wrong"}, {"Cookie": "\x01"}):
        refused = away.get("/", headers=headers)
        assert refused.status_code == 401
        assert TOKEN not in refused.text
    with pytest.raises(WebSocketDisconnect), away.websocket_connect("/graphql"):
        pass
    assert away.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).text == "reached"


def test_the_token_of_the_address_becomes_a_cookie() -> None:
    away = client(SECRET, "http://machine.example:3000")
    answer = away.get("/assets", params={"token": TOKEN, "view": "list"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/assets?view=list")
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=strict" in said
    assert away.get("/assets").text == "reached", "the client keeps the cookie"
    doubled = client(SECRET).get(f"{OWN}//evil.example/", params={"token": TOKEN})
    assert doubled.headers["location"] == "/evil.example/", "no other server's address"


def test_the_token_does_not_let_foreign_pages_in() -> None:
    headers: Mapping[str, str] = {"Origin": "https://evil.example", "Cookie": f"{COOKIE}={TOKEN}"}
    assert client(SECRET).post("/graphql", json={}, headers=headers).status_code == 403


def test_a_server_for_everybody_without_a_token_is_none() -> None:
    with pytest.raises(ValueError, match="needs a token"):
        Policy(frozenset())


def test_others_are_let_in_with_a_secret_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    for loopback in ("127.0.0.1", "::1", "localhost"):
        assert policy_of(loopback, PORT) == LOCAL
    for host, port, name in (("127.8.9.1", PORT, f"127.8.9.1:{PORT}"), ("127.0.0.1", 80, "localhost")):
        assert client(policy_of(host, port)).get("/", headers={"Host": name}).text == "reached"
    for public in ("0.0.0.0", "::", "192.168.1.4", "machine.example"):
        with pytest.raises(SettingsError, match=f"set {TOKEN_VARIABLE}"):
            policy_of(public, PORT)
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(SettingsError, match="can be guessed"):
        policy_of("127.0.0.1", PORT)
    monkeypatch.setenv(TOKEN_VARIABLE, "a" * 16)
    assert policy_of("0.0.0.0", PORT) == Policy(frozenset(), "a" * 16)
    assert policy_of("127.0.0.1", PORT) == Policy(loopback_hosts(PORT), "a" * 16)
