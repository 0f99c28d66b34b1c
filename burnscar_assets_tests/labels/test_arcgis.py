import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from dagster._utils.error import serializable_error_info_from_exc_info
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels import arcgis
from burnscar_assets.labels.layer_address import TOKEN_VARIABLE, is_rest_layer
from burnscar_assets.labels.layer_token import environment_token
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.release import Release, fetch_release
from burnscar_assets.labels.release_changes import changed_years, release_versions
from burnscar_assets.labels.watch import observe_source
from burnscar_assets.settings import InSeasonSettings, PerimeterSettings, ReleaseSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, release_records, square
from burnscar_assets_tests.labels.label_servers import ArcGisSite, serving

FORMATS = ("JSON, geoJSON, PBF", "JSON")
AUGUST_1_2020_IN_CALIFORNIA_MS = 1596265200000
AUGUST_5_2020_IN_CALIFORNIA_MS = 1596610800000


def _fires(count: int = 7) -> gpd.GeoDataFrame:
    """Fires in the order of their object ids, the first with an island."""
    fires = frap_fires(*({} for _ in range(count)))
    fires.loc[0, "geometry"] = square(0).difference(shapely.box(200, -800, 600, -400))
    return fires


def _served(fires: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The fires as a service holds them: epoch milliseconds, an object id, rows in any order."""
    dates = {"ALARM_DATE": AUGUST_1_2020_IN_CALIFORNIA_MS, "CONT_DATE": AUGUST_5_2020_IN_CALIFORNIA_MS}
    return fires.assign(**dates, OBJECTID=range(1, len(fires) + 1)).sort_values("FIRE_NAME", ascending=False)


@contextmanager
def _layer(site: Any) -> Iterator[str]:
    with serving(site) as address:
        yield f"{address}/arcgis/rest/services/California_Historic_Fire_Perimeters/FeatureServer/0"


def _fetch(site: ArcGisSite, root: DataRoot, **changes: Any) -> Release:
    with _layer(site) as url:
        return fetch_release(ReleaseSettings(source=url, **{"retries": 1, **changes}), root)


@pytest.mark.parametrize("formats", ["JSON, geoJSON, PBF", "JSON"])
@pytest.mark.parametrize("max_record_count", [3, 7, 2000])
def test_all_pages_give_what_a_file_gives(root: DataRoot, formats: str, max_record_count: int) -> None:
    fires = _fires()
    site = ArcGisSite(_served(fires), max_record_count, formats)
    release = _fetch(site, root)
    expected = release_records(fires)
    attributes = [name for name in expected.columns if name != "geometry"]
    pd.testing.assert_frame_equal(
        pd.DataFrame(release.records[attributes]), pd.DataFrame(expected[attributes]), check_dtype=False
    )
    apart = release.records.geometry.hausdorff_distance(expected.geometry, align=False)
    assert apart.max() < 0.01
    assert len(release.records.geometry[release.records["fire_name"] == "FIRE 0"].iloc[0].interiors) == 1
    pages = [q for q in site.queries if "resultOffset" in q]
    assert len(pages) == -(-len(fires) // max_record_count)
    assert release.info.kind == "rest"
    assert release.info.fire_layer == "firep24_1"
    assert release.info.release_number == 24
    assert (release.info.path, release.info.sha256) == (None, None)
    assert release.info.fires_by_year == {2020: 7}


@pytest.mark.parametrize("formats", ["JSON, geoJSON, PBF", "JSON"])
@pytest.mark.parametrize("undated", [range(3), range(3, 7), range(7)])
def test_a_page_without_any_date_is_like_the_others(root: DataRoot, formats: str, undated: range) -> None:
    fires = _served(_fires()).sort_values("OBJECTID", ignore_index=True)
    fires["CONT_DATE"] = fires["CONT_DATE"].astype(object)
    fires.loc[list(undated), "CONT_DATE"] = None
    records = _fetch(ArcGisSite(fires, 3, formats), root).records.sort_values("fire_name")
    dated = [number not in undated for number in range(7)]
    assert records["containment_date"].notna().tolist() == dated
    assert set(records["containment_date"].dropna()) <= {pd.Timestamp("2020-08-05", tz="UTC")}


@pytest.mark.parametrize("formats", FORMATS)
@pytest.mark.parametrize(
    ("kind", "alarm"),
    [
        ("Date", AUGUST_1_2020_IN_CALIFORNIA_MS),
        ("DateOnly", "2020-08-01"),
        ("TimestampOffset", "2020-08-01T21:30:00-07:00"),
    ],
)
def test_dates_of_every_type_are_days_in_california(root: DataRoot, formats: str, kind: str, alarm: Any) -> None:
    fires = _served(_fires(3)).assign(ALARM_DATE=pd.Series([alarm, None, alarm], dtype=object))
    records = _fetch(ArcGisSite(fires, 2, formats, types={"ALARM_DATE": kind}), root).records
    assert records["alarm_date"].isna().sum() == 1
    assert set(records["alarm_date"].dropna()) == {pd.Timestamp("2020-08-01", tz="UTC")}


@pytest.mark.parametrize("formats", FORMATS)
def test_a_row_without_a_shape_is_a_record_with_its_reason(root: DataRoot, formats: str) -> None:
    fires = _served(_fires(3)).sort_values("OBJECTID", ignore_index=True)
    fires.loc[1, "geometry"] = None
    records = _fetch(ArcGisSite(fires, 2, formats), root).records
    assert len(records) == 3
    cleaned = clean_perimeters(records, 2020, PerimeterSettings(), simulated=False)
    assert cleaned.rejects["reason"].tolist() == ["empty_geometry"]


def test_an_edit_that_changes_no_fire_is_seen_and_changes_no_year(root: DataRoot) -> None:
    fires = _served(_fires())
    site = ArcGisSite(fires.assign(Shape__Area=1.0))
    seen = []
    with _layer(site) as url:
        settings = ReleaseSettings(source=url)
        for edited_ms, area in ((1_770_000_000_000, 1.0), (1_780_000_000_000, 2.0)):
            site.editing_info, site.rows = {"lastEditDate": edited_ms}, fires.assign(Shape__Area=area)
            release = fetch_release(settings, root)
            seen.append((observe_source(settings, root).version, release.records))
    (first, before), (second, after) = seen
    assert first != second
    assert changed_years(before, after) == {}
    assert release_versions(before, [2020], PerimeterSettings()) == release_versions(after, [2020], PerimeterSettings())


def test_a_service_may_cut_pages_short(root: DataRoot) -> None:
    assert _fetch(ArcGisSite(_served(_fires()), 5, transfer_limit=2), root).info.fires == 7


@given(
    rows=st.integers(1, 9),
    page=st.integers(1, 10),
    cut_to=st.one_of(st.none(), st.integers(1, 4)),
    words=st.dictionaries(st.integers(0, 10), st.sampled_from([None, True, False, "true"])),
    miscounted=st.sampled_from([0, 0, 0, -1, 1]),
    heeds_offset=st.booleans(),
    formats=st.sampled_from(FORMATS),
)
@settings(max_examples=80, deadline=None)
def test_every_row_comes_once_or_the_layer_is_refused(
    rows: int,
    page: int,
    cut_to: int | None,
    words: dict[int, Any],
    miscounted: int,
    heeds_offset: bool,
    formats: str,
) -> None:
    """Pages of any size, whose word that there is more is true, or anything else at some rows."""
    fires = _served(_fires(rows))
    site = ArcGisSite(fires, page, formats, cut_to, count=rows + miscounted, heeds_offset=heeds_offset)
    site.says_more = lambda truth, offset: words.get(offset, True if truth else None)
    honest = not words and not miscounted and (heeds_offset or rows <= min(page, cut_to or page))
    with _layer(site) as url:
        try:
            _, found = arcgis.read_rest_layer(url, ReleaseSettings(source=url, retries=0))
        except (SourceUnavailableError, InputError):
            assert not honest
        else:
            # A count that is too low is seen only where a page says so: all other words agree with it then.
            assert sorted(found["OBJECTID"]) == list(range(1, rows + 1)) or (miscounted < 0 and words)
    assert len(site.queries) <= 4 * (rows + 3)


@pytest.mark.parametrize("formats", FORMATS)
def test_pages_that_say_they_are_cut_are_read_to_the_last_row(root: DataRoot, formats: str) -> None:
    assert _fetch(ArcGisSite(_served(_fires()), 3, formats), root).info.fires == 7


@pytest.mark.parametrize("formats", FORMATS)
def test_a_full_last_page_that_says_there_is_more_is_followed_by_an_empty_one(root: DataRoot, formats: str) -> None:
    site = ArcGisSite(_served(_fires(6)), 3, formats, says_more=lambda _, offset: offset < 6)
    assert _fetch(site, root).info.fires == 6
    endless = ArcGisSite(_served(_fires(6)), 3, formats, says_more=lambda *_: True)
    with pytest.raises(SourceUnavailableError, match="says that there are more"):
        _fetch(endless, root, retries=0)


def test_a_service_that_does_not_heed_offsets_is_refused(root: DataRoot) -> None:
    with pytest.raises(SourceUnavailableError, match="does not heed resultOffset"):
        _fetch(ArcGisSite(_served(_fires()), 3, heeds_offset=False), root)


@pytest.mark.parametrize("count", [arcgis.MAX_ROWS + 1, 10**30])
def test_a_layer_without_end_is_not_begun(root: DataRoot, count: int) -> None:
    site = ArcGisSite(_served(_fires()), 3, count=count, says_more=lambda *_: True)
    with pytest.raises(InputError, match=f"at most {arcgis.MAX_ROWS} are read"):
        _fetch(site, root)
    assert not any("resultOffset" in query for query in site.queries)


def test_a_layer_that_gives_one_row_at_a_time_ends(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcgis, "_MAX_PAGES", 5)
    with pytest.raises(InputError, match="more than 5 pages"):
        _fetch(ArcGisSite(_served(_fires()), 1), root)


@pytest.mark.parametrize(
    "instead",
    [
        {"type": "gdal_streamed_alg", "command_line": "gdal vector convert /etc/passwd /vsistdout/"},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": None, "properties": 3}]},
        ["FeatureCollection"],
        json.loads("[" * 300 + "]" * 300),
    ],
)
def test_an_answer_of_something_else_reaches_nothing(root: DataRoot, instead: Any) -> None:
    with pytest.raises((InputError, SourceUnavailableError), match="answered"):
        _fetch(ArcGisSite(_served(_fires()), instead=lambda _: instead), root, retries=0)


def test_text_of_a_service_is_cleaned_wherever_it_comes_in(root: DataRoot) -> None:
    def odd(answer: dict[str, Any]) -> dict[str, Any]:
        for row in answer["features"]:
            row["properties"] |= {"FIRE_NAME": "EL\ud800 \x1b[2JFUEGO", "odd\ud800\x07": 1}
        return answer

    release = _fetch(ArcGisSite(_served(_fires()), 3, instead=odd), root)
    assert set(release.records["fire_name"]) == {"EL [2JFUEGO"} and release.info.notes
    rude = {"code": 400, "message": "no\x1b[2J\ud800", "details": ["such\nfield"]}
    with pytest.raises(InputError, match=r"400: no\[2J; such field; check"):
        _fetch(ArcGisSite(_served(_fires()), errors=[rude]), root)


def test_json_nested_without_end_is_an_error(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    site = ArcGisSite(_served(_fires()))
    monkeypatch.setattr(site, "content", lambda _: b'{"a":' * 100_000)
    with pytest.raises(SourceUnavailableError, match="not JSON"):
        _fetch(site, root, retries=0)


def test_a_page_that_is_too_heavy_is_asked_for_in_pieces(root: DataRoot) -> None:
    site = ArcGisSite(_served(_fires()), 2000, too_heavy_above=200)
    assert _fetch(site, root, retries=0).info.fires == 7
    assert [int(q["resultRecordCount"]) for q in site.queries if "resultRecordCount" in q] == [2000, 500, 125]


def test_an_error_in_an_answer_that_says_200(root: DataRoot) -> None:
    busy = {"code": 504, "message": "Your request has timed out.", "details": []}
    assert _fetch(ArcGisSite(_served(_fires()), errors=[busy]), root).info.fires == 7
    with pytest.raises(SourceUnavailableError, match=r"504.*timed out"):
        _fetch(ArcGisSite(_served(_fires()), errors=[busy] * 9), root)
    wrong = {"code": 400, "message": "Cannot perform query.", "details": ["Invalid field: X"]}
    with pytest.raises(InputError, match=r"400: Cannot perform query.; Invalid field: X"):
        _fetch(ArcGisSite(_served(_fires()), errors=[wrong]), root)
    with pytest.raises(InputError, match="token"):
        _fetch(ArcGisSite(_served(_fires()), errors=[{"code": 499, "message": "Token Required"}]), root)


@pytest.mark.parametrize("count", [5, 9])
def test_a_layer_that_changes_while_it_is_read_is_refused(root: DataRoot, count: int) -> None:
    with pytest.raises(SourceUnavailableError, match="changed"):
        _fetch(ArcGisSite(_served(_fires()), 3, count=count), root)


def test_a_service_without_a_layer_number_names_its_layers(root: DataRoot) -> None:
    with _layer(ArcGisSite(_served(_fires()))) as url, pytest.raises(InputError, match=r"FeatureServer/0 \(California"):
        fetch_release(ReleaseSettings(source=url.removesuffix("/0")), root)


def test_a_service_of_one_layer_of_polygons_is_that_layer(root: DataRoot) -> None:
    point = {"id": 1, "name": "Origins", "geometryType": "esriGeometryPoint"}
    fires = {"id": 0, "name": "Fires", "geometryType": "esriGeometryPolygon"}
    with _layer(ArcGisSite(_served(_fires()), layers=(point, fires))) as url:
        settings = ReleaseSettings(source=url.removesuffix("/0"))
        assert fetch_release(settings, root).info.fires == 7
        assert observe_source(settings, root).facts["fires"]["records"] == 7
    two = ({**fires, "id": 4, "name": "Since 1950"}, point, fires)
    with _layer(ArcGisSite(_served(_fires()), layers=two)) as url, pytest.raises(InputError) as raised:
        fetch_release(ReleaseSettings(source=url.removesuffix("/0")), root)
    assert "FeatureServer/4 (Since 1950)" in str(raised.value) and "FeatureServer/0 (Fires)" in str(raised.value)
    assert "Origins" not in str(raised.value)


@pytest.mark.parametrize(
    "form",
    ["/query?outFields=*&where=1%3D1&f=geojson", "?f=pjson", "/", "/query", "/QUERY?where=1%3D1&resultRecordCount=2"],
)
def test_the_addresses_that_people_copy_give_the_whole_layer(root: DataRoot, form: str) -> None:
    with _layer(ArcGisSite(_served(_fires()), 3)) as url:
        for base in (url, url.replace("FeatureServer", "MapServer"), url.replace("FeatureServer", "featureserver")):
            settings = ReleaseSettings(source=base + form, prescribed_layer="0")
            assert fetch_release(settings, root).info.prescribed == 7
            assert observe_source(settings, root).kind == "rest"


def test_an_address_that_chooses_rows_is_refused(root: DataRoot) -> None:
    with _layer(ArcGisSite(_served(_fires()))) as url:
        for act in (fetch_release, observe_source):
            with pytest.raises(InputError, match=r"where=YEAR_=2020.*all are needed"):
                act(ReleaseSettings(source=f"{url}/query?where=YEAR_%3D2020&f=geojson"), root)


def test_a_page_of_the_hub_is_refused_before_it_is_fetched(root: DataRoot) -> None:
    settings = ReleaseSettings(source="http://127.0.0.1:1/datasets/e3802d2abf8741a187e73a9db49d68fe_0/explore")
    for act in (fetch_release, observe_source):
        with pytest.raises(InputError, match="page about a layer"):
            act(settings, root)


SECRET = "abc123+/=secret"


def _told(error: BaseException, shown: str = "") -> str:
    """All that a traceback of an error shows, as Dagster stores it."""
    return shown + str(serializable_error_info_from_exc_info((type(error), error, error.__traceback__)))


def test_a_token_of_the_address_goes_with_each_request_and_is_not_shown(root: DataRoot) -> None:
    site = ArcGisSite(_served(_fires()), 3, token=SECRET)
    with _layer(site) as url:
        settings = ReleaseSettings(source=f"{url}?token={quote(SECRET)}", retries=0, prescribed_layer="0")
        release, state = fetch_release(settings, root), observe_source(settings, root)
    assert (release.info.fires, release.info.prescribed) == (7, 7)
    assert SECRET not in str(release.info) + str(state.to_json())
    assert quote(SECRET) not in str(release.info) + str(state.to_json())
    with pytest.raises(SourceUnavailableError) as raised:
        fetch_release(settings, root)
    assert "did not answer" in str(raised.value)
    assert "secret" not in _told(raised.value)


def test_an_address_may_name_the_variable_of_its_token(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYER_TOKEN", SECRET)
    with _layer(ArcGisSite(_served(_fires()), token=SECRET)) as url:
        assert fetch_release(ReleaseSettings(source=url + "?token=${LAYER_TOKEN}"), root).info.fires == 7


@pytest.mark.parametrize("given_token", [None, "wrong-but-secret"])
def test_a_token_that_is_missing_or_wrong_is_asked_for_by_the_variable(root: DataRoot, given_token: str | None) -> None:
    query = f"?token={given_token}" if given_token else ""
    with (
        _layer(ArcGisSite(_served(_fires()), token=SECRET)) as url,
        pytest.raises(InputError, match=TOKEN_VARIABLE) as e,
    ):
        fetch_release(ReleaseSettings(source=url + query), root)
    assert "secret" not in _told(e.value)


def test_a_token_of_the_environment_goes_to_a_service_that_wants_one(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, SECRET)
    secured, open_to_all = ArcGisSite(_served(_fires()), 3, token=SECRET), ArcGisSite(_served(_fires()), 3)
    assert _fetch(secured, root).info.fires == _fetch(open_to_all, root).info.fires == 7
    assert all("token" in query for query in secured.queries)
    assert not any("token" in query for query in open_to_all.queries)
    with _layer(secured) as url:
        expired = ReleaseSettings(source=f"{url}?token=expired", retries=0)
        assert fetch_release(expired, root).info.fires == 7
    echo = {"code": 498, "message": f"Invalid token {SECRET}", "details": [quote(SECRET)]}
    with pytest.raises(InputError, match=r"498: Invalid token \*\*\*") as raised:
        _fetch(ArcGisSite(_served(_fires()), token=SECRET, errors=[echo]), root)
    assert "secret" not in _told(raised.value)


def test_a_token_of_the_environment_goes_to_no_other_server(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, SECRET)
    fires, burns = ArcGisSite(_served(_fires())), ArcGisSite(_served(_fires()), token=SECRET)
    wanted = {"code": 499, "message": "Token Required"}
    with _layer(fires) as url, _layer(burns) as other:
        with pytest.raises(InputError, match=r"name an environment variable of it in the address"):
            fetch_release(ReleaseSettings(source=url, prescribed_layer=other), root)
        fires.errors = [wanted]
        with pytest.raises(InputError, match=r"name an environment variable of it in the address"):
            arcgis.read_rest_layer(url, InSeasonSettings(source=url, retries=0))
    assert not any("token" in query for query in fires.queries + burns.queries)


@pytest.mark.parametrize(
    ("source", "asked", "goes"),
    [
        ("https://gis.example.org/{}", "https://gis.example.org/{}/query", True),
        ("https://GIS.example.org/{}", "https://gis.example.org/{}", True),
        ("http://127.0.0.1:8000/{}", "http://127.0.0.1:8000/{}", True),
        ("http://localhost/{}", "http://localhost/{}", True),
        ("http://[::1]:8000/{}", "http://[::1]:8000/{}", True),
        ("http://gis.example.org/{}", "http://gis.example.org/{}", False),
        ("http://192.168.0.7/{}", "http://192.168.0.7/{}", False),
        ("https://gis.example.org/{}", "http://gis.example.org/{}", False),
        ("https://gis.example.org/{}", "https://elsewhere.org/{}", False),
        ("https://gis.example.org/{}", "https://gis.example.org:8443/{}", False),
        ("https://gis.example.org/{}", "https://gis.example.org@elsewhere.org/{}", False),
        ("perimeters.zip", "https://elsewhere.org/{}", False),
    ],
)
def test_whom_the_token_of_the_environment_goes_to(
    source: str, asked: str, goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, SECRET)
    layer = "arcgis/rest/services/Fires/FeatureServer/0"
    url = asked.format(layer)
    assert environment_token(url, ReleaseSettings(source=source.format(layer))) == (SECRET if goes else None)
    assert environment_token(url, InSeasonSettings(source=url)) is None


def test_all_pages_together_have_a_deadline_and_a_limit_of_bytes() -> None:
    site = ArcGisSite(_served(_fires(40)), 1)
    with _layer(site) as url:
        large = ReleaseSettings(source=url, max_answer_mb=0.004)
        with pytest.raises(InputError, match=r"4 times release\.max_answer_mb: raise"):
            arcgis.read_rest_layer(url, large)
        asked, site.instead = len(site.queries), _slowly
        with pytest.raises(InputError, match=r"4 times in_season\.deadline_s: raise"):
            arcgis.read_rest_layer(url, InSeasonSettings(source=url, deadline_s=0.5))
    assert asked < 40 and len(site.queries) - asked < 40


def _slowly(answer: dict[str, Any]) -> dict[str, Any]:
    time.sleep(0.2)
    return answer


def test_a_layer_of_prescribed_burns_beside_it(root: DataRoot) -> None:
    with _layer(ArcGisSite(_served(_fires()))) as url:
        for prescribed in (url, "0"):
            release = fetch_release(ReleaseSettings(source=url, prescribed_layer=prescribed), root)
            assert (release.info.fires, release.info.prescribed) == (7, 7)
        with pytest.raises(InputError, match=r"release\.prescribed_layer"):
            fetch_release(ReleaseSettings(source=url, prescribed_layer="rxburn24_1"), root)


def test_an_empty_layer_is_refused(root: DataRoot) -> None:
    with pytest.raises(InputError, match="no rows"):
        _fetch(ArcGisSite(_served(_fires()), count=0), root)


def test_addresses_of_services_are_told_from_files() -> None:
    base = "https://services1.arcgis.com/x/arcgis/rest/services/Fires"
    assert is_rest_layer(f"{base}/FeatureServer/0")
    assert is_rest_layer(f"{base}/MapServer/12/")
    assert is_rest_layer(f"{base}/FeatureServer?f=json")
    assert not is_rest_layer("https://x.net/gis-data/2025/fire241gdb.ashx?rev=51/FeatureServer/0")
    assert not is_rest_layer("FeatureServer/0")


@pytest.mark.real_data
def test_the_caldor_fire_as_frap_serves_it(real_data: Path, root: DataRoot) -> None:
    content = json.loads((real_data / "frap" / "caldor_2021.geojson").read_text())
    rows = gpd.GeoDataFrame.from_features(content, crs=4326)
    served = _fetch(ArcGisSite(rows), root).records
    in_file = fetch_release(ReleaseSettings(source=str(real_data / "frap" / "caldor_2021.geojson")), root).records
    for records in (served, in_file):
        fire = records.iloc[0]
        assert fire["fire_name"] == "CALDOR"
        assert fire["alarm_date"] == pd.Timestamp("2021-08-15", tz="UTC")
        assert fire["containment_date"] == pd.Timestamp("2021-11-18", tz="UTC")
        assert fire["irwin_id"] == "e6c053c8-a346-43fb-9c29-632bc7536717"
        assert shapely.get_num_coordinates(fire["geometry"]) == 22_987
        perimeter = clean_perimeters(records, 2021, PerimeterSettings(), simulated=False).perimeters.iloc[0]
        assert perimeter["area_ha"] == pytest.approx(fire["reported_area_ha"], rel=1e-6)
        islands = [island for part in shapely.get_parts(perimeter["geometry"]) for island in part.interiors]
        assert max(shapely.area(shapely.polygons(islands))) > 14_000_000, "1,421 ha did not burn"
        assert perimeter["flags"] == ["repaired"]
    assert served["record_id"].tolist() == in_file["record_id"].tolist()
