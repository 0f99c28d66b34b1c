"""Fire scenes over a small archive: where frames lie, what is true of their pixels, and that they are read once."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from burnscar_assets.checks import scenes_are_whole
from burnscar_assets.classes import Split
from burnscar_assets.dataset.config import before_layer
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import MissingDataError
from burnscar_assets.mapping import scene_making
from burnscar_assets.mapping.fire_scenes import FireScene, read_fire_scenes
from burnscar_assets.mapping.frame import frame_around, project
from burnscar_assets.mapping.ground import KnownGround
from burnscar_assets.mapping.inference import Lattice, predict_block
from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.scene_frames import PlannedFrame, frames_of_fires, frames_without_fire
from burnscar_assets.mapping.scene_making import FireSceneSummary, make_fire_scenes
from burnscar_assets.mapping.scene_searches import frames_to_look_at_again
from burnscar_assets.publish.making import make_map
from burnscar_assets.sampling.land import YEARS_COLUMN
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import Settings
from burnscar_assets.storage.atomic import read_json, write_json
from burnscar_assets.storage.contracts import FIRE_SCENES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs, write_table
from burnscar_assets_tests.catalog.small_archive import LEFT, TOP, write_scene
from burnscar_assets_tests.demo_settings import settings_alone
from burnscar_assets_tests.publish.map_kit import (
    SIZE_PX,
    FormulaModel,
    SmallScene,
    degrees,
    judge_of,
    make_archive,
    spec_of,
)

YEAR = 2022
ALL = (Split.VAL, Split.TEST)
AFTER, BEFORE = SmallScene("after"), SmallScene("before", time="2022-07-01T18:50:00Z", surface=1)
DEMO = settings_alone()


def settings_of(root: DataRoot, *scenes: SmallScene) -> Settings:
    """Settings of a world over a small archive, with small margins and windows."""
    parts = {
        "windows": DEMO.windows.model_copy(update={"size_px": SIZE_PX}),
        "fire_scenes": DEMO.fire_scenes.model_copy(update={"margin_m": (200.0, 400.0), "without_fire": 2}),
    }
    return DEMO.model_copy(update={"imagery": make_archive(root, *scenes, retries=0), **parts})


def fires_of(*shapes: shapely.Geometry, split: Split = Split.TEST, **changes: Any) -> gpd.GeoDataFrame:
    """Fires contained in August, as `plan.judged_fires` gives them."""
    table = gpd.GeoDataFrame(geometry=list(shapes), crs="EPSG:4326").to_crs(table_crs())
    facts = {
        "fire_id": [f"f{number}" for number in range(len(table))], "fire_year": YEAR, "fire_name": "FIRE",
        "alarm_date": datetime(YEAR, 7, 28, tzinfo=UTC), "containment_date": datetime(YEAR, 8, 1, tzinfo=UTC),
        "area_ha": table.area / 1e4, "simulated": True, "end_precision_days": 1.0,
        "split": split.value, "cluster_id": "c",
    }  # fmt: skip
    return table.assign(**facts | changes)


def burns_of(*burns: tuple[shapely.Geometry, int]) -> gpd.GeoDataFrame:
    """A burn history: shapes and years; a burn of the year itself has no other date."""
    shapes = gpd.GeoSeries([shape for shape, _ in burns], crs="EPSG:4326").to_crs(table_crs())
    return gpd.GeoDataFrame(
        {
            "burn_id": [f"b{number}" for number in range(len(burns))],
            "burn_year": np.array([year for _, year in burns], dtype=float),
            "alarm_date": np.array(["NaT"] * len(burns), "datetime64[us]"),
            "containment_date": np.array(["NaT"] * len(burns), "datetime64[us]"),
        },
        geometry=shapes.to_numpy(),
        crs=table_crs(),
    ).assign(
        alarm_date=lambda rows: rows["alarm_date"].dt.tz_localize("UTC"),
        containment_date=lambda rows: rows["containment_date"].dt.tz_localize("UTC"),
    )


FIRE = degrees(900, -1500, 1500, -900)
OTHER, SCAR = degrees(1600, -1500, 1700, -1000), degrees(700, -1500, 800, -1000)


def make(
    root: DataRoot, settings: Settings, fires: gpd.GeoDataFrame, burns: gpd.GeoDataFrame | None = None
) -> tuple[list[FireScene], FireSceneSummary]:
    planned = frames_of_fires(fires, settings, root)
    table, summary = make_fire_scenes(planned, burns_of() if burns is None else burns, YEAR, settings, root)
    write_table(root, FIRE_SCENES, table, YEAR)
    assert scenes_are_whole(table, root.fire_scene_windows(YEAR)).holds
    return read_fire_scenes(root, YEAR, ALL), summary


def whole_ground(settings: Settings, split: Split) -> Settings:
    """The same with all ground of one split, but for a sliver that no test is on."""
    share = {Split.VAL: (1e-9, 1 - 2e-9), Split.TEST: (1e-9, 1e-9)}[split]
    splits = settings.sampling.splits.model_copy(update={"train": share[0], "val": share[1]})
    return settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"splits": splits})})


def test_a_frame_grows_with_its_fire_and_lies_at_random_about_it(root: DataRoot) -> None:
    settings = settings_of(root)
    shapes = [degrees(0, -side, side, 0) for side in (300, 300, 1000, 1200, 5000)]
    fires = fires_of(*shapes)
    frames = frames_of_fires(fires, settings, root)
    shifts = []
    for planned, shape, margin_m in zip(frames, shapes, (200, 200, 250, 300, 400), strict=True):
        around = frame_around(shape, 10, margin_m)
        assert settings.fire_scenes.margin_of(fires_of(shape)["area_ha"][0] * 1e4) == pytest.approx(margin_m, rel=0.01)
        assert abs(planned.frame.box.width - around.box.width) <= 1
        shifts.append((planned.frame.box.left - around.box.left, planned.frame.box.top - around.box.top))
        assert max(map(abs, shifts[-1])) * 10 <= margin_m / 2 + 10 and shifts[-1] != (0, 0)
        assert frame_around(shape, 10, margin_m / 2 - 20).footprint.within(planned.frame.footprint)
    assert len(set(shifts)) == len(shifts)
    again = {planned.name: planned.frame for planned in frames_of_fires(fires.iloc[::-1], settings, root)}
    assert again == {planned.name: planned.frame for planned in frames}


def test_frames_of_several_years_keep_to_the_land_of_their_own(root: DataRoot) -> None:
    settings, shape = settings_of(root), degrees(0, -1000, 1000, 0)
    wide, narrow = degrees(-3000, -4000, 4000, 3000), degrees(-50, -1050, 1050, 50)
    land = gpd.GeoDataFrame({YEARS_COLUMN: [[YEAR - 1], [YEAR]]}, geometry=[wide, narrow], crs="EPSG:4326")
    land.to_parquet(root.path / "land.parquet")
    sampling = settings.sampling.model_copy(update={"land": "land.parquet", "only_on_land": True})
    settings = settings.model_copy(update={"sampling": sampling})
    before, own = frames_of_fires(fires_of(shape, shape, fire_year=[YEAR - 1, YEAR]), settings, root)
    assert own.frame.box.width < 120 < before.frame.box.width


def test_images_are_the_archives_reach_as_far_as_any_window_and_are_read_lazily(root: DataRoot) -> None:
    settings = settings_of(root, AFTER, BEFORE)
    (scene,), summary = make(root, settings, fires_of(FIRE))
    assert (summary.fires, summary.read, summary.without_image) == (1, 1, 0)
    assert scene.moments == (datetime(2022, 8, 10, 18, 50, tzinfo=UTC),)
    assert scene.moments_before == (datetime(2022, 7, 1, 18, 50, tzinfo=UTC),)
    after, before = scene.after(), scene.before()
    assert before is not None and after.box == before.box
    for lattice in (Lattice(SIZE_PX, 1), Lattice(SIZE_PX, 7), Lattice(SIZE_PX, SIZE_PX)):
        assert after.box.contains(lattice.reach(scene.frame.box))
    for image, name in ((after, "after"), (before, "before")):
        with rasterio.open(root.path / "archive" / name / "B02.tif") as source:
            left, top = image.box.left - LEFT // 10, image.box.top + TOP // 10
            expected = source.read(1)[top : top + image.box.height, left : left + image.box.width]
        np.testing.assert_array_equal(image.pixels[BANDS.index("B02")], expected)
        assert (image.scene == 0).all() and (image.validity == Validity.VALID).all()
    part = scene.frame.box.moved(3, 5)
    np.testing.assert_array_equal(scene.after(part).pixels, after.pixels[(slice(None), *part.slices_in(after.box))])
    seen = scene.images(FormulaModel.layers, Lattice(SIZE_PX, 8).reach(scene.frame.box))
    assert seen is not None
    answer = predict_block(
        FormulaModel(), seen, scene.frame.box, Lattice(SIZE_PX, 8), min_clear_share=0.5, batch_size=64
    )
    assert answer.shape == scene.frame.shape == scene.truth().shape and (answer > 0).all()


def test_rslearn_reads_the_windows_as_any_others(root: DataRoot) -> None:
    from rslearn.dataset import Dataset
    from rslearn.utils.raster_format import GeotiffRasterFormat
    from upath import UPath

    (scene,), _ = make(root, settings_of(root, AFTER, BEFORE), fires_of(FIRE))
    (window,) = Dataset(UPath(root.fire_scenes)).load_windows(groups=[str(YEAR)])
    assert window.options["split"] == "test" and window.options["fire_id"] == "f0"
    assert window.bounds == scene.after().box.bounds
    for layer, image in ((scene.layer, scene.after()), (before_layer(scene.layer), scene.before())):
        assert window.is_layer_completed(layer) and layer in window.load_layer_datas()
        pixels = window.data.read_raster(layer, list(BANDS), GeotiffRasterFormat()).get_chw_array()
        assert image is not None
        np.testing.assert_array_equal(pixels, image.pixels)


def test_truth_is_the_own_perimeter_and_says_nothing_of_other_burns_of_the_season(root: DataRoot) -> None:
    settings = whole_ground(settings_of(root, AFTER), Split.TEST)
    into = degrees(1400, -1300, 1650, -1200)
    burns = burns_of((OTHER, YEAR), (SCAR, 2019), (into, YEAR), (degrees(950, -1550, 1000, -1450), YEAR + 1))
    (scene,), _ = make(root, settings, fires_of(FIRE), burns)
    truth, frame = scene.truth(), scene.frame
    own = frame.covers(FIRE, frame.box)
    other = frame.covers(shapely.union(OTHER, into), frame.box) & ~own
    assert other.any() and frame.covers(SCAR, frame.box).any()
    np.testing.assert_array_equal(truth, np.where(own, 1, np.where(other, 255, 0)))
    assert scene.before() is None and scene.moments_before == ()


@pytest.mark.parametrize("split", ALL)
def test_no_pixel_is_judged_in_two_splits(root: DataRoot, split: Split) -> None:
    settings = settings_of(root, AFTER)
    splits = settings.sampling.splits.model_copy(update={"block_km": 0.5, "train": 0.4, "val": 0.3})
    settings = settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"splits": splits})})
    (scene,), _ = make(root, settings, fires_of(FIRE, split=split))
    truth, frame = scene.truth(), scene.frame
    rows, columns = np.indices(frame.shape)
    x, y = frame.transform * (columns.ravel() + 0.5, rows.ravel() + 0.5)
    points = gpd.GeoSeries(gpd.points_from_xy(x, y), crs=frame.crs).to_crs(table_crs())
    ground = SplitMap(splits).split_of(points.x, points.y).reshape(frame.shape)
    assert {*np.unique(ground)} == {"train", "val", "test"}
    judged = ground == Split.VAL if split == Split.VAL else ground != Split.VAL
    assert ((truth != 255) != judged).mean() < 0.001, "but for pixels whose centre is on the edge of a block"


def test_a_map_is_not_judged_on_ground_of_validation(root: DataRoot) -> None:
    settings = settings_of(root, AFTER)
    (scene,), _ = make(root, whole_ground(settings, Split.TEST), fires_of(FIRE))
    (planned,) = frames_of_fires(fires_of(FIRE), settings, root)
    task = planned.task.model_copy(update={"folder": root.path / "map", "work": root.path / "w"})
    spec = spec_of(root, settings.imagery, task, block_px=64)
    whole = make_map(task, spec, judge_of(FormulaModel()), scene=scene).record
    splits = settings.sampling.splits.model_copy(update={"block_km": 0.5, "train": 0.4, "val": 0.3})
    dealt = settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"splits": splits})})
    (scene,), _ = make(root, dealt, fires_of(FIRE))
    part = make_map(task, spec, judge_of(FormulaModel()), scene=scene).record
    assert whole is not None and part is not None and whole["inputs_sha256"] != part["inputs_sha256"]
    judged, own = scene.truth() != 255, scene.truth() == 1
    assert whole["agreement"]["official_ha"] > part["agreement"]["official_ha"] == pytest.approx(own.sum() / 100)
    burnt_share = sum(one["share"] * one["burnt_share"] for one in part["reliability"]["before"])
    assert burnt_share == pytest.approx(own.sum() / judged.sum())
    for said in ("area_ha", "clear_fraction", "severity_ha"):
        assert whole[said] == part[said], said
    assert whole["files"]["burned.tif"] == part["files"]["burned.tif"]


def test_frames_without_fire_lie_on_their_splits_land_off_every_burn(root: DataRoot) -> None:
    settings = settings_of(root, AFTER).model_copy(update={"fire_scenes": DEMO.fire_scenes})
    side_m = 8 * settings.sampling.splits.block_km * 1000
    land = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, side_m, side_m)], crs=table_crs())
    burn = shapely.box(0, 0, side_m, side_m / 3)
    burns = burns_of((project(burn, table_crs(), "EPSG:4326"), 2018))
    fires = fires_of(FIRE, degrees(0, -100, 100, 0))
    frames = frames_without_fire(fires, burns, land, settings, root)
    assert len(frames) == len(ALL) * settings.fire_scenes.without_fire and {f.split for f in frames} == {*ALL}
    places = gpd.GeoSeries([f.frame.footprint for f in frames], crs="EPSG:4326").to_crs(table_crs())
    split_map = SplitMap(settings.sampling.splits)
    for planned, place in zip(frames, places, strict=True):
        assert split_map.splits_touched(place.bounds)[0] == planned.split
        assert place.within(land.geometry.iloc[0]) and place.distance(burn) >= settings.sampling.ring_gap_m
        assert sum(place.intersects(other) for other in places) == 1
        assert planned.task.fire_id is None and planned.task.after.start.month == 8
    edited = burns_of(*((project(shape, table_crs(), "EPSG:4326"), 2018) for shape in (burn, places[0].buffer(10))))
    moved = frames_without_fire(fires, edited, land, settings, root)
    assert {f.frame for f in frames} - {f.frame for f in moved} == {frames[0].frame}, "all others stay where they are"


def test_only_what_changed_is_read_or_drawn_again(root: DataRoot) -> None:
    settings = whole_ground(settings_of(root, AFTER), Split.TEST)
    fires = fires_of(FIRE, degrees(300, -600, 500, -400))
    first, summary = make(root, settings, fires)
    assert summary.read == 2
    stamps = stamps_of(root)
    again, summary = make(root, settings, fires)
    assert (summary.read, summary.redrawn) == (0, 0) and stamps_of(root) == stamps and again == first
    burnt_beside = burns_of((degrees(500, -600, 510, -400), YEAR))
    _, summary = make(root, settings, fires, burnt_beside)
    assert (summary.read, summary.redrawn) == (0, 1)
    assert images_of(stamps_of(root)) == images_of(stamps), "images stay the files that they were"
    dealt_anew = fires.assign(split=Split.VAL.value, cluster_id="d")
    found, summary = make(root, settings, dealt_anew, burnt_beside)
    assert summary.read == 0 and images_of(stamps_of(root)) == images_of(stamps)
    tags = [json.loads((scene.folder / "metadata.json").read_text())["options"] for scene in found]
    assert [(tag["split"], tag["cluster_id"]) for tag in tags] == [("val", "d")] * 2
    make(root, settings, fires, burnt_beside)
    moved = fires.assign(geometry=[fires.geometry[0], shapely.affinity.translate(fires.geometry[1], 100, 0)])
    _, summary = make(root, settings, moved)
    assert (summary.read, summary.redrawn) == (1, 0)
    make(root, settings, fires[:1])
    assert [path.name for path in root.fire_scene_windows(YEAR).iterdir()] == ["f0"]


def test_images_are_read_again_where_files_or_their_reading_changed(root: DataRoot) -> None:
    settings, fires = settings_of(root, AFTER, BEFORE), fires_of(FIRE)
    (first,), _ = make(root, settings, fires)
    pixels, archive = first.after().pixels, root.path / "archive"
    write_scene(archive, replace(AFTER, surface=2))
    (mended,), summary = make(root, settings, fires)
    assert summary.read == 1 and (mended.after().pixels != pixels).any()
    assert make(root, settings, fires)[1].read == 0
    config = read_json(root.dataset / "config.json")
    config["layers"][settings.imagery.layer]["resampling_method"] = "nearest"
    write_json(root.dataset / "config.json", config)
    assert make(root, settings, fires)[1].read == 1
    shutil.rmtree(archive / "after")
    assert make(root, settings, fires)[1].read == 0, "scenes that are gone since don't matter"


def test_a_window_of_another_run_than_the_table_or_without_its_note_is_refused(root: DataRoot) -> None:
    settings, fires = settings_of(root, AFTER), fires_of(FIRE)
    (scene,), _ = make(root, settings, fires)
    write_scene(root.path / "archive", replace(AFTER, surface=2))
    make_fire_scenes(frames_of_fires(fires, settings, root), burns_of(), YEAR, settings, root)
    for read in (scene.after, scene.truth, lambda: scene.scenes_after):
        with pytest.raises(MissingDataError, match="run burnscar refresh --years 2022"):
            read()
    (scene,), _ = make(root, settings, fires)
    assert scene.scenes_after and scene.truth().any()
    (scene.folder / "items.json").unlink()
    with pytest.raises(MissingDataError, match="run burnscar refresh --years 2022"):
        _ = scene.scenes_after


def stamps_of(root: DataRoot) -> dict[str, tuple[int, int]]:
    windows = root.fire_scenes / "windows"
    return {str(p.relative_to(windows)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in windows.rglob("*.tif")}


def images_of(stamps: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {name: stamp for name, stamp in stamps.items() if "label_raster" not in name}


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_kill_leaves_each_window_whole_or_as_it_was(root: DataRoot, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, fires = settings_of(root, AFTER), fires_of(FIRE, degrees(300, -600, 500, -400))
    expected = {scene.name: scene.after().pixels for scene in make(DataRoot(root.path), settings, fires)[0]}
    before = stamps_of(root)
    written, write = [], scene_making._write_raster

    def killed(*arguments: Any) -> None:
        written.append(arguments)
        if len(written) > at:
            raise KeyboardInterrupt
        write(*arguments)

    moved = fires.assign(geometry=fires.geometry.translate(50, 0))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(scene_making, "_write_raster", killed)
        make(root, settings, moved)
    left = stamps_of(root)
    finished = at // 3
    assert sum(before[name] != stamp for name, stamp in left.items()) == 3 * finished and left.keys() == before.keys()
    scenes, summary = make(root, settings, moved)
    assert summary.read == len(fires) - finished, "finished windows are not read again"
    assert not list(root.fire_scenes.rglob("*.tmp"))
    back, _ = make(root, settings, fires)
    for scene in back:
        np.testing.assert_array_equal(scene.after().pixels, expected[scene.name])
    assert len(scenes) == 2


def test_frames_without_an_image_have_a_reason_and_no_window(root: DataRoot) -> None:
    settings = settings_of(root, SmallScene("after", cloud=90))
    planned: list[PlannedFrame] = frames_of_fires(
        fires_of(FIRE, degrees(90_000, -91_000, 91_000, -90_000)), settings, root
    )
    table, summary = make_fire_scenes(planned, burns_of(), YEAR, settings, root)
    assert table["reason"].to_list() == ["too_cloudy", "no_scene"] and summary.without_image == 2
    write_table(root, FIRE_SCENES, table, YEAR)
    assert frames_to_look_at_again(table, YEAR, settings, root, datetime.now(UTC)) == [], "they were just searched"
    assert read_fire_scenes(root, YEAR, ALL) == [] and not any(Path(root.fire_scenes, "windows").rglob("*.tif"))


def test_frames_are_searched_again_while_imagery_may_still_come(root: DataRoot) -> None:
    now, contained = datetime.now(UTC), datetime.now(UTC) - timedelta(days=5)
    settings, year = settings_of(root, SmallScene("after", cloud=90)), contained.year
    fires = fires_of(FIRE, fire_year=year, alarm_date=contained - timedelta(days=4), containment_date=contained)
    table, _ = make_fire_scenes(frames_of_fires(fires, settings, root), burns_of(), year, settings, root)
    for hours, expected in ((1, []), (30, ["f0"])):
        assert frames_to_look_at_again(table, year, settings, root, now + timedelta(hours=hours)) == expected
    shutil.rmtree(root.fire_scene_work(year))
    assert frames_to_look_at_again(table, year, settings, root, now) == ["f0"], "nobody remembers a search"


def test_searches_of_days_that_were_corrected_are_not_due_for_ever(root: DataRoot) -> None:
    now = datetime.now(UTC)
    corrected, first = now - timedelta(days=205), now - timedelta(days=5)
    settings, year = settings_of(root, SmallScene("after", cloud=90)), corrected.year
    for contained, expected in ((first, ["f0"]), (corrected, [])):
        fires = fires_of(FIRE, fire_year=year, alarm_date=contained - timedelta(days=4), containment_date=contained)
        table, _ = make_fire_scenes(frames_of_fires(fires, settings, root), burns_of(), year, settings, root)
        assert frames_to_look_at_again(table, year, settings, root, now + timedelta(hours=30)) == expected


def test_searches_in_an_archive_that_is_fetched_from_are_remembered_and_nothing_else(root: DataRoot) -> None:
    settings = settings_of(root, AFTER)
    config = read_json(root.dataset / "config.json")
    config["layers"][settings.imagery.layer]["data_source"]["ingest"] = True
    write_json(root.dataset / "config.json", config)
    frames = frames_of_fires(fires_of(FIRE, degrees(90_000, -91_000, 91_000, -90_000)), settings, root)
    table, summary = make_fire_scenes(frames, burns_of(), YEAR, settings, root)
    assert (summary.read, summary.without_image) == (1, 1)
    assert frames_to_look_at_again(table, YEAR, settings, root, datetime.now(UTC)) == []
    assert [path.name for path in (root.fire_scene_work(YEAR) / "dataset").iterdir()] == [".burnscar"]
    assert make_fire_scenes(frames, burns_of(), YEAR, settings, root)[1].read == 0


def test_a_map_from_a_fire_scene_is_the_one_from_the_archive(root: DataRoot) -> None:
    settings = settings_of(root, AFTER, BEFORE, SmallScene("east", time="2022-08-20T18:50:00Z", cloud=5, east_m=1200))
    (planned,) = frames_of_fires(fires_of(FIRE), settings, root)
    changes = {"buffer_m": 150.0, "folder": root.path / "searched", "work": root.path / "w"}
    task = planned.task.model_copy(update=changes)
    frame = frame_around(task.geometry, 10.0, 150.0)
    table, _ = make_fire_scenes([replace(planned, frame=frame)], burns_of(), YEAR, settings, root)
    write_table(root, FIRE_SCENES, table, YEAR)
    (scene,) = read_fire_scenes(root, YEAR, ALL)
    spec = spec_of(root, settings.imagery, task, block_px=64)
    searched = make_map(task, spec, judge_of(FormulaModel()))
    read = make_map(task.model_copy(update={"folder": root.path / "read"}), spec, judge_of(FormulaModel()), scene=scene)
    assert searched.record is not None and read.record is not None and len(searched.record["scenes"]) == 2
    for said in ("scenes", "scenes_before", "clear_fraction", "area_ha", "severity_ha", "agreement"):
        assert searched.record[said] == read.record[said], said
    rasters = {name: sha for name, sha in searched.record["files"].items() if name.endswith(".tif")}
    assert "dnbr.tif" in rasters and rasters.items() <= read.record["files"].items()
    write_scene(root.path / "archive", replace(AFTER, surface=2))
    table, _ = make_fire_scenes([replace(planned, frame=frame)], burns_of(), YEAR, settings, root)
    write_table(root, FIRE_SCENES, table, YEAR)
    (scene,) = read_fire_scenes(root, YEAR, ALL)
    assert make_map(read.task, spec, judge_of(FormulaModel()), scene=scene).made


def test_what_burned_since_an_image_of_an_earlier_season_is_not_judged(root: DataRoot) -> None:
    settings = whole_ground(settings_of(root, AFTER, SmallScene("earlier", time="2021-08-10T18:50:00Z")), Split.TEST)
    burns = burns_of((OTHER, 2021), (SCAR, 2021)).assign(
        alarm_date=[datetime(2021, 10, 1, tzinfo=UTC), datetime(2021, 6, 1, tzinfo=UTC)],
        containment_date=[datetime(2021, 10, 9, tzinfo=UTC), datetime(2021, 6, 9, tzinfo=UTC)],
    )
    (scene,), _ = make(root, settings, fires_of(FIRE), burns)
    assert scene.since == scene.moments_before[0] == datetime(2021, 8, 10, 18, 50, tzinfo=UTC)
    between, before = (scene.frame.covers(shape, scene.frame.box) for shape in (OTHER, SCAR))
    assert (scene.truth()[between] == 255).all() and (scene.truth()[before] == 0).all()
    _, summary = make(root, settings, fires_of(FIRE), burns)
    assert (summary.read, summary.redrawn) == (0, 0)


def test_what_burned_since_such_an_image_has_no_answer_in_season_either(root: DataRoot) -> None:
    settings = settings_of(root, AFTER, SmallScene("earlier", time="2021-08-10T18:50:00Z"))
    autumn = {"alarm_date": datetime(2021, 10, 1, tzinfo=UTC), "containment_date": datetime(2021, 10, 9, tzinfo=UTC)}
    nothing = gpd.GeoDataFrame({"fire_id": []}, geometry=[], crs=table_crs())
    known = KnownGround(nothing, burns_of((OTHER, 2021)).assign(**autumn))
    (planned,) = frames_of_fires(fires_of(FIRE), settings, root)
    task = planned.task.model_copy(update={"folder": root.path / "map", "work": root.path / "w", "buffer_m": 300.0})
    outcome = make_map(task, spec_of(root, settings.imagery, task), judge_of(FormulaModel(), ground=known))
    with rasterio.open(task.folder / "burned.tif") as source:
        burned = source.read(1)
    between = outcome.frame.covers(OTHER, outcome.frame.box)
    assert between.any() and (burned[between] == 255).all() and (burned[~between] != 255).all()
