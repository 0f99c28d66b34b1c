from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer
from shapely import affinity, transform

from burnscar_assets.labels.plausibility import find_suspicions
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.settings import ReleaseSettings
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, release_records

NOTHING = RELEASE_RECORDS.empty()


def _release(**fires_by_year: int) -> gpd.GeoDataFrame:
    """`y2020=12`: twelve fires of 2020; and twelve prescribed burns of 2020."""
    fires = [
        {
            "YEAR_": int(year[1:]),
            "FIRE_NAME": f"{year} {number}",
            "ALARM_DATE": pd.Timestamp(f"{year[1:]}-08-01", tz="UTC"),
        }
        for year, count in fires_by_year.items()
        for number in range(count)
    ]
    return release_records(frap_fires(*fires), frap_fires(*({"FIRE_NAME": f"RX {n}"} for n in range(12))))


def _all() -> gpd.GeoDataFrame:
    return _release(y2015=9, y2016=12, y2017=12, y2018=20, y2019=12, y2020=12)


def _drop(records: gpd.GeoDataFrame, year: int, count: int) -> gpd.GeoDataFrame:
    return records.drop(records.index[(records["fire_year"] == year) & (records["kind"] == "fire")][:count])


def _scaled(records: gpd.GeoDataFrame, year: int, factor: float) -> gpd.GeoDataFrame:
    side = np.sqrt(factor)
    shapes = [
        affinity.scale(shape, side, side) if of == year else shape
        for shape, of in zip(records.geometry, records["fire_year"], strict=True)
    ]
    return records.assign(geometry=gpd.GeoSeries(shapes, index=records.index, crs=records.crs))


def test_the_same_release_and_one_that_grew_are_plausible() -> None:
    records = _all()
    grown = _release(y2015=9, y2016=12, y2017=12, y2018=20, y2019=14, y2020=12, y2021=40)
    assert find_suspicions(records, records) == []
    assert find_suspicions(records, grown) == []
    assert find_suspicions(NOTHING, records) == []


def test_a_release_without_fires() -> None:
    records = _all()
    for before in (NOTHING, records):
        for after in (NOTHING, records[records["kind"] == "prescribed"]):
            assert find_suspicions(before, after) == ["the release has no fires at all"]


def test_half_of_the_fires_gone() -> None:
    records = _release(y2014=4, y2015=4, y2016=4)
    assert find_suspicions(records, _drop(_drop(records, 2014, 4), 2015, 1)) == []
    assert find_suspicions(records, _drop(_drop(records, 2014, 4), 2015, 2)) == ["6 of 12 fires are gone"]


def test_half_of_a_year_gone() -> None:
    records = _all()
    assert find_suspicions(records, _drop(records, 2018, 9)) == [], "9 of 20 are less than half"
    assert find_suspicions(records, _drop(records, 2015, 9)) == [], "a year of 9 fires may go"
    after = _drop(_drop(records, 2018, 10), 2016, 12)
    assert find_suspicions(records, after)[0] == "fires are gone from fire years 2016 (all 12), 2018 (10 of 20)"


def test_prescribed_burns_gone() -> None:
    records = _all()
    assert find_suspicions(records, records[records["kind"] == "fire"]) == ["12 of 12 prescribed burns are gone"]


@pytest.mark.parametrize(("factor", "suspicious"), [(0.45, True), (0.6, False), (1.9, False), (2.1, True)])
def test_the_area_of_an_older_year_changed(factor: float, suspicious: bool) -> None:
    records = _all()
    found = find_suspicions(records, _scaled(records, 2018, factor))
    assert found == ([f"the area burnt is another in fire year 2018 (2000 ha, now {2000 * factor:.0f})"] * suspicious)


@pytest.mark.parametrize("year", [2015, 2019, 2020])
def test_small_and_recent_years_may_change_in_area(year: int) -> None:
    records = _all()
    assert find_suspicions(records, _scaled(records, year, 3.0)) == []


def _nad27_taken_for_nad83(records: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Geographic coordinates of one datum given out as the other's."""
    to_degrees = Transformer.from_crs(3310, 4269, always_xy=True)
    from_degrees = Transformer.from_crs(4267, 3310, always_xy=True)

    def slip(xy: Any) -> Any:
        return np.column_stack(from_degrees.transform(*to_degrees.transform(*xy.T)))

    return records.assign(geometry=transform(records.geometry.to_numpy(), slip))


def test_another_datum_is_noticed() -> None:
    records = _all()
    (found,) = find_suspicions(records, _nad27_taken_for_nad83(records))
    assert "perimeters moved by more than 50 m" in found
    assert "coordinate reference system" in found


def test_degrees_in_place_of_metres_are_noticed() -> None:
    records = _all()
    degrees = records.to_crs(4326).set_crs(3310, allow_override=True)
    assert any("77 of 77 perimeters moved" in found for found in find_suspicions(records, degrees))


def test_a_minority_of_perimeters_may_move_far() -> None:
    records = _all()
    shapes = records.geometry.where(np.arange(len(records)) % 3 > 0, records.geometry.translate(5000, 0))
    assert find_suspicions(records, records.assign(geometry=shapes)) == []


def test_identities_dealt_anew_are_told_from_fires_lost() -> None:
    records = _all()
    renamed = records.assign(record_id="x" + records["record_id"])
    (found,) = find_suspicions(records, renamed)
    assert found.startswith("77 of 77 fires have another record_id")
    few = records.assign(record_id=records["record_id"].mask(records["fire_year"] == 2018, "x" + records["record_id"]))
    assert find_suspicions(records, few) == [], "twenty fires whose naming fields were corrected"


def test_empty_shapes_and_missing_attributes_are_no_suspicion() -> None:
    blank = {"FIRE_NAME": None, "ALARM_DATE": pd.NaT, "YEAR_": None}
    records = release_records(frap_fires({"geometry": None}, blank, blank, {}))
    assert find_suspicions(records, records) == []


@pytest.mark.real_data
def test_all_records_of_the_state(statewide_records: gpd.GeoDataFrame) -> None:
    newer = statewide_records[statewide_records["fire_year"].fillna(0) != 2023]
    assert find_suspicions(newer, statewide_records) == [], "a release that brings one more year"
    assert any("2023 (all " in found for found in find_suspicions(statewide_records, newer)), "and one that takes it"
    third = statewide_records.iloc[::3]
    assert "of 22261 fires are gone" in find_suspicions(statewide_records, third)[0]


@pytest.mark.real_data
def test_release_24_beside_itself(real_data: Any, root: DataRoot) -> None:
    records = fetch_release(ReleaseSettings(source=str(real_data / "frap" / "fire241gdb.zip")), root).records
    assert find_suspicions(records, records) == []
    assert any("moved" in found for found in find_suspicions(records, _nad27_taken_for_nad83(records)))
