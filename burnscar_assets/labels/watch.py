"""Looking at the release's source, to see whether it changed, without fetching it.

A look is cheap and asks once: whoever looks comes again soon. What it sees decides whether a release is
worth fetching, never what is made from it.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import requests

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.download import RemoteVersion, span
from burnscar_assets.labels.http import check_status, open_session, quickly, transport_errors, with_retries
from burnscar_assets.labels.layer_address import is_rest_layer, refuse_page
from burnscar_assets.labels.local_source import check_whole, find_local, hash_local, stamp
from burnscar_assets.network.addresses import with_secrets
from burnscar_assets.network.masking import mask_address, masked
from burnscar_assets.settings import ReleaseSettings, SourceSettings
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot

SEVERAL: Final = "several"
"""Kind of the state of a release of several sources."""

SETTLE_S: Final = 10.0
"""A file that was written less than this many seconds ago may still be being written."""

_HEAD_REFUSED = frozenset({403, 405, 501})


@dataclass(frozen=True)
class SourceState:
    """What was seen of a source.

    Attributes:
        source: As in the settings, masked.
        kind: `zip_url`, `rest` or `file`; `several` of a release of several sources.
        version: Hash of what tells one content of the source from another, 16 digits: of a file the content
            itself; of an address the ETag (without one, Last-Modified) and the size; of a layer all facts; of several
            sources their versions.
        facts: What was seen, JSON values by name, for people; of several sources their states by their formats.
        note: What changes cannot be seen, and why; empty if any would be.
    """

    source: str
    kind: str
    version: str
    facts: dict[str, Any]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The state as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "SourceState | None":
        """The state that `to_json` wrote; None if it was not that, or another version of it."""
        try:
            state = cls(**content)
        except TypeError:
            return None
        return state if isinstance(state.facts, dict) else None


def observe_source(
    settings: ReleaseSettings, root: DataRoot, known: SourceState | None = None, *, settle_s: float = SETTLE_S
) -> SourceState:
    """Look at the source of the release, or at all of its sources.

    Args:
        settings: The sources, and how to ask for them.
        root: Relative sources lie under it.
        known: What was seen last; a file that was not written since is not read again.
        settle_s: How long a file must have been left alone, in seconds.

    Raises:
        SourceUnavailableError: a source does not answer, is busy, or is being written.
        InputError: a source is gone, refuses, or is something else.
    """
    if not settings.further:
        return observe_one(settings, root, known, settle_s=settle_s)
    before = known.facts if known is not None and known.kind == SEVERAL else {}
    states = {
        source.format: observe_one(
            source, root, SourceState.from_json(before.get(source.format, {})), settle_s=settle_s
        )
        for source in settings.every
    }
    notes = [f"{name}: {state.note}" for name, state in states.items() if state.note]
    return SourceState(
        source=", ".join(state.source for state in states.values()),
        kind=SEVERAL,
        version=hash_json([(name, state.version) for name, state in states.items()])[:16],
        facts={name: state.to_json() for name, state in states.items()},
        note="; ".join(notes),
    )


def observe_one(
    settings: SourceSettings, root: DataRoot, known: SourceState | None = None, *, settle_s: float = SETTLE_S
) -> SourceState:
    """Look at one source; arguments and errors as of `observe_source`."""
    quick = quickly(settings)
    if is_rest_layer(settings.source):
        return _observe_layers(quick)
    if settings.source.startswith(("http://", "https://")):
        refuse_page(settings.source, settings.setting)
        return _observe_address(quick)
    return _observe_file(quick, root, known, settle_s)


def _observe_layers(settings: SourceSettings) -> SourceState:
    from burnscar_assets.labels.arcgis import prescribed_layer_url
    from burnscar_assets.labels.layer_facts import look_at_layer

    urls = {"fires": settings.source, "prescribed": prescribed_layer_url(settings, settings.source)}
    layers = {name: look_at_layer(url, settings) for name, url in urls.items() if url}
    facts = {name: asdict(layer) for name, layer in layers.items()}
    notes = [f"{name}: {note}" for name in facts for note in facts[name].pop("notes")]
    version = hash_json([masked(urls), facts])[:16]
    return SourceState(mask_address(settings.source), "rest", version, facts, "; ".join(notes))


def _observe_address(settings: SourceSettings) -> SourceState:
    url = settings.source
    with open_session(settings) as session:
        response = with_retries(lambda: _headers(session, url, settings), settings.retries)
    version, (_, size_bytes) = RemoteVersion.of(response), span(response, 0)
    if _is_page(response):
        raise InputError(
            f"{url} answers with a web page in place of the file: check release.source, release.user_agent and "
            "release.referer"
        )
    if response.status_code == 416 or response.headers.get("Content-Length") == "0":
        raise SourceUnavailableError(f"{url} is empty: it is being written; if it stays so, check release.source")
    facts = {"etag": version.etag, "last_modified": version.last_modified, "size_bytes": size_bytes or None}
    identity = [mask_address(url), version.etag or version.last_modified, size_bytes]
    return SourceState(
        source=mask_address(url),
        kind="zip_url",
        version=hash_json(identity)[:16],
        facts={name: value for name, value in facts.items() if value is not None},
        note="" if version.known else _unseen(size_bytes),
    )


def _headers(session: requests.Session, url: str, settings: SourceSettings) -> requests.Response:
    """An answer to HEAD or, where that is refused or says nothing, to a request of the first byte."""
    headers, asked = {"Accept-Encoding": "identity"}, with_secrets(url)
    with transport_errors(url):
        response = session.head(asked, headers=headers, timeout=settings.timeout_s, allow_redirects=True)
        telling = RemoteVersion.of(response).known or span(response, 0)[1] > 0
        refused = response.status_code in _HEAD_REFUSED
        if refused or (response.ok and (_is_page(response) or not telling)):
            first_byte = headers | {"Range": "bytes=0-0"}
            with session.get(asked, headers=first_byte, timeout=settings.timeout_s, stream=True) as response:
                check_status(response, url)
                return response
    check_status(response, url)
    return response


def _is_page(response: requests.Response) -> bool:
    return response.headers.get("Content-Type", "").lower().startswith("text/html")


def _unseen(size_bytes: int) -> str:
    seen = "only a change of its size is seen" if size_bytes else "nor its size: no change of it is seen"
    return f"the server names no version of the file (ETag, Last-Modified), {seen}"


def _observe_file(settings: SourceSettings, root: DataRoot, known: SourceState | None, settle_s: float) -> SourceState:
    path = find_local(settings.source, root)
    try:
        found = stamp(path)
        if known and (known.source, known.facts.get("stamp")) == (settings.source, found.digest):
            return known
        check_whole(path, found, settle_s)
        sha256 = hash_local(path)
        if stamp(path) != found:
            raise SourceUnavailableError(f"{path} is being written: it changed while it was read")
    except FileNotFoundError as error:
        raise SourceUnavailableError(f"{path} is being written: {error.filename} vanished while it was read") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; check release.source and its permissions"
        ) from error
    facts = {
        "sha256": sha256,
        "size_bytes": found.size_bytes,
        "files": found.files,
        "modified_at": datetime.fromtimestamp(found.modified_s, UTC).isoformat(),
        "stamp": found.digest,
    }
    return SourceState(settings.source, "file", sha256[:16], facts)
