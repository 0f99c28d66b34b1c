"""When the search for a window's scenes is worth repeating: while imagery of its time range may still come.

Scenes reach an archive days after they were taken. A window that was searched before the last of them can have
been there is open: it is searched again, once a day at most, until one search came late enough. Times of
searches are in the ledger of matches alone, so that the same answer is the same table.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pandas as pd

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.clock import is_future
from burnscar_assets.dataset.ledger import Entry, open_ledgers
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot

MATCHED: Final = "matched"
"""Name of the ledgers of matches."""

PAUSE: Final = timedelta(hours=20)
"""Least time between two searches for a window: below a day, as a daily run may begin a little sooner than the last."""

COLUMNS: Final = ("window_id", "fire_year", "layer", "reason")


def search_times(searched_at: datetime, wanted_until: datetime | None) -> Entry:
    """What a ledger remembers of a search: when it was, and until when imagery is wanted (None: no limit)."""
    return {"searched_at": searched_at.isoformat(), "until": wanted_until.isoformat() if wanted_until else None}


def is_due(entry: Entry, late_days: int, now: datetime) -> bool:
    """Whether a window is to be searched again; one whose search nobody remembers is, too.

    Args:
        entry: what the ledger of matches has of the window.
        late_days: days after a time range for which imagery of it may still come.
        now: the time, with its zone.
    """
    if "searched_at" not in entry:
        return True
    searched_at = datetime.fromisoformat(entry["searched_at"])
    if is_future(searched_at.timestamp(), now.timestamp()):
        return True
    until = entry["until"]
    was_open = until is None or searched_at < datetime.fromisoformat(until) + timedelta(days=late_days)
    return was_open and now >= searched_at + PAUSE


def windows_to_look_at_again(
    dataset_path: Path, matches: pd.DataFrame, tiles: pd.DataFrame, settings: ImagerySettings, now: datetime
) -> pd.DataFrame:
    """Windows without usable imagery that `match_scenes` would search again now, as some may have come since.

    Args:
        dataset_path: the rslearn dataset.
        matches: rows of the `scene_matches` table.
        tiles: rows of the `tiles` table; may be empty.
        settings: how late imagery may come.
        now: the time, with its zone.

    Returns:
        window_id, fire_year, layer and reason (that of the match, else that of the tile), by layer and window.
    """
    unmatched = matches.loc[~matches["matched"].astype(bool), list(COLUMNS)]
    left_out = tiles.loc[~tiles["complete"].astype(bool), list(COLUMNS)]
    lacking = pd.concat([unmatched, left_out]).drop_duplicates(["window_id", "layer"], ignore_index=True)
    due = pd.Series(False, index=lacking.index)
    for (layer, year), rows in lacking.groupby(["layer", "fire_year"]):
        with open_ledgers(dataset_path, MATCHED, str(layer), [str(year)]) as ledgers:
            entries = [ledgers[str(year)].get(name) for name in rows["window_id"]]
        due[rows.index] = [is_due(entry, settings.late_days, now) for entry in entries]
    return lacking[due].sort_values(["layer", "window_id"], ignore_index=True)


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
