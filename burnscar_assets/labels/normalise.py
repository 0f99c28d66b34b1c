"""From a layer as delivered to the one schema of `RELEASE_RECORDS`, whatever its source.

What a source's fields are called and mean is said by its file; what a record becomes is decided here and nowhere else.
Records are never dropped, but those of a source that reaches beyond the region and lie elsewhere.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.labels.fields import (
    SourceFields,
    check_fields,
    identifier,
    is_blank_number,
    names_of,
    take,
    text_notes,
)
from burnscar_assets.labels.place import ENOUGH, check_place
from burnscar_assets.labels.repair import repair
from burnscar_assets.regions.load import working_region
from burnscar_assets.sources.load import DEFAULT, load_source
from burnscar_assets.sources.source import KINDS, LabelSource, Role
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.tables import table_crs

_TEXT = (
    "state",
    "agency",
    "unit_id",
    "fire_name",
    "inc_num",
    "irwin_id",
    "complex_id",
    "complex_name",
    "id",
    "flag",
)
_SEPARATOR = "\x1f"
_ENDS = ["containment_date", "end_kind", "end_precision_days", "contained_by"]
_REMEDY = "set release.fire_layer, release.format or release.fields"
_OTHER_YEARS = 0.2
"""Share of records whose alarm is of the fire year beside their own from which fire years may be named otherwise."""


def normalise(
    raw: gpd.GeoDataFrame,
    kind: str,
    label: str,
    notes: list[str] | None = None,
    source: LabelSource | None = None,
    role: Role = "label",
) -> pd.DataFrame:
    """Bring one layer into the columns of RELEASE_RECORDS, but for `record_id`.

    Args:
        raw: Layer as delivered, with a CRS.
        kind: `fire` or `prescribed`: what the layer holds where no field of a record says.
        label: How errors name the layer.
        notes: What was decided, left out or is doubtful is added, a sentence each.
        source: What its fields are called and mean; without one FRAP's.
        role: What the fires are read for. To be mapped in season, polygons of one fire stay apart where their days are
            known, and the region may have none yet.

    Returns:
        The columns of the contract, in the region's CRS, and beside them `state`, `id`, `id_prefix` and `contained_by`;
        in season those that tell whether a fire still burns, too.

    Raises:
        InputError: a field that fires need is missing, or holds text where dates or numbers belong; or most records
            lie elsewhere than their CRS says.
    """
    said = [] if notes is None else notes
    source = load_source(DEFAULT) if source is None else source
    here = _of_region(raw, source, label, said, may_be_none=role == "map")
    layer = _Layer(SourceFields.of(here, source, label), kind, role)
    if kind == "fire":
        check_fields(map(str, raw.columns.drop(raw.geometry.name)), source, label, _REMEDY)
    rows, shapes = layer.rows(), layer.fields.raw.geometry
    _check_years(rows, label, source)
    said += [f"{label}: {note}" for note in layer.notes(rows)]
    rows["fire_year"] = rows["fire_year"].where(rows["fire_year"].isin(_credible_years(source)))
    placed, own = shapes.to_crs(table_crs()), rows["kind"] == "fire"
    # of a prescribed burn a part may be treated, and a polygon may name its fire's area: no witnesses of the CRS
    if layer.area_of_fire:
        own &= ~rows["id"].duplicated(keep=False)
    witness = _of_own_state(rows, source)
    reported_ha = rows["reported_area_ha"].where(own)
    check_place(shapes[witness], placed[witness], reported_ha[witness].to_numpy(dtype=float), label)
    rows = rows.assign(geometry=placed.to_numpy())
    return _dissolved(rows, layer) if layer.dissolves else rows


@dataclass(frozen=True)
class _Layer:
    """One layer of a source, and what it holds where no field of a record says."""

    fields: SourceFields
    kind: str
    role: Role

    def rows(self) -> pd.DataFrame:
        """What the fields say of each record, but for its geometry and identity."""
        fields, source = self.fields, self.fields.source
        rows: dict[str, pd.Series | str] = {name: fields.text(name) for name in _TEXT}
        start = self._first([fields.days(name) for name in fields.several("start")])
        year = fields.whole_numbers("fire_year")
        if "fire_year" not in fields.found:
            year = working_region().fire_years(start)
        hectares = self._first([fields.hectares(name) for name in fields.several("area")])
        out = pd.DataFrame({"kind": self._kinds, "source": source.name, **rows, "fire_year": year, "alarm_date": start})
        out = out.assign(**self._end_after(start))
        out = out.assign(cause=fields.codes("cause"), c_method=fields.codes("c_method"), reported_area_ha=hectares)
        out = out.assign(irwin_id=identifier(out["irwin_id"]), id=identifier(out["id"]))
        blank = is_blank_number(out["complex_id"])
        out = out.assign(
            complex_id=out["complex_id"].mask(blank), id_prefix=f"{source.name}-" if source.prefix_ids else ""
        )
        return out.assign(**self._of_season()) if self.role == "map" else out

    def _of_season(self) -> dict[str, pd.Series]:
        """What tells whether a fire still burns, and which of its perimeters is the newest."""
        fields, edited = self.fields, self.fields.days("edited")
        # A perimeter that was edited after its incident is no newer for that.
        drawn = [days.where(~(days > edited)) for days in map(fields.days, fields.several("perimeter_date"))]
        return {
            "incident_id": fields.text("incident_id"),
            "percent_contained": fields.numbers("percent_contained"),
            "perimeter_date": pd.to_datetime(self._first(drawn), utc=True),
            "edited": edited,
        }

    @property
    def _kinds(self) -> pd.Series | str:
        if "kind" not in self.fields.found or self.kind == "prescribed":
            return self.kind
        kinds = self.fields.text("kind").str.casefold()
        return kinds.where(kinds.isin(KINDS), "other")

    def _end_after(self, start: pd.Series) -> dict[str, pd.Series]:
        """The last day of each record, what it is the day of, its precision in days, and what a season calls it."""
        days = pd.Series(pd.NaT, index=range(len(self.fields.raw)), dtype="datetime64[us, UTC]")
        kinds = called = pd.Series(pd.NA, index=days.index, dtype="string")
        precision = pd.Series(np.nan, index=days.index)
        for field, name in zip(self.fields.source.fields.end, self.fields.several("end"), strict=True):
            found = self.fields.days(name)
            new = days.isna() & found.notna()
            if field.within_days is not None:
                new &= ~((found - start).dt.days.abs() > field.within_days)
            days, kinds = days.mask(new, found), kinds.mask(new, field.kind)
            precision, called = precision.mask(new, field.precision_days), called.mask(new, field.called or field.kind)
        return dict(zip(_ENDS, (days, kinds, precision, called), strict=True))

    def _first(self, columns: list[pd.Series]) -> pd.Series:
        """Of each record the first value that it has."""
        first = columns[0] if columns else pd.Series(np.nan, index=range(len(self.fields.raw)))
        for column in columns[1:]:
            first = first.fillna(column)
        return first

    @property
    def dissolves(self) -> bool:
        """Whether polygons of one fire are made one; those of a season that say their days are its steps instead."""
        steps = self.role == "map" and any(name in self.fields.found for name in self.fields.several("perimeter_date"))
        return self.fields.source.dissolve and not steps

    @property
    def area_of_fire(self) -> bool:
        """Whether polygons of one fire name the fire's area each."""
        return any(field.of == "fire" for field in self.fields.source.fields.area)

    def notes(self, rows: pd.DataFrame) -> Iterator[str]:
        """What is doubtful in a layer's fields, before absurd years are dropped."""
        raw, found, names = self.fields.raw, self.fields.found, names_of(self.fields.source)
        days = self.fields.several("end")
        if not any(name in found for name in days):
            wanted = f" ({names[days[0]][0]})" if days else ""
            yield f"no field holds the ends of fires{wanted}: perimeters.assumed_duration_days says what then holds"
        if self.kind == "fire" and names["kind"] and "kind" not in found:
            yield f"no field tells prescribed burns ({names['kind'][0]}): all records count as wildfires"
        if self.dissolves and "id" not in found:
            yield f"no field tells which polygons are one fire ({names['id'][0]}): each counts as a fire"
        every = self.fields.source.fields.every()
        for name, (read, *others) in self.fields.columns.items():
            if others and not every[name].by_record:
                yield f"of the fields {read}, {', '.join(others)}, {read} is read"
        yield from text_notes(raw, found, _TEXT)
        for name in ("cause", "c_method"):
            if unknown := int((take(raw, found, name).notna() & rows[name].isna()).sum()):
                yield f"{found[name]} is no code in {unknown} record(s) and counts as missing"
        if unknown := int((rows["kind"] == "other").sum()):
            yield f"{unknown} record(s) are neither wildfires nor prescribed burns: burns, but no labels"
        credible = _credible_years(self.fields.source)
        absurd = rows["fire_year"].dropna()
        absurd = absurd[~absurd.isin(credible)]
        if len(absurd):
            field = found.get("fire_year", "the year of the start")
            yield f"{field} is no year from {credible.start} to now in {len(absurd)} record(s), as {absurd.iloc[0]}"
        off = (working_region().fire_years(rows["alarm_date"]) - rows["fire_year"]).dropna()
        beside = int((off.abs() == 1).sum())
        if beside >= ENOUGH and beside > _OTHER_YEARS * len(off):
            yield (
                f"{beside} of {len(off)} alarms are of the fire year before or after that of {found['fire_year']}: a "
                f"fire year is named for the year in which it begins, here on {working_region().first_day(2001):%d %B}"
            )
        ends = [] if self.role == "map" else [("end", "containment_date")]  # a running fire's end is often expected
        for name, column in [("start", "alarm_date"), *ends]:
            days = rows[column].dropna()
            odd = days[(days.dt.year < credible.start) | (days > pd.Timestamp.now(UTC) + pd.Timedelta(days=1))]
            if len(odd):
                read = ", ".join(found[each] for each in self.fields.several(name) if each in found)
                example = f"{odd.iloc[0]:%Y-%m-%d}"
                yield f"{read} is before {credible.start} or in the future in {len(odd)} record(s), as {example}"


def to_records(parts: list[pd.DataFrame]) -> gpd.GeoDataFrame:
    """Join normalised layers of any sources into RELEASE_RECORDS, giving each record its identity; sorted by it."""
    rows = pd.concat(parts, ignore_index=True)
    ids = [record_ids(of_source) for _, of_source in rows.groupby("source")]
    rows["record_id"] = pd.concat(ids) if ids else pd.Series([], dtype=object)
    records = RELEASE_RECORDS.conform(rows.assign(kept_instead=None)[RELEASE_RECORDS.column_names])
    return records.sort_values("record_id", ignore_index=True)


def record_ids(rows: pd.DataFrame) -> pd.Series:
    """Identity of each record of one source, whatever the order of the rows.

    An id that no other record has; else a hash of kind, year, state, agency, unit, incident number and
    name; where those are shared, of alarm and reported area too; and copies that are alike even in these get
    `-2`, `-3`, … in the order of what else they hold. Dates and area are asked last because later releases
    correct them, and a corrected fire is still the same fire.
    """
    names = ["kind", "fire_year", "state", "agency", "unit_id", "inc_num", "fire_name"]
    named = _hash_rows(rows[names])
    fresh_and_older = _hash_rows(rows[[*names, "alarm_date"]].assign(area=rows["reported_area_ha"].round(2)))
    ids = named.mask(named.duplicated(keep=False), fresh_and_older)
    own = rows["id"].notna() & ~rows["id"].duplicated(keep=False)
    ids = ids.mask(own, rows["id"]).astype(object)
    again = ids.duplicated(keep=False)
    if again.any():
        copies = rows.loc[again, [*names, "containment_date", "irwin_id", "c_method"]]
        content = _hash_rows(copies.assign(shape=gpd.GeoSeries(rows.loc[again, "geometry"]).to_wkb(hex=True)))
        order = pd.DataFrame({"id": ids[again], "content": content}).sort_values(["id", "content"])
        number = order.groupby("id").cumcount().reindex(order.index)
        ids[order.index] = np.where(number > 0, order["id"] + "-" + (number + 1).astype(str), order["id"])
    return rows["id_prefix"] + ids


def _of_own_state(rows: pd.DataFrame, source: LabelSource) -> NDArray[np.bool_]:
    """Which records are of fires that must lie in the region: all of them where nothing says what is."""
    code = working_region().iso_code
    if code is None or not source.iso_states:
        return np.ones(len(rows), dtype=bool)
    return (rows["state"].isna() | rows["state"].eq(code)).to_numpy(dtype=bool)


def _of_region(
    raw: gpd.GeoDataFrame, source: LabelSource, label: str, notes: list[str], *, may_be_none: bool
) -> gpd.GeoDataFrame:
    """The records in the region, of a source that has more.

    Raises:
        InputError: there are records, but none in the region, and there must be.
    """
    if not source.reaches_beyond or raw.empty:
        return raw
    region = working_region()
    here = shapely.intersects(raw.geometry.to_crs(table_crs()).to_numpy(), shapely.box(*region.bounds_m))
    if not here.any() and not may_be_none:
        raise InputError(
            f"{label}: none of its {len(raw)} records lies in {region.title}: is it the right file, the right region, "
            "and the right CRS?"
        )
    if not here.all():
        notes.append(f"{label}: {int((~here).sum())} record(s) outside of {region.title} are passed over")
    return raw[here].reset_index(drop=True)


def _dissolved(rows: pd.DataFrame, layer: _Layer) -> pd.DataFrame:
    """Records with the polygons of one fire made one; of what differs, the larger polygons' word holds.

    They share id, kind and, where a field names it, fire year: agencies count anew each year.
    """
    keys = ["id", "kind", *(["fire_year"] if "fire_year" in layer.fields.found else [])]
    several = rows["id"].notna() & rows.duplicated(keys, keep=False)
    if not several.any():
        return rows
    parts = rows[several]
    reported_ha = np.full(len(parts), np.nan) if layer.area_of_fire else parts["reported_area_ha"].to_numpy(dtype=float)
    shapes = repair(parts["geometry"].to_numpy(), reported_ha).geometry
    parts = parts.assign(size=shapely.area(shapes), shape=shapes).sort_values("size", ascending=False, kind="stable")
    fires = parts.groupby(keys, dropna=False)
    number = fires.ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    shapes, delivered = parts["shape"].to_numpy(), parts["geometry"].to_numpy()
    joined = fires.first()
    last_first = parts.sort_values("containment_date", ascending=False, kind="stable")
    joined[_ENDS] = last_first.groupby(keys, dropna=False)[_ENDS].first()
    if layer.role == "map":  # a fire burns as long as any part of it does
        joined.loc[fires["containment_date"].count() < fires.size(), _ENDS] = pd.NA
        joined["percent_contained"] = fires["percent_contained"].min()
    joined["alarm_date"] = fires["alarm_date"].min()
    area = fires["reported_area_ha"]
    joined["reported_area_ha"] = area.max() if layer.area_of_fire else area.sum(min_count=1)
    joined["geometry"] = [_united(shapes[fire], delivered[fire]) for fire in members]
    return pd.concat([rows[~several], joined.reset_index()[rows.columns]], ignore_index=True)


def _united(shapes: NDArray[np.object_], delivered: NDArray[np.object_]) -> shapely.Geometry:
    """The ground of a fire's repaired polygons; where none has an area, what was delivered, for others to refuse."""
    with_area = shapes[~shapely.is_empty(shapes)]
    return shapely.union_all(with_area) if len(with_area) else shapely.geometrycollections(delivered)


def _credible_years(source: LabelSource) -> range:
    """Fire years that a record can be of; another counts as none, so that negatives of every year keep off the burn."""
    return range(source.first_fire_year, datetime.now(UTC).year + 1)


def _check_years(rows: pd.DataFrame, label: str, source: LabelSource) -> None:
    """See that the fire years are years, and that alarms are of them.

    Raises:
        InputError: of most records they aren't: a field of another meaning, or dates in another unit.
    """
    years, credible = rows["fire_year"].dropna(), _credible_years(source)
    if len(years) >= ENOUGH and not years.isin(credible).mean() >= 0.5:
        raise InputError(
            f"{label}: {len(years)} records name fire years such as {years.iloc[0]}, which are no years from "
            f"{credible.start} to now: is it the right field? Correct it in the source, or {_REMEDY}"
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


def _hash_rows(rows: pd.DataFrame) -> pd.Series:
    lines = pd.Series("", index=rows.index, dtype=object)
    for name in rows.columns:
        lines = lines + rows[name].astype("string").str.casefold().fillna("").astype(object) + _SEPARATOR
    return lines.map(lambda line: hashlib.sha256(line.encode()).hexdigest()[:20])
