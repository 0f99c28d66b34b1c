"""The dirt of the real records is recognised."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets.labels.fields import is_blank_number
from burnscar_assets.labels.history import burn_history
from burnscar_assets.labels.perimeters import CleanedPerimeters, clean_perimeters
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings
from burnscar_assets.storage.paths import DataRoot

pytestmark = pytest.mark.real_data

LIMITS = PerimeterSettings()


def _rejected(done: CleanedPerimeters, name: str) -> pd.Series:
    return done.rejects.set_index("fire_name").loc[name]


@pytest.mark.parametrize(
    ("name", "year", "reason", "days"),
    [
        ("TIVY", 2021, "containment_too_late", 365),
        ("GORGE", 2018, "containment_too_late", 365),
        ("PALM", 2015, "containment_before_alarm", -265),
        ("PERKIN", 2015, "containment_before_alarm", -87),
        ("SQUIRREL", 2017, "containment_before_alarm", -29),
    ],
)
def test_dates_that_cannot_be(
    statewide_records: gpd.GeoDataFrame, name: str, year: int, reason: str, days: int
) -> None:
    record = _rejected(clean_perimeters(statewide_records, year, LIMITS, simulated=False), name)
    assert record["reason"] == reason
    assert f": {days} d" in record["detail"]


def test_the_whole_table_reads(statewide_records: gpd.GeoDataFrame) -> None:
    assert len(statewide_records) == 22_261
    assert statewide_records["fire_year"].isna().sum() == 77
    assert 0.53 < statewide_records["containment_date"].isna().mean() < 0.58
    assert (statewide_records["inc_num"] == "00000000").sum() == 12_515
    assert is_blank_number(statewide_records["inc_num"]).sum() > 12_515
    assert statewide_records["record_id"].is_unique


def test_containment_is_missing_on_13_of_the_years_2020_to_2023(statewide_records: gpd.GeoDataFrame) -> None:
    done = [clean_perimeters(statewide_records, year, LIMITS, simulated=False).summary for year in range(2020, 2024)]
    missing = [s.rejects_by_reason.get(r, 0) for s in done for r in ("alarm_missing", "containment_missing")]
    assert sum(s.records for s in done) == pytest.approx(1_483, abs=5)
    assert sum(missing) == pytest.approx(13, abs=2)


def test_fires_that_share_an_irwin_id_over_other_ground_are_flagged_not_lost(
    statewide_records: gpd.GeoDataFrame,
) -> None:
    done = clean_perimeters(statewide_records, 2015, LIMITS, simulated=False)
    flags = done.perimeters.set_index("fire_name")["flags"]
    for name in ("HAPPY", "DYER", "ROAD", "HALSEY", "DAILEY"):
        assert "shares_incident" in flags[name]
    assert done.summary.kept + done.summary.rejected == done.summary.records


def test_records_without_a_year_are_in_every_history(statewide_records: gpd.GeoDataFrame) -> None:
    undated = set(statewide_records.loc[statewide_records["fire_year"].isna(), "record_id"])
    assert len(undated) == 77
    assert undated <= set(burn_history(statewide_records, 2023, LIMITS).burns["burn_id"])


def test_perimeters_of_release_24(real_data: Path, root: DataRoot) -> None:
    source = str(real_data / "frap" / "fire241gdb.zip")
    records = fetch_release(ReleaseSettings(source=source), root).records
    kept = {year: clean_perimeters(records, year, LIMITS, simulated=False) for year in range(2015, 2022)}
    assert [done.summary.records for done in kept.values()] == [46, 62, 89, 41, 22, 43, 20]
    assert sum(done.summary.flagged.get("repaired", 0) for done in kept.values()) == 9
    for done in kept.values():
        assert done.perimeters.geometry.is_valid.all()
        ratio = done.perimeters["area_ha"] / done.perimeters["reported_area_ha"]
        assert ratio.between(0.98, 1.01).all()
    caldor = kept[2021].perimeters.set_index("fire_name").loc["CALDOR"]
    assert sum(len(part.interiors) for part in shapely.get_parts(caldor["geometry"])) == 7, "unburned islands"
