"""What a tile is known by: its window, its layer's configuration, and the scenes that it is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.items import SerializedItem
from burnscar_assets.imagery.ledger import Entry
from burnscar_assets.storage.hashing import hash_json

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.dataset import Window

MATCHING_ARGUMENTS = frozenset(
    {"index", "index_cache_dir", "max_cloud_cover", "query", "sort_ascending", "sort_by", "use_rtree_index"}
)
"""Arguments of data sources that decide which scenes are found, and nothing about their pixels."""

UNKNOWN_FILES = ""


@dataclass(frozen=True)
class TileIdentity:
    """Hash of a tile's definition, and of the state of its scenes' local files (empty if one is missing)."""

    definition: str
    files: str

    def as_entry(self) -> Entry:
        """What a ledger remembers."""
        return {"definition": self.definition, "files": self.files}


class SceneFiles:
    """Sizes and modification times of the scenes' local files, looked up once a scene."""

    def __init__(self) -> None:
        """Know none yet."""
        self._states: dict[str, str] = {}

    def state(self, item: SerializedItem) -> str:
        """Hash over a scene's local files; empty if one is missing. Files on the network are not looked at."""
        name = item["name"]
        if name not in self._states:
            hrefs = [href for href in item.get("asset_urls", {}).values() if not is_remote(href)]
            try:
                stats = [(Path(href).name, Path(href).stat()) for href in sorted(hrefs) if not href.startswith("/vsi")]
                self._states[name] = hash_json([[file, stat.st_size, stat.st_mtime_ns] for file, stat in stats])
            except OSError:
                self._states[name] = UNKNOWN_FILES
        return self._states[name]


def identify(
    window: "Window", config: "LayerConfig", groups: Sequence[Sequence[SerializedItem]], files: SceneFiles
) -> TileIdentity:
    """What the tile of a window, made from these groups of scenes, is known by."""
    layer = config.model_dump(mode="json")
    source = layer["data_source"]
    source["init_args"] = {key: v for key, v in source["init_args"].items() if key not in MATCHING_ARGUMENTS}
    source["query_config"] = None
    place = [window.projection.serialize(), list(window.bounds)]
    scenes = [[[item["name"], item.get("properties")] for item in group] for group in groups]
    states = [files.state(item) for group in groups for item in group]
    return TileIdentity(hash_json([place, layer, scenes]), "" if UNKNOWN_FILES in states else hash_json(states))


def still_valid(entry: Entry, identity: TileIdentity) -> bool:
    """Whether a tile made for a ledger's entry is the one that is wanted; scenes since gone don't change it."""
    same = entry.get("definition") == identity.definition
    return same and identity.files in (UNKNOWN_FILES, entry.get("files"))
