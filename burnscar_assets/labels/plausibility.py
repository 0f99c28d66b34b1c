"""Whether a new release looks wrong beside the one before: half of it lost, or all of it moved.

Releases grow by a few hundred fires a year, and old records are rarely corrected. What goes far beyond that
is more likely a broken export than news. Nothing is decided here: the sentences are for a person.
"""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from burnscar_assets.labels.repair import HECTARE_M2

LOST_SHARE: Final = 0.5
"""Share of the records, of a release or a fire year, from which their loss is suspicious, 0–1."""

FEWEST_FIRES: Final = 10
"""A fire year with fewer fires may lose or change any share of them."""

AREA_FACTOR: Final = 2.0
"""Factor by which the area of an older fire year may grow or shrink."""

UNSETTLED_YEARS: Final = 2
"""The newest fire years, whose perimeters are still being mapped: their area may change by any factor."""

SHIFT_M: Final = 50.0
"""Distance that the middle of a perimeter may move, in metres; NAD27 taken for NAD83 is 80–95 m in California."""

MOVED_SHARE: Final = 0.5
"""Share of common perimeters above which their shift is suspicious, 0–1."""

_YEARS_NAMED = 6
_LOOKS = ["kind", "fire_year", "fire_name", "alarm_date"]


def find_suspicions(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> list[str]:
    """Say what of a release can hardly be right, given the release before.

    Args:
        before: Records of the last release that was accepted (contract RELEASE_RECORDS); may be empty.
        after: Records of the new one.

    Returns:
        One sentence for each suspicion; none if the release is plausible.
    """
    if not (after["kind"] == "fire").any():
        return ["the release has no fires at all"]
    fate = _fates(before, after)
    fires = before["kind"] == "fire"
    return [
        *_lost(fate[fires], "fires"),
        *_lost(fate[~fires], "prescribed burns"),
        *_lost_years(before[fires], fate[fires]),
        *_renamed(fate[fires]),
        *_changed_areas(before[fires], after[after["kind"] == "fire"]),
        *_moved(before[fires], after),
    ]


def find_lost_fires(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> list[str]:
    """Say of which fire years many fires are gone; arguments and answer as of `find_suspicions`."""
    fires = before["kind"] == "fire"
    return _lost_years(before[fires], _fates(before, after)[fires])


def _fates(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> pd.Series:
    """What became of each record: `kept`, `renamed` (another record_id, but alike) or `lost`."""
    kept = before["record_id"].isin(after["record_id"])
    gone = _nth_of_its_looks(before[~kept])
    come = _nth_of_its_looks(after[~after["record_id"].isin(before["record_id"])])
    fate = pd.Series("lost", index=before.index, dtype=object).mask(kept, "kept")
    fate[gone.index[gone.isin(come)]] = "renamed"
    return fate


def _nth_of_its_looks(records: gpd.GeoDataFrame) -> pd.Series:
    """Kind, fire year, name and alarm date of each record, and its number among those that share these."""
    looks = records[_LOOKS].astype("string").fillna("")
    number = looks.groupby(_LOOKS).cumcount().astype("string")
    return looks.assign(number=number).agg("\x1f".join, axis=1) if len(looks) else pd.Series(dtype="string")


def _lost(fate: pd.Series, what: str) -> list[str]:
    lost = int((fate == "lost").sum())
    if not lost or lost < LOST_SHARE * len(fate):
        return []
    return [f"{lost} of {len(fate)} {what} are gone"]


def _lost_years(fires: gpd.GeoDataFrame, fate: pd.Series) -> list[str]:
    by_year = (fate == "lost").groupby(fires["fire_year"]).agg(["sum", "size"])
    hit = by_year[(by_year["size"] >= FEWEST_FIRES) & (by_year["sum"] >= LOST_SHARE * by_year["size"])]
    years = [
        f"{year} (all {had})" if lost == had else f"{year} ({lost} of {had})"
        for year, lost, had in zip(hit.index, hit["sum"], hit["size"], strict=True)
    ]
    return [f"fires are gone from {_some_years(years)}"] if years else []


def _renamed(fate: pd.Series) -> list[str]:
    renamed = int((fate == "renamed").sum())
    if not renamed or renamed < LOST_SHARE * len(fate):
        return []
    return [
        f"{renamed} of {len(fate)} fires have another record_id, though year, name and alarm date are the same: "
        "the identities of the records were dealt anew"
    ]


def _changed_areas(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> list[str]:
    fires = before["fire_year"].value_counts()
    old, new = _areas_ha(before), _areas_ha(after)
    newest = fires.index.max()
    years = []
    for year in sorted(old.index.intersection(new.index)):
        low, high = sorted((old[year], new[year]))
        if fires[year] >= FEWEST_FIRES and year <= newest - UNSETTLED_YEARS and high > AREA_FACTOR * low:
            years.append(f"{year} ({old[year]:.0f} ha, now {new[year]:.0f})")
    return [f"the area burnt is another in {_some_years(years)}"] if years else []


def _areas_ha(fires: gpd.GeoDataFrame) -> pd.Series:
    area_ha = np.nan_to_num(shapely.area(fires.geometry.to_numpy()), posinf=0.0) / HECTARE_M2
    return pd.Series(area_ha, index=fires.index).groupby(fires["fire_year"]).sum()


def _moved(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> list[str]:
    old = before.set_index("record_id").geometry
    new = after.set_index("record_id").geometry
    common = old.index.intersection(new.index)
    was, now = _middles(old[common]), _middles(new[common])
    drawn = np.isfinite(was).all(axis=1)
    shift_m = np.hypot(*(now[drawn] - was[drawn]).T)
    moved = ~(shift_m <= SHIFT_M)  # a middle that is no number any more has moved too
    if moved.sum() <= MOVED_SHARE * len(moved):
        return []
    return [
        f"{moved.sum()} of {len(moved)} perimeters moved by more than {SHIFT_M:.0f} m, half of these by "
        f"{np.nanmedian(shift_m[moved]):.0f} m or more: a coordinate reference system taken for another?"
    ]


def _middles(shapes: gpd.GeoSeries) -> NDArray[np.float64]:
    """Middle of each bounding box, (n, 2), metres in the region's CRS; NaN of an empty shape."""
    bounds = shapely.bounds(shapes.to_numpy())
    return (bounds[:, :2] + bounds[:, 2:]) / 2


def _some_years(years: list[str]) -> str:
    more = len(years) - _YEARS_NAMED
    named = ", ".join(years[:_YEARS_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"fire {'year' if len(years) == 1 else 'years'} {named}"
