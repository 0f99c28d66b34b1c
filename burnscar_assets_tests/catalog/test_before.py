"""The image before a fire: the last clear one before its alarm, else one of the same season a year earlier."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslearn.config import QueryConfig

from burnscar_assets.catalog.archive import CogArchive
from burnscar_assets.catalog.before import DaysBefore, select_before
from burnscar_assets.catalog.items import set_aside
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.selection import SelectionRule, next_match
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.clouded_archive import (
    AT_ONCE,
    START,
    archive,
    ground,
    names,
    scene,
    whole_scene,
    window,
)
from burnscar_assets_tests.catalog.small_archive import make_dataset, make_windows

ALARM = START
SIXTY = (ALARM - timedelta(days=60), ALARM)
SEASON = (START - timedelta(days=355), START - timedelta(days=325))
BOTH = DaysBefore(SIXTY, SEASON)
PLACE = window()


def select(source: CogArchive, when: DaysBefore = BOTH, count: int = 1, **rule: Any) -> list[list[str]]:
    [groups] = select_before(
        [PLACE], [when], source, QueryConfig(max_matches=count), source.get_items, SelectionRule(**rule), AT_ONCE
    )
    return names(groups)


def test_a_later_image_that_is_clear_enough_wins_over_a_clearer_earlier_one(tmp_path: Path) -> None:
    earlier = scene(tmp_path, "earlier", -40, ground(), cloud=0)
    cloudier = ground()
    cloudier[31:32] = 9  # a row of the window's 16 is cloud
    later = scene(tmp_path, "later", -5, cloudier, cloud=50)
    source = archive(tmp_path, earlier, later)
    assert select(source) == [["later"]]
    assert select(source, min_clear_fraction=0.99) == [["earlier"]]
    assert select(source, max_cloud_cover=40) == [["earlier"]], "granules above the limit are not looked at"


def test_an_image_of_the_fire_itself_or_of_before_the_days_is_none(tmp_path: Path) -> None:
    during, long_before = (scene(tmp_path, f"s{day}", day, ground(), cloud=0) for day in (1, -70))
    assert select(archive(tmp_path, during, long_before)) == []


def test_where_the_days_have_none_that_is_clear_the_same_season_a_year_earlier_has(tmp_path: Path) -> None:
    cloudy = [scene(tmp_path, f"cloudy{day}", day, ground(0.6), cloud=1) for day in (-3, -50)]
    season = [scene(tmp_path, f"season{day}", day, ground(), cloud=30) for day in (-350, -330)]
    assert select(archive(tmp_path, *cloudy, *season)) == [["season-330"]]
    nothing_known = DaysBefore(None, SEASON)
    assert select(archive(tmp_path, *cloudy, *season), nothing_known) == [["season-330"]]
    assert select(archive(tmp_path, *cloudy, *season), DaysBefore(SIXTY)) == [["cloudy-3"]]


def test_where_nothing_is_clear_the_clearest_wins(tmp_path: Path) -> None:
    shares = {-3: 0.9, -20: 0.5, -350: 0.7}
    scenes = [scene(tmp_path, f"s{day}", day, ground(0.21 + share * 0.14)) for day, share in shares.items()]
    assert select(archive(tmp_path, *scenes)) == [["s-20"]]


@pytest.mark.parametrize("candidates", [1, 2, 8])
def test_scenes_are_looked_at_from_the_alarm_backwards_until_one_is_clear(tmp_path: Path, candidates: int) -> None:
    cloudy = [scene(tmp_path, f"cloudy{day}", day, ground(0.6), cloud=1) for day in (-2, -7, -12, -17)]
    clear = [scene(tmp_path, f"clear{day}", day, ground(), cloud=50) for day in (-22, -27)]
    source = archive(tmp_path, *cloudy, *clear)
    assert select(source, candidates=candidates) == [["clear-22"]]
    assert select(source, candidates=candidates, count=2) == [["clear-27"], ["clear-22"]], "in the order of time"


def test_without_a_classification_the_granule_tells_what_is_clear(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, f"s{cloud}", day, None, cloud=cloud) for day, cloud in ((-3, 30), (-9, 8), (-20, 0))]
    source = archive(tmp_path, *scenes)
    assert select(source) == [["s8"]]
    [[group]] = select_before(
        [PLACE], [DaysBefore(SIXTY)], source, QueryConfig(), source.get_items, SelectionRule(), AT_ONCE
    )
    assert group.clear_fraction is None, "nobody looked at the window itself"


def test_a_window_that_no_scene_covers_gets_a_mosaic_of_the_days(tmp_path: Path) -> None:
    half = PLACE.shp.bounds[2] - PLACE.shp.bounds[0]
    sides = [scene(tmp_path, f"s{east}", -4, None, east_m=int(east)) for east in (-1_640 - half, 760)]
    [mosaic] = select(archive(tmp_path, *sides))
    assert sorted(mosaic) == ["s-1672.0", "s760"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_clear_scene_lies_between_the_chosen_one_and_the_alarm(tmp_path_factory: Any, data: Any) -> None:
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    days = np.sort(-rng.choice(np.arange(1, 60), 5, replace=False))
    clouded = rng.uniform(size=5) < data.draw(st.floats(0, 1))
    scenes = [
        scene(folder, f"s{day}", int(day), ground(0.6 * bool(cloud)), cloud=float(rng.uniform(0, 50)))
        for day, cloud in zip(days, clouded, strict=True)
    ]
    chosen = select(archive(folder, *scenes), DaysBefore(SIXTY), candidates=data.draw(st.integers(1, 6)))
    best = days[~clouded][-1] if not clouded.all() else days[-1]
    assert chosen == [[f"s{best}"]]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Before the alarm a clear scene, a cloudier later one that is clear over the windows, and a cloudy last one."""
    folder = tmp_path / "archive"
    scenes = [
        whole_scene(folder, "year-before", "2021-08-15T18:50:00Z", ground(), cloud=0, surface=1),
        whole_scene(folder, "clearest", "2022-06-20T18:50:00Z", ground(), cloud=0, surface=2),
        whole_scene(folder, "last-clear", "2022-07-10T18:50:00Z", ground(0.1), cloud=35, surface=3),
        whole_scene(folder, "last", "2022-07-20T18:50:00Z", ground(0.9), cloud=2, surface=4),
        whole_scene(folder, "during", "2022-07-28T18:50:00Z", ground(), cloud=0, surface=5),
        whole_scene(folder, "after", "2022-08-08T18:50:00Z", ground(), cloud=20, surface=6),
    ]
    write_index(scenes, folder / "index.parquet")
    return folder / "index.parquet"


PLACES = [(60, 100), (100, 100), (190, 150)]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("packed", [False, True])
def test_windows_get_the_last_clear_image_before_the_alarm_whatever_the_selection(
    index: Path, root: DataRoot, packed: bool
) -> None:
    imagery = make_dataset(root, index, packed=packed, dataset_config="dataset-pre-post.json")
    windows = make_windows(root, PLACES, before=("2022-05-26", "2022-07-25"))
    matches, summary = match_scenes(windows, root.dataset, imagery, now=NOW)
    assert summary.matched == 3
    chosen = {layer: set(map(tuple, rows["item_ids"])) for layer, rows in matches.groupby("layer")}
    assert chosen == {"sentinel2_l2a": {("after",)}, "sentinel2_l2a_pre": {("last-clear",)}}
    tiles, _ = materialize_tiles(windows, matches, root.dataset, imagery)
    assert tiles["complete"].all()
    by_window = make_dataset(root, index, packed=packed, dataset_config="dataset-pre-post.json", selection="window")
    again, _ = match_scenes(windows, root.dataset, by_window, now=NOW)
    assert set(map(tuple, again[again["layer"] == "sentinel2_l2a_pre"]["item_ids"])) == {("last-clear",)}


def test_another_alarm_has_only_the_image_before_looked_for_again(index: Path, root: DataRoot) -> None:
    imagery = make_dataset(root, index, packed=True, dataset_config="dataset-pre-post.json")
    windows = make_windows(root, PLACES, before=("2022-05-26", "2022-07-25"))
    match_scenes(windows, root.dataset, imagery, now=NOW)
    assert match_scenes(windows, root.dataset, imagery, now=NOW)[1].searched == 0
    earlier = make_windows(root, PLACES, before=("2022-05-06", "2022-07-05"))
    matches, summary = match_scenes(earlier, root.dataset, imagery, now=NOW)
    assert (summary.searched, summary.kept) == (3, 3)
    assert set(map(tuple, matches[matches["layer"] == "sentinel2_l2a_pre"]["item_ids"])) == {("clearest",)}
    unknown, _ = match_scenes(make_windows(root, PLACES), root.dataset, imagery, now=NOW)
    assert set(map(tuple, unknown[unknown["layer"] == "sentinel2_l2a_pre"]["item_ids"])) == {("year-before",)}


def test_an_unusable_image_gives_way_to_the_next_of_the_days_before(index: Path, root: DataRoot) -> None:
    imagery = make_dataset(root, index, packed=True, dataset_config="dataset-pre-post.json")
    windows = make_windows(root, PLACES, before=("2022-05-26", "2022-07-25"))
    match_scenes(windows, root.dataset, imagery, now=NOW)
    dataset, layer = open_dataset(root.dataset), "sentinel2_l2a_pre"
    [first, *_] = dataset.load_windows(groups=["2022"])
    set_aside(first, layer)
    config = dataset.layers[layer]
    source = config.instantiate_data_source(dataset.path)
    found = next_match(first, layer, source, config, "before", {"last-clear"})
    assert [[item["name"] for item in group] for group in found] == [["clearest"]]
