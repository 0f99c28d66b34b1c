"""Stages in processes that have imported torch already: each on its own, as if it had started cold."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration import processes
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.processes import PROCESS_ENVIRONMENT
from burnscar_assets.orchestration.warm import WarmProcess, WarmStages
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.warm_server import Request
from burnscar_assets_tests.orchestration import state_stage, told_stage
from burnscar_assets_tests.orchestration.fault_kit import wait_until
from burnscar_assets_tests.orchestration.place_kit import REPOSITORY, is_alive, run_there, world_on
from burnscar_assets_tests.orchestration.state_stage import StateSpec
from burnscar_assets_tests.orchestration.told_stage import ToldSpec

State = dict[str, Any]


@pytest.fixture(autouse=True)
def _stages_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose stages run on this machine."""
    made = world_on(DataRoot(tmp_path / "data"))
    monkeypatch.setenv("BURNSCAR_DATA", str(made.root.path))
    return made


@pytest.fixture
def state_of(world: World, tmp_path: Path) -> Callable[..., State]:
    """Runs a stage that writes down what it finds."""

    def run(*, alone: bool = True) -> State:
        run_there(world, StateSpec(here=tmp_path), state_stage.__name__, alone=alone)
        return json.loads((tmp_path / "state.json").read_text())

    return run


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., WarmProcess]:
    """Starts a stage that tells what it is asked to, in a folder of its own."""
    stages = WarmStages()

    def run(name: str, end: str = "well", variables: dict[str, str] | None = None) -> WarmProcess:
        here = tmp_path / name
        here.mkdir(exist_ok=True)
        spec = ToldSpec(here=here, end=end).write(here / "spec.json")
        environment = {**os.environ, **PROCESS_ENVIRONMENT, "BURNSCAR_DATA": str(here), **(variables or {})}
        return stages.start(Request(told_stage.__name__, str(spec), {}), environment)

    return run


def pid_of(folder: Path) -> int:
    wait_until(lambda: (folder / "pid").exists() and bool((folder / "pid").read_text()), "the stage begins")
    return int((folder / "pid").read_text())


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_warm_stage_finds_what_a_cold_one_does_whatever_the_one_before_left(
    state_of: Callable[..., State],
) -> None:
    cold, first, second = state_of(alone=False), state_of(), state_of()
    assert cold["parent"] == os.getpid()
    assert first["parent"] == second["parent"] != os.getpid()
    assert first["state"] == cold["state"] and second["state"] == cold["state"]
    assert cold["state"]["cuda"] == [False, False] and cold["state"]["safe_path"]
    draws = zip(first["drawn"], second["drawn"], cold["drawn"], strict=True)
    assert all(len(set(drawn)) == len(drawn) for drawn in draws)


def test_what_changes_between_stages_reaches_the_next_one(
    state_of: Callable[..., State], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BURNSCAR_CHANGED", "before")
    monkeypatch.setenv("BURNSCAR_GONE", "before")
    before = state_of()
    monkeypatch.setenv("BURNSCAR_CHANGED", "after")
    monkeypatch.delenv("BURNSCAR_GONE")
    monkeypatch.chdir(tmp_path)
    after = state_of()
    found = [
        [state["environment"].get(name) for name in ("BURNSCAR_CHANGED", "BURNSCAR_GONE")]
        for state in (before["state"], after["state"])
    ]
    assert found == [["before", "before"], ["after", None]]
    assert after["state"]["folder"] == str(tmp_path)
    wait_until(lambda: not is_alive(before["parent"]), "the server of before ends")


def test_a_stage_that_is_killed_or_crashes_costs_itself_alone(world: World, tmp_path: Path) -> None:
    def kill(event: Any) -> None:
        if event["number"] == 1:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    with pytest.raises(BurnscarError, match=r"ended with exit code -9 .*out of memory.*run the same partition again"):
        run_there(world, ToldSpec(here=tmp_path, end="wait"), on_event=kill)
    server = (tmp_path / "parent").read_text()
    with pytest.raises(BurnscarError, match="ended with exit code 17"):
        run_there(world, ToldSpec(here=tmp_path, end="die"))
    assert (tmp_path / "parent").read_text() == server != str(os.getpid())
    run_there(world, ToldSpec(here=tmp_path))
    assert (tmp_path / "parent").read_text() == server


def test_a_stage_that_ignores_sigterm_is_killed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TERMINATION_GRACE_S", 0.3)
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        run_there(
            world,
            ToldSpec(here=tmp_path, count=1, end="go on"),
            on_event=lambda event: os.kill(os.getpid(), signal.SIGINT),
        )
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_killed_server_takes_its_stages_with_it_and_another_takes_its_place(
    start: Callable[..., WarmProcess], tmp_path: Path
) -> None:
    running = start("a", "wait")
    stage = pid_of(tmp_path / "a")
    os.kill(parent_of(stage), signal.SIGKILL)
    assert running.wait(20) == -signal.SIGKILL
    wait_until(lambda: not is_alive(stage), "the stage ends")
    assert start("b").wait(60) == 0


def test_a_stage_whose_client_lets_go_of_it_ends(start: Callable[..., WarmProcess], tmp_path: Path) -> None:
    running = start("a", "wait")
    stage = pid_of(tmp_path / "a")
    del running
    wait_until(lambda: not is_alive(stage), "the stage ends")


def test_workers_of_a_stage_end_with_it(start: Callable[..., WarmProcess], tmp_path: Path) -> None:
    assert start("a", "leave a worker").wait(60) == 0
    assert not is_alive(int((tmp_path / "a" / "worker").read_text()))


def test_a_stage_that_is_ended_before_it_began_never_begins(start: Callable[..., WarmProcess], tmp_path: Path) -> None:
    early = start("a", "wait")
    early.terminate()
    assert early.wait(60) == -signal.SIGTERM
    assert start("b").wait(60) == 0
    assert not (tmp_path / "a" / "made").exists()


def test_another_environment_leaves_stages_that_run_alone(start: Callable[..., WarmProcess], tmp_path: Path) -> None:
    running = start("a", "wait", {"BURNSCAR_CHANGED": "1"})
    stage = pid_of(tmp_path / "a")
    server = parent_of(stage)
    assert start("b", variables={"BURNSCAR_CHANGED": "2"}).wait(60) == 0
    assert running.poll() is None and is_alive(stage)
    running.terminate()
    assert running.wait(20) == -signal.SIGTERM
    wait_until(lambda: not is_alive(server), "a server without client or stage ends")


def test_stages_end_by_sigterm_though_the_starter_ignores_it(start: Callable[..., WarmProcess], tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        running = start("a", "wait")
    finally:
        signal.signal(signal.SIGTERM, before)
    pid_of(tmp_path / "a")
    running.terminate()
    assert running.wait(20) == -signal.SIGTERM


def test_threads_start_stages_side_by_side(start: Callable[..., WarmProcess], tmp_path: Path) -> None:
    variables = {"BURNSCAR_DATA": str(tmp_path)}
    barrier = threading.Barrier(8)

    def run(number: int) -> int:
        barrier.wait()
        return start(str(number), "die" if number % 2 else "well", variables).wait(60)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == [0, 17] * 4


def test_nothing_is_imported_from_the_folder_that_a_process_starts_in(
    start: Callable[..., WarmProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "foreign"
    here.mkdir()
    for name in ("burnscar_assets", "dagster_pipes", "json", "numpy", "runpy", "sitecustomize", "socket", "torch"):
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(here)
    assert start("a").wait(60) == 0
    assert not (tmp_path / "ran").exists()


STARTS_A_STAGE = """
    import os, sys
    from burnscar_assets.orchestration.warm import WarmStages
    from burnscar_assets.warm_server import Request

    module, spec = sys.argv[1:]
    WarmStages().start(Request(module, spec, {}), os.environ).wait()
"""


def test_a_killed_client_takes_server_and_stage_with_it(tmp_path: Path) -> None:
    spec = ToldSpec(here=tmp_path, end="wait").write(tmp_path / "spec.json")
    environment = {**os.environ, "BURNSCAR_DATA": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(STARTS_A_STAGE), told_stage.__name__, str(spec)]
    with subprocess.Popen(command, env=environment) as client:
        stage = pid_of(tmp_path)
        server = parent_of(stage)
        assert parent_of(server) == client.pid
        client.kill()
    wait_until(lambda: not is_alive(stage) and not is_alive(server), "server and stage end")


PRELOADS_ALL = """
    import json, os, sys, threading, time
    import torch

    asked = []
    for name in ("is_available", "device_count", "_lazy_init", "init"):
        setattr(torch.cuda, name, lambda name=name: asked.append(name) or 0)
    torch._C._cuda_getDeviceCount = lambda: asked.append("_cuda_getDeviceCount") or 0

    from burnscar_assets.process import prepare_environment
    from burnscar_assets.warm_server import PRELOADED, preload

    prepare_environment()
    for module in PRELOADED:
        preload(module, os.getppid())
    missing = [name for names in PRELOADED.values() for name in names if name not in sys.modules]

    def tasks():
        for task in os.listdir("/proc/self/task"):
            try:
                yield open(f"/proc/self/task/{task}/comm").read().strip()
            except (FileNotFoundError, ProcessLookupError):
                pass

    # the thread that watches the parent has been joined: the kernel may list it for a moment more
    deadline = time.monotonic() + 30
    while (listed := list(tasks())).count("python") > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    print(json.dumps([asked, missing, threading.active_count(), listed]))
"""


def test_what_is_imported_before_the_fork_asks_for_no_gpu_and_starts_no_thread_that_a_fork_would_lose() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PRELOADS_ALL)],
        env={**os.environ, **PROCESS_ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    asked, missing, threads, tasks = json.loads(done.stdout)
    assert not asked and not missing and threads == 1
    # pyarrow's allocator has a thread of its own, which it stops for a fork; so do OpenBLAS's pools, switched off here
    assert tasks.count("python") == 1 and set(tasks) <= {"python", "jemalloc_bg_thd"}
