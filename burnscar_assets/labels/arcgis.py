"""Reading a layer of an ArcGIS REST service, page by page.

The service speaks HTTP 200 also when it fails, with an `error` object in place of the answer; that is told apart here.
Rows come ordered by object id, each once and as many as the service counted, or not at all; whether an answer says
that there are more is read here and nowhere else. What an answer must hold is `layer_rows`' business.
Protocol: https://developers.arcgis.com/rest/services-reference/enterprise/query-feature-service-layer/
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

import geopandas as gpd
import requests

from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.labels.http import check_status, open_session, transport_errors, with_retries
from burnscar_assets.labels.layer_address import is_rest_layer, layer_url, refuse_page, service_url
from burnscar_assets.labels.layer_rows import Page, as_table, read_page
from burnscar_assets.labels.layer_token import WANTS_TOKEN, environment_token, token_hidden, token_hint, token_of
from burnscar_assets.network.addresses import with_secrets
from burnscar_assets.network.session import Session, Whole
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import ServiceSettings, SourceSettings
from burnscar_assets.storage.tables import table_crs
from burnscar_assets.text import clean

EVERY_ROW = "1=1"
"""SQL that all rows answer to."""

MAX_ROWS: Final = 1_000_000
"""A layer that counts more is no layer of fire perimeters."""

_MAX_PAGES = 20_000
_MAX_PAGE_ROWS = 10_000
_SMALLEST_PAGE = 50
_YEAR_2100_MS = 4_102_444_800_000
_TRANSIENT_CODES = range(500, 600)
_TRANSIENT_OTHER = frozenset({408, 429})


@dataclass(frozen=True)
class RestLayer:
    """What a service says of one of its layers.

    Attributes:
        url: Its address, without a query.
        name: Its name.
        types: Esri's types of its fields, by their names.
        object_id_field: The field that orders its rows.
        page_rows: Most rows of one answer.
        geojson: Whether it speaks GeoJSON.
        statistics: Whether it may count and sum on the server.
        edited_ms: When its data or its schema was edited last, epoch milliseconds; empty if it doesn't say.
    """

    url: str
    name: str
    types: dict[str, str]
    object_id_field: str
    page_rows: int
    geojson: bool
    statistics: bool
    edited_ms: dict[str, int]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of its fields."""
        return tuple(self.types)


Choice = Callable[[RestLayer], str]
"""Which rows of a layer are wanted, as SQL of the service."""


@dataclass(frozen=True)
class _Query:
    layer: RestLayer
    session: requests.Session
    settings: ServiceSettings
    where: str

    def page(self, offset: int, rows: int) -> Page:
        answer = ask(
            self.session,
            f"{self.layer.url}/query",
            {
                "where": self.where,
                "f": "geojson" if self.layer.geojson else "json",
                "outFields": "*",
                "outSR": 4326 if self.layer.geojson else table_crs().rpartition(":")[2],
                "orderByFields": f"{self.layer.object_id_field} ASC",
                "resultOffset": offset,
                "resultRecordCount": rows,
                "returnGeometry": "true",
            },
            self.settings,
        )
        page = read_page(answer, self.layer.object_id_field, self.layer.url)
        if page.more and not page.ids:
            raise SourceUnavailableError(f"{self.layer.url} gave no row after {offset}, and says that there are more")
        return page


def prescribed_layer_url(settings: SourceSettings, fire_url: str) -> str | None:
    """Of a REST source, `prescribed_layer` is an address, or the number of a layer of the same service.

    Raises:
        InputError: it is neither.
    """
    chosen = settings.prescribed_layer
    if chosen is None or is_rest_layer(chosen):
        return chosen
    if chosen.isdigit():
        return f"{service_url(layer_url(fire_url, settings.setting))}/{chosen}"
    raise InputError(
        f"release.prescribed_layer is {chosen!r}: for a REST source give the number of a layer of the same service, "
        "or the address of a layer"
    )


def read_rest_layer(
    url: str, settings: ServiceSettings, progress: Progress = silent, *, where: Choice | None = None
) -> tuple[RestLayer, gpd.GeoDataFrame]:
    """Read rows of a layer with their fields as the service gives them.

    Args:
        url: Address of the layer, `…/FeatureServer/0`.
        settings: Headers, timeout and retries.
        progress: Told the rows read.
        where: Which rows; a choice may be empty, a layer may not.

    Returns:
        The layer's description, and its rows with a CRS (EPSG:4326, or the region's where the service has no GeoJSON).

    Raises:
        InputError: no such layer, one that cannot be queried, rows of something else, or more bytes or time for all
            of them than four times those of one answer.
        SourceUnavailableError: no answer after all tries, rows that changed while they were read, or fewer or more
            of them than the service counts.
    """
    with open_layer(url, settings) as session:
        session.whole = Whole(settings.deadline_s, settings.max_answer_mb, settings.setting.partition(".")[0])
        layer = describe_layer(session, url, settings)
        chosen = EVERY_ROW if where is None else where(layer)
        total = count_rows(session, layer, settings, chosen)
        if not total and chosen != EVERY_ROW:
            return layer, gpd.GeoDataFrame({name: [] for name in layer.fields}, geometry=[], crs=table_crs())
        if not total:
            raise InputError(f"{url} has no rows: is it the layer of fire perimeters?")
        pages = _read_pages(_Query(layer, session, settings, chosen), total, progress)
    return layer, as_table(pages, layer.types, layer.url)


def _read_pages(query: _Query, total: int, progress: Progress) -> list[Page]:
    """Pages until the rows that were counted are there and the last page says nothing of more."""
    url, rows, read, more = query.layer.url, query.layer.page_rows, 0, False
    pages: list[Page] = []
    ids: set[int | str] = set()
    while read < total or more:
        if len(pages) == _MAX_PAGES:
            raise InputError(f"{url} gives its rows in more than {_MAX_PAGES} pages: choose another layer")
        page, rows = _page_or_smaller(query, read, rows)
        got = len(page.ids)
        if not got and read < total:
            raise SourceUnavailableError(f"{url} gave {read} of {total} rows: it changed meanwhile; try again")
        ids |= set(page.ids)
        if len(ids) < read + got:
            raise SourceUnavailableError(
                f"{url} gave rows twice: it changed while it was read, or does not heed resultOffset; try again, and "
                f"if it stays so choose another {query.settings.setting}"
            )
        read, more = read + got, page.more
        if read > total:
            raise SourceUnavailableError(f"{url} changed while it was read ({read} rows of {total}): try again")
        pages.append(page)
        progress("perimeters", read, total)
    return pages


def _page_or_smaller(query: _Query, offset: int, rows: int) -> tuple[Page, int]:
    """A page; one that the service cannot put together is asked for in smaller pieces."""
    while True:
        try:
            return query.page(offset, rows), rows
        except SourceUnavailableError:
            if rows <= _SMALLEST_PAGE:
                raise
            rows = max(rows // 4, _SMALLEST_PAGE)


@contextmanager
def open_layer(url: str, settings: ServiceSettings) -> Iterator[Session]:
    """A session for the questions to one layer, with the token that the settings' address of its host had."""
    with open_session(settings, url) as session:
        if token := settings.token_for(url):
            session.params = {"token": unquote(with_secrets(quote(token, safe="${}")))}
        yield session


def count_rows(session: requests.Session, layer: RestLayer, settings: ServiceSettings, where: str = EVERY_ROW) -> int:
    """How many rows a layer has, or how many of them are chosen.

    Raises:
        InputError: more than any layer of perimeters has.
        SourceUnavailableError: no answer after all tries, or one without a number.
    """
    query = {"where": where, "f": "json", "returnCountOnly": "true"}
    count = ask(session, f"{layer.url}/query", query, settings).get("count")
    if not isinstance(count, int) or count < 0:
        raise SourceUnavailableError(f"{layer.url} does not say how many rows it has ({str(count)[:40]}): try again")
    if count > MAX_ROWS:
        raise InputError(
            f"{layer.url} says it has {count} rows, at most {MAX_ROWS} are read: is it the layer of fire perimeters? "
            f"Check {settings.setting}"
        )
    return count


def describe_layer(session: requests.Session, url: str, settings: ServiceSettings) -> RestLayer:
    """Ask a service about a layer; of a service with one layer of polygons, about that.

    Raises:
        InputError: no such layer, one without polygons, or one that cannot be read in pages.
        SourceUnavailableError: no answer after all tries.
    """
    if not is_rest_layer(url):
        refuse_page(url, settings.setting)
        raise InputError(f"{settings.setting} {url} is no address of an ArcGIS layer (…/FeatureServer/0)")
    url = layer_url(url, settings.setting)
    about = ask(session, url, {"f": "json"}, settings)
    if "layers" in about and "fields" not in about:
        url = _only_layer(url, about["layers"], settings.setting)
        about = ask(session, url, {"f": "json"}, settings)
    try:
        return _layer(url, about, settings.setting)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{url} does not describe itself as a layer of ArcGIS does ({error!r})") from error


def _only_layer(url: str, layers: Any, setting: str) -> str:
    """The address of the one layer of polygons of a service."""
    found = [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
    polygons = [layer for layer in found if "Polygon" in str(layer.get("geometryType"))]
    if len(polygons) == 1 and isinstance(polygons[0].get("id"), int):
        return f"{url}/{polygons[0]['id']}"
    names = ", ".join(f"{url}/{layer.get('id')} ({layer.get('name')})" for layer in polygons or found) or "none"
    raise InputError(f"{url} is a service, not a layer: set {setting} to one of its layers: {clean(names)[:2000]}")


def _layer(url: str, about: dict[str, Any], setting: str) -> RestLayer:
    if "Polygon" not in str(about.get("geometryType")):
        raise InputError(f"{url} is no layer of polygons ({about.get('geometryType')}): choose another layer")
    capabilities = about.get("advancedQueryCapabilities") or {}
    if capabilities.get("supportsPagination") is False:
        raise InputError(f"{url} cannot be read in pages: choose another {setting}")
    types = {clean(str(field["name"])): str(field.get("type")) for field in about["fields"]}
    by_type = (name for name, kind in types.items() if kind == "esriFieldTypeOID")
    return RestLayer(
        url=url,
        name=clean(str(about.get("name") or "without a name"))[:200],
        types=types,
        object_id_field=str(about.get("objectIdField") or next(by_type, "OBJECTID")),
        page_rows=min(max(int(about.get("maxRecordCount") or 1000), 1), _MAX_PAGE_ROWS),
        geojson="geojson" in str(about.get("supportedQueryFormats", "")).lower(),
        statistics=False not in (capabilities.get("supportsStatistics"), about.get("supportsStatistics")),
        edited_ms={name: int(ms) for name, ms in (about.get("editingInfo") or {}).items() if _is_time(ms)},
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value < _YEAR_2100_MS


def ask(session: requests.Session, url: str, parameters: dict[str, Any], settings: ServiceSettings) -> dict[str, Any]:
    """Ask a service one question.

    The server of `release.source`, if it wants a token or another one, gets that of the environment. No message
    holds it.

    Raises:
        InputError: the service refuses the question.
        SourceUnavailableError: no answer after all tries, or one that is not JSON.
    """

    def attempt() -> dict[str, Any]:
        answer = _answer(session, url, parameters, settings)
        error = answer.get("error")
        if error is None:
            return answer
        token = environment_token(url, settings)
        if token and _code(error) in WANTS_TOKEN and token_of(session) != token:
            session.params = {"token": token}
            return attempt()
        raise _refusal(error, url, settings)

    with token_hidden(session):
        return with_retries(attempt, settings.retries)


def _answer(
    session: requests.Session, url: str, parameters: dict[str, Any], settings: ServiceSettings
) -> dict[str, Any]:
    with transport_errors(url, settings.setting):
        response = session.get(with_secrets(url), params=parameters, timeout=settings.timeout_s)
    check_status(response, url, settings.setting)
    try:
        answer = response.json()
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("Content-Type", "unknown type")
        raise SourceUnavailableError(f"{url} answered {kind} that is not JSON") from error
    if not isinstance(answer, dict):
        raise SourceUnavailableError(f"{url} answered JSON that is no answer of ArcGIS ({type(answer).__name__})")
    return answer


def _code(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else 0


def _refusal(error: Any, url: str, settings: ServiceSettings) -> BurnscarError:
    said = error if isinstance(error, dict) else {"message": error}
    details = said.get("details")
    parts = [str(said.get("message", "")), *map(str, details if isinstance(details, list) else [])]
    text = f"{url} answered error {_code(error)}: " + clean("; ".join(part for part in parts if part))[:500]
    if _code(error) in _TRANSIENT_CODES or _code(error) in _TRANSIENT_OTHER:
        return SourceUnavailableError(text)
    hint = token_hint(url, settings) if _code(error) in WANTS_TOKEN else f"check {settings.setting}"
    return InputError(f"{text}; {hint}")
