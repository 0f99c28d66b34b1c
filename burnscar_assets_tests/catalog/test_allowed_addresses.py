"""Addresses that a catalogue may not name are never asked: its author reads neither this machine nor its network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2 as Element84

from burnscar_assets.catalog.hrefs import AddressRule, resolve_href
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import read_index, write_index
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import InputError
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, serve, write_scene
from burnscar_assets_tests.catalog.stac_server import serve_stac
from burnscar_assets_tests.catalog.test_sources_stac import Web, element84_keys
from burnscar_assets_tests.reader.test_foreign_images import raw_band

REMOTE = "https://stac.example.org/v1"
ATTACKS = [
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "file:/etc/passwd",
    "file://localhost/etc/passwd",
    "/etc/passwd",
    "/vsicurl/http://169.254.169.254/latest/meta-data",
    "/vsizip//etc/secrets.zip/B02.tif",
    "/VSIZIP//etc/secrets.zip",
    "/vsimem/B02.tif",
    "vrt:///etc/passwd",
    "GTIFF_DIR:1:/etc/passwd",
    "ftp://stac.example.org/B02.tif",
    "gopher://127.0.0.1:6379/_x",
    "http://other.example.com/B02.tif",
    "//other.example.com/B02.tif",
    "https://stac.example.org.evil.com/B02.tif",
    "https://stac.example.org@evil.com/B02.tif",
    "https://user:pass@stac.example.org/B02.tif",
    "https://stac.example.org\\@evil.com/B02.tif",
    "https://evil.com\\.stac.example.org/B02.tif",
    "http://127.0.0.1/B02.tif",
    "http://localhost:8080/B02.tif",
    "http://2130706433/B02.tif",
    "http://0x7f000001/B02.tif",
    "http://0177.0.0.1/B02.tif",
    "http://127.1/B02.tif",
    "http://[::1]/B02.tif",
    "http://[::ffff:127.0.0.1]/B02.tif",
    "http://169.254.169.254/latest/meta-data",
    "http://metadata.google.internal/computeMetadata/v1",
    "s3://private-bucket/B02.tif",
    "gs://private-bucket/B02.tif",
    "https:///etc/passwd",
    "https://stac.example.org /B02.tif",
    "https://stac.example.org/\nB02.tif",
]
ALLOWED = [
    "https://stac.example.org/B02.tif",
    "http://stac.example.org:8080/x/B02.tif?key=1",
    "https://sentinel-cogs.s3.us-west-2.amazonaws.com/x/B02.tif",
    "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/B02.tif",
    "s3://sentinel-cogs/B02.tif",
    "s3://eodata/Sentinel-2/B02.jp2",
    "gs://gcp-public-data-sentinel-2/B02.jp2",
]


def refused(rule: AddressRule, href: str) -> bool:
    try:
        rule.check(resolve_href(href, rule.catalogue))
    except InputError as error:
        assert "pass@" not in str(error)
        return True
    return False


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_remote_catalogue_names_no_file_and_no_other_host(attack: str) -> None:
    assert refused(AddressRule(REMOTE), attack) or resolve_href(attack, REMOTE).startswith("https://stac.example.org/")


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_local_catalogue_names_no_file_elsewhere(attack: str, tmp_path: Path) -> None:
    index = str(tmp_path / "index.parquet")
    assert refused(AddressRule(index), attack) or resolve_href(attack, index).startswith(f"{tmp_path}/")


@pytest.mark.parametrize("address", ALLOWED)
def test_its_own_host_and_the_public_archives_may_be_named(address: str) -> None:
    assert not refused(AddressRule(REMOTE), address)


def test_settings_allow_more(tmp_path: Path) -> None:
    allowed = ("data.example.com", "*.example.net", "s3://bucket", str(tmp_path / "scenes"), "10.0.0.7")
    rule = AddressRule(REMOTE, allowed)
    for address in ("https://data.example.com/x", "https://a.example.net/x", "s3://bucket/x", "http://10.0.0.7/x"):
        assert not refused(rule, address)
    assert not refused(rule, f"file://{tmp_path}/scenes/B02.tif")
    for address in ("gs://bucket/x", "https://bucket/x", "http://10.0.0.8/x", f"file://{tmp_path}/scenes-2/B02.tif"):
        assert refused(rule, address)


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "%2e%2e", ""]), max_size=8).map("/".join))
def test_no_relative_path_leaves_the_folder_of_a_local_catalogue_or_the_bucket(href: str) -> None:
    rule = AddressRule("/data/archive/index.parquet")
    found = resolve_href(href, rule.catalogue)
    assert refused(rule, href) or found.startswith("/data/archive/")
    bucket = AddressRule("s3://bucket/archive/index.parquet")
    assert refused(bucket, href) or resolve_href(href, bucket.catalogue).startswith("s3://bucket")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Element 84's catalogue, empty."""
    folder = tmp_path / "web"
    folder.mkdir()
    with serve(folder) as (url, requests), serve_stac([]) as service:
        monkeypatch.setattr(Element84, "STAC_ENDPOINT", service.url)
        yield Web(folder, url, requests, service)


def attack_item(item: dict[str, Any], key: str, href: str) -> dict[str, Any]:
    return item | {"id": "attack", "assets": item["assets"] | {key: {"href": href}}}


@pytest.mark.parametrize(
    "attack", ["file:///etc/passwd", "/vsicurl/http://10.0.0.1/x", "http://u:pass@127.0.0.1/x.tif"]
)
@pytest.mark.parametrize("key", ["blue", "product-metadata"])
def test_items_of_an_api_that_break_it_give_way(root: DataRoot, web: Web, attack: str, key: str) -> None:
    good = web.add(SmallScene("good", cloud=20), element84_keys())
    good["properties"]["earthsearch:boa_offset_applied"] = True
    cloudless = good | {"properties": good["properties"] | {"eo:cloud_cover": 0}}
    web.service.items = [good, attack_item(cloudless, key, attack)]
    imagery = make_dataset(root, "unused", dataset_config="dataset-element84.json")
    table, summary = match_scenes(make_windows(root, [(5, 5)]), root.dataset, imagery)
    assert table["item_ids"].tolist() == [["good"]]
    assert summary.set_aside == {"address_not_allowed": 1}
    assert not any(b"passwd" in path.read_bytes() for path in root.path.rglob("*") if path.is_file())


def test_what_nobody_reads_is_left_out_of_an_item(root: DataRoot, web: Web) -> None:
    item = web.add(SmallScene("good"), element84_keys())
    item["assets"]["thumbnail"] = {"href": "https://roda.example.com/preview.jpg"}
    imagery = make_dataset(root, "unused", dataset_config="dataset-element84.json")
    table, summary = match_scenes(make_windows(root, [(5, 5)]), root.dataset, imagery)
    assert (table["item_ids"].tolist(), summary.set_aside) == ([["good"]], {})
    assert not any(b"roda.example.com" in path.read_bytes() for path in root.path.rglob("*") if path.is_file())


@pytest.mark.parametrize("allowed", [(), ("127.0.0.1",)])
def test_a_local_index_of_files_elsewhere_needs_a_word(
    root: DataRoot, tmp_path: Path, allowed: tuple[str, ...]
) -> None:
    with serve(tmp_path) as (url, _):
        item = write_scene(tmp_path, SmallScene("s"))
        for asset in item["assets"].values():
            asset["href"] = f"{url}/{asset['href'].removeprefix('./')}"
        (tmp_path / "index").mkdir()
        write_index([item], tmp_path / "index" / "index.parquet")
        imagery = make_dataset(root, tmp_path / "index" / "index.parquet", allowed_hosts=allowed)
        windows = make_windows(root, [(5, 5)])
        table, summary = match_scenes(windows, root.dataset, imagery)
        assert table["matched"].tolist() == [bool(allowed)]
        assert summary.set_aside == ({} if allowed else {"address_not_allowed": 1})
        if allowed:
            tiles, _ = materialize_tiles(windows, table, root.dataset, imagery)
            assert tiles["complete"].all()


def test_links_of_a_remote_catalogue_that_lead_away_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (tmp_path / "public").mkdir()
    secret.write_text(json.dumps({"type": "FeatureCollection", "features": [{"id": "secret"}]}))
    item = {"type": "Feature", "id": "a", "properties": {}, "assets": {}}
    item["geometry"] = {"type": "Point", "coordinates": [0, 0]}
    links = [
        {"rel": "item", "href": "a.json"},
        {"rel": "item", "href": f"file://{secret}"},
        {"rel": "child", "href": f"file:{secret}"},
        {"rel": "child", "href": "http://169.254.169.254/catalog.json"},
        {"rel": "child", "href": "/../../catalog.json"},
    ]
    (tmp_path / "public" / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "c", "links": links}))
    (tmp_path / "public" / "a.json").write_text(json.dumps(item))
    with serve(tmp_path / "public") as (url, requests):
        found = read_index(f"{url}/catalog.json")
    assert [item["id"] for item in found] == ["a"]
    assert set(found.refused) == {"http://169.254.169.254/catalog.json", str(secret), f"file:{secret}"}
    assert set(requests) == {"/catalog.json", "/a.json"}


@pytest.mark.parametrize("patient", [0, 1], ids=["at once", "after the header"])
def test_a_server_of_files_leads_nowhere(root: DataRoot, tmp_path: Path, patient: int) -> None:
    """The same scene lies there, too: a tile of it would show that a redirect was followed."""
    folder = tmp_path / f"n{patient}"
    scenes = [SmallScene("best", cloud=0), SmallScene("good", "2022-08-13T18:50:00Z", cloud=20)]
    items = [write_scene(folder, scene) for scene in scenes]
    write_index(items, folder / "index.parquet")

    def leads(path: str, before: int) -> str:
        return f"{secret}{path}" if path.endswith("best/B12.tif") and before >= patient else ""

    with serve(tmp_path) as (there, asked), serve(tmp_path, elsewhere=leads) as (here, _):
        secret = there.replace("127.0.0.1", "localhost")
        imagery = make_dataset(root, f"{here}/{folder.name}/index.parquet")
        windows = make_windows(root, [(5, 5)])
        matches, _ = match_scenes(windows, root.dataset, imagery)
        tiles, _ = materialize_tiles(windows, matches, root.dataset, imagery)
    assert matches["item_ids"].tolist() == [["best"]]
    assert tiles["item_ids"].tolist() == [["good"]]
    assert "redirects to localhost, which imagery.allowed_hosts does not name" in tiles["passed_over"].iloc[0][0]
    assert not asked


def make_dataset_of_rslearn(root: DataRoot) -> ImagerySettings:
    """A layer that our engine leaves to rslearn's own reading, which makes a mosaic by its mean."""
    config = json.loads((CONFIGS_DIR / "dataset-element84.json").read_text())
    config["layers"]["sentinel2_l2a"]["compositing_method"] = "MEAN"
    write_json(root.path / "mean.json", config)
    return make_dataset(root, "unused", dataset_config=str(root.path / "mean.json"), retries=0)


def test_rslearns_own_reading_follows_no_redirect(root: DataRoot, web: Web, tmp_path: Path) -> None:
    imagery = make_dataset_of_rslearn(root)
    windows = make_windows(root, [(5, 5)])
    keys = element84_keys()
    (tmp_path / "x").mkdir()
    with serve(web.folder) as (there, asked):
        secret = there.replace("127.0.0.1", "localhost")
        with serve(web.folder, elsewhere=lambda path, before: f"{secret}{path}") as (url, _):
            moved = Web(web.folder, url, [], web.service)
            moved.add(SmallScene("moved", cloud=0), keys)
            web.add(SmallScene("good", "2022-08-13T18:50:00Z", cloud=20), keys)
            for item in web.service.items:
                item["properties"]["earthsearch:boa_offset_applied"] = True
            matches, _ = match_scenes(windows, root.dataset, imagery)
            tiles, _ = materialize_tiles(windows, matches, root.dataset, imagery)
    assert matches["item_ids"].tolist() == [["moved"]]
    assert tiles["item_ids"].tolist() == [["good"]]
    assert "redirects to localhost" in tiles["passed_over"].iloc[0][0]
    assert not asked


def test_rslearns_own_reading_opens_no_virtual_image(root: DataRoot, web: Web, tmp_path: Path) -> None:
    imagery = make_dataset_of_rslearn(root)
    windows = make_windows(root, [(5, 5)])
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(200) * 1000)
    for scene in (SmallScene("best", cloud=0), SmallScene("good", "2022-08-13T18:50:00Z", cloud=20)):
        web.add(scene, element84_keys())["properties"]["earthsearch:boa_offset_applied"] = True
    (image,) = web.folder.rglob("best/B12.tif")
    image.write_text(raw_band(secret, ""))
    matches, _ = match_scenes(windows, root.dataset, imagery)
    tiles, _ = materialize_tiles(windows, matches, root.dataset, imagery)
    assert matches["item_ids"].tolist() == [["best"]]
    assert tiles["item_ids"].tolist() in ([["good"]], [[]])
