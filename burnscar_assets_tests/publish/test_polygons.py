import hashlib
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from shapely.geometry import shape

from burnscar_assets.errors import InputError
from burnscar_assets.publish.polygons import burned_polygons, sieve, write_polygons

CRS = "EPSG:32610"
TEN_M = Affine(10, 0, 500_000, 0, -10, 4_000_000)
EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)
RASTERS = arrays("uint8", st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 0, 1, 1, 255]))


def polygons_of(burned: np.ndarray, probability: np.ndarray | None = None, **limits: float) -> gpd.GeoDataFrame:
    return burned_polygons(burned, probability, TEN_M, CRS, **{"min_area_ha": 0.0, "min_hole_ha": 0.0} | limits)


def pixel_outlines(burned: np.ndarray) -> list[shapely.Polygon]:
    from rasterio.features import shapes

    found = shapes(burned, mask=burned == 1, connectivity=4, transform=TEN_M)
    return [shape(outline) for outline, _ in found]


def smooth_ground(seed: int, size: int, grain: float) -> np.ndarray:
    noise = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(noise.normal(size=(size, size)), grain)
    burned = (field > field.std() / 2).astype("uint8")
    burned[noise.random(burned.shape) < 0.002] = 255
    return burned


def check_honest(burned: np.ndarray, found: gpd.GeoDataFrame) -> None:
    """Everything that is promised of outlines, against the outlines of the pixels themselves."""
    plain = pixel_outlines(burned)
    assert len(found) == len(plain)
    assert found.is_valid.all()
    assert found["area_ha"].sum() == pytest.approx((burned == 1).sum() / 100)
    assert found["outline_area_change"].abs().max() <= 0.01
    np.testing.assert_allclose(found.area / 1e4, found["area_ha"] * (1 + found["outline_area_change"]), rtol=1e-9)
    assert shapely.area(found.union_all()) == pytest.approx(found.area.sum()), "patches overlap"
    ours, theirs = (shapely.union_all(shapely.boundary(np.asarray(ps))) for ps in (found.geometry, plain))
    assert shapely.hausdorff_distance(ours, theirs, densify=0.25) <= 10 * np.sqrt(2) / 2 + 1e-6
    rings = [sum(len(polygon.interiors) for polygon in polygons) for polygons in (found.geometry, plain)]
    assert rings[0] == rings[1], "a hole was lost"


@settings(max_examples=80, deadline=None)
@given(RASTERS)
def test_outlines_of_any_raster_are_honest(burned: np.ndarray) -> None:
    if (burned == 1).any():
        check_honest(burned, polygons_of(burned))
    else:
        assert polygons_of(burned).empty


@pytest.mark.parametrize("seed", range(4))
def test_outlines_of_large_patches_are_honest_and_simpler(seed: int) -> None:
    burned = sieve(smooth_ground(seed, 150, 3 + seed), 0.01, min_area_ha=0.5, min_hole_ha=0.1)
    found = polygons_of(burned)
    check_honest(burned, found)
    before = sum(shapely.get_num_coordinates(pixel_outlines(burned)))
    assert shapely.get_num_coordinates(found.geometry.to_numpy()).sum() < 0.8 * before


@settings(max_examples=80, deadline=None)
@given(RASTERS, st.integers(0, 8), st.integers(0, 8))
def test_nothing_below_the_minimum_mapping_unit_stays(burned: np.ndarray, area_px: int, hole_px: int) -> None:
    sieved = sieve(burned, 0.01, min_area_ha=area_px / 100, min_hole_ha=hole_px / 100)
    np.testing.assert_array_equal(sieved == 255, burned == 255)
    patches, count = ndimage.label(sieved == 1)
    assert all((patches == n).sum() >= area_px for n in range(1, count + 1))
    islands, count = ndimage.label(sieved == 0, structure=EVERY_NEIGHBOUR)
    padded = np.pad(sieved, 1, constant_values=255)
    for island in range(1, count + 1):
        around = ndimage.binary_dilation(np.pad(islands == island, 1), structure=EVERY_NEIGHBOUR)
        enclosed = not (padded[around] == 255).any()
        assert not enclosed or (islands == island).sum() >= hole_px
    again = sieve(sieved, 0.01, min_area_ha=area_px / 100, min_hole_ha=hole_px / 100)
    np.testing.assert_array_equal(again, sieved)


def test_islands_are_kept_filled_or_unknown() -> None:
    burned = np.zeros((40, 40), dtype="uint8")
    burned[2:38, 2:38] = 1
    burned[5:10, 5:10] = 0  # 0.25 ha: an island
    burned[20:22, 20:22] = 0  # 0.04 ha: below the mapping unit
    burned[30:32, 30:32] = 255  # not known: a hole, but no island, and never filled
    burned[15:17, 30:32] = 0  # small, but beside unknown ground: its size is not known
    burned[15, 32] = 255
    probability = np.where(burned == 1, 0.8, 0.1)
    probability[2, 2:38] = np.nan
    found = burned_polygons(burned, probability, TEN_M, CRS)
    assert len(found) == 1
    assert found["holes"].item() == 2
    assert len(found.geometry.item().interiors) == 3
    assert found["area_ha"].item() == pytest.approx((36 * 36 - 25 - 4 - 5) / 100)
    filled, known = 4, 36 * 36 - 25 - 4 - 5 - 36
    assert found["mean_probability"].item() == pytest.approx((0.8 * (known - filled) + 0.1 * filled) / known)


@settings(max_examples=40, deadline=None)
@given(RASTERS, st.tuples(*[st.integers(0, 3)] * 4))
def test_unburnt_ground_around_changes_nothing(burned: np.ndarray, margins: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = (margin + 2 for margin in margins)
    known = np.where(burned == 255, 0, burned).astype("uint8")
    framed = np.pad(known, 2)
    wide = np.pad(known, ((top, bottom), (left, right)))
    limits = {"min_area_ha": 0.02, "min_hole_ha": 0.02}
    one, other = polygons_of(framed, **limits), polygons_of(wide, **limits)
    moved = one.translate((left - 2) * 10, -(top - 2) * 10)
    assert one["area_ha"].equals(other["area_ha"])
    assert all(a.equals_exact(b, 1e-6) for a, b in zip(moved, other.geometry, strict=True))


def test_pixels_that_share_a_corner_are_two_patches_and_largest_comes_first() -> None:
    burned = np.zeros((30, 30), dtype="uint8")
    burned[0:10, 0:10] = 1
    burned[10:25, 10:25] = 1
    found = polygons_of(burned)
    assert found["area_ha"].tolist() == [2.25, 1.0]
    assert not found.geometry[0].intersects(found.geometry[1])
    assert found["mean_probability"].isna().all()


@pytest.mark.parametrize(
    ("burned", "crs", "message"),
    [
        (np.full((3, 3), 2), CRS, "0, 1 and 255"),
        (np.zeros((1, 3, 3)), CRS, "height and width"),
        (np.zeros((3, 3)), "EPSG:4326", "gdalwarp"),
        (np.zeros((3, 3)), "EPSG:3857", "gdalwarp"),
    ],
)
def test_what_can_not_be_measured_is_refused(burned: np.ndarray, crs: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        burned_polygons(burned, None, TEN_M, crs)


def test_a_foot_is_not_a_metre() -> None:
    feet = burned_polygons(np.ones((100, 100), dtype="uint8"), None, Affine(100, 0, 2e6, 0, -100, 7e5), "EPSG:2225")
    assert feet["area_ha"].item() == pytest.approx(100**2 * 100**2 * 0.3048006**2 / 1e4, rel=1e-4)


def test_files_agree_and_are_the_same_each_time(tmp_path: Path) -> None:
    found = polygons_of(smooth_ground(1, 60, 2), min_area_ha=0.5)
    perimeter = gpd.GeoSeries([found.union_all().buffer(50)], crs=CRS)
    paths = write_polygons(found, tmp_path, perimeter=perimeter.to_crs("EPSG:3310"), simulated=True)
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    geopackage, parquet, geojson = paths
    assert set(gpd.list_layers(geopackage)["name"]) == {"burned", "perimeter"}
    read = [gpd.read_file(geopackage, layer="burned"), gpd.read_parquet(parquet), gpd.read_file(geojson)]
    for layer in read:
        np.testing.assert_allclose(layer["area_ha"], found["area_ha"])
        assert layer["simulated"].all()
        assert layer.is_valid.all()
        difference = layer.to_crs(CRS).geometry.symmetric_difference(found.geometry, align=False).area
        assert (difference / found.area).max() < 1e-3
    assert read[2].crs == "EPSG:4326"
    assert all(polygon.exterior.is_ccw for polygon in read[2].geometry), "RFC 7946 wants outer rings anticlockwise"
    assert gpd.read_file(geopackage, layer="perimeter").area.sum() == pytest.approx(perimeter.area.sum(), rel=1e-3)
    write_polygons(found, tmp_path, perimeter=perimeter.to_crs("EPSG:3310"), simulated=True)
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == hashes
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_geoparquet_carries_a_box_of_each_polygon_which_is_no_column(tmp_path: Path) -> None:
    found = polygons_of(smooth_ground(1, 60, 2), min_area_ha=0.5)
    parquet = write_polygons(found, tmp_path)[1]
    metadata = json.loads(pq.read_schema(parquet).metadata[b"geo"])
    assert metadata["version"] == "1.1.0"
    assert set(metadata["columns"]["geometry"]["covering"]["bbox"]) == {"xmin", "ymin", "xmax", "ymax"}
    boxes = pd.DataFrame(pq.read_table(parquet)["bbox"].to_pylist())[["xmin", "ymin", "xmax", "ymax"]]
    np.testing.assert_array_equal(boxes, found.bounds)
    assert list(gpd.read_parquet(parquet).columns) == [*found.columns, "simulated"]
    first = found.geometry.iloc[[-1]]
    assert len(gpd.read_parquet(parquet, bbox=tuple(first.total_bounds))) < len(found)


def test_a_map_without_burned_ground_has_empty_layers(tmp_path: Path) -> None:
    geopackage, parquet, geojson = write_polygons(polygons_of(np.zeros((5, 5), dtype="uint8")), tmp_path)
    assert len(gpd.read_file(geopackage)) == len(gpd.read_parquet(parquet)) == len(gpd.read_file(geojson)) == 0
