"""Where the files of a scene are, what they hold, and what rslearn does to their pixels."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

# Loaded only where tiles are made, which takes rslearn in any case.
from rslearn.data_sources import Item  # noqa: TID253
from rslearn.data_sources.copernicus import get_harmonize_callback  # noqa: TID253
from rslearn.data_sources.direct_materialize_data_source import DirectMaterializeDataSource  # noqa: TID253
from rslearn.data_sources.planetary_computer import Sentinel2 as PlanetaryComputerSentinel2  # noqa: TID253
from rslearn.dataset.materialize import resolve_nodata_value  # noqa: TID253
from rslearn.dataset.tile_utils import get_needed_band_sets_and_indexes  # noqa: TID253
from rslearn.tile_stores import DefaultTileStore, TileStoreWithLayer  # noqa: TID253
from rslearn.utils.geometry import PixelBounds, Projection  # noqa: TID253
from rslearn.utils.raster_format import GeotiffRasterFormat  # noqa: TID253

from burnscar_assets.catalog.archive import CogArchive, hosts_of
from burnscar_assets.catalog.items import TimeRange, processing_baseline
from burnscar_assets.errors import InputError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.network.addresses import host_of, may_be_private
from burnscar_assets.network.masking import mask_address
from burnscar_assets.network.session import Limits, Session
from burnscar_assets.reader.files import UnreadableFileError
from burnscar_assets.reader.radiometry import BY_STORE, Statement, statements_of_item
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN

Correction = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

METADATA: Final = "product-metadata"
METADATA_LIMITS: Final = Limits(timeout_s=20, deadline_s=60, max_answer_mb=20)
"""Of a product's metadata, which are of some 50 KB."""

SCENES_KEPT = 64
"""Scenes whose corrections are remembered: more than are read at once."""

Bands = tuple[list[str], list[int], list[int]]
"""Bands of a file, indices of those that are wanted, and their places in the band set."""


class DirectOrigin:
    """Files of a data source that is read without ingesting."""

    def __init__(self, source: DirectMaterializeDataSource, layer: str, allowed_hosts: Collection[str] = ()) -> None:
        self.store = TileStoreWithLayer(source, layer)
        self.hosts: Collection[str] = hosts_of(source, allowed_hosts)
        self._source = source
        inherited = (DirectMaterializeDataSource.get_raster_bounds, CogArchive.get_raster_bounds)
        self._one_footprint = type(source).get_raster_bounds in inherited
        self._footprints: dict[tuple[object, ...], PixelBounds] = {}
        self._corrections = _OncePerScene()

    def missing(self, item: Item, bands: list[str]) -> str:
        """What rslearn's commands would refuse a scene for: nothing, as it leaves out scenes that lack a band."""
        return ""

    def footprint(self, item: Item, file_bands: list[str], projection: Projection) -> PixelBounds:
        """Pixel bounds of the scene's geometry, beyond which rslearn reads nothing of its file."""
        key = (item.name, id(projection), *([] if self._one_footprint else file_bands))
        if key not in self._footprints:
            self._footprints[key] = self.store.get_raster_bounds(item, file_bands, projection)
        return self._footprints[key]

    def address(self, item: Item, file_bands: list[str]) -> str:
        """The source's address of a file, as rasterio opens it."""
        asset = self._source._get_asset_key_by_bands(file_bands)
        try:
            return self._source.get_asset_url(item, asset)
        except KeyError as error:
            raise FileNotFoundError(f"scene {item.name} has no asset {asset}") from error

    def correction(self, item: Item, file_bands: list[str]) -> Correction | None:
        """What is done to resampled pixels of a file: the source's own callback.

        That of Planetary Computer's Sentinel-2 is one for all files that it corrects, made of the scene's metadata,
        which rslearn fetches anew for each file.
        """
        asset = self._source._get_asset_key_by_bands(file_bands)
        is_corrected = getattr(self._source, "_should_harmonize_asset", None)
        if is_corrected is None:
            return self._source.get_read_callback(item, asset)
        if not is_corrected(asset):
            return None
        if type(self._source).get_read_callback is not PlanetaryComputerSentinel2.get_read_callback:
            return self._corrections.get(item.name, lambda: self._source.get_read_callback(item, asset))
        return self._corrections.get(item.name, lambda: get_harmonize_callback(self._metadata(item)))

    def _metadata(self, item: Item) -> ElementTree.Element:
        return _product_metadata(self._source.get_asset_url(item, METADATA), self.hosts)

    def statements(self, item: Item, file_bands: list[str]) -> list[Statement]:
        """What is said of the offset of a scene's numbers: what the item says, else what the source would do."""
        if getattr(self._source, "harmonize", True) is False:
            return [Statement("the data source", 0, "harmonize is false in config.json")]
        if getattr(self._source, "_should_harmonize_asset", None) is not None:
            taken_off = self.correction(item, file_bands)
            text = "adds an offset" if taken_off else "adds no offset"
            return [Statement("the product's metadata", BASELINE_OFFSET_DN if taken_off else 0, text)]
        properties = getattr(item, "properties", None) or {}
        baseline = processing_baseline({"name": item.name, "properties": properties})
        said = statements_of_item(properties, baseline)
        if said or isinstance(self._source, CogArchive):
            return said
        return [Statement("the data source", 0, "it says nothing of an offset")]

    def times(self, item: Item, file_bands: list[str]) -> list[TimeRange] | None:
        """Time range of a file's pixels: the scene's."""
        return [item.geometry.time_range] if item.geometry.time_range is not None else None


def _product_metadata(address: str, hosts: Collection[str]) -> ElementTree.Element:
    """A product's metadata, fetched within limits, which rslearn's own way has none of.

    Raises:
        OSError: no answer, one that is too large or leads elsewhere, or no XML.
    """
    try:
        named = may_be_private(address, hosts)
        with Session(METADATA_LIMITS, named_hosts=named, setting="imagery.allowed_hosts") as session:
            answer = session.get(address)
            answer.raise_for_status()
            return ElementTree.fromstring(answer.content)  # noqa: S314 - expat bounds entities and fetches none
    except (InputError, ElementTree.ParseError) as error:
        message = f"cannot read {mask_address(address)}: {error}"
        raise UnreadableFileError(message, lasting=isinstance(error, InputError)) from error


class _OncePerScene:
    """Corrections of the last scenes, each made once, by whichever thread asks first; one that fails is made again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[threading.Lock, list[Correction | None]]] = OrderedDict()

    def get(self, scene: str, make: Callable[[], Correction | None]) -> Correction | None:
        """The correction of a scene."""
        with self._lock:
            entry = self._entries.setdefault(scene, (threading.Lock(), []))
            self._entries.move_to_end(scene)
            if len(self._entries) > SCENES_KEPT:
                self._entries.popitem(last=False)
        lock, made = entry
        with lock:
            if not made:
                made.append(make())
            return made[0]


class IngestedOrigin:
    """Files of rslearn's default tile store."""

    def __init__(self, store: TileStoreWithLayer) -> None:
        self.store = store
        self.hosts: Collection[str] = [host_of(str(store.tile_store.path))]
        self._files: DefaultTileStore = store.tile_store

    def missing(self, item: Item, bands: list[str]) -> str:
        """Says so if bands of a scene were not ingested."""
        there = {band for bands in self.store.get_raster_bands(item) for band in bands}
        return "" if there.issuperset(bands) else f"its scenes were not ingested: {item.name}"

    def footprint(self, item: Item, file_bands: list[str], projection: Projection) -> PixelBounds:
        """Pixel bounds of the file itself."""
        return self.store.get_raster_bounds(item, file_bands, projection)

    def address(self, item: Item, file_bands: list[str]) -> str:
        """The file of these bands."""
        try:
            found = self._files._get_raster_fname(self.store.layer_name, item.name, file_bands)
        except ValueError as error:
            raise FileNotFoundError(str(error)) from error
        return found.path if found.protocol in ("", "file", "local") else str(found)

    def correction(self, item: Item, file_bands: list[str]) -> None:
        """None: what there was to correct was corrected when the scene was ingested."""
        return

    def statements(self, item: Item, file_bands: list[str]) -> list[Statement]:
        """That there is none: whoever ingested the scene took off what its metadata say."""
        return [Statement(BY_STORE, 0, "offsets are taken off when a scene is ingested")]

    def times(self, item: Item, file_bands: list[str]) -> list[TimeRange] | None:
        """What rslearn noted beside the file.

        Raises:
            OSError: the file holds several times, which the engine does not read.
        """
        folder = self._files._get_raster_dir(self.store.layer_name, item.name, file_bands)
        metadata = GeotiffRasterFormat.decode_metadata(folder)
        if metadata is not None and (metadata.num_timesteps or 1) > 1:
            raise OSError(f"{folder} holds several times: use rslearn's materialize for this layer")
        return metadata.timestamps if metadata is not None else None


Origin = DirectOrigin | IngestedOrigin
"""Files of scenes, either where an archive has them or where rslearn has ingested them.

`hosts` are those, or patterns of them, that may be asked; addresses, corrections and statements may ask the network.
"""


def wanted_bands(origin: Origin, item: Item, bands: list[str]) -> list[Bands]:
    """The files of a scene that hold a band set's bands; none if it lacks one of them."""
    return get_needed_band_sets_and_indexes(item, bands, origin.store)


def nodata_of(origin: Origin, item: Item, bands: list[str]) -> float | None:
    """The value without data that rslearn finds in the header of a scene's files, which are opened as images only."""
    source = origin.store.tile_store
    if isinstance(source, DirectMaterializeDataSource):
        for file_bands, _, _ in wanted_bands(origin, item, bands):
            asset = source._get_asset_key_by_bands(file_bands)
            if asset not in source._nodata_cache:
                with open_raster(origin.address(item, file_bands), origin.hosts) as file:
                    source._nodata_cache[asset] = file.nodata
    return resolve_nodata_value(origin.store, [item], bands)


def corrected(pixels: npt.NDArray[Any], correction: Correction | None) -> npt.NDArray[Any]:
    """Pixels of windows, (windows, bands, height, width), after a source's correction of (bands, height, width)."""
    if correction is None:
        return pixels
    if correction.__module__ == "rslearn.data_sources.copernicus":  # pixel by pixel, so all windows at once
        count, bands, height, width = pixels.shape
        stacked = pixels.swapaxes(0, 1).reshape(bands, count * height, width)
        return correction(stacked).reshape(bands, count, height, width).swapaxes(0, 1)
    return np.stack([correction(window) for window in pixels])
