"""Contained fires become perimeters to be mapped, unless the release has them; every record is accounted for."""

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from burnscar_assets.labels.in_season import InSeasonPerimeters, clean_in_season, season_burns, superseded_by
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.settings import InSeasonSettings, PerimeterSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, IN_SEASON_PERIMETERS, RELEASE_RECORDS
from burnscar_assets_tests.labels.label_records import frap_fires, release_records, square
from burnscar_assets_tests.labels.wfigs_records import BURNING, as_season, irwin, wfigs_fires

ALARM, CONTAINED = pd.Timestamp("2026-07-01", tz="UTC"), pd.Timestamp("2026-07-08", tz="UTC")


def clean(*changes: dict[str, Any], labels: gpd.GeoDataFrame | None = None) -> InSeasonPerimeters:
    records = as_season(wfigs_fires(*changes))
    found = FIRE_PERIMETERS.empty() if labels is None else labels
    return clean_in_season(records, found, 2026, InSeasonSettings(), PerimeterSettings())


def labels(*changes: dict[str, Any]) -> gpd.GeoDataFrame:
    """The release's perimeters of 2026, without IRWIN ids unless the changes say so."""
    year = {"YEAR_": 2026, "ALARM_DATE": ALARM, "CONT_DATE": CONTAINED, "IRWINID": None}
    records = release_records(frap_fires(*(year | change for change in changes)))
    return clean_perimeters(records, 2026, PerimeterSettings(), simulated=False).perimeters


def fire(number: int) -> str:
    return "wfigs-" + irwin(number).strip("{}").lower()


def test_contained_fires_are_ready_and_all_others_have_their_reason() -> None:
    same = {"attr_IrwinID": irwin(0), "poly_IRWINID": irwin(0), "poly_DateCurrent": "2026-07-02T12:00"}
    found = clean(
        {},
        BURNING,
        {"attr_ContainmentDateTime": "2026-12-02T20:00"},
        {"attr_IncidentTypeCategory": "RX"},
        same,
        {"geometry": square(5, side_m=200)},
        {"attr_FireDiscoveryDateTime": "2026-07-20T12:00"},
        {"geometry": square(7, side_m=300).boundary},
        {"poly_MapMethod": "Hand Sketch", "poly_GISAcres": 282_460_019.3},
    )
    reasons = dict(zip(found.rejects["record_id"], found.rejects["reason"], strict=True))
    assert reasons == {
        fire(1): "not_contained",
        fire(2): "not_contained",
        fire(3): "not_a_wildfire",
        f"{fire(0)}-2": "older_perimeter",
        fire(5): "below_minimum_area",
        fire(6): "containment_before_alarm",
        fire(7): "unusable_geometry",
    }
    details = found.rejects.set_index("record_id")["detail"]
    assert details[fire(1)] == "40 % contained" and details[fire(2)] == "expected for 2026-12-02"
    ready = found.perimeters.set_index("fire_id")
    assert list(ready.index) == [fire(0), fire(8)]
    assert ready.loc[fire(8), "flags"] == ["area_mismatch", "hand_drawn"]
    assert set(ready["source"]) == {"wfigs"} and set(ready["contained_by"]) == {"containment"}
    summary = found.summary
    assert (summary.records, summary.ready, summary.not_contained, summary.superseded) == (9, 2, 2, 0)


def test_all_that_burned_and_may_show_is_known_contained_or_not() -> None:
    same = {"attr_IrwinID": irwin(0), "poly_IRWINID": irwin(0), "poly_DateCurrent": "2026-07-02T12:00"}
    changes = [{}, BURNING, {"attr_ContainmentDateTime": "2026-12-02T20:00"}, {"attr_IncidentTypeCategory": "RX"}]
    changes += [{"attr_IncidentTypeCategory": "CX"}, same]
    records = as_season(wfigs_fires(*changes))
    scars = [
        {"YEAR_": day.year, "ALARM_DATE": day, "CONT_DATE": day}
        for day in (ALARM.replace(year=2024), ALARM.replace(year=1950))
    ]
    release = release_records(frap_fires(*scars))
    settings = PerimeterSettings()
    burns = season_burns(records, release, 2026, settings).set_index("burn_id")
    older = release.loc[release["fire_year"] == 2024, "record_id"].to_list()
    assert sorted(burns.index) == sorted([*(fire(number) for number in range(5)), *older])
    assert (burns.loc[[fire(number) for number in range(5)], "burn_year"] == 2026).all()
    assert burns.loc[fire(3), "kind"] == "prescribed" and burns.loc[fire(1), "containment_date"] is pd.NaT
    alone = season_burns(records, RELEASE_RECORDS.empty(), 2026, settings)
    assert len(alone) == 5
    assert season_burns(records[:0], RELEASE_RECORDS.empty(), 2026, settings).empty


def test_perimeters_have_the_columns_of_labels_and_say_their_source() -> None:
    extra = set(IN_SEASON_PERIMETERS.column_names) - set(FIRE_PERIMETERS.column_names)
    assert set(FIRE_PERIMETERS.column_names) <= set(IN_SEASON_PERIMETERS.column_names)
    assert extra == {"incident_id", "contained_by"}


@pytest.mark.parametrize(
    ("release", "superseded"),
    [
        ({"IRWINID": irwin(0).lower(), "geometry": square(9)}, True),
        ({"FIRE_NAME": "Season 0 Fire", "geometry": square(0, x=900)}, True),
        ({"FIRE_NAME": "SEASON 0", "geometry": square(9)}, False),
        ({"FIRE_NAME": "ANOTHER", "geometry": square(0, x=400)}, True),
        ({"FIRE_NAME": "ANOTHER", "geometry": square(0, x=900)}, False),
        ({"FIRE_NAME": "ANOTHER", "ALARM_DATE": ALARM - pd.Timedelta(days=30)}, True),
        ({"FIRE_NAME": "ANOTHER", "ALARM_DATE": ALARM - pd.Timedelta(days=30), "geometry": square(0, x=400)}, False),
        ({"FIRE_NAME": None, "geometry": square(0, x=900)}, False),
    ],
)
def test_the_release_supersedes_by_irwin_id_or_by_ground_with_name_or_days(
    release: dict[str, Any], superseded: bool
) -> None:
    found = clean({"attr_IncidentName": "SEASON 0"}, {}, labels=labels(release))
    assert (fire(0) not in set(found.perimeters["fire_id"])) == superseded
    assert fire(1) in set(found.perimeters["fire_id"])
    assert found.summary.superseded == int(superseded)
    if superseded:
        assert found.rejects["detail"].iloc[0].startswith("the release has it: ")


def test_no_fire_is_in_both_whatever_the_order() -> None:
    random = np.random.default_rng(5)
    release = labels(*({"IRWINID": irwin(number)} for number in range(0, 12, 2)))
    changes = [{"geometry": square(number)} for number in range(12)]
    records = as_season(wfigs_fires(*changes))
    for _ in range(5):
        rows = records.iloc[random.permutation(len(records))].reset_index(drop=True)
        found = clean_in_season(rows, release, 2026, InSeasonSettings(), PerimeterSettings())
        assert superseded_by(found.perimeters, release).isna().all()
        assert IN_SEASON_PERIMETERS.content_hash(found.perimeters) == IN_SEASON_PERIMETERS.content_hash(
            clean_in_season(records, release, 2026, InSeasonSettings(), PerimeterSettings()).perimeters
        )
        assert len(found.perimeters) + len(found.rejects) == len(records)


def test_a_season_without_records_is_a_season_without_fires() -> None:
    records = as_season(wfigs_fires({})).iloc[:0]
    found = clean_in_season(records, FIRE_PERIMETERS.empty(), 2026, InSeasonSettings(), PerimeterSettings())
    assert found.perimeters.empty and found.rejects.empty and found.summary.records == 0
