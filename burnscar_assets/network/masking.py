"""What of an address, or of text that names one, may be shown or stored."""

import re
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

MASK: Final = "***"

_USER = re.compile(r"(?<=://)(?:[^\s/?#'\"]*|[^\s/?#:'\"]+:(?!\d*(?:[/?#]|$))[^\s'\"]*)@")
_VALUE = re.compile(r"([?&;#])([\w.%~+$\[\]-]+)=([^&#\s]+)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{6,}")
_SECRET_NAME = re.compile(
    r"token|signature|passw|secret|credential|api_?key|authori[sz]ation|subscription"
    r"|(?:^|[_.-])(?:auth|sig|key|pwd|pass|pw|sas|jwt|code|session|accesskeyid|awsaccesskeyid)$"
)
VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
"""An environment variable that an address of the settings names in the place of a secret."""

_LEAST_LETTERS: Final = 4
"""A shorter value is no secret, and stands in many a word."""

_substituted: set[str] = set()
"""What took the place of variables in this process, in each form of writing it."""


def remember_secret(value: str) -> None:
    """Mask from now on, wherever it stands, a value that took a variable's place."""
    if len(value) >= _LEAST_LETTERS:
        _substituted.update({value, quote(value), quote(value, safe=""), quote_plus(value)})


def mask_address(text: str) -> str:
    """An address without its secrets: user information, and values of the query named like a token, key or signature.

    Text around the address stays, and more than one is masked, so the message of an error may be given too. What took
    the place of a variable is masked wherever it stands.
    """
    for secret in sorted(_substituted, key=len, reverse=True):
        text = text.replace(secret, MASK)
    if "=" not in text and "://" not in text and not _BEARER.search(text):
        return text
    without_user = _USER.sub(_masked_user, text)
    return _BEARER.sub(rf"\1\2{MASK}", _VALUE.sub(_masked_value, without_user))


def masked(value: Any) -> Any:
    """A value as JSON has it, with the addresses in its text masked."""
    if isinstance(value, str):
        return mask_address(value)
    if isinstance(value, dict):
        return {name: masked(part) for name, part in value.items()}
    return [masked(part) for part in value] if isinstance(value, list | tuple) else value


def is_secret_name(name: str) -> bool:
    """Whether a value of this name, in a query or a header, is taken for a secret."""
    return bool(_SECRET_NAME.search(unquote(name).lower()))


def _masked_user(found: re.Match[str]) -> str:
    parts = found[0][:-1].split(":")
    return found[0] if all(map(VARIABLE.fullmatch, parts)) else f"{MASK}@"


def _masked_value(found: re.Match[str]) -> str:
    before, name, value = found.groups()
    if is_secret_name(name) and not VARIABLE.fullmatch(value):
        return f"{before}{name}={MASK}"
    inner = unquote(value)
    shown = mask_address(inner) if inner != value and "://" in inner else inner
    return found[0] if shown == inner else f"{before}{name}={quote(shown, safe='*')}"
