import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rslearn.config import QueryConfig
from rslearn.data_sources.direct_materialize_data_source import DirectMaterializeDataSource
from rslearn.data_sources.stac import SourceItem
from rslearn.utils.geometry import WGS84_PROJECTION, Projection, STGeometry

from burnscar_assets.catalog.archive import CogArchive, has_offset
from burnscar_assets.catalog.band_assets import band_hrefs
from burnscar_assets.catalog.index_client import forget_indexes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError
from burnscar_assets.reader.radiometry import RASTER_BANDS
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets_tests.catalog.small_archive import LEFT, TOP, SmallScene, write_archive, write_scene

SENTINEL2 = default_sensor()
AUGUST = (datetime(2022, 8, 1, tzinfo=UTC), datetime(2022, 8, 31, tzinfo=UTC))
UTM10 = Projection(CRS.from_epsg(32610), 10, -10)


def names(archive: CogArchive, times: tuple[datetime, datetime] = AUGUST, matches: int = 9) -> list[str]:
    """Names of the scenes that a window in the archive's corner gets, in order of preference."""
    corner = shapely.box(LEFT / 10 + 5, -TOP / 10 + 5, LEFT / 10 + 37, -TOP / 10 + 37)
    found = archive.get_items([STGeometry(UTM10, corner, times)], QueryConfig(max_matches=matches))
    return [item.name for group in found[0] for item in group.items]


def an_item(**properties: object) -> SourceItem:
    return SourceItem("s", STGeometry(WGS84_PROJECTION, shapely.box(0, 0, 1, 1), None), {}, properties)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"s2:processing_baseline": "03.01"}, False),
        ({"s2:processing_baseline": "04.00"}, True),
        ({"s2:processing_baseline": "05.11", "earthsearch:boa_offset_applied": False}, True),
        ({"s2:processing_baseline": "05.11", "earthsearch:boa_offset_applied": True}, False),
    ],
)
def test_offset_follows_the_processing_baseline(properties: dict, expected: bool) -> None:
    assert has_offset(an_item(**properties)) is expected


def test_offset_is_taken_off_once_and_nodata_stays() -> None:
    archive = CogArchive("nowhere.parquet")
    item = an_item(**{"s2:processing_baseline": "04.00"})
    take_off = archive.get_read_callback(item, "B12")
    assert take_off is not None
    pixels = np.array([[[0, 1, 500, 1000, 1001, 3500]]], dtype="uint16")
    assert take_off(pixels).tolist() == [[[0, 1, 1, 1, 1, 2500]]]
    assert archive.get_read_callback(item, "SCL") is None
    assert CogArchive("nowhere.parquet", harmonize=False).get_read_callback(item, "B12") is None


@pytest.mark.parametrize(("surface", "carried"), [("02.14", False), ("05.09", True)])
@pytest.mark.parametrize("said", [("05.09", 0.0), ("02.14", -0.1)], ids=["new without offset", "old with offset"])
def test_statements_that_contradict_each_other_are_judged_by_pixels(
    tmp_path: Path, surface: str, carried: bool, said: tuple[str, float]
) -> None:
    write_archive(tmp_path, SmallScene("s", baseline=surface))
    item = CogArchive(str(tmp_path / "index.parquet")).get_item_by_name("s")
    item.properties.update({"s2:processing_baseline": said[0], RASTER_BANDS: {"B02": (0.0001, said[1])}})
    archive = CogArchive(str(tmp_path / "index.parquet"))
    assert (archive.get_read_callback(item, "B02") is not None) is carried


def test_unknown_baseline_is_an_error_before_any_pixel_is_read(tmp_path: Path) -> None:
    item = write_scene(tmp_path, SmallScene("s"))
    del item["properties"]["s2:processing_baseline"]
    write_index([item], tmp_path / "index.parquet")
    with pytest.raises(InputError, match="s has no readable s2:processing_baseline"):
        names(CogArchive(str(tmp_path / "index.parquet")))
    assert names(CogArchive(str(tmp_path / "index.parquet"), harmonize=False)) == ["s"]


def test_a_copied_archive_reads_its_own_files_and_others_stay_where_they_are(tmp_path: Path) -> None:
    first, copy = tmp_path / "first", tmp_path / "copy"
    write_archive(first, SmallScene("s"))
    shutil.copytree(first, copy)
    item = CogArchive(str(first / "index.parquet")).get_item_by_name("s")
    copied = CogArchive(str(copy / "index.parquet"))
    for band in BANDS:
        assert Path(item.asset_urls[band]).is_relative_to(first)
        assert Path(copied.get_asset_url(item, band)).is_relative_to(copy)
    item.name = "not in the index"
    assert copied.get_asset_url(item, "B12") == item.asset_urls["B12"]


def test_least_cloudy_scene_comes_first_and_unknown_cloud_cover_last(tmp_path: Path) -> None:
    clouds = {"a": 40.0, "b": None, "c": 5.0, "d": 70.0, "e": 5.0}
    index = str(write_archive(tmp_path, *(SmallScene(name, cloud=cloud) for name, cloud in clouds.items())))
    assert names(CogArchive(index)) == ["c", "e", "a", "d", "b"]
    assert names(CogArchive(index, sort_ascending=False)) == ["d", "a", "c", "e", "b"]
    assert names(CogArchive(index, max_cloud_cover=40)) == ["c", "e", "a", "b"]
    assert names(CogArchive(index, sort_by=None)) == ["a", "b", "c", "d", "e"]
    assert names(CogArchive(index), matches=1) == ["c"]


def test_only_scenes_of_the_time_and_place_are_found(tmp_path: Path) -> None:
    index = str(
        write_archive(
            tmp_path,
            SmallScene("before", time="2022-07-31T23:59:59Z"),
            SmallScene("first", time="2022-08-01T00:00:01Z", cloud=1),
            SmallScene("offset_zone", time="2022-08-30T18:00:00-07:00", cloud=2),
            SmallScene("after", time="2022-08-31T00:00:01Z"),
            SmallScene("elsewhere", east_m=5_000),
        )
    )
    assert names(CogArchive(index)) == ["first"]
    assert names(CogArchive(index), (AUGUST[0], datetime(2022, 9, 1, tzinfo=UTC))) == ["first", "offset_zone", "after"]
    assert CogArchive(index).get_item_by_name("elsewhere").name == "elsewhere"


def test_times_without_zone_are_utc(tmp_path: Path) -> None:
    item = write_scene(tmp_path, SmallScene("s", time="2022-08-10T18:50:00"))
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    assert names(CogArchive(str(tmp_path / "items.json"))) == ["s"]


def test_band_that_no_scene_has_is_named(tmp_path: Path) -> None:
    item = write_scene(tmp_path, SmallScene("s"))
    del item["assets"]["B12"]
    write_index([item], tmp_path / "index.parquet")
    with pytest.raises(InputError, match=r"has B12: map bands .* its assets are B01, B02"):
        names(CogArchive(str(tmp_path / "index.parquet")))


def test_scene_that_lacks_a_band_is_no_match(tmp_path: Path) -> None:
    items = [write_scene(tmp_path, SmallScene("whole", cloud=50)), write_scene(tmp_path, SmallScene("part", cloud=1))]
    del items[1]["assets"]["B12"]
    write_index(items, tmp_path / "index.parquet")
    assert names(CogArchive(str(tmp_path / "index.parquet"))) == ["whole"]


def test_bands_are_found_by_the_names_of_other_archives() -> None:
    element84 = {key: {"href": band} for band, key in SENTINEL2.assets["earth-search"].items()}
    assert band_hrefs(element84, BANDS, {}, SENTINEL2) == {band: band for band in BANDS}
    copernicus = {
        "B02_20m": {"href": "coarse", "gsd": 20, "bands": [{"name": "B02"}]},
        "B02_10m": {"href": "fine", "gsd": 10, "bands": [{"name": "B02"}]},
        "true": {"href": "no", "eo:bands": [{"common_name": "red"}, {"common_name": "green"}]},
        "x": {"href": "green", "eo:bands": [{"common_name": "green"}]},
        "y": {"href": "nir", "bands": [{"eo:common_name": "nir"}]},
    }
    found = band_hrefs(copernicus, ["B02", "B03", "B04", "B08", "B12"], {"B12": "x"}, SENTINEL2)
    assert found == {"B02": "fine", "B03": "green", "B08": "nir", "B12": "green"}


def test_changed_index_is_noticed(tmp_path: Path) -> None:
    archive = CogArchive(str(write_archive(tmp_path, SmallScene("a"))))
    assert names(archive) == ["a"]
    write_archive(tmp_path, SmallScene("a"), SmallScene("b", cloud=1))
    forget_indexes()
    assert names(archive) == ["b", "a"]


def test_index_relative_to_the_dataset(tmp_path: Path) -> None:
    from rslearn.data_sources import DataSourceContext
    from upath import UPath

    write_archive(tmp_path / "archive", SmallScene("a"))
    context = DataSourceContext(ds_path=UPath(tmp_path / "dataset"))
    assert names(CogArchive("../archive/index.parquet", context=context)) == ["a"]


@pytest.mark.parametrize("epsg", [32610, 32611])
@pytest.mark.parametrize("band", ["B04", "B12", "B09"])
def test_pixels_are_those_of_rslearn_itself(tmp_path: Path, epsg: int, band: str) -> None:
    archive = CogArchive(str(write_archive(tmp_path, SmallScene("s"))))
    item = archive.get_item_by_name("s")
    projection = Projection(CRS.from_epsg(epsg), 10, -10)
    left, top, right, _ = (round(edge) for edge in item.geometry.to_projection(projection).shp.bounds)
    for column in range(left - 16, right, 48):
        bounds = (column, top + 40, column + 32, top + 72)
        url = archive.get_asset_url(item, band)
        ours, nodata = archive._read_raster_from_url(url, projection, bounds, Resampling.bilinear)
        theirs, their_nodata = DirectMaterializeDataSource._read_raster_from_url(
            archive, url, projection, bounds, Resampling.bilinear
        )
        np.testing.assert_array_equal(ours, theirs)
        assert nodata == their_nodata == 0
