"""`python -m burnscar_assets.warm_server FD`: imports what stages need once, and forks a process for each of them.

Importing torch takes seconds, forking a process that has done so some hundredths. A stage runs in a process of its own
as ever, as `python -m module spec.json` would run it. It finds what it would have imported, and nothing that another
stage left, because this process does nothing but import and fork.

The process that started the server is its client. They talk over sockets that end with either of them: one for
requests, and one for each stage, on which the client says how it is to end, and is told its exit code.
"""

import atexit
import gc
import importlib
import json
import logging
import os
import runpy
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final, NamedTuple

from burnscar_assets.encoders.load import DEFAULT_MODULE
from burnscar_assets.parent import WATCH_INTERVAL_S, child_environment, ending_with, pop_parent
from burnscar_assets.process import prepare_environment

_ALWAYS: Final = ("dagster_pipes",)
_MODEL: Final = ("torch", DEFAULT_MODULE, "burnscar_assets.dataset.packed.data")
PRELOADED: Final[Mapping[str, Sequence[str]]] = {
    "burnscar_assets.models.trainer": (
        *_MODEL,
        "rslearn.lightning_cli",
        "rslearn.train.lightning_module",
        "burnscar_assets.dataset.bulk_data",
        "burnscar_assets.models.callbacks",
    ),
    "burnscar_assets.evaluation.evaluator": (
        *_MODEL,
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "burnscar_assets.models.model",
    ),
    "burnscar_assets.evaluation.ensembles": (*_MODEL, "burnscar_assets.models.model"),
    "burnscar_assets.publish.mapper": (
        *_MODEL,
        "burnscar_assets.catalog.archive",
        "burnscar_assets.reader",
        "burnscar_assets.models.model",
    ),
}
"""What stages import within functions, by their entry points: only what they do whatever they work on, as the first
one waits for it."""

TERMINATE: Final = b"t"
"""Sent on a stage's socket, it has SIGTERM sent to the stage; the end of the socket has it killed."""

_REQUEST_BYTES: Final = 1 << 16


class Request(NamedTuple):
    """A stage to run.

    Attributes:
        module: Its entry point.
        spec: Path of its specification.
        environment: Variables of its own, beside those that the server was started with.
    """

    module: str
    spec: str
    environment: dict[str, str]

    def send(self, requests: socket.socket, stage: socket.socket) -> None:
        """Ask for the stage, which writes to this process's standard output and error.

        Args:
            requests: To the server.
            stage: The server's end of the stage's socket.

        Raises:
            OSError: the server has ended.
        """
        socket.send_fds(requests, [json.dumps(self).encode()], [stage.fileno(), 1, 2])


@dataclass
class _Stage:
    """A process that was forked, and its client's socket."""

    pid: int
    ended: int
    client: socket.socket
    given_up: bool = False

    def obey(self) -> None:
        """End the process as the client says, or because the client is gone."""
        with suppress(ConnectionError):
            if self.client.recv(1) == TERMINATE:
                os.kill(self.pid, signal.SIGTERM)
                return
        self.given_up = True
        os.kill(self.pid, signal.SIGKILL)

    def tell_end(self) -> None:
        """Tell the client the exit code of the process, as `subprocess` has it."""
        _, status = os.waitpid(self.pid, 0)
        with suppress(OSError):
            self.client.send(str(os.waitstatus_to_exitcode(status)).encode())
        self.close()

    def close(self) -> None:
        """Close what this process holds of the stage."""
        self.client.close()
        os.close(self.ended)


class Server:
    """Serves one client.

    Args:
        requests: From the client.
        parent: Id of the client's process.
    """

    def __init__(self, requests: socket.socket, parent: int) -> None:
        self._requests: socket.socket | None = requests
        self._parent = parent
        self._stages: list[_Stage] = []
        self._environment = child_environment()

    def serve(self) -> Request:
        """Fork processes as they are asked for; returns in each of them alone, with what it is to do.

        The server itself exits once its client is gone, or asks for no more and all stages have ended.
        """
        while (self._requests or self._stages) and os.getppid() == self._parent:
            heard = wait(self._watched(), WATCH_INTERVAL_S)
            for stage in self._stages[:]:
                if stage.ended in heard:
                    self._stages.remove(stage)
                    stage.tell_end()
                elif stage.client in heard:
                    stage.obey()
            if self._requests in heard and (request := self._next(self._requests)):
                return request
        os._exit(0)

    def _watched(self) -> list[Any]:
        clients = [stage.client for stage in self._stages if not stage.given_up]
        return [*clients, *(stage.ended for stage in self._stages), *([self._requests] if self._requests else [])]

    def _next(self, requests: socket.socket) -> Request | None:
        """Take a request, if it isn't the end of them, and fork; the request in the new process, else None."""
        message, files, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 3)
        if not message:
            requests.close()
            self._requests = None
            return None
        request = Request(*json.loads(message))
        client, outputs = socket.socket(fileno=files[0]), files[1:]
        preload(request.module, self._parent)
        if wait([client], 0):  # the stage was ended before it began
            with suppress(OSError), client:
                client.send(str(-signal.SIGTERM).encode())
        elif (pid := os.fork()) == 0:
            client.close()
            self._become_stage(request, outputs)
            return request
        else:
            self._stages.append(_Stage(pid, os.pidfd_open(pid), client))
        for file in outputs:
            os.close(file)
        return None

    def _become_stage(self, request: Request, outputs: Sequence[int]) -> None:
        """Leave in this process, which was forked, nothing of the server and of other stages."""
        for stage in self._stages:
            stage.close()
        if self._requests is not None:
            self._requests.close()
        for file, standard in zip(outputs, (1, 2), strict=True):
            os.dup2(file, standard)
            os.close(file)
        os.environ.update({**self._environment, **request.environment})
        _draw_anew()
        with suppress(OSError):  # the name of a process in `ps` and `top`, where there is such a file
            Path("/proc/self/comm").write_text(request.module.rpartition(".")[2])


def _draw_anew() -> None:
    """Seed at random what each process draws from unless it sets a seed; Python does so with its own generator."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def preload(module: str, parent: int) -> None:
    """Import a stage's module, and what it imports within functions, once.

    What can't be imported is left to the stage, which says so.

    Args:
        module: The stage's.
        parent: Id of the process that this one ends with, also while it imports.
    """
    names = [name for name in (*_ALWAYS, module, *PRELOADED.get(module, ())) if name not in sys.modules]
    if not names:
        return
    gc.disable()
    with ending_with(parent):
        for name in names:
            with suppress(Exception):
                importlib.import_module(name)
    gc.freeze()  # so that looking for garbage touches none of the memory that processes share
    gc.enable()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.exit(f"importing {', '.join(names)} began to use the GPU, which can't be shared with a forked process")


def main() -> None:
    """Serve the client on the socket given; in forked processes, run their stages."""
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever started this may ignore it, stages must not
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    ending = _Ending()
    parent = pop_parent() or os.getppid()
    prepare_environment()
    request = Server(socket.socket(fileno=int(sys.argv[1])), parent).serve()
    signal.signal(signal.SIGINT, on_interrupt)
    sys.argv = [request.module, request.spec]
    try:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
        ending.code = 0
    except SystemExit as ended:
        ending.code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise


class _Ending:
    """Ends a process after all other functions of `atexit`, before Python takes apart the modules that it shares."""

    def __init__(self) -> None:
        self.code = 1
        atexit.register(self._end)  # the first to be registered is the last to be called

    def _end(self) -> None:
        # these two may have been registered before: workers end, and records are written
        util._exit_function()  # type: ignore[attr-defined]
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(self.code)


if __name__ == "__main__":
    main()
