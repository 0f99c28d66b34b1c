"""Imagery that comes late: which windows are searched again, and what that changes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from burnscar_assets.catalog.index_client import IndexClient
from burnscar_assets.catalog.matching import MatchSummary, match_scenes
from burnscar_assets.catalog.searches import is_due, search_times, windows_to_look_at_again
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.contracts import SCENE_MATCHES, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    SmallScene,
    make_dataset,
    make_windows,
    tree_state,
    write_archive,
)

END = datetime(2022, 8, 31, tzinfo=UTC)
"""End of the windows' time range."""
LATE_DAYS = 10
EAST = (300, 50)
WEST = (5, 5)


def days(number: float) -> datetime:
    """So many days after the end of the time range."""
    return END + timedelta(days=number)


@pytest.mark.parametrize(
    ("searched", "now", "due"),
    [
        (-5, -4.5, False),
        (-5, -4, True),
        (9.9, 10.5, False),
        (9.9, 400, True),
        (10, 400, False),
        (400, 800, False),
    ],
)
def test_a_window_is_open_until_a_search_came_late_enough(searched: float, now: float, due: bool) -> None:
    assert is_due(search_times(days(searched), END), LATE_DAYS, days(now)) == due


def test_windows_without_an_end_or_a_remembered_search_are_due() -> None:
    assert is_due(search_times(END, None), 0, days(1))
    assert not is_due(search_times(END, None), 0, days(0.5))
    assert is_due({"request": "r", "reason": ""}, LATE_DAYS, END)


def test_an_unchanged_answer_is_the_same_table_whenever_it_was_asked_for(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("a")), late_days=LATE_DAYS)
    windows = make_windows(root, [WEST, EAST])
    tables: list[pd.DataFrame] = []

    def search(day: float) -> MatchSummary:
        table, summary = match_scenes(windows, root.dataset, settings, now=days(day))
        tables.append(table)
        return summary

    searched = [search(day).searched for day in (-5, -4.5, -3, 20, 21, 400)]
    assert searched == [2, 0, 2, 2, 0, 0]
    assert len({SCENE_MATCHES.content_hash(table) for table in tables}) == 1


def test_scenes_that_come_later_are_found_and_tiles_of_the_same_scene_kept(
    root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with a STAC API, nothing but a search tells that the archive has more than before.
    monkeypatch.setattr(IndexClient, "fingerprint", lambda client: "")
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("west", cloud=5)), late_days=LATE_DAYS)
    windows = make_windows(root, [WEST, EAST])
    matches, tiles = _run(root, windows, settings, -5)
    assert tiles["reason"].tolist() == ["", "no_scene"]
    assert _again(root, matches, tiles, settings, -4.5).empty
    again = _again(root, matches, tiles, settings, -4)
    assert again[["window_id", "reason"]].to_numpy().tolist() == [["w1", "no_scene_in_time_range"]]
    before = tree_state(root.dataset / "windows" / "2022" / "w0" / "layers")

    write_archive(tmp_path, SmallScene("west", cloud=5), SmallScene("east", cloud=40, east_m=2_000))
    unasked, summary = match_scenes(windows, root.dataset, settings, now=days(-4.5))
    assert (summary.searched, SCENE_MATCHES.content_hash(unasked)) == (0, SCENE_MATCHES.content_hash(matches))
    matches, tiles = _run(root, windows, settings, -4)
    assert tiles["item_ids"].tolist() == [["west"], ["east"]]
    assert tiles["complete"].all()
    assert tree_state(root.dataset / "windows" / "2022" / "w0" / "layers") == before
    assert _again(root, matches, tiles, settings, 400).empty, "clearer scenes alone are not waited for"

    write_archive(tmp_path, SmallScene("clear", cloud=1), SmallScene("east", cloud=40, east_m=2_000))
    _, tiles = _run(root, windows, settings, 3)
    assert tiles["item_ids"].tolist() == [["clear"], ["east"]]


def test_windows_that_were_closed_when_searched_are_left_alone(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("s", cloud=90)), late_days=LATE_DAYS)
    windows = make_windows(root, [WEST])
    open_matches, tiles = _run(root, windows, settings, 9)
    assert _again(root, open_matches, tiles, settings, 400)["reason"].tolist() == ["too_cloudy"]
    closed_matches, tiles = _run(root, windows, settings, 400)
    assert _again(root, closed_matches, tiles, settings, 800).empty


def test_windows_with_a_tile_that_lacks_data_are_looked_at_again(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("s")), late_days=LATE_DAYS)
    matches, tiles = _run(root, make_windows(root, [WEST, (225, 50)]), settings, -5)
    assert _again(root, matches, tiles, settings, -3)["reason"].tolist() == ["nodata"]
    assert _again(root, matches, TILES.empty(), settings, -3).empty


def _run(
    root: DataRoot, windows: pd.DataFrame, settings: ImagerySettings, day: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    matches, _ = match_scenes(windows, root.dataset, settings, now=days(day))
    return matches, materialize_tiles(windows, matches, root.dataset, settings)[0]


def _again(
    root: DataRoot, matches: pd.DataFrame, tiles: pd.DataFrame, settings: ImagerySettings, day: float
) -> pd.DataFrame:
    return windows_to_look_at_again(root.dataset, matches, tiles, settings, days(day))
