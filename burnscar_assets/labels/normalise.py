"""From a layer as delivered to the one schema of `RELEASE_RECORDS`.

FRAP has renamed fields and changed types over its releases, and its REST service writes dates as epoch
milliseconds: what each becomes is decided here and nowhere else. Records are never dropped.
"""

import hashlib
from collections.abc import Iterable, Mapping

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.errors import InputError
from burnscar_assets.labels.dates import calendar_days
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.tables import TABLE_CRS

HECTARES_PER_ACRE = 0.40468564224
CREDIBLE_YEARS = range(1850, 2101)
"""A year outside counts as none, so that the burn is kept off the negatives of every year."""

FIELDS: dict[str, tuple[str, ...]] = {
    "fire_year": ("YEAR_", "YEAR", "FIRE_YEAR"),
    "state": ("STATE",),
    "agency": ("AGENCY",),
    "unit_id": ("UNIT_ID",),
    "fire_name": ("FIRE_NAME", "TREATMENT_NAME", "TREATMENT_"),
    "inc_num": ("INC_NUM", "TREATMENT_ID"),
    "irwin_id": ("IRWINID", "IRWIN_ID"),
    "complex_id": ("COMPLEX_ID",),
    "complex_name": ("COMPLEX_NAME", "COMPLEX_NA"),
    "cause": ("CAUSE",),
    "c_method": ("C_METHOD",),
    "alarm_date": ("ALARM_DATE", "START_DATE"),
    "containment_date": ("CONT_DATE", "END_DATE"),
    "reported_acres": ("GIS_ACRES", "TREATED_AC"),
    "global_id": ("GLOBALID", "GLOBAL_ID"),
}
"""Names that each field has had, whatever their case; ten letters where a shapefile cut them."""

_NEEDED_OF_FIRES = ("fire_year", "alarm_date", "containment_date")
_TEXT = ("state", "agency", "unit_id", "fire_name", "inc_num", "irwin_id", "complex_id", "complex_name", "global_id")
_SEPARATOR = "\x1f"


def normalise(raw: gpd.GeoDataFrame, kind: str, label: str) -> pd.DataFrame:
    """Bring one layer into the columns of RELEASE_RECORDS, but for `record_id`.

    Args:
        raw: Layer as delivered, with a CRS.
        kind: `fire` or `prescribed`.
        label: How errors name the layer.

    Returns:
        The columns of the contract, in EPSG:3310, and beside them `state` and `global_id`.

    Raises:
        InputError: a field that fires need is missing, or holds text where dates or numbers belong.
    """
    found = match_fields(map(str, raw.columns))
    missing = [FIELDS[name][0] for name in _NEEDED_OF_FIRES if name not in found]
    if kind == "fire" and missing:
        fields = ", ".join(map(str, raw.columns.drop(raw.geometry.name)))
        raise InputError(f"{label} lacks {', '.join(missing)}; its fields are {fields}: set release.fire_layer")
    rows: dict[str, pd.Series | str] = {name: as_text(take(raw, found, name)) for name in _TEXT}
    for name in ("alarm_date", "containment_date"):
        rows[name] = calendar_days(take(raw, found, name), label, found.get(name, name))
    for name in ("fire_year", "cause", "c_method"):
        rows[name] = _whole_numbers(take(raw, found, name), label, found.get(name, name))
    acres = pd.to_numeric(take(raw, found, "reported_acres"), errors="coerce")
    out = pd.DataFrame({"kind": kind, **rows, "reported_area_ha": acres.astype(float) * HECTARES_PER_ACRE})
    out["fire_year"] = out["fire_year"].where(out["fire_year"].isin(CREDIBLE_YEARS))
    for name in ("irwin_id", "global_id"):
        out[name] = out[name].str.strip("{} ").str.lower().replace("", pd.NA)
    out["complex_id"] = out["complex_id"].mask(is_blank_number(out["complex_id"]))
    return out.assign(geometry=raw.geometry.to_crs(TABLE_CRS).to_numpy())


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
    by_name = {column.upper(): column for column in sorted(columns, reverse=True)}
    matches = {name: next((by_name[v] for v in variants if v in by_name), None) for name, variants in fields.items()}
    return {name: column for name, column in matches.items() if column is not None}


def take(raw: gpd.GeoDataFrame, found: Mapping[str, str], name: str) -> pd.Series:
    """The values of a field; all missing where no column holds it."""
    if name in found:
        return pd.Series(raw[found[name]].to_numpy(), dtype=raw[found[name]].dtype)
    return pd.Series([None] * len(raw), dtype=object)


def as_text(column: pd.Series) -> pd.Series:
    """Values as text without spaces around; what is empty is missing."""
    if pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").str.strip().replace("", pd.NA)


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
