from pathlib import Path

import pytest

from burnscar_assets_tests.benchmarks.quick_run import quick_figures

BARS = {
    "demo, wall seconds",
    "cores used while it runs",
    "peak memory",
    "second demo, wall seconds",
    "plan, wall seconds",
}


@pytest.mark.slow
def test_every_figure_of_the_start_has_its_line(tmp_path: Path) -> None:
    figures = quick_figures("start.py", tmp_path)
    assert figures.keys() == BARS
    assert all(figures[name]["bar"] and figures[name]["holds"] is not None for name in BARS)
    assert 0 < figures["peak memory"]["ours"] < 16
    assert not list(tmp_path.iterdir())
