"""Local servers that speak, and break, as the real ones do."""

import gzip
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import geopandas as gpd
import pandas as pd
import shapely


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.site.answer(self)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        self.server.site.answer(self)  # type: ignore[attr-defined]

    def do_HEAD(self) -> None:
        self.server.site.answer(self)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(site: Any) -> Iterator[str]:
    """Serve a site on a free port; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Webhook:
    """Takes JSON messages, or refuses them."""

    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.messages.append(json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))))
        handler.send_response(self.status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@dataclass
class FileSite:
    """One file, with ranges and versions; it can hang up in the middle, refuse, or ignore conditions and ranges."""

    body: bytes
    etag: str | None = '"v1"'
    last_modified: str | None = "Wed, 01 Apr 2026 08:00:00 GMT"
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    chunked: bool = False
    conditional: bool = True
    honours_if_range: bool = True
    ranges: bool = True
    head_status: int = 200
    content_type: str = "application/zip"
    requests: list[dict[str, str]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    sent: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = dict(handler.headers.items())
        self.requests.append(asked)
        self.methods.append(handler.command)
        if handler.command == "HEAD" and self.head_status != 200:
            self._head(handler, self.head_status, {"Content-Length": "0"})
            return
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            self._head(handler, status, {"Content-Length": "0", "Retry-After": "0"})
            return
        versions = {"ETag": self.etag, "Last-Modified": self.last_modified, "Content-Type": self.content_type}
        headers = {name: value for name, value in versions.items() if value}
        if self.conditional and self.etag and asked.get("If-None-Match") == self.etag:
            self._head(handler, 304, headers | {"Content-Length": "0"})
            return
        start, stop, status = 0, len(self.body), 200
        valid = asked.get("If-Range") in (self.etag, self.last_modified, None) or not self.honours_if_range
        if "Range" in asked and valid and self.ranges:
            first, last = asked["Range"].removeprefix("bytes=").split("-")
            start, stop, status = int(first), int(last) + 1 if last else len(self.body), 206
            if start >= len(self.body):
                self._head(handler, 416, {"Content-Range": f"bytes */{len(self.body)}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(self.body)}"
        body = self.body[start:stop]
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        else:
            headers["Content-Length"] = str(len(body))
        self._head(handler, status, headers)
        if handler.command == "HEAD":
            return
        if self.cuts:
            body, handler.close_connection = body[: self.cuts.pop(0)], True
        handler.wfile.write(body)
        self.sent += len(body)

    @staticmethod
    def _head(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()


@dataclass
class ArcGisSite:
    """A feature service with one layer of polygons, as ArcGIS Online answers: each page but the last says it is cut.

    `says_more` changes that word: it gets the truth and the page's first row, and returns what is said (None: nothing).
    `instead` changes an answer of rows before it is sent.
    """

    rows: gpd.GeoDataFrame
    max_record_count: int = 2000
    formats: str = "JSON, geoJSON, PBF"
    transfer_limit: int | None = None
    too_heavy_above: int | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    count: int | None = None
    token: str | None = None
    heeds_offset: bool = True
    says_more: Callable[[bool, int], bool | None] = lambda truth, _: True if truth else None
    instead: Callable[[dict[str, Any]], Any] = lambda answer: answer
    layers: tuple[dict[str, Any], ...] = ({"id": 0, "name": "California Fire Perimeters (all)"},)
    types: dict[str, str] = field(default_factory=dict)
    statistics: bool = True
    refuses_statistics: bool = False
    editing_info: dict[str, Any] = field(default_factory=lambda: {"lastEditDate": 1_770_000_000_000})
    queries: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        content = self.content(self._reply(address.path, asked))
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def content(self, reply: Any) -> bytes:
        return json.dumps(reply).encode()

    def _reply(self, path: str, asked: dict[str, str]) -> dict[str, Any]:
        if self.token is not None and asked.get("token") != self.token:
            code, said = (498, "Invalid token.") if "token" in asked else (499, "Token Required")
            return {"error": {"code": code, "message": said, "details": []}}
        service = path.lower().replace("/mapserver", "/featureserver")
        if service.endswith("/featureserver"):
            return {"layers": self.layers}
        if service.endswith("/featureserver/0"):
            return self._about()
        if service.endswith("/featureserver/0/query"):
            return self._query(asked)
        return {"error": {"code": 400, "message": "Invalid URL", "details": []}}

    def _query(self, asked: dict[str, str]) -> dict[str, Any]:
        self.queries.append(asked)
        if self.errors:
            return {"error": self.errors.pop(0)}
        if asked.get("returnCountOnly") == "true":
            return {"count": len(self.rows) if self.count is None else self.count}
        if "outStatistics" in asked:
            return self._statistics(asked["groupByFieldsForStatistics"], json.loads(asked["outStatistics"]))
        wanted = int(asked["resultRecordCount"])
        if self.too_heavy_above is not None and wanted > self.too_heavy_above:
            return {"error": {"code": 500, "message": "Error performing query operation", "details": []}}
        limit = min(wanted, self.max_record_count, self.transfer_limit or wanted)
        assert asked["orderByFields"] == "OBJECTID ASC"
        offset = int(asked["resultOffset"]) if self.heeds_offset else 0
        page = self.rows.sort_values("OBJECTID").iloc[offset : offset + limit]
        said = self.says_more(offset + limit < len(self.rows), offset)
        flag = {} if said is None else {"exceededTransferLimit": said}
        if asked["f"] == "geojson":
            return self.instead(self._geojson(page) | flag | ({"properties": flag} if flag else {}))
        return self.instead(self._esri(page, int(asked["outSR"])) | flag)

    def _statistics(self, by: str, wanted: list[dict[str, str]]) -> dict[str, Any]:
        if self.refuses_statistics:
            return {"error": {"code": 400, "message": "Cannot perform query. Invalid query parameters.", "details": []}}
        groups = self.rows.drop(columns="geometry").groupby(by, dropna=False)
        features = [
            {
                "attributes": {by: None if pd.isna(value) else value}
                | {s["outStatisticFieldName"]: _statistic(g[s["onStatisticField"]], s["statisticType"]) for s in wanted}
            }
            for value, g in groups
        ]
        return json.loads(json.dumps({"features": features[: self.max_record_count]}, default=lambda v: v.item())) | (
            {"exceededTransferLimit": True} if len(features) > self.max_record_count else {}
        )

    def _about(self) -> dict[str, Any]:
        return {
            "name": "firep24_1",
            "geometryType": "esriGeometryPolygon",
            "objectIdField": "OBJECTID",
            "maxRecordCount": self.max_record_count,
            "supportedQueryFormats": self.formats,
            "advancedQueryCapabilities": {"supportsPagination": True, "supportsStatistics": self.statistics},
            "fields": self._fields(),
            "editingInfo": self.editing_info,
        }

    def _fields(self) -> list[dict[str, Any]]:
        types = {"OBJECTID": "OID", "YEAR_": "SmallInteger", "GIS_ACRES": "Double", "CAUSE": "SmallInteger"}
        types |= {"C_METHOD": "SmallInteger", "ALARM_DATE": "Date", "CONT_DATE": "Date"} | self.types
        names = [name for name in self.rows.columns if name != "geometry"]
        return [{"name": name, "type": f"esriFieldType{types.get(name, 'String')}"} for name in names]

    @staticmethod
    def _attributes(row: pd.Series) -> dict[str, Any]:
        values = row.drop("geometry").to_dict()
        return {n: None if pd.isna(v) else v.item() if hasattr(v, "item") else v for n, v in values.items()}

    def _geojson(self, page: gpd.GeoDataFrame) -> dict[str, Any]:
        features = [
            {
                "type": "Feature",
                "id": int(row["OBJECTID"]),
                "geometry": row["geometry"] and shapely.geometry.mapping(row["geometry"]),
                "properties": self._attributes(row),
            }
            for _, row in page.to_crs(4326).iterrows()
        ]
        return {"type": "FeatureCollection", "features": features}

    def _esri(self, page: gpd.GeoDataFrame, wkid: int) -> dict[str, Any]:
        features = [
            {"attributes": self._attributes(row)} | ({"geometry": {"rings": rings_of(shape)}} if shape else {})
            for _, row in page.to_crs(wkid).iterrows()
            for shape in [row["geometry"]]
        ]
        return {
            "objectIdFieldName": "OBJECTID",
            "geometryType": "esriGeometryPolygon",
            "spatialReference": {"wkid": wkid},
            "fields": self._fields(),
            "features": features,
        }


def _statistic(column: pd.Series, kind: str) -> Any:
    value = column.sum(min_count=1) if kind == "sum" else getattr(column, kind)()
    return None if pd.isna(value) else value


def rings_of(shape: shapely.Geometry) -> list[list[list[float]]]:
    """Rings as Esri orders them: shells clockwise, holes the other way."""
    parts = [shapely.orient_polygons(part, exterior_cw=True) for part in shapely.get_parts(shape)]
    rings = [ring for part in parts for ring in (part.exterior, *part.interiors)]
    return [[list(point) for point in ring.coords] for ring in rings]


@dataclass
class Habits:
    """A server with a habit that a client must not suffer from.

    Attributes:
        habit: `drip` (a byte at a time), `drip_headers`, `bomb` (a small gzip of zeros), `endless`, `deep` (JSON),
            `long` and `short` (another length than announced), or an address to redirect to.
        status: of a redirect.
        requests: headers of each request, with its path.
    """

    habit: str
    status: int = 302
    requests: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append({"path": handler.path, **dict(handler.headers.items())})
        handler.close_connection = True
        with suppress(OSError):
            getattr(self, f"_{self.habit}", self._redirect)(handler)

    def _redirect(self, handler: BaseHTTPRequestHandler) -> None:
        self._head(handler, {"Location": self.habit, "Content-Length": "0"}, self.status)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        self._head(handler, {"Content-Length": "1000000"})
        self._slowly(handler, b" " * 1000)

    def _drip_headers(self, handler: BaseHTTPRequestHandler) -> None:
        self._slowly(handler, b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 1000)

    def _endless(self, handler: BaseHTTPRequestHandler) -> None:
        self._head(handler, {"Transfer-Encoding": "chunked"})
        while True:
            handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    def _bomb(self, handler: BaseHTTPRequestHandler) -> None:
        content = gzip.compress(bytes(200_000_000), compresslevel=1)
        self._head(handler, {"Content-Encoding": "gzip", "Content-Length": str(len(content))})
        handler.wfile.write(content)

    def _deep(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, b"[" * 100_000 + b"]" * 100_000)

    def _long(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, b'{"count": 1}  ', announced=12)

    def _short(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, b'{"count": 1}', announced=20)

    def _send(self, handler: BaseHTTPRequestHandler, content: bytes, announced: int | None = None) -> None:
        length = len(content) if announced is None else announced
        self._head(handler, {"Content-Type": "application/json", "Content-Length": str(length)})
        handler.wfile.write(content)

    @staticmethod
    def _slowly(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        for number in range(len(content)):
            handler.wfile.write(content[number : number + 1])
            handler.wfile.flush()
            time.sleep(0.05)

    @staticmethod
    def _head(handler: BaseHTTPRequestHandler, headers: dict[str, str], status: int = 200) -> None:
        handler.send_response(status)
        for name, value in (headers | {"Connection": "close"}).items():
            handler.send_header(name, value)
        handler.end_headers()


@dataclass
class ForwardProxy:
    """A company's proxy, which alone knows where `*.invalid` is: there is one site behind all names.

    Attributes:
        site: the address of the site.
        asked: the addresses that were asked for.
    """

    site: str
    asked: list[str] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        address = urlsplit(handler.path)
        place = urlsplit(self.site)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
        target = address.path + (f"?{address.query}" if address.query else "")
        connection.request(handler.command, target, headers=dict(handler.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
        connection.close()
