import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.labels.fields import is_blank_number
from burnscar_assets.labels.normalise import normalise, to_records
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
    with pytest.raises(InputError, match=r"layer x lacks YEAR_, ALARM_DATE; its fields are STATE.*release\.fire_layer"):
        normalise(frap_fires({}).drop(columns=["YEAR_", "ALARM_DATE"]), "fire", "layer x")


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


ALIASES = {
    "YEAR_": ["Year", "Fire Year", "fire-year"],
    "FIRE_NAME": ["Fire Name", "firename", "Fire.Name"],
    "INC_NUM": ["Local Incident Number", "Local Inci", "LOCAL_INCI"],
    "ALARM_DATE": ["Alarm Date", "AlarmDate"],
    "CONT_DATE": ["Containment Date", "Containmen", "CONTAINMEN"],
    "GIS_ACRES": ["GIS Calculated Acres", "GIS Calcul", "GIS_CALCUL", "Gis Acres"],
    "COMPLEX_NAME": ["Complex Name", "COMPLEX_NA", "Complex Na"],
    "IRWINID": ["IRWIN ID", "irwin_id"],
    "UNIT_ID": ["Unit ID", "unitid"],
    "C_METHOD": ["Collection Method", "Collection", "c method"],
}


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({name: st.sampled_from(names) for name, names in ALIASES.items()}))
def test_the_publishers_other_names_of_fields_give_the_same_records(names: dict[str, str]) -> None:
    fires = frap_fires({}, {"COMPLEX_NAME": "A COMPLEX"})
    expected, found = release_records(fires), release_records(fires.rename(columns=names))
    assert RELEASE_RECORDS.content_hash(found) == RELEASE_RECORDS.content_hash(expected)


def test_of_two_fields_that_match_one_is_read_and_that_is_said() -> None:
    notes: list[str] = []
    both = frap_fires({}).assign(**{"Alarm Date": pd.Timestamp("2020-01-01", tz="UTC"), "TREATMENT_NAME": "X"})
    found = normalise(both, "fire", "layer x", notes)
    assert found["alarm_date"].dt.month.tolist() == [8]
    assert notes == [
        "layer x: of the fields FIRE_NAME, TREATMENT_NAME, FIRE_NAME is read",
        "layer x: of the fields ALARM_DATE, Alarm Date, ALARM_DATE is read",
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Lu"]), max_size=12))
def test_names_come_in_without_control_characters(name: str) -> None:
    notes: list[str] = []
    given_name = pd.Series([f"A{name}B"], dtype=object)
    found = normalise(frap_fires({}).assign(FIRE_NAME=given_name), "fire", "layer x", notes)["fire_name"][0]
    assert re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", found) is None
    assert found.startswith("A") and found.endswith("B")
    assert bool(notes) == (found != f"A{name}B")
    found.encode()


def test_years_that_are_none_and_dates_of_the_future_are_noted() -> None:
    notes: list[str] = []
    odd = {"YEAR_": 218, "ALARM_DATE": pd.Timestamp("0218-08-01", tz="UTC").as_unit("us")}
    later = {"YEAR_": 2190, "CONT_DATE": pd.Timestamp("2190-08-01", tz="UTC")}
    rows = normalise(frap_fires({}, {}, {}, odd, later), "fire", "layer x", notes)
    assert rows["fire_year"].isna().tolist() == [False] * 3 + [True] * 2
    assert "YEAR_ is no year from 1850 to now in 2 record(s), as 218" in notes[0]
    assert "before 1850 or in the future in 1 record(s), as 218-08-01" in notes[1].replace("0218", "218")
    assert "as 2190-08-01" in notes[2]


def test_a_layer_whose_years_or_alarms_are_mostly_no_such_is_refused() -> None:
    fires = frap_fires(*({} for _ in range(6)))
    with pytest.raises(InputError, match=r"fire years such as 218, which are no years from 1850 to now"):
        normalise(fires.assign(YEAR_=218), "fire", "layer x")
    early = fires.assign(ALARM_DATE=pd.Timestamp("1970-01-19", tz="UTC"))
    with pytest.raises(InputError, match=r"6 of 6 alarm dates .* 1970-01-19 of 2020: seconds or day numbers"):
        normalise(early, "fire", "layer x")


def test_codes_that_come_as_text_and_areas_in_hectares_are_read() -> None:
    notes: list[str] = []
    fires = frap_fires({"CAUSE": "1 - Lightning"}, {"CAUSE": "Lightning"}, {"CAUSE": None}).assign(HECTARES=50.0)
    rows = normalise(fires.assign(GIS_ACRES=["1,000.5", None, None]), "fire", "layer x", notes)
    assert rows["cause"].tolist() == [1, pd.NA, pd.NA]
    assert notes == ["layer x: CAUSE is no code in 1 record(s) and counts as missing"]
    assert rows["reported_area_ha"].round(1).tolist() == [404.9, 50.0, 50.0]
