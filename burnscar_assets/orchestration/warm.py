"""Stages of this machine in processes that have imported their libraries already: the client of `warm_server.py`.

A process has one server at most, started with its first such stage. A server is for the environment and the folder that
it was started in: when they change, the next stage gets another server, and the one before ends after its last stage.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock, Thread
from typing import Final

from burnscar_assets.parent import EXIT_CODE, child_environment
from burnscar_assets.warm_server import TERMINATE, Request

SERVER: Final = "burnscar_assets.warm_server"

IS_POSSIBLE: Final = hasattr(os, "pidfd_open")
"""Whether this system is one where libraries survive a fork, and a forked process can be waited for: Linux."""


class WarmProcess:
    """A process that the server forked for a stage, with the methods of `subprocess.Popen` that a stage needs.

    Attributes:
        returncode: The exit code once the process has ended, and that is known.
    """

    def __init__(self, connection: socket.socket, server: subprocess.Popen[bytes]) -> None:
        self.returncode: int | None = None
        self._connection, self._server = connection, server

    def poll(self) -> int | None:
        """The exit code, if the process has ended."""
        return self._receive(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end; returns the exit code.

        Args:
            timeout: The longest wait, in seconds.

        Raises:
            subprocess.TimeoutExpired: it hasn't ended by then.
        """
        code = self._receive(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(SERVER, timeout or 0.0)
        return code

    def terminate(self) -> None:
        """Send SIGTERM to the process."""
        try:
            self._connection.send(TERMINATE)
        except BrokenPipeError:
            return  # it has ended

    def kill(self) -> None:
        """Send SIGKILL to the process."""
        self._connection.shutdown(socket.SHUT_WR)

    def _receive(self, timeout: float | None) -> int | None:
        if self.returncode is None and wait([self._connection], timeout):
            code = self._read()
            # without a word, the server has ended, and all its stages with it
            self.returncode = int(code) if code else self._server.wait() or EXIT_CODE
            self._connection.close()
        return self.returncode

    def _read(self) -> bytes:
        try:
            return self._connection.recv(16)
        except ConnectionResetError:  # the process had ended before it was to be; how is told behind this error
            return self._connection.recv(16)


@dataclass(frozen=True)
class _Server:
    """A server, and what it was started in."""

    environment: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes]
    requests: socket.socket

    @classmethod
    def start(cls, environment: Mapping[str, str], folder: Path) -> "_Server":
        requests, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", "-m", SERVER, str(theirs.fileno())]
            process = subprocess.Popen(command, env=environment, cwd=folder, pass_fds=[theirs.fileno()])
        Thread(target=process.wait, daemon=True).start()  # whenever it ends, it leaves no zombie
        return cls(environment, folder, process, requests)

    def run(self, request: Request) -> WarmProcess:
        """Have a process forked.

        Raises:
            OSError: the server has ended.
        """
        connection, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            request.send(self.requests, theirs)
        return WarmProcess(connection, self.process)


class WarmStages:
    """Starts stages in processes that have imported their libraries already; any thread may."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._server: _Server | None = None

    def start(self, request: Request, environment: Mapping[str, str]) -> WarmProcess:
        """Start a stage.

        Args:
            request: What to run.
            environment: Variables of all stages.
        """
        everything, folder = {**environment, **child_environment()}, Path.cwd()
        with self._lock:
            if self._server is not None:
                if (self._server.environment, self._server.folder) == (everything, folder):
                    with suppress(OSError):  # it was killed: the next one does it
                        return self._server.run(request)
                self._server.requests.close()
            self._server = _Server.start(everything, folder)
            return self._server.run(request)
