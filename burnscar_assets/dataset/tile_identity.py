"""What a tile is known by: its window, its layer's configuration, and the scenes that it is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.catalog.items import FALLBACK_SCENE, SerializedItem
from burnscar_assets.dataset.config import decisive_config
from burnscar_assets.dataset.ledger import Entry
from burnscar_assets.storage.hashing import hash_json

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.dataset import Window

MATCHING_ARGUMENTS = frozenset(
    {
        "allowed_hosts", "index", "index_cache_dir", "max_cloud_cover", "query", "sort_ascending", "sort_by",
        "use_rtree_index",
    }
)  # fmt: skip
"""Arguments of data sources that decide which scenes are found, and nothing about their pixels."""

UNKNOWN_FILES = ""

READING = 2
"""How numbers become pixels; a change of it has tiles made anew that may have come out otherwise."""


@dataclass(frozen=True)
class TileIdentity:
    """Hash of a tile's definition, and of the state of its scenes' local files (empty if one is missing)."""

    definition: str
    files: str

    def as_entry(self) -> Entry:
        """What a ledger remembers."""
        return {"definition": self.definition, "files": self.files}


class TileIdentities:
    """Identities of the tiles of one layer; looks at each scene once, however many windows it has."""

    def __init__(self, config: "LayerConfig") -> None:
        """Take what of the layer's configuration decides pixels."""
        layer = decisive_config(config)
        source = layer["data_source"]
        source["init_args"] = {key: v for key, v in source["init_args"].items() if key not in MATCHING_ARGUMENTS}
        source["query_config"] = None
        self._layer = hash_json(layer)
        self._scenes: dict[str, tuple[str, str]] = {}

    def of(self, window: "Window", groups: Sequence[Sequence[SerializedItem]]) -> TileIdentity:
        """What the tile of a window, made from these groups of scenes, is known by."""
        return self.at([window.projection.serialize(), list(window.bounds)], groups)

    def at(self, place: Sequence[Any], groups: Sequence[Sequence[SerializedItem]]) -> TileIdentity:
        """The same of pixels whose place, and all else that they follow from, is given as JSON."""
        scenes = [[self._scene(item) for item in group] for group in groups]
        files = [state for group in scenes for _, state in group]
        definition = hash_json([READING, list(place), self._layer, [[scene for scene, _ in group] for group in scenes]])
        return TileIdentity(definition, UNKNOWN_FILES if UNKNOWN_FILES in files else hash_json(files))

    def state(self, item: SerializedItem) -> str:
        """What is known of a scene, how it is read, and the state of its files."""
        return " ".join((self._layer, *self._scene(item)))

    def _scene(self, item: SerializedItem) -> tuple[str, str]:
        """Hash of what is known of a scene, and of the state of its files."""
        name = item["name"]
        if name not in self._scenes:
            said = [name, item.get("properties"), *([FALLBACK_SCENE] if item.get(FALLBACK_SCENE) else [])]
            self._scenes[name] = hash_json(said), _state(item)
        return self._scenes[name]


def _state(item: SerializedItem) -> str:
    """Hash over sizes and times of a scene's local files; empty if one is missing. Remote ones are not looked at."""
    hrefs = [href for href in item.get("asset_urls", {}).values() if not is_remote(href)]
    try:
        stats = [(Path(href).name, Path(href).stat()) for href in sorted(hrefs) if not href.startswith("/vsi")]
    except OSError:
        return UNKNOWN_FILES
    return hash_json([[file, status.st_size, status.st_mtime_ns] for file, status in stats])


def still_valid(entry: Entry, identity: TileIdentity) -> bool:
    """Whether a tile made for a ledger's entry is the one that is wanted; scenes since gone don't change it."""
    same = entry.get("definition") == identity.definition
    return same and identity.files in (UNKNOWN_FILES, entry.get("files"))
