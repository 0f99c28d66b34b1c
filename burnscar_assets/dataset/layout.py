"""How a dataset's windows lie on disk, and what both ways write of one and say they did.

Apart from what writes them, as every plan asks, and rslearn takes a while.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from burnscar_assets.errors import InputError
from burnscar_assets.storage.atomic import read_json

WINDOW_STORAGE: Final = "burnscar_assets.dataset.packed.storage.PackedWindowStorageFactory"
DATA_STORAGE: Final = "burnscar_assets.dataset.packed.data.PackedDataStorageFactory"
"""Class paths of `storage` and `window_data_storage` in the config.json of a packed dataset."""

LABEL_LAYER: Final = "label"
LABEL_RASTER_LAYER: Final = "label_raster"
LABEL_BAND: Final = "label"
TAGS: Final = ("split", "category", "stratum", "fire_id", "cluster_id")
"""Columns of table `windows` that become tags (`options`) of the rslearn window."""


@dataclass(frozen=True)
class WindowChanges:
    """What happened to the windows of the groups that were written.

    Attributes:
        kept: windows that were there already, untouched.
        made: new windows.
        replaced: windows that were there with other tags, or damaged; imagery of a sound window is kept.
        removed: windows that nobody wants any more, deleted with their imagery.
    """

    kept: int
    made: int
    replaced: int
    removed: int


def is_packed(dataset_path: Path) -> bool:
    """Whether a dataset's config.json chooses packed files; a dataset without one has folders.

    Raises:
        InputError: it does so for metadata or for pixels alone.
    """
    config = read_json(dataset_path / "config.json")
    chosen = [
        isinstance(said := config.get(key), dict) and said.get("class_path") == class_path
        for key, class_path in (("storage", WINDOW_STORAGE), ("window_data_storage", DATA_STORAGE))
    ]
    if any(chosen) and not all(chosen):
        raise InputError(
            f"{dataset_path / 'config.json'} packs windows or their data alone: name both `storage` {WINDOW_STORAGE} "
            f"and `window_data_storage` {DATA_STORAGE}, or neither"
        )
    return all(chosen)
