"""Fire years as partitions, and the look-back of training as a partition mapping.

In a world with folds a model is trained and judged on all years at once: its stages have one partition, the last year.
"""

import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

import dagster as dg

from burnscar_assets.classes import Fold
from burnscar_assets.errors import SettingsError
from burnscar_assets.regions.load import working_region
from burnscar_assets.regions.region import Region
from burnscar_assets.settings import Settings, YearSettings
from burnscar_assets.setups import Setup, load_setup, load_setups
from burnscar_assets.storage.paths import OWN, DataRoot

FOLDS_ASSET = "folds"
STAGES_OF_MODELS = ("checkpoint", "evaluation_metrics", "burned_area_maps")

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
        """The world as the set-up of this name sees it; without a name, as its own does."""
        if setup is None or self.setup is not None:
            return self
        return self._of(self.setups[setup] if setup in self.setups else load_setup(setup))

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
    def folds(self) -> list[str]:
        """The asset that says which fire is in which fold, if this world has folds."""
        return [FOLDS_ASSET] if self.settings.sampling.splits.folds else []

    def asset(self, stage: str) -> str:
        """Name of the asset that a stage of this set-up makes."""
        return stage if self.setup is None else f"{self.setup.name}/{stage}"

    def needs_gpu(self, setup: str | None) -> bool:
        """Whether a network answers for a set-up, as for the world's own."""
        return setup is None or self.setups[setup].runs_network

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

    def partitions_of(self, asset: str) -> dg.TimeWindowPartitionsDefinition:
        """The partitions of an asset that has any."""
        return self.model_years if asset.rpartition("/")[2] in STAGES_OF_MODELS else self.fire_years

    @property
    def look_back(self) -> dg.TimeWindowPartitionMapping:
        """The fire years that a checkpoint is trained on, as partitions."""
        keys = [int(key) for key in self.fire_years.get_partition_keys()]
        return look_back(keys[-1] - keys[0] if self.folds else self.settings.training.look_back_years)

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


def member_asset(name: str) -> str:
    """Name of the asset of a checkpoint that an ensemble has as a member."""
    return "checkpoint" if name == OWN else f"{name}/checkpoint"


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


def look_back(years: int) -> dg.TimeWindowPartitionMapping:
    """A fire year depends on itself and on the `years` partitions before it, as far as there are any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=-years, end_offset=0, allow_nonexistent_upstream_partitions=True
        )


def years_before(years: int) -> dg.TimeWindowPartitionMapping:
    """A fire year depends on the `years` partitions before it, as far as there are any, and not on itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=-years, end_offset=-1, allow_nonexistent_upstream_partitions=True
        )
