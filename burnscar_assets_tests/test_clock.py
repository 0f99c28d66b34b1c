"""What was written before a clock was set back is of unknown age: never fresh, never a reason to wait."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.catalog import gcp_scenes
from burnscar_assets.catalog.searches import is_due, search_times
from burnscar_assets.checks import was_looked_at_lately
from burnscar_assets.clock import TOLERANCE_S, is_within
from burnscar_assets.errors import SourceUnavailableError
from burnscar_assets.labels.local_source import check_whole, stamp
from burnscar_assets.orchestration.automation.watching import Cursor
from burnscar_assets.orchestration.queue import daemon_is_running

NOW = datetime(2026, 8, 1, tzinfo=UTC)
SET_BACK = st.floats(TOLERANCE_S + 1, 4e9)


@given(SET_BACK, st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_future_is_within_no_time(ahead_s: float, ago_s: float, limit_s: float) -> None:
    now_s = NOW.timestamp()
    assert not is_within(now_s + ahead_s, now_s, limit_s)
    assert is_within(now_s - ago_s, now_s, limit_s) == (ago_s < limit_s or now_s - (now_s - ago_s) < limit_s)


@given(SET_BACK)
def test_a_sensor_looks_again(ahead_s: float) -> None:
    assert Cursor(looked_at=time.time() + ahead_s).is_due(60)
    assert not Cursor(looked_at=time.time() - 60).is_due(60)


@given(st.timedeltas(timedelta(minutes=2), timedelta(days=20_000)))
def test_windows_are_searched_again(ahead: timedelta) -> None:
    assert is_due(search_times(NOW + ahead, NOW - timedelta(days=900)), 10, NOW)
    assert not is_due(search_times(NOW, NOW - timedelta(days=900)), 10, NOW)


@given(st.timedeltas(timedelta(minutes=2), timedelta(days=20_000)))
def test_a_source_is_not_fresh(ahead: timedelta) -> None:
    found = was_looked_at_lately(NOW + ahead, NOW, 8)
    assert not found.holds
    assert "clock was set back" in found.detail
    assert was_looked_at_lately(NOW - timedelta(days=1), NOW, 8).holds


@pytest.mark.parametrize(("ago_s", "runs"), [(10, True), (-10, True), (100, False), (-3600, False)])
def test_a_daemon_is_not_taken_for_running(ago_s: float, runs: bool) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago_s, "BACKFILL", "id", []))
        assert daemon_is_running(instance) == runs


@contextmanager
def clock_at(seconds: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that was set back by so many seconds."""
    real = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: real() - seconds)
        yield


def test_a_file_from_the_future_is_as_old_as_it_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "fires.gpkg"
    source.write_bytes(b"x")
    os.utime(source, (time.time() + 9000, time.time() + 9000))
    with pytest.raises(SourceUnavailableError, match=r"changed \d+ s ago"):
        check_whole(source, stamp(source), 10)
    with clock_at(-20, monkeypatch):
        check_whole(source, stamp(source), 10)
    with clock_at(5000, monkeypatch), pytest.raises(SourceUnavailableError, match="clock set back"):
        check_whole(source, stamp(source), 10)
    with clock_at(5000, monkeypatch):
        check_whole(source, stamp(source), 0)


def test_a_list_of_scenes_from_the_future_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.json"
    path.write_text("[]")
    monkeypatch.setattr(gcp_scenes, "_list_path", lambda source, key: path)
    assert gcp_scenes._is_usable(SimpleNamespace(), ("10SEG", 2019), 10)
    with clock_at(5000, monkeypatch):
        assert not gcp_scenes._is_usable(SimpleNamespace(), ("10SEG", 2019), 10)
