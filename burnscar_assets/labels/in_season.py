"""Which in-season records are mapped (contained, large enough, not yet in the release), and all that may show there.

The rules for labels hold here too (`perimeters`). Every record ends up ready or rejected, with one reason; nothing
depends on the order of the records or on today's date.
"""

from dataclasses import dataclass

import geopandas as gpd
import pandas as pd

from burnscar_assets.labels.duplicates import same_fires
from burnscar_assets.labels.history import burn_history
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.season_source import BURNING, EXPECTED
from burnscar_assets.settings import InSeasonSettings, PerimeterSettings
from burnscar_assets.storage.contracts import (
    IN_SEASON_BURNS,
    IN_SEASON_PERIMETERS,
    IN_SEASON_REJECTS,
    RELEASE_RECORDS,
)

_CARRIED = ["incident_id", "contained_by"]


@dataclass(frozen=True)
class InSeasonSummary:
    """What became of the in-season records of a year.

    Attributes:
        fire_year: The year.
        records: Records of the source.
        ready: Fires to be mapped.
        not_contained: Fires that still burn, as far as the source says.
        superseded: Fires that the release has by now.
        rejects_by_reason: How many for each reason that occurred; ready + these = records.
        area_ha: Sum of the areas of the fires to be mapped.
    """

    fire_year: int
    records: int
    ready: int
    not_contained: int
    superseded: int
    rejects_by_reason: dict[str, int]
    area_ha: float


@dataclass(frozen=True)
class InSeasonPerimeters:
    """Fires to be mapped (IN_SEASON_PERIMETERS), rejects (IN_SEASON_REJECTS) and their summary."""

    perimeters: gpd.GeoDataFrame
    rejects: pd.DataFrame
    summary: InSeasonSummary


def clean_in_season(
    records: gpd.GeoDataFrame,
    labels: gpd.GeoDataFrame,
    fire_year: int,
    settings: InSeasonSettings,
    perimeters: PerimeterSettings,
) -> InSeasonPerimeters:
    """Sort the in-season records of a year into fires that are mapped, and others.

    Args:
        records: Contract IN_SEASON_RECORDS, of one fire year.
        labels: The release's perimeters of that year (contract FIRE_PERIMETERS); they supersede.
        fire_year: The year.
        settings: The smallest area.
        perimeters: Limits that labels are judged by.
    """
    reasons, details = _not_ready(records)
    ready, found = records[reasons.isna()], []
    if len(ready):
        source = settings.label_source
        wider = [source.name] if source.reaches_beyond else []
        rows = ready[RELEASE_RECORDS.column_names]
        cleaned = clean_perimeters(rows, fire_year, perimeters, simulated=False, wider=wider)
        found.append(cleaned.rejects)
        ready = cleaned.perimeters.merge(
            records[["record_id", *_CARRIED]], left_on="fire_id", right_on="record_id", validate="1:1"
        ).drop(columns="record_id")
    else:
        ready = IN_SEASON_PERIMETERS.empty()
    reasons_late, details_late = _not_mapped(ready, labels, settings)
    late = ready[reasons_late.notna()].rename(columns={"fire_id": "record_id"})
    found += [_rejects(records, reasons, details), _rejects(late, reasons_late, details_late)]
    kept = IN_SEASON_PERIMETERS.conform(ready[reasons_late.isna()])
    rejects = IN_SEASON_REJECTS.conform(pd.concat([part for part in found if len(part)] or [IN_SEASON_REJECTS.empty()]))
    rejects = rejects.sort_values("record_id", ignore_index=True)
    return InSeasonPerimeters(kept, rejects, _summarise(fire_year, kept, rejects))


def season_burns(
    records: gpd.GeoDataFrame, release: gpd.GeoDataFrame, fire_year: int, settings: PerimeterSettings
) -> gpd.GeoDataFrame:
    """Every burn that images of a season may show: its own fires, contained or not, and scars that the release knows.

    Args:
        records: Contract IN_SEASON_RECORDS, of one fire year; the newest perimeter of each fire counts.
        release: Contract RELEASE_RECORDS, of all years.
        fire_year: The year.
        settings: How long scars show.

    Returns:
        Contract IN_SEASON_BURNS.
    """
    newest = records.loc[records["newest_id"] == records["record_id"], RELEASE_RECORDS.column_names]
    kinds = newest["kind"].where(newest["kind"] == "prescribed", "fire")  # whatever else burned shows as long as a fire
    known = [rows for rows in (newest.assign(kind=kinds), release) if len(rows)]
    burns = pd.concat([burn_history(rows, fire_year, settings).burns for rows in known] or [IN_SEASON_BURNS.empty()])
    return IN_SEASON_BURNS.conform(burns.sort_values("burn_id", ignore_index=True))


def superseded_by(fires: gpd.GeoDataFrame, labels: gpd.GeoDataFrame) -> pd.Series:
    """Which perimeter of the release is the same fire: of the same IRWIN id wherever it lies, or as of `same_fires`.

    Args:
        fires: In-season perimeters, valid polygons.
        labels: The release's of the same year (contract FIRE_PERIMETERS).

    Returns:
        By the index of `fires`: `fire_id` in the release, or missing.
    """
    by_irwin = labels.dropna(subset=["irwin_id"]).drop_duplicates("irwin_id").set_index("irwin_id")["fire_id"]
    same = fires["irwin_id"].map(by_irwin).astype("string")
    drawn = same_fires(fires, labels)["fire_id"].astype("string")
    return same.fillna(drawn.reindex(fires.index))


def _not_ready(records: gpd.GeoDataFrame) -> tuple[pd.Series, pd.Series]:
    """Records that can't be mapped yet or at all, whatever their shape."""
    reasons = pd.Series(pd.NA, index=records.index, dtype="string")
    details = pd.Series("", index=records.index, dtype="string")
    contained, day = records["percent_contained"], records["containment_date"]
    share = contained.round().astype("Int64").astype("string") + " % contained"
    said = day.dt.strftime("%Y-%m-%d").astype("string")
    verdicts = (
        ("not_a_wildfire", records["kind"] != "fire", "kind " + records["kind"]),
        ("older_perimeter", records["newest_id"] != records["record_id"], "newer: " + records["newest_id"]),
        ("not_contained", day.isna(), share.fillna("share contained unknown")),
        ("not_contained", (records["contained_by"] == EXPECTED).fillna(False), "expected for " + said),
        ("not_contained", (records["contained_by"] == BURNING).fillna(False), "seen to burn on " + said),
    )
    for reason, applies, detail in verdicts:
        new = reasons.isna() & applies
        reasons[new], details[new] = reason, detail[new]
    return reasons, details


def _not_mapped(
    fires: gpd.GeoDataFrame, labels: gpd.GeoDataFrame, settings: InSeasonSettings
) -> tuple[pd.Series, pd.Series]:
    """Of contained fires with a good perimeter: those that the release has, and those that are too small."""
    same = superseded_by(fires, labels)
    small = fires["area_ha"] < settings.min_area_ha
    reasons = pd.Series(pd.NA, index=fires.index, dtype="string")
    reasons = reasons.mask(small, "below_minimum_area").mask(same.notna(), "superseded")
    details = fires["area_ha"].round(1).astype("string") + f" ha, at least {settings.min_area_ha:g}"
    return reasons, details.mask(same.notna(), "the release has it: " + same)


def _rejects(records: pd.DataFrame, reasons: pd.Series, details: pd.Series) -> pd.DataFrame:
    names = [name for name in IN_SEASON_REJECTS.column_names if name not in ("reason", "detail")]
    rejected = records.loc[reasons[reasons.notna()].index, names]
    return pd.DataFrame(rejected).assign(reason=reasons[rejected.index], detail=details[rejected.index])


def _summarise(fire_year: int, kept: gpd.GeoDataFrame, rejects: pd.DataFrame) -> InSeasonSummary:
    counts = {str(reason): int(count) for reason, count in rejects["reason"].value_counts().sort_index().items()}
    return InSeasonSummary(
        fire_year=fire_year,
        records=len(kept) + len(rejects),
        ready=len(kept),
        not_contained=counts.get("not_contained", 0),
        superseded=counts.get("superseded", 0),
        rejects_by_reason=counts,
        area_ha=float(kept["area_ha"].sum()),
    )
