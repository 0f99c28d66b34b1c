"""What one release changed against another, by fire year, and which years a change bears on.

Records are compared by `record_id` and by a hash of their content, so rows in another order, another file
format or noise below a centimetre are no change.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.labels.history import burn_years, could_show, recent_dates, with_doubts
from burnscar_assets.labels.perimeters import wildfires_of
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets.storage.changes import Changes
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.hashing import hash_json, hash_rows

_ATTRIBUTES = [name for name in RELEASE_RECORDS.column_names if name != "geometry"]
_KINDS = ("fire", "prescribed")
_READ_BY_HISTORY = ["record_id", "source", "kept_instead", "kind", "fire_name", "reported_area_ha"]
"""Attributes that `burn_history` carries on or repairs with whenever a burn was; its dates only while it is recent."""


@dataclass(frozen=True)
class YearChange:
    """What became of the records of a fire year."""

    fires: Changes
    prescribed: Changes

    def __str__(self) -> str:
        parts = (self.fires.describe("fire"), self.prescribed.describe("prescribed burn"))
        return ", ".join(part for part in parts if part)


class YearVersion(NamedTuple):
    """What a release says that bears on a fire year, as hashes.

    Attributes:
        fires: of the year's wildfires, which become its labels.
        burns: of every burn that could still show in the year, as far as the history of burns reads it.
    """

    fires: str
    burns: str


def changed_years(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> dict[int, YearChange]:
    """Count what changed in each fire year; years without a change are left out.

    A record whose fire year was corrected is removed from one year and added to the other. Records without a
    fire year belong to none, and are not counted.

    Args:
        before: The release made from last (contract RELEASE_RECORDS).
        after: The new one.

    Returns:
        The changes by fire year, ascending.
    """
    both = _contents(before).merge(_contents(after), on=["record_id", "kind", "fire_year"], how="outer")
    old, new = both["content_x"], both["content_y"]
    both["what"] = np.select([old.isna(), new.isna(), old != new], ["added", "removed", "changed"], "kept")
    counts = both.pivot_table(index="fire_year", columns=["kind", "what"], values="record_id", aggfunc="count")
    every = pd.MultiIndex.from_product([_KINDS, ("kept", "added", "changed", "removed")])
    counts = counts.reindex(columns=every).fillna(0).astype(int)
    changes = {
        int(year): YearChange(*(Changes(**{str(what): int(n) for what, n in row[kind].items()}) for kind in _KINDS))
        for year, row in counts.iterrows()
    }
    return {year: change for year, change in changes.items() if change.fires.any or change.prescribed.any}


def release_versions(
    records: gpd.GeoDataFrame, fire_years: Iterable[int], perimeters: PerimeterSettings
) -> dict[int, YearVersion]:
    """Hashes, for each fire year, of all that the stages after the release read of it.

    These are the wildfires of the year (`fire_perimeters`), and of every burn that could still show in the year
    what `burn_history` reads. An edit of any other record, or of the cause of an old fire, leaves both alone.

    Args:
        records: A release (contract RELEASE_RECORDS).
        fire_years: Years that are asked for.
        perimeters: How many years scars show.

    Returns:
        SHA-256s by fire year, for the years of which the release has a wildfire.
    """
    whole, every_burn = np.array(_hashed(records, _ATTRIBUTES)), with_doubts(records)
    shown = np.array(_hashed(every_burn, _READ_BY_HISTORY, burnt_in=burn_years(every_burn)))
    versions = {}
    for fire_year in fire_years:
        fires = wildfires_of(records, fire_year)
        if fires.any():
            burns = could_show(every_burn, fire_year, perimeters)
            when = hash_rows(pd.DataFrame(recent_dates(every_burn[burns], fire_year)))
            told = sorted(zip(shown[burns], when, strict=True))
            versions[fire_year] = YearVersion(hash_json(sorted(whole[fires])), hash_json(told))
    return versions


def _hashed(records: gpd.GeoDataFrame, names: list[str], **more: pd.Series) -> list[str]:
    """SHA-256 of some attributes of each record, of what is told beside them, and of its geometry."""
    shapes = hash_rows(records[["geometry"]])
    return hash_rows(pd.DataFrame(records[names]).assign(shape=shapes, **more))


def _contents(records: gpd.GeoDataFrame) -> pd.DataFrame:
    return pd.DataFrame(records[["record_id", "kind", "fire_year"]]).assign(content=hash_rows(records))
