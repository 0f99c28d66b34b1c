"""What one release changed against another, by fire year, and which years a change bears on.

Records are compared by `record_id` and by a hash of their content, so rows in another order, another file
format or noise below a centimetre are no change.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.labels.history import could_show
from burnscar_assets.labels.perimeters import wildfires_of
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.hashing import hash_json, hash_rows

_ATTRIBUTES = [name for name in RELEASE_RECORDS.column_names if name != "geometry"]
_READ_BY_HISTORY = ["record_id", "kind", "fire_year", "fire_name", "reported_area_ha"]
"""Attributes that `burn_history` carries on or repairs with; dates only decide which records it takes."""


@dataclass(frozen=True)
class YearChange:
    """What happened to the records of a fire year.

    Attributes:
        changed: Wildfires that are in both releases, with another content.
        added: Wildfires that are only in the new one.
        removed: Wildfires that are only in the old one.
        prescribed: Prescribed burns changed, added or removed.
    """

    changed: int = 0
    added: int = 0
    removed: int = 0
    prescribed: int = 0

    def __str__(self) -> str:
        counts = {"changed": self.changed, "added": self.added, "removed": self.removed}
        said = [(count, what) for what, count in counts.items() if count]
        parts = [f"{count} {'fire' if count == 1 else 'fires'} {what}" for count, what in said[:1]]
        parts += [f"{count} {what}" for count, what in said[1:]]
        if self.prescribed:
            parts.append(f"{self.prescribed} prescribed {'burn' if self.prescribed == 1 else 'burns'}")
        return ", ".join(parts) or "nothing"


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
    what = pd.Series("changed", index=both.index).mask(old.isna(), "added").mask(new.isna(), "removed")
    differs = (old != new) & both["fire_year"].notna()
    what = what.mask(both["kind"] == "prescribed", "prescribed")[differs]
    counts = pd.crosstab(both.loc[differs, "fire_year"], what)
    return {
        int(year): YearChange(**{str(name): int(count) for name, count in row.items()})
        for year, row in counts.iterrows()
    }


def release_versions(
    records: gpd.GeoDataFrame, fire_years: Iterable[int], perimeters: PerimeterSettings
) -> dict[int, str]:
    """Hash, for each fire year, of all that the stages after the release read of it.

    These are the wildfires of the year (`fire_perimeters`), and of every burn that could still show in the year
    what `burn_history` reads. An edit of any other record, or of the cause of an old fire, leaves the hash alone.

    Args:
        records: A release (contract RELEASE_RECORDS).
        fire_years: Years that are asked for.
        perimeters: How many years scars show.

    Returns:
        SHA-256 by fire year, for the years of which the release has a wildfire.
    """
    shapes = hash_rows(records[["geometry"]])
    whole = np.array(hash_rows(pd.DataFrame(records[_ATTRIBUTES]).assign(shape=shapes)))
    shown = np.array(hash_rows(pd.DataFrame(records[_READ_BY_HISTORY]).assign(shape=shapes)))
    versions = {}
    for fire_year in fire_years:
        fires = wildfires_of(records, fire_year)
        if fires.any():
            burns = could_show(records, fire_year, perimeters)
            versions[fire_year] = hash_json([sorted(whole[fires]), sorted(shown[burns])])
    return versions


def _contents(records: gpd.GeoDataFrame) -> pd.DataFrame:
    return pd.DataFrame(records[["record_id", "kind", "fire_year"]]).assign(content=hash_rows(records))
