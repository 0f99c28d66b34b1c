"""Processes that a killed one had started end too."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

PATIENCE_S = 20.0

STARTS_A_PROCESS = """
    import os, subprocess, sys
    from burnscar_assets.parent import child_environment
    child = "import os, time; from burnscar_assets.parent import end_with_parent; end_with_parent();"
    child += "print(os.getpid(), flush=True); time.sleep(600)"
    subprocess.run([sys.executable, "-c", child], env={**os.environ, **child_environment()})
"""

STARTS_WORKERS = """
    import os, time
    from burnscar_assets.dataset.parallel import run_batches

    def work(task):
        os.write(1, f"{os.getpid()}\\n".encode())
        time.sleep(600)

    if __name__ == "__main__":
        list(run_batches(work, [1, 2, 3], 2))
"""


@pytest.mark.parametrize(("code", "count"), [(STARTS_A_PROCESS, 1), (STARTS_WORKERS, 2)])
def test_a_killed_process_takes_those_it_started_with_it(code: str, count: int, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(code))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(parent.stdout.readline()) for _ in range(count)]
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.05)
