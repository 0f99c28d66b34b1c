"""What all requests of one piece of work may cost together, whatever each of them may."""

import time
from typing import Final

from burnscar_assets.errors import InputError

TIMES: Final = 4
"""How many times the limits of one request all of them have together."""


class Whole:
    """Time and bytes that are left to the requests of a session."""

    def __init__(self, deadline_s: float, max_answer_mb: float, section: str) -> None:
        """Begin to count.

        Args:
            deadline_s: Longest time of one request, in seconds.
            max_answer_mb: Most megabytes of one answer.
            section: Of the settings, for messages.
        """
        self.ends_s = time.monotonic() + TIMES * deadline_s
        self._left_bytes = TIMES * max_answer_mb * 1e6
        self._section = section

    def check_time(self, url: str) -> None:
        """See that there is time for one more request.

        Raises:
            InputError: there is none.
        """
        if time.monotonic() >= self.ends_s:
            self._refuse(f"{url} takes longer in all than {TIMES} times", "deadline_s")

    def spend(self, url: str, received_bytes: int) -> None:
        """Count an answer.

        Raises:
            InputError: answers have more bytes than they may.
        """
        self._left_bytes -= received_bytes
        if self._left_bytes < 0:
            self._refuse(f"{url} answers with more in all than {TIMES} times", "max_answer_mb")

    def _refuse(self, what: str, name: str) -> None:
        raise InputError(f"{what} {self._section}.{name}: raise that if it is the right address")
