"""Two sources in one world: which record of a fire counts, and what becomes of the other."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from pydantic import ValidationError

from burnscar_assets.classes import BURNT, UNBURNT, UNLABELLED
from burnscar_assets.dataset.label_rasters import draw_labels
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR
from burnscar_assets.errors import SettingsError
from burnscar_assets.labels.corrections import LAYER, read_corrections
from burnscar_assets.labels.duplicates import same_fires
from burnscar_assets.labels.history import burn_history
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.release import Release, fetch_release
from burnscar_assets.labels.release_changes import release_versions
from burnscar_assets.labels.watch import observe_source
from burnscar_assets.mapping.scene_frames import draw_truth, frames_of_fires
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.sampling.lattice import transformer
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings, parse_settings
from burnscar_assets.sources.load import FOLDER
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.dataset.window_tables import windows_of
from burnscar_assets_tests.labels.label_records import frap_fires, release_records, square

FIELDS = {"id": "FIRE", "fire_name": "NAME", "irwin_id": "IRWIN", "start": "SEEN", "end": "GONE"}
LIMITS = PerimeterSettings()
WORLD = parse_settings({"name": "x", "years": {"first": 2020}, "release": {"source": "a"}}, "x.yaml")


def _detections(*changes: dict[str, Any]) -> gpd.GeoDataFrame:
    """Fires as a satellite saw them: half a kilometre off, named by numbers."""
    row = {"NAME": None, "IRWIN": None, "SEEN": "2020-08-03", "GONE": "2020-08-09"}
    rows = [
        row | {"FIRE": number, "geometry": square(number, x=400.0)} | change for number, change in enumerate(changes)
    ]
    return gpd.GeoDataFrame(rows, crs="EPSG:3310")


def _settings(folder: Path, fires: gpd.GeoDataFrame, seen: gpd.GeoDataFrame, **changes: Any) -> ReleaseSettings:
    for name, rows in (("fires", fires), ("seen", seen)):
        rows.to_file(folder / f"{name}.gpkg", layer=name, engine="pyogrio")
    second = {"source": str(folder / "seen.gpkg"), "format": "table", "fields": FIELDS}
    return ReleaseSettings(source=str(folder / "fires.gpkg"), further=[second], **changes)


def _fetch(
    folder: Path, fires: gpd.GeoDataFrame, seen: gpd.GeoDataFrame, limits: PerimeterSettings = LIMITS
) -> Release:
    return fetch_release(_settings(folder, fires, seen), DataRoot(folder), limits=limits)


def test_of_a_fire_in_two_sources_the_first_named_counts(tmp_path: Path) -> None:
    irwin = "00000001-AAAA-BBBB-CCCC-0123456789AB"
    late = {"SEEN": "2020-08-20", "GONE": "2020-08-30"}
    seen = _detections({}, late | {"IRWIN": irwin}, late | {"NAME": "Fire 2 "}, late, {"geometry": square(25)})
    release = _fetch(tmp_path, frap_fires({}, {}, {}, {}), seen)
    said = release.records.set_index("record_id")["kept_instead"]
    names = release.records.set_index("record_id")["fire_name"]
    assert names.reindex(said.reindex([f"table-{n}" for n in range(3)])).tolist() == ["FIRE 0", "FIRE 1", "FIRE 2"]
    assert said[["table-3", "table-4"]].isna().all(), "another fire on the same ground, and one elsewhere"
    assert release.info.records_by_source == {"frap": 4, "table": 5}
    assert release.info.set_aside_by_source == {"table": 3}
    cleaned = clean_perimeters(release.records, 2020, LIMITS, simulated=False)
    assert dict(cleaned.perimeters["source"].value_counts()) == {"frap": 4, "table": 2}
    assert set(cleaned.rejects["record_id"]) == {"table-0", "table-1", "table-2"}
    assert set(cleaned.rejects["reason"]) == {"in_another_source"} and set(cleaned.rejects["source"]) == {"table"}
    assert cleaned.rejects["detail"].str.contains("whose source is named before").all()


def test_what_only_the_second_source_drew_of_a_fire_is_unsure_ground_of_its_days(tmp_path: Path) -> None:
    late = {"SEEN": "2020-08-06", "GONE": "2021-01-09"}
    inside = {"geometry": square(1, side_m=900.0), "NAME": "FIRE 1"}
    release = _fetch(tmp_path, frap_fires({}, {}), _detections(late, inside, {"geometry": square(25)}))
    burns = burn_history(release.records, 2020, LIMITS).burns.set_index("burn_id")
    assert set(burns.index[burns["source"] == "table"]) == {"table-0", "table-2"}, "the second drew nothing more"
    assert burns.area.round().value_counts().to_dict() == {1e6: 3, 4e5: 1}
    doubt, own = burns.loc["table-0"], burns[(burns["source"] == "frap") & (burns["name"] == "FIRE 0")].iloc[0]
    assert doubt["kind"] == "unsure" and burns.loc["table-2", "kind"] == "fire"
    days = ["burn_year", "alarm_date", "containment_date", "end_kind"]
    assert doubt[days].tolist() == own[days].tolist()
    records = release.records
    alone = burn_history(records[records["source"] == "table"], 2020, LIMITS).burns
    assert set(alone["burn_id"]) == {"table-0", "table-1", "table-2"}, "where the other isn't, it stands for itself"


def test_what_only_the_second_source_drew_is_neither_burnt_nor_unburnt(tmp_path: Path) -> None:
    records = _fetch(tmp_path, frap_fires({}), _detections({})).records
    fires = clean_perimeters(records, 2020, LIMITS, simulated=False).perimeters
    burns = burn_history(records, 2020, LIMITS).burns
    x_m, y_m = transformer("EPSG:3310", "EPSG:32611").transform(1_250, -500)
    place = {"utm_epsg": 32611, "min_col": int(x_m / 10) - 48, "min_row": int(-y_m / 10) - 16, "size_px": 96}
    window = windows_of().iloc[[0]].assign(fire_id=fires["fire_id"].iloc[0], stratum="ring", category="mixed", **place)
    window = window.set_geometry([shapely.box(750, -1_000, 1_750, 0)])
    (raster,) = draw_labels(window, fires, burns, 20.0).values()
    (frame,) = frames_of_fires(fires.assign(split="test", cluster_id="c"), WORLD, DataRoot(tmp_path))
    truth = draw_truth(frame, burns, WORLD)
    box = frame.frame.box
    offset = (place["min_row"] - box.top, place["min_col"] - box.left)
    for codes, (row, column) in ((raster, (0, 0)), (truth, offset if frame.frame.epsg == 32611 else None)):
        across = codes[row + 16, column : column + 96]
        assert across[10] == BURNT and across[40] == UNLABELLED and across[75] == UNBURNT


def test_a_persons_word_holds_for_what_another_source_drew(tmp_path: Path) -> None:
    records = _fetch(tmp_path, frap_fires({}), _detections({})).records
    fire_id = records.loc[records["source"] == "frap", "record_id"].iloc[0]

    def doubtful(word: str, ground: shapely.Geometry) -> shapely.Geometry:
        said = {"word": [word], "fire_id": [fire_id], "fire_year": [2020]}
        path = tmp_path / f"{word}.gpkg"
        gpd.GeoDataFrame(said, geometry=[ground], crs="EPSG:3310").to_file(path, layer=LAYER)
        burns = burn_history(read_corrections(path).applied_to(records), 2020, LIMITS).burns
        return burns[burns["kind"] == "unsure"].union_all()

    assert doubtful("outline", square(0)).is_empty
    island = shapely.box(900, -600, 1_100, -400)
    assert doubtful("unburned", island).equals(square(0, x=400.0).difference(square(0)).difference(island))


def test_an_edit_in_the_second_source_makes_the_year_stale(tmp_path: Path) -> None:
    before = _fetch(tmp_path, frap_fires({}), _detections({}))
    after = _fetch(tmp_path, frap_fires({}), _detections({"geometry": square(0, x=5_000.0)}))
    first, second = (release_versions(one.records, [2020], LIMITS)[2020] for one in (before, after))
    assert first.fires != second.fires and first.burns != second.burns


def test_of_a_wider_source_fires_in_the_regions_outline_are_labels(tmp_path: Path) -> None:
    """A fire in Nevada burned and is no label of California; one across the border is where most of it lies."""
    shapes = gpd.GeoSeries.from_xy([-120.6, -118.0, -119.75, -120.1], [39.5, 39.8, 39.5, 39.5], crs="EPSG:4326")
    facts = {"Event_ID": list("abcd"), "Incid_Type": "Wildfire", "Ig_Date": "2020-08-01", "Post_ID": "L20200820"}
    fires = gpd.GeoDataFrame(facts, geometry=shapes.to_crs("EPSG:3310").buffer(15_000)).to_crs("EPSG:4269")
    fires.to_file(tmp_path / "mtbs_perims.gpkg", layer="mtbs_perims")
    settings = ReleaseSettings(source=str(tmp_path / "mtbs_perims.gpkg"), format="mtbs")
    records = fetch_release(settings, DataRoot(tmp_path)).records
    cleaned = clean_perimeters(records, 2020, LIMITS, simulated=False, wider=settings.wider)
    assert set(cleaned.perimeters["fire_id"]) == {"mtbs-a", "mtbs-d"}
    assert dict(cleaned.rejects.set_index("record_id")["reason"]) == dict.fromkeys(
        ["mtbs-b", "mtbs-c"], "outside_region"
    )
    assert len(burn_history(records, 2020, LIMITS).burns) == 4


def test_a_reject_of_the_first_source_doesnt_take_the_seconds_place(tmp_path: Path) -> None:
    odd = {"YEAR_": 2017, "FIRE_NAME": None}, {"CONT_DATE": pd.Timestamp("2020-07-30", tz="UTC")}
    fires = frap_fires({"CONT_DATE": pd.NaT}, *odd, {"geometry": shapely.Polygon()}, {})
    seen = _detections({"NAME": "FIRE 0"}, {}, {}, {}, {})

    def labels(limits: PerimeterSettings) -> set[str]:
        records = _fetch(tmp_path, fires, seen, limits).records
        found = clean_perimeters(records, 2020, limits, simulated=False).perimeters
        return set(found.loc[found["source"] == "table", "fire_id"])

    assert labels(LIMITS) == {f"table-{number}" for number in range(4)}
    assert labels(PerimeterSettings(assumed_duration_days=10)) == {f"table-{number}" for number in range(1, 4)}


def test_limits_of_labels_decide_the_release_of_several_sources_alone() -> None:
    def version(assumed: int, *further: dict[str, str]) -> str:
        release = {"source": "a", "further": list(further)}
        world = {"name": "x", "years": {"first": 2020}, "release": release}
        return code_version(
            "calfire_release", parse_settings(world | {"perimeters": {"assumed_duration_days": assumed}}, "x.yaml")
        )

    assert version(10) == version(20)
    assert version(10, {"source": "b", "format": "table"}) != version(20, {"source": "b", "format": "table"})


def test_a_change_of_either_source_is_seen(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    settings = _settings(tmp_path, frap_fires({}), _detections({}))
    first = observe_source(settings, root, settle_s=0)
    assert set(first.facts) == {"frap", "table"}
    assert observe_source(settings, root, first, settle_s=0) == first
    edited = observe_source(_settings(tmp_path, frap_fires({}), _detections({}, {})), root, first, settle_s=0)
    assert edited.version != first.version


def test_code_versions_follow_the_further_sources_but_not_how_they_are_asked() -> None:
    def digest(**second: Any) -> str:
        further = [{"source": "b", "format": "table"} | second]
        return ReleaseSettings(source="a", further=further).digest()

    assert digest() == digest(timeout_s=5) != digest(source="c")
    assert digest() != digest(fields={"start": "SEEN"})


def test_two_sources_of_one_format_are_refused() -> None:
    world = {"name": "x", "years": {"first": 2020}, "release": {"source": "a", "further": [{"source": "b"}]}}
    with pytest.raises(SettingsError, match=r"two sources have format frap.*under another name"):
        parse_settings(world, "x.yaml")


def test_a_spot_fire_doesnt_stand_for_the_fire_around_it(tmp_path: Path) -> None:
    spot = frap_fires({"geometry": square(0, side_m=200.0), "FIRE_NAME": "SPOT"})
    assert _fetch(tmp_path, spot, _detections({"geometry": square(0)})).records["kept_instead"].isna().all()


def test_the_same_ground_in_one_year_is_one_fire_whatever_days_are_named(tmp_path: Path) -> None:
    seen = _detections({"geometry": square(0), "SEEN": "2020-09-20", "GONE": "2020-09-30"})
    assert _fetch(tmp_path, frap_fires({}), seen).info.set_aside_by_source == {"table": 1}


def test_a_source_that_is_named_by_its_path_counts_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / FOLDER / "agency.yaml"
    file.parent.mkdir()
    file.write_text((CONFIGS_DIR / FOLDER / "table.yaml").read_text())
    settings = _settings(tmp_path, frap_fires({}), _detections({}))
    second = {"source": str(tmp_path / "seen.gpkg"), "format": str(file), "fields": FIELDS}
    release = fetch_release(ReleaseSettings(source=settings.source, further=[second]), DataRoot(tmp_path))
    assert release.info.set_aside_by_source == {"agency": 1} and set(release.info.further) == {"agency"}
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "world.yaml"))
    with pytest.raises(ValidationError, match="two sources have format agency"):
        ReleaseSettings(source="a", format="agency", further=[second])
    file.write_text((CONFIGS_DIR / FOLDER / "frap.yaml").read_text())
    with pytest.raises(ValidationError, match="frap and agency have prefix_ids: false"):
        ReleaseSettings(source="a", further=[second | {"fields": None}])


def test_an_unknown_alarm_needs_the_same_year() -> None:
    nameless = {"FIRE_NAME": None, "IRWINID": None, "INC_NUM": None}
    undated = nameless | {"ALARM_DATE": pd.NaT}
    fires = release_records(frap_fires(*[nameless | {"geometry": square(n, x=400.0)} for n in range(2)]))
    others = release_records(frap_fires(undated, undated | {"YEAR_": 2019}))
    assert same_fires(fires, others)["fire_year"].tolist() == [2020]
