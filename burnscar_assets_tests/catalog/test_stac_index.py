import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rustac
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.catalog import stac_index
from burnscar_assets.catalog.hrefs import resolve_href
from burnscar_assets.catalog.stac_index import read_index, write_index
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets_tests.catalog.small_archive import serve


def make_item(name: str = "a", **properties: object) -> dict:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]},
        "bbox": [0, 0, 1, 1],
        "properties": {"datetime": "2022-08-10T18:50:31.024000Z"} | properties,
        "links": [],
        "assets": {"B02": {"href": "./a/B02.tif", "eo:bands": [{"name": "B02", "common_name": "blue"}]}},
    }


def write_catalogue(folder: Path) -> Path:
    (folder / "2022" / "items").mkdir(parents=True)
    child = {"type": "Collection", "id": "c", "links": [{"rel": "item", "href": f"items/{n}.json"} for n in "ab"]}
    top = {
        "type": "Catalog",
        "id": "top",
        "links": [
            {"rel": "self", "href": "https://elsewhere.example/catalog.json"},
            {"rel": "child", "href": "./2022/collection.json"},
            {"rel": "child", "href": "catalog.json"},
        ],
    }
    (folder / "catalog.json").write_text(json.dumps(top))
    (folder / "2022" / "collection.json").write_text(json.dumps(child))
    for name in "ab":
        (folder / "2022" / "items" / f"{name}.json").write_text(json.dumps(make_item(name)))
    return folder / "catalog.json"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    items = [make_item("b", **{"eo:cloud_cover": 3, "view:off_nadir": None}), make_item("a", **{"eo:cloud_cover": 1.5})]
    items[0]["assets"]["SCL"] = {"href": "https://example.org/scl.tif"}
    write_index(items, tmp_path / "index.parquet")
    first, second = read_index(str(tmp_path / "index.parquet"))
    assert [first["id"], second["id"]] == ["a", "b"]
    assert first["assets"]["B02"]["href"] == str(tmp_path / "a" / "B02.tif")
    assert first["assets"]["B02"]["eo:bands"] == [{"name": "B02", "common_name": "blue"}]
    assert set(first["assets"]) == {"B02"}
    assert second["assets"]["SCL"]["href"] == "https://example.org/scl.tif"
    assert (first["properties"]["eo:cloud_cover"], second["properties"]["eo:cloud_cover"]) == (1.5, 3)
    assert first["properties"]["datetime"] == "2022-08-10T18:50:31.024000+00:00"
    assert "view:off_nadir" not in second["properties"]


def test_items_of_a_file_are_made_as_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = stac_index._from_row
    monkeypatch.setattr(stac_index, "_from_row", lambda row, *rest: made.append(row["id"]) or make(row, *rest))
    write_index([make_item(name) for name in "dbca"], tmp_path / "index.parquet")
    index = read_index(str(tmp_path / "index.parquet"))
    assert (index.ids, len(index), made) == (["a", "b", "c", "d"], 4, [])
    assert [index[2]["id"], index[-1]["id"], index[2]["id"]] == ["c", "d", "c"]
    assert made == ["c", "d"]
    assert [item["id"] for item in index[:2]] == ["a", "b"]
    same, other = read_index(str(tmp_path / "index.parquet")), tmp_path / "other.parquet"
    write_index([make_item("a")], other)
    assert index.fingerprint == same.fingerprint != read_index(str(other)).fingerprint


def test_an_item_without_what_it_needs_is_named(tmp_path: Path) -> None:
    write_index([make_item(name) for name in "ab"], tmp_path / "index.parquet")
    table = pq.read_table(tmp_path / "index.parquet")
    assets = pa.array([None, table["assets"][1].as_py()], type=table["assets"].type)
    broken = table.set_column(table.column_names.index("assets"), "assets", assets)
    pq.write_table(broken, tmp_path / "index.parquet")
    with pytest.raises(InputError, match=r"STAC item a of .* lacks assets"):
        read_index(str(tmp_path / "index.parquet"))


def test_files_of_another_tool_are_read(tmp_path: Path) -> None:
    items = [make_item("a", **{"s2:processing_baseline": "05.09"}), make_item("b", **{"eo:cloud_cover": 4.0})]
    rustac.write_sync(str(tmp_path / "other.parquet"), items)
    first, second = read_index(str(tmp_path / "other.parquet"))
    assert first["properties"]["s2:processing_baseline"] == "05.09"
    assert second["properties"]["eo:cloud_cover"] == 4.0
    assert first["properties"]["datetime"].startswith("2022-08-10T18:50:31.024")
    assert first["assets"]["B02"]["href"] == str(tmp_path / "a" / "B02.tif")


def test_other_tools_read_our_files(tmp_path: Path) -> None:
    write_index([make_item("a"), make_item("b")], tmp_path / "ours.parquet")
    assert [item["id"] for item in rustac.read_sync(str(tmp_path / "ours.parquet"))["features"]] == ["a", "b"]
    table = gpd.read_parquet(tmp_path / "ours.parquet")
    assert table.crs.to_epsg() == 4326 or table.crs.to_string() == "OGC:CRS84"
    assert table.total_bounds.tolist() == [0, 0, 1, 1]


def test_writing_is_deterministic(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_index([make_item("a"), make_item("b")], tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_static_catalogue_is_followed_without_going_in_circles(tmp_path: Path) -> None:
    found = read_index(str(write_catalogue(tmp_path)))
    assert [item["id"] for item in found] == ["a", "b"]
    assert found[0]["assets"]["B02"]["href"] == str(tmp_path / "2022" / "items" / "a" / "B02.tif")


def test_indexes_are_read_over_http(tmp_path: Path) -> None:
    write_catalogue(tmp_path)
    write_index([make_item("c")], tmp_path / "index.parquet")
    with serve(tmp_path) as (address, _):
        catalogue = read_index(f"{address}/catalog.json")
        table = read_index(f"{address}/index.parquet")
        with pytest.raises(InputError, match="there is no STAC index"):
            read_index(f"{address}/nothing.parquet")
    assert catalogue[1]["assets"]["B02"]["href"] == f"{address}/2022/items/a/B02.tif"
    assert table[0]["assets"]["B02"]["href"] == f"{address}/a/B02.tif"
    with pytest.raises(SourceUnavailableError, match="try again later"):
        read_index(f"{address}/index.parquet")


def test_item_collection_with_three_dimensional_boxes(tmp_path: Path) -> None:
    item = make_item() | {"bbox": [0, 0, 100, 1, 1, 300]}
    (tmp_path / "items.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    assert read_index(str(tmp_path / "items.geojson"))[0]["bbox"] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.parquet", b"PAR1 cut", "no readable stac-geoparquet"),
        ("no.json", b"{", "not valid JSON"),
        ("no.json", b"[]", "must hold a JSON object"),
        ("no.json", b'{"type": "Topology"}', "neither a STAC catalogue"),
        ("no.json", b'{"type": "FeatureCollection", "features": []}', "has no items"),
        ("no.json", b'{"type": "Feature", "id": "x"}', "x .* lacks geometry, properties, assets"),
    ],
)
def test_what_is_no_index_is_one_clear_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_index(str(tmp_path / name))


def test_parquet_that_is_no_stac_is_named(tmp_path: Path) -> None:
    gpd.GeoDataFrame({"id": [1]}, geometry=gpd.points_from_xy([0], [0])).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="lacks assets"):
        read_index(str(tmp_path / "x.parquet"))


def test_bad_items_leave_the_old_index(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    write_index([make_item()], path)
    before = path.read_bytes()
    for items in ([], [make_item(), make_item()], [make_item("a", x=1), make_item("b", x="one")], [{"id": "a"}]):
        with pytest.raises(InputError):
            write_index(items, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["index.parquet"]


@pytest.mark.parametrize(
    ("href", "base", "expected"),
    [
        ("./a/B02.tif", "/data/index.parquet", "/data/a/B02.tif"),
        ("../a/B02.tif", "/data/x/index.parquet", "/data/a/B02.tif"),
        ("/other/B02.tif", "/data/index.parquet", "/other/B02.tif"),
        ("file:///other/my%20B02.tif", "/data/index.parquet", "/other/my B02.tif"),
        ("B02.tif", "file:///data/index.parquet", "/data/B02.tif"),
        ("B02.tif", "https://example.org/c/index.parquet?key=1", "https://example.org/c/B02.tif"),
        ("/B02.tif", "https://example.org/c/index.parquet", "https://example.org/B02.tif"),
        ("../B02.tif", "s3://bucket/c/index.parquet", "s3://bucket/B02.tif"),
        ("gs://other/B02.tif", "s3://bucket/index.parquet", "gs://other/B02.tif"),
        ("/vsicurl/https://x.org/B02.tif", "/data/index.parquet", "/vsicurl/https://x.org/B02.tif"),
    ],
)
def test_relative_addresses_are_resolved_against_their_file(href: str, base: str, expected: str) -> None:
    assert resolve_href(href, base) == expected


@given(st.lists(st.sampled_from(["a", "b", ".", "..", "c.tif"]), min_size=1, max_size=6).map("/".join))
def test_resolving_an_address_twice_changes_nothing(href: str) -> None:
    for base in ("/data/set/index.parquet", "https://example.org/x/catalog.json"):
        once = resolve_href(href, base)
        assert resolve_href(once, base) == once


def test_a_remote_file_that_stands_for_more_than_there_is_memory_is_refused(tmp_path: Path) -> None:
    rows, text = 4_000, "x" * 2_000_000
    name = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])
    table = pa.table({"id": pa.array([str(n) for n in range(rows)]), "geometry": [b""] * rows, "assets": name})
    pq.write_table(table, tmp_path / "index.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "index.parquet").stat().st_size < 1_000_000
    with serve(tmp_path) as (url, _), pytest.raises(InputError, match=r"memory|GB when it is decoded"):
        read_index(f"{url}/index.parquet")


def test_a_remote_file_of_too_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stac_index, "MOST_ROWS", 3)
    write_index([make_item(name) for name in "dbca"], tmp_path / "index.parquet")
    with serve(tmp_path) as (url, _), pytest.raises(InputError, match="more than 3 rows"):
        read_index(f"{url}/index.parquet")
    assert len(read_index(str(tmp_path / "index.parquet"))) == 4


@pytest.mark.parametrize("name", ["index.parquet", "catalog.json"])
def test_what_a_bucket_holds_is_limited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from upath import UPath

    bucket = UPath("memory://bucket")
    (bucket / name).write_bytes(bytes(5_000))
    monkeypatch.setattr(stac_index, "LIMITS", replace(stac_index.LIMITS, max_answer_mb=0.004))
    with pytest.raises(InputError, match=r"holds more than 0\.004 MB: name a smaller index"):
        read_index(f"memory://bucket/{name}")
