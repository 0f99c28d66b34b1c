"""WFIGS's perimeters are read by page and by year, and become records that say where they are from."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.season_source import observe_season, read_season
from burnscar_assets.labels.watch import SourceState
from burnscar_assets.settings import InSeasonSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, square
from burnscar_assets_tests.labels.label_servers import ArcGisSite, serving
from burnscar_assets_tests.labels.wfigs_records import BURNING, WfigsSite, as_season, irwin, wfigs_fires

SERVICE = "/arcgis/rest/services/WFIGS_Interagency_Perimeters/FeatureServer/0"
NOWHERE = DataRoot(Path("/nowhere"))
"""Nothing is read from a data root, nor written there."""


def read(site: ArcGisSite, fire_year: int = 2026, **changes: Any) -> gpd.GeoDataFrame:
    with serving(site) as address:
        return read_season(InSeasonSettings(source=address + SERVICE, **changes), NOWHERE, fire_year)


def look(site: ArcGisSite, had_records: int = 0) -> SourceState:
    known = SourceState("", "rest", "", {"records": had_records})
    with serving(site) as address:
        return observe_season(InSeasonSettings(source=address + SERVICE), NOWHERE, 2026, known)


def record(**changes: Any) -> pd.Series:
    return as_season(wfigs_fires(changes)).iloc[0]


@pytest.mark.parametrize("formats", ["JSON, geoJSON", "JSON"])
def test_pages_of_the_state_and_the_year_are_read(formats: str) -> None:
    others = (
        {"attr_POOState": "US-NV"},
        {"attr_FireDiscoveryDateTime": "2027-01-02T08:00"},
        {"attr_FireDiscoveryDateTime": "2025-12-31T07:59"},
    )
    asked = (
        {"attr_FireDiscoveryDateTime": "2027-01-01T08:00"},
        {"attr_FireDiscoveryDateTime": "2026-01-01T07:59"},
    )
    site = WfigsSite(wfigs_fires({}, {}, {"attr_FireDiscoveryDateTime": "2027-01-01T07:59"}, {}, {}, *asked, *others))
    site.max_record_count, site.formats = 2, formats
    records = read(site)
    assert len(records) == 5, "midnight in California ends the year"
    assert len([query for query in site.queries if "resultOffset" in query]) == 4, "with a day about the year"
    assert set(records["source"]) == {"wfigs"} and set(records["fire_year"]) == {2026}
    first = records.iloc[0]
    assert first["record_id"] == "wfigs-" + irwin(0).strip("{}").lower()
    assert (first["fire_name"], first["unit_id"], first["inc_num"]) == ("SEASON 0", "NEU", "000000")
    assert (first["cause"], first["c_method"]) == (1, 7)
    assert f"{first['alarm_date']:%F} {first['containment_date']:%F}" == "2026-07-01 2026-07-08", "days in California"
    assert first["geometry"].area == pytest.approx(1e6, rel=1e-6)
    assert first["reported_area_ha"] == pytest.approx(100, rel=1e-6)


def test_a_season_without_a_fire_is_empty_and_a_layer_of_other_fields_is_refused() -> None:
    assert read(WfigsSite(wfigs_fires({})), fire_year=2030).empty
    rows = frap_fires({}).assign(OBJECTID=1, ALARM_DATE=0, CONT_DATE=0)
    with pytest.raises(InputError, match=r"lacks attr_Fire.*attr_POOState.*check in_season\.source"):
        look(ArcGisSite(rows))
    with pytest.raises(InputError, match=r"check in_season\.source"):
        read(WfigsSite(wfigs_fires({}), errors=[{"code": 400, "message": "Invalid URL"}]))


@pytest.mark.parametrize(
    ("changes", "day", "by"),
    [
        ({}, "2026-07-08", "containment"),
        ({"attr_PercentContained": None}, "2026-07-08", "containment"),
        ({"attr_ContainmentDateTime": None, "attr_ControlDateTime": "2026-07-09T12:00"}, "2026-07-09", "control"),
        (BURNING | {"attr_FireOutDateTime": "2026-07-09T12:00"}, "2026-07-09", "out"),
        ({"attr_ContainmentDateTime": None}, "2026-07-08", "perimeter"),
        ({"attr_ContainmentDateTime": None, "poly_DateCurrent": "2026-08-01T12:00"}, "2026-07-07", "perimeter"),
        (
            {"attr_ContainmentDateTime": None}
            | dict.fromkeys(("poly_DateCurrent", "poly_PolygonDateTime"), "2026-08-01T12:00"),
            None,
            None,
        ),
        (BURNING, None, None),
        ({"attr_ContainmentDateTime": "2026-12-02T20:00"}, "2026-12-02", "expected"),
    ],
)
def test_what_tells_that_a_fire_is_contained(changes: dict[str, Any], day: str | None, by: str | None) -> None:
    found = record(**changes)
    assert (None if pd.isna(found["containment_date"]) else f"{found['containment_date']:%F}") == day
    assert (None if pd.isna(found["contained_by"]) else found["contained_by"]) == by


def test_the_newest_perimeter_has_the_identity_of_the_fire_whatever_the_order() -> None:
    same = {"attr_IrwinID": irwin(7), "poly_IRWINID": irwin(7)}
    days = ("2026-07-03T12:00", "2026-07-08T12:00", None)
    rows = wfigs_fires(*(same | {"poly_DateCurrent": day} for day in days))
    for shuffled in (rows, rows.iloc[::-1].reset_index(drop=True)):
        records = as_season(shuffled).set_index("record_id")
        fire = "wfigs-" + irwin(7).strip("{}").lower()
        assert set(records.index) == {fire, f"{fire}-2", f"{fire}-3"}
        assert set(records["newest_id"]) == {fire}
        assert f"{records.loc[fire, 'perimeter_date']:%F}" == "2026-07-08"


def test_a_fire_without_irwin_id_is_known_by_its_other_identifiers() -> None:
    nameless = {"attr_IrwinID": None, "poly_IRWINID": None}
    assert record(**nameless | {"poly_IRWINID": irwin(3)})["irwin_id"] == irwin(3).strip("{}").lower()
    assert record(**nameless)["record_id"] == "wfigs-2026-caneu-000000"
    assert record(**nameless | {"attr_UniqueFireIdentifier": None})["record_id"].startswith("wfigs-90000000-")


def test_any_change_that_matters_is_seen_and_no_perimeter_is_fetched() -> None:
    fires = wfigs_fires({}, BURNING, {"attr_POOState": "US-NV"})
    changed = [
        wfigs_fires({}, {}, {"attr_POOState": "US-NV"}),
        wfigs_fires({}, BURNING | {"attr_PercentContained": 60.0}, {"attr_POOState": "US-NV"}),
        wfigs_fires({}, BURNING | {"poly_GISAcres": 300.0}, {"attr_POOState": "US-NV"}),
        wfigs_fires({"poly_DateCurrent": "2026-07-08T13:00"}, BURNING, {"attr_POOState": "US-NV"}),
        wfigs_fires({"attr_ModifiedOnDateTime_dt": "2026-07-12T00:00"}, BURNING, {"attr_POOState": "US-NV"}),
        wfigs_fires({}, BURNING, {"attr_POOState": "US-NV"}, {}),
    ]
    same = [
        fires.sample(frac=1, random_state=0),
        wfigs_fires({}, BURNING, {"attr_POOState": "US-NV", "poly_GISAcres": 9.0}, {"attr_POOState": "US-OR"}),
    ]
    site = WfigsSite(fires)
    versions = []
    with serving(site) as address:
        for rows in (fires, *same, *changed):
            site.rows = rows
            versions.append(observe_season(InSeasonSettings(source=address + SERVICE), NOWHERE, 2026).version)
    assert len(set(versions[:3])) == 1
    assert len(set(versions)) == 1 + len(changed)
    assert not any("resultOffset" in query for query in site.queries)


def test_a_service_without_statistics_says_what_that_means() -> None:
    state = look(WfigsSite(wfigs_fires({}, {}), statistics=False))
    assert state.facts["records"] == 2 and "each edit of the layer" in state.note
    assert look(WfigsSite(wfigs_fires({}), refuses_statistics=True)).note


def test_an_empty_answer_is_believed_only_where_there_were_few() -> None:
    elsewhere = WfigsSite(wfigs_fires({"attr_POOState": "US-NV"}))
    assert look(elsewhere).facts == look(elsewhere, had_records=2).facts == {"records": 0}
    with pytest.raises(SourceUnavailableError, match="loaded anew"):
        look(elsewhere, had_records=12)
    with pytest.raises(SourceUnavailableError, match=r"loaded anew.*in_season\.source"):
        look(WfigsSite(wfigs_fires({}).iloc[:0]))
    busy = {"code": 429, "message": "Too many requests", "details": []}
    with pytest.raises(SourceUnavailableError, match="429"):
        look(WfigsSite(wfigs_fires({}), errors=[busy]))


def test_text_is_cleaned_and_it_is_noted() -> None:
    notes: list[str] = []
    rows = wfigs_fires({}, {"attr_POOProtectingUnit": "CA\x00NEU"}, {})
    names = ["A\x1b[31mB\u202e\ud800", "Season 1", "Season 2"]
    rows["attr_IncidentName"] = pd.Series(names, dtype=object)
    records = as_season(rows, notes=notes)
    assert set(records["fire_name"]) == {"A[31MB", "SEASON 1", "SEASON 2"} and set(records["unit_id"]) == {"NEU"}
    taken_out = "control or unseen characters were taken out of"
    assert sorted(notes) == [
        f"layer: {taken_out} attr_IncidentName in 1 record(s)",
        f"layer: {taken_out} attr_POOProtectingUnit in 1 record(s)",
    ]


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda rows: rows.to_crs(4326).set_crs(3310, allow_override=True), "degrees"),
        (lambda rows: rows.set_crs(26910, allow_override=True), "EPSG:3310"),
        (lambda rows: rows.to_crs(3857).set_crs(26910, allow_override=True), "EPSG:3857"),
    ],
)
def test_coordinates_that_their_crs_denies_are_refused(count: int, mistake: Any, words: str) -> None:
    rows = mistake(wfigs_fires(*[{}] * count))
    with pytest.raises(InputError, match=f"look like .*{words}"):
        as_season(rows)


def test_a_fire_that_lies_elsewhere_among_others_is_kept_for_its_own_verdict() -> None:
    away = square(0, x=9e6)
    assert len(as_season(wfigs_fires({"geometry": away}, {}, {}))) == 3
    with pytest.raises(InputError, match="right CRS"):
        as_season(wfigs_fires(*[{"geometry": away}] * 6))
