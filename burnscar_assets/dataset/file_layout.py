"""Windows as folders, rslearn's own layout: one change at a time, each of them whole.

A window appears whole, metadata and label together, by renaming a folder that was written elsewhere in
the dataset; one that goes is renamed away before it is deleted. So whatever interrupts the work, every
folder of a group is a window that rslearn can load. Runs of several fire years at once, as in a backfill, write in
turn.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
from filelock import FileLock

from burnscar_assets.classes import LABEL_PROPERTY
from burnscar_assets.dataset.layout import LABEL_LAYER, TAGS, WindowChanges
from burnscar_assets.progress import Progress
from burnscar_assets.storage.atomic import read_json, storage_errors

if TYPE_CHECKING:
    from rslearn.dataset import Window
    from rslearn.utils import Projection

_STAGING_PREFIX = ".windows-"
_LOCK_FILE = ".windows.lock"
_LABEL_FILE = "data.geojson"
_REPORT_EVERY = 100


def write_folders(
    windows: gpd.GeoDataFrame, dataset_path: Path, groups: set[str], progress: Progress, *, remove_others: bool
) -> WindowChanges:
    """Bring groups in line with a table of windows; as `dataset.windows.write_windows`."""
    done = {"kept": 0, "made": 0, "replaced": 0}
    removed = 0
    with storage_errors(dataset_path), _staging(dataset_path) as staging:
        if remove_others:
            wanted = set(zip(windows["fire_year"].astype(str), windows["window_id"], strict=True))
            for folder in _window_folders(dataset_path, groups):
                if (folder.parent.name, folder.name) not in wanted:
                    _discard(folder, staging)
                    removed += 1
        writer = _WindowWriter(dataset_path, staging)
        for number, row in enumerate(windows.itertuples(index=False)):
            done[writer.bring_in_line(row)] += 1
            if number % _REPORT_EVERY == 0 or number + 1 == len(windows):
                progress("windows", number + 1, len(windows))
    return WindowChanges(removed=removed, **done)


class _WindowWriter:
    """Writes single windows; keeps what many of them share."""

    def __init__(self, dataset_path: Path, staging: Path) -> None:
        from rslearn.dataset.storage.file import FileWindowStorage
        from rslearn.utils.vector_format import GeojsonCoordinateMode, GeojsonVectorFormat
        from upath import UPath

        self._dataset_path, self._staging = dataset_path, staging
        self._storage = FileWindowStorage(UPath(dataset_path))
        self._staging_storage = FileWindowStorage(UPath(staging))
        self._format = GeojsonVectorFormat(coordinate_mode=GeojsonCoordinateMode.PIXEL)
        self._projections: dict[tuple[int, float], Projection] = {}

    def bring_in_line(self, row: Any) -> str:
        """Make the window of a row be there; says whether it was `kept`, `made` or `replaced`."""
        window = self._window(row, self._storage)
        folder = self._dataset_path / "windows" / window.group / window.name
        if not folder.exists():
            self._make(row, folder)
            return "made"
        there = read_json(folder / "metadata.json")
        wanted = _as_json(window.get_metadata())
        same_place = all(there.get(name) == wanted[name] for name in ("projection", "bounds", "time_range"))
        if not same_place or not self._label_is_whole(window, folder):
            _discard(folder, self._staging)
            self._make(row, folder)
            return "replaced"
        if there.get("options") == wanted["options"]:
            return "kept"
        window.save()
        return "replaced"

    def _make(self, row: Any, folder: Path) -> None:
        from upath import UPath

        window = self._window(row, self._staging_storage)
        window.save()
        written = Path(self._staging_storage.get_window_root(window.group, window.name))
        self._format.encode_vector(UPath(written / "layers" / LABEL_LAYER), [self._label(window)])
        window.mark_layer_completed(LABEL_LAYER)
        folder.parent.mkdir(parents=True, exist_ok=True)
        written.replace(folder)

    def _window(self, row: Any, storage: Any) -> "Window":
        from rslearn.dataset import Window

        col, row_px, size = int(row.min_col), int(row.min_row), int(row.size_px)
        return Window(
            storage=storage,
            group=str(row.fire_year),
            name=row.window_id,
            projection=self._projection(int(row.utm_epsg), float(row.resolution_m)),
            bounds=(col, row_px, col + size, row_px + size),
            time_range=(row.start_time.to_pydatetime(), row.end_time.to_pydatetime()),
            options={tag: str(getattr(row, tag)) for tag in TAGS},
        )

    def _projection(self, utm_epsg: int, resolution_m: float) -> "Projection":
        from rasterio.crs import CRS
        from rslearn.utils import Projection

        key = (utm_epsg, resolution_m)
        if key not in self._projections:
            self._projections[key] = Projection(CRS.from_epsg(utm_epsg), resolution_m, -resolution_m)
        return self._projections[key]

    def _label(self, window: "Window") -> Any:
        from rslearn.utils.feature import Feature

        return Feature(window.get_geometry(), {LABEL_PROPERTY: window.options["category"]})

    def _label_is_whole(self, window: "Window", folder: Path) -> bool:
        layer = folder / "layers" / LABEL_LAYER
        label = read_json(layer / _LABEL_FILE)
        expected = _as_json(self._label(window).to_geojson())
        return label.get("features") == [expected] and (layer / "completed").exists()


@contextmanager
def _staging(dataset_path: Path) -> Iterator[Path]:
    """A folder of the dataset to write in, alone; what an interrupted run left there goes first."""
    dataset_path.mkdir(parents=True, exist_ok=True)
    with FileLock(dataset_path / _LOCK_FILE):
        for left in dataset_path.glob(f"{_STAGING_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=dataset_path, prefix=_STAGING_PREFIX, ignore_cleanup_errors=True) as name:
            yield Path(name)


def _window_folders(dataset_path: Path, groups: set[str]) -> list[Path]:
    folders = (dataset_path / "windows" / group for group in sorted(groups))
    return [window for folder in folders if folder.is_dir() for window in sorted(folder.iterdir()) if window.is_dir()]


def _discard(folder: Path, staging: Path) -> None:
    away = Path(tempfile.mkdtemp(dir=staging))
    shutil.rmtree(folder.replace(away / folder.name))


def _as_json(content: Any) -> Any:
    """The content as it would be read back: tuples as lists."""
    return json.loads(json.dumps(content))
