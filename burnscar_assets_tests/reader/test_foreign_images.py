"""An archive's "B02.tif" that is something else than an image reads nothing of this machine and asks no server."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.config import data_source, open_dataset
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    EPSG,
    LEFT,
    TOP,
    WINDOW_PX,
    SmallScene,
    make_dataset,
    make_windows,
    serve,
    write_scene,
)

LAYER = "sentinel2_l2a"
BEST, GOOD = SmallScene("best", cloud=0), SmallScene("good", "2022-08-13T18:50:00Z", cloud=20, surface=3)
SECRET = bytes(range(33, 123)) * 1300
_folders = itertools.count()

HEAD = (
    f'<VRTDataset rasterXSize="240" rasterYSize="240"><SRS>EPSG:{EPSG}</SRS><GeoTransform>{LEFT},10,0,{TOP},0,-10'
    "</GeoTransform>"
)


def raw_band(secret: Path, address: str) -> str:
    return (
        f'{HEAD}<VRTRasterBand dataType="UInt16" band="1" subClass="VRTRawRasterBand"><SourceFilename '
        f'relativeToVRT="0">{secret}</SourceFilename><ImageOffset>0</ImageOffset><PixelOffset>2</PixelOffset>'
        "<LineOffset>480</LineOffset></VRTRasterBand></VRTDataset>"
    )


def simple_source(secret: Path, address: str) -> str:
    return (
        f'{HEAD}<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename relativeToVRT="0">'
        f"/vsicurl/{address}/decoy.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        "</VRTDataset>"
    )


def wms(secret: Path, address: str) -> str:
    return (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{address}/decoy/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
        f"<DataWindow><UpperLeftX>{LEFT}</UpperLeftX><UpperLeftY>{TOP}</UpperLeftY><LowerRightX>{LEFT + 2400}"
        f"</LowerRightX><LowerRightY>{TOP - 2400}</LowerRightY><SizeX>240</SizeX><SizeY>240</SizeY></DataWindow>"
        f"<Projection>EPSG:{EPSG}</Projection><BandsCount>1</BandsCount></GDAL_WMS>"
    )


def mrf(secret: Path, address: str) -> str:
    return (
        '<MRF_META><Raster><Size x="240" y="240" c="1"/><PageSize x="240" y="240" c="1"/><DataType>UInt16</DataType>'
        f"<Compression>NONE</Compression><DataFile>{secret}</DataFile><IndexFile>{secret}</IndexFile></Raster>"
        "</MRF_META>"
    )


def pds(secret: Path, address: str) -> str:
    return (
        "PDS_VERSION_ID = PDS3\nRECORD_TYPE = FIXED_LENGTH\nRECORD_BYTES = 480\nFILE_RECORDS = 240\n"
        f'^IMAGE = "{secret}"\nOBJECT = IMAGE\n LINES = 240\n LINE_SAMPLES = 240\n SAMPLE_TYPE = LSB_UNSIGNED_INTEGER\n'
        " SAMPLE_BITS = 16\nEND_OBJECT = IMAGE\nEND\n"
    )


@pytest.mark.parametrize("attack", [raw_band, simple_source, wms, mrf, pds], ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
@pytest.mark.parametrize("band", ["B02", "B12"])
def test_no_tile_holds_what_a_file_names(
    root: DataRoot, tmp_path: Path, attack: Callable[[Path, str], str], remote: bool, band: str
) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(SECRET)
    folder = tmp_path / "web" / f"n{next(_folders)}"
    folder.mkdir(parents=True)
    write_index([write_scene(folder, BEST), write_scene(folder, GOOD)], folder / "index.parquet")
    with serve(tmp_path / "web") as (address, requests):
        (folder / "best" / f"{band}.tif").write_text(attack(secret, address))
        index = f"{address}/{folder.name}/index.parquet" if remote else folder / "index.parquet"
        settings = make_dataset(root, index)
        windows = make_windows(root, [(60, 60)])
        matches, _ = match_scenes(windows, root.dataset, settings)
        assert matches["item_ids"].tolist() == [["best"]]
        table, _ = materialize_tiles(windows, matches, root.dataset, settings)
    assert table["item_ids"].tolist() == [["good"]]
    assert f"{band}.tif" in table["passed_over"].iloc[0][0]
    tile = read_tile(root.dataset, "2022", "w0", LAYER, BANDS)
    np.testing.assert_array_equal(tile[0], GOOD.reflectance("B02")[60 : 60 + WINDOW_PX, 60 : 60 + WINDOW_PX])
    assert not [path for path in requests if "decoy" in path]
    assert not (tmp_path / "web").joinpath("decoy").exists()


@pytest.mark.parametrize("attack", [raw_band, simple_source, mrf], ids=lambda attack: attack.__name__)
def test_rslearns_own_reading_of_the_archive_refuses_them_too(
    root: DataRoot, tmp_path: Path, attack: Callable[[Path, str], str]
) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(SECRET)
    write_index([write_scene(tmp_path, BEST)], tmp_path / "index.parquet")
    (tmp_path / "best" / "B02.tif").write_text(attack(secret, "http://127.0.0.1:1"))
    settings = make_dataset(root, tmp_path / "index.parquet")
    windows = make_windows(root, [(60, 60)])
    match_scenes(windows, root.dataset, settings)
    dataset = open_dataset(root.dataset)
    (window,) = dataset.load_windows()
    source = data_source(dataset, LAYER)
    matched = window.load_layer_datas()[LAYER].serialized_item_groups
    groups = [[source.deserialize_item(item) for item in group] for group in matched]
    with pytest.raises(OSError, match="B02"):
        source.materialize(window, groups, LAYER, dataset.layers[LAYER])
    assert not list(root.dataset.rglob("geotiff.tif"))


@pytest.mark.parametrize("named", ["{folder}/decoy.tif", "/vsicurl/{address}/decoy.tif"], ids=["file", "address"])
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
def test_no_image_s_overviews_are_those_that_it_names(root: DataRoot, tmp_path: Path, named: str, remote: bool) -> None:
    folder = tmp_path / "web" / f"n{next(_folders)}"
    folder.mkdir(parents=True)
    write_index([write_scene(folder, BEST), write_scene(folder, GOOD)], folder / "index.parquet")
    with serve(tmp_path / "web") as (address, requests):
        with rasterio.open(folder / "best" / "B12.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as image:
            image.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=named.format(folder=tmp_path, address=address))
        index = f"{address}/{folder.name}/index.parquet" if remote else folder / "index.parquet"
        settings = make_dataset(root, index)
        windows = make_windows(root, [(60, 60)])
        matches, _ = match_scenes(windows, root.dataset, settings)
        table, _ = materialize_tiles(windows, matches, root.dataset, settings)
    assert table["item_ids"].tolist() == [["good"]]
    assert "B12.tif" in table["passed_over"].iloc[0][0]
    assert not [path for path in requests if "decoy" in path]


def test_what_lies_beside_an_image_of_the_archive_is_not_read(root: DataRoot, tmp_path: Path) -> None:
    write_index([write_scene(tmp_path, BEST)], tmp_path / "index.parquet")
    band = tmp_path / "best" / "B02.tif"
    with rasterio.open(band) as image:
        profile = image.profile
    for suffix in (".ovr", ".msk"):
        with rasterio.open(f"{band}{suffix}", "w", **profile) as beside:
            beside.write(np.zeros((1, profile["height"], profile["width"]), profile["dtype"]))
    Path(f"{band}.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/etc/hostname</MDI></Metadata>'
        '<PAMRasterBand band="1"><NoDataValue>1</NoDataValue><Scale>7</Scale></PAMRasterBand></PAMDataset>'
    )
    settings = make_dataset(root, tmp_path / "index.parquet")
    windows = make_windows(root, [(60, 60)])
    matches, _ = match_scenes(windows, root.dataset, settings)
    table, _ = materialize_tiles(windows, matches, root.dataset, settings)
    assert table["complete"].all()
    tile = read_tile(root.dataset, "2022", "w0", LAYER, BANDS)
    np.testing.assert_array_equal(tile[0], BEST.reflectance("B02")[60 : 60 + WINDOW_PX, 60 : 60 + WINDOW_PX])


def test_an_image_of_one_giant_block_is_not_decoded(root: DataRoot, tmp_path: Path) -> None:
    write_index([write_scene(tmp_path, BEST), write_scene(tmp_path, GOOD)], tmp_path / "index.parquet")
    giant = {"width": 30_000, "height": 30_000, "blockxsize": 30_000, "blockysize": 30_000, "sparse_ok": True}
    place = {"crs": f"EPSG:{EPSG}", "transform": from_origin(LEFT, TOP, 10, 10)}
    with rasterio.open(
        tmp_path / "best" / "B12.tif", "w", driver="GTiff", count=1, dtype="uint16", tiled=True, **giant, **place
    ):
        pass
    assert (tmp_path / "best" / "B12.tif").stat().st_size < 100_000
    settings = make_dataset(root, tmp_path / "index.parquet")
    windows = make_windows(root, [(60, 60)])
    matches, _ = match_scenes(windows, root.dataset, settings)
    assert matches["item_ids"].tolist() == [["best"]]
    table, _ = materialize_tiles(windows, matches, root.dataset, settings)
    assert table["item_ids"].tolist() == [["good"]]
    assert "too large to be decoded" in table["passed_over"].iloc[0][0]
