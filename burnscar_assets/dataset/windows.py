"""Windows in the rslearn dataset: written once, kept while they are the same, removed when nobody wants them.

Windows that didn't change keep what they have, and with it their imagery. How they lie on disk is the dataset's
choice: folders as rslearn makes them (`file_layout`), or one packed file a group (`packed_layout`).
"""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd

from burnscar_assets.dataset.file_layout import write_folders
from burnscar_assets.dataset.layout import DATA_STORAGE, LABEL_LAYER, TAGS, WINDOW_STORAGE, WindowChanges, is_packed
from burnscar_assets.dataset.packed_layout import write_packs
from burnscar_assets.progress import Progress, silent

__all__ = ["DATA_STORAGE", "LABEL_LAYER", "TAGS", "WINDOW_STORAGE", "WindowChanges", "is_packed", "write_windows"]


def write_windows(
    windows: gpd.GeoDataFrame,
    dataset_path: Path,
    progress: Progress = silent,
    *,
    fire_years: Sequence[int] = (),
    remove_others: bool = True,
) -> WindowChanges:
    """Bring the dataset's groups in line with a table of windows.

    Args:
        windows: table `windows`; the group of each is its fire year.
        dataset_path: folder of the rslearn dataset; without a config.json, windows become folders.
        progress: told about windows looked at.
        fire_years: groups to bring in line besides those in the table: a year without windows loses its old ones.
        remove_others: whether windows of these groups that aren't in the table are removed.

    Raises:
        StorageError: no space, or no permission; every window is then as it was, or whole.
        InputError: config.json packs metadata or pixels alone, or a group's file is something else.
    """
    groups = set(windows["fire_year"].astype(str)) | {str(year) for year in fire_years}
    write = write_packs if is_packed(dataset_path) else write_folders
    return write(windows, dataset_path, groups, progress, remove_others=remove_others)
