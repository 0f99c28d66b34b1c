"""A web server that serves files by ranges, and misbehaves as it is told."""

import http.server
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Faults:
    """What goes wrong with which paths.

    Attributes:
        plan: for a path, told how often it was asked for before: what goes wrong now, or nothing. `500`, `429` and
            `404` are answers; `reset` breaks the connection off, `short` ends it before the last byte, `slow` answers
            after a moment, `silent` never, `garbage` sends other bytes.
        asked: requests by path.
    """

    def __init__(self) -> None:
        self.plan: Callable[[str, int], str] = lambda path, before: ""
        self.asked: Counter[str] = Counter()
        self.over = threading.Event()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    faults: Faults

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def _serve(self, with_body: bool) -> None:
        path = self.folder / self.path.lstrip("/")
        fault = self.faults.plan(self.path, self.faults.asked[self.path])
        self.faults.asked[self.path] += 1
        if fault == "silent":
            self.faults.over.wait(60)
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(0.3)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if fault.isdigit() or not path.is_file():
            self.send_response(int(fault) if fault.isdigit() else 404)
            if fault == "429":
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(path.read_bytes(), fault, with_body)

    def _send(self, content: bytes, fault: str, with_body: bool) -> None:
        wanted = self.headers.get("Range")
        first, last = 0, len(content) - 1
        if wanted:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
        part = content[first : last + 1]
        if fault == "garbage":
            part = bytes(len(part))
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if with_body:
            self.wfile.write(part[: len(part) // 2] if fault == "short" else part)
            self.close_connection = fault == "short"

    def log_message(self, *args: object) -> None: ...


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, Faults]]:
    """Serve a folder on 127.0.0.1; yields its address and what may go wrong."""
    faults = Faults()
    handler = type("Handler", (_Handler,), {"folder": folder, "faults": faults})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", faults
    finally:
        faults.over.set()
        server.shutdown()
        server.server_close()
