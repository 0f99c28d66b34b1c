"""What `burnscar` and `python -m burnscar_assets` start: the command line, with one word where Ctrl-C ends it."""

import signal
import sys
from typing import Final

INTERRUPTED: Final = 130
"""Exit status of a command that Ctrl-C ended."""


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        from burnscar_assets.cli import main as run  # a second of imports, in which a person may think better of it

        code = run()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: Ctrl-C would only break off Python's own end
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
