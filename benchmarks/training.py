"""What training costs: ours on a packed dataset beside `rslearn model fit` on rslearn's own layout, same windows.

`python benchmarks/training.py` makes simulated windows of 32 px with 12 bands, packed and in folders, and trains
OlmoEarth v1.2 Nano (random weights, patch 4, batches of 32) on them with the project's configuration. The peer reads
from disk with the number of worker processes that serves it best; an epoch is training and validation. The floor is
the model's own arithmetic on data in memory. Every run is a process of its own, and threads of all of them wait alike
(`process.make_threads_doze`). No GPU is used: nothing of one is measured here.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.bench_place import told
from kit.clock import times
from kit.figures import Bar, Figure, Report
from kit.measure import Cost, environment, run
from kit.training_runs import Counts, make_dataset, make_spec, write_peer_config

from burnscar_assets.process import make_threads_doze

KIT = Path(__file__).parent / "kit"
SILENT = {"WANDB_MODE": "disabled", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Size:
    """How much is measured: windows, epochs of each run (the best counts), and the peer's workers that are tried."""

    counts: Counts
    epochs: int
    workers: tuple[int, ...]


FULL = Size(Counts(1024, 256), epochs=2, workers=(0, 2))
QUICK = Size(Counts(160, 32), epochs=1, workers=(0,))


@dataclass(frozen=True)
class Run:
    """A run of training: its best epoch and what came before its first step's end, in seconds, and its memory.

    `epoch_cpu_s` is the least CPU time of an epoch, of all its processes.
    """

    epoch_s: float
    epoch_cpu_s: float
    first_step_s: float
    peak_bytes: int


class Training:
    """The benchmark's runs, each of which is a process.

    Args:
        folder: where to work.
        size: how much.
    """

    def __init__(self, folder: Path, size: Size) -> None:
        self._folder, self._size = folder, size
        self._packed = make_dataset(folder / "packed", size.counts, packed=True)
        self._plain = make_dataset(folder / "folders", size.counts, packed=False)

    def figures(self) -> Iterator[Figure]:
        """All figures."""
        spec = make_spec(self._folder, "steps", self._packed, self._size.counts, 1)
        steps = told(self._python("-m", "kit.steps", spec.write(self._folder / "steps.json")))
        unit = f"of {steps['steps']:.0f} steps of 32 windows, every other one; GPU: not measured"
        share = steps["made_wait_s"] / steps["made_s"]
        yield Figure(
            "loader share of a step", share, f"waiting for a batch over the whole step, {unit}", bar=Bar("<=", 0.05)
        )
        ratio = steps["made_s"] / steps["kept_s"]
        yield Figure("step time over step on data in memory", ratio, f"{unit}", bar=Bar("<=", 1.1))
        ours = self._ours()
        peers = {workers: self._peer(workers) for workers in self._size.workers}
        best = min(peers, key=lambda workers: peers[workers].epoch_s)
        counts = self._size.counts
        windows = f"{counts.train} windows trained, {counts.val} validated"
        tried = ", ".join(f"{peer.epoch_s:.1f} s with {workers}" for workers, peer in peers.items())
        yield Figure(
            "epoch time against rslearn fit", ours.epoch_s, f"s, {windows}; peer's workers: {tried}",
            peers[best].epoch_s, bar=Bar(">=", 2),
        )  # fmt: skip
        thriftiest = min(peers, key=lambda workers: peers[workers].epoch_cpu_s)
        yield Figure(
            "epoch CPU seconds against rslearn fit",
            ours.epoch_cpu_s,
            f"CPU s of all processes, which other work on the machine disturbs less; peer with {thriftiest} workers",
            peers[thriftiest].epoch_cpu_s,
        )
        floor = steps["floor_train_s"] + steps["floor_val_s"]
        yield Figure("epoch time, the model's arithmetic alone", floor, f"s, {windows}", peers[best].epoch_s)
        yield Figure(
            "seconds to the first step", ours.first_step_s, "s from the start of the process to its end",
            peers[best].first_step_s,
        )  # fmt: skip
        mib = ours.peak_bytes / 2**20
        yield Figure("peak memory", mib, "MiB resident, all processes", peers[best].peak_bytes / 2**20)

    def _ours(self) -> Run:
        spec = make_spec(self._folder, "ours", self._packed, self._size.counts, self._size.epochs)
        path = spec.write(self._folder / "ours.json")
        return self._run("ours", "-m", "burnscar_assets.models.trainer", path)

    def _peer(self, workers: int) -> Run:
        name = f"peer{workers}"
        spec = make_spec(self._folder, name, self._plain, self._size.counts, self._size.epochs)
        path = write_peer_config(spec, self._folder / f"{name}.yaml", workers)
        return self._run(name, "-m", "rslearn.main", "model", "fit", "--config", path)

    def _run(self, name: str, *command: object) -> Run:
        begin = time.time()
        cost = self._python(*command, memory=True)
        clock = self._folder / f"{name}.clock"
        first_step_s = times(clock, "step_end")[0] - begin
        return Run(_shortest(clock, "at"), _shortest(clock, "cpu_s"), first_step_s, cost.peak_bytes)

    def _python(self, *command: object, memory: bool = False) -> Cost:
        variables = environment(self._folder / "bytecode", PYTHONPATH=str(KIT.parent), **SILENT)
        return run([str(part) for part in command], variables, self._folder / "output.txt", memory=memory)


def _shortest(clock: Path, value: str) -> float:
    """The least that a value grows by in an epoch."""
    spans = zip(times(clock, "epoch_start", value), times(clock, "epoch_end", value), strict=True)
    return min(end - start for start, end in spans)


def main() -> int:
    """Measure and print; 1 if a bar was missed, which says nothing of the small version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder to work in (default: a temporary one)")
    parser.add_argument("--quick", action="store_true", help="a few windows, to see that it works")
    options = parser.parse_args()
    make_threads_doze()  # in every process, which inherits it
    folder = Path(tempfile.mkdtemp(prefix="burnscar-training-", dir=options.root)).resolve()
    size, report = QUICK if options.quick else FULL, Report()
    try:
        for figure in Training(folder, size).figures():
            report.add(figure)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.show(f"training: OlmoEarth v1.2 Nano, patch 4, {size.counts.train} windows of 32 px (simulated), CPU")
    return int(bool(report.missed()) and not options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
