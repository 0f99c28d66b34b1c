from pathlib import Path

import pytest

from burnscar_assets_tests.benchmarks.quick_run import quick_figures

SPEED, SAME = "km2 per second against rslearn predict", "largest difference of a pixel's probability"
REPORTED = {
    "km2 per CPU second",
    "share of model arithmetic in the time",
    "km2 per second, 0.5 x 0.5 km",
    "peak memory of ours, larger over smaller square",
}


@pytest.mark.slow
def test_every_figure_of_mapping_has_its_line_and_the_map_is_rslearns(tmp_path: Path) -> None:
    figures = quick_figures("mapping.py", tmp_path)
    assert figures.keys() == {SPEED, SAME} | REPORTED
    assert figures[SPEED]["bar"] and figures[SPEED]["holds"] is not None
    assert figures[SAME]["holds"]
    assert 0 < figures["share of model arithmetic in the time"]["ours"] < 1
