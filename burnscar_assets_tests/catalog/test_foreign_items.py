"""Catalogues as they are: odd pages, foreign items, clouds that nobody tells, impossible footprints."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from rslearn.config import QueryConfig
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2 as Element84

from burnscar_assets.catalog import api_client
from burnscar_assets.catalog.bulk_items import SearchOptions, get_items_in_bulk
from burnscar_assets.catalog.items import baseline_of, percent
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, serve, write_scene
from burnscar_assets_tests.catalog.stac_server import serve_stac
from burnscar_assets_tests.catalog.test_bulk_items import granules, stac_source, told, windows_of_fires
from burnscar_assets_tests.catalog.test_selection import ground, scene
from burnscar_assets_tests.catalog.test_sources_stac import Web, element84_keys

AT_ONCE = SearchOptions(retries=0, retry_backoff_s=0)
SPOT = [(5, 60)]
CLOUD = "eo:cloud_cover"
WORLD = {"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]}
UNTOLD = [None, math.nan, "n/a", "12", "", -1, -0.001, 100.5, 999, True, [], {"value": 3}]


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Element 84's catalogue, empty."""
    folder = tmp_path / "web"
    folder.mkdir()
    with serve(folder) as (url, requests), serve_stac([]) as service:
        monkeypatch.setattr(Element84, "STAC_ENDPOINT", service.url)
        yield Web(folder, url, requests, service)


def matched(root: DataRoot, **settings: Any) -> tuple[list[list[str]], list[str], dict[str, int]]:
    imagery = make_dataset(root, "unused", dataset_config="dataset-element84.json", retries=0, **settings)
    table, summary = match_scenes(make_windows(root, SPOT), root.dataset, imagery)
    return table["item_ids"].tolist(), table["reason"].tolist(), summary.set_aside


@given(st.one_of(st.none(), st.booleans(), st.text(), st.floats(), st.integers(), st.lists(st.integers())))
def test_a_share_is_a_number_from_0_to_100_or_nothing(value: Any) -> None:
    found = percent(value)
    assert (found is not None) == (not isinstance(value, bool | str | list | None) and 0 <= value <= 100)


@pytest.mark.parametrize("value", ["missing", *UNTOLD])
def test_clouds_that_an_api_does_not_tell_are_too_cloudy(root: DataRoot, web: Web, value: Any) -> None:
    item = web.add(SmallScene("s", cloud=None), element84_keys())
    item["properties"] |= {} if value == "missing" else {CLOUD: value}
    assert matched(root)[:2] == ([[]], ["too_cloudy"])


@pytest.mark.parametrize("value", [None, math.nan, -1, 101, "n/a"])
def test_an_api_that_filters_nothing_gets_no_untold_scene_in_front(root: DataRoot, web: Web, value: Any) -> None:
    answer = web.service.answer
    web.service.answer = lambda body: answer(body | {"query": {}})  # type: ignore[method-assign]
    for name, cloud in (("untold", value), ("cloudy", 90), ("good", 30)):
        web.add(SmallScene(name, cloud=1), element84_keys())["properties"][CLOUD] = cloud
    assert matched(root)[0] == [["good"]]
    assert matched(root, exclude=("good",))[:2] == ([[]], ["too_cloudy"])
    assert matched(root, exclude=("good", "cloudy"), max_cloud_cover=100)[0] == [["untold"]]


def test_an_archive_without_clouds_is_too_cloudy_by_granule_and_looked_at_by_window(
    root: DataRoot, tmp_path: Path
) -> None:
    items = [scene(tmp_path, "untold", 3, ground(0)), scene(tmp_path, "told", 20, ground(0.9), cloud=5)]
    del items[0]["properties"][CLOUD]
    write_index(items, tmp_path / "index.parquet")
    windows = None
    for selection, chosen in (("granule", "told"), ("window", "untold")):
        imagery = make_dataset(root, tmp_path / "index.parquet", selection=selection)
        windows = make_windows(root, SPOT)
        table, _ = match_scenes(windows, root.dataset, imagery)
        assert table["item_ids"].tolist() == [[chosen]]
    write_index(items[:1], tmp_path / "index.parquet")
    table, _ = match_scenes(windows, root.dataset, make_dataset(root, tmp_path / "index.parquet"))
    assert table["reason"].tolist() == ["too_cloudy"]


@given_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["body", "merge", "get", "relative", "relative get", "no body", "headers", "always", "gaps"]),
    st.sampled_from([1, 3, 7]),
)
def test_pages_are_followed_as_they_are_linked(paging: str, most: int) -> None:
    windows = windows_of_fires(1, 2)
    with serve_stac(granules(range(0, 120, 20))) as service:
        expected = told(get_items_in_bulk(stac_source(service), windows, QueryConfig(max_matches=5), AT_ONCE))
        service.most, service.paging = most, paging
        found = told(get_items_in_bulk(stac_source(service), windows, QueryConfig(max_matches=5), AT_ONCE))
    assert found == expected
    assert any(groups for groups in found)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ({"href": "/search", "method": "POST", "merge": True}, "go round in a circle"),
        ({"href": "/search", "method": "DELETE"}, "wants DELETE"),
        ({"href": "http://169.254.169.254/latest/meta-data"}, "169.254.169.254"),
        ({"href": "file:///etc/passwd", "method": "GET"}, "is no address of http, https"),
        ({"href": "http://user:pass@127.0.0.1/search"}, "carries a user or password"),
    ],
)
def test_a_next_link_that_leads_astray_is_an_error(link: dict[str, Any], message: str) -> None:
    with serve_stac(granules(range(0, 120, 20)), most=1, link=link) as service:
        with pytest.raises(InputError, match=message) as caught:
            get_items_in_bulk(stac_source(service), windows_of_fires(1, 2), QueryConfig(), AT_ONCE)
        assert len(service.bodies) <= 2
        assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("hosts", [(), ("*.example.org",), ("localhost",)], ids=["none", "another", "it"])
@pytest.mark.parametrize("way", ["redirect", "next link"])
def test_other_hosts_of_a_search_are_those_that_the_settings_allow(way: str, hosts: tuple[str, ...]) -> None:
    with serve_stac(granules(range(0, 120, 20))) as other, serve_stac(granules([0]), most=1) as service:
        there = f"{other.url.replace('127.0.0.1', 'localhost')}/search"
        if way == "redirect":
            service.failing = [(307, {"Location": there})] * 2
        else:
            service.link = {"href": there, "method": "POST", "merge": True}
        options = SearchOptions(retries=0, retry_backoff_s=0, allowed_hosts=hosts)
        if "localhost" in hosts:
            get_items_in_bulk(stac_source(service), windows_of_fires(1, 2), QueryConfig(), options)
            assert other.bodies
        else:
            with pytest.raises(InputError, match=r"localhost, which imagery\.allowed_hosts does not name"):
                get_items_in_bulk(stac_source(service), windows_of_fires(1, 2), QueryConfig(), options)
            assert not other.bodies


def test_searches_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_stac(granules(range(0, 120, 5)), most=1) as service:
        for limit in ("MOST_PAGES", "MOST_ITEMS"):
            with monkeypatch.context() as patched:
                patched.setattr(api_client, limit, 3)
                with pytest.raises(InputError, match=r"more than 3 .*narrow"):
                    get_items_in_bulk(stac_source(service), windows_of_fires(1, 2), QueryConfig(), AT_ONCE)


FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "malformed": ("malformed", {"geometry": None}),
    "without assets": ("malformed", {"assets": None}),
    "no time": ("malformed", {"properties": {"datetime": None}}),
    "bad time": ("malformed", {"properties": {"datetime": "yesterday"}}),
    "odd geometry": ("malformed", {"geometry": {"type": "Polygon", "coordinates": "x"}}),
    "other collection": ("other_collection", {"collection": "sentinel-2-l1c"}),
    "S2A_MSIL1C_20220810T185921_N0400_R013_T10SFH_20220810T223040": ("other_level", {}),
    "level": ("other_level", {"properties": {"processing:level": "L1C"}}),
    "product type": ("other_level", {"properties": {"s2:product_type": "S2MSI1C"}}),
    "product type of Copernicus": ("other_level", {"properties": {"product:type": "S2MSI1C"}}),
    "other time": ("other_time", {"properties": {"datetime": "2019-08-10T18:50:00Z"}}),
    "world": ("impossible_footprint", {"geometry": WORLD}),
    "off its tile": ("impossible_footprint", {"properties": {"s2:mgrs_tile": "11SKA"}}),
    "off its grid": (
        "impossible_footprint",
        {"properties": {"proj:code": None, "proj:epsg": 32611, "proj:bbox": [3e5, 4e6, 4e5, 4.1e6]}},
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_items_are_set_aside_and_counted(root: DataRoot, web: Web, name: str) -> None:
    reason, change = FOREIGN[name]
    web.add(SmallScene("good", cloud=30), element84_keys())
    foreign = web.add(SmallScene("foreign", cloud=0), element84_keys())
    answer = web.service.answer
    odd = foreign | {"id": name} | change
    odd["properties"] = foreign["properties"] | change.get("properties", {})
    web.service.items = [item for item in web.service.items if item["id"] != "foreign"]

    def with_foreign(body: dict[str, Any]) -> dict[str, Any]:
        page = answer(body)
        return page | {"features": [odd, *page["features"]]}

    web.service.answer = with_foreign  # type: ignore[method-assign]
    assert matched(root) == ([["good"]], [""], {reason: 1})


def test_an_item_around_the_earth_is_cut_to_its_grid(root: DataRoot, tmp_path: Path) -> None:
    world = write_scene(tmp_path, SmallScene("world", cloud=0)) | {"geometry": WORLD}
    world["properties"] |= {"proj:code": "EPSG:32610", "proj:bbox": [600_000, 4_190_220, 709_800, 4_300_020]}
    good = write_scene(tmp_path, SmallScene("good", cloud=20))
    write_index([world, good], tmp_path / "index.parquet")
    imagery = make_dataset(root, tmp_path / "index.parquet")
    windows = make_windows(root, [(5, 5), (-20_000, 5)])
    table, summary = match_scenes(windows, root.dataset, imagery)
    assert table["item_ids"].tolist() == [["world"], []]
    assert summary.footprints_cut == 1


@pytest.mark.parametrize("wrong", [KeyError("x"), TypeError("x"), ValueError("x"), AttributeError("x")])
def test_what_will_not_pass_is_not_told_as_passing(
    web: Web, monkeypatch: pytest.MonkeyPatch, root: DataRoot, wrong: Exception
) -> None:
    def fail(*_: object) -> None:
        raise wrong

    web.add(SmallScene("good"), element84_keys())
    monkeypatch.setattr(Element84, "_stac_item_to_item", fail)
    with pytest.raises(InputError, match=r"can't be understood .*would be the same again"):
        matched(root)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_told_as_passing(root: DataRoot, web: Web, status: int) -> None:
    web.service.failing += [status] * 10
    with pytest.raises(InputError, match=f"HTTP {status}"):
        matched(root)
    web.service.failing[:] = [503]
    with pytest.raises(SourceUnavailableError, match="try again later"):
        matched(root)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_index_that_is_refused_for_good_says_so(root: DataRoot, status: int) -> None:
    with serve_stac([], failing=[status] * 5) as service:
        imagery = make_dataset(root, f"{service.url}/index.json?{json.dumps({}).encode().hex()}", retries=0)
        with pytest.raises(BurnscarError) as caught:
            match_scenes(make_windows(root, SPOT), root.dataset, imagery)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("name", "properties", "baseline"),
    [
        ("s", {"s2:processing_baseline": "05.09"}, "05.09"),
        ("s", {"processing:version": "05.11"}, "05.11"),
        ("s", {"processing:version": "5.11", "s2:processing_baseline": None}, "05.11"),
        ("s", {"processing:version": "N0511"}, "05.11"),
        ("S2B_MSIL2A_20250110T183719_N0511_R027_T11SLT_20250110T221016", {}, "05.11"),
        ("s", {"s2:product_uri": "S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531.SAFE"}, "02.12"),
        ("s", {"sentinel:product_id": "S2A_MSIL2A_20200714T115221_N0214_R123_T28QCH_20200714T191310"}, "02.14"),
        ("s", {"processing:version": "unknown"}, ""),
        ("s", {}, ""),
    ],
)
def test_baselines_are_read_from_what_an_item_says(name: str, properties: dict[str, Any], baseline: str) -> None:
    assert baseline_of(name, properties) == baseline
