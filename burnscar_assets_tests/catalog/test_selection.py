from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslearn.config import QueryConfig, SpaceMode
from rslearn.data_sources import DataSource, Item
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2 as Element84
from rslearn.data_sources.gcp_public_data import Sentinel2 as GoogleCloud
from rslearn.data_sources.planetary_computer import Sentinel2 as PlanetaryComputer
from rslearn.data_sources.stac import SourceItem
from rslearn.utils.geometry import WGS84_PROJECTION, STGeometry

from burnscar_assets.catalog.archive import CogArchive
from burnscar_assets.catalog.index_client import forget_indexes
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.selection import Candidate, ChosenGroup, SelectionRule, choose, select_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.ledger import TILES_MADE, open_ledgers
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.errors import InputError
from burnscar_assets.reader.clearness import mask_of
from burnscar_assets.reader.request import WindowRequest
from burnscar_assets.reader.views import Look, View, tells_ground, tile_views, view_windows
from burnscar_assets.storage.contracts import TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.clouded_archive import (
    AT_ONCE,
    CLOUD,
    MONTH,
    NOTHING,
    SIZE,
    START,
    UTM,
    WHOLE,
    archive,
    ground,
    names,
    scene,
    whole_scene,
    window,
)
from burnscar_assets_tests.catalog.small_archive import (
    SIDE_M,
    SmallScene,
    make_dataset,
    make_windows,
)


def clear_shares(requests: list[WindowRequest], source: DataSource) -> dict[str, float | None]:
    return {name: view and view.clear for name, view in tile_views(requests, source).items()}


def select(source: CogArchive, *windows: STGeometry, query: QueryConfig | None = None, **rule: Any) -> list[list[Any]]:
    return select_scenes(
        windows,
        [START] * len(windows),
        source,
        query or QueryConfig(),
        source.get_items,
        SelectionRule(**rule),
        AT_ONCE,
    )


def test_the_nearest_in_time_of_those_clear_enough_wins(tmp_path: Path) -> None:
    source = archive(
        tmp_path,
        scene(tmp_path, "early-cloudy", 2, ground(0.5), cloud=1),
        scene(tmp_path, "good", 6, ground(0.05), cloud=30),
        scene(tmp_path, "clearest", 20, ground(), cloud=0),
    )
    chosen = select(source, WHOLE)[0]
    assert names(chosen) == [["good"]]
    assert chosen[0].clear_fraction == pytest.approx(0.95)
    assert chosen[0].request_time_range == MONTH
    assert names(source.get_items([WHOLE], QueryConfig())[0]) == [["clearest"]]


def test_where_none_is_clear_enough_the_clearest_wins(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, f"s{share}", day, ground(share)) for day, share in ((1, 0.8), (9, 0.3), (20, 0.6))]
    chosen = select(archive(tmp_path, *scenes), WHOLE)[0]
    assert names(chosen) == [["s0.3"]]
    assert chosen[0].clear_fraction == pytest.approx(0.7)


def test_each_window_is_judged_by_its_own_ground(tmp_path: Path) -> None:
    north, south = ground(0.5), ground(0.5)[::-1]
    source = archive(tmp_path, scene(tmp_path, "north", 3, north), scene(tmp_path, "south", 9, south))
    groups = select(source, window(row=20), window(row=180))
    assert [names(found) for found in groups] == [[["south"]], [["north"]]]


def test_only_so_many_candidates_are_looked_at_least_cloudy_first(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, f"s{day}", day, ground(), cloud=30 - day) for day in (1, 5, 9)]
    source = archive(tmp_path, *scenes)
    assert names(select(source, WHOLE, candidates=2)[0]) == [["s5"]]
    assert names(select(source, WHOLE, candidates=3)[0]) == [["s1"]]


def test_a_window_on_the_edge_of_its_scenes_gets_a_mosaic_by_the_tutorials_rule(tmp_path: Path) -> None:
    source = archive(
        tmp_path,
        scene(tmp_path, "west", 3, ground(), cloud=5),
        scene(tmp_path, "east", 3, ground(), cloud=6, east_m=SIDE_M),
    )
    edge = window(column=SIDE_M // 10 - 16)
    chosen = select(source, edge)[0]
    assert names(chosen) == [["west", "east"]] == names(source.get_items([edge], QueryConfig())[0])
    assert not isinstance(chosen[0], ChosenGroup)
    request = WindowRequest("edge", UTM, tuple(int(v) for v in edge.shp.bounds), [chosen[0].items])
    assert clear_shares([request], source) == {"edge": 1.0}


def test_a_footprint_that_promises_too_much_covers_nothing(tmp_path: Path) -> None:
    source = archive(
        tmp_path, scene(tmp_path, "hollow", 1, ground(1, NOTHING)), scene(tmp_path, "full", 9, ground(0.4))
    )
    assert names(select(source, WHOLE)[0]) == [["full"]]


def test_nothing_in_the_time_range_is_nothing(tmp_path: Path) -> None:
    source = archive(tmp_path, scene(tmp_path, "late", 90, ground()))
    assert select(source, WHOLE) == [[]]


def test_a_time_series_is_the_best_in_the_order_of_time_one_of_each_overpass(tmp_path: Path) -> None:
    source = archive(
        tmp_path,
        scene(tmp_path, "a", 22, ground(), cloud=1),
        scene(tmp_path, "b", 3, ground(0.05), cloud=2),
        scene(tmp_path, "b-again", 3.001, ground(), cloud=3),
        scene(tmp_path, "c", 12, ground(0.9), cloud=4),
        scene(tmp_path, "d", 8, ground(), cloud=5),
    )
    assert names(select(source, WHOLE, query=QueryConfig(max_matches=3))[0]) == [["b"], ["d"], ["a"]]
    assert select(source, WHOLE, query=QueryConfig(max_matches=9, min_matches=5)) == [[]]


@pytest.mark.parametrize("latest_first", [True, False])
def test_each_period_has_its_best_scene(tmp_path: Path, latest_first: bool) -> None:
    source = archive(
        tmp_path,
        scene(tmp_path, "first-cloudy", 1, ground(0.9), cloud=0),
        scene(tmp_path, "first", 8, ground(0.2), cloud=9),
        scene(tmp_path, "third-near", 21, ground(), cloud=9),
        scene(tmp_path, "third-far", 28, ground(), cloud=0),
    )
    query = QueryConfig(max_matches=3, period_duration="10d", per_period_mosaic_reverse_time_order=latest_first)
    chosen = select(source, WHOLE, query=query)[0]
    expected = [["first"], ["third-near"]]
    assert names(chosen) == (expected[::-1] if latest_first else expected)
    rslearn = source.get_items([WHOLE], query)[0]
    assert [group.request_time_range for group in chosen] == [group.request_time_range for group in rslearn]


def test_a_scar_beside_no_cloud_is_clear_and_a_shadow_is_not(tmp_path: Path) -> None:
    scar, shadow = ground(), ground()
    scar[50:70, 50:70] = shadow[50:70, 50:70] = 3
    shadow[60:80, 70:100] = CLOUD
    source = archive(tmp_path, scene(tmp_path, "scar", 9, scar), scene(tmp_path, "shadow", 3, shadow))
    place = window(column=104, row=104)
    looks = [
        Look(UTM, tuple(int(v) for v in place.shp.bounds), source.get_item_by_name(name)) for name in ("scar", "shadow")
    ]
    views = view_windows(looks, source, AT_ONCE)
    assert views[0] is not None
    assert views[0].clear == 1
    assert views[1] is not None
    assert views[1].clear < 0.5
    assert names(select(source, place)[0]) == [["scar"]]


def test_windows_between_the_pixels_of_the_classification_are_weighed(tmp_path: Path) -> None:
    scl = ground()
    scl[:, :31] = CLOUD
    source = archive(tmp_path, scene(tmp_path, "s", 1, scl))
    chosen = select(source, window(column=61, size=3), min_clear_fraction=0)[0]
    assert chosen[0].clear_fraction == pytest.approx(2 / 3)


def test_a_scene_whose_classification_is_broken_is_not_chosen(tmp_path: Path) -> None:
    source = archive(tmp_path, scene(tmp_path, "broken", 1, ground()), scene(tmp_path, "whole", 9, ground(0.3)))
    (tmp_path / "broken" / "SCL.tif").write_bytes(b"no image")
    assert names(select(source, WHOLE)[0]) == [["whole"]]
    (tmp_path / "whole" / "SCL.tif").unlink()
    assert len(select(source, WHOLE)[0]) == 1


def test_an_archive_without_classifications_is_told_what_to_do(tmp_path: Path) -> None:
    source = archive(tmp_path, scene(tmp_path, "s", 1, None))
    assert not tells_ground(source, source.get_item_by_name("s"))
    with pytest.raises(InputError, match=r"set imagery\.selection to granule"):
        select(source, WHOLE)
    request = WindowRequest("w", UTM, (0, 0, 8, 8), [[source.get_item_by_name("s")]])
    assert clear_shares([request, WindowRequest("none", UTM, (0, 0, 8, 8), [])], source) == {"w": None, "none": None}


def test_a_source_that_can_t_be_read_before_it_is_fetched_is_told_what_to_do() -> None:
    source = GoogleCloud.__new__(GoogleCloud)
    with pytest.raises(InputError, match="does not offer the scene classification"):
        select_scenes([], [], source, QueryConfig(), source.get_items)


def test_composites_of_several_scenes_are_refused(tmp_path: Path) -> None:
    source = archive(tmp_path, scene(tmp_path, "s", 1, ground()))
    for query in (QueryConfig(space_mode=SpaceMode.SINGLE_COMPOSITE), QueryConfig(mosaic_compositing_overlaps=2)):
        with pytest.raises(InputError, match="composites several scenes"):
            select(source, WHOLE, query=query)


@pytest.mark.parametrize(("kind", "key"), [(Element84, "scl"), (PlanetaryComputer, "SCL")])
def test_rslearns_own_sources_show_the_classification_too(tmp_path: Path, kind: type, key: str) -> None:
    content = scene(tmp_path, "s", 1, ground(0.25))
    place = STGeometry(WGS84_PROJECTION, shapely.geometry.shape(content["geometry"]), (START, START))
    item = SourceItem("s", place, {key: str(tmp_path / "s" / "SCL.tif")}, {})
    source = kind(assets=["red" if kind is Element84 else "B04"])
    look = Look(UTM, tuple(int(v) for v in WHOLE.shp.bounds), item)
    views = view_windows([look], source, AT_ONCE)
    assert views[0] is not None
    assert views[0].clear == pytest.approx(0.75)
    assert key not in source.asset_bands


def test_the_recorded_sun_is_used(tmp_path: Path) -> None:
    scl = ground()
    scl[50:70, 50:70] = 3
    scl[50:70, 20:40] = CLOUD  # in the west, where no Sentinel-2 scene has its sun
    source = archive(tmp_path, scene(tmp_path, "s", 1, scl))
    item = source.get_item_by_name("s")
    place = window(column=104, row=104)
    look = Look(UTM, tuple(int(v) for v in place.shp.bounds), item)
    assert view_windows([look], source, AT_ONCE) == [View(1, 0)]
    item.properties["view:sun_azimuth"] = 270.0
    assert view_windows([look], source, AT_ONCE) == [View(0, 0)]
    item.properties["s2:mean_solar_zenith"] = 1.0  # too high for a cloud so far away
    assert view_windows([look], source, AT_ONCE) == [View(1, 0)]
    item.properties["view:sun_elevation"] = 60.0
    assert view_windows([look], source, AT_ONCE) == [View(0, 0)]
    item.properties["view:sun_elevation"] = -999.0  # none
    assert view_windows([look], source, AT_ONCE) == [View(1, 0)]


@pytest.mark.parametrize(
    "times",
    [
        None,
        (datetime(2022, 8, 2, tzinfo=UTC), datetime(2022, 8, 2, tzinfo=UTC)),
        (datetime(2022, 8, 2, 18, 50, tzinfo=UTC), datetime(2022, 8, 20, 18, 50, tzinfo=UTC)),
    ],
)
def test_a_scene_without_a_time_of_day_has_its_shadow_looked_for_all_around(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, times: tuple[datetime, datetime] | None
) -> None:
    scl = ground()
    scl[50:70, 50:70] = 3
    scl[70:90, 20:40] = CLOUD
    source = archive(tmp_path, scene(tmp_path, "s", 1, scl))
    item = source.get_item_by_name("s")
    item.geometry.time_range = times
    look = Look(UTM, tuple(int(v) for v in window(column=104, row=104).shp.bounds), item)
    assert view_windows([look], source, AT_ONCE) == [View(0, 0)]
    assert "scene s has no time of day" in caplog.text


def test_pixels_of_a_mosaic_are_judged_by_the_scene_that_gives_them(tmp_path: Path) -> None:
    first = ground(0.5, NOTHING)
    first[SIZE // 2 : SIZE * 3 // 4] = CLOUD
    source = archive(tmp_path, scene(tmp_path, "first", 1, first), scene(tmp_path, "second", 2, ground(0.25)))
    items = [source.get_item_by_name(name) for name in ("first", "second")]
    bounds = tuple(int(v) for v in WHOLE.shp.bounds)
    requests = [
        WindowRequest("mosaic", UTM, bounds, [items]),
        WindowRequest("series", UTM, bounds, [[item] for item in items]),
    ]
    assert clear_shares(requests, source) == pytest.approx({"mosaic": 0.5, "series": (0.25 + 0.75) / 2})


def test_tiles_are_made_without_an_index_that_is_gone_since(tmp_path: Path) -> None:
    source = archive(tmp_path, scene(tmp_path, "s", 1, ground()))
    request = WindowRequest("w", UTM, (0, 0, 8, 8), [[source.get_item_by_name("s")]])
    (tmp_path / "index.parquet").unlink()
    forget_indexes()
    assert clear_shares([request], source) == {"w": None}


def candidate(day: float, clear: float) -> Candidate:
    place = STGeometry(WGS84_PROJECTION, shapely.box(0, 0, 1, 1), (START + timedelta(days=day),) * 2)
    return Candidate(Item(f"{day}", place), clear, abs(timedelta(days=day)))


@given(
    st.lists(st.builds(candidate, st.integers(-40, 40), st.floats(0, 1)), min_size=1, max_size=8),
    st.floats(0, 1),
    st.integers(1, 4),
)
def test_no_scene_is_left_that_is_nearer_and_as_clear_or_clearer_and_needed(
    candidates: list[Candidate], least: float, count: int
) -> None:
    chosen = choose(candidates, least, count)
    assert 1 <= len(chosen) <= count
    assert [c.item.geometry.time_range for c in chosen] == sorted(c.item.geometry.time_range for c in chosen)
    times = {c.item.geometry.time_range for c in chosen}
    assert len(times) == len(chosen)
    left = [c for c in candidates if c.item.geometry.time_range not in times]
    assert len(chosen) == count or not left
    for mine in chosen:
        for other in left:
            if other.distance < mine.distance:
                assert other.clear < least or mine.clear >= other.clear
                assert mine.clear >= other.clear or other.clear < least
            if mine.clear < least:
                assert other.clear <= mine.clear
            elif other.clear >= least:
                assert mine.distance <= other.distance


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_chosen_scene_is_never_less_clear_than_one_that_is_nearer(tmp_path_factory: Any, data: Any) -> None:
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    least = data.draw(st.floats(0, 1))
    days = rng.choice(30, 5, replace=False)
    scenes = []
    for day in days:
        scl = ground()
        for _ in range(rng.integers(0, 6)):
            row, column = rng.integers(0, SIZE, 2)
            scl[row : row + 40, column : column + 40] = rng.choice([3, 8, 9, 10])
        scenes.append(scene(folder, f"s{day:02}", int(day), scl, cloud=float(rng.uniform(0, 50))))
    source = archive(folder, *scenes)
    windows = [window(int(c), int(r)) for c, r in rng.integers(4, 200, (6, 2))]
    for place, groups in zip(windows, select(source, *windows, min_clear_fraction=least), strict=True):
        [group] = groups
        looks = [
            Look(UTM, tuple(int(v) for v in place.shp.bounds), source.get_item_by_name(item["id"])) for item in scenes
        ]
        seen = zip(looks, view_windows(looks, source, AT_ONCE), strict=True)
        views = {look.item.name: view for look, view in seen if view is not None}
        mine = group.items[0].name
        assert views[mine].clear == group.clear_fraction
        for name, view in views.items():
            if name < mine and view.clear >= least:
                assert mine == name
            if view.clear > group.clear_fraction:
                assert group.clear_fraction >= least
                assert name > mine


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Before the fire a cloudy scene and a clear one a year earlier, after it a cloudy, a good and a late clear one."""
    folder = tmp_path / "archive"
    scenes = [
        whole_scene(folder, "pre-cloudy", "2021-08-05T18:50:00Z", ground(0.9), cloud=1, surface=1),
        whole_scene(folder, "pre-clear", "2021-08-15T18:50:00Z", ground(), cloud=20, surface=2),
        whole_scene(folder, "post-cloudy", "2022-08-03T18:50:00Z", ground(0.9), cloud=1, surface=3),
        whole_scene(folder, "post-good", "2022-08-08T18:50:00Z", ground(), cloud=20, surface=4),
        whole_scene(folder, "post-late", "2022-08-28T18:50:00Z", ground(), cloud=10, surface=5),
    ]
    write_index(scenes, folder / "index.parquet")
    return folder / "index.parquet"


PLACES = [(8, 8), (100, 100), (190, 150)]


@pytest.mark.parametrize("packed", [False, True])
def test_scenes_before_and_after_the_fire_become_the_tiles_of_two_layers(
    index: Path, root: DataRoot, packed: bool
) -> None:
    imagery = make_dataset(
        root, index, packed=packed, dataset_config="dataset-pre-post.json", selection="window", min_clear_fraction=0.95
    )
    windows = make_windows(root, PLACES)
    matches, summary = match_scenes(windows, root.dataset, imagery)
    assert summary.matched == 3
    chosen = {layer: set(map(tuple, rows["item_ids"])) for layer, rows in matches.groupby("layer")}
    assert chosen == {"sentinel2_l2a": {("post-good",)}, "sentinel2_l2a_pre": {("pre-clear",)}}
    assert matches["clear_fraction"].tolist() == [1.0] * 6
    tiles, _ = materialize_tiles(windows, matches, root.dataset, imagery)
    assert len(tiles) == 6
    assert tiles["complete"].all()
    for layer, surface in (("sentinel2_l2a", 4), ("sentinel2_l2a_pre", 2)):
        [pixels] = read_tiles(root.dataset, windows[:1], layer, ["B04"])
        assert (pixels[0] == SmallScene("", surface=surface).reflectance("B04")[8:40, 8:40]).all()


def test_a_tile_knows_which_of_its_pixels_are_not_clear(tmp_path: Path, root: DataRoot) -> None:
    scl = ground()
    scl[10, 12] = CLOUD
    write_index([whole_scene(tmp_path, "one", "2022-08-08T18:50:00Z", scl, cloud=1)], tmp_path / "index.parquet")
    imagery, windows = make_dataset(root, tmp_path / "index.parquet"), make_windows(root, PLACES)
    matches, _ = match_scenes(windows, root.dataset, imagery)
    tiles, _ = materialize_tiles(windows, matches, root.dataset, imagery)
    expected = np.zeros((32, 32), bool)
    expected[12:14, 16:18] = True
    assert (mask_of(tiles["unclear"][0], (32, 32)) == expected).all() and tiles["unclear"].tolist()[1:] == ["", ""]
    again, summary = materialize_tiles(windows, matches, root.dataset, imagery)
    assert TILES.content_hash(again) == TILES.content_hash(tiles) and summary.made + summary.replaced == 0
    with open_ledgers(root.dataset, TILES_MADE, "sentinel2_l2a", ["2022"]) as ledgers:
        for name, entry in dict(ledgers["2022"].entries).items():
            ledgers["2022"].remember(name, {key: value for key, value in entry.items() if key != "unclear"})
    again, summary = materialize_tiles(windows, matches, root.dataset, imagery)
    assert TILES.content_hash(again) == TILES.content_hash(tiles)
    assert (summary.replaced, summary.kept) == (1, 2), "of tiles that were made before, those with cloud"


def test_what_was_chosen_is_kept_until_the_rule_changes(index: Path, root: DataRoot) -> None:
    by_window = make_dataset(root, index, selection="window")
    windows = make_windows(root, PLACES)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    first, summary = match_scenes(windows, root.dataset, by_window, now=now)
    assert (summary.searched, summary.kept) == (3, 0)
    again, summary = match_scenes(windows, root.dataset, by_window, now=now)
    assert (summary.searched, summary.kept) == (0, 3)
    assert again.equals(first)
    by_granule, summary = match_scenes(windows, root.dataset, make_dataset(root, index), now=now)
    assert summary.searched == 3
    assert by_granule["clear_fraction"].isna().all()
    assert set(map(tuple, by_granule["item_ids"])) == {("post-cloudy",)}


def test_reasons_stay_those_of_the_tutorials_rule(index: Path, root: DataRoot) -> None:
    strict = make_dataset(root, index, selection="window", max_cloud_cover=0)
    table, summary = match_scenes(make_windows(root, PLACES), root.dataset, strict)
    assert summary.reasons == {"too_cloudy": 3}
    assert table["clear_fraction"].isna().all()
    never = make_windows(root, PLACES, start="2019-01-01", end="2019-01-30", prefix="old")
    assert match_scenes(never, root.dataset, strict)[1].reasons == {"no_scene_in_time_range": 3}
