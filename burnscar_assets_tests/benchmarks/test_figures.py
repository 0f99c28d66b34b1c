import json

import pytest
from kit.figures import Bar, Figure, Report


def test_a_bar_of_at_most_is_held_against_ours() -> None:
    assert Figure("load", 2.9, "s", peer=0.1, bar=Bar("<=", 3)).holds is True
    assert Figure("load", 3.1, "s", peer=100.0, bar=Bar("<=", 3)).holds is False


def test_a_bar_of_at_least_is_held_against_the_ratio() -> None:
    assert Figure("speed", 200.0, "windows/s", ratio=4.0, bar=Bar(">=", 5)).holds is False
    assert Figure("time", 2.0, "s", peer=12.0, bar=Bar(">=", 5)).holds is True
    assert Figure("time", 2.0, "s", bar=Bar(">=", 5)).holds is False, "a bar that nothing can be held against"


def test_less_is_better_unless_a_ratio_is_given() -> None:
    assert Figure("time", 2.0, "s", peer=8.0).line()["ratio"] == 4.0
    assert Figure("speed", 8.0, "1/s", peer=2.0, ratio=4.0).line()["ratio"] == 4.0


def test_lines_have_the_fields_that_readers_expect(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.add(Figure("runs", 0, "runs", bar=Bar("<=", 0)), Figure("share", 12.3456, "%"))
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == {
        "figure": "runs", "ours": 0, "peer": None, "ratio": None, "unit": "runs", "bar": "<= 0", "holds": True
    }  # fmt: skip
    assert second["ours"] == 12.35
    assert second["holds"] is None


def test_only_missed_bars_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.add(Figure("missed", 6.0, "s", bar=Bar("<=", 5)), Figure("held", 4.0, "s", bar=Bar("<=", 5)))
    report.add(Figure("reported", 9.0, "s"))
    report.show("figures")
    assert report.missed() == ["missed"]
    assert "reported" in capsys.readouterr().out
