import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "imagery.py"
NAMES = {
    "windows per CPU second, 32 px",
    "windows per CPU second, 128 px",
    "wall over HTTP at 30 ms",
    "bytes fetched over bytes needed",
    "catalogue searches",
    "labelled windows created",
    "files per 1,000 windows",
    "peak memory, 20,000 over 2,000 windows",
    "samples read per second, data module",
    "samples read per second, bulk",
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The figures of a few windows, by name."""
    folder = tmp_path_factory.mktemp("benchmark")
    command = [sys.executable, str(SCRIPT), "--quick", "--root", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {entry.name for entry in folder.iterdir() if entry.is_dir()} == {"archive", "bytecode", "tables"}
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["figure"]: line for line in lines}


@pytest.mark.slow
def test_every_figure_of_imagery_has_its_line_and_its_bar(figures: dict[str, dict[str, Any]]) -> None:
    assert figures.keys() >= NAMES
    assert all(figures[name]["bar"] and figures[name]["holds"] is not None for name in NAMES)


@pytest.mark.slow
def test_what_no_clock_decides_holds_for_a_few_windows_too(figures: dict[str, dict[str, Any]]) -> None:
    assert figures["catalogue searches"]["peer"] == 72, "rslearn searches once a window"
    for name in ("catalogue searches", "bytes fetched over bytes needed", "files per 1,000 windows"):
        assert figures[name]["holds"], figures[name]


@pytest.mark.slow
def test_both_sides_made_the_same_pixels(figures: dict[str, dict[str, Any]]) -> None:
    assert figures["pixels that differ from rslearn's"]["ours"] < 0.2
    assert figures["pixels that differ from rslearn's"]["unit"].endswith(("difference 0 DN", "difference 1 DN"))
