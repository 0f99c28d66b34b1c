"""The version of the imagery catalogue, as far as it can be told without searching it."""

from pathlib import Path

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot

LIVE = "live"
"""The version of a catalogue that is searched over the network: what is new in it shows in the search alone."""

ABSENT = "absent"


def catalogue_version(settings: ImagerySettings, root: DataRoot) -> str:
    """Hash of a local STAC index file, or of the items of a static catalogue; `live` for any other source."""
    if settings.archive is None or is_remote(settings.archive):
        return LIVE
    path = root.resolve(settings.archive)
    if not path.exists():
        return ABSENT
    if path.suffix != ".json" and path.is_file():
        return hash_file(path)
    folder = path if path.is_dir() else path.parent
    return hash_json([_state(item, folder) for item in sorted(folder.rglob("*.json"))])


def _state(item: Path, folder: Path) -> tuple[str, int, int]:
    status = item.stat()
    return str(item.relative_to(folder)), status.st_size, status.st_mtime_ns
