"""What is told of stages that run side by side: on a terminal, elsewhere, and of how long they will take."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from burnscar_assets.stage_progress import Estimate, live_stages

STAGES = """
import time
from burnscar_assets.stage_progress import live_stages
with live_stages() as stages:
    stages.planned(["tiles 2019", "tiles 2020", "checkpoint 2019", "checkpoint 2020"])
    reports = {name: stages.started(name) for name in ("tiles 2019", "checkpoint 2019", "tiles 2020")}
    for done in range(1, 4):
        reports["tiles 2019"]("materializing tiles", done, 3)
        reports["checkpoint 2019"]("loading the checkpoint", 0, 0)
        reports["checkpoint 2019"]("training 2019, epochs", done, 20)
        time.sleep(0.2)
    stages.ended("tiles 2019", "120 tiles")
    stages.ended("checkpoint 2019", "20 epochs, 309 windows\\x1b[2J")
    stages.ended("tiles 2020", None)
    time.sleep(0.3)
"""
ENDED = {"tiles 2019: 120 tiles", "checkpoint 2019: 20 epochs, 309 windows[2J", "tiles 2020: failed"}


def on_a_terminal(program: str) -> str:
    """What a program writes where standard error is a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen([sys.executable, "-c", program], stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux: all writers are gone
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0, written
    return written.decode()


def test_where_there_is_no_terminal_each_stage_has_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    exec(STAGES, {})
    lines = capfd.readouterr().err.splitlines()
    assert {re.sub(r" \(\d+\.\d s\)$", "", line) for line in lines} == ENDED
    assert len(lines) == 3 and all(line.endswith(" s)") for line in lines)


def test_other_work_is_told_of_once(capfd: pytest.CaptureFixture[str]) -> None:
    with live_stages() as stages:
        for done in range(5):
            stages.work("drawing scenes", done, 5)
            stages.work("writing the index", done, 5)
    assert capfd.readouterr().err.splitlines() == ["drawing scenes …", "writing the index …"]


def test_on_a_terminal_bars_stand_side_by_side_with_an_estimate() -> None:
    frames = re.split(r"\x1b\[[0-9]*A|\x1b\[2K\r", on_a_terminal(STAGES))
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "\n".join(frames))
    for stage in ("tiles 2019", "checkpoint 2019", "tiles 2020"):
        assert re.search(rf"^{stage}\s*[━╸╺ ]", written, re.MULTILINE), written
    assert "materializing tiles 3/3" in written and "training 2019, epochs 3/20" in written
    assert "0/4" in written and re.search(r"3/4, about \d+ s left", written), written
    assert all(line in written for line in ENDED)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_is_estimated_from_stages_of_the_same_asset() -> None:
    clock = Clock()
    estimate = Estimate(clock)
    years = range(2019, 2023)
    estimate.planned([f"{asset} {year}" for year in years for asset in ("tiles", "unet/checkpoint")])
    assert (estimate.total, estimate.seconds_left()) == (8, None)
    estimate.started("tiles 2019")
    clock.now = 10
    assert estimate.ended("tiles 2019") == 10
    estimate.started("unet/checkpoint 2019")
    clock.now = 40
    assert estimate.seconds_left() == 3 * 10 + 3 * 10, "an asset without any counts as the mean of all"
    estimate.ended("unet/checkpoint 2019")
    assert estimate.seconds_left() == 3 * 10 + 3 * 30
    assert (estimate.done, estimate.total) == (2, 8)


@pytest.mark.parametrize("beside", [1, 2, 4])
def test_as_many_go_on_side_by_side_as_did(beside: int) -> None:
    clock = Clock()
    estimate = Estimate(clock)
    names = [f"tiles {number}" for number in range(8)]
    estimate.planned(names)
    for name in names[:beside]:
        estimate.started(name)
    clock.now = 10
    for name in names[:beside]:
        estimate.ended(name)
    assert estimate.seconds_left() == pytest.approx((8 - beside) * 10 / beside)


def test_a_stage_that_needs_no_run_is_not_waited_for() -> None:
    clock: Callable[[], float] = Clock()
    estimate = Estimate(clock)
    estimate.planned(["tiles 2019", "tiles 2020"])
    estimate.started("tiles 2019")
    estimate.ended("tiles 2019")
    estimate.planned([])
    assert (estimate.seconds_left(), estimate.done, estimate.total) == (0, 1, 1)
