"""Where the web UI may be served: checked before anything starts."""

import errno
import socket
from pathlib import Path

from burnscar_assets.errors import SettingsError
from burnscar_assets.plausible import MOST_PORTS

FIRST_FREE_PORT = 1024
"""Ports below it are for the machine's administrator."""

_SYNTAX = "?%"
"""Characters that mean something else in the addresses that Dagster's own processes make of its home."""


def check_home(home: Path) -> None:
    """Refuse a home in which Dagster's own processes would take another database than the commands.

    Raises:
        SettingsError: its path has one of these characters.
    """
    found = [character for character in _SYNTAX if character in str(home)]
    if found:
        raise SettingsError(
            f"the web UI can't work on {home}: its path may not have {' or '.join(found)}; rename the folder (other "
            "commands work on it)"
        )


def reserve_port(host: str, port: int) -> int:
    """The port if it is free, or with 0 one that is.

    Raises:
        SettingsError: somebody else listens on it, or this machine can't listen on it.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server does
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            what = "is taken by another program" if error.errno == errno.EADDRINUSE else "isn't for everybody"
            other = port + 1 if FIRST_FREE_PORT <= port < MOST_PORTS else 3000
            raise SettingsError(
                f"port {port} of {host} {what}: use another one with --port, e.g. --port {other}, or 0 for any that "
                "is free"
            ) from error
        raise SettingsError(f"this machine can't listen on {host} ({error.strerror}): choose another --host") from error
