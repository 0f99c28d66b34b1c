"""What a number or a path outside anything possible was probably meant to be, for errors that say so."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from burnscar_assets.errors import SettingsError

FIRST_YEAR: Final = 1985
LAST_YEAR: Final = 2100
MOST_PORTS: Final = 65535
_RANGE = re.compile(r"(\d{4})\s*(?:-|:|\.\.+|–|to)\s*(\d{4})")


def meant_years(text: str) -> list[int]:
    """Fire years that somebody may have meant: `21`, `20211`, `-2021`, `2021-2023`, `2019,2021`; none if unclear."""
    span = _RANGE.fullmatch(text.strip())
    if span is not None and _is_year(int(span[1])) and _is_year(int(span[2])):
        return list(range(int(span[1]), int(span[2]) + 1))
    listed = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if len(listed) > 1 and all(part.isdecimal() and _is_year(int(part)) for part in listed):
        return sorted(set(map(int, listed)))
    return next(([year] for year in _years_like(text.strip().lstrip("-")) if _is_year(year)), [])


def meant_number(value: float, name: str) -> Iterator[float]:
    """What a number out of bounds may have been meant to be: without its sign, or in the unit that is asked for.

    Args:
        value: the number.
        name: of what is set; its last word may be a unit.
    """
    yield abs(value)
    yield abs(value) / (1000 if name.endswith("_km") else 100)  # metres, or percent
    yield from map(float, meant_years(f"{value:g}"))


def check_path(path: Path, what: str = "") -> None:
    """Refuse a path that the libraries which read and write files don't take as it is.

    Raises:
        SettingsError: it has `!` (pyogrio's mark of a file within an archive), a control character, or bytes that are
            no text.
    """
    text = str(path)
    found = sorted({character for character in text if character == "!" or _is_no_text(character)})
    if found:
        named = ", ".join(map(ascii, found))
        raise SettingsError(f"{what}{text!a} may not have {named} in its path: rename it, or move the folder")


def check_text(argument: str) -> None:
    """Refuse an argument whose bytes are no text in the encoding that this process was started with.

    Raises:
        SettingsError: so it is.
    """
    if any(map(_is_undecoded, argument)):
        raise SettingsError(
            f"{argument!a} can't be read in this terminal's encoding: set LC_ALL=C.UTF-8, or PYTHONUTF8=1"
        )


def _is_no_text(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f" or _is_undecoded(character)


def _is_undecoded(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _is_year(year: int) -> bool:
    return FIRST_YEAR <= year <= LAST_YEAR


def _years_like(text: str) -> list[int]:
    """Years from digits, likeliest first: as they are, without their century, or with one digit too many."""
    if not text.isdecimal() or not text.isascii():
        return []
    if len(text) == len("2021") + 1:
        fewer = Counter(int(text[:i] + text[i + 1 :]) for i in reversed(range(len(text))))
        return [year for year, _ in fewer.most_common()]
    if len(text) == len("21"):
        return [int(text) + (1900 if int(text) >= FIRST_YEAR % 100 else 2000)]
    return [int(text)]
