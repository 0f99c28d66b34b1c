from typing import Any

import pytest

from burnscar_assets_tests.benchmarks.quick_run import quick_figures

NAMES = {
    "windows per CPU second, 32 px",
    "windows per CPU second, 128 px",
    "wall over HTTP at 30 ms",
    "bytes fetched over bytes needed",
    "catalogue searches",
    "labelled windows created",
    "files per 1,000 windows",
    "peak memory, 20,000 over 2,000 windows",
}
REPORTED = {"samples read per second, data module", "samples read per second, bulk"}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The figures of a few windows, by name."""
    folder = tmp_path_factory.mktemp("benchmark")
    found = quick_figures("imagery.py", folder)
    assert {entry.name for entry in folder.iterdir() if entry.is_dir()} == {"archive", "bytecode", "tables"}
    return found


@pytest.mark.slow
def test_every_figure_of_imagery_has_its_line_and_its_bar(figures: dict[str, dict[str, Any]]) -> None:
    assert figures.keys() >= NAMES | REPORTED
    assert all(figures[name]["bar"] and figures[name]["holds"] is not None for name in NAMES)
    assert all(figures[name]["ratio"] > 0 for name in REPORTED)


@pytest.mark.slow
def test_what_no_clock_decides_holds_for_a_few_windows_too(figures: dict[str, dict[str, Any]]) -> None:
    assert figures["catalogue searches"]["peer"] == 72, "rslearn searches once a window"
    for name in ("catalogue searches", "bytes fetched over bytes needed", "files per 1,000 windows"):
        assert figures[name]["holds"], figures[name]


@pytest.mark.slow
def test_both_sides_made_the_same_pixels(figures: dict[str, dict[str, Any]]) -> None:
    assert figures["pixels that differ from rslearn's"]["ours"] < 0.2
    assert figures["pixels that differ from rslearn's"]["unit"].endswith(("difference 0 DN", "difference 1 DN"))
