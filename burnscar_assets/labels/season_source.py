"""The season's perimeters: a label source whose fires are mapped before the release has them, read year by year.

Its file, fields, days and places are read by the code that reads labels. Here stands what is particular to a season:
which rows are asked for, that fires still burn and grow, and which of their sums tell a change. Records are never
dropped here; which of them are good enough to be mapped is `in_season`'s business.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import geopandas as gpd
import pandas as pd

from burnscar_assets.errors import BurnscarError, SourceUnavailableError
from burnscar_assets.labels.arcgis import EVERY_ROW, RestLayer, count_rows, describe_layer, open_layer
from burnscar_assets.labels.fields import check_fields, match_fields, names_of
from burnscar_assets.labels.http import quickly
from burnscar_assets.labels.layer_address import is_rest_layer
from burnscar_assets.labels.layer_facts import read_statistics
from burnscar_assets.labels.normalise import record_ids
from burnscar_assets.labels.plausibility import FEWEST_FIRES
from burnscar_assets.labels.release import fetch_source
from burnscar_assets.labels.watch import SourceState, observe_one
from burnscar_assets.network.masking import mask_address
from burnscar_assets.progress import Progress, silent
from burnscar_assets.regions.load import working_region
from burnscar_assets.settings import InSeasonSettings
from burnscar_assets.storage.contracts import IN_SEASON_RECORDS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot

EXPECTED: Final = "expected"
"""`contained_by` of a fire whose containment was still to come."""

BURNING: Final = "burning"
"""`contained_by` of a fire that a satellite saw burn lately."""

UNDER_WAY: Final = (EXPECTED, BURNING)
"""What `contained_by` says of fires that aren't contained."""

QUIET_DAYS: Final = 7
"""A fire whose end is a satellite's last detection burns until it was not seen for so many days."""

COMPLETE_PERCENT: Final = 100.0

_DATE: Final = "esriFieldTypeDate"
_SUMS: Final = ("area.0", "percent_contained")
_NEWEST: Final = ("perimeter_date.0", "edited")
_SETTINGS: Final = re.compile(rf"\brelease\.(?={'|'.join(InSeasonSettings.model_fields)})")


def read_season(
    settings: InSeasonSettings,
    root: DataRoot,
    fire_year: int,
    progress: Progress = silent,
    notes: list[str] | None = None,
) -> gpd.GeoDataFrame:
    """Read the records of a fire year.

    Args:
        settings: The source, the state, and how to ask.
        root: Relative sources lie under it.
        fire_year: The year.
        progress: Told bytes and rows.
        notes: What was cleaned, decided or is doubtful is added, a sentence each.

    Returns:
        Contract IN_SEASON_RECORDS (the region's CRS), sorted by `record_id`; empty while there is none.

    Raises:
        InputError: no such source, one of other fields, or one whose records of the region lie elsewhere.
        SourceUnavailableError: no answer after all tries, or rows changed while they were read.
    """
    with _settings_named():
        fetched = fetch_source(settings, root, progress, lambda layer: season_sql(layer, settings, fire_year))
    if notes is not None:
        notes += fetched.notes
    rows = pd.concat(fetched.parts, ignore_index=True)
    if (state := settings.of_state) is not None:
        rows = rows[rows["state"].eq(state).fillna(False)]
    return season_records(rows, fire_year, datetime.now(UTC))


def season_records(rows: pd.DataFrame, fire_year: int, now: datetime) -> gpd.GeoDataFrame:
    """Records of a fire year, as `read_season` has them.

    Of several polygons of one fire the newest has the fire's identity, the others have it with `-2`, `-3`, …

    Args:
        rows: What `normalise` made of the source's layers, of any year.
        fire_year: The year.
        now: When they were read.
    """
    rows = rows[(rows["fire_year"] == fire_year).fillna(False)].reset_index(drop=True)
    rows = _with_containment(rows.assign(fire_name=rows["fire_name"].str.upper()), now)
    rows["newest_id"] = (rows["id_prefix"] + rows["id"]).fillna(record_ids(rows.assign(id=None)))
    rows["record_id"] = _steps(rows)
    records = IN_SEASON_RECORDS.conform(rows.assign(kept_instead=None)[IN_SEASON_RECORDS.column_names])
    return records.sort_values("record_id", ignore_index=True)


def _with_containment(rows: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Rows with the day that a fire was contained, and what it is; a day after the record's last edit was expected."""
    unknown = rows["containment_date"].isna() & (rows["percent_contained"] >= COMPLETE_PERCENT)
    at_once = unknown & rows["perimeter_date"].notna()
    end = rows["containment_date"].mask(at_once, rows["perimeter_date"])
    by, kind = rows["contained_by"].mask(at_once, "perimeter"), rows["end_kind"].mask(at_once, "contained")
    expected = end > rows["edited"]
    burning = (kind == "last_detection").fillna(False) & (end > now - timedelta(days=QUIET_DAYS))
    return rows.assign(
        containment_date=end,
        end_kind=kind.mask(expected),
        end_precision_days=rows["end_precision_days"].mask(at_once, 1.0),
        contained_by=by.mask(burning, BURNING).mask(expected, EXPECTED),
    )


def _steps(rows: pd.DataFrame) -> pd.Series:
    """The fire's identity for its newest perimeter; for others with a number, newer and larger ones first."""
    rank = rows[["newest_id", "perimeter_date", "reported_area_ha"]]
    rank = rank.assign(shape=gpd.GeoSeries(rows["geometry"]).to_wkb(hex=True))
    rank = rank.sort_values(list(rank.columns), ascending=[True, False, False, True], na_position="last")
    number = rank.groupby("newest_id").cumcount().reindex(rows.index) + 1
    return rows["newest_id"].where(number == 1, rows["newest_id"] + "-" + number.astype(str))


def season_sql(layer: RestLayer, settings: InSeasonSettings, fire_year: int) -> str:
    """SQL of the rows that a fire year's records are among: of the state, and of the year with a day about it.

    Which of them are of the year is told by their days in the region. Dates are absolute: NIFC asks not to query by
    dates relative to now.
    """
    found = match_fields(layer.fields, names_of(settings.label_source))
    wanted = [f"{found['state']} = '{settings.of_state}'"] if settings.of_state and "state" in found else []
    starts = [column for name, column in found.items() if name.startswith("start.")]
    if len(starts) == 1 and layer.types[starts[0]] == _DATE and "fire_year" not in found:
        region, day = working_region(), timedelta(days=1)
        first, last = (region.midnight(region.first_day(year)) for year in (fire_year, fire_year + 1))
        bounds = [f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'" for moment in (first - day, last + day)]
        wanted += [f"{starts[0]} >= {bounds[0]}", f"{starts[0]} < {bounds[1]}"]
    return " AND ".join(wanted) or EVERY_ROW


def observe_season(
    settings: InSeasonSettings, root: DataRoot, fire_year: int, known: SourceState | None = None
) -> SourceState:
    """Look at a fire year, to see whether it changed, without fetching its perimeters.

    A layer is often national and changes every few minutes, so its edit date tells nothing: it is asked in three short
    questions how many rows of the year there are, how large, how far contained, and when one was edited last.

    Args:
        settings: The source and the state.
        root: Relative sources lie under it.
        fire_year: The year.
        known: What was seen last.

    Raises:
        InputError: no such source, or one of other fields.
        SourceUnavailableError: no answer, or an empty one of a layer without rows or of a year that had many
            records, as while the layer is loaded anew.
    """
    with _settings_named():
        if is_rest_layer(settings.source):
            return _observe_layer(quickly(settings), fire_year, int(known.facts.get("records", 0)) if known else 0)
        return observe_one(settings, root, known)


def _observe_layer(settings: InSeasonSettings, fire_year: int, had_records: int) -> SourceState:
    with open_layer(settings.source, settings) as session:
        layer = describe_layer(session, settings.source, settings)
        remedy = f"check {settings.setting} and in_season.format"
        found = check_fields(layer.fields, settings.label_source, f"layer {layer.name} of {layer.url}", remedy)
        where = season_sql(layer, settings, fire_year)
        records = count_rows(session, layer, settings, where)
        lost = not records and had_records >= FEWEST_FIRES
        if lost or not (records or count_rows(session, layer, settings)):
            raise SourceUnavailableError(
                f"{settings.source} has no fires of {fire_year}: it is being loaded anew; if it stays so, check "
                f"{settings.setting}"
            )
        names = [("sum", name) for name in _SUMS] + [("max", name) for name in _NEWEST]
        names += [(kind, name) for name in found if name.startswith("end.") for kind in ("count", "max")]
        asked = {f"{kind}_{name.replace('.', '_')}": (kind, found[name]) for kind, name in names if name in found}
        groups = read_statistics(session, layer, settings, asked, found.get("kind"), where) if records else []
    facts = {str(kind): sums | _day_of_edit(sums) for kind, sums in groups}
    seen = facts if facts or not records else layer.edited_ms
    note = "the service gives no statistics: each edit of the layer counts as a change" if records and not facts else ""
    version = hash_json([where, records, seen])[:16]
    return SourceState(mask_address(settings.source), "rest", version, {"records": records, **facts}, note)


def _day_of_edit(sums: dict[str, Any]) -> dict[str, str]:
    """Just the day of the last edit: edits of one day show in the other sums, if they matter."""
    edited = sums.get("max_edited")
    return {"max_edited": edited[:10]} if edited else {}


@contextmanager
def _settings_named() -> Iterator[None]:
    """Errors of the code that reads labels name the settings of the season."""
    try:
        yield
    except BurnscarError as error:
        raise type(error)(_SETTINGS.sub("in_season.", str(error))) from error
