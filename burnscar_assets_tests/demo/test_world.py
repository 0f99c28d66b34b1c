import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely
from shapely import Point

from burnscar_assets.catalog.stac_index import read_index
from burnscar_assets.demo.cover_map import COVER_FILE
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.demo.world import Scale, SimulatedWorld, build_world
from burnscar_assets.errors import SettingsError
from burnscar_assets.settings import EvaluationSettings, Settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot

TINY = Scale(granule_m=3600, fires_a_region=4)


def tiny_settings(**demo: object) -> Settings:
    return Settings.model_validate(
        {
            "name": "tiny (simulated)",
            "years": {"first": 2021, "last": 2022},
            "release": {"source": "simulated/fire_simulated_gdb.zip"},
            "demo": {"fires_per_year": 3, **demo},
        }
    )


def one_fire() -> gpd.GeoDataFrame:
    row = {name: [""] for name in FIRE_PERIMETERS.column_names}
    row |= {"fire_id": ["f1"], "fire_year": [2020], "cause": [1], "c_method": [1], "flags": [[]], "simulated": [False]}
    row |= {"alarm_date": ["2020-08-01"], "containment_date": ["2020-08-09"], "area_ha": [50.0]}
    row |= {"reported_area_ha": [50.0], "end_precision_days": [1.0]}
    row |= {"geometry": [Point(-90_000, 60_000).buffer(400)]}
    return FIRE_PERIMETERS.conform(gpd.GeoDataFrame(row, crs="EPSG:3310"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    return DataRoot(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def world(root: DataRoot) -> SimulatedWorld:
    return build_world(tiny_settings(), root, workers=1, scale=TINY)


def contents(root: DataRoot) -> dict[str, str]:
    files = sorted(path for path in root.simulated.rglob("*") if path.is_file() and path.suffix != ".zip")
    return {path.relative_to(root.simulated).as_posix(): hash_file(path) for path in files}


def test_index_and_catalogue_hold_the_same_scenes(world: SimulatedWorld) -> None:
    by_index, by_catalogue = read_index(str(world.index)), read_index(str(world.catalogue))
    assert [item["id"] for item in by_index] == [item["id"] for item in by_catalogue]
    assert len(by_index) == world.scenes
    for one, other in zip(by_index, by_catalogue, strict=True):
        assert one["assets"].keys() == other["assets"].keys() == {*BANDS, "SCL"}
        for key in one["assets"]:
            assert Path(one["assets"][key]["href"]) == Path(other["assets"][key]["href"])
            assert Path(one["assets"][key]["href"]).is_file()


def test_items_tell_what_readers_ask_for_and_that_they_are_simulated(world: SimulatedWorld) -> None:
    for item in read_index(str(world.index)):
        told = item["properties"]
        assert told["burnscar:simulated"] is True
        assert "SIMULATED" in told["title"]
        assert told["created"].startswith("2026-01-01")
        assert 0 <= told["eo:cloud_cover"] <= 100
        assert told["proj:code"] == f"EPSG:{told['proj:epsg']}"
        assert told["s2:product_type"] == "S2MSI2A"
        after = told["datetime"] >= "2022-01-25"
        assert (told["s2:processing_baseline"] >= "04.00") == after
        with rasterio.open(item["assets"]["B02"]["href"]) as band:
            assert band.crs.to_epsg() == told["proj:epsg"]
            data = band.read(1)
        assert (np.percentile(data[data > 0], 5) > 1000) == after or told["eo:cloud_cover"] > 80
        with rasterio.open(item["assets"]["SCL"]["href"]) as scl:
            classes = scl.read(1)
        cloudy = 100 * np.isin(classes, (8, 9, 10)).sum() / max((classes > 0).sum(), 1)
        assert told["eo:cloud_cover"] == pytest.approx(cloudy, abs=0.01)


def test_footprints_are_the_extent_of_the_data(world: SimulatedWorld) -> None:
    shares = []
    for item in read_index(str(world.index)):
        footprint = shapely.geometry.shape(item["geometry"])
        with rasterio.open(item["assets"]["B04"]["href"]) as band:
            share = float((band.read(1) > 0).mean())
            extent = shapely.box(*rasterio.warp.transform_bounds(band.crs, "EPSG:4326", *band.bounds))
        assert extent.buffer(1e-3).contains(footprint)
        shares.append((share, footprint.area / extent.area))
    whole = np.median([area for share, area in shares if share == 1])
    for share, area in shares:
        assert area / whole == pytest.approx(share, abs=0.06)


def test_land_is_where_scenes_are(world: SimulatedWorld) -> None:
    land = gpd.read_file(world.land)
    assert land.crs.to_epsg() == 4326
    items = read_index(str(world.index))
    assert set(land.granule_id) == {item["id"].split("_")[4] for item in items}
    assert land.simulated.all()
    ground = land.union_all()
    assert all(ground.buffer(1e-3).contains(shapely.geometry.shape(item["geometry"])) for item in items)


def test_true_burns_lie_beside_the_perimeters_and_are_missed(root: DataRoot, world: SimulatedWorld) -> None:
    truth = gpd.read_parquet(world.truth)
    assert truth.crs.to_epsg() == 3310
    assert truth.burn_id.is_unique
    assert len(truth) == world.fires
    before = contents(root)
    world.truth.unlink()
    assert build_world(tiny_settings(), root, workers=1, scale=TINY).made
    assert contents(root) == before


def test_land_cover_lies_where_scenes_are_in_known_classes_and_is_missed(root: DataRoot, world: SimulatedWorld) -> None:
    path = root.simulated / COVER_FILE
    with rasterio.open(path) as source:
        codes = source.read(1, out_shape=(source.height // 10, source.width // 10))
        tags, nodata = source.tags(), source.nodata
        pixel_m2 = 100 * abs(source.transform.a * source.transform.e)
    assert tags["SIMULATED"] == "YES" and source.crs.to_epsg() == 3310
    classes, pixels = np.unique(codes[codes != nodata], return_counts=True)
    assert {10, 20, 30} <= set(classes.tolist()) <= EvaluationSettings().cover_classes.keys()
    land = gpd.read_file(world.land).to_crs(3310).union_all()
    assert pixels.sum() * pixel_m2 == pytest.approx(land.area, rel=0.05)
    before = hash_file(path)
    path.unlink()
    assert build_world(tiny_settings(), root, workers=2, scale=TINY).made
    assert hash_file(path) == before


def test_a_second_call_does_nothing(root: DataRoot, world: SimulatedWorld) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.simulated.rglob("*")}
    again = build_world(tiny_settings(), root, workers=1, scale=TINY)
    assert world.made
    assert not again.made
    assert (again.scenes, again.fires, again.bytes, again.labels) == (
        world.scenes, world.fires, world.bytes, world.labels,
    )  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in root.simulated.rglob("*")} == before


def test_a_world_can_be_moved(root: DataRoot, world: SimulatedWorld, tmp_path: Path) -> None:
    moved = DataRoot(Path(shutil.copytree(root.path, tmp_path / "moved")))
    there = build_world(tiny_settings(), moved, workers=1, scale=TINY)
    assert not there.made
    assert there.labels is not None
    assert there.labels.is_relative_to(moved.path)


def test_a_wiped_scene_is_noticed_and_drawn_again(root: DataRoot, world: SimulatedWorld) -> None:
    before = contents(root)
    item = next(root.simulated.rglob("item.json"))
    labels = world.labels
    assert labels is not None
    labels_before = labels.stat().st_mtime_ns
    shutil.rmtree(item.parent)
    assert build_world(tiny_settings(), root, workers=1, scale=TINY).made
    assert contents(root) == before
    assert labels.stat().st_mtime_ns == labels_before


def test_an_interrupted_build_is_resumed_and_never_taken_for_whole(
    root: DataRoot, world: SimulatedWorld, tmp_path: Path
) -> None:
    other = DataRoot(tmp_path)

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "drawing scenes" and done > total // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_world(tiny_settings(), other, workers=1, scale=TINY, progress=interrupt)
    drawn = {path: path.stat().st_mtime_ns for path in other.simulated.rglob("*.tif")}
    assert drawn
    assert not (other.simulated / "manifest.json").exists()
    (other.simulated / "imagery" / "scenes" / "carsonwest" / ".half.tmp").mkdir(parents=True, exist_ok=True)
    assert build_world(tiny_settings(), other, workers=1, scale=TINY).made
    assert all(path.stat().st_mtime_ns == when for path, when in drawn.items())
    assert contents(other) == contents(root)
    assert not list(other.simulated.rglob("*.tmp"))


def test_given_perimeters_get_imagery_and_no_labels_in_any_number_of_processes(tmp_path: Path) -> None:
    alone, pooled = DataRoot(tmp_path / "alone"), DataRoot(tmp_path / "pooled")
    settings = tiny_settings(perimeters="given.zip")
    fires = one_fire()
    made = build_world(settings, alone, fires, workers=0)
    assert made.labels is None
    assert made.scenes == 4
    two = gpd.GeoDataFrame(fires.loc[[0, 0]].assign(fire_id=["f1", "f2"]).reset_index(drop=True), crs=fires.crs)
    two.loc[1, "geometry"] = Point(60_000, 60_000).buffer(300)
    build_world(settings, pooled, two, workers=2)
    first = {k: v for k, v in contents(alone).items() if k.endswith("B12.tif")}
    assert first.items() <= contents(pooled).items()
    assert not list(alone.simulated.glob("*.zip"))
    assert json.loads(made.land.read_text())["features"][0]["properties"]["fire_years"] == [2020]


def test_settings_that_make_no_world_are_named(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    settings = tiny_settings()
    with pytest.raises(SettingsError, match="demo section"):
        build_world(settings.model_copy(update={"demo": None}), root)
    endless = settings.model_copy(update={"years": settings.years.model_copy(update={"last": None})})
    with pytest.raises(SettingsError, match=r"years\.last"):
        build_world(endless, root)
    remote = settings.model_copy(update={"release": settings.release.model_copy(update={"source": "https://a/b.zip"})})
    with pytest.raises(SettingsError, match=r"release\.source"):
        build_world(remote, root)
    with pytest.raises(SettingsError, match="no fire"):
        build_world(tiny_settings(perimeters="given.zip"), root, FIRE_PERIMETERS.empty())
    assert not list(root.path.rglob("*.tif"))
