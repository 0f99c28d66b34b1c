"""Making the tiles of a batch of windows: what runs in a worker process, or in the calling one."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rasterio.errors import RasterioError

from burnscar_assets.errors import SourceUnavailableError
from burnscar_assets.imagery.dataset import data_source, open_dataset, quiet_rslearn
from burnscar_assets.imagery.gdal import request_timeout_s
from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.items import SerializedItem, read_groups, take_back
from burnscar_assets.imagery.tiles import TileContent, measure_tile, retire_tile
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.atomic import storage_errors

if TYPE_CHECKING:
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Dataset, Window

PROBE_BYTES = 1 << 16


@dataclass(frozen=True)
class TileBatch:
    """Windows of one group and layer, those that are to be made among them."""

    dataset_path: Path
    layer: str
    group: str
    window_ids: tuple[str, ...]
    to_make: frozenset[str]
    settings: ImagerySettings


@dataclass(frozen=True)
class TileOutcome:
    """What came of one window: its content, or why it has none."""

    window_id: str
    made: bool
    content: TileContent | None
    error: str = ""


def make_tiles(batch: TileBatch) -> list[TileOutcome]:
    """Materialize what is to be made with rslearn, and measure every tile of the batch.

    A tile that is there already is retired first, and stays so: the caller restores or discards it. Scenes
    stay open for the next batch; the caller closes them.

    Raises:
        StorageError: the dataset folder can't be written.
        SourceUnavailableError: the archive does not answer.
        InputError: a scene's offset is unknown.
    """
    dataset = open_dataset(batch.dataset_path, (batch.layer,))
    source = data_source(dataset, batch.layer)
    found = dataset.load_windows(groups=[batch.group], names=list(batch.window_ids))
    maker = _Maker(dataset, source, batch)
    with quiet_rslearn():
        return [maker.make_or_measure(window) for window in found]


class _Maker:
    """Makes tiles of one batch, and remembers the scenes that could not be read."""

    def __init__(self, dataset: "Dataset", source: "DataSource", batch: TileBatch) -> None:
        self.dataset = dataset
        self.source = source
        self.batch = batch
        self.layer = batch.layer
        self.config = dataset.layers[batch.layer]
        self.tile_store = dataset.get_tile_store()
        self.broken: set[str] = set()

    def make_or_measure(self, window: "Window") -> TileOutcome:
        groups = read_groups(window, self.layer)
        root = Path(window.window_root)
        made = window.name in self.batch.to_make
        if not made:
            try:
                return TileOutcome(window.name, made, measure_tile(root, self.layer, self.config, len(groups)))
            except (OSError, RasterioError):
                made = True
        take_back([window], self.layer)
        retire_tile(root, self.layer)
        try:
            with storage_errors(root):
                self._materialize(window, groups)
            return TileOutcome(window.name, made, measure_tile(root, self.layer, self.config, len(groups)))
        except (OSError, RasterioError) as error:
            _probe(root)
            return TileOutcome(window.name, made, None, str(error))

    def _materialize(self, window: "Window", groups: list[list[SerializedItem]]) -> None:
        """Materialize one window; scenes on the network are tried again, unless they failed just before.

        An archive that kept us waiting in vain would do so for each window: that ends the work.
        """
        from rslearn.dataset.manage import materialize_window

        items = {item["name"] for group in groups for item in group}
        hrefs = [href for group in groups for item in group for href in item.get("asset_urls", {}).values()]
        worth_a_retry = not items & self.broken and (not hrefs or any(map(is_remote, hrefs)))
        retries = self.batch.settings.retries if worth_a_retry else 0
        wait = timedelta(seconds=self.batch.settings.retry_backoff_s)
        began = time.monotonic()
        try:
            materialize_window(
                window, self.dataset, self.source, self.tile_store, self.layer, self.config, retries, wait
            )
        except (OSError, RasterioError) as error:
            self.broken |= items
            if any(map(is_remote, hrefs)) and time.monotonic() - began >= request_timeout_s():
                raise SourceUnavailableError(
                    f"the archive does not answer ({error}): run the same again later; what was made is kept"
                ) from error
            raise
        if not window.is_layer_completed(self.layer):
            raise OSError(f"its scenes were not ingested: {', '.join(sorted(items))}")


def _probe(folder: Path) -> None:
    """Tell a scene that can't be read from a dataset that can't be written: GDAL reports both alike."""
    with storage_errors(folder):
        probe = Path(tempfile.mkdtemp(dir=folder, prefix=".probe"))
        try:
            (probe / "bytes").write_bytes(bytes(PROBE_BYTES))
        finally:
            shutil.rmtree(probe, ignore_errors=True)
