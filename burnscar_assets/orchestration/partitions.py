"""Fire years as partitions, and the look-back of training as a partition mapping."""

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from burnscar_assets.settings import Settings, YearSettings
from burnscar_assets.storage.paths import DataRoot


@dataclass(frozen=True)
class World:
    """What every asset is built from: the settings, and where the data lies."""

    settings: Settings
    root: DataRoot

    @property
    def fire_years(self) -> dg.TimeWindowPartitionsDefinition:
        """The partitions of this world."""
        return fire_year_partitions(self.settings.years)

    def training_years(self, fire_year: int) -> list[int]:
        """The fire years that the checkpoint of `fire_year` is trained on, oldest first."""
        known = [int(key) for key in self.fire_years.get_partition_keys()]
        return [year for year in known if year <= fire_year][-(self.settings.training.look_back_years + 1) :]

    def year_before(self, fire_year: int) -> int | None:
        """The fire year before, if there is one."""
        return max((int(key) for key in self.fire_years.get_partition_keys() if int(key) < fire_year), default=None)


def fire_year_partitions(years: YearSettings) -> dg.TimeWindowPartitionsDefinition:
    """One partition a fire year; without a last year, the current one is the last."""
    return dg.TimeWindowPartitionsDefinition(
        start=str(years.first),
        end=None if years.last is None else str(years.last + 1),
        end_offset=1 if years.last is None else 0,
        fmt="%Y",
        cron_schedule="0 0 1 1 *",
        exclusions=[datetime(year, 1, 1, tzinfo=UTC) for year in years.exclude] or None,
    )


def look_back(years: int) -> dg.TimeWindowPartitionMapping:
    """A fire year depends on itself and on the `years` partitions before it, as far as there are any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=-years, end_offset=0, allow_nonexistent_upstream_partitions=True
        )
