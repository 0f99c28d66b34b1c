from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import yaml
from pydantic import ValidationError

from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR, shipped_files
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.labels.dates import days_written
from burnscar_assets.labels.fields import SourceFields
from burnscar_assets.labels.layers import find_layers, release_number
from burnscar_assets.labels.normalise import normalise, to_records
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings, parse_settings
from burnscar_assets.sources.load import FOLDER, load_source
from burnscar_assets.sources.source import DayOf, FieldOf, LabelSource
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, square

FILE: dict[str, Any] = {
    "title": "Agency",
    "fields": {
        "id": ["FIREID"],
        "fire_year": {"names": ["SEASON"], "pattern": r"^(\d{4})"},
        "kind": {"names": ["TYPE"], "values": {"wild*": "fire", "2": "prescribed"}},
        "fire_name": {"names": ["NAME"], "missing": ["UNNAMED"]},
        "cause": {"names": ["CAUSE"], "values": {"lightning": 1}, "others": 14},
        "start": [
            {"names": ["AGENCY_S"], "missing": ["0000/00/00"], "format": "%Y/%m/%d"},
            {"names": ["HOTSPOT_S"], "missing": ["0000/00/00"]},
        ],
        "end": [
            {"names": ["AGENCY_E"], "missing": ["0000/00/00"], "format": "%Y/%m/%d"},
            {"names": ["HOTSPOT_E"], "missing": ["0000/00/00"], "kind": "last_detection", "precision_days": 2},
            {"names": ["POST_ID"], "pattern": r"(\d{8})$", "format": "%Y%m%d", "kind": "scene_date"},
        ],
        "area": [{"names": ["KM2"], "unit": "km2", "missing": [-9999]}],
    },
    "dissolve": True,
}
NEVER = "0000/00/00"


def _source(**changes: Any) -> LabelSource:
    return LabelSource.model_validate(FILE | {"name": "agency"} | changes)


def _rows(*changes: dict[str, Any]) -> gpd.GeoDataFrame:
    rows = []
    for number, change in enumerate(changes):
        row = {
            "FIREID": number,
            "SEASON": "2020-21",
            "TYPE": "Wildfire",
            "NAME": f"FIRE {number}",
            "CAUSE": "Lightning",
            "AGENCY_S": "2020/08/01",
            "HOTSPOT_S": "2020/08/03",
            "AGENCY_E": "2020/08/05",
            "HOTSPOT_E": "2020/08/09",
            "POST_ID": "LC0804203320200912",
            "KM2": 1.0,
            "geometry": square(number),
        }
        rows.append(row | change)
    return gpd.GeoDataFrame(rows, crs="EPSG:3310")


def _records(rows: gpd.GeoDataFrame, source: LabelSource, notes: list[str] | None = None) -> gpd.GeoDataFrame:
    return to_records([normalise(rows, "fire", "layer x", notes, source)]).set_index("record_id")


def test_each_record_has_the_best_day_that_it_fills_and_says_what_it_is() -> None:
    undated = {"AGENCY_E": NEVER, "HOTSPOT_E": NEVER}
    found = _records(
        _rows({}, {"AGENCY_S": NEVER, "AGENCY_E": NEVER}, undated, undated | {"POST_ID": "-9999"}), _source()
    )
    assert list(found.index) == ["agency-0", "agency-1", "agency-2", "agency-3"]
    assert found["end_kind"].tolist()[:3] == ["contained", "last_detection", "scene_date"]
    assert found["end_kind"].isna().tolist() == [False] * 3 + [True]
    assert found["end_precision_days"].tolist()[:3] == [1, 2, 1]
    assert found["alarm_date"].dt.day.tolist() == [1, 3, 1, 1]
    assert [f"{day:%m-%d}" for day in found["containment_date"][:3]] == ["08-05", "08-09", "09-12"]
    assert set(found["source"]) == {"agency"} and found["fire_year"].tolist() == [2020] * 4


def test_the_window_of_imagery_follows_from_the_day_that_stands_for_the_end() -> None:
    undated = {"AGENCY_E": NEVER, "HOTSPOT_E": NEVER}
    records = _records(_rows(undated, undated | {"POST_ID": None}), _source()).reset_index()
    strict = clean_perimeters(records, 2020, PerimeterSettings(), simulated=False)
    assert strict.perimeters["end_kind"].tolist() == ["scene_date"]
    assert strict.rejects["reason"].tolist() == ["containment_missing"]
    both = clean_perimeters(records, 2020, PerimeterSettings(assumed_duration_days=14), simulated=False).perimeters
    assert dict(zip(both["end_kind"], both["containment_date"].dt.strftime("%m-%d"), strict=True)) == {
        "scene_date": "09-12",
        "assumed": "08-15",
    }


def test_values_that_stand_for_none_are_missing_and_others_mean_what_the_file_says() -> None:
    notes: list[str] = []
    found = _records(
        _rows({"NAME": "unnamed", "KM2": -9999.0}, {"TYPE": 2, "CAUSE": "Arson"}, {"TYPE": "?", "CAUSE": None}),
        _source(),
        notes,
    )
    assert found["kind"].tolist() == ["fire", "prescribed", "other"]
    assert found["cause"].tolist() == [1, 14, pd.NA]
    assert found["fire_name"].isna().tolist() == [True, False, False]
    assert found["reported_area_ha"].fillna(0).tolist() == [0, 100, 100]
    assert any("1 record(s) are neither wildfires nor prescribed burns" in note for note in notes)


def test_polygons_of_one_id_are_one_fire() -> None:
    parts = _rows(
        {"HOTSPOT_E": "2020/08/20", "AGENCY_E": NEVER}, {"FIREID": 0, "KM2": 2.0, "AGENCY_S": "2020/07/30"}, {}
    )
    found = _records(parts, _source())
    assert list(found.index) == ["agency-0", "agency-2"]
    assert found.geometry.iloc[0].area == pytest.approx(2e6)
    assert (found["reported_area_ha"].iloc[0], found["end_kind"].iloc[0]) == (300, "last_detection")
    assert f"{found['alarm_date'].iloc[0]:%m-%d}" == "07-30"
    whole = FILE["fields"] | {"area": {"names": ["KM2"], "unit": "km2", "of": "fire"}}
    twice = parts.assign(KM2=[2.0, 2.0, 1.0])
    assert _records(twice, _source(fields=whole))["reported_area_ha"].tolist() == [200, 100]


def test_burns_of_another_kind_or_year_under_one_id_are_fires_of_their_own() -> None:
    rows = _rows({}, {"FIREID": 0, "TYPE": 2}, {"FIREID": 0, "SEASON": "2021-22", "AGENCY_S": "2021/08/01"})
    found = _records(rows.assign(AGENCY_E=NEVER), _source())
    assert sorted(zip(found["kind"], found["fire_year"], strict=True)) == [
        ("fire", 2020),
        ("fire", 2021),
        ("prescribed", 2020),
    ]


def test_polygons_are_repaired_before_they_are_joined() -> None:
    """GEOS reads a part drawn twice as an island; a fire of nothing but lines, or of no numbers, isn't an error."""
    x, y = square(0).bounds[:2]
    twice = shapely.MultiPolygon([square(0), shapely.box(x + 100, y + 100, x + 500, y + 500)])
    nowhere = shapely.Polygon([(x, y), (np.nan, y), (x, y + 1)])
    line = shapely.LineString([(x, y), (x + 9, y)])
    rows = _rows({"geometry": twice}, {"FIREID": 0}, {"geometry": nowhere}, {"FIREID": 2, "geometry": line})
    found = _records(rows.assign(NAME=["", "CAMP", "B", "B"]), _source())
    assert found.geometry["agency-0"].area == pytest.approx(2e6)
    assert found["fire_name"].tolist() == ["CAMP", "B"], "what the largest polygon doesn't say, another does"
    assert clean_perimeters(found.reset_index(), 2020, PerimeterSettings(), simulated=False).summary.kept == 1


def test_what_is_no_kind_is_a_burn_and_no_label() -> None:
    fields = FILE["fields"]
    plain = _source(fields=fields | {"kind": "TYPE"})
    assert _records(_rows({}, {"TYPE": "Fire"}), plain)["kind"].tolist() == ["other", "fire"]
    rest = _source(fields=fields | {"kind": {"names": "TYPE", "others": "prescribed", "empty": "fire"}})
    assert _records(_rows({}, {"TYPE": " "}), rest)["kind"].tolist() == ["prescribed", "fire"]
    notes: list[str] = []
    _records(_rows({}).drop(columns=["TYPE", "FIREID"]), _source(), notes)
    said = " ".join(notes)
    assert "no field tells prescribed burns (TYPE)" in said and "which polygons are one fire (FIREID)" in said


def test_fire_years_that_are_named_for_their_end_are_noticed() -> None:
    notes: list[str] = []
    _records(_rows(*[{"SEASON": "2021"}] * 5), _source(dissolve=False), notes)
    assert any("5 of 5 alarms are of the fire year before or after that of SEASON" in note for note in notes)


def test_a_pattern_is_not_searched_in_endless_text() -> None:
    endless = "a" * 100_000 + "!"
    source = load_source("new-south-wales")
    rows = gpd.GeoDataFrame({"FireType": [endless, "Wildfire"]}, geometry=[square(0), square(1)], crs=3310)
    assert SourceFields.of(rows, source, "layer x").text("kind").fillna("none").tolist() == ["none", "fire"]


def test_a_field_that_settings_name_must_be_there(tmp_path: Path) -> None:
    frap_fires({}).to_file(tmp_path / "fires.gpkg")
    settings = ReleaseSettings(source=str(tmp_path / "fires.gpkg"), fields={"kind": {"names": ["TPYE"]}})
    with pytest.raises(InputError, match=r"lacks TPYE; its fields are .*release\.fields"):
        fetch_release(settings, DataRoot(tmp_path))
    with pytest.raises(ValidationError, match="needed names start, for which `fields` has no names"):
        ReleaseSettings(source="x", fields={"start": []})


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%Y%j", "%m/%d/%y %I:%M %p", "%Y-%m-%dT%H:%M:%S%z"])
def test_a_form_that_tells_a_day(form: str) -> None:
    assert DayOf(names=("A",), format=form).format == form


@pytest.mark.parametrize("form", ["%Y", "%m/%Y", "%d %B", "mixed", "ISO8601", "%Q", "", "%Y-%M-%d", "%Y-%m-%d\0"])
def test_a_form_that_tells_no_day_is_refused(form: str) -> None:
    with pytest.raises(ValidationError, match="tells no day"):
        DayOf(names=("A",), format=form)


def test_a_written_moment_counts_for_its_day_in_the_region() -> None:
    moments = pd.Series(["15/08/2021 23:30 -0700", "16/08/2021 05:30 +0000"], dtype="string")
    assert days_written(moments, "%d/%m/%Y %H:%M %z", "layer x", "A").dt.day.tolist() == [15, 15]


def test_layers_that_are_never_fires_are_not_read_whatever_else_they_are_called(tmp_path: Path) -> None:
    frap_fires({}).to_file(tmp_path / "mtbs.gpkg", layer="mtbs_FODpoints_DD")
    settings = ReleaseSettings(source="x", format="mtbs")
    with pytest.raises(InputError, match=r"no layer of fire perimeters.*mtbs_FODpoints_DD"):
        find_layers(tmp_path / "mtbs.gpkg", settings, "mtbs.gpkg")
    assert release_number("firep" + "9" * 5000, r"firep(\d+)") is None


def test_without_a_field_of_years_the_start_says_the_fire_year() -> None:
    fields = {name: field for name, field in FILE["fields"].items() if name != "fire_year"}
    assert _records(_rows({}), _source(fields=fields))["fire_year"].tolist() == [2020]


def test_records_outside_of_the_region_are_passed_over_only_where_the_file_says_so() -> None:
    far = _rows({}, {}, {}, {}, {}, {}).to_crs(4326)
    abroad = far.set_geometry([far.geometry[0], *far.geometry[1:].translate(40)])
    notes: list[str] = []
    assert len(_records(abroad, _source(reaches_beyond=True), notes)) == 1
    assert notes[0] == "layer x: 5 record(s) outside of California are passed over"
    with pytest.raises(InputError, match="right CRS"):
        _records(abroad, _source())
    with pytest.raises(InputError, match="none of its 5 records lies in California"):
        _records(abroad.iloc[1:], _source(reaches_beyond=True))


def test_a_date_in_another_form_is_named() -> None:
    with pytest.raises(InputError, match=r"AGENCY_E holds '5 Aug 2020' in 1 record.*isn't written as %Y/%m/%d"):
        _records(_rows({"AGENCY_E": "5 Aug 2020"}), _source())


def test_a_source_of_ones_own_is_a_file_beside_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "world.yaml"))
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "agency.yaml").write_text(yaml.safe_dump(FILE))
    _rows({}, {}).to_file(tmp_path / "fires.gpkg", layer="anything")
    release = fetch_release(ReleaseSettings(source=str(tmp_path / "fires.gpkg"), format="agency"), DataRoot(tmp_path))
    assert (release.info.format, release.info.fires) == ("agency", 2)
    assert set(release.records["source"]) == {"agency"}


def test_settings_name_the_fields_of_any_table(tmp_path: Path) -> None:
    rows = _rows({}, {}).rename(columns={"AGENCY_S": "Reported", "HOTSPOT_E": "Seen"})[
        ["FIREID", "Reported", "Seen", "geometry"]
    ]
    rows.to_file(tmp_path / "fires.gpkg")
    fields = {"id": "FIREID", "start": "Reported", "end": {"names": ["Seen"], "kind": "last_detection"}}
    settings = ReleaseSettings(source=str(tmp_path / "fires.gpkg"), format="table", fields=fields)
    records = fetch_release(settings, DataRoot(tmp_path)).records
    assert records["record_id"].tolist() == ["table-0", "table-1"]
    assert set(records["end_kind"]) == {"last_detection"}


def test_all_layers_of_fires_are_read_where_the_file_says_so(tmp_path: Path) -> None:
    for name in ("fires_2019", "fires_2020", "roads"):
        frap_fires({}).to_file(tmp_path / "fires.gpkg", layer=name)
    source = tmp_path / FOLDER / "agency.yaml"
    source.parent.mkdir()
    source.write_text(yaml.safe_dump(FILE | {"layers": {"fires": r"fires_(\d+)", "every": True}}))
    settings = ReleaseSettings(source="x", format=str(source))
    layers = find_layers(tmp_path / "fires.gpkg", settings, "fires.gpkg")
    assert [layer.name for layer in layers.fires] == ["fires_2019", "fires_2020"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"needed": ["inc_num"]}, "needed names inc_num, for which `fields` has no names"),
        ({"layers": {"fires": "("}}, "is no regular expression"),
        ({"layers": {"fires": r"((fire)+_?)+$"}}, "repeats a group, so that a search could take hours"),
        ({"outline": {"note": "Walked with GPS."}}, "outline: no such field"),
        ({"fields": FILE["fields"] | {"kind": {"names": ["T"], "values": {"x": "wild"}}}}, "'wild' is no kind of burn"),
        ({"fields": FILE["fields"] | {"cause": {"names": ["C"], "others": "unknown"}}}, "'unknown' is no code"),
        ({"fields": FILE["fields"] | {"id": {"names": ["A"], "pattern": "x"}}}, "must have 1 group"),
        ({"fields": FILE["fields"] | {"id": {"names": ["A"], "pattern": r"((?:\w+){2,9})!"}}}, "repeats a group"),
        ({"fields": {"start": ["A"]}}, "dissolve needs `fields.id`"),
        ({"colour": "red"}, "no such field; a label source has title"),
    ],
)
def test_mistakes_of_a_file_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "agency.yaml"
    path.write_text(yaml.safe_dump(FILE | change))
    with pytest.raises(SettingsError) as error:
        load_source(str(path))
    assert message in str(error.value)


@pytest.mark.parametrize("pattern", [r"([)*+]+)\)+", r"fires?(\d+)(?:_\d+)?", r"(a\){2})"])
def test_what_only_looks_like_a_repeated_group_is_none(pattern: str) -> None:
    assert FieldOf(names=("A",), pattern=pattern).pattern == pattern


@pytest.mark.parametrize("path", shipped_files(FOLDER), ids=lambda path: path.stem)
def test_shipped_files_are_read(path: Path) -> None:
    assert path.parent == CONFIGS_DIR / FOLDER
    assert load_source(path.stem).name == path.stem


def test_another_producer_makes_pages_of_maps_stale_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "agency.yaml"
    path.write_text(yaml.safe_dump(FILE))
    release = {"source": "a", "format": str(path)}
    settings = parse_settings({"name": "x", "years": {"first": 2020}, "release": release}, "x.yaml")
    before = {spec.makes: code_version(spec.makes, settings) for spec in STAGES.values()}
    producer = {"name": "The agency", "url": "https://agency.example", "credit": "Drawn by the agency."}
    path.write_text(yaml.safe_dump(FILE | {"producer": producer}))
    changed = {stage for stage, version in before.items() if code_version(stage, settings) != version}
    assert changed == {"burned_area_maps", "in_season_maps"}
