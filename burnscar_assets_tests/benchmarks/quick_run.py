"""Running a benchmark in its small version."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def quick_figures(script: str, folder: Path, *options: str) -> dict[str, dict[str, Any]]:
    """The figures that a benchmark prints of its small version in a folder, by name."""
    command = [sys.executable, str(BENCHMARKS / script), "--quick", "--root", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["figure"]: line for line in lines}
