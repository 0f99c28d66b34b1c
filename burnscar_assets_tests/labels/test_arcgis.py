import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.arcgis import is_rest_layer
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.release import Release, fetch_release
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, release_records, square
from burnscar_assets_tests.labels.label_servers import ArcGisSite, serving

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


def test_a_service_may_cut_pages_short(root: DataRoot) -> None:
    assert _fetch(ArcGisSite(_served(_fires()), 5, transfer_limit=2), root).info.fires == 7


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
