"""Addresses of ArcGIS layers, in the forms that people copy: which layer they mean, and what else they say.

A service, a layer, a layer's query, with `/` or a query string at the end, in any case. A token leaves the address
before anything else sees it; a choice of rows is refused, since labels need the burns of all years; a page about a
layer is no address of it. Nothing here asks a server.
"""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from burnscar_assets.errors import InputError

TOKEN_VARIABLE = "BURNSCAR_ARCGIS_TOKEN"  # noqa: S105 (a name)
"""Environment variable of the token for services that want one."""

_LAYER = re.compile(r"^https?://[^?#]+/(FeatureServer|MapServer)(/\d+)?(/query)?/*([?#]|$)", re.IGNORECASE)
_QUERY = re.compile(r"/query$", re.IGNORECASE)
_NUMBER = re.compile(r"/\d+$")
_PAGE = re.compile(
    r"^https?://[^/?#]+/(?:(?:datasets|maps)/[^?#]*(?:[0-9a-f]{32}|::)"
    r"|(?:[^?#]*/)?(?:home/item\.html|home/webmap/viewer\.html|apps/mapviewer/))",
    re.IGNORECASE,
)
_FILE_ENDING = re.compile(r"\.(zip|geojson|json|gpkg|parquet)$", re.IGNORECASE)
_ALL_ROWS = frozenset({"", "1=1", "true"})
_SAYS_NOTHING = frozenset({"", "false", "none"})
_HARMLESS = re.compile(
    r"f|token|outfields|(in|out|default)sr|cachehint|sqlformat|collation|callback|orderbyfields|units|distance|spatialrel"
    r"|return(geometry|z|m|truecurves|centroid|envelope|exceededlimitfeatures|geodetic)|result(offset|recordcount|type)"
    r"|geometry(type|precision)|featureencoding|multipatchoption|applyvcsprojection|datumtransformation"
    r"|maxallowableoffset|quantizationparameters"
)
"""What a query may say, in small letters, without meaning other rows: its format, order, pages and precision."""


def is_rest_layer(source: str) -> bool:
    """Whether a source is the address of an ArcGIS REST service or layer."""
    return bool(_LAYER.match(source.strip()))


def layer_url(source: str, setting: str) -> str:
    """The address of the layer or the service that a source means, without a query.

    Args:
        source: An address that `is_rest_layer`.
        setting: How errors name it.

    Raises:
        InputError: the address chooses some of the layer's rows.
    """
    parts = urlsplit(source.strip())
    url = _QUERY.sub("", f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")
    chosen = [f"{name}={value}" for name, value in parse_qsl(parts.query) if _chooses(name.lower(), value)]
    if chosen:
        raise InputError(
            f"{setting} asks for some rows of {url} only ({'&'.join(chosen)}), and all are needed: give {url}"
        )
    return url


def service_url(url: str) -> str:
    """The address of the service that a layer belongs to."""
    return _NUMBER.sub("", url)


def without_token(source: str) -> tuple[str, str | None]:
    """An address without its `token`, and the token; other sources as they are."""
    if not is_rest_layer(source):
        return source, None
    parts = urlsplit(source.strip())
    said = parse_qsl(parts.query, keep_blank_values=True)
    tokens = [value for name, value in said if name.lower() == "token" and value]
    rest = urlencode([(name, value) for name, value in said if name.lower() != "token"])
    return (urlunsplit(parts._replace(query=rest)), tokens[0]) if tokens else (source, None)


def refuse_page(source: str, setting: str) -> None:
    """Refuse the address of a page about a layer, which is often given for the layer's own.

    Raises:
        InputError: it is one; the message says where the layer's address stands.
    """
    if _PAGE.match(source) and not _FILE_ENDING.search(urlsplit(source).path):
        raise InputError(
            f"{setting} {source} is a page about a layer of ArcGIS, not the layer: on it, open View API Resources (of "
            "an item: View at the right, under URL) and give the address that ends in /FeatureServer/0"
        )


def _chooses(name: str, value: str) -> bool:
    if name == "where":
        return re.sub(r"[\s()]", "", value).lower() not in _ALL_ROWS
    return not _HARMLESS.fullmatch(name) and value.strip().lower() not in _SAYS_NOTHING
