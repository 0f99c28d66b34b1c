"""Every burn whose scar could still show in a fire year, so that no negative is placed on one.

More is taken than labels need: records without a year, records rejected as labels, and burns whose dates
and year disagree count for every year that any of these names. Imagery of a December fire is from January,
so burns of the next year's first months count too. What only a further source drew of a fire is a burn of its own.
"""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from burnscar_assets.labels.repair import repair
from burnscar_assets.regions.load import working_region
from burnscar_assets.settings import PerimeterSettings
from burnscar_assets.storage.contracts import BURN_HISTORY

UNSURE = "unsure"
"""Kind of ground of which nobody knows whether it burned: by a person's word, or as only a further source has it."""

_MONTHS_INTO_NEXT_YEAR = 3
_YEARS_BETWEEN_IMAGES = 1
_DATES = ("alarm_date", "containment_date")


@dataclass(frozen=True)
class BurnHistory:
    """Burns that could show (BURN_HISTORY), and what is doubtful about the ground of some of them.

    Attributes:
        burns: The burns, sorted by `burn_id`.
        hulls: Burns whose geometry is no polygon, so that the hull of its coordinates stands for it: why, by burn_id.
        left_out: Records without any credible coordinate, whose ground is not known: why, by burn_id.
    """

    burns: gpd.GeoDataFrame
    hulls: dict[str, str]
    left_out: dict[str, str]


def burn_history(records: gpd.GeoDataFrame, fire_year: int, settings: PerimeterSettings) -> BurnHistory:
    """Burns that could show in imagery of a fire year, those of the year itself and of its winter among them.

    Args:
        records: A release (contract RELEASE_RECORDS).
        fire_year: The year.
        settings: `scar_years` for wildfires, `scar_years_prescribed` for prescribed burns.

    Returns:
        The burns, their geometry repaired; one that can't be is kept as the ground that its coordinates enclose.
    """
    records = with_doubts(records)
    burns = records[could_show(records, fire_year, settings)].sort_values("record_id")
    shapes = repair(burns.geometry.to_numpy(), burns["reported_area_ha"].to_numpy(dtype=float))
    history = BURN_HISTORY.conform(
        gpd.GeoDataFrame(
            {
                "burn_id": burns["record_id"],
                "source": burns["source"],
                "kind": burns["kind"],
                "burn_year": burn_years(burns),
                **recent_dates(burns, fire_year),
                "name": burns["fire_name"],
            },
            geometry=gpd.GeoSeries(shapes.burnt, index=burns.index, crs=records.crs),
        )
    )
    unknown = history.geometry.is_empty.to_numpy()
    doubt = shapes.problem != ""
    return BurnHistory(
        burns=history[~unknown].reset_index(drop=True),
        hulls=_causes(history, shapes.problem, doubt & ~unknown),
        left_out=_causes(history, shapes.problem, unknown),
    )


def with_doubts(records: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Records with those that another counts in the place of as `unsure` ground: what only they drew of the fire.

    It has the days of the record that counts. Where that isn't among the records, a record stands for itself.

    Args:
        records: contract RELEASE_RECORDS.

    Returns:
        The same contract; records set aside that drew nothing more are left out.
    """
    place = pd.Index(records["record_id"]).get_indexer(records["kept_instead"])
    aside = place >= 0
    if not aside.any():
        return records
    doubts, counts = records[aside], records.iloc[place[aside]]
    drawn, kept = (
        repair(rows.geometry.to_numpy(), rows["reported_area_ha"].to_numpy(dtype=float)).burnt
        for rows in (doubts, counts)
    )
    days = {name: counts[name].to_numpy() for name in ("fire_year", *_DATES, "end_kind")}
    days = {name: pd.Series(values, doubts.index, records[name].dtype) for name, values in days.items()}
    doubts = doubts.assign(kind=UNSURE, reported_area_ha=np.nan, **days)
    only = gpd.GeoSeries(shapely.difference(drawn, kept), index=doubts.index, crs=records.crs)
    doubts = doubts.set_geometry(only)[~only.is_empty]
    return gpd.GeoDataFrame(pd.concat([records[~aside], doubts]).sort_index())


def _causes(history: gpd.GeoDataFrame, problem: np.ndarray, where: np.ndarray) -> dict[str, str]:
    return dict(zip(history.loc[where, "burn_id"], problem[where], strict=True))


def burn_years(records: gpd.GeoDataFrame) -> pd.Series:
    """Year of each record, by its dates where it names none; empty if it has no dates either."""
    years = records["fire_year"].astype("Int64")
    for name in _DATES:
        years = years.fillna(working_region().fire_years(records[name]))
    return years


def recent_dates(records: gpd.GeoDataFrame, fire_year: int) -> dict[str, pd.Series]:
    """Dates of the burns that two images about a fire of the year may lie before and after, and what the last is.

    Of older burns they are empty: a corrected date of an old fire leaves the histories of later years alone, since
    only its year counts there.
    """
    newest = working_region().fire_years(records[list(_DATES)].max(axis=1))
    recent = (newest >= fire_year - _YEARS_BETWEEN_IMAGES).fillna(False).astype(bool)
    return {name: records[name].where(recent) for name in (*_DATES, "end_kind")}


def could_show(records: gpd.GeoDataFrame, fire_year: int, settings: PerimeterSettings) -> pd.Series:
    """Whether each record's scar could show in imagery of a fire year; records without a year always could."""
    region = working_region()
    years = pd.DataFrame(
        {
            "fire_year": records["fire_year"].astype("Int64"),
            "alarm": region.fire_years(records["alarm_date"]),
            "containment": region.fire_years(records["containment_date"]),
        }
    )
    is_prescribed = records["kind"] == "prescribed"
    shows_for = is_prescribed.map({True: settings.scar_years_prescribed, False: settings.scar_years})
    alarm, first = records["alarm_date"], years.min(axis=1)
    in_winter = (first == fire_year + 1) & (alarm.isna() | (region.months_into(alarm) < _MONTHS_INTO_NEXT_YEAR))
    recent = (years.max(axis=1) >= fire_year - shows_for) & ((first <= fire_year) | in_winter)
    return records["fire_year"].isna() | recent.fillna(False)
