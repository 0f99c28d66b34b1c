"""The in-season source: the interagency perimeters of WFIGS, read into the columns of the release.

WFIGS (Wildland Fire Interagency Geospatial Services, NIFC) publishes a perimeter an incident within minutes of a
change. Its fields are of two kinds: `poly_…` of the polygon, `attr_…` of the incident in IRWIN. Records are never
dropped here; which of them are good enough to be mapped is `in_season`'s business.
"""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.labels.arcgis import read_rest_layer
from burnscar_assets.labels.dates import calendar_days
from burnscar_assets.labels.fields import as_text, identifier, match_fields, take, text_notes
from burnscar_assets.labels.place import check_place
from burnscar_assets.progress import Progress, silent
from burnscar_assets.regions.load import working_region
from burnscar_assets.settings import InSeasonSettings
from burnscar_assets.sources.load import SEASON
from burnscar_assets.sources.source import HECTARES
from burnscar_assets.storage.contracts import IN_SEASON_RECORDS
from burnscar_assets.storage.tables import table_crs

EXPECTED: Final = "expected"
"""`contained_by` of a fire whose containment was still to come."""

COMPLETE_PERCENT: Final = 100.0

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "irwin": ("ATTR_IRWINID",),
    "polygon_irwin": ("POLY_IRWINID",),
    "incident_id": ("ATTR_UNIQUEFIREIDENTIFIER",),
    "global_id": ("GLOBALID",),
    "state": ("ATTR_POOSTATE",),
    "category": ("ATTR_INCIDENTTYPECATEGORY",),
    "name": ("ATTR_INCIDENTNAME",),
    "polygon_name": ("POLY_INCIDENTNAME",),
    "number": ("ATTR_LOCALINCIDENTIDENTIFIER",),
    "agency": ("ATTR_POOPROTECTINGAGENCY", "ATTR_POOJURISDICTIONALAGENCY"),
    "unit": ("ATTR_POOPROTECTINGUNIT", "ATTR_POOJURISDICTIONALUNIT"),
    "complex_id": ("ATTR_CPXID",),
    "complex_name": ("ATTR_CPXNAME",),
    "cause": ("ATTR_FIRECAUSE",),
    "method": ("POLY_MAPMETHOD",),
    "acres": ("POLY_GISACRES",),
    "computed_acres": ("POLY_ACRES_AUTOCALC",),
    "percent_contained": ("ATTR_PERCENTCONTAINED",),
    "discovered": ("ATTR_FIREDISCOVERYDATETIME",),
    "contained": ("ATTR_CONTAINMENTDATETIME",),
    "controlled": ("ATTR_CONTROLDATETIME",),
    "out": ("ATTR_FIREOUTDATETIME",),
    "modified": ("ATTR_MODIFIEDONDATETIME_DT",),
    "polygon_date": ("POLY_DATECURRENT", "POLY_POLYGONDATETIME"),
    "mapped": ("POLY_POLYGONDATETIME",),
}
"""Names of WFIGS's fields, in capitals."""

NEEDED: Final = ("state", "category", "discovered", "contained", "percent_contained", "acres", "polygon_date")

_DATES = frozenset({"discovered", "contained", "controlled", "out", "modified", "polygon_date", "mapped"})
_NUMBERS = frozenset({"acres", "computed_acres", "percent_contained"})
_TEXTS = tuple(name for name in FIELDS if name not in _DATES | _NUMBERS)
_KINDS = {"WF": "fire", "RX": "prescribed"}
_END_KINDS = {"containment": "contained", "control": "controlled", "out": "controlled", "perimeter": "contained"}
_CAUSES = {"natural": 1, "undetermined": 14, "unknown": 14}
_METHODS = (("gps-flight", 2), ("gps", 1), ("infrared", 3), ("ir ", 3), ("image", 4), ("hand sketch", 6), ("mixed", 7))
"""Beginnings of WFIGS's map methods and FRAP's codes of them; all others are 8, unknown."""


def read_season(
    settings: InSeasonSettings, fire_year: int, progress: Progress = silent, notes: list[str] | None = None
) -> gpd.GeoDataFrame:
    """Read the records of a fire year: fires of the state that were discovered in that year.

    Args:
        settings: The layer, the state, and how to ask.
        fire_year: The year.
        progress: Told the rows read.
        notes: What was cleaned is added, a sentence each.

    Returns:
        Contract IN_SEASON_RECORDS (the region's CRS), sorted by `record_id`; empty while there is none.

    Raises:
        InputError: no such layer, one of other fields, or one whose records of the region lie elsewhere.
        SourceUnavailableError: no answer after all tries, or rows changed while they were read.
    """
    layer, rows = read_rest_layer(settings.source, settings, progress, where=season_sql(settings, fire_year))
    return normalise_incidents(rows, fire_year, f"layer {layer.name} of {layer.url}", settings.setting, notes)


def season_sql(settings: InSeasonSettings, fire_year: int) -> str:
    """SQL of the records of a fire year, from midnight to midnight in the region, with absolute dates.

    NIFC asks not to query by dates relative to now.
    """
    region = working_region()
    days = [region.first_day(year) for year in (fire_year, fire_year + 1)]
    start, end = (f"TIMESTAMP '{region.midnight(day):%Y-%m-%d %H:%M:%S}'" for day in days)
    found = "attr_FireDiscoveryDateTime"
    return f"attr_POOState = '{settings.state}' AND {found} >= {start} AND {found} < {end}"


def match_incident_fields(columns: tuple[str, ...], label: str, setting: str) -> dict[str, str]:
    """Which column holds each field.

    Raises:
        InputError: a field that is needed is missing.
    """
    found = match_fields(columns, FIELDS)
    missing = [FIELDS[name][0].lower() for name in NEEDED if name not in found]
    if missing:
        raise InputError(f"{label} lacks {', '.join(missing)}: is it WFIGS's layer of perimeters? Check {setting}")
    return found


def normalise_incidents(
    raw: gpd.GeoDataFrame,
    fire_year: int,
    label: str,
    setting: str = InSeasonSettings.setting,
    notes: list[str] | None = None,
) -> gpd.GeoDataFrame:
    """Bring WFIGS's rows into the contract IN_SEASON_RECORDS.

    A fire is known by its IRWIN id, else its unique fire identifier. Of several polygons of one fire the newest has
    that identity, the others have it with `-2`, `-3`, …

    Args:
        raw: Rows as delivered, with a CRS.
        fire_year: The year that was asked for.
        label: How errors name the layer.
        setting: How errors name the setting of the layer.
        notes: What was cleaned is added, a sentence each.

    Raises:
        InputError: a needed field is missing, or holds text where dates belong; or most records of the region lie
            elsewhere than their CRS says.
    """
    found = match_incident_fields(tuple(map(str, raw.columns)), label, setting)
    if notes is not None:
        notes += [f"{label}: {note}" for note in text_notes(raw, found, _TEXTS)]
    rows = _rows(raw, found, label).assign(fire_year=fire_year, source=SEASON, flag=None, kept_instead=None)
    global_ids = as_text(take(raw, found, "global_id"))
    rows["newest_id"] = _fire_ids(rows, identifier(global_ids))
    rows["record_id"] = _record_ids(rows, global_ids)
    placed = raw.geometry.to_crs(table_crs())
    here = _of_region(as_text(take(raw, found, "state")))
    check_place(raw.geometry[here], placed[here], rows.loc[here, "reported_area_ha"].to_numpy(dtype=float), label)
    records = gpd.GeoDataFrame(rows, geometry=placed.to_numpy(), crs=table_crs())
    return IN_SEASON_RECORDS.conform(records).sort_values("record_id", ignore_index=True)


def _of_region(states: pd.Series) -> NDArray[np.bool_]:
    """Which records are of fires that must lie in the region: all of them where nothing says what is."""
    code = working_region().iso_code
    return np.ones(len(states), bool) if code is None else states.eq(code).fillna(False).to_numpy(dtype=bool)


def _rows(raw: gpd.GeoDataFrame, found: dict[str, str], label: str) -> pd.DataFrame:
    """What the fields say of each record, but for its identity."""
    text = {name: as_text(take(raw, found, name)) for name in _TEXTS}
    number = {name: pd.to_numeric(take(raw, found, name), errors="coerce").astype(float) for name in _NUMBERS}
    day = {name: calendar_days(take(raw, found, name), label, found.get(name, name)) for name in _DATES}
    perimeter = _perimeter_day(day)
    containment, contained_by = _containment(day, perimeter, number["percent_contained"])
    return pd.DataFrame(
        {
            "kind": text["category"].str.upper().map(_KINDS).fillna("other"),
            "agency": text["agency"],
            "unit_id": text["unit"].str.replace(r"^CA(?=\w{3}$)", "", regex=True),
            "fire_name": text["name"].fillna(text["polygon_name"]).str.upper(),
            "inc_num": text["number"],
            "irwin_id": identifier(text["irwin"]).fillna(identifier(text["polygon_irwin"])),
            "complex_id": identifier(text["complex_id"]),
            "complex_name": text["complex_name"],
            "cause": text["cause"].str.lower().map(_CAUSES).astype("Int64"),
            "c_method": text["method"].map(_method, na_action="ignore").astype("Int64"),
            "alarm_date": day["discovered"],
            "containment_date": containment,
            "end_kind": contained_by.map(_END_KINDS).astype("string"),
            "end_precision_days": np.where(containment.isna(), np.nan, 1.0),
            "reported_area_ha": number["acres"].fillna(number["computed_acres"]) * HECTARES["acres"],
            "incident_id": text["incident_id"],
            "percent_contained": number["percent_contained"],
            "perimeter_date": perimeter,
            "contained_by": contained_by,
        }
    )


def _perimeter_day(day: dict[str, pd.Series]) -> pd.Series:
    """The day that the perimeter is from: of its edit, or of its mapping if the incident wasn't edited any more."""
    edited, mapped = (day[name].where(~(day[name] > day["modified"])) for name in ("polygon_date", "mapped"))
    return edited.fillna(mapped)


def _containment(day: dict[str, pd.Series], perimeter: pd.Series, percent: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The day of containment and what it is; a day after the record's last edit was an expectation."""
    complete = percent >= COMPLETE_PERCENT
    told = {
        "containment": day["contained"],
        "control": day["controlled"],
        "out": day["out"],
        "perimeter": perimeter.where(complete),
    }
    date = pd.Series(pd.NaT, index=perimeter.index, dtype="datetime64[us, UTC]")
    by = pd.Series(pd.NA, index=perimeter.index, dtype="string")
    for name, days in told.items():
        new = date.isna() & days.notna()
        date, by = date.mask(new, days), by.mask(new, name)
    return date, by.mask(date > day["modified"], EXPECTED)


def _fire_ids(rows: pd.DataFrame, global_ids: pd.Series) -> pd.Series:
    named = rows["unit_id"].fillna("") + "-" + rows["inc_num"].fillna("") + "-" + rows["fire_name"].fillna("")
    fire = rows["irwin_id"].fillna(rows["incident_id"].str.lower()).fillna(global_ids).fillna(named)
    return f"{SEASON}-" + fire.astype("string")


def _record_ids(rows: pd.DataFrame, global_ids: pd.Series) -> pd.Series:
    """The fire's identity for its newest perimeter; for others with a number, newer and larger ones first."""
    rank = rows[["newest_id", "perimeter_date", "reported_area_ha"]].assign(own=global_ids.fillna(""))
    rank = rank.sort_values(list(rank.columns), ascending=[True, False, False, True], na_position="last")
    number = rank.groupby("newest_id").cumcount().reindex(rows.index) + 1
    return rows["newest_id"].where(number == 1, rows["newest_id"] + "-" + number.astype(str))


def _method(said: str) -> int:
    method = said.lower()
    return int(next((code for start, code in _METHODS if method.startswith(start)), np.int64(8)))
