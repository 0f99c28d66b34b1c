"""Fields of layers: which column holds one, and its values as text, numbers, codes and days.

What a source's fields are called and what their values mean is said by its file (`sources/`); which values make a
record of the release is `normalise`'s business.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import geopandas as gpd
import pandas as pd

from burnscar_assets.errors import InputError
from burnscar_assets.labels.dates import calendar_days, days_written
from burnscar_assets.sources.source import HECTARES, AreaOf, DayOf, FieldOf, LabelSource
from burnscar_assets.text import clean_column, count_unclean

_CUT_AT = 10
"""Letters that a shapefile leaves of a field's name."""

_LONGEST = 254
"""Letters of the longest text that a pattern is searched in, a shapefile's; in a long one a search can last hours."""


@dataclass(frozen=True)
class SourceFields:
    """The fields of one layer, read by what its source's file says of them.

    Attributes:
        raw: The layer as delivered.
        source: Its source.
        label: How errors name the layer.
        columns: The columns that could hold each field, by the field's name, the one that is read first; fields that no
            column holds are left out.
    """

    raw: gpd.GeoDataFrame
    source: LabelSource
    label: str
    columns: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, raw: gpd.GeoDataFrame, source: LabelSource, label: str) -> "SourceFields":
        """The fields of a layer."""
        return cls(raw, source, label, matching_columns(map(str, raw.columns), names_of(source)))

    @property
    def found(self) -> dict[str, str]:
        """The column that is read of each field."""
        return {name: columns[0] for name, columns in self.columns.items()}

    def values(self, name: str) -> pd.Series:
        """Values of a field as delivered, without those that stand for none; all missing where no column holds it."""
        field = self._field(name)
        column = _without(take(self.raw, self.found, name), field.missing)
        if field.by_record:
            column = as_text(column)
            for other in self.columns.get(name, ())[1:]:
                column = column.fillna(as_text(_without(take(self.raw, {name: other}, name), field.missing)))
        if field.pattern is None:
            return column
        text = as_text(column)
        return text.mask((text.str.len() > _LONGEST).fillna(False)).str.extract(field.pattern, expand=False)

    def text(self, name: str) -> pd.Series:
        """Values as text; where the file says what they mean, that."""
        field, text = self._field(name), as_text(self.values(name))
        blank = text.isna()
        if field.values or field.others is not None:
            text = text.map({value: field.meaning(value) for value in text.dropna().unique()}).astype("string")
        return text if field.empty is None else text.mask(blank, field.empty)

    def codes(self, name: str) -> pd.Series:
        """Codes of a domain; of text such as `1 - Lightning` its number; missing where there is none."""
        text = self.text(name).str.extract(r"^(\d{1,4})(?:\.0+)?\b", expand=False)
        return pd.to_numeric(text, errors="coerce").astype("Int64")

    def whole_numbers(self, name: str) -> pd.Series:
        """Whole numbers.

        Raises:
            InputError: there are others, or text.
        """
        column = self.values(name)
        text = column if pd.api.types.is_numeric_dtype(column.dtype) else as_text(column)
        numbers = pd.to_numeric(text, errors="coerce").astype("Float64")
        bad = column[(numbers.isna() & text.notna()) | (numbers % 1 != 0).fillna(False)]
        if len(bad):
            raise InputError(
                f"{self.label}: field {self.found[name]} holds {bad.iloc[0]!r} in {len(bad)} record(s); only whole "
                "numbers are allowed: correct it in the source"
            )
        return numbers.astype("Int64")

    def days(self, name: str) -> pd.Series:
        """Calendar days, see `calendar_days`.

        Raises:
            InputError: there are values that are none.
        """
        field, column, named = self._field(name), self.values(name), self.found.get(name, name)
        written = field.format if isinstance(field, DayOf) else None
        if written is not None and not pd.api.types.is_datetime64_any_dtype(column.dtype):
            return days_written(as_text(column), written, self.label, named)
        return calendar_days(column, self.label, named)

    def hectares(self, name: str) -> pd.Series:
        """Areas in hectares; NaN where there is none."""
        field = self._field(name)
        return self.numbers(name) * (HECTARES[field.unit] if isinstance(field, AreaOf) else 1.0)

    def numbers(self, name: str) -> pd.Series:
        """Values as numbers; NaN where there is none."""
        return _numbers(self.values(name))

    def several(self, name: str) -> list[str]:
        """Names of the fields that are asked for one value one after the other, as `end.0` and `end.1`."""
        return [each for each in self.source.fields.every() if each.startswith(f"{name}.")]

    def _field(self, name: str) -> FieldOf:
        return self.source.fields.every()[name]


def check_fields(columns: Iterable[str], source: LabelSource, label: str, remedy: str) -> dict[str, str]:
    """See that a layer of fires has the fields that its source's file needs; returns which column holds each field.

    Raises:
        InputError: it lacks some; the message names those that are there, and what to do.
    """
    there, names = list(columns), names_of(source)
    found = match_fields(there, names)
    needed = [[n for n in names if n.partition(".")[0] == name] for name in source.needed]
    if missing := [names[group[0]][0] for group in needed if not any(n in found for n in group)]:
        raise InputError(f"{label} lacks {', '.join(missing)}; its fields are {', '.join(there)}: {remedy}")
    return found


def names_of(source: LabelSource) -> dict[str, tuple[str, ...]]:
    """The names that each field of a source has had."""
    return {name: field.names for name, field in source.fields.every().items()}


def match_fields(columns: Iterable[str], fields: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Which of the columns holds each field; fields that no column holds are left out."""
    return {name: candidates[0] for name, candidates in matching_columns(columns, fields).items()}


def matching_columns(columns: Iterable[str], fields: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
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


def identifier(column: pd.Series) -> pd.Series:
    """Identifiers in lower case, without braces."""
    return column.str.strip("{} ").str.lower().replace("", pd.NA)


def is_blank_number(numbers: pd.Series) -> pd.Series:
    """Whether an incident or complex number is empty or just zeros, as in `00000000`."""
    return numbers.isna() | numbers.fillna("").str.fullmatch(r"[0\s]*").astype(bool)


def _without(column: pd.Series, fill: tuple[str, ...]) -> pd.Series:
    """A column with the values missing that stand for none."""
    return column.mask(_is_one_of(column, fill)) if fill else column


def _is_one_of(column: pd.Series, fill: tuple[str, ...]) -> pd.Series:
    """Which values stand for none, as numbers or as text."""
    numbers = pd.to_numeric(pd.Series(fill, dtype=object), errors="coerce").dropna().tolist()
    found = as_text(column).str.casefold().isin([value.strip().casefold() for value in fill])
    if numbers and not pd.api.types.is_datetime64_any_dtype(column.dtype):
        found |= pd.to_numeric(column, errors="coerce").isin(numbers)
    return found.fillna(False).astype(bool)


def _numbers(column: pd.Series) -> pd.Series:
    """Values as numbers, thousands separated by commas too; NaN where there is none."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        column = column.astype("string").str.replace(",", "")
    return pd.to_numeric(column, errors="coerce").astype(float)
