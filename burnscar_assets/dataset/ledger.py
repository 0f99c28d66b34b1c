"""What each window's matches, tiles and label raster were made for, remembered beside the rslearn dataset.

rslearn takes `items.json` and its `completed` markers at their word, whatever has changed since. A ledger
says for which request the work on a window was done. Entries are forgotten on disk before the work starts, or hold
the hash of what was made, so that an interrupted run is never taken for a finished one. What was found out of scenes
on the way is kept beside them, in the same file.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnscar_assets.storage.atomic import atomic_file

FOLDER = ".burnscar"
SAVE_EVERY = 500

TILES_MADE = "tiles"
"""Name of the ledgers of tiles."""

SCENES = "*scenes"
"""Where a ledger's file keeps what is known of scenes; no window has this id."""

Entry = dict[str, Any]


class Ledger:
    """What is remembered of one kind of work on one layer of one group of windows.

    Attributes:
        entries: by window id.
        scenes: what was found out of scenes, by name.
    """

    def __init__(self, path: Path) -> None:
        """Read what is remembered; an unreadable file is an empty one, and the work is done anew."""
        self.path = path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        self.entries: dict[str, Entry] = content if isinstance(content, dict) else {}
        self.scenes: dict[str, Entry] = self.entries.pop(SCENES, {})
        self._unsaved = 0

    def get(self, window_id: str) -> Entry:
        """What is remembered of a window; empty if nothing is."""
        return self.entries.get(window_id, {})

    def forget(self, window_ids: Iterable[str]) -> None:
        """Forget windows, on disk too: work on them is about to start."""
        gone = self.entries.keys() & set(window_ids)
        if gone:
            self.entries = {key: entry for key, entry in self.entries.items() if key not in gone}
            self._write()

    def remember(self, window_id: str, entry: Entry) -> None:
        """Remember a window: work on it is done. On disk from time to time, and by `save`."""
        self.entries[window_id] = entry
        self._count_unsaved()

    def remember_scene(self, name: str, entry: Entry) -> None:
        """Remember what was found out of a scene, as `remember` does of a window."""
        if self.scenes.get(name) != entry:
            self.scenes[name] = entry
            self._count_unsaved()

    def save(self) -> None:
        """Put what is remembered on disk."""
        if self._unsaved:
            self._write()
            self._unsaved = 0

    def _count_unsaved(self) -> None:
        self._unsaved += 1
        if self._unsaved >= SAVE_EVERY:
            self.save()

    def _write(self) -> None:
        """One line a window: Python writes JSON with indents at a fifth of the speed."""
        content = self.entries | ({SCENES: self.scenes} if self.scenes else {})
        lines = (f"{json.dumps(key)}: {json.dumps(content[key], sort_keys=True)}" for key in sorted(content))
        with atomic_file(self.path) as temporary:
            temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


@contextmanager
def open_ledgers(dataset_path: Path, work: str, layer: str, groups: Iterable[str]) -> Iterator[dict[str, Ledger]]:
    """The ledgers of some groups of windows, saved at the end, whatever happens in between."""
    folder = dataset_path / FOLDER
    ledgers = {group: Ledger(folder / f"{work}-{layer}-{group}.json") for group in sorted(set(groups))}
    try:
        yield ledgers
    finally:
        for ledger in ledgers.values():
            ledger.save()
