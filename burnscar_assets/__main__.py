"""What `burnscar` and `python -m burnscar_assets` start: the command line, with one word where Ctrl-C ends it."""

import atexit
import os
import signal
import sys
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130
"""Exit status of a command that Ctrl-C ended."""


def main() -> int:
    """Run the command line; returns the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell has it ignored in the background
        signal.signal(signal.SIGINT, _break_off)
    try:
        from burnscar_assets.cli import main as run  # a second of imports, in which a person may think better of it

        code = run()
        _leave_quietly(code)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return INTERRUPTED
    return code


def _leave_quietly(code: int) -> None:
    """All is done: Ctrl-C ends what threads still wait for, and then breaks nothing off of Python's own end."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))


def _break_off(number: int, frame: FrameType | None) -> None:
    """Raise `KeyboardInterrupt`, after which libraries log nothing of what broke off in their hands."""
    import logging

    logging.disable(logging.ERROR)
    sys.unraisablehook = lambda _: None
    signal.default_int_handler(number, frame)


if __name__ == "__main__":
    sys.exit(main())
