"""Fire years as partitions, and the look-back of training as a partition mapping.

In a world with folds a model is trained and judged on all years at once: its stages have one partition, the last year.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

import dagster as dg

from burnscar_assets.classes import Fold
from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.stage_spec import OWN_KIND, Partitions, StageSpec, Years
from burnscar_assets.orchestration.stages import STAGES, spec_of
from burnscar_assets.regions.load import working_region
from burnscar_assets.regions.region import Region
from burnscar_assets.settings import Settings, YearSettings
from burnscar_assets.setups import Setup, load_setup, load_setups
from burnscar_assets.storage.paths import OWN, DataRoot

SEASON_LOOK_BACK_YEARS = 3
"""Fire years before a season whose newest checkpoint maps it; an older one is no judge of it."""


@dataclass(frozen=True)
class World:
    """What every asset is built from: the settings, and where the data lies.

    Attributes:
        settings: of the world; for a set-up, with what it replaces.
        root: data root; for a set-up, with its part.
        setup: the set-up whose assets are meant, if it isn't the world's own.
        fold: the fold that one checkpoint of a world with folds is judged on.
    """

    settings: Settings
    root: DataRoot
    setup: Setup | None = None
    fold: Fold | None = None

    @cached_property
    def setups(self) -> dict[str, Setup]:
        """The set-ups beside the world's own, by name."""
        return load_setups(self.settings)

    def of(self, setup: str | None) -> "World":
        """The world as the set-up of this name sees it; without a name, or by that of its own, as this one does."""
        if setup in (None, OWN) or self.setup is not None:
            return self
        return self._of(self.setups[setup] if setup in self.setups else load_setup(setup))

    @property
    def mapped(self) -> "World":
        """The world as the set-up sees it that maps."""
        return self.of(self.settings.mapping.setup)

    def by_seed(self) -> "list[World]":
        """This world, then its set-up trained with further seeds."""
        setup = self.setup
        if setup is not None:
            return [self, *(self._of(setup, seed) for seed in setup.further_seeds())]
        return [self, *(self._own(seed) for seed in self.settings.training.further_seeds)]

    def by_fold(self) -> "list[World]":
        """This world once for each fold, or as it is in a world of blocks: each has a checkpoint of its own."""
        members = self.settings.sampling.splits.members
        return [replace(self, root=self.root.fold(fold.number), fold=fold) for fold in members] or [self]

    def trained(self) -> "list[World]":
        """Once for each checkpoint: of every seed, by fold."""
        return [member for seeded in self.by_seed() for member in seeded.by_fold()]

    @property
    def folds(self) -> bool:
        """Whether its fires are dealt into folds."""
        return bool(self.settings.sampling.splits.folds)

    @property
    def stages(self) -> list[StageSpec]:
        """The stages of the world's own set-up; as another sees it, those that this has of its own."""
        kind = OWN_KIND if self.setup is None else self.setup.kind
        own = [spec for spec in STAGES.values() if spec.per_setup or self.setup is None]
        return [spec for spec in own if spec.is_for(kind) and spec.where(self)]

    def asset(self, stage: str) -> str:
        """Name of the asset that a stage of this set-up makes."""
        return asset_name("" if self.setup is None else self.setup.name, stage)

    def inputs(self, asset: str) -> list[tuple[str, Years]]:
        """The assets that one is made from, sources included, and which years of each."""
        setup, spec = asset.rpartition("/")[0], spec_of(asset)
        found = []
        for one in spec.reads:
            of_each = one.asset in STAGES and STAGES[one.asset].per_setup
            setups: Iterable[str] = [setup if of_each else ""]
            if one.of == "all":
                setups = ["", *self.setups]
            elif one.of == "members":
                setups = load_setup(setup).members or ()
            elif one.of == "maps":
                setups = [self.settings.mapping.setup]
            if one.where(self):
                found += [(asset_name(name, one.asset), one.years) for name in setups]
        return found

    def needs_gpu(self, pair: Pair) -> bool:
        """Whether a network answers for a pair."""
        return STAGES[pair.stage].gpu and (pair.setup is None or self.setups[pair.setup].runs_network)

    def _of(self, setup: Setup, seed: int | None = None) -> "World":
        return World(setup.applied_to(self.settings, seed), self.root.setup(setup.name, seed), setup)

    def _own(self, seed: int) -> "World":
        """The world's own set-up trained with a further seed."""
        training = self.settings.training.model_copy(update={"seed": seed, "further_seeds": ()})
        return World(self.settings.model_copy(update={"training": training}), self.root.setup(OWN, seed))

    @cached_property
    def fire_years(self) -> dg.TimeWindowPartitionsDefinition:
        """The partitions of this world."""
        ground = self.settings.ground
        return fire_year_partitions(self.settings.years, ground.fire_year(datetime.now(UTC)), ground)

    @cached_property
    def model_years(self) -> dg.TimeWindowPartitionsDefinition:
        """The partitions of what models are and answer: all fire years, or the last one in a world with folds."""
        if not self.folds:
            return self.fire_years
        last = int(self.fire_years.get_last_partition_key() or 0)
        years = self.settings.years.model_copy(update={"first": last, "last": last})
        return fire_year_partitions(years, last, self.settings.ground)

    def partitions_of(self, asset: str) -> dg.TimeWindowPartitionsDefinition | None:
        """The partitions of a stage's asset."""
        by = STAGES[asset.rpartition("/")[2]].partitions
        return {Partitions.FIRE_YEARS: self.fire_years, Partitions.MODEL_YEARS: self.model_years}.get(by)

    def mapping(self, asset: str, years: Years) -> dg.PartitionMapping | None:
        """How the fire years of an input go with those of what is made from it; the same need no saying.

        Of all years Dagster leaves inputs out of what makes an asset stale, unless the years are named.
        """
        if years is Years.ALL:
            named = self.partitions_of(asset)
            return None if named is None else dg.SpecificPartitionsPartitionMapping(named.get_partition_keys())
        span = self._span(years)
        return None if span == (0, 0) else offset_mapping(*span)

    def years_of(self, years: Years, fire_year: int) -> list[int]:
        """The fire years of an input that a fire year of a stage is made from."""
        known = [int(key) for key in self.fire_years.get_partition_keys()]
        if years is Years.ALL:
            return known
        first, last = self._span(years)
        place = sum(year < fire_year for year in known)
        return [year for number, year in enumerate(known, -place) if first <= number <= last]

    def _span(self, years: Years) -> tuple[int, int]:
        """First and last of the partitions of an input, counted from that of the stage."""
        if years is Years.LOOK_BACK or (years is Years.JUDGED and self.folds):
            keys = [int(key) for key in self.fire_years.get_partition_keys()]
            return (keys[0] - keys[-1] if self.folds else -self.settings.training.look_back_years), 0
        return {Years.BEFORE: (-1, -1), Years.SEASON: (-SEASON_LOOK_BACK_YEARS, -1)}.get(years, (0, 0))

    def training_years(self, fire_year: int) -> list[int]:
        """The fire years that the checkpoint of `fire_year` is trained on, oldest first."""
        known = [int(key) for key in self.fire_years.get_partition_keys()]
        if self.folds:
            return known
        return [year for year in known if year <= fire_year][-(self.settings.training.look_back_years + 1) :]

    def year_before(self, fire_year: int) -> int | None:
        """The fire year before, if there is one, whose champion served the season; folds know no season."""
        if self.folds:
            return None
        return max((int(key) for key in self.fire_years.get_partition_keys() if int(key) < fire_year), default=None)


def asset_name(setup: str, stage: str) -> str:
    """Name of the asset that a stage of a set-up makes; the world's own has no name, or the own one's."""
    return stage if setup in ("", OWN) else f"{setup}/{stage}"


def fire_year_partitions(
    years: YearSettings, this_year: int, region: Region | None = None
) -> dg.TimeWindowPartitionsDefinition:
    """One partition a fire year, from its first day, up to the last of the settings or to the current one as it comes.

    Dagster counts its `end_offset` in years that aren't excluded: where the current one is, the next would come in. So
    the years end before the first excluded one that isn't over. A year after that comes in when this is asked again.

    Args:
        years: the settings.
        this_year: the current fire year.
        region: where it is; by default, where this process works.

    Raises:
        SettingsError: no year is left.
    """
    last = min(this_year, years.last or this_year)
    if not set(range(years.first, last + 1)) - set(years.exclude):
        raise SettingsError(
            f"the settings leave no fire year up to {last}: years.first is {years.first}, years.exclude is "
            f"{sorted(years.exclude)}"
        )
    ends = [year for year in years.exclude if year >= this_year] + ([years.last + 1] if years.last else [])
    begins = (region or working_region()).first_day
    return dg.TimeWindowPartitionsDefinition(
        start=begins(years.first),
        end=begins(min(ends)) if ends else None,
        end_offset=1,
        fmt="%Y",
        cron_schedule=f"0 0 {begins(years.first):%-d %-m} *",
        exclusions=[begins(year) for year in years.exclude] or None,
    )


def offset_mapping(first: int, last: int) -> dg.TimeWindowPartitionMapping:
    """A fire year depends on partitions counted from its own, as far as there are any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=True
        )
