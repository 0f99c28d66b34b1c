"""Proxies and certificates that one library is given hold for all."""

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from burnscar_assets.network.environment import BUNDLES, certificates, transport_variables


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "all_proxy"])
def test_proxies_in_either_case(name: str) -> None:
    shared = {name: "http://proxy:3128"} | transport_variables({name: "http://proxy:3128"})
    assert shared == {name.lower(): "http://proxy:3128", name.upper(): "http://proxy:3128"}


def test_what_is_set_is_not_contradicted() -> None:
    both = {"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2"}
    assert transport_variables(both) == {}
    assert transport_variables({"HTTP_PROXY": "http://a:1", "http_proxy": ""}) == {}
    assert transport_variables({}) == {}


@pytest.mark.parametrize("name", BUNDLES)
def test_certificates_of_one_library_are_those_of_all(name: str) -> None:
    environment = {name: "/company.pem", "PROJ_CURL_CA_BUNDLE": DEFAULT_CA_BUNDLE_PATH}
    shared = environment | transport_variables(environment)
    assert {shared[other] for other in (*BUNDLES, "PROJ_CURL_CA_BUNDLE", "AWS_CA_BUNDLE")} == {"/company.pem"}


def test_those_of_a_wheel_were_not_chosen() -> None:
    assert certificates({"GDAL_CURL_CA_BUNDLE": DEFAULT_CA_BUNDLE_PATH}) is None
    assert transport_variables({"GDAL_CURL_CA_BUNDLE": DEFAULT_CA_BUNDLE_PATH}) == {}
