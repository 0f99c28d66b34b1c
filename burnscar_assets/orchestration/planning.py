"""What is stale in a world, in the order in which it can be made."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import dagster as dg

from burnscar_assets.errors import SettingsError
from burnscar_assets.models.config import needs_encoder
from burnscar_assets.orchestration.confirming import confirm, confirm_one, may_hold
from burnscar_assets.orchestration.corrections import observe_corrections
from burnscar_assets.orchestration.dagster_private import AssetGraph
from burnscar_assets.orchestration.lineage import Lineage
from burnscar_assets.orchestration.pairs import RELEASE, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import (
    NO_RECORDS,
    SOURCES,
    look_at_all,
    open_seasons,
    seasons_seen,
    years_of_release,
)
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.orchestration.staleness import EventLog, StalePair, stale_pairs

_OF_SEASON = frozenset(name for name, spec in STAGES.items() if spec.group == "in_season")
"""Assets with a source of their own, which has other fire years than the release."""


@dataclass(frozen=True)
class Plan:
    """The stale and missing pairs of some assets and years.

    Attributes:
        stale: in topological order, each with its causes.
        may_follow: fresh pairs after those, which become stale if those come out different.
        without_records: fire years that the release has no records of, so that there is nothing to make.
        at_work: pairs that runs make at this moment; they are not among the stale, what follows them may follow.
    """

    stale: tuple[StalePair, ...]
    may_follow: tuple[Pair, ...]
    without_records: tuple[int, ...]
    at_work: tuple[Pair, ...] = ()


class SmallRun(NamedTuple):
    """What one run of a refresh makes.

    Attributes:
        stale: pairs of one fire year that are stale.
        along: pairs after them, to be made if they turn out stale when their turn comes.
    """

    stale: tuple[Pair, ...]
    along: tuple[Pair, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All that it may make, stale ones first."""
        return self.stale + self.along


class Planner:
    """Plans the assets of one world."""

    def __init__(self, world: World, graph: AssetGraph, instance: dg.DagsterInstance) -> None:
        self.world = world
        self.graph = graph
        self.instance = instance
        self._log = EventLog(graph, instance)

    def fire_years(self) -> list[int]:
        """All fire years of the world."""
        return [int(key) for key in self.world.fire_years.get_partition_keys()]

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

    def choose_assets(self, asked: Collection[str] | None, *, gpu: bool) -> set[str]:
        """The assets asked for, or all that can be made.

        Args:
            asked: names of assets, or of set-ups, which stand for their assets.
            gpu: whether those of the pool of that name are chosen, and those that unite all years and come after them.

        Raises:
            SettingsError: an asset that doesn't exist, or that isn't made.
        """
        keys = [key for key in self.graph.toposorted_asset_keys if self.graph.get(key).is_materializable]
        nodes = {key.to_user_string(): self.graph.get(key) for key in keys}
        of_setups = {name: [n for n in nodes if n.startswith(f"{name}/")] for name in self.world.setups}
        unknown = sorted(set(asked or ()) - set(nodes) - set(of_setups))
        if unknown:
            raise SettingsError(f"no asset {', '.join(unknown)}: there are {', '.join([*nodes, *of_setups])}")
        chosen = {n for name in asked or nodes for n in of_setups.get(name, [name])}
        if gpu:
            return chosen
        on_gpu = {n for n in nodes if self.world.needs_gpu(Pair(n, None))}
        united = {n for n, node in nodes.items() if not node.is_partitioned}
        return {n for n in chosen - on_gpu if n not in united or not on_gpu & _names(nodes[n].parent_keys)}

    def observe(self) -> list[str]:
        """Look at the sources; returns what couldn't be looked at, in words."""
        return [
            *look_at_all(self.world, self.instance, [Pair(name, None) for name in SOURCES]),
            *observe_corrections(self.world, self.instance),
            *look_at_all(self.world, self.instance, open_seasons(self.world, self.instance)),
        ]

    def plan(
        self,
        fire_years: Collection[int],
        assets: Collection[str] | None = None,
        *,
        explain: bool = True,
        at_work: Collection[Pair] = (),
    ) -> Plan:
        """What is stale now; years that the release doesn't have are left out as soon as there is a release.

        Args:
            fire_years: years to look at.
            assets: no others are looked at.
            explain: whether causes are told, which takes longer where much is stale.
            at_work: pairs that runs make at this moment.
        """
        released = [y for y, v in years_of_release(self.world, self.instance).items() if v != NO_RECORDS]
        years = [year for year in fire_years if year in released or not released]
        seasons = seasons_seen(self.world, self.instance).keys() & set(fire_years)
        lineage = Lineage(self.graph, {*years, *seasons}, self._log.inputs)
        pairs = [p for p in lineage.pairs(assets) if p not in at_work and _is_planned(p, years, seasons)]
        stale = stale_pairs(self.world, self._log, pairs, explain=explain)
        follow = [
            p
            for p in lineage.after({*(s.pair for s in stale), *at_work})
            if (assets is None or p.asset in assets) and _is_planned(p, years, seasons)
        ]
        without_records = tuple(sorted(set(fire_years) - set(years)))
        return Plan(tuple(stale), tuple(follow), without_records, tuple(at_work))

    def runs(self, plan: Plan, failed: Collection[Pair] = ()) -> dict[int | None, list[Pair]]:
        """What a run for each fire year can make now: first what has none (the release, or what all years go into).

        Pairs that failed wait, and so does what comes after them; only a release that was there before is still good.
        """
        stale = self._wanted(plan, failed)
        years = {pair.fire_year for pair in stale if pair.fire_year is not None}
        lineage = Lineage(self.graph, years, self._log.inputs)
        by_year: dict[int | None, list[Pair]] = {}
        for pair in sorted(lineage.can_be_made(stale, failed), key=lambda pair: pair.fire_year or 0):
            by_year.setdefault(pair.fire_year, []).append(pair)
        return by_year

    def small_runs(self, plan: Plan, failed: Collection[Pair] = ()) -> list[SmallRun]:
        """What can be made now, in runs that go on side by side: of a year up to its tiles, and of each model stage.

        A run has those that may follow in it, too, but none that needs a GPU, nor one that may rather be confirmed.
        They must be run by what makes them only if they are stale when their turn comes (`stage.only_if`).

        Returns:
            The runs in topological order, then by fire year, so that what much else waits for comes first; of
            checkpoints those that take longest, so that none is left to one core in the end.
        """
        stale = self._wanted(plan, failed)
        known = {*stale, *plan.may_follow, *plan.at_work}
        lineage = Lineage(
            self.graph, {pair.fire_year for pair in known if pair.fire_year is not None}, self._log.inputs
        )
        along = set(plan.may_follow) & set(lineage.after(stale, unless=may_hold))
        along = {pair for pair in along if not self.world.needs_gpu(pair)}
        chosen = lineage.can_be_made(stale, failed, along, at_work=plan.at_work, run_of=_small_run_of)
        together: dict[tuple[int | None, str], list[Pair]] = {}
        for pair in chosen:
            together.setdefault(_small_run_of(pair), []).append(pair)
        runs = [
            SmallRun(tuple(p for p in pairs if p in stale), tuple(p for p in pairs if p not in stale))
            for pairs in together.values()
        ]
        trainings = sorted((run for run in runs if _trains(run)), key=lambda run: self._work_of_training(run.pairs[0]))
        longest_first = iter(trainings)
        return [next(longest_first) if _trains(run) else run for run in runs]

    def _work_of_training(self, pair: Pair) -> int:
        """Rank of a checkpoint by what its training takes, the longest first: encoders, networks, what has none."""
        if pair.setup is not None and not self.world.setups[pair.setup].is_neural:
            return 3
        training = self.world.of(pair.setup).settings.training
        if not needs_encoder(training):
            return 2
        return 1 if training.tuning == "frozen" else 0

    def _wanted(self, plan: Plan, failed: Collection[Pair]) -> set[Pair]:
        """Stale pairs to be made: without the release if it failed, and nothing if there was none before."""
        stale = {found.pair for found in plan.stale}
        if any(pair.asset == RELEASE for pair in failed):
            if not years_of_release(self.world, self.instance):
                return set()
            return {pair for pair in stale if pair.asset != RELEASE}
        return stale

    def confirm(self, plan: Plan) -> tuple[Plan, list[Pair]]:
        """Confirm what need not be made again though an input changed; returns the plan without it, and what it is."""
        lineage = Lineage(self.graph, (), self._log.inputs)
        unsettled = (*plan.may_follow, *plan.at_work)
        confirmed = list(confirm(self.world, self._log, lineage, plan.stale, unsettled))
        left = tuple(found for found in plan.stale if found.pair not in confirmed)
        return replace(plan, stale=left), confirmed

    def needs_run(self, pair: Pair, confirmed: list[Pair]) -> bool:
        """Whether a pair is stale or missing at this moment, when a run has come to it, and can't be confirmed.

        One that is confirmed is added to `confirmed`.
        """
        for found in stale_pairs(self.world, self._log, [pair], explain=False):
            if not confirm_one(self.world, self._log, found):
                return True
            confirmed.append(pair)
        return False


def _small_run_of(pair: Pair) -> tuple[int | None, str]:
    """Which of a refresh's runs a pair is made in: stages of a model take long, so each has a run of its own."""
    return pair.fire_year, pair.asset if STAGES[pair.stage].gpu else ""


def _trains(run: SmallRun) -> bool:
    return run.pairs[0].stage == "checkpoint"


def _names(keys: Iterable[dg.AssetKey]) -> set[str]:
    return {key.to_user_string() for key in keys}


def _is_planned(pair: Pair, released: Collection[int], seasons: Collection[int]) -> bool:
    """Whether a pair is of a year that its source has."""
    known = seasons if pair.asset in _OF_SEASON else released
    return pair.fire_year is None or pair.fire_year in known
