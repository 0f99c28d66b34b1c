"""What commands write: tables, notes and errors in any encoding, progress, and what becomes of a closed pipe.

Progress goes to a stream that Dagster's log capture leaves alone: one line a kind of work.
"""

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table as RichTable
from rich.text import Text

from burnscar_assets.progress import Progress

STANDARD_ERROR = 2
UNLIMITED_WIDTH = 10_000
CLOSED_PIPE: Final = 141
"""Exit status of a program that a shell found ended by SIGPIPE."""

_LIKE = {"→": "->", "←": "<-", "—": "-", "–": "-", "’": "'", "“": '"', "”": '"', "×": "x", "±": "+/-", "≤": "<=",
         "≥": ">=", "−": "-", "·": "-", "•": "-"}  # fmt: skip
_READABLE = "burnscar-readable"


class Console(RichConsole):
    """A console that leaves a closed pipe to the command's end."""

    def on_broken_pipe(self) -> None:
        """Raise the error that this is called for."""
        raise  # noqa: PLE0704


def write_in_any_encoding() -> None:
    """Have the standard streams replace what their encoding lacks by something readable, like `->` or `e`."""
    codecs.register_error(_READABLE, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_READABLE)


def _readable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(map(_in_ascii, found)), error.end


def _in_ascii(character: str) -> str:
    if character in _LIKE:
        return _LIKE[character]
    like = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return like or character.encode("ascii", "backslashreplace").decode()


@contextmanager
def quiet_closed_pipe() -> Iterator[None]:
    """What is still written to a pipe whose reader has gone ends the process with `CLOSED_PIPE`, without a word.

    Raises:
        SystemExit: with that status.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # so that Python's own flush at the end finds a reader
            with suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
        raise SystemExit(CLOSED_PIPE) from None


def note(problems: Iterable[str]) -> None:
    """Print notes on standard error."""
    for problem in problems:
        Console(stderr=True).print(Text("note:", "bold yellow"), Text(problem), soft_wrap=True)


def complain(said: str) -> None:
    """Print an error on standard error."""
    Console(stderr=True).print(Text("error:", "bold red"), Text(said), soft_wrap=True)


def show(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table of plain text."""
    table = RichTable()
    for heading in headings:
        table.add_column(Text(heading), overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    show_table(table)


def show_table(table: RichTable) -> None:
    """Print a table: folded to the terminal's width, a line a row where there is no terminal."""
    console = Console()
    (console if console.is_terminal else Console(width=UNLIMITED_WIDTH)).print(table)


@contextmanager
def live_progress() -> Iterator[Progress]:
    """A progress callback that draws bars on a terminal, and prints a line per kind of work elsewhere."""
    codecs.register_error(_READABLE, _readable)
    with os.fdopen(os.dup(STANDARD_ERROR), "w", encoding=sys.stderr.encoding, errors=_READABLE) as stream:
        console = Console(file=stream)
        yield from _bars(console) if console.is_terminal else _lines(console)


def _lines(console: Console) -> Iterator[Progress]:
    last = ""

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last:
            last = what
            with suppress(BrokenPipeError):  # the work goes on
                console.print(f"{what} …", highlight=False)
                console.file.flush()

    yield report


def _bars(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with RichProgress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bars:

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for finished in tasks.values():
                    bars.stop_task(finished)
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield report
