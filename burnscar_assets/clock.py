"""How long ago something was, where clocks may be set back or differ between machines."""

from typing import Final

TOLERANCE_S: Final = 60.0
"""Clocks of machines that work together differ by less."""


def is_future(moment_s: float, now_s: float) -> bool:
    """Whether a moment, in seconds since the epoch, was written before a clock was set back."""
    return moment_s > now_s + TOLERANCE_S


def is_within(moment_s: float, now_s: float, limit_s: float) -> bool:
    """Whether a moment is less than `limit_s` ago.

    How long ago a moment of the future was is unknown, so it isn't within.

    Args:
        moment_s: seconds since the epoch.
        now_s: the same, of now.
        limit_s: in seconds.
    """
    return not is_future(moment_s, now_s) and now_s - moment_s < limit_s
