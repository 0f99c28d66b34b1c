"""Text from outside made harmless: what no name needs, and what breaks a terminal, a picture, a page or QGIS."""

import re
from collections.abc import Sequence
from typing import Final

import pandas as pd

_BREAKS: Final = re.compile("[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]+"
)
"""Control characters, marks of direction, what has no width, halves of surrogate pairs, and what is no character."""


def clean(text: str) -> str:
    """Text on one line without unseen characters, and without blanks around it."""
    return _UNSEEN.sub("", _BREAKS.sub(" ", text)).strip()


def printable(text: str) -> str:
    """Text with its lines and blanks, without unseen characters, as a terminal or a page shows it."""
    return "\n".join(_UNSEEN.sub("", _BREAKS.sub(" ", line)) for line in text.split("\n"))


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first of many names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def as_drawn(text: object) -> str:
    """Text that matplotlib draws as it is, with its lines: else what stands between two dollar signs is a formula."""
    return printable(str(text)).replace("$", r"\$")


def clean_column(column: pd.Series) -> pd.Series:
    """The text values of a column cleaned; others as they are."""
    if not (pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)):
        return column
    plain = column.astype(object)
    return plain.map(lambda value: clean(value) if isinstance(value, str) else value)


def count_unclean(column: pd.Series) -> int:
    """How many values of a column hold characters that cleaning takes out."""
    return sum(column.map(lambda value: isinstance(value, str) and clean(value) != value.strip()))
