"""A season from other sources than WFIGS: of other regions, in files and layers that say less."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from pydantic import ValidationError

from burnscar_assets.labels.in_season import clean_in_season
from burnscar_assets.labels.normalise import normalise
from burnscar_assets.labels.season_source import observe_season, read_season, season_records
from burnscar_assets.regions.load import load_region, working_region
from burnscar_assets.settings import InSeasonSettings, PerimeterSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs
from burnscar_assets_tests.labels.label_servers import ArcGisSite, serving
from burnscar_assets_tests.labels.wfigs_records import wfigs_fires
from burnscar_assets_tests.regions.kit import SOUTH, in_region

LAYER = "/arcgis/rest/services/Fires/FeatureServer/0"
HOTSPOTS = """
title: Hotspots
fields:
  id: UID
  kind: {names: TYPE, values: {fire: fire}, others: other}
  start: FIRSTDATE
  end: {names: LASTDATE, kind: last_detection, precision_days: 1}
  area: {names: AREA, unit: hectares}
dissolve: true
reaches_beyond: true
"""


def ground(number: int, side_m: float = 1000) -> shapely.Polygon:
    """A square on the working region's land; of other numbers, apart from each other."""
    middle = max(shapely.get_parts(working_region().land), key=lambda part: part.area).representative_point()
    return shapely.box(middle.x + 5000 * number, middle.y, middle.x + 5000 * number + side_m, middle.y + side_m)


def test_a_season_in_the_south_by_the_shipped_file(tmp_path: Path, root: DataRoot) -> None:
    with in_region(SOUTH):
        rows = [
            ("2025-26 Wildfire", "BIG", "2025-12-20", "2026-01-10"),
            ("2025-26 Wildfire", "NOW", "2025-12-28", None),
            ("2025-26 Prescribed Burn", "SET", "2025-09-01", "2025-09-03"),
            ("2024-25 Wildfire", "OLD", "2025-01-05", "2025-01-09"),
        ]
        fires = gpd.GeoDataFrame(rows, columns=["Label", "FireName", "StartDate", "EndDate"], crs=table_crs(),
                                 geometry=[ground(number) for number in range(4)])  # fmt: skip
        fires.assign(AreaHa=100.0).to_file(tmp_path / "season.gpkg", driver="GPKG")
        settings = InSeasonSettings(source=str(tmp_path / "season.gpkg"), format="new-south-wales")
        records = read_season(settings, root, 2025)
        found = clean_in_season(records, FIRE_PERIMETERS.empty(), 2025, settings, PerimeterSettings())
        assert found.perimeters["fire_name"].to_list() == ["BIG"], "the year of the fire goes from July to June"
        reasons = dict(zip(found.rejects["fire_name"], found.rejects["reason"], strict=True))
        assert reasons == {"NOW": "not_contained", "SET": "not_a_wildfire"}
        assert read_season(settings, root, 2023).empty


@pytest.fixture
def hotspots(tmp_path: Path) -> str:
    """A source's file of one's own."""
    path = tmp_path / "hotspots.yaml"
    path.write_text(HOTSPOTS, encoding="utf-8")
    return str(path)


def seen(number: int, first: str, last: str | None, **changes: Any) -> dict[str, Any]:
    row = {"UID": number, "TYPE": "fire", "FIRSTDATE": first, "LASTDATE": last, "AREA": 100.0}
    return row | {"geometry": ground(number)} | changes


def test_a_fire_burns_while_any_part_of_it_does_or_was_seen_to_lately(hotspots: str) -> None:
    with in_region(load_region("canada")):
        rows = [
            seen(1, "2025-07-01", "2025-07-20"),
            seen(2, "2025-08-01", "2025-08-17"),
            seen(3, "2025-07-01", "2025-07-20"),
            seen(3, "2025-07-01", None, geometry=ground(3, 500)),
            seen(4, "2024-07-01", "2024-07-20"),
        ]
        source = InSeasonSettings(source="x.gpkg", format=hotspots).label_source
        read = normalise(gpd.GeoDataFrame(rows, crs=table_crs()), "fire", "layer", None, source, "map")
        records = season_records(read, 2025, pd.Timestamp("2025-08-20", tz="UTC").to_pydatetime())
        settings = InSeasonSettings()
        found = clean_in_season(records, FIRE_PERIMETERS.empty(), 2025, settings, PerimeterSettings())
        assert found.perimeters["fire_id"].to_list() == ["hotspots-1"]
        details = dict(zip(found.rejects["record_id"], found.rejects["detail"], strict=True))
        assert details == {"hotspots-2": "seen to burn on 2025-08-17", "hotspots-3": "share contained unknown"}


def test_a_layer_without_times_is_read_whole_and_sorted_by_year_here(root: DataRoot, hotspots: str) -> None:
    rows = [seen(1, "2025-07-01", "2025-07-20"), seen(2, "2024-08-01", "2024-08-17")]
    layer = gpd.GeoDataFrame(rows, crs=table_crs()).assign(OBJECTID=[1, 2])
    site = ArcGisSite(layer)
    with serving(site) as address:
        settings = InSeasonSettings(source=address + LAYER, format=hotspots)
        assert read_season(settings, root, 2025)["record_id"].to_list() == ["hotspots-1"]
        state = observe_season(settings, root, 2025)
        site.rows = layer.assign(AREA=[100.0, 300.0])
        assert observe_season(settings, root, 2025).version != state.version
    assert state.facts["records"] == 2 and state.note == ""
    assert {query["where"] for query in site.queries} == {"1=1"}


def test_a_state_is_asked_for_where_the_source_writes_it_as_the_region_does() -> None:
    assert InSeasonSettings().of_state == "US-CA" and InSeasonSettings(state="US-NV").of_state == "US-NV"
    with in_region(load_region("conterminous-us")):
        assert InSeasonSettings().of_state is None and InSeasonSettings().label_source.reaches_beyond
    named = InSeasonSettings(source="x.gpkg", format="nbac")
    assert named.of_state is None and set(named.label_source.needed) >= {"kind", "start", "end"}
    with pytest.raises(ValidationError, match="needs a source of its own"):
        InSeasonSettings(format="nbac")
    with pytest.raises(ValidationError, match="can't be told"):
        InSeasonSettings(source="x.gpkg", format="new-south-wales", state="NSW")
    with pytest.raises(ValidationError, match="state"):
        InSeasonSettings(state="US-CA' OR '1'='1")


def test_a_layer_that_lacks_what_decides_is_refused(root: DataRoot, tmp_path: Path) -> None:
    path = tmp_path / "season.gpkg"
    wfigs_fires({}).drop(columns="attr_PercentContained").to_file(path, driver="GPKG")
    with pytest.raises(Exception, match=r"lacks attr_PercentContained.*set in_season\.fire_layer, in_season\.format"):
        read_season(InSeasonSettings(source=str(path)), root, 2026)
