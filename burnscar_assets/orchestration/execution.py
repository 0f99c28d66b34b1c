"""Running what is stale in this process, one run per fire year, on the world's persistent instance."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError, DagsterExecutionInterruptedError
from filelock import FileLock, Timeout

from burnscar_assets.definitions import build_definitions
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.assets.labels import ACCEPT
from burnscar_assets.orchestration.confirming import can_be_confirmed
from burnscar_assets.orchestration.database_errors import database_errors
from burnscar_assets.orchestration.in_process import InProcess
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets.orchestration.interrupted import PROCESS_TAG, this_process
from burnscar_assets.orchestration.pairs import RELEASE, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.planning import Planner
from burnscar_assets.orchestration.stage import only_if
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.full_disk import full_disk_errors

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CAN_LOOK_WRONG = ("calfire_release", "in_season_records")
"""Assets that are fetched, and refused if what came looks wrong."""


@dataclass
class Refreshed:
    """What a refresh came to.

    Attributes:
        runs: how many.
        pairs: what they made.
        confirmed: pairs that were stale, and needed no run.
        failures: what failed, in words.
    """

    runs: int = 0
    pairs: list[Pair] = field(default_factory=list)
    confirmed: list[Pair] = field(default_factory=list)
    failures: list[BurnscarError] = field(default_factory=list)

    def must_not_repeat(self, pairs: Collection[Pair]) -> None:
        """Refuse to make again what this refresh made: it would never end.

        Raises:
            BurnscarError: a pair is stale right after it was made.
        """
        again = [str(pair) for pair in pairs if pair in self.pairs]
        if again:
            raise BurnscarError(
                f"{', '.join(again)} became stale again right after being made: a source changed meanwhile, or the web "
                "UI's processes have other settings or code than this command (restart burnscar ui); then run it again"
            )


class Runner:
    """Plans and runs the assets of one world in this process."""

    def __init__(self, world: World, instance: dg.DagsterInstance) -> None:
        definitions = build_definitions(world.settings, world.root)
        self._lock = FileLock(world.root.dagster_home / "refresh.lock")
        self._here = InProcess(definitions.resolve_implicit_global_asset_job_def(), instance)
        self.planner = Planner(world, definitions.resolve_asset_graph(), instance)

    def refresh(
        self,
        fire_years: Collection[int],
        *,
        assets: Collection[str] | None = None,
        accept_release: bool = False,
        progress: Progress = silent,
    ) -> Refreshed:
        """Run stale pairs wave by wave, oldest year first, and plan again after each: it stops where nothing changed.

        A failure leaves what was made before it; what doesn't come after it goes on: other years and other set-ups.

        Args:
            fire_years: years to bring up to date; the release comes first.
            assets: no others are run.
            accept_release: take a release that looks wrong.
            progress: told of each run.

        Raises:
            BurnscarError: another refresh is running on this data root.
        """
        refreshed, failed = Refreshed(), set[Pair]()
        with self._alone():
            while wave := self._next(fire_years, assets, failed, refreshed.confirmed):
                for stale, along in wave.values():
                    pairs = stale + along
                    progress(_what_of(pairs), 0, 0)
                    try:
                        refreshed.must_not_repeat(stale)
                        refreshed.runs += 1
                        with only_if(partial(self._is_wanted, along, refreshed.confirmed)):
                            refreshed.pairs += self.run(pairs, acceptance(pairs) if accept_release else {})
                    except BurnscarError as error:
                        refreshed.failures.append(error)
                        failed |= {pair for pair in pairs if error.asset in (None, pair.asset)}
        return refreshed

    def run(self, pairs: Collection[Pair], run_config: Mapping[str, Any] | None = None) -> list[Pair]:
        """One run of pairs of the same fire year; returns those that were made.

        Raises:
            BurnscarError: what the failing stage said.
            KeyboardInterrupt: a person interrupted it; Dagster knows the run as failed.
        """
        root = self.planner.world.root
        try:
            with full_disk_errors(root.path), database_errors(root.dagster_home):
                return self._here.run(pairs, {**QUIET, **(run_config or {})}, {PROCESS_TAG: this_process()})
        except DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        except DagsterAssetCheckFailedError as error:
            raise BurnscarError(
                f"a blocking check failed for {_what_of(pairs)}, what comes after it was not run: {error}; "
                "look at the asset's Checks in the web UI (burnscar ui)"
            ) from error
        except BurnscarError:
            raise
        except Exception as error:
            what = f"{', '.join(pair.asset for pair in pairs)} for {_what_of(pairs)}"
            unexpected = BurnscarError(
                f"a run of {what} failed unexpectedly ({type(error).__name__}: {error}); "
                "its page in the web UI (burnscar ui) has the trace"
            )
            unexpected.asset = getattr(error, "asset", None)
            raise unexpected from error

    def _is_wanted(self, along: Collection[Pair], confirmed: list[Pair], pair: Pair) -> bool:
        judged = pair in along or can_be_confirmed(pair)
        return not judged or self.planner.needs_run(pair, confirmed)

    def _next(
        self, fire_years: Collection[int], assets: Collection[str] | None, failed: set[Pair], confirmed: list[Pair]
    ) -> dict[int | None, tuple[list[Pair], list[Pair]]]:
        """By fire year, the stale pairs that a run can make now, and those that it takes along; adds to confirmed."""
        plan, without_run = self.planner.confirm(self.planner.plan(fire_years, assets, explain=False))
        confirmed += without_run
        stale = {found.pair for found in plan.stale}
        return {
            year: ([pair for pair in pairs if pair in stale], [pair for pair in pairs if pair not in stale])
            for year, pairs in self.planner.runs(plan, failed, take_along=True).items()
        }

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with self._lock.acquire(blocking=False):
                yield
        except Timeout as error:
            raise BurnscarError(
                f"another burnscar refresh works on this data root ({self._lock.lock_file}): wait until it is done"
            ) from error


def acceptance(pairs: Collection[Pair]) -> dict[str, Any]:
    """Configuration of a run of pairs in which a person's word is given for what looks wrong."""
    asked = [pair.asset for pair in pairs if pair.asset in CAN_LOOK_WRONG]
    return {"ops": {name: {"config": {ACCEPT: True}} for name in asked}} if asked else {}


def _what_of(pairs: Collection[Pair]) -> str:
    """What the pairs of a run are of, for people."""
    first = next(iter(pairs))
    if first.fire_year is not None:
        return f"fire year {first.fire_year}"
    return "the release" if first.asset == RELEASE else "all fire years"


@contextmanager
def open_runner(world: World, settings_file: Path, *, only_look: bool = False) -> Iterator[Runner]:
    """A runner on the world's persistent instance; see `open_instance`."""
    with open_instance(world, settings_file, only_look=only_look) as instance:
        yield Runner(world, instance)
