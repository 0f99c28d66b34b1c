"""The processes behind `burnscar ui`: the code location, the guarded web server and the daemon, each kept alive.

One that ends is started again, at growing intervals, and the others go on meanwhile: a daemon that was killed costs
nobody the web UI. All of them end with this process.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

import yaml

from burnscar_assets.parent import child_environment

LOCATION: Final = "burnscar_assets.definitions"
LOOK_S: Final = 0.5
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Before a process that ended is started again: twice as long each time, until one has lived for LONGEST_WAIT_S."""

GRACE_S: Final = 30.0
"""For processes to end when asked to, before they are killed."""

ASK_TIMEOUT_S: Final = 5.0
WATCHDOG_S: Final = 10.0
"""How often the service manager of the machine is told that all is well."""


@dataclass
class Service:
    """A process that is to run as long as this one.

    Attributes:
        name: For people.
        command: Module that is run, and its arguments.
        after: File that must be there before it is started, if any.
    """

    name: str
    command: Sequence[str]
    after: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started: float = field(default=0.0, init=False)
    _wait_s: float = field(default=0.0, init=False)
    _due: float = field(default=0.0, init=False)

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def keep(self, folder: Path) -> None:
        """Start it in a folder, if it isn't running and its turn has come."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._note_end(now)
        ready = self.after is None or self.after.exists()
        if self._process is None and ready and now >= self._due:
            command = [sys.executable, "-P", "-m", "burnscar_assets.parent", *self.command]
            self._process = subprocess.Popen(command, env={**os.environ, **child_environment()}, cwd=folder)
            self._started = now

    def _note_end(self, now: float) -> None:
        assert self._process is not None  # noqa: S101 - it ended
        lived_long = now - self._started > LONGEST_WAIT_S
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S) if self._wait_s and not lived_long else FIRST_WAIT_S
        self._due = now + self._wait_s
        ended, self._process = self._process.returncode, None
        print(f"the {self.name} ended ({ended}) and is started again in {self._wait_s:.0f} s", file=sys.stderr)

    def ask_to_end(self) -> None:
        """Send it SIGTERM, which Dagster's processes take as Ctrl-C."""
        if self._process is not None and self.lives:
            self._process.terminate()

    def end(self, deadline: float) -> None:
        """Wait for its end until a moment of the monotonic clock, then kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run_services(host: str, port: int, home: Path, announcement: str, *, read_only: bool) -> None:
    """Run the web UI and the daemon until a signal ends them.

    Args:
        host: Address to listen on.
        port: Port.
        home: Dagster's, where the processes start.
        announcement: Printed once the web server answers.
        read_only: Whether the web UI shows everything and changes nothing.
    """
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # shells start what runs behind them with SIGINT ignored
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="burnscar-ui-") as folder:
        services = _services(host, port, Path(folder), read_only=read_only)
        try:
            watch(services, host, port, home, announcement, stop)
            _tell_manager("STOPPING=1")
        finally:
            for service in services:
                service.ask_to_end()
            deadline = time.monotonic() + GRACE_S
            for service in services:
                service.end(deadline)


def _services(host: str, port: int, folder: Path, *, read_only: bool) -> list[Service]:
    """The code location, which the other two share, so that a reload reaches both."""
    code, workspace = folder / "code.sock", folder / "workspace.yaml"
    location = {"socket": str(code), "location_name": LOCATION}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}), encoding="utf-8")
    code_server = ["dagster", "code-server", "start", "--socket", str(code), "--module-name", LOCATION]
    options = ["--use-python-environment-entry-point", "--inject-env-vars-from-instance", "--log-level", "warning"]
    web = ["burnscar_assets.orchestration.web_server", "--host", host, "--port", str(port), "--workspace"]
    daemon = ["dagster._daemon", "run", "--workspace", str(workspace)]
    return [
        Service("code location", [*code_server, "--location-name", LOCATION, *options]),
        Service("web server", [*web, str(workspace), *(["--read-only"] if read_only else [])], after=code),
        Service("daemon", daemon, after=code),
    ]


def watch(services: Sequence[Service], host: str, port: int, home: Path, announcement: str, stop: Event) -> None:
    """Keep services alive until told to stop; arguments are those of `run_services`."""
    announced, told = False, 0.0
    while not stop.wait(LOOK_S):
        for service in services:
            service.keep(home)
        if time.monotonic() - told >= (WATCHDOG_S if announced else LOOK_S) and _answers(host, port):
            told = time.monotonic()
            if not announced:
                announced = True
                print(announcement, flush=True)
                _tell_manager("READY=1")
            if all(service.lives for service in services):
                _tell_manager("WATCHDOG=1")


def _answers(host: str, port: int) -> bool:
    """Whether the web server answers, if only that it wants a token."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on
    with closing(http.client.HTTPConnection(everywhere.get(host, host), port, timeout=ASK_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", "/server_info")
            return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False


def _tell_manager(state: str) -> None:
    """Tell systemd, if it started this process and waits for word (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            manager.sendall(state.encode())
