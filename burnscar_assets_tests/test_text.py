import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from burnscar_assets.text import as_drawn, clean, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CAÑON\u202e", "CAÑON"),
        ("A\r\nB\tC", "A B C"),
        ("\x1b[31mRED\x1b[0m", "[31mRED[0m"),
        ("A\x00B\ud800", "AB"),
        ("  ", ""),
        ("🔥 山火", "🔥 山火"),
    ],
)
def test_text_is_made_harmless_and_keeps_its_letters(text: str, expected: str) -> None:
    assert clean(text) == expected


@settings(max_examples=30, deadline=None)
@given(st.text(st.sampled_from("${}frac_^ A\n\x00"), max_size=12) | st.sampled_from(["$\\frac{$", "$a$", "\\$a$"]))
def test_any_name_can_be_drawn_as_it_is(name: str) -> None:
    figure = Figure(figsize=(2, 1))
    text = figure.suptitle(as_drawn(name))
    FigureCanvasAgg(figure).draw()
    assert text._preprocess_math(text.get_text())[1] is False


@given(st.text())
def test_printable_text_keeps_its_lines_and_moves_no_cursor(text: str) -> None:
    shown = printable(text)
    assert shown.count("\n") == text.count("\n")
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in shown if c != "\n")
    assert printable(shown) == shown
