"""A stand-in for the Hugging Face hub: its addresses and headers, what it refuses, and how its network fails."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c" * 40


@dataclass
class Hub:
    """What a stand-in serves, and how it behaves.

    Attributes:
        files: contents by `owner/name/path`. Those of `linked` are kept elsewhere, as large files are.
        linked: ends of the names of files that an answer redirects for.
        gated: repositories that are refused without a token.
        dropped: answers with a body that break off after half of it, from now on.
        slow_s: seconds that each answer takes.
        requests: method and path of each request, the store's too.
        tokens: authorizations that the store was sent, which must not see any.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    linked: tuple[str, ...] = (".pt", ".pth")
    gated: tuple[str, ...] = ()
    dropped: int = 0
    slow_s: float = 0.0
    requests: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    store: str = ""

    def sha256(self, name: str) -> str:
        """Of a file."""
        return hashlib.sha256(self.files[name]).hexdigest()

    def asked(self, method: str) -> list[str]:
        """Paths that were asked with a method."""
        return [path for said, path in (request.split(" ", 1) for request in self.requests) if said == method]


def _handler(hub: Hub, *, store: bool) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            time.sleep(hub.slow_s)
            if store:
                hub.tokens += self.headers.get_all("authorization", [])
                self._send(hub.files[path.removeprefix("/store/")], body=body)
                return
            repository, _, rest = path.lstrip("/").partition("/resolve/")
            name = f"{repository}/{rest.partition('/')[2]}"
            if repository in hub.gated and "authorization" not in self.headers:
                self._refuse(401, "GatedRepo")
            elif not any(known.startswith(f"{repository}/") for known in hub.files):
                self._refuse(401, "RepoNotFound")  # as the hub says of what is private or isn't there
            elif name not in hub.files:
                self._refuse(404, "EntryNotFound")
            elif name.endswith(hub.linked):
                content = hub.files[name]
                headers = {
                    "X-Linked-Etag": f'"{hub.sha256(name)}"',
                    "X-Linked-Size": str(len(content)),
                    "Location": f"{hub.store}/store/{name}",
                }
                self._send(b"", body=body, status=302, headers=headers)
            else:
                digest = hashlib.sha1(hub.files[name]).hexdigest()
                self._send(hub.files[name], body=body, headers={"ETag": f'"{digest}"'})

        def _refuse(self, status: int, code: str) -> None:
            self._send(b"", body=False, status=status, headers={"X-Error-Code": code, "X-Error-Message": code})

        def _send(
            self, content: bytes, *, body: bool, status: int = 200, headers: dict[str, str] | None = None
        ) -> None:
            start = 0
            if "range" in self.headers and status == 200:
                start, status = int(self.headers["range"].removeprefix("bytes=").partition("-")[0]), 206
            self.send_response(status)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content) - start))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if not body:
                return
            rest = content[start:]
            if rest and hub.dropped:
                hub.dropped -= 1
                rest = rest[: len(rest) // 2]
                self.close_connection = True
            self.wfile.write(rest)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


@contextmanager
def served(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub and the store of its large files on this machine, which the hub's own client is told of."""
    from huggingface_hub import constants

    servers = [
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, store=is_store)) for is_store in (False, True)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    address, hub.store = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
