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
from typing import Any, Final

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table as RichTable
from rich.text import Text

from burnscar_assets.progress import Progress
from burnscar_assets.text import printable

STANDARD_ERROR = 2
UNLIMITED_WIDTH = 10_000
CLOSED_PIPE: Final = 141
"""Exit status of a program that a shell found ended by SIGPIPE."""

_LIKE = {"→": "->", "←": "<-", "—": "-", "–": "-", "’": "'", "“": '"', "”": '"', "×": "x", "±": "+/-", "≤": "<=",
         "≥": ">=", "−": "-", "·": "-", "•": "-"}  # fmt: skip
_READABLE = "burnscar-readable"


class Console(RichConsole):
    """A console that shows text from outside as text, and leaves a closed pipe to the command's end."""

    def render_str(self, text: str, **options: Any) -> Text:
        """What rich makes of a string, without its control characters."""
        return super().render_str(printable(text), **options)

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
        Console(stderr=True).print(Text("note:", "bold yellow"), _text(problem), soft_wrap=True)


def complain(said: str) -> None:
    """Print an error on standard error."""
    Console(stderr=True).print(Text("error:", "bold red"), _text(said), soft_wrap=True)


def show(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table of plain text."""
    table = RichTable()
    for heading in headings:
        table.add_column(_text(heading), overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else _text(cell) for cell in row))
    show_table(table)


def show_table(table: RichTable) -> None:
    """Print a table: folded to the terminal's width, a line a row where there is no terminal."""
    width = None if Console().is_terminal else UNLIMITED_WIDTH
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


def _text(said: object) -> Text:
    return Text(printable(str(said)))


def say(line: str) -> None:
    """Print a line that may hold text from outside."""
    print(printable(line))


@contextmanager
def live_progress() -> Iterator[Progress]:
    """A progress callback that draws bars on a terminal, and prints a line per kind of work elsewhere."""
    with progress_console() as console:
        if console.is_terminal:
            yield from _bars(console)
        else:
            yield told_once(console)


@contextmanager
def progress_console() -> Iterator[Console]:
    """A console for progress: standard error, whatever becomes of its descriptor."""
    codecs.register_error(_READABLE, _readable)
    with os.fdopen(os.dup(STANDARD_ERROR), "w", encoding=sys.stderr.encoding, errors=_READABLE) as stream:
        yield Console(file=stream)


def told_once(console: Console) -> Progress:
    """A progress callback that prints a line when a kind of work is first told of."""
    told: set[str] = set()

    def report(what: str, done: int, total: int) -> None:
        if what not in told:
            told.add(what)
            with suppress(BrokenPipeError):  # the work goes on
                console.print(f"{what} …", highlight=False, markup=False, emoji=False)
                console.file.flush()

    return report


def _bars(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with RichProgress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bars:

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for finished in tasks.values():
                    bars.stop_task(finished)
                tasks[what] = bars.add_task(printable(what), total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield report
