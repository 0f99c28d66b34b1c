import sys
import time
from pathlib import Path

import pytest
from kit.measure import CommandFailedError, environment, run, run_and_kill

CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
BUSY = "import time\nwhile time.process_time() < 0.4: pass"


def test_work_of_the_children_of_a_command_counts(tmp_path: Path) -> None:
    cost = run(["-c", CHILD, BUSY], environment(tmp_path / "bytecode"), tmp_path / "log")
    assert 0.4 <= cost.cpu_s < 5


def test_a_sleeping_command_takes_time_and_no_work(tmp_path: Path) -> None:
    cost = run(["-c", "import time; time.sleep(0.5); print('slept')"], environment(tmp_path), tmp_path / "log")
    assert cost.wall_s >= 0.5 > cost.cpu_s
    assert cost.output == "slept\n"


def test_memory_that_processes_share_counts_once_among_them(tmp_path: Path) -> None:
    program = (
        "import os, time; held = b'x' * (200 << 20); child = os.fork(); time.sleep(2.5)\nif child: os.waitpid(child, 0)"
    )
    variables, log = environment(tmp_path), tmp_path / "log"
    once = run(["-c", program], variables, log, memory=True, shared_once=True).peak_bytes / 2**20
    each = run(["-c", program], variables, log, memory=True).peak_bytes / 2**20
    assert 200 < once < 300
    assert each > 400


def test_a_failing_command_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="no such world"):
        run(["-c", "raise SystemExit('no such world')"], environment(tmp_path), tmp_path / "log")


def test_a_kill_takes_the_children_too(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    late = f"import time; from pathlib import Path; time.sleep(2); Path({str(mark)!r}).touch()"
    assert run_and_kill(["-c", CHILD, late], environment(tmp_path), tmp_path / "log", after_s=0.8)
    time.sleep(2)
    assert not mark.exists()


def test_a_command_that_ends_first_is_not_killed(tmp_path: Path) -> None:
    assert not run_and_kill(["-c", "pass"], environment(tmp_path), tmp_path / "log", after_s=30)


def test_commands_see_no_world_of_ours_and_keep_compiled_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNSCAR_CONFIG", "california")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    variables = environment(tmp_path / "bytecode", BURNSCAR_DATA="here")
    assert variables["BURNSCAR_DATA"] == "here"
    assert not {"BURNSCAR_CONFIG", "PYTHONDONTWRITEBYTECODE"} & variables.keys()
    (tmp_path / "module.py").write_text("")
    run(["-c", "import module"], variables | {"PYTHONPATH": str(tmp_path)}, tmp_path / "log")
    assert list((tmp_path / "bytecode").rglob(f"module.cpython-{sys.version_info.major}{sys.version_info.minor}.pyc"))
