"""From the records of a fire year to perimeters that are good enough to be labels.

Every record of the year ends up kept or rejected, with one reason: the first that applies of `REASONS`.
Nothing here depends on the order of the records or on today's date.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from burnscar_assets.errors import InputError
from burnscar_assets.labels.duplicates import find_duplicates, shares_incident
from burnscar_assets.labels.place import mostly_inside
from burnscar_assets.labels.repair import HECTARE_M2, NO_GEOMETRY, RepairedGeometry, repair
from burnscar_assets.regions.load import working_region
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETER_REJECTS, FIRE_PERIMETERS
from burnscar_assets.storage.tables import table_crs

REASONS = (
    "in_another_source",
    "empty_geometry",
    "unusable_geometry",
    "outside_region",
    "alarm_missing",
    "containment_missing",
    "containment_before_alarm",
    "containment_too_late",
    "year_mismatch",
    "duplicate",
)
"""Why a record is no label, in the order of asking."""

FLAGS = (
    "repaired",
    "repair_changed_area",
    "parts_without_area",
    "area_mismatch",
    "area_not_reported",
    "hand_drawn",
    "alarm_in_another_year",
    "shares_incident",
)
"""What is noted of a label; none of these rejects it."""

ASSUMED = "assumed"
"""What the day of containment of a label is where no source says one."""

HAND_DRAWN = 6
"""Code of C_METHOD."""


@dataclass(frozen=True)
class PerimeterSummary:
    """What became of the records of a year.

    Attributes:
        fire_year: The year.
        records: Wildfires of the year in the release.
        kept: Records that are labels.
        rejected: Records that are not; kept + rejected = records.
        rejects_by_reason: How many for each reason that occurred.
        flagged: How many kept perimeters have each flag that occurred.
        area_ha: Sum of the areas of the kept perimeters; ground that burnt twice counts twice.
        median_area_ha: Median area of the kept perimeters; None if none was kept.
        median_duration_days: Median days from alarm to containment; None if none was kept.
        end_assumed: Kept perimeters whose day of containment is assumed.
        remarked: Kept perimeters that the source remarks something on.
    """

    fire_year: int
    records: int
    kept: int
    rejected: int
    rejects_by_reason: dict[str, int]
    flagged: dict[str, int]
    area_ha: float
    median_area_ha: float | None
    median_duration_days: float | None
    end_assumed: int
    remarked: int


@dataclass(frozen=True)
class CleanedPerimeters:
    """Labels of a year (FIRE_PERIMETERS), rejects (FIRE_PERIMETER_REJECTS) and their summary."""

    perimeters: gpd.GeoDataFrame
    rejects: pd.DataFrame
    summary: PerimeterSummary


def clean_perimeters(
    records: gpd.GeoDataFrame,
    fire_year: int,
    settings: PerimeterSettings,
    *,
    simulated: bool,
    wider: Collection[str] = (),
) -> CleanedPerimeters:
    """Sort the wildfires of a year into labels and rejects.

    Args:
        records: A release (contract RELEASE_RECORDS).
        fire_year: The year; YEAR_ of the records decides what belongs to it.
        settings: Limits.
        simulated: Whether the release is a simulated one.
        wider: Sources that hold more than the region: of theirs, fires count that mostly lie within its outline.

    Raises:
        InputError: the release has no wildfire of that year; the message names the years it has.
    """
    fires = records[wildfires_of(records, fire_year)]
    if fires.empty:
        raise InputError(_no_such_year(records, fire_year))
    fires = _with_ends(fires.sort_values("record_id", ignore_index=True), settings)
    shapes = repair(fires.geometry.to_numpy(), fires["reported_area_ha"].to_numpy(dtype=float))
    fires = fires.set_geometry(gpd.GeoSeries(shapes.geometry, crs=records.crs))
    reasons, details = _judge(fires, shapes, settings, wider)
    copies = find_duplicates(fires[reasons.isna()]).dropna()
    reasons[copies.index] = "duplicate"
    details[copies.index] = "of " + copies + ", which is kept"
    flags = _flags(fires, fire_year, shapes, settings)
    kept, rejected = fires[reasons.isna()], fires[reasons.notna()]
    perimeters = FIRE_PERIMETERS.conform(
        kept.rename(columns={"record_id": "fire_id"})
        .assign(area_ha=kept.geometry.area / HECTARE_M2, flags=flags[reasons.isna()], simulated=simulated)
        .drop(columns=["kind", "kept_instead"])
    )
    columns = [name for name in FIRE_PERIMETER_REJECTS.column_names if name not in ("reason", "detail")]
    rejects = pd.DataFrame(rejected[columns]).assign(reason=reasons[rejected.index], detail=details[rejected.index])
    rejects = FIRE_PERIMETER_REJECTS.conform(rejects)
    return CleanedPerimeters(perimeters, rejects, _summarise(fire_year, perimeters, rejects))


def _with_ends(fires: gpd.GeoDataFrame, settings: PerimeterSettings) -> gpd.GeoDataFrame:
    """Records with `end_kind`, and where the settings allow it with a day in the place of an unknown containment."""
    ends, days = fires["containment_date"], settings.assumed_duration_days
    if days is not None:
        ends = ends.fillna(fires["alarm_date"] + pd.Timedelta(days=days))
    return fires.assign(containment_date=ends, end_kind=fires["end_kind"].fillna(ASSUMED))


def wildfires_of(records: gpd.GeoDataFrame, fire_year: int) -> pd.Series:
    """Whether each record is a wildfire of that fire year."""
    return (records["kind"] == "fire") & (records["fire_year"] == fire_year).fillna(False)


def are_rejects(records: gpd.GeoDataFrame, settings: PerimeterSettings, wider: Collection[str] = ()) -> pd.Series:
    """Whether each record is a wildfire that is no label of its year, whatever other records there are.

    Arguments are those of `clean_perimeters`.
    """
    fires = _with_ends(records[records["kind"] == "fire"], settings)
    shapes = repair(fires.geometry.to_numpy(), fires["reported_area_ha"].to_numpy(dtype=float))
    fires = fires.set_geometry(gpd.GeoSeries(shapes.geometry, index=fires.index, crs=records.crs))
    rejects = _judge(fires, shapes, settings, wider)[0].notna() | fires["fire_year"].isna()
    return rejects.reindex(records.index, fill_value=False)


def _judge(
    fires: gpd.GeoDataFrame, shapes: RepairedGeometry, settings: PerimeterSettings, wider: Collection[str]
) -> tuple[pd.Series, pd.Series]:
    """Reason and detail of each record, whatever others repeat it; the reason is missing where it is good enough."""
    reasons = pd.Series(pd.NA, index=fires.index, dtype="string")
    details = pd.Series("", index=fires.index, dtype="string")
    for reason, applies, detail in _verdicts(fires, shapes, settings, wider):
        new = reasons.isna() & applies.fillna(False)
        reasons[new] = reason
        details[new] = detail[new]
    return reasons, details


def _verdicts(
    fires: gpd.GeoDataFrame, shapes: RepairedGeometry, settings: PerimeterSettings, wider: Collection[str]
) -> Iterable[tuple[str, pd.Series, pd.Series]]:
    """Of each reason but `duplicate`: its name, where it applies, and the values behind it."""
    alarm, containment = fires["alarm_date"], fires["containment_date"]
    days = (containment - alarm).dt.days.astype("Int64")
    dates = "alarm " + _day(alarm) + ", containment " + _day(containment)
    no_day = dates + "; perimeters.assumed_duration_days would take one for it"
    lasted = dates + ": " + days.astype("string") + " d"
    centre = fires.geometry.centroid
    place = "centre at x " + _metres(centre.x) + " m, y " + _metres(centre.y) + f" m in {table_crs()}"
    problem = pd.Series(shapes.problem, index=fires.index, dtype="string")
    nothing = (problem == NO_GEOMETRY) | problem.str.startswith("an empty")
    elsewhere = fires["kept_instead"]
    outside = ~fires.geometry.intersects(shapely.box(*working_region().bounds_m))
    outside |= fires["source"].isin(list(wider)) & ~mostly_inside(fires.geometry.to_numpy())
    yield "in_another_source", elsewhere.notna(), "the same fire as " + elsewhere + ", whose source is named before"
    yield "empty_geometry", nothing, problem
    yield "unusable_geometry", problem != "", problem
    yield "outside_region", outside, place
    yield "alarm_missing", alarm.isna(), dates
    yield "containment_missing", containment.isna(), no_day
    yield "containment_before_alarm", days < 0, lasted
    yield "containment_too_late", days > settings.max_duration_days, lasted + f", at most {settings.max_duration_days}"
    yield (
        "year_mismatch",
        (working_region().fire_years(alarm) - fires["fire_year"]).abs() > 1,
        dates + ", fire year " + fires["fire_year"].astype("string"),
    )


def _flags(fires: gpd.GeoDataFrame, fire_year: int, shapes: RepairedGeometry, settings: PerimeterSettings) -> pd.Series:
    """The flags of each record, in the order of FLAGS."""
    reported_ha = fires["reported_area_ha"].to_numpy(dtype=float)
    reported = reported_ha > 0
    mismatch = np.abs(fires.geometry.area.to_numpy() / HECTARE_M2 - reported_ha)
    applies = {
        "repaired": shapes.repaired,
        "repair_changed_area": shapes.area_change > settings.max_repair_area_change,
        "parts_without_area": shapes.dropped,
        "area_mismatch": reported & (mismatch > settings.max_area_mismatch * reported_ha),
        "area_not_reported": ~reported,
        "hand_drawn": (fires["c_method"] == HAND_DRAWN).fillna(False).to_numpy(dtype=bool),
        "alarm_in_another_year": (working_region().fire_years(fires["alarm_date"]) != fire_year).to_numpy(
            dtype=bool, na_value=True
        ),
        "shares_incident": shares_incident(fires).to_numpy(dtype=bool),
    }
    matrix = np.column_stack([applies[flag] for flag in FLAGS])
    return pd.Series([[f for f, on in zip(FLAGS, row, strict=True) if on] for row in matrix], index=fires.index)


def _summarise(fire_year: int, perimeters: gpd.GeoDataFrame, rejects: pd.DataFrame) -> PerimeterSummary:
    flagged = perimeters["flags"].explode().value_counts()
    by_reason = rejects["reason"].value_counts()
    days = (perimeters["containment_date"] - perimeters["alarm_date"]).dt.days
    any_kept = len(perimeters) > 0
    return PerimeterSummary(
        fire_year=fire_year,
        records=len(perimeters) + len(rejects),
        kept=len(perimeters),
        rejected=len(rejects),
        rejects_by_reason={reason: int(by_reason[reason]) for reason in REASONS if reason in by_reason},
        flagged={flag: int(flagged[flag]) for flag in FLAGS if flag in flagged},
        area_ha=float(perimeters["area_ha"].sum()),
        median_area_ha=float(perimeters["area_ha"].median()) if any_kept else None,
        median_duration_days=float(days.median()) if any_kept else None,
        end_assumed=int((perimeters["end_kind"] == ASSUMED).sum()),
        remarked=int(perimeters["flag"].notna().sum()),
    )


def _no_such_year(records: gpd.GeoDataFrame, fire_year: int) -> str:
    years = sorted({int(year) for year in records.loc[records["kind"] == "fire", "fire_year"].dropna()})
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    there = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs) or "none"
    return (
        f"the release has no fire of {fire_year}; it has the years {there}: choose among them, or a newer "
        "release in release.source"
    )


def _day(dates: pd.Series) -> pd.Series:
    return dates.dt.strftime("%Y-%m-%d").astype("string").fillna("missing")


def _metres(values: pd.Series) -> pd.Series:
    return values.round().astype("Int64").astype("string").fillna("?")
