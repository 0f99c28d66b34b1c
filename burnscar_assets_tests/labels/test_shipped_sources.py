"""Each shipped label source reads a file in its schema, with its traps, and says what it did."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from burnscar_assets.demo.fires import SimulatedFire
from burnscar_assets.environment import shipped_files
from burnscar_assets.errors import InputError
from burnscar_assets.labels.normalise import normalise, to_records
from burnscar_assets.labels.perimeters import CleanedPerimeters, clean_perimeters
from burnscar_assets.labels.release import Release, fetch_release
from burnscar_assets.regions.load import load_region, working_region
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings
from burnscar_assets.sources.load import FOLDER, load_source
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs
from burnscar_assets_tests.labels.agency_files import CANADA_ALBERS, a_fire, mtbs, nbac, scene_id, write_zip
from burnscar_assets_tests.regions.kit import in_region

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
"""MODIS's projection, as FIRED has it."""

_READ = {"mtbs", "nbac", "effis", "cems", "globfire", "fired", "new-south-wales"}
_ELSEWHERE = {"frap", "wfigs", "table"}
"""Those that other tests read files of."""


def test_every_shipped_source_is_read_by_a_test() -> None:
    shipped = {path.stem for path in shipped_files(FOLDER)}
    assert shipped <= _READ | _ELSEWHERE and shipped >= _READ
    for name in _READ:
        source = load_source(name)
        assert source.producer is not None and source.producer.url.startswith("https")


def _square(number: int, side_m: float = 3000) -> shapely.Polygon:
    """A square on the working region's land; of other numbers, apart from each other."""
    largest = max(shapely.get_parts(working_region().land), key=lambda part: part.area)
    middle = largest.representative_point()
    west = middle.x + 5000 * number
    return shapely.box(west, middle.y, west + side_m, middle.y + side_m)


def _fires(count: int, *, prescribed: int | None = None) -> list[SimulatedFire]:
    """Fires of eleven days of August 2020, one each five kilometres."""
    return [
        a_fire(
            f"{number:02d}",
            date(2020, 8, 1),
            date(2020, 8, 11),
            _square(number),
            "prescribed" if number == prescribed else "fire",
        )
        for number in range(count)
    ]


@contextmanager
def _released(region: str, source: str, path: Path, root: DataRoot) -> Iterator[Release]:
    """What a source makes of a file, in a region; the region lasts as long as the block."""
    with in_region(load_region(region)):
        yield fetch_release(ReleaseSettings(source=str(path), format=source), root)


def _refused(region: str, source: str, path: Path, root: DataRoot, message: str) -> None:
    with pytest.raises(InputError, match=message), _released(region, source, path, root):
        pytest.fail("it was read")


def _cleaned(release: Release, fire_year: int = 2020, assumed: int | None = None) -> CleanedPerimeters:
    settings = PerimeterSettings(assumed_duration_days=assumed)
    return clean_perimeters(release.records, fire_year, settings, simulated=False)


def _by(records: pd.DataFrame, column: str, key: str = "fire_name") -> dict[str, object]:
    return dict(zip(records[key], records[column], strict=True))


def _day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_mtbs(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("conterminous-us")):
        path = write_zip(mtbs(_fires(9, prescribed=2)), tmp_path / "mtbs_perims_DD.zip")
    with _released("conterminous-us", "mtbs", path, root) as release:
        records = release.records.sort_values("fire_name")
        kinds = ["fire", "fire", "prescribed", *["fire"] * 5, "other"]
        assert records["kind"].tolist() == kinds, "an unknown one burned, and is no label"
        assert records["irwin_id"].notna().all() and records["record_id"].str.startswith("mtbs-").all()
        cleaned, assumed = _cleaned(release), _cleaned(release, assumed=14)
        lasting = (cleaned.perimeters["containment_date"] - cleaned.perimeters["alarm_date"]).dt.days
        assert set(cleaned.perimeters["end_kind"]) == {"scene_date"} and lasting.between(19, 26).all()
        lost = _by(cleaned.rejects, "reason")
        assert lost == dict.fromkeys(["SIM 03", "SIM 04"], "containment_missing"), "next summer's image, and none"
        ends = _by(assumed.perimeters, "end_kind")
        assert {ends.pop(name) for name in lost} == {"assumed"} and set(ends.values()) == {"scene_date"}
        areas = assumed.perimeters.geometry.area / 1e4
        assert (assumed.perimeters["reported_area_ha"] / areas - 1).abs().max() < 0.01, "acres"


@given(st.dates(date(1984, 1, 1), date(2035, 12, 31)), st.integers(0, 3))
@example(date(2020, 12, 20), 1)
def test_the_day_in_the_id_of_an_image_is_found_however_it_is_written(day: date, way: int) -> None:
    pattern = load_source("mtbs").fields.end[0].pattern
    assert pattern is not None
    found = pd.Series([scene_id(way, day)]).str.extract(pattern, expand=False)
    assert found[0] == f"{day:%Y%m%d}"


@pytest.mark.parametrize("days_as_text", [True, False])
def test_nbac(tmp_path: Path, root: DataRoot, days_as_text: bool) -> None:
    with in_region(load_region("canada")):
        fires = _fires(12, prescribed=2)
        polygons = nbac(fires, days_as_text=days_as_text)
        path = write_zip(polygons, tmp_path / "NBAC_2020_20260513.zip", CANADA_ALBERS)
    with _released("canada", "nbac", path, root) as release:
        records = release.records.set_index("record_id")
        assert len(polygons) == 15 and len(records) == 12, "polygons of one GID are one fire"
        assert (records.geometry.area / 1e4 - records["reported_area_ha"]).abs().max() < 0.1, "summed"
        assert records["kind"].value_counts().to_dict() == {"fire": 11, "prescribed": 1}
        cleaned = _cleaned(release)
        assert _by(cleaned.rejects, "reason", "record_id") == {"nbac-2020_8": "alarm_missing"}, "without any day"
        ends, days = (_by(cleaned.perimeters, name, "fire_id") for name in ("end_kind", "containment_date"))
        assert ends["nbac-2020_2"] == "contained" and ends["nbac-2020_1"] == "last_detection"
        assert days["nbac-2020_1"] == _day("2020-08-11")
        assert ends["nbac-2020_4"] == "scene_date", "neither the agency nor hotspots say an end"
        starts = _by(cleaned.perimeters, "alarm_date", "fire_id")
        assert starts["nbac-2020_5"] == _day("2020-08-02"), "the first hotspot, where no agency says"


def test_nbac_of_an_agency_that_called_the_fire_out_in_winter(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("canada")):
        late = nbac(_fires(6)).assign(AG_EDATE="2021/01/15")
        path = write_zip(late, tmp_path / "NBAC_2020.zip", CANADA_ALBERS)
    with _released("canada", "nbac", path, root) as release:
        ends = _cleaned(release).perimeters["end_kind"]
    assert set(ends) == {"last_detection", "scene_date"}, "images of January would show snow"


@given(st.lists(st.floats(0.05, 0.95), min_size=0, max_size=4), st.permutations(range(5)))
def test_a_fire_is_the_same_however_borders_cut_it(cuts: list[float], order: list[int]) -> None:
    with in_region(load_region("canada")):
        fire, whole = _fires(1), _square(0)
        west, south, east, north = whole.bounds
        edges = [west, *sorted(west + (east - west) * cut for cut in set(cuts)), east]
        parts = [shapely.box(a, south, b, north) for a, b in pairwise(edges) if b - a > 1]
        parts = [parts[place] for place in order if place < len(parts)]
        row = nbac(fire).drop(columns="geometry").iloc[0].to_dict()
        rows = [row | {"POLY_HA": part.area / 1e4, "geometry": part} for part in parts]
        layer = gpd.GeoDataFrame(rows, crs=table_crs())
        records = to_records([normalise(layer, "fire", "layer NBAC_2020", source=load_source("nbac"))])
    assert len(records) == 1
    assert records["reported_area_ha"][0] == pytest.approx(sum(part.area for part in parts) / 1e4)
    united = shapely.union_all(parts)
    assert shapely.area(shapely.symmetric_difference(records.geometry[0], united)) < 1e-6 * united.area


def _effis(fires: list[SimulatedFire]) -> gpd.GeoDataFrame:
    rows = [
        {
            "id": 100 + number,
            "FIREDATE": f"{fire.alarm:%Y-%m-%d} 12:34:00",
            "LASTUPDATE": f"{fire.alarm + timedelta(days=170 if number == 1 else 6):%Y-%m-%d} 09:00:00.000",
            "COUNTRY": "EL",
            "PROVINCE": "Evros",
            "COMMUNE": f"PLACE {number}",
            "AREA_HA": f"{fire.perimeter.area / 1e4:.0f}",
            "CLASS": "FireSeason",
            "geometry": fire.perimeter,
        }
        for number, fire in enumerate(fires)
    ]
    return gpd.GeoDataFrame(rows, crs=table_crs()).to_crs(4326)


def test_effis(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("greece")):
        ours = _effis(_fires(3))
    elsewhere = ours.iloc[:1].assign(id=1, COUNTRY="ES", geometry=[shapely.box(-4.1, 40, -4, 40.1)])
    path = tmp_path / "effis.geojson"
    pyogrio.write_dataframe(gpd.GeoDataFrame(pd.concat([ours, elsewhere], ignore_index=True), crs=4326), path)
    with _released("greece", "effis", path, root) as release:
        assert len(release.records) == 3
        assert any("1 record(s) outside of Greece are passed over" in note for note in release.info.notes)
        cleaned = _cleaned(release)
        assert _by(cleaned.perimeters, "end_kind") == {"PLACE 0": "scene_date", "PLACE 2": "scene_date"}
        assert _by(cleaned.rejects, "reason") == {"PLACE 1": "containment_missing"}, "revised in winter"
        assert cleaned.perimeters["alarm_date"].eq(_day("2020-08-01")).all()


def test_effis_answers_latitude_first_or_with_an_error_that_is_no_error(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("greece")):
        ours = _effis(_fires(5))
    swapped = ours.set_geometry(shapely.transform(ours.geometry.to_numpy(), lambda xy: xy[:, ::-1]))
    pyogrio.write_dataframe(swapped, tmp_path / "effis.geojson")
    _refused("greece", "effis", tmp_path / "effis.geojson", root, r"none of its 5 records lies in Greece")
    said = "<ServiceExceptionReport><ServiceException>msWFSGetFeature()</ServiceException></ServiceExceptionReport>"
    (tmp_path / "effis.json").write_text(f'<?xml version="1.0"?>{said}')
    _refused("greece", "effis", tmp_path / "effis.json", root, r"effis\.json")


def _cems(folder: Path, name: str, shapes: list[shapely.Geometry], **fields: str) -> None:
    """A product's layer of what burned; polygons beside each other are one fire."""
    said = {"event_type": "Wildfire", "obj_desc": "Forest fire", "det_method": "Photo-interpretation", "dmg_src_id": 2}
    rows = [said | fields | {"area": shape.area / 1e4, "geometry": shape} for shape in shapes]
    frame = gpd.GeoDataFrame(rows, crs=table_crs()).to_crs(32634)
    pyogrio.write_dataframe(frame, folder / f"{name}.shp", encoding="UTF-8")


def test_cems(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("greece")):
        early, late = _square(0, 2000), _square(0, 3000)
        halves = [early.intersection(shapely.box(*early.bounds[:2], early.centroid.x, early.bounds[3])), early]
        halves[1] = early.difference(halves[0])
        dated = {"event_date": "2020-08-19"}
        _cems(tmp_path, "EMSR460_AOI01_DEL_PRODUCT_observedEventA_v1", halves, **dated, src_date="2020-08-21")
        _cems(tmp_path, "EMSR460_AOI01_DEL_MONIT01_observedEventA_v1", [late], **dated, src_date="2020-08-26")
        _cems(tmp_path, "EMSR461_AOI01_GRA_PRODUCT_observedEventA_v1", [_square(3)], **dated, event_type="5-Flood")
        _cems(tmp_path, "EMSR460_AOI01_DEL_PRODUCT_areaOfInterestA_v1", [_square(0, 9000)])
    path = tmp_path / "EMSR460.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for member in tmp_path.glob("EMSR46*_*"):
            archive.write(member, f"EMSR460/{member.name}")
    with _released("greece", "cems", path, root) as release:
        assert sorted(release.records["kind"]) == ["fire", "fire", "other"]
        cleaned = _cleaned(release)
        (kept,) = cleaned.perimeters.itertuples()
        assert kept.containment_date == _day("2020-08-26") and kept.end_kind == "scene_date"
        assert kept.geometry.area == pytest.approx(9e6, rel=0.01), "the last product of the area"
        assert set(cleaned.rejects["reason"]) == {"duplicate"} and len(cleaned.rejects) == 1


def test_cems_without_a_day_of_the_event_says_what_to_add(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("greece")):
        _cems(tmp_path, "EMSR460_AOI01_DEL_PRODUCT_observedEventA_v1", [_square(0)])
    path = tmp_path / "EMSR460_AOI01_DEL_PRODUCT_observedEventA_v1.shp"
    _refused("greece", "cems", path, root, r"lacks event_date; its fields are .*det_method")


def _modis_squares(number: int) -> list[shapely.Polygon]:
    """Three pixels side by side, burnt one day after the other."""
    west, south, *_ = _square(number).bounds
    return [shapely.box(west + 463 * day, south, west + 463 * (day + 1), south + 463) for day in range(3)]


def test_globfire_in_daily_areas(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("new-south-wales")):
        shapes = [shape for number in range(2) for shape in _modis_squares(number)]
        days = [pd.Timestamp(2019, 12, 30) + pd.Timedelta(days=day) for day in (0, 1, 2)] * 2
        ms = [int(day.timestamp() * 1000) for day in days]
        frame = gpd.GeoDataFrame(
            {"Id": [7, 7, 7, 8, 8, 8], "InitialDate": ms, "FinalDate": ms}, geometry=shapes, crs=table_crs()
        ).to_crs(4326)
    frame.to_parquet(tmp_path / "globfire.parquet")
    with _released("new-south-wales", "globfire", tmp_path / "globfire.parquet", root) as release:
        cleaned = _cleaned(release, 2019)
        fires = cleaned.perimeters
        assert fires["fire_id"].tolist() == ["globfire-7", "globfire-8"], "three days, one fire, one fire year"
        assert set(fires["alarm_date"]) == {_day("2019-12-30")}
        assert set(fires["containment_date"]) == {_day("2020-01-01")}
        assert set(fires["end_kind"]) == {"last_detection"} and not len(cleaned.rejects)


def test_fired_in_the_sinusoidal_projection(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("conterminous-us")):
        shapes = [shape for number in range(5) for shape in _modis_squares(number)]
        frame = gpd.GeoDataFrame(
            {
                "id": [number for number in range(5) for _ in range(3)],
                "ig_date": ["2020-08-01"] * 15,
                "ig_year": 2020,
                "last_date": ["2020-08-03"] * 15,
                "tot_ar_km2": 3 * 0.463**2,
            },
            geometry=shapes,
            crs=table_crs(),
        ).to_crs(SINUSOIDAL)
    pyogrio.write_dataframe(frame, tmp_path / "fired_conus.gpkg", layer="fired_conus_daily_nov2001-mar2021")
    with _released("conterminous-us", "fired", tmp_path / "fired_conus.gpkg", root) as release:
        fires = _cleaned(release).perimeters
        assert len(fires) == 5 and set(fires["end_kind"]) == {"last_detection"}
        assert (fires["reported_area_ha"] / fires["area_ha"] - 1).abs().max() < 0.01, "km² of the fire, in every row"


def _npws(**changes: object) -> gpd.GeoDataFrame:
    """Five records of the fire year 2019 in New South Wales."""
    columns: dict[str, object] = {
        "FireName": [f"FIRE {number}" for number in range(5)],
        "FireNo": [f"1912{number:03d}" for number in range(5)],
        "FireType": [1, 1, 1, 1, 2],
        "StartDate": pd.to_datetime(["2019-11-20", "2020-02-01", None, "2020-01-05", "2020-05-10"]),
        "EndDate": pd.to_datetime(["2019-12-10", "2020-02-09", None, None, "2020-05-12"]),
        "AreaHa": 900.0,
        "Label": [*["2019-20 Wildfire"] * 4, "2019-20 Prescribed Burn"],
    }
    shapes = [_square(number) for number in range(5)]
    kept = {name: value for name, value in (columns | changes).items() if value is not None}
    return gpd.GeoDataFrame(kept, geometry=shapes, crs=table_crs()).to_crs(4283)


@pytest.mark.parametrize("changes", [{}, {"FireType": None}], ids=["by type", "by label"])
def test_new_south_wales(tmp_path: Path, root: DataRoot, changes: dict[str, object]) -> None:
    with in_region(load_region("new-south-wales")):
        path = write_zip(_npws(**changes), tmp_path / "NPWSFireHistory.zip")
    with _released("new-south-wales", "new-south-wales", path, root) as release:
        assert release.records["fire_year"].eq(2019).all(), "the financial year begins in July"
        assert _by(release.records, "kind")["FIRE 4"] == "prescribed"
        cleaned = _cleaned(release, 2019)
        assert _by(cleaned.perimeters, "end_kind") == {"FIRE 0": "contained", "FIRE 1": "contained"}
        assert _by(cleaned.rejects, "reason") == {"FIRE 2": "alarm_missing", "FIRE 3": "containment_missing"}
        assert not any("alarm_in_another_year" in flags for flags in cleaned.perimeters["flags"])


def test_south_australias_names_of_the_same(tmp_path: Path, root: DataRoot) -> None:
    with in_region(load_region("new-south-wales")):
        history = _npws().rename(
            columns={"FireName": "INCIDENTNA", "FireNo": "INCIDENTNU", "StartDate": "FIREDATE", "AreaHa": "HECTARES"}
        )
        kinds = ["Bushfire"] * 4 + ["Prescribed burn"]
        history = history.drop(columns=["FireType", "Label", "EndDate"])
        history = history.assign(INCIDENTTY=kinds, FINANCIALY="2019/2020")
        path = write_zip(history, tmp_path / "FIREMGT_FireHistory.zip")
    with _released("new-south-wales", "new-south-wales", path, root) as release:
        assert release.records["fire_year"].eq(2019).all() and (release.records["kind"] == "prescribed").sum() == 1
        assert any("no field holds the ends of fires" in note for note in release.info.notes)
        assert _by(_cleaned(release, 2019, assumed=10).perimeters, "end_kind") == dict.fromkeys(
            ["FIRE 0", "FIRE 1", "FIRE 3"], "assumed"
        )
