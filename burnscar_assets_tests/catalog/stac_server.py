"""A STAC API on 127.0.0.1: searches by shape, time and properties, in pages, in an order of its own."""

import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import shapely

COMPARISONS = {
    "eq": lambda value, limit: value == limit,
    "neq": lambda value, limit: value != limit,
    "lt": lambda value, limit: isinstance(value, int | float) and value < limit,
    "lte": lambda value, limit: isinstance(value, int | float) and value <= limit,
    "gt": lambda value, limit: isinstance(value, type(limit)) and value > limit,
    "gte": lambda value, limit: isinstance(value, int | float) and value >= limit,
    "in": lambda value, limit: value in limit,
}


@dataclass
class StacService:
    """What the service holds, and what it was asked.

    Attributes:
        items: STAC items; lists are ordered by time, the latest first, then by id.
        most: items on a page at most.
        failing: answers to give before the next ones: a status, or a status and headers.
        bodies: what was asked, pages too.
        paging: how pages are linked, see `_next`.
        link: a next link that every page has, in the place of the right one.
    """

    items: Sequence[dict[str, Any]]
    most: int = 10_000
    link_method: str = "POST"
    failing: list[int | tuple[int, dict[str, str]]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    paging: str = "body"
    link: dict[str, Any] | None = None

    @property
    def searches(self) -> list[dict[str, Any]]:
        """What was asked for anew, without further pages."""
        return [body for body in self.bodies if not body.get("token")]

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """One page of a search."""
        found = sorted((item for item in self.items if _is_wanted(item, body)), key=lambda item: item["id"])
        if not body.get("sortby"):
            found = sorted(found, key=lambda item: (item["properties"]["datetime"], item["id"]), reverse=True)
        first, count = int(body.get("token") or 0), min(int(body.get("limit") or 10), self.most)
        page = {"type": "FeatureCollection", "features": found[first : first + count], "links": []}
        following = body | {"token": str(first + count)}
        if self.paging == "gaps" and not body.get("gap"):
            page["features"], following = [], body | {"token": str(first), "gap": True}
            page["links"] = [self._next(following)]
        elif first + count < len(found) or (self.paging == "always" and page["features"]):
            page["links"] = [self._next({key: value for key, value in following.items() if key != "gap"})]
        elif self.paging == "always":
            page["links"] = [self._next(body)]
        if self.link is not None:
            page["links"] = [{"rel": "next"} | self.link]
        return page

    def _next(self, body: dict[str, Any]) -> dict[str, Any]:
        """The link to a page: the whole body, what differs, a token in the address; absolute or relative."""
        href = f"{self.url}/search" if "relative" not in self.paging else "search"
        if self.link_method == "GET" or "get" in self.paging:
            return {"rel": "next", "method": "GET", "href": f"{href}?{json.dumps(body).encode().hex()}"}
        link = {"rel": "next", "method": "POST", "href": href}
        if self.paging == "merge":
            return link | {"merge": True, "body": {"token": body["token"]}}
        if self.paging in ("no body", "headers"):
            return link | {"headers": {"X-Token": body["token"]}}
        return link | {"body": body}


def _is_wanted(item: dict[str, Any], body: dict[str, Any]) -> bool:
    properties = item["properties"]
    if body.get("collections") and item.get("collection") not in body["collections"]:
        return False
    if body.get("ids") and item["id"] not in body["ids"]:
        return False
    if "datetime" in body:
        begin, end = (datetime.fromisoformat(part) for part in body["datetime"].split("/"))
        if not begin <= datetime.fromisoformat(properties["datetime"]) <= end:
            return False
    for name, conditions in (body.get("query") or {}).items():
        value = item["id"] if name == "id" else properties.get(name)
        if not all(COMPARISONS[kind](value, limit) for kind, limit in conditions.items()):
            return False
    if "intersects" in body:
        return bool(shapely.geometry.shape(item["geometry"]).intersects(shapely.geometry.shape(body["intersects"])))
    return True


class _Handler(http.server.BaseHTTPRequestHandler):
    service: StacService
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        """Search, or read a further page."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self.headers.get("X-Token")
        self._search(body | ({"token": token} if token else {}))

    def do_GET(self) -> None:
        """Read a further page."""
        self._search(json.loads(bytes.fromhex(self.path.split("?")[1])))

    def _search(self, body: dict[str, Any]) -> None:
        self.service.bodies.append(body)
        if self.service.failing:
            failure = self.service.failing.pop(0)
            status, headers = failure if isinstance(failure, tuple) else (failure, {})
            if status == 0:
                self.close_connection = True
                return
            self._send(status, {"description": "no"}, headers)
            return
        self._send(200, self.service.answer(body), {})

    def _send(self, status: int, content: dict[str, Any], headers: dict[str, str]) -> None:
        payload = json.dumps(content).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/geo+json"} | headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve_stac(items: Sequence[dict[str, Any]], **settings: Any) -> Iterator[StacService]:
    """Serve items as a STAC API; a failure of status 0 hangs up without an answer."""
    service = StacService(items, **settings)
    handler = type("Handler", (_Handler,), {"service": service})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
