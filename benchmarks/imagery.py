"""What imagery costs: windows, matching, tiles and samples of rslearn 0.1.19 and of ours, on the same windows.

`python benchmarks/imagery.py` makes six simulated scenes of 3,000 px with 12 bands as COGs, and windows of 40 fires.
The peer is rslearn's command line on its default layout of files, with its own source of Sentinel-2; ours are the
stages as functions, on the packed storage, with the same source. Every measured thing is a process of its own, with
start and imports, modules compiled before; work is CPU seconds of the whole process tree. Local files come from the
page cache; over HTTP a server answers each request 30 ms late. Each has its floor beside it: what the bytes cost.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.bench_place import Measures, Place, Stages, Table, open_place, told
from kit.datasets import count_files
from kit.figures import Bar, Figure, Report
from kit.measure import Cost, adopt_orphans

PEER_LOCAL_WORKERS = 0
"""Costs the peer the least CPU: every worker process imports anew."""

STEPS = ("small", "catalogue", "large", "labelled", "remote", "memory")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        archive: measures of the scenes.
        fires: fires that the windows are dealt to.
        small: windows of 32 px.
        large: windows of 128 px.
        labelled: windows that are created with labels, and nothing else.
        many: windows of 32 px whose tiles are made in one go, to see what memory that takes.
        sampled: windows of 32 px that the peer makes over HTTP, to be scaled.
        compared: windows whose pixels are compared.
        peer_remote_workers: processes of the peer over HTTP.
        loader_workers: processes of the data module that are tried.
        window_workers: tries of creating windows, and the peer's processes in each; the disk makes them differ.
    """

    archive: Measures
    fires: int
    small: int
    large: int
    labelled: int
    many: int
    sampled: int
    compared: int
    peer_remote_workers: int
    loader_workers: tuple[int, ...]
    window_workers: tuple[int, ...]


FULL = Size(
    Measures(3000, 3, 2), fires=40, small=2000, large=300, labelled=10_000, many=20_000, sampled=400, compared=300,
    peer_remote_workers=8, loader_workers=(0, 2), window_workers=(0, 0, 2),
)  # fmt: skip
"""Over HTTP on 2 cores, 400 windows took the peer 101 s with 4 workers, 78 s with 8, 88 s with 16."""

QUICK = Size(
    Measures(1200, 1, 2), fires=4, small=72, large=4, labelled=80, many=144, sampled=4, compared=8,
    peer_remote_workers=1, loader_workers=(0,), window_workers=(0,),
)  # fmt: skip


class Imagery:
    """The benchmark's steps, each of which gives its figures."""

    def __init__(self, place: Place, size: Size) -> None:
        self.place = place
        self.size = size
        self.small = place.table("small", size.fires, size.small)

    def warm_up(self) -> None:
        """Run both sides once on a few windows, and decode all, so that modules are compiled and files cached."""
        few = self.place.table("few", 1, 2)
        self.place.peer_tiles(few)
        self.place.our_tiles(few)
        self.place.floor("decode", self.small)

    def small_windows(self) -> Iterator[Figure]:
        """Tiles of 32 px from local files, and what reading them as training does gives."""
        peer = self.place.peer_tiles(self.small, workers=PEER_LOCAL_WORKERS)
        ours = self.place.our_tiles(self.small)
        yield from self._per_cpu_second("windows per CPU second, 32 px", self.small, ours, peer, Bar(">=", 20))
        yield self._start(ours)
        yield self._same_pixels(ours, peer)
        yield self._files(ours, peer)
        yield from self._samples(ours, peer)

    def catalogue(self) -> Iterator[Figure]:
        """Searches for windows of fires all over California, and what matching them takes."""
        table = self.place.spread_table("spread", self.size.fires, self.size.small)
        dataset, _ = self.place.peer_windows(table, place="wide")
        self.place.counts()
        peer = self.place.peer_command("prepare", dataset)
        peer_searches = self.place.counts()["searches"]
        ours = self.place.our_matches(table, place="wide")
        searches = self.place.counts()["searches"]
        unit = f"requests, {table.count} windows of {self.size.fires} fires all over California, each page counted"
        yield Figure("catalogue searches", searches, unit, peer_searches, bar=Bar("<=", 2 * self.size.fires))
        mine, theirs = (table.count / cost.cpu_s for cost in (ours, peer))
        yield _faster("windows matched per CPU second", mine, theirs, "windows per CPU s, process start included")

    def large_windows(self) -> list[Figure]:
        """Tiles of 128 px from local files."""
        table = self.place.table("large", self.size.fires, self.size.large, 128)
        peer = self.place.peer_tiles(table, workers=PEER_LOCAL_WORKERS)
        ours = self.place.our_tiles(table)
        return self._per_cpu_second("windows per CPU second, 128 px", table, ours, peer, Bar(">=", 6))

    def labelled_windows(self) -> list[Figure]:
        """Creating windows with labels."""
        table = self.place.table("labelled", self.size.fires, self.size.labelled)
        ours = min((self.place.our_windows(table)[1] for _ in self.size.window_workers), key=_told_s)
        peer = min((self.place.peer_windows(table, workers=w)[1] for w in self.size.window_workers), key=_told_s)
        mine, theirs = (table.count / _told_s(cost) for cost in (ours, peer))
        whole, their_whole = (table.count / cost.wall_s for cost in (ours, peer))
        unit = f"windows per s, {table.count} windows, best of {len(self.size.window_workers)}"
        return [
            _faster("labelled windows created", mine, theirs, f"{unit}, modules imported", Bar(">=", 20)),
            _faster("labelled windows created, with process start", whole, their_whole, unit),
        ]

    def remote_windows(self) -> list[Figure]:
        """Tiles of 32 px over HTTP; the peer makes a sample."""
        sample = self.place.table("sample", self.size.fires, self.size.sampled)
        peer = self.place.peer_tiles(sample, place="remote", workers=self.size.peer_remote_workers)
        idle = self.place.peer_command("materialize", peer.dataset, self.size.peer_remote_workers).wall_s
        scale = self.small.count / sample.count
        scaled_s = idle + (peer.tiles.wall_s - idle) * scale
        ours = self.place.our_tiles(self.small, place="remote")
        fetched = self.place.counts()
        floor = self.place.floor("fetch", self.small)
        unit = (
            f"s, {self.small.count} windows of 32 px; peer: {sample.count} windows, "
            f"{self.size.peer_remote_workers} workers, its time without start and listing scaled"
        )
        count = f"{fetched['requests']} requests; peer: prepare, scaled"
        return [
            Figure("wall over HTTP at 30 ms", ours.tiles.wall_s, unit, scaled_s, bar=Bar(">=", 30)),
            Figure(
                "wall over HTTP at 30 ms, fetching alone", floor["wall_s"], "s, the blocks that are needed", scaled_s
            ),
            Figure(
                "bytes fetched over bytes needed",
                fetched["bytes"] / floor["bytes"],
                f"of {floor['bytes'] / 1e6:.0f} MB in {floor['blocks']:.0f} blocks; {fetched['requests']} requests",
                bar=Bar("<=", 1.1),
            ),
            Figure("matching over HTTP at 30 ms", ours.matches.wall_s, f"s; {count}", peer.matches.wall_s * scale),
        ]

    def memory(self) -> list[Figure]:
        """Peak memory of matching and making tiles, of few windows and of many."""
        many = self.place.table("many", self.size.fires, self.size.many)
        made = {table.name: self.place.our_tiles(table, memory=True, name="memory") for table in (self.small, many)}
        mebibytes = {
            name: [cost.peak_bytes / 2**20 for cost in (stages.matches, stages.tiles)] for name, stages in made.items()
        }
        said = "; ".join(
            f"{stage} {most:.0f} over {few:.0f}"
            for stage, most, few in zip(("matches", "tiles"), mebibytes["many"], mebibytes["small"], strict=True)
        )
        tiles = made["many"].tiles
        return [
            Figure(
                "peak memory, 20,000 over 2,000 windows",
                max(mebibytes["many"]) / max(mebibytes["small"]),
                f"MiB resident, all processes, {many.count} over {self.small.count} windows: {said}",
                bar=Bar("<=", 1.3),
            ),
            Figure(
                f"windows per CPU second, {many.count} windows of 32 px",
                many.count / tiles.cpu_s,
                "tiles stage; the same blocks for ten times the windows",
            ),
        ]

    def _per_cpu_second(self, name: str, table: Table, ours: Stages, peer: Stages, bar: Bar) -> list[Figure]:
        floor = self.place.floor("decode", table)
        mine, theirs, alone = (table.count / s for s in (ours.tiles.cpu_s, peer.tiles.cpu_s, floor["cpu_s"]))
        unit = f"windows per CPU s, {table.count} windows, 12 bands, local COGs, process start included"
        return [
            _faster(name, mine, theirs, unit, bar),
            _faster(f"{name}, decoding alone", alone, theirs, f"{floor['blocks']:.0f} blocks, each once"),
        ]

    def _start(self, ours: Stages) -> Figure:
        idle = self.place.our_tiles_again(ours, self.small)
        share = 100 * idle.cpu_s / ours.tiles.cpu_s
        unit = f"CPU s of our tiles stage when all tiles are there, {share:.0f} % of making them"
        return Figure("process start and planning", idle.cpu_s, unit)

    def _same_pixels(self, ours: Stages, peer: Stages) -> Figure:
        count = min(self.size.compared, self.small.count)
        said = told(self.place.script("compare", ours.dataset, peer.dataset, self.small.path, count))
        unit = (
            f"% of {said['pixels'] / 1e6:.2g} M pixels of {count} windows; largest difference {said['largest']:.0f} DN"
        )
        return Figure("pixels that differ from rslearn's", 100 * said["differ"] / said["pixels"], unit)

    def _files(self, ours: Stages, peer: Stages) -> Figure:
        mine, theirs = (1000 * count_files(stages.dataset) / self.small.count for stages in (ours, peer))
        return Figure("files per 1,000 windows", mine, "files, labels and tiles included", theirs, bar=Bar("<=", 50))

    def _samples(self, ours: Stages, peer: Stages) -> list[Figure]:
        rates = {
            (stages, workers): self.place.samples("module", stages.dataset, self.small, workers)
            for stages in (peer, ours)
            for workers in self.size.loader_workers
        }
        mine, theirs = (max(rates[stages, workers] for workers in self.size.loader_workers) for stages in (ours, peer))
        bulk = self.place.samples("bulk", ours.dataset, self.small)
        unit = "samples per s of wall, one epoch, after the first batch"
        best = f"{unit}, the best of {' and '.join(map(str, self.size.loader_workers))} workers each"
        return [
            _faster("samples read per second, data module", mine, theirs, best),
            _faster("samples read per second, data module, 0 workers", rates[ours, 0], rates[peer, 0], unit),
            _faster(
                "samples read per second, bulk",
                bulk,
                theirs,
                "samples per s of wall, one process; peer: data module",
            ),
        ]


def _told_s(cost: Cost) -> float:
    return told(cost)["wall_s"]


def _faster(name: str, ours: float, peer: float, unit: str, bar: Bar | None = None) -> Figure:
    """A figure of which more is better."""
    return Figure(name, ours, unit, peer, ours / peer, bar)


def main() -> int:
    """Measure and print; 1 if a bar was missed, which says nothing of the small version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder to work in (default: a temporary one); its archive is reused")
    parser.add_argument("--keep", action="store_true", help="leave datasets there")
    parser.add_argument("--quick", action="store_true", help="a few windows, to see that it works")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS, help="some of the steps")
    options = parser.parse_args()
    folder = (options.root or Path(tempfile.mkdtemp(prefix="burnscar-imagery-"))).resolve()
    size, report = QUICK if options.quick else FULL, Report()
    adopt_orphans()
    try:
        with open_place(folder, size.archive) as place:
            imagery = Imagery(place, size)
            if not options.quick:
                imagery.warm_up()
            steps: dict[str, Callable[[], Iterable[Figure]]] = {
                "small": imagery.small_windows,
                "catalogue": imagery.catalogue,
                "large": imagery.large_windows,
                "labelled": imagery.labelled_windows,
                "remote": imagery.remote_windows,
                "memory": imagery.memory,
            }
            for name in options.only:
                for figure in steps[name]():
                    report.add(figure)
    finally:
        if not options.keep:
            shutil.rmtree(folder / "datasets" if options.root else folder, ignore_errors=True)
    report.show(f"imagery: {size.small} windows of 32 px, {size.fires} fires (simulated)")
    return int(bool(report.missed()) and not options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
