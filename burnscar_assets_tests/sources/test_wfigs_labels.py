"""WFIGS's file reads as labels, whose polygons of an incident are one, what it reads in season."""

import pytest

from burnscar_assets.labels.normalise import normalise, to_records
from burnscar_assets.sources.load import load_source
from burnscar_assets_tests.labels.wfigs_records import as_season, irwin, wfigs_fires

ALIKE = ["kind", "fire_year", "fire_name", "agency", "inc_num", "irwin_id", "cause", "c_method", "alarm_date"]


def test_labels_and_the_season_agree() -> None:
    uncontained = {"attr_ContainmentDateTime": None, "poly_MapMethod": "GPS-Flight", "attr_FireCause": "Human"}
    rows = wfigs_fires(
        {},
        uncontained | {"attr_ControlDateTime": "2026-07-20T20:00"},
        uncontained | {"attr_IncidentTypeCategory": "RX", "poly_GISAcres": None},
        {"attr_IncidentTypeCategory": "CX"},
    )
    season = as_season(rows).set_index("irwin_id", drop=False)
    labels = to_records([normalise(rows, "fire", "layer x", source=load_source("wfigs"))])
    labels = labels.assign(fire_name=labels["fire_name"].str.upper()).set_index("irwin_id", drop=False)
    assert sorted(labels["record_id"]) == sorted(season["record_id"])
    season = season.loc[labels.index]
    assert labels[ALIKE].equals(season[ALIKE])
    reported = labels["end_kind"].notna()
    assert labels.loc[reported, "containment_date"].equals(season.loc[reported, "containment_date"])
    ends = labels.sort_values("fire_name")["end_kind"]
    assert ends.fillna("none").tolist() == ["contained", "controlled", "none", "contained"]


def test_polygons_of_one_incident_are_one_fire() -> None:
    rows = wfigs_fires({}, {"attr_IrwinID": irwin(0)}, {})
    found = to_records([normalise(rows, "fire", "layer x", source=load_source("wfigs"))])
    assert len(found) == 2 and found.geometry.area.max() == pytest.approx(2e6)
