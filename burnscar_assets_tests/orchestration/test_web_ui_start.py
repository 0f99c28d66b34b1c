"""The web UI starts on a port that is free, and its address is told once it answers."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from burnscar_assets.cli import main
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.services import watch
from burnscar_assets.orchestration.web_server import reserve_port

LOOPBACK = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_an_error_before_anything_starts(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    monkeypatch.setenv(DATA_VARIABLE, "")
    assert main(["ui", "--port", str(taken), "--data", str(tmp_path / "data")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: port {taken} of {LOOPBACK} is taken") and "--port" in printed.err
    assert not printed.out and not list(tmp_path.iterdir())


def test_a_port_that_is_free_is_taken_and_0_stands_for_any(taken: int) -> None:
    found = reserve_port(LOOPBACK, 0)
    assert found not in (0, taken)
    assert reserve_port(LOOPBACK, found) == found


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_a_host_that_is_not_this_machine_is_an_error(host: str) -> None:
    with pytest.raises(SettingsError, match="choose another --host"):
        reserve_port(host, 0)


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ui", f"--port={port}"])
    assert "is no port" in capsys.readouterr().err


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_address_is_told_once_it_answers(capsys: pytest.CaptureFixture[str]) -> None:
    port = reserve_port(LOOPBACK, 0)
    stop = threading.Event()
    telling = threading.Thread(target=watch, args=([], LOOPBACK, port, Path(), "here", stop))
    telling.start()
    time.sleep(1)
    assert capsys.readouterr().out == ""
    server = HTTPServer((LOOPBACK, port), _Answers)
    answering = threading.Thread(target=server.serve_forever)
    answering.start()
    time.sleep(2)
    stop.set()
    telling.join(30)
    server.shutdown()
    answering.join(30)
    server.server_close()
    assert capsys.readouterr().out == "here\n"
