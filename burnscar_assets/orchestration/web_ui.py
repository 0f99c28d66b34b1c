"""Dagster's web server and daemon in the place of this process, announced once they answer."""

import errno
import http.client
import os
import socket
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from burnscar_assets.arguments import MOST_PORTS
from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.instance import REPOSITORY

ASK_INTERVAL_S = 0.3
ASK_TIMEOUT_S = 5.0
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


def serve(host: str, port: int, home: Path, announcement: str) -> NoReturn:
    """Become `dagster dev`, so that signals reach it; a child prints the announcement once it answers."""
    parent = os.getpid()
    if os.fork() == 0:
        try:
            _announce(parent, host, port, announcement)
        finally:
            os._exit(0)
    workspace = str(REPOSITORY / "workspace.yaml")
    command = [sys.executable, "-m", "dagster", "dev", "--host", host, "--port", str(port), "-w", workspace]
    os.chdir(home)
    os.execv(command[0], command)  # noqa: S606 - the command is this project's


def _announce(parent: int, host: str, port: int, announcement: str) -> None:
    try:
        while os.getppid() == parent:
            if _answers(host, port):
                print(announcement, flush=True)
                return
            time.sleep(ASK_INTERVAL_S)
    except KeyboardInterrupt:
        return


def _answers(host: str, port: int) -> bool:
    with closing(http.client.HTTPConnection(host, port, timeout=ASK_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", "/server_info")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
