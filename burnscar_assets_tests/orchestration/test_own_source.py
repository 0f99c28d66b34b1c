"""CONTRIBUTING's recipe of a label source: one file beside the settings, and its layers become labels under Dagster."""

from collections.abc import Iterator

import geopandas as gpd
import pytest

from burnscar_assets.environment import DATA_VARIABLE
from burnscar_assets.storage.contracts import BURN_HISTORY, FIRE_PERIMETER_REJECTS, FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.labels.label_records import square
from burnscar_assets_tests.orchestration.label_world import LABELS, VARIABLES, LabelWorld

YEAR = 2021
SOURCE = """
title: Feuerwehr im Tal
fields:
  id: Nr
  kind: {names: Art, values: {waldbrand: fire, "gepl*": prescribed}, others: other}
  fire_name: Ort
  start: {names: Beginn, format: "%d.%m.%Y"}
  end:
    - {names: Aus, format: "%d.%m.%Y", kind: controlled}
    - {names: Bild, format: "%d.%m.%Y", kind: scene_date, within_days: 60}
  area: {names: Hektar, missing: [-1]}
dissolve: true
"""


@pytest.fixture
def world(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(DATA_VARIABLE, str(root.path))  # beside whose settings the source's file lies
    world = LabelWorld(root)
    world.configure(years={"first": YEAR, "last": YEAR}, release={"source": "release.gpkg", "format": "tal"})
    (root.path / "sources").mkdir()
    (root.path / "sources" / "tal.yaml").write_text(SOURCE, encoding="utf-8")
    rows = [
        ("1", "Waldbrand", "01.08.2021", "05.08.2021", None, square(0)),
        ("1", "Waldbrand", "02.08.2021", "09.08.2021", None, square(0, x=900)),
        ("2", "Waldbrand", "03.08.2021", None, "20.08.2021", square(2)),
        ("3", "Waldbrand", "03.08.2021", None, "20.06.2022", square(3)),
        ("4", "Geplant", "03.03.2021", "04.03.2021", None, square(4)),
        ("5", "Unklar", "03.08.2021", "05.08.2021", None, square(5)),
    ]
    names = ["Nr", "Art", "Beginn", "Aus", "Bild", "geometry"]
    world.publish(gpd.GeoDataFrame(rows, columns=names, crs=3310).assign(Ort="TAL", Hektar=-1.0))
    yield world


def _refresh(world: LabelWorld) -> gpd.GeoDataFrame:
    """Make the labels as `burnscar refresh` does; the perimeters by their ids."""
    with world.runner() as runner:
        assert not runner.refresh([YEAR], assets=LABELS).failures
    return read_table(world.root, FIRE_PERIMETERS, YEAR).set_index("fire_id")


def test_a_source_is_one_file(world: LabelWorld) -> None:
    fires = _refresh(world)
    assert fires["end_kind"].to_dict() == {"tal-1": "controlled", "tal-2": "scene_date"}
    assert set(fires["source"]) == {"tal"} and fires["reported_area_ha"].isna().all()
    assert fires.geometry["tal-1"].area == pytest.approx(1.9e6), "two polygons of one fire, overlapping"
    assert [f"{day:%m-%d}" for day in fires.loc["tal-1", ["alarm_date", "containment_date"]]] == ["08-01", "08-09"]
    rejects = read_table(world.root, FIRE_PERIMETER_REJECTS, YEAR)
    assert dict(zip(rejects["record_id"], rejects["reason"], strict=True)) == {"tal-3": "containment_missing"}
    burns = read_table(world.root, BURN_HISTORY, YEAR)
    assert set(burns["burn_id"]) == {f"tal-{number}" for number in range(1, 6)}, "negatives keep off all of them"


def test_an_edited_file_is_read_again(world: LabelWorld) -> None:
    assert len(_refresh(world)) == 2
    edited = SOURCE.replace("others: other", "others: fire")
    (world.root.path / "sources" / "tal.yaml").write_text(edited, encoding="utf-8")
    assert set(_refresh(world).index) == {"tal-1", "tal-2", "tal-5"}
