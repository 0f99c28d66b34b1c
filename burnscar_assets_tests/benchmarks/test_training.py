from typing import Any

import pytest

from burnscar_assets_tests.benchmarks.quick_run import quick_figures

BARS = {"loader share of a step", "step time over step on data in memory", "epoch time against rslearn fit"}
REPORTED = {
    "epoch CPU seconds against rslearn fit",
    "epoch time, the model's arithmetic alone",
    "seconds to the first step",
    "peak memory",
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The figures of a few windows, by name."""
    folder = tmp_path_factory.mktemp("benchmark")
    found = quick_figures("training.py", folder)
    assert not list(folder.iterdir())
    return found


@pytest.mark.slow
def test_every_figure_of_training_has_its_line(figures: dict[str, dict[str, Any]]) -> None:
    assert figures.keys() == BARS | REPORTED
    assert all(figures[name]["bar"] and figures[name]["holds"] is not None for name in BARS)
    assert all(figures[name]["ours"] > 0 for name in figures)
    assert "GPU: not measured" in figures["loader share of a step"]["unit"]
