import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.labels.normalise import is_blank_number, normalise, to_records
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets_tests.labels.label_records import ACRES, frap_fires, release_records, square


def _ids(fires: gpd.GeoDataFrame) -> list[str]:
    return sorted(release_records(fires)["record_id"])


def test_fields_get_their_names_and_units() -> None:
    record = release_records(
        frap_fires({"FIRE_NAME": "GORGE ", "IRWINID": "{A4507E4F-0145}", "COMPLEX_ID": "00000000"})
    )
    assert record["fire_name"][0] == "GORGE"
    assert record["irwin_id"][0] == "a4507e4f-0145"
    assert record["complex_id"].isna()[0]
    assert record["reported_area_ha"][0] == pytest.approx(100, rel=1e-6)


def test_names_of_fields_may_vary() -> None:
    fires = frap_fires({}, {"FIRE_NAME": None}).rename(columns=str.lower).rename(columns={"year_": "Year"})
    text = fires.assign(Year=["2020", " 2020 "], c_method=["1", ""])
    assert release_records(text)["c_method"].isna().sum() == 1
    assert _ids(text) == _ids(frap_fires({}, {"FIRE_NAME": None}))


def test_prescribed_burns_have_fields_of_their_own() -> None:
    burns = gpd.GeoDataFrame(
        {
            "TREATMENT_NAME": ["OAK", None],
            "YEAR_": ["2019", None],
            "START_DATE": pd.to_datetime(["2019-11-02", None]),
            "END_DATE": pd.to_datetime(["2019-11-04", None]),
            "TREATED_AC": [ACRES, np.nan],
        },
        geometry=[square(5), square(6)],
        crs=3310,
    )
    records = release_records(frap_fires({}), burns).set_index("kind").sort_values("fire_name").loc["prescribed"]
    assert records["fire_name"].tolist()[0] == "OAK"
    assert records["containment_date"].iloc[0] == pd.Timestamp("2019-11-04", tz="UTC")
    assert records["fire_year"].isna().tolist() == [False, True]


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(7)))
def test_identity_does_not_depend_on_the_order(order: list[int]) -> None:
    fires = frap_fires(
        {},
        {"GLOBALID": "{ABCD}"},
        {"INC_NUM": "00000000", "FIRE_NAME": None},
        {"INC_NUM": "00000000", "FIRE_NAME": None, "ALARM_DATE": pd.Timestamp("2020-09-01", tz="UTC")},
        {"INC_NUM": "00000000", "FIRE_NAME": None},
        {"INC_NUM": "00000000", "FIRE_NAME": None, "geometry": square(2)},
        {"INC_NUM": "00000000", "FIRE_NAME": None, "geometry": None},
    )
    expected = release_records(fires)
    found = release_records(fires.iloc[order])
    assert RELEASE_RECORDS.content_hash(found) == RELEASE_RECORDS.content_hash(expected)
    assert sorted(i.rsplit("-", 1)[-1] for i in expected["record_id"] if "-" in i) == ["2", "3", "4"]
    assert "abcd" in set(expected["record_id"])


def test_a_corrected_date_and_area_leave_the_identity() -> None:
    before = frap_fires({"FIRE_NAME": "ATHENS"}, {})
    after = frap_fires(
        {"FIRE_NAME": "ATHENS", "ALARM_DATE": pd.Timestamp("2020-03-01", tz="UTC"), "GIS_ACRES": 300.0}, {}
    )
    assert _ids(before) == _ids(after)


def test_a_shared_global_id_is_no_identity() -> None:
    ids = _ids(frap_fires({"GlobalID": "{AB}"}, {"GlobalID": "{ab}"}, {"GlobalID": "{CD}"}))
    assert "ab" not in ids
    assert "cd" in ids
    assert len(set(ids)) == 3


def test_coordinates_come_out_in_california_albers() -> None:
    fires = frap_fires({})
    found = release_records(fires.to_crs(4326))
    assert found.crs == "EPSG:3310"
    assert found.geometry[0].hausdorff_distance(fires.geometry[0]) < 0.01


def test_an_absurd_year_counts_as_none() -> None:
    assert release_records(frap_fires({"YEAR_": 0}, {"YEAR_": 9999}, {}))["fire_year"].isna().sum() == 2


def test_a_missing_field_is_named_with_those_there() -> None:
    with pytest.raises(InputError, match=r"layer x lacks YEAR_, CONT_DATE; its fields are STATE.*release\.fire_layer"):
        normalise(frap_fires({}).drop(columns=["YEAR_", "CONT_DATE"]), "fire", "layer x")


def test_a_year_that_is_text_is_named() -> None:
    with pytest.raises(InputError, match=r"layer x: field YEAR_ holds 'unknown' in 1 record"):
        normalise(frap_fires({"YEAR_": "unknown"}, {"YEAR_": "2020"}), "fire", "layer x")
    with pytest.raises(InputError, match="only whole numbers"):
        normalise(frap_fires({"YEAR_": 2020.5}), "fire", "layer x")


def test_all_zeros_are_no_number() -> None:
    numbers = pd.Series(["00000000", "0000 0", None, "", "00000010", "0000034l"], dtype="string")
    assert is_blank_number(numbers).tolist() == [True, True, True, True, False, False]


def test_an_empty_layer_is_an_empty_release() -> None:
    empty = to_records([normalise(frap_fires({}).iloc[:0], "fire", "layer x")])
    assert len(empty) == 0
