from collections.abc import Callable
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from burnscar_assets.labels.history import burn_history
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.release_changes import changed_years, release_versions
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets.storage.changes import Changes
from burnscar_assets.storage.contracts import BURN_HISTORY, FIRE_PERIMETER_REJECTS, FIRE_PERIMETERS, RELEASE_RECORDS
from burnscar_assets_tests.labels.label_records import frap_fires, release_records, square

LIMITS = PerimeterSettings(scar_years=10, scar_years_prescribed=3)
YEARS = (2019, 2020, 2021)

Edit = Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]


def _burn(year: int | None, name: str) -> dict[str, Any]:
    day = pd.NaT if year is None else pd.Timestamp(year=year, month=8, day=1, tz="UTC")
    return {"YEAR_": year, "FIRE_NAME": name, "ALARM_DATE": day, "CONT_DATE": day}


def _release() -> gpd.GeoDataFrame:
    """Wildfires of 1950, 2008 to 2022 and of no year, two a year; prescribed burns of 2014 and 2018."""
    years = [1950, *range(2008, 2023)]
    fires = [_burn(year, f"{name} {year}") for year in years for name in ("A", "B")]
    burns = [_burn(2014, "RX 2014"), _burn(2018, "RX 2018")]
    return release_records(frap_fires(*fires, _burn(None, "UNDATED")), frap_fires(*burns))


def _with(name: str, **values: Any) -> Edit:
    def edit(records: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        edited = records.copy()
        row = edited.index[edited["fire_name"] == name][0]
        for column, value in values.items():
            edited.loc[row, column] = value
        return edited

    return edit


def _without(name: str) -> Edit:
    return lambda records: records[records["fire_name"] != name].reset_index(drop=True)


def _years_touched(edit: Edit) -> set[int]:
    records = _release()
    before, after = (release_versions(r, range(2008, 2023), LIMITS) for r in (records, edit(records)))
    return {year for year in before if before[year] != after.get(year)}


def test_what_was_edited_added_and_removed_is_counted_by_year() -> None:
    records = _release()
    edited = _with("A 2020", geometry=square(500))(_with("RX 2018", c_method=6)(records))
    after = _without("B 2019")(edited)
    assert {year: str(change) for year, change in changed_years(records, after).items()} == {
        2018: "1 prescribed burn changed",
        2019: "1 fire removed",
        2020: "1 fire changed",
    }
    assert changed_years(after, records)[2019].fires == Changes(kept=1, added=1, changed=0, removed=0)


def test_a_corrected_year_leaves_one_year_and_enters_the_other() -> None:
    records = _release()
    changes = changed_years(records, _with("A 2020", fire_year=2021)(records))
    assert {year: str(change) for year, change in changes.items()} == {2020: "1 fire removed", 2021: "1 fire added"}


def test_order_and_noise_are_no_change() -> None:
    records = _release()
    noisy = records.sample(frac=1, random_state=0).assign(geometry=lambda r: r.geometry.translate(1e-5, -1e-5))
    assert changed_years(records, noisy) == {}
    assert release_versions(noisy, YEARS, LIMITS) == release_versions(records, YEARS, LIMITS)


def test_against_nothing_all_is_new() -> None:
    changes = changed_years(RELEASE_RECORDS.empty(), _release())
    assert str(changes[2020]) == "2 fires added"
    assert str(changes[2014]) == "2 fires added, 1 prescribed burn added"
    assert len(changes) == 16, "the fire without a year is in none"


def test_years_without_a_wildfire_have_no_version() -> None:
    versions = release_versions(_release(), [1949, 1950, 2018, 2022, 2023], LIMITS)
    assert list(versions) == [1950, 2018, 2022]
    assert len(set(versions.values())) == 3


@pytest.mark.parametrize(
    ("edit", "years"),
    [
        (_with("A 1950", geometry=square(500)), set()),
        (_with("A 2010", geometry=square(500)), set(range(2010, 2021))),
        (_without("A 2010"), set(range(2010, 2021))),
        (_with("A 2010", cause=9), {2010}),
        # the histories of a burn's own year and of the next tell when it burned, for maps
        (_with("A 2010", containment_date=pd.Timestamp("2010-08-02", tz="UTC")), {2010, 2011}),
        (_with("A 2010", containment_date=pd.Timestamp("2011-08-02", tz="UTC")), {2010, 2011, 2012, 2021}),
        (_with("RX 2014", geometry=square(500)), set(range(2014, 2018))),
        (_with("RX 2014", cause=9), set()),
        (_with("UNDATED", geometry=square(500)), set(range(2008, 2023))),
        (_with("A 2021", alarm_date=pd.Timestamp("2021-01-05", tz="UTC")), {2020, 2021, 2022}),
    ],
)
def test_an_edit_touches_the_years_that_read_the_record(edit: Edit, years: set[int]) -> None:
    assert _years_touched(edit) == years


def test_a_version_changes_if_and_only_if_what_is_made_from_it_does() -> None:
    """Random edits, against the stages themselves: no change may be missed, none seen in a year they leave alone."""
    records, random = _release(), np.random.default_rng(0)
    edits = (
        {"geometry": square(600)}, {"fire_name": "NEW"}, {"fire_year": 2016}, {"agency": "USF"},
        {"containment_date": pd.Timestamp("2015-09-01", tz="UTC")}, {"fire_year": None},
    )  # fmt: skip
    made = {year: _made(records, year) for year in YEARS}
    versions = release_versions(records, YEARS, LIMITS)
    for _ in range(24):
        name = random.choice(records["fire_name"].to_numpy(dtype=str))
        edited = _with(name, **edits[random.integers(len(edits))])(records)
        after = release_versions(edited, YEARS, LIMITS)
        for year in YEARS:
            labels, burns = zip(_made(edited, year), made[year], strict=True)
            assert (after[year].fires != versions[year].fires) == (labels[0] != labels[1]), (name, year)
            assert (after[year].burns != versions[year].burns) == (burns[0] != burns[1]), (name, year)


def _made(records: gpd.GeoDataFrame, year: int) -> tuple[tuple[str, str], str]:
    """Hashes of the labels with their rejects, and of the burn history."""
    cleaned = clean_perimeters(records, year, LIMITS, simulated=False)
    labels = (
        FIRE_PERIMETERS.content_hash(cleaned.perimeters), FIRE_PERIMETER_REJECTS.content_hash(cleaned.rejects)
    )  # fmt: skip
    return labels, BURN_HISTORY.content_hash(burn_history(records, year, LIMITS).burns)


@pytest.mark.real_data
def test_one_edit_among_all_records_of_the_state(statewide_records: gpd.GeoDataFrame) -> None:
    row = statewide_records.index[statewide_records["fire_name"] == "CALDOR"][0]
    edited = statewide_records.copy()
    edited.loc[row, "reported_area_ha"] += 1.0
    changes = changed_years(statewide_records, edited)
    assert {year: str(change) for year, change in changes.items()} == {2021: "1 fire changed"}
    before, after = (release_versions(r, range(2015, 2024), LIMITS) for r in (statewide_records, edited))
    assert {year for year in before if before[year] != after[year]} == {2021, 2022, 2023}
