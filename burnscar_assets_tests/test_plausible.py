"""Numbers and paths outside anything possible are refused, with what was probably meant."""

from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burnscar_assets.cli.arguments import count, fire_year, port
from burnscar_assets.errors import SettingsError
from burnscar_assets.plausible import FIRST_YEAR, LAST_YEAR, MOST_PORTS, check_path, meant_years
from burnscar_assets.settings import parse_settings

YEARS = st.integers(FIRST_YEAR, LAST_YEAR)
LEAST = {"name": "x", "years": {"first": 2019, "last": 2022}, "release": {"source": "a.zip"}}


@settings(deadline=None)
@given(YEARS)
def test_a_year_is_taken_as_it_is(year: int) -> None:
    assert fire_year(str(year)) == year


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("21", [2021]),
        ("99", [1999]),
        ("20211", [2021]),
        ("22021", [2021]),
        ("-2021", [2021]),
        ("2019-2021", [2019, 2020, 2021]),
        ("2019..2021", [2019, 2020, 2021]),
        ("2019:2020", [2019, 2020]),
        ("2019,2021", [2019, 2021]),
        ("1492", []),
        ("2021.5", []),
        ("all", []),
        ("", []),
    ],
)
def test_what_was_meant_is_said(typed: str, meant: list[int]) -> None:
    assert meant_years(typed) == meant
    with pytest.raises(ArgumentTypeError) as refused:
        fire_year(typed)
    assert str(refused.value).endswith(f"did you mean {' '.join(map(str, meant))}?" if meant else "in four digits")


@settings(deadline=None)
@given(st.text(max_size=12) | st.integers().map(str) | st.floats().map(str))
def test_an_argument_is_possible_or_refused(text: str) -> None:
    for kind, least, most in ((fire_year, FIRST_YEAR, LAST_YEAR), (port, 0, MOST_PORTS), (count, 1, float("inf"))):
        try:
            assert least <= kind(text) <= most
        except ArgumentTypeError as refused:
            assert text in str(refused)


@pytest.mark.parametrize(
    ("section", "values", "meant"),
    [
        ("years", {"first": 21}, "2021"),
        ("years", {"first": 2019, "exclude": [20201]}, "2020"),
        ("imagery", {"max_cloud_cover": 0.6}, "60"),
        ("imagery", {"max_cloud_cover": -60}, "60"),
        ("imagery", {"min_clear_fraction": 90}, "0.9"),
        ("windows", {"resolution_m": 0.00009}, "10"),
        ("windows", {"resolution_m": -10}, "10"),
        ("in_season", {"min_area_ha": -5}, "5"),
        ("sampling", {"splits": {"block_km": 20_000}}, "20"),
        ("sampling", {"min_burnt_share": 95.0}, "0.95"),
    ],
)
def test_a_setting_out_of_bounds_is_told_with_a_guess(section: str, values: dict, meant: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_settings(LEAST | {section: values}, "world.yaml")
    assert str(raised.value).endswith(f"did you mean {meant}?")


@pytest.mark.parametrize("section", [{"imagery": {"max_cloud_cover": 0}}, {"imagery": {"max_cloud_cover": 1}}])
def test_bounds_themselves_are_taken(section: dict) -> None:
    parse_settings(LEAST | section, "world.yaml")


def test_no_year_left_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match="exclude leaves no year of 2019 to 2020"):
        parse_settings(LEAST | {"years": {"first": 2019, "last": 2020, "exclude": [2020, 2019]}}, "world.yaml")


@settings(deadline=None)
@given(st.text(min_size=1))
@example("a?b%25#c d&e'f\"g*h[i];j+k:l\\m{n}$o~火")
@example("a!b")
@example("a\nb")
@example("a\udce9b")
def test_a_path_is_taken_or_its_characters_are_named(text: str) -> None:
    refused = [c for c in text if c == "!" or ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000]
    path = Path("/data") / text.lstrip("/")
    if not refused:
        check_path(path)
        return
    with pytest.raises(SettingsError) as raised:
        check_path(path)
    said = str(raised.value)
    assert all(ascii(character) in said for character in refused) and said.isascii() and said.isprintable()
