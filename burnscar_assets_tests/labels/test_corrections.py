"""Words of a person on labels: what they do to records, and what is wrong with a file that a person edited."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets.environment import CONFIG_VARIABLE, corrections_file
from burnscar_assets.errors import InputError
from burnscar_assets.labels.corrections import LAYER, WORDS, read_corrections, write_corrections
from burnscar_assets.labels.history import burn_history
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets.storage.contracts import LABEL_DOUBTS, RELEASE_RECORDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs

FIRE = shapely.box(0, 0, 1000, 1000)
ISLAND = shapely.box(100, 100, 300, 300)
BESIDE = shapely.box(800, 0, 1300, 1000)


def said(tmp_path: Path, *words: dict[str, Any], crs: str | None = "EPSG:3310", layer: str = LAYER) -> Path:
    path = tmp_path / "corrections.gpkg"
    rows = [{"word": "", "fire_id": "A", "fire_year": 2020, "geometry": FIRE} | one for one in words]
    gpd.GeoDataFrame(rows, geometry="geometry", crs=crs).to_file(path, layer=layer, driver="GPKG")
    return path


def test_worlds_whose_settings_lie_in_one_folder_have_a_file_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, places = DataRoot(tmp_path / "data"), []
    for chosen in ("north.yaml", "south.yaml", "data/world.yaml"):
        monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / chosen))
        places.append(corrections_file(root))
    monkeypatch.setenv(CONFIG_VARIABLE, "demo")
    in_root = root.path / "corrections.gpkg"
    assert places == [tmp_path / "north.corrections.gpkg", tmp_path / "south.corrections.gpkg", in_root]
    assert corrections_file(root) == in_root, "shipped settings are nobody's own"


def records() -> gpd.GeoDataFrame:
    """Fires A and B of 2020, a kilometre wide each, ten kilometres apart."""
    known = {"kind": "fire", "fire_year": 2020, "fire_name": ["A", "B"], "record_id": ["A", "B"]}
    days = {
        "alarm_date": pd.Timestamp("2020-07-01", tz="UTC"),
        "containment_date": pd.Timestamp("2020-07-05", tz="UTC"),
    }
    other = shapely.transform(FIRE, lambda xy: xy + 10_000)
    empty = dict.fromkeys(RELEASE_RECORDS.column_names)
    rows = pd.DataFrame(empty | known | days | {"reported_area_ha": 100.0}, index=[0, 1])
    return RELEASE_RECORDS.conform(gpd.GeoDataFrame(rows.assign(geometry=[FIRE, other]), crs=table_crs()))


def perimeter_of(path: Path, fire_id: str = "A") -> shapely.Geometry:
    made = clean_perimeters(read_corrections(path).applied_to(records()), 2020, PerimeterSettings(), simulated=False)
    return made.perimeters.set_index("fire_id").geometry[fire_id]


def test_outlines_replace_perimeters_and_islands_are_cut_out_of_their_own_fire_alone(tmp_path: Path) -> None:
    before = perimeter_of(tmp_path / "none.gpkg", "B")
    path = said(tmp_path, {"word": "outline", "geometry": BESIDE}, {"word": " Unburned ", "geometry": ISLAND}, {})
    with pytest.raises(InputError, match=r"row 2 of layer corrections: the island lies outside the perimeter of A"):
        perimeter_of(path)
    path = said(tmp_path, {"word": "outline", "geometry": FIRE.union(BESIDE)}, {"word": "unburned", "geometry": ISLAND})
    found = perimeter_of(path)
    assert found.area == pytest.approx(1300 * 1000 - 200 * 200) and not found.contains(ISLAND.centroid)
    assert perimeter_of(path, "B").equals(before)


def test_what_is_unsure_is_no_label_and_a_burn_that_could_show(tmp_path: Path) -> None:
    path = said(tmp_path, {"word": "unsure", "geometry": BESIDE})
    assert perimeter_of(path).area == pytest.approx(800 * 1000)
    corrected = read_corrections(path).applied_to(records())
    burns = burn_history(corrected, 2021, PerimeterSettings()).burns.set_index("burn_id")
    assert set(burns.index) == {"A", "A/unsure", "B"} and burns.loc["A/unsure", "kind"] == "unsure"
    assert burns.geometry["A/unsure"].equals(BESIDE)
    assert burns.loc["A/unsure", "alarm_date"] == burns.loc["A", "alarm_date"]
    made = clean_perimeters(corrected, 2020, PerimeterSettings(), simulated=False)
    assert set(made.perimeters["fire_id"]) == {"A", "B"} and made.summary.rejected == 0


def test_out_changes_no_record_and_words_bear_on_their_years_alone(tmp_path: Path) -> None:
    before = records()
    words = read_corrections(said(tmp_path, {"word": "out", "geometry": None}, {"word": "out", "fire_id": "B"}))
    assert words.applied_to(before) is before and words.out(2020) == ("A", "B") and words.out(2021) == ()
    assert words.out_version(2021) == "" != words.out_version(2020)
    assert words.ground_version() == ""
    ground = read_corrections(said(tmp_path, {"word": "unburned", "geometry": ISLAND}))
    assert ground.ground_version(fire_year=2021) == "" != ground.ground_version(fire_year=2020)
    assert ground.ground_version(fires=["B"]) == "" != ground.ground_version(fires=["A"])
    assert ground.out_version(2020) == ""
    (tmp_path / "corrections.gpkg").unlink()
    earlier = read_corrections(said(tmp_path, {"word": "unburned", "geometry": ISLAND, "fire_year": 2019}))
    assert earlier.ground_version(fires=["A"]) != ground.ground_version(fires=["A"]), "of a fire of another year"


def test_years_may_be_text(tmp_path: Path) -> None:
    path = said(tmp_path, {"word": "out", "fire_year": "2020"}, {"word": "out", "fire_id": "B", "fire_year": "2021"})
    assert read_corrections(path).out(2021) == ("B",)


def test_the_same_ground_drawn_otherwise_is_the_same_version(tmp_path: Path) -> None:
    path = said(tmp_path, {"word": "unburned", "geometry": ISLAND})
    before = read_corrections(path).ground_version()
    turned = shapely.Polygon([*ISLAND.exterior.coords[2:], *ISLAND.exterior.coords[1:3]])
    path.unlink()
    assert read_corrections(said(tmp_path, {"word": "unburned", "geometry": turned})).ground_version() == before


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            {"word": "wrong"},
            r"row 2 of layer corrections: 'wrong' is no word; there are out, unsure, unburned, outline",
        ),
        ({"word": "out", "fire_id": None}, "row 2.*names no fire"),
        ({"word": "out", "fire_year": None}, "row 2.*names no year"),
        ({"word": "out", "fire_year": "last"}, "row 2.*names no year"),
        ({"word": "unsure", "geometry": None}, "row 2.*unsure needs a polygon"),
        (
            {"word": "outline", "geometry": shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])},
            "row 2.*polygon is invalid",
        ),
        ({"word": "outline", "geometry": FIRE}, "row 2.*A has another outline"),
        ({"word": "unsure", "geometry": FIRE.buffer(9)}, "nothing is left of the perimeter of A"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_corrections(said(tmp_path, {"word": "outline"}, row)).applied_to(records())


def test_unknown_fires_layers_and_a_missing_crs_are_named(tmp_path: Path) -> None:
    words = read_corrections(said(tmp_path, {"word": "out", "fire_id": "C"}))
    words.check_fires({"A"}, 2020, ["outline"])
    with pytest.raises(InputError, match=r"row 1.*there is no fire 'C' of 2020: correct it in QGIS"):
        words.check_fires({"A"}, 2020, WORDS)
    with pytest.raises(InputError, match="has no coordinate reference system"):
        read_corrections(said(tmp_path, {"word": "out"}, crs=None))
    (tmp_path / "corrections.gpkg").unlink()
    with pytest.raises(InputError, match=r"has no layer corrections \(there are: other\)"):
        read_corrections(said(tmp_path, {"word": "out"}, layer="other"))
    (tmp_path / "corrections.gpkg").write_bytes(b"no database")
    with pytest.raises(InputError, match="can't be read"):
        read_corrections(tmp_path / "corrections.gpkg")


def test_a_new_file_has_a_row_for_each_doubtful_fire_and_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "corrections.gpkg"
    write_corrections(path, LABEL_DOUBTS.empty())
    assert read_corrections(path).rows.empty and list(gpd.read_file(path, layer=LAYER)["word"]) == []
    facts = {
        "fire_id": ["A", "B"],
        "fire_name": [pd.NA, "B"],
        "fire_year": 2020,
        "doubts": [["goes_on"], []],
        "flag": "",
    }
    rows = pd.DataFrame(dict.fromkeys(LABEL_DOUBTS.column_names) | facts, index=[0, 1])
    doubts = gpd.GeoDataFrame(rows, geometry=[FIRE, FIRE], crs=table_crs())
    write_corrections(path, doubts)
    there = gpd.read_file(path, layer=LAYER)
    assert list(there["fire_id"]) == ["A"] and list(there["doubts"]) == ["goes_on"] and there.crs == table_crs()
    assert list(there["fire_name"]) == [""]
    assert read_corrections(path).rows.empty
    there.assign(word="out").to_file(path, layer=LAYER, driver="GPKG")
    assert read_corrections(path).out(2020) == ("A",)
