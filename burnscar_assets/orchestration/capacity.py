"""What runs may take of this machine together, and what each takes: so many go on side by side.

The numbers decide no result: a stage has as many threads whatever runs beside it.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from burnscar_assets.models.devices import gpus_there
from burnscar_assets.orchestration.artifacts import row_count
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.storage.contracts import WINDOWS
from burnscar_assets.storage.tables import table_path

CGROUP = Path("/sys/fs/cgroup")
MEMORY_LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Files with what a container may take, in bytes: of version 2 of control groups, and of version 1."""

RUN_MEMORY_GIB: Final = 0.5
"""Main memory of a run without a process of its own: tables and tiles of a year."""

_GIB = 1024**3
_PIXEL_BYTES = 2


@dataclass(frozen=True)
class Share:
    """A part of a machine.

    Attributes:
        cores: processor cores.
        memory_gib: main memory, in GiB.
        gpus: places in the pool `gpu`.
    """

    cores: int
    memory_gib: float
    gpus: int

    def __add__(self, other: "Share") -> "Share":
        return Share(self.cores + other.cores, self.memory_gib + other.memory_gib, self.gpus + other.gpus)

    def holds(self, other: "Share") -> bool:
        """Whether the other is a part of this one."""
        return self.cores >= other.cores and self.memory_gib >= other.memory_gib and self.gpus >= other.gpus


def whole(world: World) -> Share:
    """What the runs of a refresh may take together."""
    return Share(_cores(world), _memory_gib(world), gpu_limit(world))


def needed(world: World, pairs: Collection[Pair]) -> Share:
    """What one run of pairs takes of this machine."""
    compute = world.settings.compute
    networks = [pair for pair in pairs if world.needs_gpu(pair)]
    if not networks:
        return Share(1, RUN_MEMORY_GIB, 0)
    if compute.runs_on != "local":
        return Share(0, 0.0, 1)
    pixels = sum(_pixels_gib(world.of(pair.setup), pair) for pair in networks)
    return Share(compute.stage_cores if networks_use_cpu(world) else 1, compute.stage_memory_gib + pixels, 1)


def _pixels_gib(world: World, pair: Pair) -> float:
    """What training keeps of a packed dataset in memory: the pixels of all windows that are there, up to its limit."""
    if pair.stage != "checkpoint" or pair.fire_year is None:
        return 0.0
    training, side_px = world.settings.training, world.settings.windows.size_px
    paths = (table_path(world.root, WINDOWS, year) for year in world.training_years(pair.fire_year))
    windows = sum(row_count(path) for path in paths if path.exists())
    layers = 1 + len(training.earlier_layers)
    pixels = windows * layers * side_px**2 * len(world.settings.sensor.names) * _PIXEL_BYTES
    return min(pixels, training.memory_gb * 1e9) / _GIB


def gpu_limit(world: World) -> int:
    """How many stages that run a network may run at once: one a GPU, on a CPU as many as cores and memory allow."""
    compute = world.settings.compute
    if compute.gpus:
        return compute.gpus
    if not networks_use_cpu(world):
        return max(gpus_there(), 1)
    by_memory = int(_memory_gib(world) / compute.stage_memory_gib)
    return max(min(_cores(world) // compute.stage_cores, by_memory), 1)


def networks_use_cpu(world: World) -> bool:
    """Whether training, evaluation and mapping use this machine's cores, not a GPU or another machine."""
    accelerator = world.settings.training.accelerator
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not gpus_there())
    return on_cpu and world.settings.compute.runs_on == "local"


def runs_at_once(world: World) -> int:
    """How many runs the daemon's queue may have at work: each may need a core, or hold a place for a network."""
    return max(_cores(world), gpu_limit(world))


def _cores(world: World) -> int:
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return world.settings.compute.cores or there or 1


def _memory_gib(world: World) -> float:
    return world.settings.compute.memory_gib or machine_memory_gib()


def machine_memory_gib() -> float:
    """Main memory of this machine, or of the container that this process is in, in GiB."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in MEMORY_LIMITS:
        try:
            limits.append(int((CGROUP / name).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no control group, or no limit (`max`)
            continue
    return min(limits) / _GIB
