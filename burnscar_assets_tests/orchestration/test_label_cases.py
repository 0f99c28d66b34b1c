"""Releases as people have them, from the file to labels, burn history and negatives, by the stages that a user runs."""

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from shapely.geometry import GeometryCollection, LineString

from burnscar_assets.cli import main
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.errors import BurnscarError
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    SAMPLE_POINTS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table
from burnscar_assets_tests.conftest import REAL_DATA
from burnscar_assets_tests.labels.label_records import frap_fires, season, square
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld

CASES = REAL_DATA.parent / "cases"
YEAR = 2021
ASSETS = (*LABELS, "sample_points")


@pytest.fixture
def world(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    yield LabelWorld(root)


def case(path: str) -> Path:
    if not (CASES / path).exists():
        pytest.skip(f"case not found at {CASES / path}")
    return CASES / path


def refresh(world: LabelWorld, source: Path | str) -> list[BurnscarError]:
    """Bring 2021 up to date with a release, as `burnscar refresh` does; what failed."""
    world.configure(
        years={"first": YEAR, "last": YEAR}, release={"source": str(source)}, imagery={"archive": "index.parquet"}
    )
    with world.runner() as runner:
        return runner.refresh([YEAR], assets=ASSETS).failures


def table(world: LabelWorld, contract: Table) -> gpd.GeoDataFrame:
    return read_table(world.root, contract, YEAR)


def check_that_no_ground_is_lost(world: LabelWorld, burnt: shapely.Geometry) -> None:
    """Eight labels, eight burns in the history, and no negative on burnt ground."""
    points = table(world, SAMPLE_POINTS)
    negatives = points[points["category"] == "unburnt"]
    assert len(table(world, FIRE_PERIMETER_REJECTS)) == 0
    assert (len(table(world, FIRE_PERIMETERS)), len(table(world, BURN_HISTORY))) == (8, 8)
    assert len(negatives) > 0
    assert negatives.geometry.intersects(burnt).sum() == 0


def test_case_03_polygons_in_collections_are_labels(world: LabelWorld) -> None:
    burnt = gpd.read_file(case("03-geometrycollection/good/firep24.gpkg")).union_all()
    assert not refresh(world, case("03-geometrycollection/bad/firep24.gpkg"))
    check_that_no_ground_is_lost(world, burnt)


def test_polygons_in_nested_collections_are_labels(world: LabelWorld) -> None:
    line = LineString([(0, 0), (50, 50)])
    fires = frap_fires(*(season(YEAR, number) for number in range(8)))
    for depth in range(1, 5):
        shape = square(depth)
        for _ in range(depth):
            shape = GeometryCollection([shape, line])
        fires.loc[depth, "geometry"] = shape
    world.root.path.mkdir(parents=True)
    world.publish(fires)
    assert not refresh(world, world.release)
    check_that_no_ground_is_lost(world, shapely.union_all([square(number) for number in range(8)]))


def test_case_05_degrees_that_the_prj_calls_metres_are_refused(world: LabelWorld) -> None:
    failures = refresh(world, case("05-wrong-prj/firep24_1.shp"))
    assert len(failures) == 1
    for part in ("coordinates look like degrees", "EPSG:3310", "1e-10 of those reported"):
        assert part in str(failures[0])


def test_case_06_an_undefined_crs_is_told_as_a_missing_one(world: LabelWorld) -> None:
    failures = refresh(world, case("06-undefined-crs/firep24.gpkg"))
    assert "has no coordinate reference system" in str(failures[0])
    assert "FRAP's is EPSG:3310" in str(failures[0])


def test_case_21_field_names_of_the_hubs_export_are_known(world: LabelWorld) -> None:
    assert not refresh(world, case("21-hub-alias-names/California_Historic_Fire_Perimeters.geojson"))
    labels = table(world, FIRE_PERIMETERS)
    assert len(labels) == 6
    assert labels["reported_area_ha"].round(1).tolist() == [467.4] * 6
    assert labels[["alarm_date", "containment_date", "inc_num", "irwin_id", "c_method"]].notna().all(axis=None)


def test_case_16_what_holds_no_features_is_passed_over(world: LabelWorld) -> None:
    assert not refresh(world, case("16-zip-side-json/perimeters.zip"))
    assert len(table(world, FIRE_PERIMETERS)) == 6


def test_case_18_text_that_is_not_what_the_cpg_says_is_read(world: LabelWorld) -> None:
    assert not refresh(world, case("18-cpg-mismatch/firep24_1.shp"))
    labels = table(world, FIRE_PERIMETERS)
    assert len(labels) == 6
    assert {"CAÑON", "PEÑASQUITOS"} <= set(labels["fire_name"])


@pytest.mark.parametrize(
    "odd", [{"metadata.json": b'{"a": 1}'}, {"empty.geojson": b"", "old.gpkg": b"SQLite format 3"}]
)
def test_the_command_says_what_of_a_release_was_passed_over(
    odd: dict[str, bytes], world: LabelWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = world.root.path / "release"
    folder.mkdir(parents=True)
    frap_fires(*(season(YEAR, number) for number in range(3))).to_file(folder / "firep24.gpkg", layer="firep24_1")
    for name, content in odd.items():
        (folder / name).write_bytes(content)
    world.configure(
        years={"first": YEAR, "last": YEAR}, release={"source": str(folder)}, imagery={"archive": "index.parquet"}
    )
    command = ["refresh", "--data", str(world.root.path), "--config", str(world.root.world_file), "--select", *LABELS]
    assert main(command) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("note:")]
    assert all(any(name in line for line in said) for name in odd)
    assert not any("driver" in line for line in said)
