"""Where imagery is measured: a folder with the archive and tables of windows, a slow server, and the commands."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import geopandas as gpd
import requests

from kit.datasets import write_config
from kit.measure import Cost, environment, run
from kit.scenes import build_archive, scenes, spread_scenes
from kit.windows import define

BENCHMARKS = Path(__file__).resolve().parents[1]
DELAY_MS = 30


class NotAllMadeError(Exception):
    """A stage left windows out, so that its cost can't be compared."""


@dataclass(frozen=True)
class Measures:
    """The archive: side of its scenes in pixels of 10 m, granules, and days of each granule."""

    side_px: int
    granules: int
    days: int


@dataclass(frozen=True)
class Table:
    """A table of windows, in its file."""

    path: Path
    count: int

    @property
    def name(self) -> str:
        """What datasets of these windows are called after."""
        return self.path.stem


@dataclass(frozen=True)
class Stages:
    """A dataset that was made, and what it took to match its windows and to make their tiles."""

    dataset: Path
    matches: Cost
    tiles: Cost


@dataclass(frozen=True)
class Place:
    """The folder that a benchmark works in, the measures of its archive, and the address of its slow server."""

    folder: Path
    archive: Measures
    server: str

    def table(self, name: str, fires: int, count: int, size_px: int = 32) -> Table:
        """A table of so many windows, on the archive's scenes."""
        return self.write_table(name, define(scenes(**asdict(self.archive)), min(fires, count), count, size_px))

    def spread_table(self, name: str, fires: int, count: int) -> Table:
        """A table of so many windows of 32 px, of fires all over California and its fire season."""
        return self.write_table(name, define(spread_scenes(fires), fires, count, 32))

    def write_table(self, name: str, rows: gpd.GeoDataFrame) -> Table:
        """A table of windows, in a file of its own."""
        path = self.folder / "tables" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        rows.to_parquet(path)
        return Table(path, len(rows))

    def dataset(self, name: str, *, packed: bool, place: str = "local") -> Path:
        """An empty dataset whose source is the catalogue at `local` or `remote`; what was there before goes."""
        path = self.folder / "datasets" / name
        shutil.rmtree(path, ignore_errors=True)
        return write_config(path, f"{self.server}/{place}", packed=packed)

    def counts(self) -> dict[str, int]:
        """What the server was asked for since this was last called."""
        content: dict[str, int] = requests.get(f"{self.server}/counts", timeout=60).json()
        return content

    def python(self, *command: object, memory: bool = False) -> Cost:
        """Measure a Python command line."""
        variables = environment(self.folder / "bytecode", PYTHONPATH=str(BENCHMARKS))
        return run([str(part) for part in command], variables, self.folder / "output.txt", memory=memory)

    def script(self, name: str, *arguments: object, memory: bool = False) -> Cost:
        """Measure a script of the kit."""
        return self.python("-m", f"kit.{name}", *arguments, memory=memory)

    def our_windows(
        self, table: Table, *, place: str = "local", name: str = "ours", packed: bool = True
    ) -> tuple[Path, Cost]:
        """A dataset with a table's windows, packed or in rslearn's default layout, and what making them took."""
        dataset = self.dataset(f"{name}-{table.name}-{place}", packed=packed, place=place)
        return dataset, self._stage("windows", dataset, table, 0)

    def our_matches(self, table: Table, *, place: str) -> Cost:
        """What it took to match a table's windows with scenes."""
        dataset, _ = self.our_windows(table, place=place)
        return self._stage("matches", dataset, table, 0)

    def our_tiles(
        self,
        table: Table,
        *,
        place: str = "local",
        workers: int = 0,
        memory: bool = False,
        name: str = "ours",
        packed: bool = True,
    ) -> Stages:
        """A dataset with a table's windows and their tiles, packed or in rslearn's default layout."""
        dataset, _ = self.our_windows(table, place=place, name=name, packed=packed)
        self.counts()
        matches = self._stage("matches", dataset, table, workers, memory=memory)
        return Stages(dataset, matches, self._stage("tiles", dataset, table, workers, memory=memory))

    def our_tiles_again(self, stages: Stages, table: Table) -> Cost:
        """What the stage takes when all tiles are there."""
        return self._stage("tiles", stages.dataset, table, 0)

    def peer_windows(self, table: Table, *, place: str = "local", workers: int = 0) -> tuple[Path, Cost]:
        """A dataset of rslearn's default layout with a table's windows, and what making them took."""
        dataset = self.dataset(f"peer-{table.name}-{place}", packed=False, place=place)
        cost = self.script("peer_windows", dataset, table.path, workers)
        return dataset, _whole(cost, "peer's windows", told(cost)["done"], table)

    def peer_tiles(self, table: Table, *, place: str = "local", workers: int = 0) -> Stages:
        """A dataset of rslearn's default layout with a table's windows and their tiles."""
        dataset, _ = self.peer_windows(table, place=place)
        matches = self.peer_command("prepare", dataset)
        tiles = self.peer_command("materialize", dataset, workers)
        made = sum(1 for _ in dataset.glob("windows/*/*/layers/sentinel2_l2a/completed"))
        return Stages(dataset, matches, _whole(tiles, "peer's tiles", made, table))

    def peer_command(self, command: str, dataset: Path, workers: int = 0) -> Cost:
        """Measure `rslearn dataset prepare` or `materialize`."""
        return self.python("-m", "rslearn.main", "dataset", command, "--root", dataset, "--workers", workers)

    def floor(self, what: str, table: Table) -> dict[str, float]:
        """What decoding or fetching the blocks that a table's windows need takes alone: `kit/blocks.py`."""
        measures = json.dumps(asdict(self.archive))
        address, archive = f"{self.server}/files", self.folder / "archive"
        return told(self.script("blocks", what, address, archive, measures, table.path))

    def samples(self, how: str, dataset: Path, table: Table, workers: int = 0) -> float:
        """Samples read per second of wall time: `kit/samples.py`."""
        cost = self.script("samples", how, dataset, table.path, workers)
        said = told(_whole(cost, f"samples ({how})", told(cost)["done"], table))
        return said["timed"] / said["wall_s"]

    def _stage(self, stage: str, dataset: Path, table: Table, workers: int, *, memory: bool = False) -> Cost:
        cost = self.script("our_stages", stage, dataset, table.path, workers, memory=memory)
        return _whole(cost, f"our {stage}", told(cost)["done"], table)


def told(cost: Cost) -> dict[str, float]:
    """What a script of the kit said in its last line."""
    content: dict[str, float] = json.loads(cost.output.splitlines()[-1])
    return content


def _whole(cost: Cost, what: str, done: float, table: Table) -> Cost:
    if done != table.count:
        raise NotAllMadeError(f"{what}: {done:.0f} of {table.count}\n{cost.output[-2000:]}")
    return cost


@contextmanager
def open_place(folder: Path, archive: Measures) -> Iterator[Place]:
    """Make the archive in a folder, unless it is there, and serve it meanwhile."""
    build_archive(folder / "archive", scenes(**asdict(archive)))
    command = [sys.executable, "-m", "kit.server", str(folder / "archive"), str(DELAY_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=BENCHMARKS) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - a pipe was asked for
            yield Place(folder, archive, f"http://127.0.0.1:{int(server.stdout.readline())}")
        finally:
            server.kill()  # a parent may have SIGTERM ignored
