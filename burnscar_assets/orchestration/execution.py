"""Running what is stale in this process, side by side as far as it goes, on the world's persistent instance."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock, Timeout

from burnscar_assets.definitions import build_definitions
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.capacity import Share, needed, whole
from burnscar_assets.orchestration.confirming import can_be_confirmed
from burnscar_assets.orchestration.dagster_private import DagsterAssetCheckFailedError, run_in_threads
from burnscar_assets.orchestration.instance import database_errors, open_instance
from burnscar_assets.orchestration.pairs import RELEASE, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.planning import Planner, SmallRun
from burnscar_assets.orchestration.reporting import listener
from burnscar_assets.orchestration.side_by_side import SideBySide, terminated_as_interrupted
from burnscar_assets.orchestration.stage import ACCEPT, only_if
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.orchestration.unfinished import PROCESS_TAG, fail_runs_of_this_process, this_process
from burnscar_assets.storage.atomic import full_disk_errors

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


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
        self._job = definitions.resolve_implicit_global_asset_job_def()
        run_in_threads(instance)
        self.planner = Planner(world, definitions.resolve_asset_graph(), instance)

    def refresh(
        self,
        fire_years: Collection[int],
        *,
        assets: Collection[str] | None = None,
        accept_release: bool = False,
    ) -> Refreshed:
        """Run stale pairs, as many side by side as the machine holds, and plan again as each run ends.

        It stops where nothing changes any more. A failure leaves what was made before it; what doesn't come after it
        goes on: other years and other set-ups.

        Args:
            fire_years: years to bring up to date; the release comes first.
            assets: no others are run.
            accept_release: take a release that looks wrong.

        Raises:
            BurnscarError: another refresh is running on this data root.
            KeyboardInterrupt: a person interrupted it; Dagster knows the runs as failed.
        """
        refreshed, failed, order = Refreshed(), set[Pair](), dict[Pair, int]()
        with self._alone(), self._reported(), SideBySide(whole(self.planner.world)) as runs:
            while (can_start := self._next(fire_years, assets, failed, refreshed, runs.at_work)) or runs.at_work:
                for run, share in can_start:
                    if runs.has_room(share):
                        order |= {pair: len(order) + place for place, pair in enumerate(run.pairs)}
                        refreshed.runs += 1
                        runs.start(run, share, partial(self._make, run, refreshed.confirmed, accept_release))
                if runs.at_work:
                    ended = runs.wait()
                    refreshed.pairs += ended.made
                    if isinstance(ended.error, BurnscarError):
                        refreshed.failures.append(ended.error)
                        failed |= {pair for pair in ended.run.pairs if ended.error.asset in (None, pair.asset)}
        refreshed.pairs.sort(key=order.__getitem__)
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
                done = self._job.execute_in_process(
                    run_config={**QUIET, **(run_config or {})},
                    instance=self.planner.instance,
                    partition_key=next(iter(pairs)).partition_key,
                    asset_selection=[pair.key for pair in pairs],
                    tags={PROCESS_TAG: this_process()},
                )
                made = {event.asset_key for event in done.get_asset_materialization_events()}
                return [pair for pair in pairs if pair.key in made]
        except dg.DagsterExecutionInterruptedError as error:
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

    def _make(self, run: SmallRun, confirmed: list[Pair], accept_release: bool) -> list[Pair]:
        """Make what is stale of a run, in the thread that calls; returns what was made, and adds to confirmed."""

        def is_wanted(pair: Pair) -> bool:
            judged = pair in run.along or can_be_confirmed(pair)
            return not judged or self.planner.needs_run(pair, confirmed)

        with only_if(is_wanted):
            return self.run(run.pairs, acceptance(run.pairs) if accept_release else {})

    def _next(
        self,
        fire_years: Collection[int],
        assets: Collection[str] | None,
        failed: set[Pair],
        refreshed: Refreshed,
        at_work: Collection[Pair],
    ) -> list[tuple[SmallRun, Share]]:
        """The runs that can start now, with what each takes; adds to what was confirmed, and to what failed."""
        plan = self.planner.plan(fire_years, assets, explain=False, at_work=at_work)
        plan, without_run = self.planner.confirm(plan)
        refreshed.confirmed += without_run
        stages = listener()
        if stages is not None:
            stages.planned([str(pair) for pair in (*at_work, *(s.pair for s in plan.stale), *plan.may_follow)])
        found = []
        for run in self.planner.small_runs(plan, failed):
            try:
                refreshed.must_not_repeat(run.stale)
                found.append((run, needed(self.planner.world, run.pairs)))
            except BurnscarError as error:
                refreshed.failures.append(error)
                failed |= {*run.pairs}
        return found

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Have Dagster know runs of this process that were interrupted as failed."""
        with terminated_as_interrupted():
            try:
                yield
            except BaseException:
                fail_runs_of_this_process(self.planner.instance)
                raise

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
    asked = [pair.asset for pair in pairs if STAGES[pair.stage].can_look_wrong]
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
