"""Running what is stale, one run per fire year, on a persistent Dagster instance in this process."""

import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.errors import BurnscarError, SettingsError
from burnscar_assets.orchestration.assets.common import GPU_POOL
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.staleness import StalePair, stale_pairs
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.atomic import atomic_file, storage_errors

REPOSITORY = Path(__file__).resolve().parents[2]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Refreshed:
    """What a refresh ran."""

    runs: int
    pairs: tuple[tuple[str, int | None], ...]


def prepare_environment(world: World, settings_file: Path) -> None:
    """Set what Dagster's processes read from the environment, and put `dagster.yaml` in its home."""
    home = world.root.dagster_home
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    target, source = home / "dagster.yaml", REPOSITORY / "dagster.yaml"
    if not target.exists() or target.read_bytes() != source.read_bytes():
        with atomic_file(target) as temporary:
            shutil.copyfile(source, temporary)
    os.environ.update(
        {
            "DAGSTER_HOME": str(home),
            DATA_VARIABLE: str(world.root.path),
            CONFIG_VARIABLE: str(settings_file.resolve()),
            "WANDB_MODE": "disabled",
        }
    )


class Runner:
    """Plans and runs the assets of one world."""

    def __init__(self, world: World, instance: dg.DagsterInstance) -> None:
        self._world = world
        self._instance = instance
        definitions = build_definitions(world.settings, world.root)
        self._graph = definitions.resolve_asset_graph()
        self._job = definitions.resolve_implicit_global_asset_job_def()

    def fire_years(self) -> list[int]:
        """All fire years of the world."""
        return [int(key) for key in self._world.fire_years.get_partition_keys()]

    def choose_years(self, asked: Collection[int] | None) -> list[int]:
        """The years asked for, or all.

        Raises:
            SettingsError: a year that this world doesn't have.
        """
        known = self.fire_years()
        unknown = sorted(set(asked or ()) - set(known))
        if unknown:
            raise SettingsError(f"no fire year {', '.join(map(str, unknown))} in this world: it has {known}")
        return sorted(set(asked)) if asked else known

    def select(self, asked: Collection[str] | None, *, gpu: bool) -> set[str]:
        """The assets asked for, or all; without `gpu`, none of the pool of that name.

        Raises:
            SettingsError: an asset that doesn't exist.
        """
        nodes = {key.to_user_string(): self._graph.get(key) for key in self._graph.toposorted_asset_keys}
        unknown = sorted(set(asked or ()) - set(nodes))
        if unknown:
            raise SettingsError(f"no asset {', '.join(unknown)}: there are {', '.join(nodes)}")
        return {n for n in asked or nodes if gpu or GPU_POOL not in (nodes[n].pools or ())}

    def plan(self, fire_years: Collection[int]) -> list[StalePair]:
        """Stale and missing pairs of the years, in the order in which they run."""
        return stale_pairs(self._world, self._graph, self._instance, fire_years)

    def refresh(
        self,
        fire_years: Collection[int],
        *,
        assets: Collection[str] | None = None,
        anyway: Collection[str] = (),
        progress: Progress = silent,
    ) -> Refreshed:
        """Run stale pairs, oldest year first, and plan again after each run: a wave stops where nothing changed.

        Args:
            fire_years: years to bring up to date; the release comes first.
            assets: no others are run.
            anyway: these are run even if Dagster takes them for fresh, since a source that it can't see changed.
            progress: told of each run.

        Raises:
            BurnscarError: from the stage that failed; what was made before it stays.
        """
        ran: list[tuple[str, int | None]] = []
        runs = 0
        for year in (None, *sorted(fire_years)):
            for number, _ in enumerate(self._graph.toposorted_asset_keys):
                wave = self._wave(year, anyway if number == 0 else ())
                wave = [name for name in wave if assets is None or name in assets]
                if not wave:
                    break
                progress(f"fire year {year}" if year else "release", 0, 0)
                self.run(wave, year)
                runs += 1
                ran += [(name, year) for name in wave]
        return Refreshed(runs, tuple(ran))

    def _wave(self, year: int | None, anyway: Collection[str]) -> list[str]:
        stale = {pair.asset for pair in self.plan([] if year is None else [year]) if pair.fire_year == year}
        nodes = [self._graph.get(key) for key in self._graph.toposorted_asset_keys]
        forced = {n.key.to_user_string() for n in nodes if n.is_partitioned == (year is not None)} & set(anyway)
        return [name for n in nodes if (name := n.key.to_user_string()) in stale | forced]

    def run(self, assets: Collection[str], fire_year: int | None) -> None:
        """One run of the given assets for one fire year.

        Raises:
            BurnscarError: what the failing stage said.
        """
        try:
            self._job.execute_in_process(
                asset_selection=[dg.AssetKey(name) for name in assets],
                partition_key=None if fire_year is None else str(fire_year),
                instance=self._instance,
                run_config=QUIET,
            )
        except DagsterAssetCheckFailedError as error:
            raise BurnscarError(
                f"a blocking check failed for {fire_year or 'the release'}, what comes after it was not run: {error}; "
                "look at the asset's Checks in the web UI (burnscar ui)"
            ) from error


@contextmanager
def open_runner(world: World, settings_file: Path) -> Iterator[Runner]:
    """A runner on the world's persistent instance."""
    prepare_environment(world, settings_file)
    with dg.DagsterInstance.get() as instance:
        yield Runner(world, instance)


def web_ui_command(host: str, port: int) -> list[str]:
    """Command line of the web server and daemon, to be run with the prepared environment."""
    workspace = str(REPOSITORY / "workspace.yaml")
    return [sys.executable, "-m", "dagster", "dev", "--host", host, "--port", str(port), "-w", workspace]
