"""rslearn's data storage on packed files: named by its class path as `window_data_storage` in config.json."""

import io
import json
from datetime import datetime
from typing import Any

import numpy as np
import shapely
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

# rslearn itself loads this module, by the class path in a dataset's configuration.
from rslearn.dataset import Window  # noqa: TID253
from rslearn.dataset.window_data_storage.storage import (  # noqa: TID253
    LayerWriter,
    WindowDataStorage,
    WindowDataStorageFactory,
)
from rslearn.utils.feature import Feature  # noqa: TID253
from rslearn.utils.geometry import (  # noqa: TID253
    PixelBounds,
    Projection,
    STGeometry,
    safely_reproject_within_valid_area,
)
from rslearn.utils.raster_array import RasterArray, RasterMetadata  # noqa: TID253
from rslearn.utils.raster_format import RasterFormat, get_transform_from_projection_and_bounds  # noqa: TID253
from rslearn.utils.vector_format import GeojsonVectorFormat, VectorFormat  # noqa: TID253

from burnscar_assets.dataset.packed.codec import Pixels
from burnscar_assets.dataset.packed.formats import keep_vector_formats
from burnscar_assets.dataset.packed.pack import Pack, Vector
from burnscar_assets.dataset.packed.rasters import Grid, Raster, RasterRow
from burnscar_assets.dataset.packed.storage import PackedWindowStorage, grid_of, projection_of
from burnscar_assets.errors import InputError


class PackedLayerWriter(LayerWriter):
    """Collects what is written to a layer of a window, and writes it at the end, in one transaction."""

    def __init__(self, pack: Pack, name: str, layer: str) -> None:
        self._pack, self._name, self._layer = pack, name, layer
        self._rasters: list[RasterRow] = []
        self._vectors: list[Vector] = []

    def write_raster(
        self,
        bands: list[str],
        raster_format: RasterFormat,
        projection: Projection,
        bounds: PixelBounds,
        raster: RasterArray,
        group_idx: int = 0,
    ) -> None:
        """Keep a raster to be written; pixels are stored as they are, whatever the format."""
        stored = stored_raster(bands, projection, bounds, raster)
        self._rasters.append(RasterRow(self._name, self._layer, group_idx, stored))

    def write_vector(self, vector_format: VectorFormat, features: list[Feature], group_idx: int = 0) -> None:
        """Keep features to be written.

        Raises:
            InputError: the layer's format isn't `GeojsonVectorFormat`.
        """
        text = features_text(_geojson(vector_format), features)
        self._vectors.append(Vector(self._name, self._layer, group_idx, text))

    def __exit__(self, exc_type: Any, exc: Any, tb: Any) -> None:
        """Write, unless something failed."""
        if exc_type is not None:
            return
        with self._pack.transaction():
            self._pack.rasters.put(self._rasters)
            self._pack.put_vectors(self._vectors)


class PackedData(WindowDataStorage):
    """Pixels and features of one window, kept in its group's file.

    Args:
        window: a window of a `PackedWindowStorage`.

    Raises:
        InputError: its metadata are stored otherwise.
    """

    def __init__(self, window: Window) -> None:
        if not isinstance(window.storage, PackedWindowStorage):
            raise InputError(
                "packed pixels need packed windows: in config.json, `window_data_storage` "
                "burnscar_assets.dataset.packed.data.PackedDataStorageFactory goes with `storage` "
                "burnscar_assets.dataset.packed.storage.PackedWindowStorageFactory"
            )
        super().__init__(window)

    @property
    def _pack(self) -> Pack:
        storage: PackedWindowStorage = self.window.storage
        return storage.pack(self.window.group)

    def open_layer_writer(self, layer_name: str) -> PackedLayerWriter:
        """A writer whose content appears whole when its block ends."""
        return PackedLayerWriter(self._pack, self.window.name, layer_name)

    def read_raster(
        self,
        layer_name: str,
        bands: list[str],
        raster_format: RasterFormat,
        projection: Projection | None = None,
        bounds: PixelBounds | None = None,
        group_idx: int = 0,
        resampling: Resampling = Resampling.bilinear,
    ) -> RasterArray:
        """Pixels of an item group on a grid (default: the window's), as `GeotiffRasterFormat` would read them.

        On the grid that they are stored on, they are read as they were written; there GDAL changes 32-bit integers
        that are nodata in some bands only, and takes four bands of bytes for RGBA.

        Raises:
            MissingDataError: there are none, or they are damaged.
        """
        stored = self._pack.rasters.get(self.window.name, layer_name, bands, group_idx)
        onto = self.window.projection if projection is None else projection
        wanted = self.window.bounds if bounds is None else bounds
        if _same(projection_of(stored.grid), onto):
            pixels = _cut(stored, wanted)
        else:
            pixels = _warp(stored, onto, wanted, resampling)
        times = stored.timestamps
        return RasterArray(
            array=pixels,
            timestamps=None if times is None else [tuple(map(datetime.fromisoformat, pair)) for pair in times],
            metadata=RasterMetadata(nodata_value=stored.nodata),
        )

    def read_vector(
        self,
        layer_name: str,
        vector_format: VectorFormat,
        projection: Projection | None = None,
        bounds: PixelBounds | None = None,
        group_idx: int = 0,
    ) -> list[Feature]:
        """Features of an item group that touch the bounds (default: the window's), in a projection.

        Raises:
            MissingDataError: there are none, or they are damaged.
            InputError: the layer's format isn't `GeojsonVectorFormat`.
        """
        _geojson(vector_format)
        text = self._pack.vector(self.window.name, layer_name, group_idx)
        onto = self.window.projection if projection is None else projection
        return features_within(text, onto, self.window.bounds if bounds is None else bounds)


class PackedDataStorageFactory(WindowDataStorageFactory):
    """Makes `PackedData`; goes with `burnscar_assets.dataset.packed.storage.PackedWindowStorageFactory`."""

    def __init__(self) -> None:
        keep_vector_formats()

    def create(self, window: Window) -> PackedData:
        """The pixels and features of a window."""
        return PackedData(window)


def stored_raster(bands: list[str], projection: Projection, bounds: PixelBounds, raster: RasterArray) -> Raster:
    """A raster of rslearn as it is stored, for `Pack.rasters.put`.

    Raises:
        InputError: it has another number of bands than names.
    """
    if len(bands) != raster.array.shape[0]:
        raise InputError(f"{raster.array.shape[0]} bands of pixels for {len(bands)} names: correct the band set")
    times = raster.timestamps
    return Raster(
        tuple(bands),
        raster.array,
        grid_of(projection),
        int(bounds[0]),
        int(bounds[1]),
        None if times is None else tuple((start.isoformat(), end.isoformat()) for start, end in times),
        raster.metadata.nodata_value,
    )


def features_text(vector_format: GeojsonVectorFormat, features: list[Feature]) -> str:
    """The GeoJSON that a format writes."""
    target = _TextFile()
    vector_format.encode_to_file(target, features)
    return target.text


def features_within(text: str, projection: Projection, bounds: PixelBounds) -> list[Feature]:
    """Features of a stored FeatureCollection that touch bounds of a projection, in it."""
    area = STGeometry(projection, shapely.box(*bounds), None)
    features = _features(text)
    geometries = safely_reproject_within_valid_area([feature.geometry for feature in features], area)
    return [
        Feature(geometry, feature.properties)
        for feature, geometry in zip(features, geometries, strict=True)
        if geometry is not None and geometry.shp.intersects(area.shp)
    ]


class _TextFile:
    """What `GeojsonVectorFormat` writes to, in place of a path."""

    fs = None

    def __init__(self) -> None:
        self.text = ""

    def open(self, mode: str) -> io.StringIO:
        """Open for writing."""
        return _Closing(self)


class _Closing(io.StringIO):
    def __init__(self, target: _TextFile) -> None:
        super().__init__()
        self._target = target

    def close(self) -> None:
        if not self.closed:
            self._target.text = self.getvalue()
        super().close()


def _geojson(vector_format: VectorFormat) -> GeojsonVectorFormat:
    if not isinstance(vector_format, GeojsonVectorFormat):
        raise InputError(
            f"packed datasets keep vector layers as GeoJSON, not {type(vector_format).__name__}: "
            "name GeojsonVectorFormat in config.json"
        )
    return vector_format


def _features(text: str) -> list[Feature]:
    """Features of a FeatureCollection in the projection that it names."""
    collection = json.loads(text)
    said = collection.get("properties") or {}
    if "crs" in said:
        projection = projection_of(Grid(said["crs"], said["x_resolution"], said["y_resolution"]))
    else:
        projection = projection_of(Grid(collection["crs"]["properties"]["name"], 1, 1))
    return [Feature.from_geojson(projection, feature) for feature in collection["features"]]


def _same(one: Projection, other: Projection) -> bool:
    """Whether two grids are one; quick where they share the CRS object."""
    if one is other:
        return True
    resolutions = (one.x_resolution, one.y_resolution) == (other.x_resolution, other.y_resolution)
    return resolutions and (one.crs is other.crs or bool(one.crs == other.crs))


def _cut(stored: Raster, bounds: PixelBounds) -> Pixels:
    """The part of a raster within bounds of its own grid; what it doesn't cover is nodata, or 0."""
    height, width = stored.pixels.shape[2:]
    left, top = bounds[0] - stored.min_col, bounds[1] - stored.min_row
    columns, rows = bounds[2] - bounds[0], bounds[3] - bounds[1]
    if (left, top, columns, rows) == (0, 0, width, height):
        return stored.pixels
    cut = np.full((*stored.pixels.shape[:2], rows, columns), stored.nodata or 0, stored.pixels.dtype)
    first_col, last_col = max(left, 0), min(left + columns, width)
    first_row, last_row = max(top, 0), min(top + rows, height)
    if first_col < last_col and first_row < last_row:
        cut[..., first_row - top : last_row - top, first_col - left : last_col - left] = stored.pixels[
            ..., first_row:last_row, first_col:last_col
        ]
    return cut


def _warp(stored: Raster, projection: Projection, bounds: PixelBounds, resampling: Resampling) -> Pixels:
    """A raster on another grid, resampled as `GeotiffRasterFormat` does it."""
    bands, steps, height, width = stored.pixels.shape
    source = projection_of(stored.grid)
    corner = (stored.min_col, stored.min_row, stored.min_col + width, stored.min_row + height)
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": bands * steps,
        "dtype": stored.pixels.dtype.name,
        "crs": source.crs,
        "transform": get_transform_from_projection_and_bounds(source, corner),
        "nodata": stored.nodata,
    }
    target = {
        "crs": projection.crs,
        "transform": get_transform_from_projection_and_bounds(projection, bounds),
        "width": bounds[2] - bounds[0],
        "height": bounds[3] - bounds[1],
        "resampling": resampling,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as sink:
            sink.write(stored.pixels.reshape(bands * steps, height, width))
        with memory.open() as source_file, WarpedVRT(source_file, **target) as warped:
            pixels: Pixels = warped.read()
    return pixels.reshape(bands, steps, *pixels.shape[1:])
