"""What commands write comes out in any encoding, and a closed pipe ends them without a word."""

import io
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

from burnscar_assets import terminal
from burnscar_assets.terminal import (
    CLOSED_PIPE,
    complain,
    live_progress,
    note,
    say,
    show,
    show_table,
    write_in_any_encoding,
)
from burnscar_assets_tests.orchestration.conftest import BIN, command_environment

ENCODINGS = ("ascii", "cp1252", "latin-1", "utf-8", "cp437")
SQL = ("sql", "select 'settings changed: 32 → 64 …, Cañon, 火' as said, repeat('y', 70000) as long")


@settings(deadline=None)
@given(st.sampled_from(ENCODINGS), st.text(max_size=40))
def test_any_text_is_written_in_any_encoding(encoding: str, text: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        write_in_any_encoding()
        show(["→ …"], [[text]])
    stream.flush()
    written = stream.buffer.getvalue().decode(encoding)
    assert all(c in written for c in text if c.isascii() and c.isprintable())


def _report(text: str) -> None:
    with live_progress() as progress:
        progress(text, 1, 2)


CONTROLS = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\x08\x00\u202e"


@pytest.mark.parametrize(
    "write",
    [
        lambda text: show([text], [[text]]),
        lambda text: show_table(Table(text, title=text)),
        lambda text: note([text]),
        complain,
        say,
        _report,
    ],
)
@pytest.mark.parametrize("name", ["[red]x[/red]", "[/]", "[/no]", ":smile:", "{}", "x"])
def test_text_from_outside_neither_steers_a_terminal_nor_is_markup(
    write: Callable[[str], None], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write(f"{CONTROLS}{name}{CONTROLS}")
    written = "".join(capfd.readouterr())
    assert name in written
    assert not [c for c in written if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")]


def test_a_query_shows_what_a_table_holds_without_steering_the_terminal(tmp_path: Path) -> None:
    done = _run(tmp_path, "sql", "select 'A' || chr(27) || '[31mB' || chr(13) || 'C' || chr(155) as said")
    assert done.returncode == 0
    assert b"A[31mB C " in done.stdout and b"\x1b" not in done.stdout and b"\r" not in done.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [("32 → 64", "32 -> 64"), ("…", "..."), ("Cañon", "Canon"), ("≥ 2×", ">= 2x"), ("火", "\\u706b")],
)
def test_what_stands_in_is_readable(text: str, expected: str) -> None:
    write_in_any_encoding()
    assert text.encode("ascii", terminal._READABLE) == expected.encode()


C_LOCALE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252"}, C_LOCALE])
@pytest.mark.parametrize("command", [("plan", "--no-gpu"), ("sql", "select chr(8594) || chr(28779) as said")])
def test_commands_write_in_any_encoding(environment: dict, command: tuple[str, ...], tmp_path: Path) -> None:
    done = _run(tmp_path, *command, **environment)
    assert done.returncode == 0, done.stdout
    assert b"never made" in done.stdout if command[0] == "plan" else b"->\\u706b" in done.stdout


def test_an_argument_that_is_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    done = _run(tmp_path, "sql", "select '火' as said", **C_LOCALE)
    assert done.returncode == 1 and done.stdout.count(b"\n") == 1 and b"LC_ALL=C.UTF-8" in done.stdout


@pytest.mark.parametrize("command", [SQL, ("plan",)])
def test_a_closed_pipe_ends_a_command_without_an_error(command: tuple[str, ...], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(BIN / "burnscar"), *command],
        env=_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    assert b"Traceback" not in said and b"BrokenPipe" not in said
    assert process.wait() == CLOSED_PIPE


@pytest.mark.parametrize("after_s", [0.3, 0.6, 1.0, 1.5, 2.0])
def test_an_interrupted_command_says_so_in_one_line(after_s: float, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(BIN / "burnscar"), "plan"], env=_environment(tmp_path), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    said = [line for line in process.communicate()[1].decode().splitlines() if not line.startswith("note: ")]
    if process.returncode:  # it may have been done by then
        assert process.returncode == 130 and len(said) == 1 and said[0].startswith("interrupted"), said
    else:
        assert not said


def _environment(folder: Path, **more: str) -> dict[str, str]:
    from burnscar_assets.storage.paths import DataRoot

    return command_environment(DataRoot(folder / "data")) | more


def _run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(BIN / "burnscar"), *command],
        env=_environment(folder, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        check=False,
    )
