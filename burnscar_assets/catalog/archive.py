"""An rslearn data source for any archive of a sensor's files with a STAC index.

Named by its class path in a dataset's `config.json`, so `rslearn dataset prepare` and `materialize` use it
as they use the sources of rslearn itself. Matching, mosaicking, resampling and writing are rslearn's own;
what is added is the search in an index instead of an API, the band names, what the sensor's numbers are worth, and
files that stay open from one window to the next.
"""

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError, RasterioIOError

# rslearn itself loads this module, by the class path in a dataset's configuration.
from rslearn.config import LayerConfig  # noqa: TID253
from rslearn.data_sources import DataSource, DataSourceContext, Item  # noqa: TID253
from rslearn.data_sources.copernicus import get_harmonize_callback  # noqa: TID253
from rslearn.data_sources.direct_materialize_data_source import DirectMaterializeDataSource  # noqa: TID253
from rslearn.data_sources.stac import SourceItem, StacDataSource  # noqa: TID253
from rslearn.dataset import Window  # noqa: TID253
from rslearn.tile_stores import TileStoreWithLayer  # noqa: TID253
from rslearn.utils.geometry import PixelBounds, Projection, STGeometry  # noqa: TID253
from rslearn.utils.raster_array import RasterArray, RasterMetadata  # noqa: TID253
from rslearn.utils.raster_format import get_raster_projection_and_bounds  # noqa: TID253
from rslearn.utils.stac import StacItem  # noqa: TID253

from burnscar_assets.catalog.band_assets import BAND_NUMBERS
from burnscar_assets.catalog.hrefs import AddressRule, is_remote, resolve_href
from burnscar_assets.catalog.index_client import IndexClient
from burnscar_assets.catalog.items import BASELINE_PROPERTIES, CLOUD_COVER, PRODUCT_NAMES, baseline_of, percent
from burnscar_assets.errors import InputError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.network.masking import mask_address
from burnscar_assets.network.relay import explained
from burnscar_assets.reader.files import FORGETTING, gdal_options
from burnscar_assets.reader.fitting import sampled_bands
from burnscar_assets.reader.pixels import equals_nodata
from burnscar_assets.reader.radiometry import (
    BASELINE,
    OFFSET_APPLIED,
    VISIBLE,
    BandSample,
    Statement,
    conversion_of_sensor,
    decide,
    statements_of_item,
)
from burnscar_assets.reader.resample import warp_from
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN, LAYER_DTYPE, NO_DATA_DN, Sensor

RECORDED_PROPERTIES = [
    CLOUD_COVER,
    *BASELINE_PROPERTIES,
    *PRODUCT_NAMES,
    OFFSET_APPLIED,
    BAND_NUMBERS,
    "created",
    "updated",
]

OPEN_FILES = 96


class CogArchive(DirectMaterializeDataSource[SourceItem], StacDataSource):
    """Scenes of a sensor, a file per band or one of all, local or remote, listed by a STAC index."""

    def __init__(
        self,
        index: str,
        sort_by: str | None = CLOUD_COVER,
        sort_ascending: bool = True,
        max_cloud_cover: float | None = None,
        harmonize: bool = True,
        assets: dict[str, str] | None = None,
        allowed_hosts: list[str] | None = None,
        sensor: dict[str, Any] | None = None,
        context: DataSourceContext = DataSourceContext(),  # noqa: B008 - rslearn's own signature
    ) -> None:
        """Make the source; nothing is read yet.

        Args:
            index: stac-geoparquet file or static catalogue; a relative path is relative to the dataset folder.
            sort_by: property of the STAC items by which scenes are preferred; without one, by id.
            sort_ascending: whether the smallest value is preferred.
            max_cloud_cover: scenes above it are no match, in percent; scenes that don't say are.
            harmonize: subtract the offset that Sentinel-2's processing baselines from 04.00 add, where a scene still
                has it; numbers of other sensors are converted as their files say.
            assets: asset key of each band; bands that are not named are detected.
            allowed_hosts: hosts, buckets and folders whose files the index may name; its own, and those of the public
                archives, are.
            sensor: what the sensor's file says, with its name; by default Sentinel-2.
            context: the dataset and layer, from rslearn.
        """
        self.sensor = default_sensor() if sensor is None else Sensor.model_validate(sensor)
        bands = list(self.sensor.names)
        if context.layer_config is not None:
            bands = [band for band_set in context.layer_config.band_sets for band in band_set.bands]
        if context.ds_path is not None and not is_remote(index):
            index = resolve_href(index, str(context.ds_path / "config.json"))
        DirectMaterializeDataSource.__init__(self, asset_bands={band: [band] for band in bands})
        StacDataSource.__init__(
            self,
            endpoint=index,
            collection_name=[],
            sort_by=sort_by,
            sort_ascending=sort_ascending,
            properties_to_record=RECORDED_PROPERTIES,
        )
        self.client: IndexClient = IndexClient(
            index, bands, assets or {}, max_cloud_cover, tuple(allowed_hosts or ()), self.sensor
        )
        self.harmonize = harmonize
        self._files: OrderedDict[str, rasterio.DatasetReader] = OrderedDict()
        self._files_lock = threading.Lock()
        self._failed: set[str] = set()
        self._offsets: dict[str, bool] = {}
        self._item_bounds: dict[tuple[str, tuple[float, ...], Projection], PixelBounds] = {}

    def without_cloud_limit(self) -> "CogArchive":
        """The same archive with its cloudy scenes, to tell why a window has no match."""
        relaxed = copy.copy(self)
        relaxed.client = copy.copy(self.client)
        relaxed.client.max_cloud_cover = None
        relaxed.client.use(self.client.checks)
        return relaxed

    def get_asset_url(self, item: SourceItem, asset_key: str) -> str:
        """Address of a band's file: one that the layer has, or the scene classification where the scene has one.

        A dataset remembers addresses in full; where it was copied with its archive, the archive's own index counts.

        Raises:
            KeyError: the scene has no such file.
        """
        address = item.asset_urls.get(asset_key)
        if address is None or self._is_elsewhere(address):
            address = self.client.address(item.name, asset_key) or address
        if address is None:
            raise KeyError(asset_key)
        return address

    def _is_elsewhere(self, address: str) -> bool:
        """Whether a local file is not among those beside the index."""
        index = self.client.endpoint
        local = not (is_remote(address) or address.startswith("/vsi") or is_remote(index))
        return local and not Path(address).is_relative_to(Path(index.removeprefix("file://")).parent)

    def get_raster_bands(self, layer_name: str, item: SourceItem) -> list[list[str]]:
        """Bands of each file of a scene, in the file's order; one that the layer lacks goes by its number."""
        numbers = item.properties.get(BAND_NUMBERS) or {}
        wanted = [band for (band,) in self.asset_bands.values()]
        names = {numbers[band]: band for band in wanted if band in numbers}
        together = [names.get(number, f"#{number}") for number in range(1, max(names, default=0) + 1)]
        return [*([together] if together else []), *([band] for band in wanted if band not in numbers)]

    def _get_asset_key_by_bands(self, bands: list[str]) -> str:
        """The key of a file; one of several bands has those of all of them, and any will do."""
        known = [band for band in bands if [band] in self.asset_bands.values()]
        return super()._get_asset_key_by_bands(known[:1] or bands)

    def offers(self, item: SourceItem, asset_key: str) -> bool:
        """Whether a scene has a file of a band, also of one that the layer does not have."""
        return asset_key in item.asset_urls or self.client.address(item.name, asset_key) is not None

    def get_read_callback(
        self, item: SourceItem, asset_key: str
    ) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None:
        """What makes digital numbers of a band's pixels, such as taking an offset off; None where they are such.

        Raises:
            InputError: the scene does not say its processing baseline, or its statements contradict each other and
                its pixels prove neither.
        """
        if asset_key not in self.sensor.names:
            return None
        if self.sensor.radiometry.rule == "fixed":
            return partial(_converted, self.sensor)
        if not self.harmonize:
            return None
        if item.name not in self._offsets:
            self._offsets[item.name] = self._carries_offset(item) if _is_contradictory(item) else has_offset(item)
        return _without_offset() if self._offsets[item.name] else None

    def _carries_offset(self, item: SourceItem) -> bool:
        """Whether a scene's numbers carry an offset, by the pixels where they prove it."""
        samples = []
        for band in sampled_bands(self.sensor, self.asset_bands):
            with self._band(item, band) as (source, number):
                numbers = source.read(number)
                data = ~equals_nodata(numbers, source.nodata) & (numbers != 0)
            sample = BandSample.of(band, numbers[data], visible=band in self.sensor.bands_of(VISIBLE))
            samples += [sample] if sample is not None else []
        decision = decide(item.name, _said(item), samples)
        if not decision.usable:
            raise InputError(f"{decision.reason}: name it in imagery.exclude, or correct what its item says")
        return decision.offset_dn > 0

    @contextmanager
    def _band(self, item: SourceItem, band: str) -> Iterator[tuple[rasterio.DatasetReader, int]]:
        """The open file of a band, and the band's number in it."""
        address, hosts = self.get_asset_url(item, band), self.client.checks.rule.hosts
        with rasterio.Env(**gdal_options()), open_raster(address, hosts) as source:
            yield source, (item.properties.get(BAND_NUMBERS) or {}).get(band, 1)

    def get_raster_bounds(self, layer_name: str, item: Item, bands: list[str], projection: Projection) -> PixelBounds:
        """Pixel bounds of a scene's footprint, projected once for all its bands and windows."""
        key = (item.name, item.geometry.shp.bounds, projection)
        if key not in self._item_bounds:
            self._item_bounds[key] = super().get_raster_bounds(layer_name, item, bands, projection)
        return self._item_bounds[key]

    def ingest(
        self, tile_store: TileStoreWithLayer, items: list[SourceItem], geometries: list[list[STGeometry]]
    ) -> None:
        """Copy whole scenes into the dataset's tile store, for layers with `ingest: true`.

        Raises:
            InputError: whether a scene's numbers carry an offset is in doubt, or the sensor's are converted on reading.
        """
        if self.sensor.radiometry.rule == "fixed":
            raise InputError(f"numbers of {self.sensor.title} are converted on reading: set ingest to false")
        for item in items:
            offset = self.harmonize and self._carries_offset(item)
            for band in self.asset_bands:
                if tile_store.is_raster_ready(item, [band]):
                    continue
                with self._band(item, band) as (source, number):
                    pixels = source.read([number])
                    projection, bounds = get_raster_projection_and_bounds(source)
                    metadata = RasterMetadata(nodata_value=source.nodata)
                harmonize = _without_offset() if offset and band in self.sensor.names else None
                pixels = harmonize(pixels) if harmonize else pixels
                raster = RasterArray(chw_array=pixels, time_range=item.geometry.time_range, metadata=metadata)
                tile_store.write_raster(item, [band], projection, bounds, raster)

    def materialize(
        self,
        window: Window,
        item_groups: list[list[SourceItem]],
        layer_name: str,
        layer_cfg: LayerConfig,
        group_time_ranges: list[tuple[datetime, datetime] | None] | None = None,
    ) -> None:
        """Materialize a window as rslearn does, with GDAL set for many small reads."""
        with rasterio.Env(**gdal_options()):
            super().materialize(window, item_groups, layer_name, layer_cfg, group_time_ranges)

    def close(self) -> None:
        """Close the files that were kept open."""
        with self._files_lock:
            while self._files:
                self._files.popitem()[1].close()

    def _should_include_item(self, item: SourceItem) -> bool:
        if self.harmonize and self.sensor.radiometry.rule == "sentinel2-baseline":
            has_offset(item)  # an unknown offset is an error now, before any pixel is read
        return True

    def _get_sort_key(self, stac_item: StacItem) -> Any:
        value = stac_item.properties.get(str(self.sort_by))
        value = percent(value) if self.sort_by == CLOUD_COVER else value
        return (value is not None) != self.sort_ascending, 0 if value is None else value

    def _read_raster_from_url(
        self, url: str, projection: Projection, bounds: PixelBounds, resampling: Resampling
    ) -> tuple[npt.NDArray[np.generic], float | None]:
        with self._files_lock:
            try:
                source = self._open(url)
                read = partial(warp_from, source, projection, bounds, resampling)
                return explained(read, url, self.client.checks.rule.hosts), source.nodata
            except RasterioError as error:
                self._forget(url)
                raise RasterioIOError(mask_address(f"cannot read {url}: {error.__cause__ or error}")) from error

    def _open(self, url: str) -> rasterio.DatasetReader:
        if url not in self._files:
            with rasterio.Env(**(FORGETTING if url in self._failed else {})):
                self._files[url] = open_raster(url, self.client.checks.rule.hosts)
            self._failed.discard(url)
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(url)
        return self._files[url]

    def _forget(self, url: str) -> None:
        """Have a file that could not be read opened anew: GDAL would take one whose server hung up for missing."""
        self._failed.add(url)
        if url in self._files:
            self._files.pop(url).close()


def hosts_of(source: DataSource, allowed_hosts: Collection[str]) -> list[str]:
    """Hosts, or patterns, that may be asked for a source's scenes: its own, the public archives', those allowed."""
    if isinstance(source, CogArchive):
        return source.client.checks.rule.hosts
    return AddressRule(getattr(getattr(source, "client", None), "endpoint", ""), tuple(allowed_hosts)).hosts


def sensor_of(source: DataSource) -> Sensor:
    """The sensor of a data source's scenes; all of rslearn's that are read here are Sentinel-2's."""
    return getattr(source, "sensor", None) or default_sensor()


def _converted(sensor: Sensor, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers of a band's file as layers have them, as the engine converts them."""
    from burnscar_assets.reader.fitting import Fitting

    fitting = Fitting(np.dtype(LAYER_DTYPE), NO_DATA_DN, sensor.nodata, sensor.nodata, reflectance=True, trusted=True)
    return fitting.fit(fitting.clean(numbers), conversion_of_sensor(sensor))


def _without_offset() -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None:
    """Takes the offset off a band's pixels, as rslearn does."""
    tree = ET.Element("offsets")
    ET.SubElement(tree, "BOA_ADD_OFFSET").text = str(-BASELINE_OFFSET_DN)
    return get_harmonize_callback(tree)


def _said(item: SourceItem) -> list[Statement]:
    return statements_of_item(item.properties, baseline_of(item.name, item.properties))


def _is_contradictory(item: SourceItem) -> bool:
    """Whether what a scene says of its offset contradicts itself."""
    return len({statement.offset_dn for statement in _said(item)}) > 1


def has_offset(item: SourceItem) -> bool:
    """Whether a scene's digital numbers are said to carry the offset of processing baselines from 04.00 still.

    Raises:
        InputError: the scene does not say its processing baseline.
    """
    said = _said(item)
    if not said:
        raise InputError(
            f"scene {item.name} has no readable {BASELINE}, so its offset is unknown: add it to the index, or set "
            "harmonize to false in config.json if the archive is harmonized already"
        )
    return said[0].offset_dn > 0
