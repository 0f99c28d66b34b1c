"""A folder of a person's own GeoTIFFs becomes an archive that windows are made from, or is refused by name."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import yaml
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from rslearn.config import QueryConfig
from rslearn.tile_stores import DefaultTileStore, TileStoreWithLayer, get_tile_store_with_layer
from rslearn.utils.geometry import Projection, STGeometry
from upath import UPath

from burnscar_assets.catalog.archive import CogArchive
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.own_days import days_in, days_of_file
from burnscar_assets.catalog.own_images import index_images
from burnscar_assets.catalog.stac_index import read_index
from burnscar_assets.cli import main
from burnscar_assets.dataset.config import data_source, open_dataset, write_dataset_config
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.points_csv import windows_from_csv, write_csv_windows
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.environment import CONFIG_VARIABLE
from burnscar_assets.errors import InputError
from burnscar_assets.reader.read import read_windows
from burnscar_assets.reader.request import WindowImage, WindowRequest
from burnscar_assets.sensors.load import load_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import ImagerySettings, parse_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.sensors.test_sensors import OWN

LEFT, TOP, SIDE_PX, METRES = 600_000, 4_300_000, 60, 20
UTM = CRS.from_epsg(32610)
NAMES = ("b", "g", "r", "n", "s")
Pixels = np.ndarray


@pytest.fixture
def sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sensor:
    """A sensor of one's own: five bands of 20 m."""
    return own_sensor(tmp_path, monkeypatch, kind="scenes")


def own_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **content: Any) -> Sensor:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "world.yaml"))
    (tmp_path / "sensors").mkdir(exist_ok=True)
    (tmp_path / "sensors" / "own.yaml").write_text(yaml.safe_dump(OWN | content))
    return load_sensor("own")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the images are."""
    path = tmp_path / "images"
    path.mkdir()
    return path


def numbers(seed: int, bands: int = 5) -> Pixels:
    return np.random.default_rng(seed).integers(200, 6000, (bands, SIDE_PX, SIDE_PX)).astype("uint16")


def write(
    path: Path, pixels: Pixels, names: Sequence[str] = (), tags: Mapping[str, str] | None = None, **profile: Any
) -> None:
    path.parent.mkdir(exist_ok=True)
    grid = {"crs": UTM, "transform": from_origin(LEFT, TOP, METRES, METRES), "nodata": 0} | profile
    bands, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype.name, **grid
    ) as sink:
        sink.write(pixels)
        if names:
            sink.descriptions = tuple(names)
        sink.update_tags(**(tags or {}))


def write_in_degrees(path: Path, pixels: Pixels, names: Sequence[str] = ()) -> None:
    """The ground of UTM's grid and some around it, in degrees."""
    reach = SIDE_PX * METRES
    west, south, east, north = transform_bounds(
        UTM, "EPSG:4326", LEFT - 200, TOP - reach - 200, LEFT + reach + 200, TOP + 200
    )
    step = max(east - west, north - south) / SIDE_PX
    write(path, pixels, names, crs="EPSG:4326", transform=from_origin(west, north, step, step))


def window_of(root: DataRoot, sensor: Sensor, index: Path, start: date, end: date) -> WindowImage:
    """A window of 16 by 16 pixels at the image's middle, searched and read as tiles are."""
    imagery = ImagerySettings(
        sensor=sensor.name, layer="five", dataset_config="dataset-sensor.json", archive=str(index)
    )
    write_dataset_config(imagery, root)
    dataset = open_dataset(root.dataset)
    config, source = dataset.layers["five"], data_source(dataset, "five")
    left, top = LEFT // METRES + 20, -TOP // METRES + 20
    bounds = (left, top, left + 16, top + 16)
    times = tuple(datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (start, end))
    asked = STGeometry(Projection(UTM, METRES, -METRES), shapely.box(*bounds), times)
    groups = [list(group.items) for group in source.get_items([asked], QueryConfig())[0]]
    request = WindowRequest("w", asked.projection, bounds, groups)
    store = get_tile_store_with_layer(dataset.get_tile_store(), "five", config)
    return next(iter(read_windows([request], config, source, store)))


def pixels_of(image: WindowImage) -> Pixels:
    assert image.failure is None, image.failure
    return image.rasters[0][0].get_chw_array()


def test_two_days_on_two_grids_by_description_and_by_order(folder: Path, sensor: Sensor, root: DataRoot) -> None:
    before = np.stack([np.full((SIDE_PX, SIDE_PX), level, "uint16") for level in (100, 200, 300, 400, 500)])
    after = numbers(2)
    write_in_degrees(folder / "before_2021-07-01.tif", before)
    write(folder / "fire" / "20210901.tif", after[[4, 3, 0, 2, 1]], ["swir2", "N", "Blue", "red", "g, 560 nm"])
    done = index_images(folder, sensor, folder / "index.parquet")
    assert (done.images, done.files, done.days, done.left_out) == (2, 2, (date(2021, 7, 1), date(2021, 9, 1)), {})
    assert done.by_order == ["before_2021-07-01.tif"]
    late = pixels_of(window_of(root, sensor, folder / "index.parquet", date(2021, 8, 20), date(2021, 9, 20)))
    assert np.array_equal(late, after[:, 20:36, 20:36]), "each band from where its description says"
    early = pixels_of(window_of(root, sensor, folder / "index.parquet", date(2021, 6, 20), date(2021, 7, 20)))
    assert [*early.mean(axis=(1, 2))] == [100, 200, 300, 400, 500], "in the sensor's order"


def test_rslearns_own_reading_of_one_file_with_all_bands_is_the_same(
    folder: Path, sensor: Sensor, root: DataRoot
) -> None:
    after = numbers(3)
    write(folder / "20210901.tif", after[::-1], NAMES[::-1])
    index_images(folder, sensor, folder / "index.parquet")
    ours = pixels_of(window_of(root, sensor, folder / "index.parquet", date(2021, 8, 20), date(2021, 9, 20)))
    dataset = open_dataset(root.dataset)
    source = data_source(dataset, "five")
    item = source.get_item_by_name("20210901")
    (bands,) = source.get_raster_bands("five", item)
    assert bands == [*NAMES[::-1]]
    left, top = LEFT // METRES + 20, -TOP // METRES + 20
    theirs = source.read_raster("five", item, bands, Projection(UTM, METRES, -METRES), (left, top, left + 16, top + 16))
    assert np.array_equal(theirs.get_chw_array()[::-1], ours) and np.array_equal(ours, after[:, 20:36, 20:36])


def test_a_file_a_band_and_one_of_them_missing(folder: Path, sensor: Sensor, root: DataRoot) -> None:
    after = numbers(4)
    for name, plane in zip(("b", "Green", "r", "nir", "s"), after, strict=True):
        write(folder / f"x_20210901_{name}_20m.tif", plane[None])
    write(folder / "y_20210902_b.tif", after[:1])
    write(folder / "y_20210902_dnbr.tif", after[:1])
    done = index_images(folder, sensor, folder / "index.parquet")
    assert (done.images, done.files) == (1, 5)
    assert sorted(name for names in done.left_out.values() for name in names) == [
        "y_20210902_b.tif", "y_20210902_dnbr.tif",
    ]  # fmt: skip
    image = window_of(root, sensor, folder / "index.parquet", date(2021, 8, 20), date(2021, 9, 20))
    assert np.array_equal(pixels_of(image), after[:, 20:36, 20:36])


def test_the_footprint_is_that_of_the_data(folder: Path, sensor: Sensor) -> None:
    pixels = numbers(5)
    pixels[:, :30] = 0
    write(folder / "20210901.tif", pixels)
    write(folder / "20210902.tif", np.zeros_like(pixels))
    done = index_images(folder, sensor, folder / "index.parquet")
    (item,) = read_index(str(folder / "index.parquet"))
    expected = transform_bounds(UTM, "EPSG:4326", LEFT, TOP - 1200, LEFT + 1200, TOP - 600)
    assert np.allclose(shapely.geometry.shape(item["geometry"]).bounds, expected, atol=1e-6)
    assert done.left_out == {"hold no data": ["20210902.tif"]}
    assert rasterio.open(next(iter(item["assets"].values()))["href"]).count == 5


def test_files_without_a_day_are_refused_by_name(folder: Path, sensor: Sensor) -> None:
    write(folder / "20210901.tif", numbers(1))
    write(folder / "after.tif", numbers(2))
    write(folder / "fire_20210803" / "post.tif", numbers(2))
    with pytest.raises(InputError, match=r"2 have no day: .*--days FILE.*: after.tif, fire_20210803/post.tif"):
        index_images(folder, sensor, folder / "index.parquet")
    assert not (folder / "index.parquet").exists()
    days = folder / "days.csv"
    days.write_text("file,start\nafter.tif,2021-09-05\npost.tif,2021-09-06\n")
    assert index_images(folder, sensor, folder / "index.parquet", days).days == (date(2021, 9, 1), date(2021, 9, 6))
    days.write_text("file,start,end\nother.tif,2021-09-05,\nafter.tif,2021-09-06,2021-09-05\n")
    with pytest.raises(InputError, match=r"2 rows of .*days.csv can't be used: row 2 \(other.tif"):
        index_images(folder, sensor, folder / "index.parquet", days)


def test_days_of_names_and_tags() -> None:
    assert days_in("S2B_MSIL2A_20220820T184919_N0400_R113_T10SEH_20220821T012345")[0] == date(2022, 8, 20)
    assert days_in("HLS.S30.T10SEH.2022232T185921.v2.0.B02") == [date(2022, 8, 20)]
    assert days_in("a_2022-08-20_2022-09-01") == [date(2022, 8, 20), date(2022, 9, 1)]
    assert days_in("20220820184919") == [date(2022, 8, 20)]
    assert days_in("20220231 202208201 120220820 patch_252161") == []
    tags = {"TIFFTAG_DATETIME": "2022:09:30 10:00:00", "ACQUISITIONDATETIME": "2022-08-20T18:50:00"}
    assert days_of_file("post", tags) == [date(2022, 8, 20)] and days_of_file("20220701", tags) == [date(2022, 7, 1)]
    assert days_of_file("post", {"TIFFTAG_DATETIME": "2022:09:30 10:00:00"}) == [date(2022, 9, 30)]


def test_composites_have_a_first_and_a_last_day(
    folder: Path, root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = own_sensor(tmp_path, monkeypatch)
    after = numbers(6)
    write(folder / "post.tif", after, NAMES)
    write(folder / "pre_20210601_20210701.tif", numbers(7), NAMES)
    with pytest.raises(InputError, match=r"1 have no first and last day: .*post.tif"):
        index_images(folder, sensor, folder / "index.parquet")
    days = tmp_path / "days.csv"
    days.write_text("file,start,end\n./post.tif,2021-08-05,2021-09-06\n")
    assert index_images(folder, sensor, folder / "index.parquet", days).images == 2
    image = window_of(root, sensor, folder / "index.parquet", date(2021, 8, 1), date(2021, 9, 20))
    assert np.array_equal(pixels_of(image), after[:, 20:36, 20:36])
    assert not CogArchive(str(folder / "index.parquet"), sensor=sensor.model_dump(mode="json")).client.search(
        date_time=(datetime(2021, 8, 10, tzinfo=UTC), datetime(2021, 9, 20, tzinfo=UTC))
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dtype": "float32"}, r"numbers are of type float32, not uint16.*: 20210901.tif"),
        ({"nodata": 9}, r"no data where they are 9, but Five bands where it is 0.*: 20210901.tif"),
        ({"crs": None}, r"1 don't say where they lie.*: 20210901.tif"),
    ],
)
def test_what_does_not_agree_with_the_sensor_is_refused(
    change: dict[str, Any], said: str, folder: Path, sensor: Sensor
) -> None:
    pixels = numbers(1).astype(change.pop("dtype", "uint16"))
    write(folder / "20210901.tif", pixels, **change)
    with pytest.raises(InputError, match=said) as refused:
        index_images(folder, sensor, folder / "index.parquet")
    assert "\n" not in str(refused.value)


def test_another_scale_and_what_is_no_image_are_refused(folder: Path, sensor: Sensor) -> None:
    write(folder / "20210901.tif", numbers(1))
    with rasterio.open(folder / "20210901.tif", "r+") as source:
        source.scales = (0.01,) * 5
    (folder / "fake.tif").write_text("<VRTDataset/>")
    write(folder / "20210901.TIFF", numbers(1))
    with pytest.raises(InputError, match=r"1 can't be read: .*fake.tif.*scale 0.01, offset 0 is stated.*20210901.tif"):
        index_images(folder, sensor, folder / "index.parquet")
    (folder / "fake.tif").unlink()
    with pytest.raises(InputError, match=r"1 are called as another image but for the ending.*: 20210901.tif"):
        index_images(folder, sensor, folder / "index.parquet")


def test_numbers_of_sentinel_2_may_carry_an_offset(folder: Path) -> None:
    sensor = load_sensor("sentinel2-l2a")
    write(folder / "20220820.tif", numbers(1, 12))
    with pytest.raises(InputError, match=r"give --offset 0 or --offset 1000: 20220820.tif"):
        index_images(folder, sensor, folder / "index.parquet")
    index_images(folder, sensor, folder / "index.parquet", offset=0)
    source = CogArchive(str(folder / "index.parquet"))
    assert source.get_read_callback(source.get_item_by_name("20220820"), "B02") is None


def test_each_band_of_one_file_is_ingested_by_itself(folder: Path, root: DataRoot) -> None:
    sensor = load_sensor("sentinel2-l2a")
    pixels = numbers(9, 12)
    write(folder / "20220820.tif", pixels, sensor.names[::-1])
    index_images(folder, sensor, folder / "index.parquet", offset=0)
    source = CogArchive(str(folder / "index.parquet"))
    item = source.get_item_by_name("20220820")
    files = DefaultTileStore(convert_rasters_to_cogs=False)
    files.set_dataset_path(UPath(root.path))
    store = TileStoreWithLayer(files, "sentinel2_l2a")
    source.ingest(store, [item], [[]])
    bounds = (LEFT // METRES, -TOP // METRES, LEFT // METRES + SIDE_PX, -TOP // METRES + SIDE_PX)
    for number, band in enumerate(sensor.names[::-1]):
        read = store.read_raster(item, [band], Projection(UTM, METRES, -METRES), bounds).get_chw_array()
        assert np.array_equal(read[0], pixels[number])


def test_files_of_landsat_and_hls_are_known_by_their_products_names(folder: Path) -> None:
    for number in range(1, 8):
        write(folder / f"LC08_L2SP_043034_20220820_20220828_02_T1_SR_B{number}.TIF", numbers(number, 1))
    write(folder / "LC08_L2SP_043034_20220820_20220828_02_T1_QA_PIXEL.TIF", numbers(8, 1), nodata=1)
    done = index_images(folder, load_sensor("landsat-c2-l2"), folder / "index.parquet")
    assert (done.images, done.files, done.days[0]) == (1, 8, date(2022, 8, 20))
    (item,) = read_index(str(folder / "index.parquet"))
    assert item["assets"]["QA_PIXEL"]["href"].endswith("QA_PIXEL.TIF")
    hls = folder / "hls"
    for key in ("B02", "B03", "B04", "B05", "B06", "B07", "B10", "Fmask"):
        kind = numbers(1, 1) if key == "Fmask" else numbers(1, 1).astype("int16")
        write(hls / f"HLS.L30.T10SEH.2022232T185921.v2.0.{key}.tif", kind, nodata=None if key == "Fmask" else -9999)
    done = index_images(hls, load_sensor("hls"), folder / "index.parquet")
    assert (done.images, done.files, done.days[0]) == (1, 7, date(2022, 8, 20))
    (item,) = read_index(str(folder / "index.parquet"))
    assert item["assets"]["swir1"]["href"].endswith("hls/HLS.L30.T10SEH.2022232T185921.v2.0.B06.tif")


def test_the_command_says_what_it_made_and_left_out(
    folder: Path, sensor: Sensor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(folder / "20210901.tif", numbers(1), NAMES)
    write(folder / "20210902.tif", numbers(1, 2), ("n", "s"))
    write(folder / "20210903.tif", numbers(1))
    out = tmp_path / "elsewhere" / "index.parquet"
    assert main(["index", str(folder), "--sensor", "own", "--out", str(out)]) == 0
    told = capfd.readouterr()
    assert "2 images of 2 files, 2021-09-01 to 2021-09-03" in told.out
    assert "1 files name no bands, which are taken for b, g, r, n, s: 20210903.tif" in told.err
    assert "1 files left out, as they lack b, g, r: 20210902.tif" in told.err
    assert "imagery.allowed_hosts" in told.err
    assert main(["index", str(folder), "--sensor", "none", "--out", str(out)]) == 1


def test_tiles_are_made_of_own_images_by_the_stages(folder: Path, sensor: Sensor, root: DataRoot) -> None:
    after = numbers(2)
    write(folder / "20210901.tif", after, NAMES)
    index_images(folder, sensor, folder / "index.parquet")
    settings = parse_settings(
        {
            "name": "own",
            "years": {"first": 2021, "last": 2021},
            "release": {"source": "none"},
            "imagery": {"sensor": "own", "archive": str(folder / "index.parquet"), "max_cloud_cover": 100},
            "demo": {},
        },
        "own",
    )
    write_dataset_config(settings.imagery, root)
    lon, lat = transform_bounds(UTM, "EPSG:4326", LEFT + 240, TOP - 900, LEFT + 240, TOP - 900)[:2]
    points = root.path / "points.csv"
    points.parent.mkdir(exist_ok=True)
    points.write_text(f"lon,lat,time,label\n{lon},{lat},2021-08-25,burnt\n")
    windows = windows_from_csv(points, settings.windows, settings.sampling.splits, sensor)
    write_csv_windows(windows, root.dataset)
    matches, summary = match_scenes(windows, root.dataset, settings.imagery)
    assert summary.matched == 1
    tiles, _ = materialize_tiles(windows, matches, root.dataset, settings.imagery)
    assert tiles["complete"].all()
    (pixels,) = read_tiles(root.dataset, windows, "five", NAMES)
    row = (TOP - ((TOP - 900) // 480 + 1) * 480) // METRES
    assert np.array_equal(pixels, after[:, row : row + 24, :24])


@pytest.mark.real_data
def test_real_composites_of_five_bands(
    real_data: Path, root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fires = real_data / "imagery" / "california_fires"
    roles = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B12": "swir2"}
    bands = [{"name": name, "roles": [role], "metres": 20} for name, role in roles.items()]
    sensor = own_sensor(tmp_path, monkeypatch, bands=bands)
    images = sorted(path.relative_to(fires).as_posix() for path in fires.glob("*/p*.tif"))
    spans = {"pre": "2019-05-01,2019-06-30", "post": "2019-07-01,2019-08-31"}  # made up: nothing tells them
    rows = [f"{name},{spans[Path(name).stem]}" for name in images]
    days = tmp_path / "days.csv"
    days.write_text("\n".join(["file,start,end", *rows]))
    done = index_images(fires, sensor, tmp_path / "index.parquet", days)
    assert (done.images, done.files) == (37, 37)
    two = ("CREEK_20240726", "HERNANDEZ_20240615", "RANCH_20240601", "TULEDAD_20241006", "VALLEY_20240521")
    assert done.left_out.pop("lack B02, B03, B04") == [f"{name}/post.tif" for name in (*two, "WATER_20240621")]
    (rest,) = done.left_out.values()
    assert len(rest) == 20 and all(name.endswith("/dnbr.tif") for name in rest)
    told = sensor.model_dump(mode="json")
    source = CogArchive(str(tmp_path / "index.parquet"), sensor=told, allowed_hosts=[str(fires)])
    item = source.get_item_by_name("66_20230515__post")
    with rasterio.open(fires / "66_20230515" / "post.tif") as image:
        centre = STGeometry(Projection(CRS.from_epsg(4326), 1, 1), shapely.Point(image.lnglat()), None)
        projection = Projection(UTM, 20, -20)
        column, row = (int(edge) for edge in centre.to_projection(projection).shp.bounds[:2])
        (order,) = source.get_raster_bands("five", item)
        found = source.read_raster("five", item, order, projection, (column, row, column + 4, row + 4)).get_chw_array()
        around = image.read(window=rasterio.windows.Window(image.width // 2 - 8, image.height // 2 - 8, 16, 16))
    assert order == list(sensor.names)
    low, high = around.reshape(5, -1).min(axis=1), around.reshape(5, -1).max(axis=1)
    assert (found >= low[:, None, None] - 1).all() and (found <= high[:, None, None] + 1).all()
