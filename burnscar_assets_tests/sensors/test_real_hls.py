"""A real pair of HLS images, with negative numbers, goes through search and engine at 30 m."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject, transform_bounds
from rslearn.config import QueryConfig
from rslearn.tile_stores import get_tile_store_with_layer
from rslearn.utils.geometry import Projection, STGeometry

from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.dataset.config import data_source, open_dataset, write_dataset_config
from burnscar_assets.reader.read import read_windows
from burnscar_assets.reader.request import WindowRequest
from burnscar_assets.sensors.load import load_sensor
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot

HLS = load_sensor("hls")
DAYS = {"pre": "2020-07-01T18:50:00Z", "post": "2020-09-01T18:50:00Z"}
SIDE_PX = 190


def write_item(folder: Path, image: Path) -> StacDict:
    """A scene of one image: a file a band, called as HLS's S30 calls it."""
    folder.mkdir(parents=True)
    assets = {}
    with rasterio.open(image) as source:
        profile = {name: source.profile[name] for name in ("width", "height", "crs", "transform", "dtype")}
        for number, name in enumerate(HLS.names, start=1):
            key = HLS.assets["hls-s30"][name]
            with rasterio.open(folder / f"{key}.tif", "w", driver="COG", count=1, **profile) as sink:
                sink.write(source.read(number), 1)
            assets[key] = {"href": f"./{image.stem}/{key}.tif"}
        outline = shapely.box(*source.bounds)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"HLS.{image.stem}",
        "geometry": shapely.geometry.mapping(outline),
        "properties": {"datetime": DAYS[image.stem], "eo:cloud_cover": 0.0},
        "links": [],
        "assets": assets,
    }


@pytest.mark.real_data
def test_a_real_pair_is_read_at_30_m(real_data: Path, root: DataRoot) -> None:
    pair = real_data / "imagery" / "hls_pair"
    place = root.path / "archive"
    write_index([write_item(place / name, pair / f"{name}.tif") for name in DAYS], place / "index.parquet")
    imagery = ImagerySettings(
        sensor="hls", layer="hls", dataset_config="dataset-sensor.json", archive=str(place / "index.parquet")
    )
    write_dataset_config(imagery, root)
    dataset = open_dataset(root.dataset)
    config, source = dataset.layers["hls"], data_source(dataset, "hls")
    with rasterio.open(pair / "post.tif") as image:
        middle = shapely.box(*image.bounds).centroid
        numbers, transform, crs = image.read(), image.transform, image.crs
    utm = CRS.from_epsg(32600 + int((middle.x + 180) // 6) + 1)
    x, y, *_ = transform_bounds(crs, utm, middle.x, middle.y, middle.x, middle.y)
    left, top = int(x // 30) - SIDE_PX // 2, int(-y // 30) - SIDE_PX // 2
    bounds = (left, top, left + SIDE_PX, top + SIDE_PX)
    asked = STGeometry(Projection(utm, 30, -30), shapely.box(*bounds), None)
    items = {
        item.name: item for group in source.get_items([asked], QueryConfig(max_matches=9))[0] for item in group.items
    }
    request = [WindowRequest(name, asked.projection, bounds, [[item]]) for name, item in items.items()]
    store = get_tile_store_with_layer(dataset.get_tile_store(), "hls", config)
    read = {image.name: image for image in read_windows(request, config, source, store)}
    assert {image.failure for image in read.values()} == {None}
    after = read["HLS.post"].rasters[0][0].get_chw_array()
    expected = np.zeros(after.shape, np.float32)
    grid = rasterio.transform.from_origin(left * 30, -top * 30, 30, 30)
    reproject(
        numbers.astype(np.float32), expected, src_transform=transform, src_crs=crs,
        dst_transform=grid, dst_crs=utm, resampling=Resampling.bilinear,
    )  # fmt: skip
    expected = np.clip(expected, 1, None)
    apart = np.abs(after - expected)
    assert np.median(apart) < 3 and apart.max() < 100, "reflectance × 10,000; GDAL projects to an eighth of a pixel"
    latest = items["HLS.post"]
    theirs = [source.read_raster("hls", latest, [name], asked.projection, bounds) for name in HLS.names]
    assert np.array_equal(after, np.concatenate([raster.get_chw_array() for raster in theirs])), "as rslearn's command"
