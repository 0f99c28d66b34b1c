"""From a layer as delivered to the one schema of `RELEASE_RECORDS`.

FRAP has renamed fields and changed types over its releases, and its REST service writes dates as epoch
milliseconds: what each becomes is decided here and nowhere else. Records are never dropped.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.errors import InputError
from burnscar_assets.labels.dates import FIRST_YEAR, calendar_days
from burnscar_assets.labels.place import ENOUGH, check_place
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.tables import table_crs
from burnscar_assets.text import clean_column, count_unclean

HECTARES_PER_ACRE = 0.40468564224

FIELDS: dict[str, tuple[str, ...]] = {
    "fire_year": ("YEAR_", "FIRE_YEAR"),
    "state": ("STATE",),
    "agency": ("AGENCY",),
    "unit_id": ("UNIT_ID",),
    "fire_name": ("FIRE_NAME", "TREATMENT_NAME", "NAME"),
    "inc_num": ("INC_NUM", "LOCAL_INCIDENT_NUMBER", "INCIDENT_NUMBER", "TREATMENT_ID"),
    "irwin_id": ("IRWIN_ID",),
    "complex_id": ("COMPLEX_ID",),
    "complex_name": ("COMPLEX_NAME",),
    "cause": ("CAUSE",),
    "c_method": ("C_METHOD", "COLLECTION_METHOD"),
    "alarm_date": ("ALARM_DATE", "START_DATE"),
    "containment_date": ("CONT_DATE", "CONTAINMENT_DATE", "END_DATE"),
    "reported_acres": ("GIS_ACRES", "GIS_CALCULATED_ACRES", "TREATED_AC", "TREATED_ACRES", "REPORTED_ACRES", "ACRES"),
    "reported_hectares": ("GIS_HECTARES", "HECTARES", "AREA_HA"),
    "global_id": ("GLOBAL_ID",),
    "flag": ("FLAG",),
}
"""Names that each field has had, and the aliases of the publisher's Hub; the first that is there is read.

Case, blanks and punctuation don't count (`Alarm Date`, `IRWINID`), nor what follows the ten letters of a shapefile.
"""

_NEEDED_OF_FIRES = ("fire_year", "alarm_date")
_TEXT = (
    "state",
    "agency",
    "unit_id",
    "fire_name",
    "inc_num",
    "irwin_id",
    "complex_id",
    "complex_name",
    "global_id",
    "flag",
)
_SEPARATOR = "\x1f"
_CUT_AT = 10
"""Letters that a shapefile leaves of a field's name."""


def normalise(raw: gpd.GeoDataFrame, kind: str, label: str, notes: list[str] | None = None) -> pd.DataFrame:
    """Bring one layer into the columns of RELEASE_RECORDS, but for `record_id`.

    Args:
        raw: Layer as delivered, with a CRS.
        kind: `fire` or `prescribed`.
        label: How errors name the layer.
        notes: What was decided, left out or is doubtful is added, a sentence each.

    Returns:
        The columns of the contract, in the region's CRS, and beside them `state` and `global_id`.

    Raises:
        InputError: a field that fires need is missing, or holds text where dates or numbers belong; or most records
            lie elsewhere than their CRS says.
    """
    found = match_fields(map(str, raw.columns))
    missing = [FIELDS[name][0] for name in _NEEDED_OF_FIRES if name not in found]
    if kind == "fire" and missing:
        fields = ", ".join(map(str, raw.columns.drop(raw.geometry.name)))
        raise InputError(f"{label} lacks {', '.join(missing)}; its fields are {fields}: set release.fire_layer")
    rows: dict[str, pd.Series | str] = {name: as_text(take(raw, found, name)) for name in _TEXT}
    for name in ("alarm_date", "containment_date"):
        rows[name] = calendar_days(take(raw, found, name), label, found.get(name, name))
    rows["fire_year"] = _whole_numbers(take(raw, found, "fire_year"), label, found.get("fire_year", "fire_year"))
    for name in ("cause", "c_method"):
        rows[name] = _code(take(raw, found, name))
    hectares = _numbers(take(raw, found, "reported_hectares"))
    hectares = (_numbers(take(raw, found, "reported_acres")) * HECTARES_PER_ACRE).fillna(hectares)
    out = pd.DataFrame({"kind": kind, **rows, "reported_area_ha": hectares})
    _check_years(out, label)
    if notes is not None:
        notes += [f"{label}: {note}" for note in _notes(raw, found, out)]
    out["fire_year"] = out["fire_year"].where(out["fire_year"].isin(_credible_years()))
    for name in ("irwin_id", "global_id"):
        out[name] = out[name].str.strip("{} ").str.lower().replace("", pd.NA)
    out["complex_id"] = out["complex_id"].mask(is_blank_number(out["complex_id"]))
    placed = raw.geometry.to_crs(table_crs())
    witness = 1.0 if kind == "fire" else np.nan  # of a prescribed burn a part may be treated
    check_place(raw.geometry, placed, witness * out["reported_area_ha"].to_numpy(dtype=float), label)
    return out.assign(geometry=placed.to_numpy())


def to_records(parts: list[pd.DataFrame]) -> gpd.GeoDataFrame:
    """Join normalised layers into RELEASE_RECORDS, giving each record its identity; rows sorted by it."""
    rows = pd.concat(parts, ignore_index=True)
    rows["record_id"] = record_ids(rows)
    records = RELEASE_RECORDS.conform(rows[RELEASE_RECORDS.column_names])
    return records.sort_values("record_id", ignore_index=True)


def record_ids(rows: pd.DataFrame) -> pd.Series:
    """Identity of each record, whatever the order of the rows.

    A GlobalID that no other record has; else a hash of kind, year, state, agency, unit, incident number and
    name; where those are shared, of alarm and reported area too; and copies that are alike even in these get
    `-2`, `-3`, … in the order of what else they hold. Dates and area are asked last because later releases
    correct them, and a corrected fire is still the same fire.
    """
    names = ["kind", "fire_year", "state", "agency", "unit_id", "inc_num", "fire_name"]
    named = _hash_rows(rows[names])
    told_apart = _hash_rows(rows[[*names, "alarm_date"]].assign(area=rows["reported_area_ha"].round(2)))
    ids = named.mask(named.duplicated(keep=False), told_apart)
    own = rows["global_id"].notna() & ~rows["global_id"].duplicated(keep=False)
    ids = ids.mask(own, rows["global_id"]).astype(object)
    again = ids.duplicated(keep=False)
    if again.any():
        copies = rows.loc[again, [*names, "containment_date", "irwin_id", "c_method"]]
        content = _hash_rows(copies.assign(shape=gpd.GeoSeries(rows.loc[again, "geometry"]).to_wkb(hex=True)))
        order = pd.DataFrame({"id": ids[again], "content": content}).sort_values(["id", "content"])
        number = order.groupby("id").cumcount().reindex(order.index)
        ids[order.index] = np.where(number > 0, order["id"] + "-" + (number + 1).astype(str), order["id"])
    return ids


def is_blank_number(numbers: pd.Series) -> pd.Series:
    """Whether an incident or complex number is empty or just zeros, as in `00000000`."""
    return numbers.isna() | numbers.fillna("").str.fullmatch(r"[0\s]*").astype(bool)


def match_fields(columns: Iterable[str], fields: Mapping[str, tuple[str, ...]] = FIELDS) -> dict[str, str]:
    """Which of the columns holds each field; fields that no column holds are left out."""
    return {name: candidates[0] for name, candidates in matching_columns(columns, fields).items()}


def matching_columns(
    columns: Iterable[str], fields: Mapping[str, tuple[str, ...]] = FIELDS
) -> dict[str, tuple[str, ...]]:
    """All columns that could hold each field, the one that is read first.

    Names come in the order of `fields`; of columns that differ in spelling alone the first in the alphabet, which is
    the one in capitals; names that a shapefile cut come last.
    """
    there = sorted(columns)
    whole = {name: [c for v in variants for c in there if _key(c) == _key(v)] for name, variants in fields.items()}
    taken = {column for candidates in whole.values() for column in candidates}
    cut = [column for column in there if len(column) == _CUT_AT and column not in taken]
    for name, variants in fields.items():
        new = [c for v in variants for c in cut if len(v) > _CUT_AT and _key(c) == _key(v[:_CUT_AT])]
        whole[name] += [column for column in new if column not in taken]
        taken |= set(new)
    return {name: tuple(candidates) for name, candidates in whole.items() if candidates}


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def take(raw: gpd.GeoDataFrame, found: Mapping[str, str], name: str) -> pd.Series:
    """The values of a field; all missing where no column holds it."""
    if name in found:
        return pd.Series(raw[found[name]].to_numpy(), dtype=raw[found[name]].dtype)
    return pd.Series([None] * len(raw), dtype=object)


def as_text(column: pd.Series) -> pd.Series:
    """Values as text without unseen characters or spaces around; what is empty is missing."""
    if pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return clean_column(column).astype("string").str.strip().replace("", pd.NA)


def text_notes(raw: gpd.GeoDataFrame, found: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """Of which fields of text `as_text` takes out unseen characters, a sentence each."""
    for name in names:
        if unclean := count_unclean(take(raw, found, name)):
            yield f"control or unseen characters were taken out of {found[name]} in {unclean} record(s)"


def _credible_years() -> range:
    """Fire years that a record can be of; another counts as none, so that negatives of every year keep off the burn."""
    return range(FIRST_YEAR, datetime.now(UTC).year + 1)


def _check_years(rows: pd.DataFrame, label: str) -> None:
    """See that the fire years are years, and that alarms are of them.

    Raises:
        InputError: of most records they aren't: a field of another meaning, or dates in another unit.
    """
    years = rows["fire_year"].dropna()
    if len(years) >= ENOUGH and not years.isin(_credible_years()).mean() >= 0.5:
        raise InputError(
            f"{label}: {len(years)} records name fire years such as {years.iloc[0]}, which are no years from "
            f"{FIRST_YEAR} to now: is it the right field? Correct it in the source, or set release.fire_layer"
        )
    both = rows.dropna(subset=["fire_year", "alarm_date"])
    off = (working_region().fire_years(both["alarm_date"]) - both["fire_year"]).abs() > 1
    if len(both) >= ENOUGH and off.mean() > 0.5:
        example = both[off].iloc[0]
        guess = ": seconds or day numbers taken for milliseconds?" if example["alarm_date"].year == 1970 else ""
        raise InputError(
            f"{label}: {off.sum()} of {len(both)} alarm dates are not of their fire year, such as "
            f"{example['alarm_date']:%Y-%m-%d} of {example['fire_year']}{guess}; correct them in the source"
        )


def _notes(raw: gpd.GeoDataFrame, found: Mapping[str, str], rows: pd.DataFrame) -> Iterator[str]:
    """What is doubtful in a layer's fields, before absurd years are dropped."""
    if "containment_date" not in found:
        yield "no field holds containment dates (CONT_DATE): perimeters.assumed_duration_days says what then holds"
    for read, *others in matching_columns(map(str, raw.columns)).values():
        if others:
            yield f"of the fields {read}, {', '.join(others)}, {read} is read"
    yield from text_notes(raw, found, _TEXT)
    for name in ("cause", "c_method"):
        if unknown := int((take(raw, found, name).notna() & rows[name].isna()).sum()):
            yield f"{found[name]} is no code in {unknown} record(s) and counts as missing"
    absurd = rows["fire_year"].dropna()
    absurd = absurd[~absurd.isin(_credible_years())]
    if len(absurd):
        now = f"is no year from {FIRST_YEAR} to now in {len(absurd)} record(s), as {absurd.iloc[0]}"
        yield f"{found['fire_year']} {now}"
    for name in ("alarm_date", "containment_date"):
        days = rows[name].dropna()
        odd = days[(days.dt.year < FIRST_YEAR) | (days > pd.Timestamp.now(UTC) + pd.Timedelta(days=1))]
        if len(odd):
            example = f"{odd.iloc[0]:%Y-%m-%d}"
            yield f"{found[name]} is before {FIRST_YEAR} or in the future in {len(odd)} record(s), as {example}"


def _numbers(column: pd.Series) -> pd.Series:
    """Values as numbers, thousands separated by commas too; NaN where there is none."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        column = column.astype("string").str.replace(",", "")
    return pd.to_numeric(column, errors="coerce").astype(float)


def _code(column: pd.Series) -> pd.Series:
    """Codes of a domain; of text such as `1 - Lightning` its number; missing where there is none."""
    text = as_text(column).str.extract(r"^(\d{1,4})(?:\.0+)?\b", expand=False)
    return pd.to_numeric(text, errors="coerce").astype("Int64")


def _whole_numbers(column: pd.Series, label: str, field: str) -> pd.Series:
    text = column if pd.api.types.is_numeric_dtype(column.dtype) else as_text(column)
    numbers = pd.to_numeric(text, errors="coerce").astype("Float64")
    bad = column[(numbers.isna() & text.notna()) | (numbers % 1 != 0).fillna(False)]
    if len(bad):
        raise InputError(
            f"{label}: field {field} holds {bad.iloc[0]!r} in {len(bad)} record(s); only whole numbers are allowed: "
            "correct it in the source"
        )
    return numbers.astype("Int64")


def _hash_rows(rows: pd.DataFrame) -> pd.Series:
    lines = pd.Series("", index=rows.index, dtype=object)
    for name in rows.columns:
        lines = lines + rows[name].astype("string").str.casefold().fillna("").astype(object) + _SEPARATOR
    return lines.map(lambda line: hashlib.sha256(line.encode()).hexdigest()[:20])
