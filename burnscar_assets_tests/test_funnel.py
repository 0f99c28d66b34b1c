"""The funnel: every record, fire, point and window is counted once, with its reason."""

import io
from itertools import pairwise

import pytest
from rich.console import Console

from burnscar_assets.errors import MissingDataError
from burnscar_assets.funnel import UNACCOUNTED, UNEXPECTED, funnel, funnel_tables, markdown_funnel, steps, unexplained
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.contracts import (
    FIRE_PERIMETER_REJECTS,
    RELEASE_RECORDS,
    SAMPLE_LOSSES,
    SAMPLE_POINTS,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table
from burnscar_assets_tests.funnel_tables import (
    CLEAR,
    LAYER,
    LOSSES,
    POINTS,
    RECORDS,
    TABLES,
    TILE_ROWS,
    WINDOW_ROWS,
    YEAR,
    write_rows,
    write_tables,
)


@pytest.fixture
def made(root: DataRoot) -> DataRoot:
    """A data root with every table of the year up to its tiles."""
    write_tables(root)
    return root


def test_everything_is_counted_with_its_reason(made: DataRoot) -> None:
    rows = funnel(made, YEAR, LAYER, CLEAR)
    assert [tuple(row) for row in rows.itertuples(index=False)] == [
        ("records", "records", 4, ""),
        ("perimeters", "fires", 3, ""),
        ("perimeters", "records", 1, "duplicate"),
        ("fires_with_points", "fires", 2, ""),
        ("fires_with_points", "fires", 1, "no_window_inside"),
        ("points_wanted", "points", 12, ""),
        ("points", "points", 4, ""),
        ("points", "points", 1, "capped"),
        ("points", "points", 2, "no_room"),
        ("points", "points", 5, "no_window_inside"),
        ("windows", "windows", 4, ""),
        ("tiles", "windows", 2, ""),
        ("tiles", "windows", 1, "nodata"),
        ("tiles", "windows", 1, "too_cloudy"),
        ("clear", "windows", 2, ""),
        ("off_frames", "windows", 2, ""),
        ("train_burnt", "examples", 1, ""),
        ("train_unburnt", "examples", 0, ""),
        ("val_burnt", "examples", 0, ""),
        ("val_unburnt", "examples", 0, ""),
        ("test_burnt", "examples", 0, ""),
        ("test_unburnt", "examples", 1, ""),
    ]
    assert unexplained(rows).empty


def test_each_step_is_the_one_before_less_its_losses(made: DataRoot) -> None:
    by_name = {step.name: step for step in steps(funnel(made, YEAR, LAYER, CLEAR))}
    last = ["tiles", "clear", "off_frames"]
    chain = ["records", "perimeters", "fires_with_points"], ["points_wanted", "points", "windows", *last]
    for names in chain:
        for before, after in pairwise(names):
            assert by_name[before].count - sum(by_name[after].lost.values()) == by_name[after].count
    examples = [step.count for step in by_name.values() if step.unit == "examples"]
    assert sum(examples) == by_name["off_frames"].count


@pytest.mark.parametrize("per_pixel", [False, True])
def test_windows_on_edges_are_examples_of_models_of_pixels(made: DataRoot, *, per_pixel: bool) -> None:
    write_rows(made, WINDOWS, [row | {"category": "mixed"} if n == 0 else row for n, row in enumerate(WINDOW_ROWS)])
    write_json(made.checkpoint(YEAR) / "manifest.json", {"per_pixel": per_pixel})
    by_name = {step.name: step for step in steps(funnel(made, YEAR, LAYER, CLEAR))}
    assert by_name["off_frames"].lost == ({} if per_pixel else {"mixed": 1})
    assert ("train_mixed" in by_name) == per_pixel


def test_cloudy_windows_are_counted_and_are_no_examples(made: DataRoot) -> None:
    by_name = {step.name: step for step in steps(funnel(made, YEAR, LAYER, 0.95))}
    assert (by_name["tiles"].count, by_name["clear"].count) == (2, 1)
    assert by_name["clear"].lost == {"cloudy": 1}, "the window that is 0.9 clear"
    assert (by_name["train_burnt"].count, by_name["test_unburnt"].count) == (0, 1)


def test_windows_in_frames_of_judged_fires_are_counted_and_are_no_examples(made: DataRoot) -> None:
    left_out = {"train": ["w1"], "val": ["of another year"]}
    write_json(made.checkpoint(YEAR) / "manifest.json", {"judged_windows": left_out})
    by_name = {step.name: step for step in steps(funnel(made, YEAR, LAYER, CLEAR))}
    assert (by_name["clear"].count, by_name["off_frames"].count) == (2, 1)
    assert by_name["off_frames"].lost == {"judged_frame": 1}
    assert (by_name["train_burnt"].count, by_name["test_unburnt"].count) == (0, 1)


@pytest.mark.parametrize(
    ("table", "rows", "step", "reason", "count"),
    [
        (FIRE_PERIMETER_REJECTS, [], "perimeters", UNACCOUNTED, 1),
        (RELEASE_RECORDS, RECORDS[1:], "perimeters", UNEXPECTED, -1),
        (SAMPLE_LOSSES, LOSSES[2:], "fires_with_points", UNACCOUNTED, 1),
        (WINDOWS, WINDOW_ROWS[1:], "windows", UNACCOUNTED, 1),
        (SAMPLE_POINTS, POINTS[:3], "windows", UNEXPECTED, -1),
        (TILES, TILE_ROWS[:3], "tiles", UNACCOUNTED, 1),
    ],
)
def test_what_no_table_explains_is_named(
    made: DataRoot, table: Table, rows: list[dict], step: str, reason: str, count: int
) -> None:
    write_rows(made, table, rows)
    found = unexplained(funnel(made, YEAR, LAYER, CLEAR))
    assert (step, reason, count) in set(zip(found["step"], found["reason"], found["count"], strict=True))


def test_it_ends_with_the_tables_that_there_are(root: DataRoot) -> None:
    with pytest.raises(MissingDataError, match="burnscar refresh"):
        funnel(root, YEAR, LAYER, CLEAR)
    last = []
    for table, rows in TABLES:
        write_rows(root, table, rows)
        if table in (RELEASE_RECORDS, FIRE_PERIMETER_REJECTS, SAMPLE_LOSSES, WINDOWS):
            last.append([step.name for step in steps(funnel(root, YEAR, LAYER, CLEAR))][-1])
    assert last == ["records", "perimeters", "points", "windows"]


def test_another_layer_has_no_tiles_of_this_one(made: DataRoot) -> None:
    tiles = {step.name: step for step in steps(funnel(made, YEAR, "sentinel1", CLEAR))}["tiles"]
    assert (tiles.count, tiles.lost) == (0, {UNACCOUNTED: 4})


def test_the_terminal_shows_losses_most_first(made: DataRoot) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    for table in funnel_tables(made, [YEAR], LAYER, CLEAR, simulated=True):
        console.print(table)
    said = console.export_text()
    assert "From records to examples, 2021 (simulated)" in said
    assert "5 no window inside, 2 no room, 1 capped" in said


def test_the_web_ui_shows_a_bar_a_step_and_the_losses(made: DataRoot) -> None:
    heading, _, _, _, *rows = markdown_funnel(
        funnel(made, YEAR, LAYER, CLEAR), title="Funnel 2021", simulated=True
    ).split("\n")
    assert heading.startswith("**Funnel 2021 (simulated)**")
    assert len(rows) == 15
    assert any("| 1 nodata, 1 too cloudy |" in row for row in rows)
    assert max(row.count("█") for row in rows) == 20
