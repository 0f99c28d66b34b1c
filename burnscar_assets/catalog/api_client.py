"""Searches in a STAC API, page after page, as catalogues link them, by a session that waits and asks again.

Loaded only by functions that need rslearn.
"""

import json
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple, final
from urllib.parse import urljoin, urlsplit

import requests
import shapely
from rslearn.utils.stac import StacClient  # noqa: TID253

from burnscar_assets.catalog.hrefs import SETTING
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.network.addresses import check_address, host_of, mask_address
from burnscar_assets.network.retries import Retries, RetryLaterError, asked_wait_s, is_refusal
from burnscar_assets.network.session import Limits, Session

LIMITS: Final = Limits(timeout_s=60, deadline_s=300, max_answer_mb=200, hint="narrow the search")
"""Of one page of a search."""


class PatientSession(Session):
    """A session whose requests are tried again; a wait that the server asks for is kept."""

    def __init__(
        self,
        retries: int,
        backoff_s: float,
        sleep: Callable[[float], object] | None = None,
        *,
        named_hosts: Collection[str] = (),
        redirect_hosts: Collection[str] = (),
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(limits, named_hosts, redirect_hosts, setting="imagery.allowed_hosts")
        self._retries = Retries(retries, backoff_s)
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait

    def stop(self) -> None:
        """Have requests that wait for another try fail at once, in whatever thread they are."""
        self._stopped.set()

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Ask, as `requests.Session.request` does.

        Raises:
            SourceUnavailableError: no try got an answer.
            InputError: the service refuses the request, as it would again.
        """
        try:
            return self._retries.call(lambda: self._once(method, url, *args, **kwargs), self._wait)
        except SourceUnavailableError as error:
            raise SourceUnavailableError(
                f"searching {_service(url)} for scenes failed: {error}; what was matched is kept"
            ) from error

    def _once(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.RequestException as error:
            raise SourceUnavailableError(str(error)) from error
        if response.ok and _is_json(response):
            return response
        problem = _problem(response)
        if is_refusal(response.status_code):
            raise InputError(
                f"{_service(url)} refuses a search ({problem}): check the data source's query, sort_by and "
                "credentials in config.json"
            )
        raise RetryLaterError(problem, asked_wait_s(response))

    def _wait(self, seconds: float) -> bool:
        """Wait; whether nobody wants the answer any more."""
        if not self._stopped.is_set():
            self._sleep(seconds)
        return self._stopped.is_set()


def _service(url: str | bytes) -> str:
    """Host and port of an address."""
    return urlsplit(str(url)).netloc.rpartition("@")[2]


def _is_json(response: requests.Response) -> bool:
    """Whether an answer is what a catalogue answers; a proxy in between may answer with a page."""
    return "json" in response.headers.get("Content-Type", "json")


def _problem(response: requests.Response) -> str:
    if response.ok:
        return f"an answer of type {response.headers.get('Content-Type')}"
    return f"HTTP {response.status_code} {response.reason}: {response.text[:200].strip()}"


MOST_PAGES: Final = 1000
MOST_ITEMS: Final = 100_000
"""A search that lists more is not followed further."""

CUT_LIST: Final = 1000
"""Planetary Computer lists no more at once; a list that long is asked for anew by id, as rslearn does."""

BY_ID: Final = [{"field": "id", "direction": "asc"}]

StacDict = dict[str, Any]


class _Request(NamedTuple):
    method: str
    url: str
    body: StacDict
    headers: dict[str, str]


@final
class ApiClient:
    """Lists what a STAC API has, unchecked.

    Args:
        client: rslearn's client of the API.
        session: makes the requests; it tries again itself.
        by_id: whether a list of `CUT_LIST` items may be cut without a link to the rest.
        next_hosts: hosts, or patterns of hosts, that further pages may be of, beside the API's own.
    """

    def __init__(
        self, client: StacClient, session: requests.Session, *, by_id: bool = False, next_hosts: Collection[str] = ()
    ) -> None:
        self.endpoint = client.endpoint
        self._session = session
        self._by_id = by_id
        self._hosts = (host_of(client.endpoint), *next_hosts)

    def search(
        self,
        collections: list[str],
        shape: shapely.Geometry,
        times: tuple[datetime, datetime] | None,
        query: StacDict | None,
        limit: int,
    ) -> list[Any]:
        """Items that a search lists, each once, in the catalogue's order.

        Raises:
            SourceUnavailableError: a page could not be had after all tries, or is no answer of a STAC API.
            InputError: the search is refused, its pages go round in circles or elsewhere, or it lists too much.
        """
        body: StacDict = {"collections": collections, "intersects": json.loads(shapely.to_geojson(shape))}
        if times is not None:
            body["datetime"] = "/".join(time.isoformat().replace("+00:00", "Z") for time in times)
        body |= {"limit": CUT_LIST if self._by_id else limit} | ({} if query is None else {"query": query})
        found = self._listed(body)
        if self._by_id and len(found) >= CUT_LIST:
            found = self._listed_by_id(body)
        return found

    def _listed_by_id(self, body: StacDict) -> list[Any]:
        found: dict[str, Any] = {}
        last: str | None = None
        while True:
            after = {} if last is None else {"id": {"gt": last}}
            query = (body.get("query") or {}) | after
            page = self._listed(body | {"sortby": BY_ID} | ({"query": query} if query else {}))
            fresh = {item["id"]: item for item in page if isinstance(item, dict) and item.get("id") not in found}
            found |= fresh
            if len(page) < CUT_LIST or not fresh:
                return [*found.values()]
            last = max(fresh)
            self._check_size(len(found))

    def _listed(self, body: StacDict) -> list[Any]:
        """All pages of one search."""
        found: list[Any] = []
        known: set[str] = set()
        for features in self._pages(_Request("POST", f"{self.endpoint}/search", body, {})):
            for item in features:
                name = str(item.get("id")) if isinstance(item, dict) else ""
                if not name or name not in known:
                    found.append(item)
                known.add(name)
            self._check_size(len(found))
        return found

    def _check_size(self, count: int) -> None:
        if count > MOST_ITEMS:
            raise InputError(
                f"a search of {self._shown} lists more than {MOST_ITEMS} items: narrow it with the data source's query "
                "in config.json"
            )

    def _pages(self, request: _Request) -> Iterator[list[Any]]:
        asked: set[str] = set()
        features: list[Any] = []
        following: _Request | None = request
        while following is not None:
            mark = json.dumps(following, sort_keys=True, default=str)
            if mark in asked:
                if features:
                    raise InputError(
                        f"the pages of {self._shown} go round in a circle: its next link leads to a page that was read "
                        "before, so the rest can't be had; tell its operator, or take another catalogue"
                    )
                return
            if len(asked) >= MOST_PAGES:
                raise InputError(f"{self._shown} lists more than {MOST_PAGES} pages for one search: narrow the search")
            asked.add(mark)
            content = self._ask(following)
            features = content["features"]
            yield features
            following = self._next(content, following)

    def _ask(self, request: _Request) -> StacDict:
        arguments: dict[str, Any] = {"headers": request.headers or None}
        if request.method == "POST":
            arguments["json"] = request.body
        response = self._session.request(request.method, request.url, **arguments)
        try:
            response.raise_for_status()
            content = response.json()
        except (requests.RequestException, RecursionError) as error:
            raise SourceUnavailableError(f"searching {self._shown} failed ({error}): {_LATER}") from error
        if not isinstance(content, dict) or not isinstance(content.get("features"), list):
            raise SourceUnavailableError(f"{self._shown} answers a search with no list of features: {_LATER}")
        return content

    def _next(self, content: StacDict, request: _Request) -> _Request | None:
        """What the next page is asked for with; None where there is none."""
        links = content.get("links") or []
        link = next((link for link in links if isinstance(link, dict) and link.get("rel") == "next"), None)
        if link is None or not isinstance(link.get("href"), str):
            return None
        url = urljoin(request.url, link["href"])
        check_address(url, self._hosts, setting=SETTING)
        given = link.get("body")
        method = str(link.get("method") or ("POST" if given else request.method)).upper()
        if method not in ("GET", "POST"):
            raise InputError(f"the next page of {self._shown} wants {method}: only GET and POST are known")
        body: StacDict = {}
        if method == "POST":
            body = (request.body if link.get("merge") or not isinstance(given, dict) else {}) | (given or {})
        headers = link.get("headers") if isinstance(link.get("headers"), dict) else {}
        return _Request(method, url, body, {str(k): str(v) for k, v in (headers or {}).items()})

    @property
    def _shown(self) -> str:
        return mask_address(self.endpoint)


_LATER: Final = "run the same again later; what was matched is kept"
