"""The few exceptions that a user can meet, each with the next step in its message.

Permanent failures (bad input, bad settings) and transient ones (a source that does not answer) are
different classes, because only the second kind is worth a retry.
"""

from burnscar_assets.network.masking import masked


class BurnscarError(Exception):
    """Something a user can act on; the message says what happened and what to do next, and shows no secret.

    Attributes:
        asset: name of the asset whose stage ended with it, if one did.
    """

    asset: str | None = None

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(masked, arguments))


class SettingsError(BurnscarError):
    """A settings file is missing, malformed or holds a value that is not allowed."""


class InputError(BurnscarError):
    """Data given by a user or fetched from a source is unusable as it is."""


class SourceUnavailableError(BurnscarError):
    """A source did not answer, or broke off; trying again later may help."""


class SuspiciousReleaseError(BurnscarError):
    """A release that looks wrong; nothing is made from it until a person accepts it."""


class StorageError(BurnscarError):
    """The data root cannot be written: permissions, or no space left."""


class MissingDataError(BurnscarError):
    """A stage was asked for before what it reads was made."""


class CheckpointError(BurnscarError):
    """A checkpoint or its manifest is missing, incomplete or does not match its hash."""
