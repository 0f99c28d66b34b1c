"""One partition of one asset, the unit of planning."""

from typing import Final, NamedTuple

import dagster as dg

RELEASE = "calfire_release"
"""The asset that all fire years come from."""

VERSION_TAG: Final = "dagster/data_version"
"""Dagster's tag of the data version that an event gave a pair."""

INPUT_VERSION_TAG: Final = "dagster/input_data_version/"
INPUT_POINTER_TAG: Final = "dagster/input_event_pointer/"
"""Before an input's name: Dagster's tags of its data version, and of the event that told of it."""


class Pair(NamedTuple):
    """An asset and a fire year; no year for an asset that isn't partitioned."""

    asset: str
    fire_year: int | None

    def __str__(self) -> str:
        return self.asset if self.fire_year is None else f"{self.asset} {self.fire_year}"

    @property
    def stage(self) -> str:
        """What is done: the asset's name without that of its set-up."""
        return self.asset.rpartition("/")[2]

    @property
    def setup(self) -> str | None:
        """Name of the set-up that the asset is of; empty for the world's own, and for what all set-ups share."""
        return self.asset.rpartition("/")[0] or None

    @property
    def key(self) -> dg.AssetKey:
        """Dagster's key of the asset."""
        return dg.AssetKey.from_user_string(self.asset)

    @property
    def partition_key(self) -> str | None:
        """Dagster's key of the partition."""
        return None if self.fire_year is None else str(self.fire_year)

    @classmethod
    def of(cls, key: dg.AssetKey, partition_key: str | None) -> "Pair":
        """The pair that Dagster's keys name."""
        return cls(key.to_user_string(), None if partition_key is None else int(partition_key))
