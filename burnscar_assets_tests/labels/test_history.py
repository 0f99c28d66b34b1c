from typing import Any

import pandas as pd
from shapely.geometry import GeometryCollection, Polygon

from burnscar_assets.labels.history import burn_history
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets_tests.labels.label_records import frap_fires, release_records, square

LIMITS = PerimeterSettings(scar_years=10, scar_years_prescribed=3)


def _fire(year: int | None, **changes: Any) -> dict[str, Any]:
    day = pd.NaT if year is None else pd.Timestamp(year=year, month=8, day=1, tz="UTC")
    return {"YEAR_": year, "FIRE_NAME": str(year), "ALARM_DATE": day, "CONT_DATE": day} | changes


def _names(fires: list[dict[str, Any]], burns: list[dict[str, Any]], year: int = 2020) -> dict[str, set[str]]:
    records = release_records(frap_fires(*fires), frap_fires(*burns) if burns else None)
    history = burn_history(records, year, LIMITS).burns
    assert history["burn_id"].is_monotonic_increasing
    return {kind: set(history.loc[history["kind"] == kind, "name"]) for kind in ("fire", "prescribed")}


def test_the_years_that_could_still_show() -> None:
    years = [2009, 2010, 2015, 2019, 2020, 2021]
    burns = [2016, 2017, 2020, 2021, None]
    found = _names([_fire(y) for y in years], [_fire(y) for y in burns])
    assert found["fire"] == {"2010", "2015", "2019", "2020"}
    assert found["prescribed"] == {"2017", "2020", "None"}


def test_what_is_no_label_is_kept_off_all_the_same() -> None:
    late = pd.Timestamp("2021-09-07", tz="UTC")
    found = _names([_fire(2020, CONT_DATE=late, FIRE_NAME="TIVY"), _fire(None), _fire(2020, CONT_DATE=pd.NaT)], [])
    assert found["fire"] == {"TIVY", "None", "2020"}


def test_a_burns_year_and_its_dates_while_images_may_lie_on_both_sides_of_it() -> None:
    late = pd.Timestamp("2019-12-20", tz="UTC")
    fires = [_fire(year) for year in (2018, 2019, 2020)] + [_fire(2018, FIRE_NAME="LONG", CONT_DATE=late)]
    yearless = _fire(2020, YEAR_=None, FIRE_NAME="YEARLESS"), _fire(None, FIRE_NAME="UNDATED")
    history = burn_history(release_records(frap_fires(*fires, *yearless)), 2020, LIMITS).burns.set_index("name")
    assert history["burn_year"].dropna().astype(int).to_dict() == {
        "2018": 2018, "2019": 2019, "2020": 2020, "LONG": 2018, "YEARLESS": 2020
    }  # fmt: skip
    assert set(history.index[history["alarm_date"].notna()]) == {"2019", "2020", "LONG", "YEARLESS"}
    assert history.loc["LONG", "containment_date"] == late and history.loc["LONG", "alarm_date"].year == 2018


def test_a_year_and_dates_that_disagree_count_for_both() -> None:
    early = pd.Timestamp("2020-12-28", tz="UTC")
    late = pd.Timestamp("2010-01-02", tz="UTC")
    fires = [_fire(2021, ALARM_DATE=early, FIRE_NAME="ALARM"), _fire(2009, CONT_DATE=late, FIRE_NAME="CONTAINED")]
    assert _names(fires, [])["fire"] == {"ALARM", "CONTAINED"}


def test_the_next_years_first_fires_show_in_imagery_of_a_december_fire() -> None:
    days = {"PALISADES": "2021-01-07", "MARCH": "2021-03-31", "APRIL": "2021-04-01", "UNDATED": None, "LATER": None}
    fires = [
        _fire(2022 if name == "LATER" else 2021, FIRE_NAME=name, ALARM_DATE=pd.Timestamp(day, tz="UTC"))
        for name, day in days.items()
    ]
    assert _names(fires, [])["fire"] == {"PALISADES", "MARCH", "UNDATED"}


def test_geometry_is_repaired_and_empty_ones_are_left_out() -> None:
    bow_tie = Polygon([(0, 0), (900, 900), (900, 0), (0, 900)])
    records = release_records(frap_fires({}, {"geometry": bow_tie}, {"geometry": None}, {"geometry": Polygon()}))
    history = burn_history(records, 2020, LIMITS).burns
    assert len(history) == 2
    assert history.geometry.is_valid.all()


def test_ground_that_burned_stays_when_its_geometry_is_no_polygon() -> None:
    ring = square(1).exterior
    mixed = GeometryCollection([square(2), ring])
    records = release_records(frap_fires({"geometry": mixed}, {"geometry": ring}, {"geometry": None}))
    history = burn_history(records, 2020, LIMITS)
    assert history.burns.geometry.area.tolist() == [1e6, 1e6]
    assert list(history.hulls.values()) == ["no polygon in it, but LinearRing"]
    assert list(history.left_out.values()) == ["no geometry"]


def test_a_year_without_burns_has_an_empty_history() -> None:
    assert len(burn_history(release_records(frap_fires({})), 1990, LIMITS).burns) == 0
