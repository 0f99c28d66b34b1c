"""Reading a layer of an ArcGIS REST service, page by page.

The service speaks HTTP 200 also when it fails, with an `error` object in place of the answer; that is
told apart here. Rows come ordered by object id, and as many as the service counted, or not at all.
Protocol: https://developers.arcgis.com/rest/services-reference/enterprise/query-feature-service-layer/
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import requests

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.http import check_status, open_session, transport_errors, with_retries
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import ReleaseSettings, ServiceSettings
from burnscar_assets.storage.tables import TABLE_CRS

_SERVICE = re.compile(r"^https?://.+/(FeatureServer|MapServer)(/\d+)?$", re.IGNORECASE)
_TRANSIENT_CODES = range(500, 600)
_TRANSIENT_OTHER = frozenset({408, 429})
_SMALLEST_PAGE = 50

EVERY_ROW = "1=1"
"""SQL that all rows answer to."""


@dataclass(frozen=True)
class RestLayer:
    """What a service says of one of its layers.

    Attributes:
        url: Its address, without a query.
        name: Its name.
        fields: Names of its fields.
        object_id_field: The field that orders its rows.
        page_rows: Most rows of one answer.
        geojson: Whether it speaks GeoJSON.
        statistics: Whether it may count and sum on the server.
        edited_ms: When its data or its schema was edited last, epoch milliseconds; empty if it doesn't say.
    """

    url: str
    name: str
    fields: tuple[str, ...]
    object_id_field: str
    page_rows: int
    geojson: bool
    statistics: bool
    edited_ms: dict[str, int]


@dataclass(frozen=True)
class _Query:
    layer: RestLayer
    session: requests.Session
    settings: ServiceSettings
    where: str

    def json(self, **parameters: Any) -> dict[str, Any]:
        return ask(self.session, f"{self.layer.url}/query", {"where": self.where, **parameters}, self.settings)

    def page(self, offset: int, rows: int) -> dict[str, Any]:
        return self.json(
            f="geojson" if self.layer.geojson else "json",
            outFields="*",
            outSR=4326 if self.layer.geojson else TABLE_CRS.removeprefix("EPSG:"),
            orderByFields=f"{self.layer.object_id_field} ASC",
            resultOffset=offset,
            resultRecordCount=rows,
            returnGeometry="true",
        )


def is_rest_layer(source: str) -> bool:
    """Whether a source is the address of an ArcGIS REST service or layer."""
    return bool(_SERVICE.match(_address(source)))


def prescribed_layer_url(settings: ReleaseSettings, fire_url: str) -> str | None:
    """Of a REST source, `prescribed_layer` is an address, or the number of a layer of the same service.

    Raises:
        InputError: it is neither.
    """
    chosen = settings.prescribed_layer
    if chosen is None or is_rest_layer(chosen):
        return chosen
    if chosen.isdigit():
        return f"{_address(fire_url).rsplit('/', 1)[0]}/{chosen}"
    raise InputError(
        f"release.prescribed_layer is {chosen!r}: for a REST source give the number of a layer of the same service, "
        "or the address of a layer"
    )


def read_rest_layer(
    url: str, settings: ServiceSettings, progress: Progress = silent, *, where: str = EVERY_ROW
) -> tuple[RestLayer, gpd.GeoDataFrame]:
    """Read rows of a layer with their fields as the service gives them.

    Args:
        url: Address of the layer, `…/FeatureServer/0`.
        settings: Headers, timeout and retries.
        progress: Told the rows read.
        where: Which rows, as SQL of the service; a choice may be empty, a layer may not.

    Returns:
        The layer's description, and its rows with a CRS (EPSG:4326, or 3310 where the service has no GeoJSON).

    Raises:
        InputError: no such layer, or one that cannot be queried.
        SourceUnavailableError: no answer after all tries, or rows changed while they were read.
    """
    with open_session(settings) as session:
        layer = describe_layer(session, url, settings)
        query = _Query(layer, session, settings, where)
        total = int(query.json(f="json", returnCountOnly="true").get("count", 0))
        if not total and where != EVERY_ROW:
            return layer, gpd.GeoDataFrame({name: [] for name in layer.fields}, geometry=[], crs=TABLE_CRS)
        if not total:
            raise InputError(f"{url} has no rows: is it the layer of fire perimeters?")
        pages, read, rows = [], 0, layer.page_rows
        while read < total:
            answer, rows = _page_or_smaller(query, read, rows)
            got = len(answer.get("features", []))
            if not got:
                raise SourceUnavailableError(f"{url} gave {read} of {total} rows: it changed meanwhile; try again")
            pages.append(_frame(answer, url))
            read += got
            progress("perimeters", read, total)
    rows_read = _join(pages)
    ids = rows_read.get(layer.object_id_field)
    if read != total or (ids is not None and ids.duplicated().any()):
        raise SourceUnavailableError(f"{url} changed while it was read ({read} rows of {total}): try again")
    return layer, rows_read


def _address(url: str) -> str:
    return url.split("?", maxsplit=1)[0].rstrip("/")


def _join(pages: list[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """All rows. A field without any value in a page came without its type, so it takes that of other pages."""
    names = list(dict.fromkeys(name for page in pages for name in page.columns))
    typed = [page.loc[:, page.notna().any() | (page.columns == page.geometry.name)] for page in pages]
    return pd.concat(typed, ignore_index=True).reindex(columns=names)


def _page_or_smaller(query: _Query, offset: int, rows: int) -> tuple[dict[str, Any], int]:
    """A page; one that the service cannot put together is asked for in smaller pieces."""
    while True:
        try:
            return query.page(offset, rows), rows
        except SourceUnavailableError:
            if rows <= _SMALLEST_PAGE:
                raise
            rows = max(rows // 4, _SMALLEST_PAGE)


def describe_layer(session: requests.Session, url: str, settings: ServiceSettings) -> RestLayer:
    """Ask a service about a layer.

    Raises:
        InputError: no such layer, one without polygons, or one that cannot be read in pages.
        SourceUnavailableError: no answer after all tries.
    """
    url = _address(url)
    about = ask(session, url, {"f": "json"}, settings)
    if "layers" in about and "fields" not in about:
        found = ", ".join(f"{url}/{layer['id']} ({layer['name']})" for layer in about["layers"]) or "none"
        raise InputError(f"{url} is a service, not a layer: set {settings.setting} to one of its layers: {found}")
    if "Polygon" not in str(about.get("geometryType")):
        raise InputError(f"{url} is no layer of polygons ({about.get('geometryType')}): choose another layer")
    capabilities = about.get("advancedQueryCapabilities") or {}
    if capabilities.get("supportsPagination") is False:
        raise InputError(f"{url} cannot be read in pages: choose another {settings.setting}")
    object_id = about.get("objectIdField") or next(
        (field["name"] for field in about["fields"] if field["type"] == "esriFieldTypeOID"), "OBJECTID"
    )
    return RestLayer(
        url=url,
        name=str(about.get("name", url)),
        fields=tuple(field["name"] for field in about["fields"]),
        object_id_field=object_id,
        page_rows=int(about.get("maxRecordCount") or 1000),
        geojson="geojson" in str(about.get("supportedQueryFormats", "")).lower(),
        statistics=False not in (capabilities.get("supportsStatistics"), about.get("supportsStatistics")),
        edited_ms={name: int(time) for name, time in (about.get("editingInfo") or {}).items() if time},
    )


def ask(session: requests.Session, url: str, parameters: dict[str, Any], settings: ServiceSettings) -> dict[str, Any]:
    """Ask a service one question.

    Raises:
        InputError: the service refuses the question.
        SourceUnavailableError: no answer after all tries, or one that is not JSON.
    """

    def attempt() -> dict[str, Any]:
        with transport_errors(url, settings.setting):
            response = session.get(url, params=parameters, timeout=settings.timeout_s)
        check_status(response, url, settings.setting)
        try:
            answer = response.json()
        except ValueError as error:
            kind = response.headers.get("Content-Type", "unknown type")
            raise SourceUnavailableError(f"{url} answered {kind} that is not JSON") from error
        if "error" in answer:
            _raise_error(answer["error"], url, settings.setting)
        return answer

    return with_retries(attempt, settings.retries)


def _raise_error(error: dict[str, Any], url: str, setting: str) -> None:
    code = int(error.get("code") or 0)
    details = "; ".join([str(error.get("message", "")), *map(str, error.get("details") or [])]).strip("; ")
    if code in _TRANSIENT_CODES or code in _TRANSIENT_OTHER:
        raise SourceUnavailableError(f"{url} answered error {code}: {details}")
    hint = "it wants a token" if code in (498, 499) else f"check {setting}"
    raise InputError(f"{url} answered error {code}: {details}; {hint}")


def _frame(answer: dict[str, Any], url: str) -> gpd.GeoDataFrame:
    try:
        frame = pyogrio.read_dataframe(json.dumps(answer).encode(), force_2d=True)
    except pyogrio.errors.DataSourceError as error:
        raise InputError(f"{url} answered rows that cannot be read: {error}") from error
    if not isinstance(frame, gpd.GeoDataFrame) or frame.crs is None:
        raise InputError(f"{url} answered rows without geometry or CRS: choose another layer")
    return frame
