import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.transform
import rasterio.warp
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from burnscar_assets.cli import main
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import rasterize
from burnscar_assets.publish.images import Bands, read_images, read_perimeter_of
from burnscar_assets.publish.index_map import TWO_KINDS, map_images
from burnscar_assets.sensors.indices import otsu
from burnscar_assets_tests.publish.image_files import SIDE, TWENTY_M, bands, disc, write_image


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.floats(0, 6))
def test_no_other_threshold_leaves_more_variance_between_its_sides(seed: int, share: float, apart: float) -> None:
    noise = np.random.default_rng(seed)
    values = np.sort(noise.normal(size=1_000) + apart * (noise.random(1_000) < share))
    inner = values[(values >= np.quantile(values, 0.001)) & (values <= np.quantile(values, 0.999))]
    below = np.arange(1, len(inner))
    low = inner.cumsum()[:-1] / below
    high = (inner.sum() - inner.cumsum()[:-1]) / (len(inner) - below)
    between = below * (len(inner) - below) * (low - high) ** 2 / len(inner) ** 2
    value, separability = otsu(values)
    assert between[np.searchsorted(inner, value) - 1] >= 0.99 * between.max()
    assert separability == pytest.approx(between.max() / inner.var(), abs=0.01)


def test_one_kind_of_ground_is_recognised() -> None:
    noise = np.random.default_rng(0)
    assert otsu(noise.normal(size=50_000))[1] == pytest.approx(2 / np.pi, abs=0.02)
    assert otsu(noise.uniform(size=50_000))[1] == pytest.approx(TWO_KINDS, abs=0.01)
    assert otsu(np.concatenate([noise.normal(size=5_000), noise.normal(9, 1, 5_000)]))[1] > 0.9
    with pytest.raises(InputError, match="the same everywhere"):
        otsu(np.full(10, np.nan))


def test_one_image_is_mapped_without_labels(tmp_path: Path) -> None:
    truth = disc()
    images = read_images(write_image(tmp_path / "after.tif", bands(truth, 1, offset=1000)), bands=Bands(offset=1000))
    found = map_images(images)
    assert found.index_name == "nbr"
    assert found.threshold.by == "otsu"
    assert jaccard_score(truth.ravel(), found.burned.ravel() == 1) > 0.99
    assert found.polygons["holes"].tolist() == [1]
    assert found.severity is None
    wrong_offset = map_images(read_images(tmp_path / "after.tif"))
    assert np.nanmax(np.abs(wrong_offset.index)) < np.nanmax(np.abs(found.index))


def test_the_perimeter_does_not_decide_what_is_called_burned(tmp_path: Path) -> None:
    truth = disc()
    after, before = (write_image(tmp_path / f"{n}.tif", bands(truth & (n == 1), n)) for n in (1, 2))
    drawn = shapely.Point(TWENTY_M.c + 20 * SIDE / 2, TWENTY_M.f - 20 * SIDE / 2).buffer(20 * 25)
    for images in (read_images(after), read_images(after, before)):
        alone, compared = map_images(images), map_images(images, drawn)
        np.testing.assert_array_equal(alone.burned, compared.burned)
        assert alone.threshold == compared.threshold
        assert alone.agreement is None
        assert compared.agreement is not None
        assert compared.agreement.commission > 0.3


def test_a_pair_gives_severity_with_the_offset_of_the_ring(tmp_path: Path) -> None:
    truth = disc()
    plain = bands(np.zeros_like(truth), 2)
    greener = (plain * np.array([0.8, 1.0])[:, None, None]).astype("uint16")
    after = write_image(tmp_path / "after.tif", bands(truth, 1))
    perimeter = shapely.Point(TWENTY_M.c + 20 * SIDE / 2, TWENTY_M.f - 20 * SIDE / 2).buffer(20 * 35)
    inside = rasterize(perimeter, TWENTY_M, truth.shape)
    same, other = (
        map_images(read_images(after, write_image(tmp_path / f"{name}.tif", pixels)), perimeter)
        for name, pixels in (("plain", plain), ("greener", greener))
    )
    assert same.offset is not None
    assert other.offset is not None
    assert same.offset.dnbr == pytest.approx(0, abs=0.01)
    assert other.offset.dnbr > 0.05
    assert same.severity_ha is not None
    assert sum(same.severity_ha.values()) == pytest.approx(inside.sum() * 0.04)
    assert same.severity_ha["unburned"] == pytest.approx((inside & ~truth).sum() * 0.04, rel=0.2)
    assert other.severity_ha["unburned"] == pytest.approx(same.severity_ha["unburned"], rel=0.2)


def test_a_grid_in_degrees_is_warped_and_hectares_stay(tmp_path: Path) -> None:
    truth = disc()
    pixels = bands(truth, 1)
    after = write_image(tmp_path / "utm.tif", pixels)
    with rasterio.open(after) as source:
        bounds = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds)
        width, height = source.width, source.height
        transform = rasterio.transform.from_bounds(*bounds, width, height)
        degrees = np.zeros((2, height, width), dtype="uint16")
        rasterio.warp.reproject(
            pixels, degrees, src_transform=TWENTY_M, src_crs=source.crs, dst_transform=transform, dst_crs="EPSG:4326"
        )
    turned = write_image(tmp_path / "degrees.tif", degrees, transform=transform, crs="EPSG:4326")
    found = map_images(read_images(turned))
    assert found.grid.crs.to_epsg() == 32611
    assert found.burned_ha == pytest.approx(truth.sum() * 0.04, rel=0.02)
    assert any("warped" in note for note in found.notes)
    before = write_image(tmp_path / "before.tif", bands(np.zeros_like(truth), 2))
    pair = map_images(read_images(turned, before))
    assert pair.burned_ha == pytest.approx(truth.sum() * 0.04, rel=0.02)


def test_the_command_writes_what_a_gis_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = disc()
    after = write_image(tmp_path / "after.tif", bands(truth, 1), simulated=True)
    before = write_image(tmp_path / "before.tif", bands(np.zeros_like(truth), 2))
    mask = write_image(tmp_path / "mask.tif", truth[None].astype("uint8"), names=("inside",))
    out = tmp_path / "map"
    arguments = ["map-image", "--after", after, "--before", before, "--perimeter", mask, "--out", out]
    assert main(list(map(str, arguments))) == 0
    said = capsys.readouterr().out
    assert said.startswith("simulated imagery")
    assert "IoU 0.99" in said or "IoU 1.00" in said
    assert {path.name for path in out.iterdir()} == {
        *("dnbr.tif", "burned.tif", "severity.tif", "map.png", "figures.json", "disagreements.geojson"),
        *("burned_area.gpkg", "burned_area.parquet", "burned_area.geojson"),
    }
    figures = json.loads((out / "figures.json").read_text())
    assert figures["simulated"] is True
    assert figures["burned_ha"] == pytest.approx(truth.sum() * 0.04, rel=0.02)
    assert figures["agreement"]["iou"] > 0.98
    with rasterio.open(out / "burned.tif") as source:
        assert source.tags()["SIMULATED"] == "yes"
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (source.read(1) == 1).sum() * 0.04 == pytest.approx(figures["burned_ha"])
    assert gpd.read_file(out / "burned_area.gpkg", layer="burned")["area_ha"].sum() == pytest.approx(
        figures["burned_ha"]
    )


@pytest.mark.parametrize(
    ("pixels", "options", "said"),
    [
        (np.ones((2, 5, 5), "uint8"), {"names": ("red", "green")}, "say so with --nir"),
        (np.ones((1, 5, 5), "uint8"), {"names": ("B08",)}, "--swir"),
        (np.zeros((2, 5, 5), "uint8"), {}, "no pixel with data"),
        (np.ones((2, 5, 5), "uint8"), {"crs": None}, "coordinate system"),
        (np.ones((2, 5, 5), "uint8"), {}, "the same everywhere"),
    ],
)
def test_an_image_that_can_not_be_used_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pixels: np.ndarray, options: dict[str, object], said: str
) -> None:
    path = write_image(tmp_path / "image.tif", pixels, **options)
    assert main(["map-image", "--after", str(path), "--out", str(tmp_path / "map")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "map").exists()


def test_what_does_not_fit_the_image_is_refused(tmp_path: Path) -> None:
    after = write_image(tmp_path / "after.tif", bands(disc(), 1))
    with pytest.raises(InputError, match="bands 1 to 2, but --nir is 7"):
        read_images(after, bands=Bands(nir=7))
    far = write_image(tmp_path / "far.tif", bands(disc(), 1), transform=Affine(20, 0, 700_000, 0, -20, 4_500_000))
    with pytest.raises(InputError, match="no common ground"):
        read_images(after, far)
    (tmp_path / "text.tif").write_text("no image")
    with pytest.raises(InputError, match="can't be read"):
        read_images(tmp_path / "text.tif")
    several = tmp_path / "several.gpkg"
    box = gpd.GeoSeries([shapely.box(400_000, 4_498_000, 402_000, 4_500_000)], crs="EPSG:32611")
    for layer in ("burned", "other"):
        box.to_file(several, layer=layer)
    with pytest.raises(InputError, match=r"which layer of .* is the perimeter"):
        read_perimeter_of(several, read_images(after))
    box.buffer(100).to_file(several, layer="perimeter")
    assert read_perimeter_of(several, read_images(after))[0].area > 1.1 * box.area.item()
    points = tmp_path / "points.geojson"
    gpd.GeoSeries([shapely.Point(0, 0)], crs="EPSG:4326").to_file(points)
    for path in (points, tmp_path / "none.gpkg"):
        with pytest.raises(InputError, match="perimeter"):
            read_perimeter_of(path, read_images(after))


@pytest.mark.real_data
def test_a_real_fire_in_british_columbia(real_data: Path, tmp_path: Path) -> None:
    """No label chose the threshold: neither Otsu's, of the scene, nor that of one half, judged on the other."""
    folder = real_data / "imagery" / "bc_c50929"
    images = read_images(folder / "C50929_post_B12_B11_B09_20m.tif", bands=Bands(nir=3, offset=1000))
    perimeter, _ = read_perimeter_of(folder / "C50929_bcws_perimeter_mask.tif", images)
    found = map_images(images, perimeter)
    assert not images.warped
    assert found.threshold.separability is not None
    assert found.threshold.separability > TWO_KINDS
    assert found.agreement is not None
    assert 0.7 <= found.agreement.iou <= 0.85
    assert found.agreement.omission < 0.25
    assert found.agreement.commission < 0.15
    assert found.agreement.boundary_distance_m_median < 250
    assert 0.7 <= found.burned_ha / (perimeter.area / 1e4) <= 1.1
    assert found.polygons.is_valid.all()
    middle = images.after.shape[1] // 2
    west, east = np.s_[:, :middle], np.s_[:, middle:]
    official = rasterize(perimeter, images.grid.transform, images.after.shape)
    for learnt, scored in ((west, east), (east, west)):
        mapped = images.after[scored] < otsu(images.after[learnt])[0]
        assert jaccard_score(official[scored].ravel(), mapped.ravel()) >= 0.65


@pytest.mark.slow
@pytest.mark.real_data
def test_severity_of_a_real_fire_in_california(real_data: Path) -> None:
    folder = real_data / "imagery" / "ca_madre"
    after, before = (folder / f"{when}_fire_composite.tif" for when in ("After", "Before"))
    found = map_images(read_images(after, before, Bands(nir=2, swir=1)))
    assert np.nanmedian(found.index) == pytest.approx(0.20, abs=0.01)
    assert found.severity_ha is not None
    seen_ha = np.isfinite(found.index).sum() * found.grid.pixel_ha
    assert 0.9 < sum(found.severity_ha.values()) / seen_ha <= 1
    assert max(found.severity_ha, key=found.severity_ha.__getitem__) == "low"
    assert found.severity_ha["high"] < found.severity_ha["moderate-high"] < found.severity_ha["moderate-low"]
    assert found.offset is None, "the images show nothing but the fire"
    assert any("without an offset" in note for note in found.notes)
