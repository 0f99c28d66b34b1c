"""What a person waits for from the first minute: the demo, looking at it again, and a stage's start.

`python benchmarks/start.py` runs `burnscar demo` in an empty folder, as `make demo` does once the environment is
installed, and again with nothing to do, and `burnscar plan`; each with `PYTHONDONTWRITEBYTECODE=1` and without, and all
with the package compiled, as the set-up leaves it. Then it makes the same world one run after the other: what comes of
it must be the same. Memory is the proportional set size (PSS) of all processes, looked at each second in `/proc`. Takes
ten minutes on two cores; `--tests` measures `make test` as well.
"""

import argparse
import compileall
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kit.bench_place import told
from kit.contents import differing, world_contents
from kit.figures import Bar, Figure, Report
from kit.measure import CommandFailedError, Cost, adopt_orphans, environment, run
from kit.world import Size

import burnscar_assets
from burnscar_assets.demo.world import Scale, build_world
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.paths import DataRoot

REPOSITORY = Path(__file__).resolve().parents[1]
QUICK = Size(2019, 2020, fires_per_year=7, scale=Scale(granule_m=5400, fires_a_region=2.5))
COMMAND = ("-m", "burnscar_assets")
WITHOUT_WRITING = "PYTHONDONTWRITEBYTECODE"
REPEATS = 3
GIB = 2**30


@dataclass(frozen=True)
class Place:
    """The folder that a benchmark works in, and whether it measures the demo or a small world without its archive."""

    folder: Path
    quick: bool

    def empty_world(self, name: str) -> DataRoot:
        """A data root where nothing is made yet; of a small world the archive is there."""
        root = DataRoot(self.folder / name)
        if self.quick:
            settings = load_settings(_write_settings(root, _small()))
            build_world(settings, root, scale=QUICK.scale)
        return root

    def same_world_in_turn(self, made: DataRoot) -> DataRoot:
        """A data root of the world of another, on its archive, where one run is made after the other."""
        root = DataRoot(self.folder / "in-turn")
        content = _small() if self.quick else _demo()
        _write_settings(root, content | {"compute": {"cores": 1}})
        root.simulated.symlink_to(made.simulated, target_is_directory=True)
        return root

    @property
    def making(self) -> Sequence[str]:
        """The command that makes a world of which nothing is there, and looks for what to do in one that is made."""
        return ("refresh", "--in-process") if self.quick else ("demo",)

    def burnscar(self, root: DataRoot, *command: str, writes_bytecode: bool = True, memory: bool = False) -> Cost:
        """Measure a command on a data root."""
        variables = environment(None, BURNSCAR_DATA=str(root.path))
        if not writes_bytecode:
            variables |= {WITHOUT_WRITING: "1"}
        log = self.folder / "output.txt"
        return run([*COMMAND, *command], variables, log, memory=memory, shared_once=True)


def measure(place: Place) -> Iterator[Figure]:
    """All figures of the demo and of stages."""
    compileall.compile_dir(Path(burnscar_assets.__file__).parent, quiet=1)
    made = place.empty_world("demo")
    yield from _demo_figures(place, made, writes_bytecode=True)
    if not place.quick:
        yield from _demo_figures(place, place.empty_world("without-writing"), writes_bytecode=False)
    yield _stage_start(place, made)
    yield from _in_turn(place, made)


def _demo_figures(place: Place, root: DataRoot, *, writes_bytecode: bool) -> Iterator[Figure]:
    suffix = "" if writes_bytecode else f", {WITHOUT_WRITING}=1"
    cost = place.burnscar(root, *place.making, writes_bytecode=writes_bytecode, memory=True)
    again = place.burnscar(root, *place.making, writes_bytecode=writes_bytecode)
    plans = [place.burnscar(root, "plan", writes_bytecode=writes_bytecode) for _ in range(REPEATS)]
    if any("nothing is stale" not in plan.output for plan in plans):
        raise CommandFailedError(f"something is stale right after it was made:\n{plans[0].output[-2000:]}")
    cores = len(os.sched_getaffinity(0))
    used = cost.cpu_s / cost.wall_s
    plan_s = statistics.median(plan.wall_s for plan in plans)
    yield Figure(f"demo, wall seconds{suffix}", cost.wall_s, "s, environment installed", bar=Bar("<=", 360))
    unit = f"mean, {cost.cpu_s:.0f} CPU s; peer: cores there"
    yield Figure(f"cores used while it runs{suffix}", used, unit, cores, used / cores, Bar(">=", 0.8))
    unit = "GiB, proportional set size (PSS) of all processes"
    yield Figure(f"peak memory{suffix}", cost.peak_bytes / GIB, unit, bar=Bar("<=", 4))
    yield Figure(f"second demo, wall seconds{suffix}", again.wall_s, "s, nothing to do", bar=Bar("<=", 8))
    unit = f"s, nothing is stale, median of {REPEATS}"
    yield Figure(f"plan, wall seconds{suffix}", plan_s, unit, bar=Bar("<=", 3))


def _stage_start(place: Place, made: DataRoot) -> Figure:
    spec = sorted((made.path / "specs").glob("training-*.json"))[-1]
    variables = environment(None, BURNSCAR_DATA=str(made.path), PYTHONPATH=f"{REPOSITORY / 'benchmarks'}:{REPOSITORY}")
    log = place.folder / "output.txt"
    said = told(run(["-m", "kit.stage_start", str(spec), str(place.folder / "starts")], variables, log))
    unit = "s from a training's start to the line that it begins, the longer of 2; peer: in a process that imports all"
    return Figure("start of a warm stage, seconds", said["warm_s"], unit, said["cold_s"], bar=Bar("<=", 0.5))


def _in_turn(place: Place, made: DataRoot) -> Iterator[Figure]:
    """The same world made one run after the other, which must come out the same."""
    root = place.same_world_in_turn(made)
    cost = place.burnscar(root, "refresh", "--in-process")
    yield Figure("one run after the other, wall seconds", cost.wall_s, "s, on the archive that the demo drew")
    some, others = (_contents(place, one) for one in (made, root))
    other = differing(some, others)
    unit = f"of {len(some)} tables, windows, tiles, weights and rasters" + (
        f": {', '.join(other[:5])}" if other else ""
    )
    yield Figure("contents that differ from one after the other", len(other), unit, bar=Bar("<=", 0))


def _contents(place: Place, root: DataRoot) -> dict[str, str]:
    settings_file = root.world_file if root.world_file.exists() else CONFIGS_DIR / "demo.yaml"
    return world_contents(World(load_settings(settings_file), root))


def _demo() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONFIGS_DIR / "demo.yaml").read_text(encoding="utf-8"))
    return content


def _small() -> dict[str, Any]:
    """Two small years, two epochs, and one set-up beside the world's own, which needs no network."""
    demo = _demo()
    return QUICK.settings(
        training=demo["training"] | {"max_epochs": 2, "look_back_years": 1},
        sampling=demo["sampling"] | {"max_points_per_fire": 12},
        setups={
            "exclude": [*demo["setups"]["exclude"], "boosted-trees", "ensemble*", "tutorial", "*-change", "*-pre-post"]
        },
    )


def _write_settings(root: DataRoot, content: dict[str, Any]) -> Path:
    root.path.mkdir(parents=True)
    root.world_file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return root.world_file


def _tests() -> Figure:
    begin = time.perf_counter()
    subprocess.run(["make", "test"], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    minutes = (time.perf_counter() - begin) / 60
    return Figure("make test, minutes", minutes, "min, environment installed", bar=Bar("<=", 15))


def main() -> int:
    """Measure and print; 1 if a bar was missed, which says nothing of the small version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder to work in (default: a temporary one)")
    parser.add_argument("--quick", action="store_true", help="a small world, to see that it works")
    parser.add_argument("--tests", action="store_true", help="measure `make test` as well, which takes its time")
    options = parser.parse_args()
    folder, report = Path(tempfile.mkdtemp(prefix="burnscar-start-", dir=options.root)).resolve(), Report()
    adopt_orphans()
    try:
        for figure in measure(Place(folder, options.quick)):
            report.add(figure)
        if options.tests:
            report.add(_tests())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.show("start: two small years (simulated)" if options.quick else "start: the demo (simulated), CPU")
    return int(bool(report.missed()) and not options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
