"""What it costs to keep a world up to date: a full rebuild, one fire edited, nothing changed, and interruptions.

`python benchmarks/refresh.py` makes a simulated world of 8 fire years with 200 fires each, as many as a year of
California has, in a temporary folder (about 5 minutes and 4 GB, once with `--root`), and
measures the commands that users run, as processes of their own, CPU stages only. Work is CPU seconds of the whole
process tree, process start and imports included. Compiled modules are there before anything is measured.
"""

import argparse
import re
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kit.contents import content_hashes, differing
from kit.figures import Bar, Figure, Report
from kit.measure import Cost, environment, run, run_and_kill
from kit.world import Size, build_archive, edit_one_fire, new_world

from burnscar_assets.demo.world import Scale
from burnscar_assets.orchestration.execution import open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.terminal import live_progress

FULL = Size(2016, 2023, fires_per_year=200, scale=Scale(granule_m=14_400, fires_a_region=7), shared_scenes=True)
QUICK = Size(2019, 2020, fires_per_year=7, scale=Scale(granule_m=5400, fires_a_region=2.5))

REFRESH = ("-m", "burnscar_assets", "refresh", "--no-gpu", "--in-process")
PLAIN = (str(Path(__file__).parent / "kit" / "plain_stages.py"),)
LOAD = (
    "-c",
    "from burnscar_assets import definitions as d; from burnscar_assets.environment import data_root, settings_path; "
    "d.build_definitions(d.load_settings(settings_path(data_root())), d.DataRoot(data_root())).get_repository_def()",
)
LOAD_PEER = ("-c", "import dagster")

WORLDS = ("warm-up", "full", "plain", "interrupted")
REPEATS = 3
A_LONG_STAGE_S = 60.0
SEED = 0


@dataclass(frozen=True)
class Place:
    """The folder that a benchmark works in, and the size of its worlds."""

    folder: Path
    size: Size

    @property
    def archive(self) -> DataRoot:
        """The data root whose archive all worlds share."""
        return DataRoot(self.folder / "archive")

    def world(self, name: str) -> DataRoot:
        """A data root where nothing is made yet."""
        return new_world(DataRoot(self.folder / name), self.archive, self.size)

    def variables(self, root: DataRoot) -> dict[str, str]:
        """The environment of a command on a data root."""
        return environment(self.folder / "bytecode", BURNSCAR_DATA=str(root.path))

    def run(self, command: Sequence[str], root: DataRoot) -> Cost:
        """Measure a command on a data root."""
        return run(command, self.variables(root), self.folder / "output.txt")


def measure(place: Place, kills: int, report: Report) -> None:
    """Measure everything, adding figures to the report as they are known."""
    _warm_up(place)
    full = place.world("full")
    rebuild = place.run(REFRESH, full)
    hashes = content_hashes(full, place.size.fire_years)
    report.add(*_nothing_changed(place, full), *_code_location(place, full), *_orchestration(place, rebuild, hashes))
    report.add(*_interrupted(place, kills, rebuild.wall_s, hashes))
    report.add(*_one_fire_edited(place, full, rebuild))


def _warm_up(place: Place) -> None:
    """Run a world's first year, so that modules are compiled and the archive's files are in the page cache."""
    root = place.world("warm-up")
    place.run([*REFRESH, "--years", str(place.size.first)], root)
    shutil.rmtree(root.path)


def _nothing_changed(place: Place, root: DataRoot) -> list[Figure]:
    before = _runs(root)
    costs = [place.run(REFRESH, root) for _ in range(REPEATS)]
    wall_s = statistics.median(cost.wall_s for cost in costs)
    return [
        Figure("nothing changed, wall seconds", wall_s, f"s, median of {REPEATS}", bar=Bar("<=", 5)),
        Figure("nothing changed, runs", _runs(root) - before, "runs in Dagster's instance", bar=Bar("<=", 0)),
    ]


def _code_location(place: Place, root: DataRoot) -> list[Figure]:
    ours, peer = (
        statistics.median(place.run(command, root).wall_s for _ in range(REPEATS)) for command in (LOAD, LOAD_PEER)
    )
    unit = f"s wall, process start to repository, median of {REPEATS}; peer: import dagster"
    return [Figure("code location load seconds", ours, unit, peer, bar=Bar("<=", 3))]


def _orchestration(place: Place, rebuild: Cost, hashes: dict[str, str]) -> list[Figure]:
    """The rebuild against its stages as plain functions, which must make the same content."""
    root = place.world("plain")
    plain = place.run([*PLAIN, str(root.path)], root)
    steps = _made(rebuild)[1]
    step_s = (rebuild.cpu_s - plain.cpu_s) / steps
    years = len(place.size.fire_years)
    other = differing(hashes, content_hashes(root, place.size.fire_years))
    return [
        Figure(
            "orchestration overhead",
            100 * step_s / A_LONG_STAGE_S,
            f"% of a stage of {A_LONG_STAGE_S:.0f} s: CPU seconds a step beyond its plain function "
            "(process start, planning, events, checks, pictures)",
            bar=Bar("<=", 10),
        ),
        Figure("orchestration overhead, seconds per step", step_s, f"CPU s, mean of {steps} steps"),
        Figure(
            f"{years}-year backfill",
            rebuild.cpu_s,
            "CPU s on this small world; peer: the same stages as plain functions",
            plain.cpu_s,
        ),
        Figure("content hashes that differ from plain functions", len(other), f"of {len(hashes)}", bar=Bar("<=", 0)),
    ]


def _interrupted(place: Place, kills: int, rebuild_s: float, hashes: dict[str, str]) -> list[Figure]:
    root, log = place.world("interrupted"), place.folder / "output.txt"
    moments_s = np.random.default_rng(SEED).uniform(0.5, 1.5, kills) * rebuild_s / (kills + 1)
    hits = sum(run_and_kill(REFRESH, place.variables(root), log, moment_s) for moment_s in moments_s)
    place.run(REFRESH, root)
    other = differing(hashes, content_hashes(root, place.size.fire_years))
    unit = f"of {len(hashes)} tables and files, after SIGKILL at {hits} random moments of a rebuild"
    return [Figure("content hashes that differ after interrupted rebuild", len(other), unit, bar=Bar("<=", 0))]


def _one_fire_edited(place: Place, root: DataRoot, rebuild: Cost) -> list[Figure]:
    before = content_hashes(root, place.size.fire_years)
    fire = edit_one_fire(root, place.size.middle)
    edited = place.run(REFRESH, root)
    other = differing(before, content_hashes(root, place.size.fire_years))
    idle = place.run(REFRESH, root)
    fires, years = place.size.fires_per_year * len(place.size.fire_years), len(place.size.fire_years)
    share = 100 * edited.cpu_s / rebuild.cpu_s
    beyond = 100 * (edited.cpu_s - idle.cpu_s) / (rebuild.cpu_s - idle.cpu_s)
    runs, made = _made(edited)
    unit = f"% of CPU s, one of {place.size.fires_per_year} fires in one of {years} years, {fires} fires in all"
    return [
        Figure("one fire edited, share of a full rebuild", share, unit, bar=Bar("<=", 10)),
        Figure("one fire edited, share without start and plan", beyond, f"{unit}, less those of a refresh of nothing"),
        Figure("one fire edited", edited.cpu_s, f"CPU s ({fire}, {runs} runs); peer: full rebuild", rebuild.cpu_s),
        Figure("one fire edited, partitions", made, "made again; peer: full rebuild", _made(rebuild)[1]),
        Figure("one fire edited, contents that differ", len(other), f"of {len(before)} tables and files"),
        Figure("nothing changed, CPU seconds", idle.cpu_s, "CPU s: process start, imports and plan"),
    ]


def _runs(root: DataRoot) -> int:
    with open_runner(World(load_settings(root.world_file), root), root.world_file) as runner:
        return runner.planner.instance.get_runs_count()


def _made(cost: Cost) -> tuple[int, int]:
    """Runs, and partitions made, as the command said."""
    found = re.search(r"(\d+) runs, (\d+) partitions made", cost.output)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def main() -> int:
    """Measure and print; 1 if a bar was missed, which says nothing of the small world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder to work in (default: a temporary one); its archive is reused")
    parser.add_argument("--keep", action="store_true", help="leave the worlds there")
    parser.add_argument("--quick", action="store_true", help="a small world, to see that it works")
    parser.add_argument("--kills", type=int, default=5, help="how often the rebuild is interrupted (default 5)")
    options = parser.parse_args()
    folder = (options.root or Path(tempfile.mkdtemp(prefix="burnscar-bench-"))).resolve()
    place, report = Place(folder, QUICK if options.quick else FULL), Report()
    try:
        with live_progress() as progress:
            build_archive(place.archive, place.size, progress)
        measure(place, options.kills, report)
    finally:
        if not options.keep:
            _clear(folder, keep_archive=options.root is not None)
    report.show(f"{folder.name}: {len(place.size.fire_years)} fire years of {place.size.fires_per_year} fires")
    return int(bool(report.missed()) and not options.quick)


def _clear(folder: Path, *, keep_archive: bool) -> None:
    if not keep_archive:
        shutil.rmtree(folder, ignore_errors=True)
    for name in WORLDS:
        shutil.rmtree(folder / name, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
