"""A STAC API and a server of files with byte ranges, both slow on purpose, that count what is asked of them.

Run as `python -m kit.server FOLDER DELAY_MS`, it prints its port and serves until it is ended:

- `POST /local/search` finds the folder's items with paths of files, `POST /wide/search` a year's items of all
  California, which have no files; both without delay;
- `POST /remote/search` and `GET` or `HEAD /files/…` answer after the delay, each request on its own;
- `GET /counts` tells what was asked since it was last asked for.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import shapely

from kit.scenes import ITEMS_FILE, california_items

PAGE = 100
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_REASONS = {200: "OK", 206: "Partial Content", 404: "Not Found", 416: "Range Not Satisfiable"}


@dataclass
class Counts:
    """What was asked since the last reset.

    Attributes:
        searches: requests to a STAC search, each page counted.
        requests: requests for files.
        bytes: bytes of files that were sent, without headers of HTTP.
    """

    searches: int = 0
    requests: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Request:
    """One request, as far as it matters here."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """One answer; `length` is what its headers say, also where the body stays away (HEAD)."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int


class Catalogue:
    """STAC items, found as a STAC API finds them."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items = items
        self._moments = [datetime.fromisoformat(item["properties"]["datetime"]) for item in items]
        self._tree = shapely.STRtree([shapely.geometry.shape(item["geometry"]) for item in items])

    def find(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """The items that a search asks for, in their order."""
        places: Iterable[int] = range(len(self._items))
        if "bbox" in wanted:
            places = sorted(self._tree.query(shapely.box(*wanted["bbox"]), "intersects").tolist())
        if "intersects" in wanted:
            shape = shapely.geometry.shape(wanted["intersects"])
            places = sorted(self._tree.query(shape, "intersects").tolist())
        first, _, last = wanted.get("datetime", "..").partition("/")
        earliest, latest = (None if end == ".." else datetime.fromisoformat(end) for end in (first, last or first))
        return [
            self._items[place]
            for place in places
            if (earliest is None or self._moments[place] >= earliest)
            and (latest is None or self._moments[place] <= latest)
            and self._items[place]["id"] in wanted.get("ids", [self._items[place]["id"]])
        ]


class Server:
    """Answers requests about the scenes of one folder."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        self.folder = folder
        self.delay_s = delay_s
        self.counts = Counts()
        self.port = 0
        self._own = Catalogue(json.loads((folder / ITEMS_FILE).read_text(encoding="utf-8")))
        self._files: dict[str, tuple[int, int]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, in their order."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while request := await _read(reader):
                answer = await self.answer(request)
                lines = [f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}", f"Content-Length: {answer.length}"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items()]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
                await writer.drain()
        writer.close()

    async def answer(self, request: Request) -> Answer:
        """What a request gets, after the delay."""
        _, place, *rest = request.path.split("?")[0].split("/", 2)
        if place == "counts":
            counts, self.counts = self.counts, Counts()
            return _json(asdict(counts))
        if place not in ("local", "wide"):
            await asyncio.sleep(self.delay_s)
        if rest == ["search"]:
            self.counts.searches += 1
            return _json(self._search(json.loads(request.body), place))
        return self._file(request, rest[0]) if place == "files" and rest else Answer(404, {}, b"", 0)

    @cached_property
    def _wide(self) -> "Catalogue":
        return Catalogue(california_items())

    def _search(self, wanted: dict[str, Any], place: str) -> dict[str, Any]:
        base = f"http://127.0.0.1:{self.port}/files" if place == "remote" else str(self.folder)
        found = (self._wide if place == "wide" else self._own).find(wanted)
        start, limit = int(wanted.get("token", 0)), int(wanted.get("limit", PAGE))
        following = {"rel": "next", "method": "POST", "href": f"http://127.0.0.1:{self.port}/{place}/search"}
        links = [following | {"body": wanted | {"token": start + limit}}] if start + limit < len(found) else []
        features = [_with_hrefs(item, base) for item in found[start : start + limit]]
        return {"type": "FeatureCollection", "features": features, "links": links}

    def _file(self, request: Request, name: str) -> Answer:
        path = self.folder / name
        if name not in self._files:
            if ".." in path.parts or not path.is_file():
                return Answer(404, {}, b"", 0)
            self._files[name] = os.open(path, os.O_RDONLY), path.stat().st_size
        descriptor, size = self._files[name]
        self.counts.requests += 1
        status, first, last = _range(request.headers.get("range", ""), size)
        headers = {"Accept-Ranges": "bytes", "Content-Type": "image/tiff", "ETag": f'"{name}-{size}"'}
        if status != 200:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}" if status == 206 else f"bytes */{size}"
        length = last - first + 1 if status != 416 else 0
        if request.method == "HEAD" or not length:
            return Answer(status, headers, b"", length)
        self.counts.bytes += length
        return Answer(status, headers, os.pread(descriptor, length, first), length)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def _range(header: str, size: int) -> tuple[int, int, int]:
    """Status, first and last byte; what is no single range gets the whole file, as the standard allows."""
    found = _RANGE.fullmatch(header)
    if not found or not any(found.groups()):
        return 200, 0, size - 1
    first, last = found.groups()
    if not first:
        return 206, max(size - int(last), 0), size - 1
    return (206 if int(first) < size else 416), int(first), min(int(last or size), size - 1)


def _with_hrefs(item: dict[str, Any], base: str) -> dict[str, Any]:
    return item | {"assets": {key: {"href": f"{base}/{asset['href']}"} for key, asset in item["assets"].items()}}


def _json(content: Any) -> Answer:
    body = json.dumps(content).encode()
    return Answer(200, {"Content-Type": "application/json"}, body, len(body))


async def main(folder: Path, delay_s: float) -> None:
    """Serve on a free port of this machine."""
    server = Server(folder, delay_s)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)
    server.port = listening.sockets[0].getsockname()[1]
    print(server.port, flush=True)
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1]).resolve(), float(sys.argv[2]) / 1000))
