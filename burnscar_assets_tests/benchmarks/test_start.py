from pathlib import Path

import pytest

from burnscar_assets_tests.benchmarks.quick_run import quick_figures

BARS = {
    "demo, wall seconds",
    "cores used while it runs",
    "peak memory",
    "second demo, wall seconds",
    "plan, wall seconds",
    "start of a warm stage, seconds",
    "contents that differ from one after the other",
}


@pytest.mark.slow
def test_every_figure_of_the_start_has_its_line_and_nothing_comes_out_differently_side_by_side(tmp_path: Path) -> None:
    figures = quick_figures("start.py", tmp_path)
    assert figures.keys() == BARS | {"one run after the other, wall seconds"}
    assert all(figures[name]["bar"] and figures[name]["holds"] is not None for name in BARS)
    same = figures["contents that differ from one after the other"]
    assert same["ours"] == 0, same
    assert all(word in same["unit"] for word in ("tables", "weights", "rasters")) and int(same["unit"].split()[1]) > 100
    start = figures["start of a warm stage, seconds"]
    assert 0 < start["ours"] < start["peer"]
    assert 0 < figures["peak memory"]["ours"] < 16
    assert not list(tmp_path.iterdir())
