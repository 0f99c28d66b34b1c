"""Each source's scenes are harmonised exactly once, and ingested ones are read from the tile store."""

import time
from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from rslearn.config import LayerConfig
from rslearn.data_sources import DataSource, DataSourceContext, aws_sentinel2_element84, planetary_computer
from rslearn.data_sources.stac import SourceItem
from rslearn.tile_stores import DefaultTileStore, TileStoreWithLayer
from rslearn.utils.geometry import Projection
from upath import UPath

from burnscar_assets.catalog.archive import BASELINE, CogArchive
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.network.session import Limits
from burnscar_assets.reader import origin
from burnscar_assets.reader.origin import DirectOrigin
from burnscar_assets.reader.read import read_windows
from burnscar_assets.reader.request import WindowImage, WindowRequest, supports
from burnscar_assets_tests.catalog.small_archive import EPSG, LEFT, SIDE_M, TOP, SmallScene, write_archive
from burnscar_assets_tests.labels.label_servers import Habits, serving
from burnscar_assets_tests.reader.faulty_server import serve
from burnscar_assets_tests.reader.files_source import LAYER, by_rslearn, make_item, make_layer, same_raster

TEN_METRES = ["B02", "B03", "B04", "B08"]
ASSETS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}
OLD, NEW = SmallScene("old", baseline="02.14"), SmallScene("new", baseline="04.00")


def scene_item(scene: SmallScene, folder: str, assets: dict[str, str], **more: str) -> SourceItem:
    """A scene of the small archive, as a source gives it."""
    plain = make_item(scene.name, (LEFT, TOP - SIDE_M, LEFT + SIDE_M, TOP), EPSG)
    urls = {assets.get(band, band): f"{folder}/{scene.name}/{band}.tif" for band in BANDS}
    return SourceItem(plain.name, plain.geometry, urls | more, {BASELINE: scene.baseline})


def make_request(item: SourceItem) -> WindowRequest:
    """One window in the middle of a scene."""
    left, top = LEFT // 10 + 40, -TOP // 10 + 60
    projection = Projection(CRS.from_epsg(EPSG), 10, -10)
    return WindowRequest(item.name, projection, (left, top, left + 32, top + 32), [[item]])


def read_one(
    request: WindowRequest, layer: LayerConfig, source: DataSource, store: TileStoreWithLayer | None = None
) -> WindowImage:
    """Read one window, which must be as rslearn makes it."""
    place = store or TileStoreWithLayer(source, LAYER)
    assert supports(layer, source, place) == ""
    (image,) = read_windows([request], layer, source, place)
    assert image.error == ""
    expected = by_rslearn(request, layer, source, store)
    assert same_raster(image.rasters[0][0], expected[0][0]) <= 2
    return image


def expected_pixels(scene: SmallScene) -> np.ndarray:
    """The window's reflectance at 10 m, without any offset."""
    return np.stack([scene.reflectance(band)[60:92, 40:72] for band in TEN_METRES])


@pytest.mark.parametrize("scene", [OLD, NEW], ids=lambda scene: scene.name)
def test_archive_is_harmonised_once(tmp_path: Path, scene: SmallScene) -> None:
    index = write_archive(tmp_path, scene)
    layer = make_layer(list(BANDS), "uint16", 0)
    source = CogArchive(str(index), context=DataSourceContext(layer_config=layer))
    image = read_one(make_request(scene_item(scene, str(tmp_path), {})), layer, source)
    pixels = image.rasters[0][0].get_chw_array()
    assert (pixels[: len(TEN_METRES)] == expected_pixels(scene)).all()


@pytest.mark.parametrize("scene", [OLD, NEW], ids=lambda scene: scene.name)
def test_planetary_computer_is_harmonised_once(tmp_path: Path, scene: SmallScene) -> None:
    write_archive(tmp_path, scene)
    offset = "<BOA_ADD_OFFSET>-1000</BOA_ADD_OFFSET>" if scene is NEW else ""
    (tmp_path / "product.xml").write_text(f"<product>{offset}</product>")
    layer = make_layer(TEN_METRES, "uint16", 0)
    source = planetary_computer.Sentinel2(harmonize=True, context=DataSourceContext(layer_config=layer))
    with serve(tmp_path) as (address, _):
        more = {"product-metadata": f"{address}/product.xml"}
        image = read_one(make_request(scene_item(scene, address, {}, **more)), layer, source)
    assert (image.rasters[0][0].get_chw_array() == expected_pixels(scene)).all()


def test_element84_is_harmonised_already(tmp_path: Path) -> None:
    write_archive(tmp_path, OLD)
    layer = make_layer(TEN_METRES, "uint16", 0)
    source = aws_sentinel2_element84.Sentinel2(context=DataSourceContext(layer_config=layer))
    request = make_request(scene_item(OLD, str(tmp_path), ASSETS))
    request.groups[0][0].properties[BASELINE] = "05.09"
    assert (read_one(request, layer, source).rasters[0][0].get_chw_array() == expected_pixels(OLD)).all()


@pytest.fixture
def ingested(tmp_path: Path) -> tuple[LayerConfig, CogArchive, TileStoreWithLayer, SourceItem]:
    """A scene in rslearn's default tile store."""
    index = write_archive(tmp_path, NEW)
    plain = make_layer(list(BANDS), "uint16", 0)
    layer = LayerConfig.model_validate(plain.model_dump() | {"data_source": {"class_path": "unused", "ingest": True}})
    source = CogArchive(str(index), context=DataSourceContext(layer_config=layer))
    files = DefaultTileStore()
    files.set_dataset_path(UPath(tmp_path / "dataset"))
    store = TileStoreWithLayer(files, LAYER)
    item = scene_item(NEW, str(tmp_path), {})
    source.ingest(store, [item], [[]])
    return layer, source, store, item


def test_ingested_scenes_are_read_from_the_tile_store(
    ingested: tuple[LayerConfig, CogArchive, TileStoreWithLayer, SourceItem],
) -> None:
    layer, source, store, item = ingested
    image = read_one(make_request(item), layer, source, store)
    assert (image.rasters[0][0].get_chw_array()[: len(TEN_METRES)] == expected_pixels(NEW)).all()


def test_scenes_that_were_not_ingested_are_an_error(
    ingested: tuple[LayerConfig, CogArchive, TileStoreWithLayer, SourceItem],
) -> None:
    layer, source, store, item = ingested
    other = SourceItem("other", item.geometry, item.asset_urls, item.properties)
    (image,) = read_windows([make_request(other)], layer, source, store)
    assert image.error == "its scenes were not ingested: other"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"compositing_method": "MEAN"}, "compositing"), ({"type": "vector"}, "raster")],
)
def test_other_layers_are_not_supported(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    plain = make_layer(TEN_METRES, "uint16", 0)
    layer = plain.model_copy(update={key: type(getattr(plain, key))(value) for key, value in change.items()})
    source = CogArchive(str(write_archive(tmp_path, OLD)))
    assert reason in supports(layer, source, TileStoreWithLayer(source, LAYER))


@pytest.mark.parametrize("habit", ["bomb", "drip", "http://127.0.0.2:9/MTD.xml"], ids=["bomb", "drip", "redirect"])
def test_a_product_s_metadata_are_fetched_within_limits(habit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "METADATA_LIMITS", Limits(timeout_s=2, deadline_s=1, max_answer_mb=1))
    source = planetary_computer.Sentinel2(harmonize=True, assets=["B02"])
    server = Habits(habit)
    with serving(server) as address:
        item = scene_item(NEW, address, {}, **{"product-metadata": f"{address}/MTD.xml"})
        direct, begun = DirectOrigin(source, LAYER), time.monotonic()
        with pytest.raises(OSError, match=r"MTD\.xml|deadline_s"):
            direct.correction(item, ["B02"])
    assert time.monotonic() - begun < 30
    assert len(server.requests) == 1
