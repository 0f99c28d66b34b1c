from typing import Any

import pytest

from burnscar_assets_tests.benchmarks.quick_run import quick_figures

NAMES = {
    "one fire edited, share of a full rebuild",
    "nothing changed, wall seconds",
    "nothing changed, runs",
    "orchestration overhead",
    "content hashes that differ after interrupted rebuild",
    "code location load seconds",
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The figures of the small world, by name."""
    folder = tmp_path_factory.mktemp("benchmark")
    found = quick_figures("refresh.py", folder, "--kills", "2")
    assert {entry.name for entry in folder.iterdir() if entry.is_dir()} == {"archive", "bytecode"}
    return found


@pytest.mark.slow
def test_every_figure_has_its_line_and_its_bar(figures: dict[str, dict[str, Any]]) -> None:
    assert figures.keys() >= NAMES
    assert all(figures[name]["bar"] and figures[name]["holds"] is not None for name in NAMES)


@pytest.mark.slow
def test_contents_and_runs_hold_on_a_small_world_too(figures: dict[str, dict[str, Any]]) -> None:
    assert figures["nothing changed, runs"]["ours"] == 0
    assert figures["content hashes that differ after interrupted rebuild"]["ours"] == 0
    assert figures["content hashes that differ from plain functions"]["ours"] == 0


@pytest.mark.slow
def test_the_edit_changes_something_and_leaves_the_most_alone(figures: dict[str, dict[str, Any]]) -> None:
    differ = figures["one fire edited, contents that differ"]
    assert 0 < differ["ours"] < 0.2 * int(differ["unit"].split()[1])
