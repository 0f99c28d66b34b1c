"""Web addresses: what the environment adds to one, and whether it may be asked.

A secret stands in an address as user information (`https://user:pass@host`) or in its query (`?token=`, `?sig=`).
Settings may name an environment variable in its place: `?token=${FRAP_TOKEN}`.
"""

import ipaddress
import os
import re
import socket
import unicodedata
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import quote, urlsplit

from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.network.masking import VARIABLE, mask_address, remember_secret

WEB_SCHEMES: Final = ("http", "https")

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAMES = ("localhost", "*.localhost", "*.local", "*.internal", "*.localdomain")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def with_secrets(url: str) -> str:
    """An address of the settings with each `${NAME}` replaced by that environment variable, which no message shows.

    Raises:
        SettingsError: the environment has no such variable.
    """

    def value(found: re.Match[str]) -> str:
        known = os.environ.get(found[1])
        if not known:
            raise SettingsError(f"{mask_address(url)} names the environment variable {found[1]}, which is not set")
        remember_secret(known)
        return quote(known, safe="")

    return VARIABLE.sub(value, url)


def host_of(url: str) -> str:
    """The host of an address, lower case, without user, port and trailing dot; empty if there is none."""
    try:
        host = urlsplit(url.strip()).hostname or ""
    except ValueError:
        return ""
    return unicodedata.normalize("NFKC", host).rstrip(".").lower()


def canonical_host(host: str) -> str:
    """The one form of a host: an address as numbers have it, a name of other letters as resolvers take it."""
    literal = _literal(host)
    if literal:
        return str(literal)
    try:
        return host.rstrip(".").lower().encode("idna").decode()
    except UnicodeError:
        return host


def is_malformed(url: str) -> bool:
    """Whether an address can't be taken apart, or its port is no number of a port."""
    try:
        urlsplit(url.strip()).port  # noqa: B018 (it is looked at as it is asked for)
    except ValueError:
        return True
    return False


def check_address(
    url: str,
    allowed_hosts: Collection[str] = ("*",),
    *,
    setting: str = "the settings",
    schemes: Collection[str] = WEB_SCHEMES,
) -> None:
    """Accept an address that something foreign names, or refuse it.

    What a name stands for is looked at as it is connected to: by `session.Session`, and for GDAL by `relay`.

    Args:
        url: The address.
        allowed_hosts: Names, or patterns as `*.blob.core.windows.net`. A host that is of this machine or of a private
            network must be named in full.
        setting: Where a person allows more hosts, for the message.
        schemes: Which schemes may be asked.

    Raises:
        InputError: another scheme, user information, or a host that isn't allowed.
    """
    scheme, _, rest = url.strip().partition("://")
    host = host_of(url)
    shown = mask_address(url)
    if scheme.lower() not in schemes or not host or is_malformed(url):
        raise InputError(f"{shown} is no address of {', '.join(schemes)}: nothing else is asked")
    if "@" in re.split(r"[/?#\\]", rest, maxsplit=1)[0]:
        raise InputError(f"{shown} carries a user or password: nothing foreign may; name them in the environment")
    if "\\" in url or any(ord(character) < 33 for character in url.strip()):
        raise InputError(f"{shown} has characters that no address has: check what names it")
    if not is_allowed(host, allowed_hosts):
        raise InputError(f"{shown} is of {host}, which {setting} does not name: add the host there if that is right")
    private = scheme.lower() in WEB_SCHEMES and is_private_name(host)
    if private and not names_in_full(host, allowed_hosts):
        raise InputError(f"{shown} is not asked: {private_host(host, setting)}")


def private_host(host: str, setting: str = "the settings") -> str:
    """Why a host isn't connected to, and what allows it."""
    return f"{host} is of this machine or a private network: name it in {setting} if that is right"


def is_allowed(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is among names and patterns."""
    return any(fnmatchcase(host, allowed.lower()) for allowed in hosts)


def names_in_full(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is named, not just by a pattern."""
    return host in {allowed.lower().strip("[]").rstrip(".") for allowed in hosts}


def may_be_private(address: str, hosts: Collection[str]) -> list[str]:
    """Hosts that may be private when a checked address is asked: those named, and its own if its name says so.

    One that a pattern allows must not stand for a private one.
    """
    host = host_of(address)
    return [*hosts, host] if is_private_name(host) else [*hosts]


def is_private_name(host: str) -> bool:
    """Whether a host is, by its name alone, of this machine or a private network; in any form of writing an address."""
    literal = _literal(host)
    return is_private(literal) if literal else is_allowed(host, _LOCAL_NAMES)


def is_loopback_name(host: str) -> bool:
    """Whether a host is, by its name alone, this machine."""
    literal = _literal(host)
    return literal.is_loopback if literal else is_allowed(host, ("localhost", "*.localhost"))


def is_private(address: IpAddress) -> bool:
    """Whether an address is private, loopback, link-local, multicast, reserved, or stands for one that is."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is not None:
            return is_private(embedded)
    return not address.is_global or address.is_multicast


def addresses_of(host: str, port: int) -> list[str]:
    """Numeric addresses of a host, in the resolver's order.

    Raises:
        OSError: the name is unknown.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_private_text(numeric: str) -> bool:
    """As `is_private`, of a numeric address as text, with or without a zone."""
    return is_private(ipaddress.ip_address(numeric.partition("%")[0]))


def _literal(host: str) -> IpAddress | None:
    """A host that is an address already: also decimal, octal, hexadecimal or shortened, as the C library takes it."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fx.]+", host) else None
    except OSError:
        return None
