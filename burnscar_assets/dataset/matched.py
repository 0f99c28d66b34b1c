"""What windows are matched with, as rslearn keeps it, and what of matching is kept beside that.

rslearn's users see a layer's scenes under its name and nothing else. Scenes that were set aside, as they give no usable
tile, and further candidates are notes: in packed files they are rows that rslearn isn't shown, in folders they lie
beside `items.json` in a file of their own. Notes are keyed like layers (`set-aside:<layer>`, `candidates:<layer>`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from burnscar_assets.storage.atomic import atomic_file

if TYPE_CHECKING:
    from rslearn.dataset import Window
    from rslearn.dataset.window import WindowLayerData

SET_ASIDE: Final = "set-aside:"
CANDIDATES: Final = "candidates:"
"""Under this and a layer's name lie the scenes that a window may have, one group of them, the preferred first."""

NOTES_FILE: Final = "burnscar-items.json"
"""Notes of a window that is a folder, in that folder."""

AT_ONCE: Final = 256
"""Windows that are read at once."""


def is_note(name: str) -> bool:
    """Whether a name that scenes are kept under is that of a note, not of a layer."""
    return name.startswith((SET_ASIDE, CANDIDATES))


def load_matched(window: "Window") -> "dict[str, WindowLayerData]":
    """Scenes of a window by layer, notes too."""
    return next(found for _, found in load_all_matched([window]))


def load_all_matched(windows: "Iterable[Window]") -> "Iterator[tuple[Window, dict[str, WindowLayerData]]]":
    """`load_matched` of windows, in their order; packed storage is asked for many at once."""
    from burnscar_assets.dataset.packed.storage import PackedWindowStorage

    for group, members in groupby(windows, key=lambda window: window.group):
        while chunk := list(islice(members, AT_ONCE)):
            storage = chunk[0].storage
            if isinstance(storage, PackedWindowStorage):
                found = storage.layer_datas(group, [window.name for window in chunk])
                yield from ((window, found.get(window.name, {})) for window in chunk)
            else:
                yield from ((window, window.load_layer_datas() | _read_notes(window)) for window in chunk)


def save_matched(matched: "Mapping[Window, Mapping[str, WindowLayerData]]") -> None:
    """Write down scenes and notes of windows of one group, in the place of all that was said of them.

    In folders two files are written. A note that scenes were set aside comes before what takes their place, and goes
    after they are back, so that a kill in between loses no scene.
    """
    from burnscar_assets.dataset.packed.storage import PackedWindowStorage

    for window in matched:
        if isinstance(window.storage, PackedWindowStorage):
            window.storage.save_layer_datas_many(window.group, {one.name: said for one, said in matched.items()})
            return
        break
    for window, said in matched.items():
        layers = {name: data for name, data in said.items() if not is_note(name)}
        notes = {name: data for name, data in said.items() if is_note(name)}
        goes = any(name.startswith(SET_ASIDE) for name in _read_notes(window).keys() - notes.keys())
        steps = [lambda: _write_notes(window, notes), lambda: window.save_layer_datas(layers)]  # noqa: B023 - used here
        for step in reversed(steps) if goes else steps:
            step()


def _notes_path(window: "Window") -> Path:
    return Path(str(window.storage.get_window_root(window.group, window.name))) / NOTES_FILE


def _read_notes(window: "Window") -> "dict[str, WindowLayerData]":
    from rslearn.dataset.window import WindowLayerData

    try:
        said = json.loads(_notes_path(window).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {data.layer_name: data for data in map(WindowLayerData.deserialize, said)}


def _write_notes(window: "Window", notes: "Mapping[str, WindowLayerData]") -> None:
    path = _notes_path(window)
    if not notes:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps([data.serialize() for data in notes.values()]), encoding="utf-8")
