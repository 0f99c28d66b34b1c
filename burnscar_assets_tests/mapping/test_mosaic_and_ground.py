"""Which scene a pixel is of where clouds are known, which windows count, and ground that is known beforehand."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from rasterio.transform import from_origin

from burnscar_assets.catalog import index_client
from burnscar_assets.catalog.stac_index import read_index, write_index
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.champion_record import SEEN_FILE, champion_folder
from burnscar_assets.mapping.frame import Box, Frame, frame_around
from burnscar_assets.mapping.ground import OLD_SCAR, OTHER_BURN, SEEN, KnownGround, fresh_and_older
from burnscar_assets.mapping.inference import NO_ANSWER, Lattice, predict_block
from burnscar_assets.mapping.mosaic import NO_SCENE, LayerImage, Mosaic, Validity, choose
from burnscar_assets.mapping.scenes import TimeSpan, find_before, find_scenes, open_archive
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.plan import seen_windows, windows_of
from burnscar_assets.models.predictor import Times
from burnscar_assets.publish.making import make_map
from burnscar_assets.storage.contracts import BURN_HISTORY, IN_SEASON_BURNS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, write_table
from burnscar_assets_tests.catalog.clouded_archive import CLEAR, ground, whole_scene
from burnscar_assets_tests.catalog.small_archive import (
    EPSG,
    LEFT,
    SIDE_M,
    TOP,
    SmallScene,
    make_dataset,
    write_scene,
)
from burnscar_assets_tests.publish.map_kit import INSIDE, FormulaModel, judge_of, spec_of, task_of
from burnscar_assets_tests.tiny_dataset import LAYER, make_tiny_dataset

MASKS = arrays(bool, (3, 4, 4))


@settings(deadline=None)
@given(MASKS, MASKS)
def test_the_first_clear_scene_wins_then_the_first_with_data(seen: np.ndarray, there: np.ndarray) -> None:
    clear = seen & there
    chosen, validity = choose(clear, there)
    for y, x in np.ndindex(4, 4):
        firsts = [next(iter(np.flatnonzero(mask[:, y, x])), None) for mask in (clear, there)]
        number = firsts[0] if firsts[0] is not None else firsts[1]
        assert chosen[y, x] == (NO_SCENE if number is None else number)
        kind = Validity.NO_DATA if firsts[1] is None else Validity.UNCLEAR if firsts[0] is None else Validity.VALID
        assert validity[y, x] == kind


@pytest.mark.parametrize("block_px", [60, 97, 240])
def test_the_image_before_is_ranked_by_the_whole_frame_whatever_the_blocks(root: DataRoot, block_px: int) -> None:
    scl = ground(1.0)
    scl[:50, :50] = CLEAR
    items = [
        whole_scene(root.path / "archive", "earlier", "2022-06-10T18:50:00Z", ground(), 20.0),
        whole_scene(root.path / "archive", "later", "2022-07-10T18:50:00Z", scl, 30.0),
        whole_scene(root.path / "archive", "last", "2022-07-20T18:50:00Z", ground(0.5), 10.0),
    ]
    write_index(items, root.path / "archive" / "index.parquet")
    imagery = make_dataset(root, root.path / "archive" / "index.parquet", packed=True)
    archive = open_archive(root, root.path / "map", imagery.layer, 3)
    side = SIDE_M // 10
    frame = Frame(EPSG, 10, Box(LEFT // 10, -TOP // 10, LEFT // 10 + side, -TOP // 10 + side))
    days = TimeSpan(datetime(2022, 6, 1, tzinfo=UTC), datetime(2022, 7, 30, tzinfo=UTC))
    found = find_before(archive, frame, frame.blocks(block_px), days, None, imagery, "before")
    assert [scene.item.name for scene in found.scenes] == ["earlier", "last", "later"]


def test_an_index_on_the_network_is_read_once_for_all_frames_of_an_archive(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(index_client, "_file_state", lambda index: None)  # as of one on the network
    monkeypatch.setattr(index_client, "read_index", lambda *given: read.append(given[0]) or read_index(*given))
    imagery = make_dataset(root, archive_with_clouds(root), packed=True)
    archive = open_archive(root, root.path / "map", imagery.layer, 3)
    span = TimeSpan(datetime(2022, 8, 1, tzinfo=UTC), datetime(2022, 8, 30, tzinfo=UTC))
    for west in (LEFT // 10, LEFT // 10 + 60):
        frame = Frame(EPSG, 10, Box(west, -TOP // 10, west + 60, -TOP // 10 + 60))
        assert find_scenes(archive, frame, frame.blocks(60), span, imagery, f"after_{west}").scenes
    assert len(read) == 1
    open_archive(root, root.path / "map", imagery.layer, 3).source.client.check()
    assert len(read) == 2, "another run sees what is new"


def archive_with_clouds(root: DataRoot) -> Path:
    """The least cloudy scene has a cloud over its western half; a second scene over its western quarter only."""
    items = []
    for scene, cloudy in ((SmallScene("one", cloud=5), 0.5), (SmallScene("two", "2022-08-20T18:50:00Z", 20), 0.25)):
        item = write_scene(root.path / "archive", scene)
        scl = np.full((SIDE_M // 20, SIDE_M // 20), 4, np.uint8)
        scl[:, : int(cloudy * SIDE_M / 20)] = 9
        place = from_origin(LEFT, TOP, 20, 20)
        profile = {"driver": "GTiff", "width": scl.shape[1], "height": scl.shape[0], "count": 1, "dtype": "uint8"}
        with rasterio.open(
            root.path / "archive" / scene.name / "SCL.tif", "w", **profile, crs=EPSG, transform=place, nodata=0
        ) as sink:
            sink.write(scl, 1)
        item["assets"]["SCL"] = {"href": f"./{scene.name}/SCL.tif", "roles": ["data"]}
        items.append(item)
    write_index(items, root.path / "archive" / "index.parquet")
    return root.path / "archive" / "index.parquet"


def test_a_cloud_is_filled_from_the_next_scene_and_what_stays_cloudy_has_no_answer(root: DataRoot) -> None:
    imagery = make_dataset(root, archive_with_clouds(root), packed=True)
    spec = spec_of(root, imagery, task_of(root.path), min_clear_share=0.01)
    outcome = make_map(spec.tasks[0], spec, judge_of(FormulaModel()))
    inside = outcome.frame.covers(INSIDE, outcome.frame.box)
    easting = np.broadcast_to(np.arange(outcome.frame.box.left, outcome.frame.box.right) * 10, inside.shape)
    west, middle = inside & (easting < LEFT + 600), inside & (easting >= LEFT + 600) & (easting < LEFT + 1200)
    read = {}
    for name in ("validity", "acquired", "burned"):
        with rasterio.open(outcome.task.folder / f"{name}.tif") as source:
            read[name] = source.read(1)
    assert set(read["validity"][west]) == {Validity.UNCLEAR} and set(read["burned"][west]) == {255}
    assert set(read["validity"][inside & ~west]) == {Validity.VALID}
    assert set(read["acquired"][middle]) == {19_224} and set(read["acquired"][west]) == {19_214}
    assert set(read["acquired"][inside & (easting >= LEFT + 1200)]) == {19_214}
    assert outcome.record is not None
    assert outcome.record["clear_fraction"] == pytest.approx(1 - west.sum() / inside.sum())
    with rasterio.open(root.path / "archive" / "two" / "B12.tif") as source:
        native = source.read(1)
    with rasterio.open(outcome.task.folder / "after.tif") as source:
        shown = source.read(1)
    assert np.isin(shown[middle], native).mean() < 1, "resampled to 10 m"
    assert native.min() <= shown[middle].min() and shown[middle].max() <= native.max()


def test_a_scene_whose_numbers_are_in_doubt_is_in_no_map(root: DataRoot) -> None:
    index = archive_with_clouds(root)
    for path in (root.path / "archive" / "one").glob("B*.tif"):
        with rasterio.open(path) as source:
            profile, pixels = source.profile, source.read()
        with rasterio.open(path, "w", **profile | {"driver": "GTiff", "dtype": "float32"}) as sink:
            sink.write((pixels / 100).astype("float32"))
    spec = spec_of(root, make_dataset(root, index, packed=True), task_of(root.path), min_clear_share=0.01)
    outcome = make_map(spec.tasks[0], spec, judge_of(FormulaModel()))
    with rasterio.open(outcome.task.folder / "acquired.tif") as source:
        acquired = source.read(1)
    assert set(acquired[outcome.frame.covers(INSIDE, outcome.frame.box)]) == {19_224}


def test_an_area_that_is_cloudy_throughout_gets_a_map_that_says_so(root: DataRoot) -> None:
    imagery = make_dataset(root, archive_with_clouds(root), packed=True)
    from burnscar_assets_tests.publish.map_kit import degrees

    spec = spec_of(root, imagery, task_of(root.path, degrees(100, -900, 500, -400)))
    outcome = make_map(spec.tasks[0], spec, judge_of(model := FormulaModel()))
    assert outcome.record is not None and model.windows == 0
    assert outcome.record["clear_fraction"] == outcome.record["valid_fraction"] == 0
    assert outcome.record["area_ha"]["estimate"] is None and outcome.record["area_ha"]["mapped"] == 0
    assert any("no answer anywhere" in note for note in outcome.record["notes"])


def test_windows_that_show_too_little_do_not_count_and_each_is_of_its_usual_day() -> None:
    lattice, box = Lattice(8, 4), Box(0, 0, 16, 16)
    reach = lattice.reach(box)
    shape = (reach.height, reach.width)
    scene = np.zeros(shape, np.int16)
    scene[:, reach.width // 2 :] = 1
    validity = np.zeros(shape, np.uint8)
    validity[: reach.height // 2] = Validity.NO_DATA
    mosaic = Mosaic(reach, np.full((1, *shape), 600, np.uint16), scene, validity)
    asked: list[datetime] = []

    class Noting(FormulaModel):
        def _answer(self, prepared: Mapping[str, np.ndarray], times: Times) -> np.ndarray:
            asked.extend(times[LAYER])
            return np.full(len(prepared[LAYER]), 0.25)

    moments = [datetime(2022, 8, 1, tzinfo=UTC), datetime(2022, 8, 9, tzinfo=UTC)]
    seen = {LAYER: LayerImage(mosaic, moments)}
    found = predict_block(Noting(), seen, box, lattice, min_clear_share=0.75, batch_size=3)
    assert set(asked) == set(moments)
    rows, _ = box.slices_in(reach)
    lacking = validity[box.slices_in(reach)] == Validity.NO_DATA
    assert (found[lacking] == NO_ANSWER).all() and np.allclose(found[~lacking], 0.25)
    assert rows.start == 4


def test_cloudy_windows_that_were_not_trained_on_are_mapped(root: DataRoot) -> None:
    make_tiny_dataset(root, years=(2020,), windows_per_year=10)
    tiles = read_table(root, TILES, 2020)
    cloudy = tiles["window_id"].iloc[0]
    write_table(root, TILES, tiles.assign(clear_fraction=np.where(tiles["window_id"] == cloudy, 0.5, 1.0)), 2020)
    seen = read_table(root, WINDOWS, 2020).query("split != 'test'")["window_id"]
    for least, unseen in ((0.9, {cloudy}), (0.0, set())):
        manifest = CheckpointManifest.model_construct(fire_years=(2020,), layer=LAYER, min_clear_fraction=least)
        keep_seen(root, manifest)
        known = KnownGround.of(root, 2020, [2020])
        assert known.burns.empty, "no burn is known of this world"
        assert set(known.seen["window_id"]) == set(seen) - unseen


def burns_of(shapes: dict[str, shapely.Geometry], **known: object) -> gpd.GeoDataFrame:
    undated = {"burn_year": pd.array([pd.NA] * len(shapes), "Int64"), "alarm_date": pd.NaT, "containment_date": pd.NaT}
    rows = pd.DataFrame({"burn_id": [*shapes]}).assign(**undated | known)
    for name in ("alarm_date", "containment_date"):
        rows[name] = pd.to_datetime(rows[name], utc=True)
    return gpd.GeoDataFrame(rows, geometry=[*shapes.values()], crs=table_crs())


def test_what_burned_between_the_images_or_in_the_season_is_told_from_older_scars(tmp_path: Path) -> None:
    """A fire of 2022 with an image of June and July before it, and one of August after it."""
    cases = {
        "of the season, undated": (2022, None, None, "fresh"),
        "of the season, before both images": (2022, "2022-02-01", "2022-02-03", "fresh"),
        "a prescribed burn between them, of a wrong year": (2021, "2022-07-20", "2022-07-20", "fresh"),
        "burning when the first image was taken": (2021, "2021-11-01", "2022-06-20", "fresh"),
        "of no known time": (None, None, None, "fresh"),
        "begun only": (None, "2022-08-15", None, "fresh"),
        "of the year before": (2021, "2021-08-01", "2021-08-20", "older"),
        "of long ago, undated": (2013, None, None, "older"),
        "of a known day and no year": (None, "2021-08-01", None, "older"),
        "after the last image": (2023, "2023-01-05", "2023-01-09", "neither"),
        "after it, without a year": (None, "2022-09-20", "2022-09-21", "neither"),
    }
    years, starts, ends, expected = zip(*cases.values(), strict=True)
    burns = burns_of(
        dict.fromkeys(cases, shapely.box(0, 0, 1, 1)),
        burn_year=pd.array(years, "Int64"), alarm_date=list(starts), containment_date=list(ends),
    )  # fmt: skip
    before = {"before_start": datetime(2022, 6, 15, tzinfo=UTC), "before_end": datetime(2022, 7, 15, tzinfo=UTC)}
    task = task_of(tmp_path, fire_id="own", fire_year=2022, **before)
    fresh, older = fresh_and_older(burns, task)
    found = np.where(fresh, "fresh", np.where(older, "older", "neither"))
    assert dict(zip(cases, found, strict=True)) == dict(zip(cases, expected, strict=True))
    assert not (fresh & older).any()
    alone, _ = fresh_and_older(burns, task_of(tmp_path, fire_id="own", fire_year=2022))
    assert (alone == fresh).all(), "without an image before, from the start of the fire's year"


def keep_seen(root: DataRoot, manifest: CheckpointManifest) -> None:
    """What is kept of the windows that the champion of 2020 has seen."""
    place = champion_folder(root, 2020)
    place.mkdir(parents=True, exist_ok=True)
    seen_windows(windows_of(root, manifest, LAYER)).to_parquet(place / SEEN_FILE)


def test_burns_of_any_source_are_known_label_or_not(root: DataRoot) -> None:
    make_tiny_dataset(root, years=(2020,), windows_per_year=10)
    burns = burns_of({"label": shapely.box(0, 0, 9, 9), "rejected": shapely.box(9, 0, 18, 9)}, burn_year=2020)
    of_source = {"name": "", "source": "frap", "end_kind": None}
    for kind in ("fire", "prescribed"):
        write_table(root, BURN_HISTORY, BURN_HISTORY.conform(burns.assign(kind=kind, **of_source)), 2020)
    season = burns_of({"burning": shapely.box(18, 0, 27, 9), "scar": shapely.box(0, 0, 9, 9)}, burn_year=[2021, 2019])
    write_table(root, IN_SEASON_BURNS, IN_SEASON_BURNS.conform(season.assign(kind="fire", **of_source)), 2021)
    manifest = CheckpointManifest.model_construct(fire_years=(2020,), layer=LAYER)
    keep_seen(root, manifest)
    known = (((), False, set()), ((2020,), False, {"label", "rejected"}), ((2021,), True, {"burning", "scar"}))
    for years, in_season, expected in known:
        burns = KnownGround.of(root, 2020, years, in_season=in_season).burns
        assert set(burns["burn_id"]) == expected and burns.crs == table_crs()
        assert {"burn_year", "alarm_date", "containment_date"} <= {*burns.columns}
    season = KnownGround.of(root, 2020, [2021], in_season=True).burns.sort_values("burn_id")
    fresh, older = fresh_and_older(season, task_of(root.path, fire_id="new", fire_year=2021))
    assert fresh.tolist() == [True, False] and older.tolist() == [False, True], "a fire that still burns is masked"


def test_ground_that_was_seen_and_other_burns_are_known_pixel_by_pixel(tmp_path: Path) -> None:
    frame = frame_around(INSIDE, 10)
    west, south, east, north = gpd.GeoSeries([INSIDE], crs=4326).to_crs(table_crs()).total_bounds
    middle = (west + east) / 2
    window = shapely.box(west + 100, south + 100, west + 420, south + 420)
    other = shapely.box(middle, south + 200, east - 100, north - 200)
    own = shapely.box(west + 500, south + 500, middle, north - 500)
    west_half = shapely.box(west + 50, south + 50, middle, north - 50)
    known = KnownGround(
        gpd.GeoDataFrame({"fire_id": ["t1"]}, geometry=[window], crs=table_crs()),
        burns_of(
            {"own": own, "own, drawn twice": own.buffer(20), "o1": other, "scar": west_half},
            burn_year=[2022, 2022, 2022, 2015],
        ),
    )
    area = gpd.GeoSeries([own], crs=table_crs()).to_crs(4326).iloc[0]
    task = task_of(tmp_path, area, fire_id="own", fire_year=2022)
    codes = known.under(frame, task).codes(frame, frame.box)
    inside = frame.covers(area, frame.box)
    assert not set(codes[inside]) - {0, SEEN}, "a rejected record of the fire itself hides nothing of it"
    twice = own.buffer(20).difference(own).difference(other)
    fresh = other.union(twice).difference(window.buffer(5, join_style="mitre"))
    assert (codes == OTHER_BURN).sum() == pytest.approx(fresh.area / 100, rel=0.02)
    scar = west_half.difference(own.buffer(20)).difference(window.buffer(5, join_style="mitre"))
    assert (codes == OLD_SCAR).sum() == pytest.approx(scar.area / 100, rel=0.02)
    seen = (codes == SEEN).sum()
    assert window.area / 100 <= seen <= (320 + 2 * 15) ** 2 / 100 * 1.05, "all pixels that the window touches"
    anywhere = known.under(frame, task_of(tmp_path))
    assert anywhere.other_burns.is_empty and anywhere.old_scars.is_empty, "an area of interest is mapped whole"
    known.check_unseen("own")
    with pytest.raises(InputError, match="trained on fire t1"):
        known.check_unseen("t1")
