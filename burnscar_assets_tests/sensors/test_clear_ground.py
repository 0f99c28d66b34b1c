"""Rules of clear ground on numbers whose meaning is published, and what a scene shows of a window by them."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rslearn.config import QueryConfig
from rslearn.utils.geometry import Projection

from burnscar_assets.dataset.config import data_source
from burnscar_assets.errors import InputError
from burnscar_assets.reader.clearness import RULES, Clearness, Kind, Sun, classify
from burnscar_assets.reader.request import ReadOptions
from burnscar_assets.reader.views import Look, View, ground_of, require_ground, tells_ground, view_windows
from burnscar_assets.sensors.load import load_sensor
from burnscar_assets.sensors.sensor import ClearGround, Sensor
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.sensors.sensor_archive import EPSG, LEFT, SIDE_M, TOP, SensorScene, random_reflectance
from burnscar_assets_tests.sensors.test_numbers import dataset, window

QA = {
    1: Kind.NO_DATA,  # fill
    21824: Kind.CLEAR,
    21952: Kind.CLEAR,  # water
    30048: Kind.CLEAR,  # snow
    21826: Kind.VEILED,  # dilated cloud over land
    54596: Kind.VEILED,  # cirrus of high confidence
    22280: Kind.CLOUD,
    23888: Kind.SHADOW,
}
FMASK = {
    255: Kind.NO_DATA,
    64: Kind.CLEAR,  # little aerosol
    224: Kind.CLEAR,  # water under much aerosol
    80: Kind.CLEAR,  # snow
    66: Kind.CLOUD,
    68: Kind.VEILED,  # next to cloud or shadow
    72: Kind.SHADOW,
    76: Kind.SHADOW,
}
CLOUD, CLEAR, SHADE = 22280, 21824, 23888


@pytest.mark.parametrize(("rule", "known"), [("qa_pixel", QA), ("fmask", FMASK)])
def test_bits_mean_what_is_published(rule: str, known: dict[int, Kind]) -> None:
    assert {number: Kind(RULES[rule].kinds[number]) for number in known} == known
    assert len(RULES[rule].kinds) == np.iinfo(RULES[rule].dtype).max + 1
    assert RULES[rule].kinds[RULES[rule].nodata] == Kind.NO_DATA


def test_shadow_is_looked_for_in_the_pixels_of_the_sensor() -> None:
    numbers = np.full((201, 201), SHADE, np.uint16)
    numbers[100, 100] = CLOUD
    at_30, at_60 = (ClearGround(rule="qa_pixel", asset="QA_PIXEL", metres=metres) for metres in (30, 60))
    sun = Sun(180, 60)
    for ground in (at_30, at_60):
        shaded = np.flatnonzero(classify(numbers, ground, sun)[:, 100] == Clearness.UNCLEAR)
        assert shaded.max() <= 101 and shaded.min() == pytest.approx(100 - sun.reach_m / ground.metres, abs=2)


def views(root: DataRoot, sensor: Sensor, quality: np.ndarray | None) -> list[View | None]:
    opened = dataset(root, sensor, SensorScene("s", random_reflectance(sensor), quality=quality))
    source = data_source(opened, sensor.layer)
    asked = window(sensor)
    item = source.get_items([asked], QueryConfig())[0][0].items[0]
    assert tells_ground(source, item) is (quality is not None)
    bounds = tuple(int(edge) for edge in asked.shp.bounds)
    looks = [Look(asked.projection, bounds, item)] if quality is not None else []
    return view_windows(looks, source, ReadOptions())


def test_a_landsat_scene_tells_how_much_of_a_window_is_clear(root: DataRoot) -> None:
    quality = np.full((SIDE_M // 30, SIDE_M // 30), CLEAR, np.uint16)
    quality[:4, :16], quality[4:6, :16] = CLOUD, 1
    quality[200:, 200:] = SHADE
    (view,) = views(root, load_sensor("landsat-c2-l2"), quality)
    assert view == View(pytest.approx(10 / 16), pytest.approx(2 / 16))


def test_an_hls_scene_tells_too_and_windows_may_have_other_pixels_than_its_quality_file(root: DataRoot) -> None:
    sensor = load_sensor("hls")
    quality = np.full((SIDE_M // 30, SIDE_M // 30), 64, np.uint8)
    quality[:, 1] = 66
    opened = dataset(root, sensor, SensorScene("s", random_reflectance(sensor), quality=quality))
    source = data_source(opened, sensor.layer)
    item = source.get_items([window(sensor)], QueryConfig())[0][0].items[0]
    projection = Projection(CRS.from_epsg(EPSG), 20, -20)
    look = Look(projection, (LEFT // 20, -TOP // 20, LEFT // 20 + 6, -TOP // 20 + 6), item)
    assert view_windows([look], source, ReadOptions())[0] == View(pytest.approx(0.75), 0)


def test_a_sensor_that_tells_nothing_of_clear_ground_says_so(root: DataRoot) -> None:
    sensor = load_sensor("landsat-c2-l2")
    opened = dataset(root, sensor, SensorScene("s", random_reflectance(sensor)))
    source = data_source(opened, sensor.layer)
    source.sensor = sensor.model_copy(update={"clear_ground": None})
    assert ground_of(source) is None
    with pytest.raises(InputError, match=r"nothing tells clear ground in images of Landsat.*selection to granule"):
        require_ground(source, "landsat")
    assert view_windows([], source, ReadOptions()) == []
