"""A data source of files written by a test, and what rslearn makes of windows of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.crs import CRS
from rslearn.config import LayerConfig
from rslearn.data_sources import DataSource, Item
from rslearn.data_sources.direct_materialize_data_source import DirectMaterializeDataSource
from rslearn.dataset.materialize import RasterMaterializer
from rslearn.tile_stores import TileStoreWithLayer
from rslearn.utils.geometry import Projection, STGeometry
from rslearn.utils.raster_array import RasterArray

from burnscar_assets.reader.files import gdal_options
from burnscar_assets.reader.request import WindowRequest

LAYER = "images"
DAY = datetime(2022, 8, 10, tzinfo=UTC)


class FilesSource(DirectMaterializeDataSource[Item]):
    """Files of scenes by asset, each band a file unless said otherwise."""

    def __init__(self, asset_bands: dict[str, list[str]]) -> None:
        super().__init__(asset_bands)
        self.addresses: dict[tuple[str, str], str] = {}

    def get_items(self, *args: object) -> list:
        """Tests match windows themselves."""
        raise NotImplementedError

    def deserialize_item(self, serialized_item: Any) -> Item:
        """Items are rslearn's plain ones."""
        return Item.deserialize(serialized_item)

    def get_asset_url(self, item: Item, asset_key: str) -> str:
        """Address of a file."""
        return self.addresses[item.name, asset_key]

    def add(self, name: str, asset: str, path: Path, pixels: np.ndarray, epsg: int, **profile: Any) -> None:
        """Write a file of (bands, rows, columns)."""
        profile = {"driver": "GTiff", "crs": f"EPSG:{epsg}", "dtype": pixels.dtype, **profile}
        bands, rows, columns = pixels.shape
        with rasterio.open(path, "w", count=bands, height=rows, width=columns, **profile) as sink:
            sink.write(pixels)
        self.addresses[name, asset] = str(path)


def make_item(name: str, box: tuple[float, float, float, float], epsg: int) -> Item:
    """A scene whose footprint is a box, in metres."""
    geometry = STGeometry(Projection(CRS.from_epsg(epsg), 1, 1), shapely.box(*box), (DAY, DAY))
    return Item(name, geometry)


def make_layer(bands: list[str], dtype: str, nodata: float | None, resampling: str = "bilinear") -> LayerConfig:
    """A layer with one band set."""
    band_set: dict[str, Any] = {"dtype": dtype, "bands": bands}
    if nodata is not None:
        band_set["nodata_value"] = nodata
    return LayerConfig.model_validate(
        {
            "type": "raster",
            "band_sets": [band_set],
            "resampling_method": resampling,
            "data_source": {"class_path": "unused", "ingest": False},
        }
    )


class _Keeper:
    """Stands in for a window and its storage: keeps what rslearn's materializer writes."""

    time_range = None

    def __init__(self, request: WindowRequest) -> None:
        self.projection = request.projection
        self.bounds = request.bounds
        self.data = self
        self.kept: dict[int, list[RasterArray]] = {}

    def open_layer_writer(self, layer: str) -> "_Keeper":
        return self

    def __enter__(self) -> "_Keeper":
        return self

    def __exit__(self, *args: object) -> None: ...

    def mark_layer_completed(self, layer: str, group: int) -> None: ...

    def write_raster(self, bands: Any, form: Any, projection: Any, bounds: Any, raster: Any, group_idx: int) -> None:
        self.kept.setdefault(group_idx, []).append(raster)


def by_rslearn(
    request: WindowRequest, config: LayerConfig, source: DataSource, store: TileStoreWithLayer | None = None
) -> list[list[RasterArray]]:
    """The rasters that rslearn's materialize writes of a window."""
    keeper = _Keeper(request)
    with rasterio.Env(**gdal_options()):
        if store is None:
            source.materialize(keeper, request.groups, LAYER, config)
        else:
            RasterMaterializer().materialize(store, keeper, LAYER, config, request.groups)
    return [keeper.kept[group] for group in range(len(request.groups))]


def same_raster(ours: RasterArray, theirs: RasterArray) -> int:
    """How many pixels differ, by one at most; everything else must be equal."""
    assert ours.array.shape == theirs.array.shape
    assert ours.array.dtype == theirs.array.dtype
    assert ours.timestamps == theirs.timestamps
    assert ours.metadata == theirs.metadata
    differs = ~((ours.array == theirs.array) | ((ours.array != ours.array) & (theirs.array != theirs.array)))
    if differs.any():
        assert np.abs(ours.array.astype(float) - theirs.array.astype(float))[differs].max() <= 1
    return int(differs.sum())
