"""What tests of where stages run share: a world whose stages run somewhere, and an asset with one such stage."""

import os
from pathlib import Path
from typing import Any

import dagster as dg

from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.processes import Event, run_process
from burnscar_assets.process import ProcessSpec
from burnscar_assets.settings import parse_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.orchestration import told_stage

REPOSITORY = Path(__file__).resolve().parents[2]


def world_on(root: DataRoot, **compute: Any) -> World:
    """A world whose stages run as the compute settings say."""
    content = {"name": "tiny", "years": {"first": 2019, "last": 2020}, "release": {"source": "none"}, "demo": {}}
    return World(parse_settings(content | {"compute": compute}, "test"), root)


def run_there(
    world: World,
    spec: ProcessSpec,
    module: str = told_stage.__name__,
    *,
    gpus: int = 1,
    alone: bool = True,
    on_event: Any = None,
) -> list[Event]:
    """Run a stage in an asset, as the assets of the model do; what it told."""
    events: list[Event] = []

    def take(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    path = spec.write(world.root.path / "specs" / "stage-2020.json")

    @dg.asset
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        run_process(context, world, module, path, take, gpus, alone)
        return dg.MaterializeResult()

    assert dg.materialize([made], raise_on_error=True).success
    assert not list(path.parent.glob("*.messages"))
    return events


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
