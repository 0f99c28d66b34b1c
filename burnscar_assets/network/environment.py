"""Proxies and certificates, from the environment, the same for every library that reaches a network.

Each library has names of its own: `requests` reads `HTTP_PROXY` and `REQUESTS_CA_BUNDLE`, curl within GDAL only
`http_proxy` in small letters, `CURL_CA_BUNDLE` and, above all, `GDAL_CURL_CA_BUNDLE`, which the wheels of rasterio and
pyogrio set to their own certificates; the hub's client and Python itself read `SSL_CERT_FILE`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from requests.utils import DEFAULT_CA_BUNDLE_PATH

PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "GDAL_CURL_CA_BUNDLE")
"""Names of the file of certificates; the first that is set counts for all that aren't."""

_FOLLOWERS: Final = (*BUNDLES, "PROJ_CURL_CA_BUNDLE", "AWS_CA_BUNDLE")
_FOLDERS: Final = ("SSL_CERT_DIR", "GDAL_HTTP_CAPATH")


def transport_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are missing, so that all libraries take the proxies and certificates that one of them is given.

    Args:
        environment: What is set; it is never contradicted, but for certificates that a wheel put there.
    """
    found = _proxies(environment)
    wanted = found | {name.upper(): value for name, value in found.items()}
    missing = {name: value for name, value in wanted.items() if name not in environment}
    bundles = _bundles(environment)
    return missing | {n: v for n, v in bundles.items() if not environment.get(n) or _of_a_wheel(environment, n)}


def share_transport() -> None:
    """Set the missing variables in this process; those that it starts inherit them."""
    os.environ.update(transport_variables(os.environ))


def gdal_transport() -> dict[str, str]:
    """The options of GDAL that say the same; it takes them before its environment."""
    proxies, bundles = _proxies(os.environ), _bundles(os.environ)
    named = {
        "GDAL_HTTP_PROXY": proxies.get("http_proxy") or proxies.get("all_proxy"),
        "GDAL_HTTPS_PROXY": proxies.get("https_proxy") or proxies.get("all_proxy"),
        **{name: bundles.get(name) for name in ("GDAL_CURL_CA_BUNDLE", "GDAL_HTTP_CAPATH")},
    }
    return {name: value for name, value in named.items() if value}


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Proxies by their names in small letters, which win over capitals, also where they say that there is none."""
    found = {name: environment.get(name, environment.get(name.upper())) for name in PROXIES}
    return {name: value for name, value in found.items() if value is not None}


def certificates(environment: Mapping[str, str] = os.environ) -> str | None:
    """File or folder of the certificates that a person chose; None: those of the libraries."""
    chosen = (environment[name] for name in BUNDLES if environment.get(name) and not _of_a_wheel(environment, name))
    return next(chosen, None)


def _bundles(environment: Mapping[str, str]) -> dict[str, str]:
    bundle = certificates(environment)
    if bundle is None:
        return {}
    return dict.fromkeys(_FOLDERS if Path(bundle).is_dir() else _FOLLOWERS, bundle)


def _of_a_wheel(environment: Mapping[str, str], name: str) -> bool:
    """Whether a variable names the certificates that rasterio and pyogrio bring, which nobody chose."""
    return name.endswith("_CURL_CA_BUNDLE") and environment.get(name) == DEFAULT_CA_BUNDLE_PATH
