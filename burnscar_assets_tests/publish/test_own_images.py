"""One burnt disc gives one area, whatever image it comes in; what can't be right is refused or said."""

import json
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from burnscar_assets.cli import main
from burnscar_assets.errors import InputError
from burnscar_assets.publish.images import Bands, Images, read_images, read_perimeter_of
from burnscar_assets.publish.index_map import DNBR_LIMIT, NBR_LIMIT, check_threshold, map_images
from burnscar_assets_tests.conftest import REAL_DATA
from burnscar_assets_tests.publish.own_images import (
    DISC_HA,
    MIDDLE,
    RADIUS_M,
    UTM,
    Grid,
    centre,
    disc,
    north_up,
    reflectance,
    turned,
    write,
)

CASES = REAL_DATA.parent / "cases"


class Kind(NamedTuple):
    """How an image's numbers are kept."""

    dtype: str
    scale: float
    offset: float
    said_by: str


KINDS = (
    Kind("uint16", 1e-4, 0.0, "nobody"),
    Kind("uint16", 1e-4, -0.1, "tags"),
    Kind("uint16", 2.75e-5, -0.2, "tags"),
    Kind("uint16", 1e-4, -0.1, "option"),
    Kind("int16", 1e-4, 0.0, "nobody"),
    Kind("int16", 1e-4, 0.05, "tags"),
    Kind("float32", 1.0, 0.0, "nobody"),
    Kind("float32", 1.0, -0.1, "tags"),
    Kind("float32", 1.0, -0.1, "option"),
    Kind("uint8", 0.36 / 200, 0.0, "nobody"),
    Kind("uint8", 0.36 / 180, -0.05, "tags"),
)
GRIDS = {
    "south up": Grid(UTM, Affine(20, 0, north_up().transform.c, 0, 20, north_up().transform.f - 150 * 20)),
    "east first": Grid(UTM, Affine(-20, 0, north_up().transform.c + 150 * 20, 0, -20, north_up().transform.f)),
    "turned by 30°": turned(30),
    "turned by 90°": turned(90),
    "turned by -100°": turned(-100),
    "ground control points": Grid(UTM, north_up().transform, by_points=True),
    "points in degrees": Grid("EPSG:4326", north_up("EPSG:4326", 0.0002).transform, by_points=True),
    "degrees": north_up("EPSG:4326", 0.0002),
    "Web Mercator": north_up("EPSG:3857", 25),
    "equirectangular": north_up("EPSG:32662", 22),
    "Canada's Lambert": north_up("EPSG:3347", 20),
    "California Albers": north_up("EPSG:3310", 20),
    "feet": north_up("EPSG:2226", 65.6),
    "the neighbouring zone": north_up("EPSG:32611", 20),
    "pixels that are no squares": north_up(UTM, 30, 120, height=15),
}


def said(images: Images) -> str:
    return " | ".join(images.notes)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.sampled_from(("none", "tag", "alpha", "mask", "sidecar", "fill")),
    st.sampled_from((2, 3, 4, 5)),
    st.floats(0, 0.6),
    st.integers(0, 999),
)
def test_the_same_hectares_come_out(
    tmp_path_factory: pytest.TempPathFactory, after: Kind, before: Kind, way: str, bands: int, share: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("images")
    grid = north_up()
    truth = disc(grid)
    hidden = np.arange(grid.shape[1])[None, :] < share * grid.shape[1]
    hidden = np.broadcast_to(hidden & (way != "none"), grid.shape)
    paths, numbers = [], []
    for when, kind in enumerate((after, before)):
        values = reflectance(truth & (when == 0), seed + when, bands)
        values[1][:3, :3] = -0.004 if kind.dtype in ("int16", "float32") else values[1][:3, :3]
        how = {} if when or way == "none" else {"hidden": hidden, "way": way}
        path = folder / f"{when}.tif"
        paths.append(
            write(path, values, grid, dtype=kind.dtype, scale=kind.scale, offset=kind.offset,
                  tags=kind.said_by == "tags", **how)
        )  # fmt: skip
        numbers.append(-kind.offset / kind.scale)
    given = Bands(offset=numbers[0], offset_before=numbers[1]) if "option" in (after.said_by, before.said_by) else None
    images = read_images(*paths, given)
    found = map_images(images)
    assert np.array_equal(np.isfinite(images.after), ~hidden)
    assert found.burned_ha == pytest.approx((truth & ~hidden).sum() * 0.04, rel=0.02, abs=0.6)
    assert "digital numbers above" not in said(images) and "negative reflectance" not in said(images)
    assert found.severity_ha is not None
    if (truth & ~hidden).any():
        assert found.severity_ha["high"] > 0.97 * found.burned_ha


@pytest.mark.parametrize("name", GRIDS)
def test_the_same_hectares_come_out_of_any_grid(tmp_path: Path, name: str) -> None:
    grid = GRIDS[name]
    after = write(tmp_path / "after.tif", reflectance(disc(grid), 1), grid)
    finer = north_up(size=10, side=300)
    before = write(tmp_path / "before.tif", reflectance(np.zeros(finer.shape, dtype=bool), 2), finer)
    for images in (read_images(after), read_images(after, before)):
        found = map_images(images)
        assert found.burned_ha == pytest.approx(DISC_HA, rel=0.02)
        assert found.polygons.to_crs(UTM).union_all().centroid.distance(shapely.Point(centre(UTM))) < 30
    turned_back = map_images(read_images(write(tmp_path / "a.tif", reflectance(disc(finer), 3), finer), before))
    assert turned_back.burned_ha == pytest.approx(DISC_HA, rel=0.01)
    if name in ("south up", "east first"):
        assert not images.warped


def test_zero_in_one_band_is_ground_and_in_all_bands_is_none(tmp_path: Path) -> None:
    grid = north_up()
    truth = disc(grid)
    values = reflectance(truth, 1, bands=3)
    values[0][truth] = 0
    values[:, :20] = 0
    values[:2, 20:24, :] = 0
    images = read_images(write(tmp_path / "a.tif", values, grid, dtype="uint8", scale=0.36 / 200))
    assert not np.isfinite(images.after[:24]).any()
    assert (images.after[24:][truth[24:]] == -1).all()
    assert map_images(images).burned_ha == pytest.approx(truth.sum() * 0.04, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from((0, 1)), st.booleans(), st.sampled_from(("uint16", "float32")))
def test_an_offset_in_one_image_of_a_pair_is_said_with_its_option(
    tmp_path_factory: pytest.TempPathFactory, which: int, falsely_tagged: bool, dtype: str
) -> None:
    folder, grid = tmp_path_factory.mktemp("images"), north_up()
    scale = 1.0 if dtype == "float32" else 1e-4
    unit = "0.1" if dtype == "float32" else "1000"
    paths = []
    for when in (0, 1):
        values = reflectance(disc(grid) & (when == 0), when)
        if falsely_tagged:
            values = values - 0.1 * (when == which)
        paths.append(
            write(folder / f"{when}.tif", values, grid, dtype=dtype, scale=scale,
                  offset=0 if falsely_tagged else -0.1 * (when == which))
        )  # fmt: skip
    images = read_images(*paths)
    higher = paths[1 - which if falsely_tagged else which]
    option = "--offset-before" if higher == paths[1] else "--offset"
    assert f"{higher} lies about 1,000 digital numbers above" in said(images)
    assert f"try {option} {unit} " in said(images)
    if not falsely_tagged:
        bands = Bands(offset=0, offset_before=float(unit)) if which else Bands(offset=float(unit), offset_before=0)
        assert "digital numbers above" not in said(read_images(*paths, bands))


def test_an_offset_that_only_the_tags_of_one_image_have_is_said(tmp_path: Path) -> None:
    grid = north_up()
    after = write(tmp_path / "after.tif", reflectance(disc(grid), 1), grid)
    before = write(tmp_path / "before.tif", reflectance(np.zeros(grid.shape, dtype=bool), 2), grid)
    with rasterio.open(after, "r+") as sink:
        sink.scales, sink.offsets = (1e-4, 1e-4), (-0.1, -0.1)
    notes = said(read_images(after, before))
    assert "taken off" in notes and "try --offset-before 0 --offset 0" in notes
    assert "digital numbers above" not in said(read_images(after, before, Bands(offset=0)))


def test_the_offset_of_one_image_is_proved_by_its_darkest_ground(tmp_path: Path) -> None:
    grid = north_up()
    water = np.mgrid[0:150, 0:150][0] < 20
    values = np.where(water, 0.002, reflectance(disc(grid), 1, bands=4))
    plain, shifted = (write(tmp_path / f"{o}.tif", values, grid, offset=o) for o in (0.0, -0.1))
    assert "try --offset 1000" in said(read_images(shifted))
    assert said(read_images(shifted, bands=Bands(offset=1000))) == ""
    assert said(read_images(plain)) == ""
    assert "taken off already; try --offset 0" in said(read_images(plain, bands=Bands(offset=1000)))
    tagged = write(tmp_path / "tagged.tif", values, grid, offset=-0.1, tags=True)
    assert said(read_images(tagged)) == ""
    contradicted = said(read_images(tagged, bands=Bands(offset=0)))
    assert "itself says that each number carries 1000; --offset 0 is taken" in contradicted
    assert said(read_images(tagged, bands=Bands(offset=1000))) == ""


def test_haze_in_visible_bands_proves_no_offset(tmp_path: Path) -> None:
    grid = north_up()
    values = reflectance(np.zeros(grid.shape, dtype=bool), 1, bands=5)
    values[2:] += 0.06
    for names in (("B8A", "B12", "B1", "B2", "B3"), ("NIR", "SWIR2", "blue", "green", "red"), ()):
        path = write(tmp_path / "a.tif", values, grid, names=names)
        assert "darkest ground of" not in said(read_images(path, bands=Bands(nir=1, swir=2)))


def test_an_offset_in_the_wrong_unit_is_refused(tmp_path: Path) -> None:
    grid = north_up()
    for dtype, scale in (("float32", 1.0), ("uint8", 0.36 / 200)):
        path = write(tmp_path / f"{dtype}.tif", reflectance(disc(grid), 1), grid, dtype=dtype, scale=scale)
        with pytest.raises(InputError, match="an offset of 1000 leaves no number"):
            read_images(path, bands=Bands(offset=1000))


def test_an_offset_with_the_sign_of_esa_s_metadata_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", reflectance(disc(north_up()), 1), north_up(), offset=-0.1)
    assert "did you mean 1000?" in said(read_images(path, bands=Bands(offset=-1000)))
    for offset in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="can't be"):
            Bands(offset=offset)


@settings(max_examples=200, deadline=None)
@given(st.floats(), st.booleans())
def test_a_threshold_beyond_the_index_is_refused(threshold: float, of_change: bool) -> None:
    limit = DNBR_LIMIT if of_change else NBR_LIMIT
    if abs(threshold) <= limit:
        check_threshold(threshold, of_change=of_change)
    else:
        with pytest.raises(InputError, match="lies within"):
            check_threshold(threshold, of_change=of_change)


@pytest.mark.parametrize(
    ("threshold", "of_change", "meant"),
    [(270, True, "0.27"), (100, True, "0.1"), (100, False, "0.1"), (-150, False, "-0.15"), (27, True, "0.27"),
     (1300, True, "1.3"), (44, False, "0.44"), (2.7, True, "0.27")],
)  # fmt: skip
def test_what_a_threshold_means_is_guessed(threshold: float, of_change: bool, meant: str) -> None:
    with pytest.raises(InputError, match=rf"did you mean {meant}\?"):
        check_threshold(threshold, of_change=of_change)


def test_bands_are_found_however_their_names_are_written(tmp_path: Path) -> None:
    grid = north_up()
    values = reflectance(disc(grid), 1)
    expected = read_images(write(tmp_path / "a.tif", values, grid)).after
    for names in (
        ("b8", "b12"),
        ("Band 8", "Band 12"),
        ("B08, central wavelength 842 nm", "SWIR_2"),
        ("nir08", "swir22"),
    ):
        np.testing.assert_array_equal(read_images(write(tmp_path / "b.tif", values, grid, names=names)).after, expected)
    twice = write(tmp_path / "twice.tif", np.concatenate([values, values]), grid, names=("B08", "B12", "B08", "B12"))
    with pytest.raises(InputError, match=r"2 bands of .* are named B08"):
        read_images(twice)
    assert np.isfinite(read_images(twice, bands=Bands(nir=1, swir=4)).after).all()
    assert "are they swapped" in said(read_images(tmp_path / "a.tif", bands=Bands(nir=2, swir=1)))
    with pytest.raises(InputError, match="the same band"):
        read_images(tmp_path / "a.tif", bands=Bands(nir=1, swir=1))


@pytest.mark.parametrize("name", ["a?b", "a#b", "100%25", "it's [one] & two", "ä b", "zip:a", "C:\\new", "a!b"])
def test_a_path_is_a_path(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = write(tmp_path / "a.tif", reflectance(disc(north_up()), 1), north_up())
    expected = read_images(path).after
    np.testing.assert_array_equal(read_images(path.rename(folder / f"{name}.tif")).after, expected)


def test_one_file_for_each_band(tmp_path: Path) -> None:
    grid = north_up()
    values = reflectance(disc(grid), 1)
    folder = tmp_path / "S2A_MSIL2A_X.SAFE" / "IMG_DATA"
    folder.mkdir(parents=True)
    near, short = (
        write(folder / f"T10SGH_{name}_20m.tif", values[number : number + 1], grid, names=(), offset=-0.1)
        for number, name in enumerate(("B8A", "B12"))
    )
    expected = read_images(write(tmp_path / "a.tif", values, grid, offset=-0.1), bands=Bands(offset=1000)).after
    for files in ([near, short], [short, near], folder, folder.parent):
        np.testing.assert_array_equal(read_images(files, bands=Bands(offset=1000)).after, expected)
    (folder.parent / "MTD_MSIL2A.xml").write_text(
        "<p><BOA_QUANTIFICATION_VALUE>10000</BOA_QUANTIFICATION_VALUE>"
        '<BOA_ADD_OFFSET band_id="8">-1000</BOA_ADD_OFFSET><BOA_ADD_OFFSET band_id="12">-1000</BOA_ADD_OFFSET></p>'
    )
    for files in ([near, short], folder.parent, folder.parent / "MTD_MSIL2A.xml"):
        np.testing.assert_allclose(read_images(files).after, expected, atol=1e-6)
    for damaged in (
        "<p>",
        "<p><QUANTIFICATION_VALUE>0</QUANTIFICATION_VALUE></p>",
        '<!DOCTYPE p [<!ENTITY a "b">]><p/>',
    ):
        (folder.parent / "MTD_MSIL2A.xml").write_text(damaged)
        with pytest.raises(InputError, match=r"MTD_MSIL2A.xml is damaged"):
            read_images(folder.parent)
    with pytest.raises(InputError, match="a file of one band needs the other one beside it"):
        read_images(near)
    coarse = write(tmp_path / "B12.tif", values[1:, ::2, ::2], north_up(size=40, side=75), names=())
    with pytest.raises(InputError, match="lies on another grid"):
        read_images([near, coarse])
    short.unlink()
    with pytest.raises(InputError, match="no near infrared"):
        read_images(folder)


def test_the_image_before_may_show_less(tmp_path: Path) -> None:
    grid = north_up()
    half = Grid(grid.crs, grid.transform, (150, 75))
    after = write(tmp_path / "after.tif", reflectance(disc(grid), 1), grid)
    before = write(tmp_path / "before.tif", reflectance(np.zeros(half.shape, dtype=bool), 2), half)
    images = read_images(after, before)
    assert "shows 50 % of the ground" in said(images)
    found = map_images(images)
    assert found.burned_ha == pytest.approx(DISC_HA / 2, rel=0.02)
    assert (found.burned == 255).sum() == 150 * 75


def test_what_lies_nowhere_gets_the_message_of_a_missing_crs(tmp_path: Path) -> None:
    values = reflectance(disc(north_up()), 1)
    local = CRS.from_wkt('LOCAL_CS["site plan",UNIT["metre",1]]').to_wkt()
    for crs in ("", local, 'LOCAL_CS["Undefined SRS",UNIT["unknown",1]]'):
        path = write(tmp_path / "a.tif", values, Grid(crs, north_up().transform))
        with pytest.raises(InputError, match=r"no coordinate reference system.*coordinate system"):
            read_images(path)
    path = write(tmp_path / "b.tif", values, Grid(UTM, Affine.identity()))
    with pytest.raises(InputError, match="where in it its pixels lie"):
        read_images(path)
    with rasterio.open(path, "w", driver="GTiff", count=2, height=9, width=9, dtype="complex64", crs=UTM,
                       transform=north_up().transform) as sink:  # fmt: skip
        sink.write(np.ones((2, 9, 9), dtype="complex64"))
    with pytest.raises(InputError, match="complex numbers"):
        read_images(path, bands=Bands(1, 2))


@pytest.mark.parametrize("kind", ["vrt", "wms", "text", "missing", "png", "netcdf"])
def test_what_is_called_a_geotiff_and_is_none_is_not_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    secret = write(tmp_path / "private.tif", reflectance(disc(north_up()), 1), north_up())
    path = tmp_path / "post.tif"
    band = f"<SourceFilename>{secret}</SourceFilename><SourceBand>%d</SourceBand>"
    content = {
        "vrt": '<VRTDataset rasterXSize="150" rasterYSize="150"><SRS>EPSG:32610</SRS>'
        "<GeoTransform>0,20,0,0,0,-20</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="UInt16" band="{n}"><SimpleSource>{band % n}</SimpleSource></VRTRasterBand>'
            for n in (1, 2)
        )
        + "</VRTDataset>",
        "wms": '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}</ServerUrl></Service></GDAL_WMS>',
        "text": "no image",
        "png": b"\x89PNG\r\n\x1a\n",
        "netcdf": b"CDF\x01",
    }.get(kind)
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["map-image", "--after", str(path), "--nir", "1", "--swir", "2", "--out", str(tmp_path / "o")]) == 1
    answer = capsys.readouterr().err
    assert "can't be read" in answer and "GeoTIFF or JPEG 2000" in answer and str(secret) not in answer
    assert not (tmp_path / "o").exists()


class TestPerimeter:
    @pytest.fixture
    def after(self, tmp_path: Path) -> Path:
        return write(tmp_path / "after.tif", reflectance(disc(north_up()), 1), north_up())

    def run(self, after: Path, perimeter: Path) -> int:
        arguments = ("--after", after, "--perimeter", perimeter, "--out", after.parent / "map")
        return main(["map-image", *map(str, arguments)])

    @pytest.mark.parametrize("ending", ["gpkg", "geojson", "shp", "parquet", "shp.zip", "tif"])
    def test_is_read_in_its_usual_forms(self, after: Path, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"perimeter.{ending}"
        outline = gpd.GeoDataFrame(geometry=[shapely.Point(centre(UTM)).buffer(RADIUS_M)], crs=UTM).to_crs("EPSG:4326")
        if ending == "parquet":
            outline.to_parquet(path)
        elif ending == "tif":
            write(path, disc(north_up())[None] * 1.0, north_up(), dtype="uint8", scale=1.0, names=())
        elif ending == "shp.zip":
            outline.to_file(tmp_path / "perimeter.shz", driver="ESRI Shapefile")
            (tmp_path / "perimeter.shz").rename(path)
        else:
            outline.to_file(path)
        assert self.run(after, path) == 0
        figures = json.loads((tmp_path / "map" / "figures.json").read_text())
        assert figures["agreement"]["iou"] > 0.97

    @pytest.mark.parametrize("name", GRIDS)
    def test_is_a_mask_on_any_grid(self, after: Path, tmp_path: Path, name: str) -> None:
        grid = GRIDS[name]
        path = write(tmp_path / "mask.tif", disc(grid)[None] * 1.0, grid, dtype="uint8", scale=1.0, names=())
        outline, _ = read_perimeter_of(path, read_images(after))
        circle = shapely.Point(centre(UTM)).buffer(RADIUS_M)
        assert outline.symmetric_difference(circle).area < 0.06 * circle.area

    def test_far_off_is_refused_with_its_distance(
        self, after: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "far.gpkg"
        gpd.GeoSeries([shapely.box(-100, 40, -99.9, 40.1)], crs="EPSG:4326").to_file(path)
        assert self.run(after, path) == 1
        answer = capsys.readouterr().err
        assert "km from the image" in answer and "CRS" in answer
        assert not (tmp_path / "map").exists()

    def test_where_the_image_has_no_data_is_refused(self, after: Path, tmp_path: Path) -> None:
        grid = north_up()
        hidden = np.broadcast_to(np.arange(150) < 40, grid.shape)
        write(after, reflectance(disc(grid), 1), grid, hidden=hidden, way="tag")
        west, north = grid.transform.c, grid.transform.f
        path = tmp_path / "hidden.gpkg"
        gpd.GeoSeries([shapely.box(west + 100, north - 900, west + 500, north - 300)], crs=UTM).to_file(path)
        assert self.run(after, path) == 1

    def test_others_in_its_file_are_left_out_and_said(self, after: Path, tmp_path: Path) -> None:
        path = tmp_path / "all.geojson"
        x, y = MIDDLE
        fires = [shapely.Point(x + step, y).buffer(0.007) for step in (0, 1, 2)]
        gpd.GeoSeries(fires, crs="EPSG:4326").to_file(path)
        assert self.run(after, path) == 0
        figures = json.loads((tmp_path / "map" / "figures.json").read_text())
        assert any(note.startswith("2 of 3 perimeters") for note in figures["notes"])
        assert figures["agreement"]["unanswered_ha"] == pytest.approx(0)

    def test_partly_beyond_the_image_is_said(self, after: Path, tmp_path: Path) -> None:
        path = tmp_path / "partly.gpkg"
        west, north = north_up().transform.c, north_up().transform.f
        gpd.GeoSeries([shapely.box(west - 2000, north - 2000, west + 2000, north - 1000)], crs=UTM).to_file(path)
        assert self.run(after, path) == 0
        figures = json.loads((tmp_path / "map" / "figures.json").read_text())
        assert any(note.startswith("200 ha of the official perimeter") for note in figures["notes"])

    def test_what_is_no_perimeter_is_refused(
        self, after: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table, plain, image = tmp_path / "table.csv", tmp_path / "plain.parquet", tmp_path / "image.tif"
        pd.DataFrame({"name": ["A"], "acres": [10]}).to_csv(table)
        pd.DataFrame({"name": ["A"]}).to_parquet(plain)
        write(image, reflectance(disc(north_up()), 1), north_up())
        no_crs = tmp_path / "none.gpkg"
        gpd.GeoSeries([shapely.Point(centre(UTM)).buffer(RADIUS_M)]).to_file(no_crs)
        for path, why in ((table, "geometry"), (plain, "geometry"), (image, "no mask"), (no_crs, "coordinate system")):
            assert self.run(after, path) == 1
            assert why in capsys.readouterr().err
