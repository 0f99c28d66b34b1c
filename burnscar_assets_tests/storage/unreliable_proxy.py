"""A TCP proxy on loopback that breaks connections as it is told."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


@contextmanager
def unreliable_proxy(target: str, breaks: Callable[[int], bool]) -> Iterator[str]:
    """Forward to `target`; drop the connection on which the nth piece of what clients say comes in, if `breaks(n)`."""
    place = (urlsplit(target).hostname, urlsplit(target).port)
    pieces = itertools.count()

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=forward, args=listener.accept()[:1], daemon=True).start()

    def forward(client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(place) as server:
            threading.Thread(target=answer, args=(server, client), daemon=True).start()
            while (said := client.recv(65536)) and not breaks(next(pieces)):
                server.sendall(said)
            client.shutdown(socket.SHUT_RDWR)

    def answer(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while said := server.recv(65536):
                client.sendall(said)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
