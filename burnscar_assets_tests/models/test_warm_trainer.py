"""Training in a process that was forked from one that has imported torch comes to the same, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path

from burnscar_assets.models.manifest import BEST_FILE, CONFIG_FILE, WEIGHTS_FILE, verify_checkpoint
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.orchestration.processes import PROCESS_ENVIRONMENT
from burnscar_assets.orchestration.warm import WarmStages
from burnscar_assets.warm_server import Request
from burnscar_assets_tests.models.training_kit import Plan

TRAINER = "burnscar_assets.models.trainer"
TIMEOUT_S = 300


def content(spec: TrainingSpec) -> dict[str, bytes]:
    """Files of a checkpoint that name no folder of the run."""
    verify_checkpoint(spec.checkpoint)
    return {name: (spec.checkpoint / name).read_bytes() for name in (WEIGHTS_FILE, CONFIG_FILE, BEST_FILE)}


def test_a_warm_trainer_makes_the_bytes_of_a_cold_one_also_beside_another(packed_plan: Plan, tmp_path: Path) -> None:
    specs = {name: packed_plan(name, max_epochs=1) for name in ("cold", "first", "second")}
    paths = {name: str(spec.write(tmp_path / f"{name}.json")) for name, spec in specs.items()}
    environment = {**os.environ, **PROCESS_ENVIRONMENT}
    stages = WarmStages()
    warm = [stages.start(Request(TRAINER, paths[name], {}), environment) for name in ("first", "second")]
    assert [process.wait(TIMEOUT_S) for process in warm] == [0, 0]
    subprocess.run([sys.executable, "-P", "-m", TRAINER, paths["cold"]], env=environment, check=True, timeout=TIMEOUT_S)
    cold = content(specs["cold"])
    assert content(specs["first"]) == cold and content(specs["second"]) == cold
