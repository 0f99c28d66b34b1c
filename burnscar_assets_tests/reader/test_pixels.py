"""What of an image file is data, and what its numbers are worth, whatever way the file says so."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.enums import ColorInterp

from burnscar_assets.errors import InputError
from burnscar_assets.reader.pixels import (
    PixelFacts,
    Radiometry,
    data_pixels,
    equals_nodata,
    impossible,
    radiometry_of_item,
    read_pixels,
    stated_radiometry,
)

SHAPE = (3, 6, 8)
WAYS = ("tag", "nan", "alpha", "mask", "sidecar", "zeros", "fill", "wrapped", "tag_beyond")


def write(path: Path, pixels: np.ndarray, **profile: object) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=len(pixels), height=pixels.shape[1], width=pixels.shape[2],
        dtype=pixels.dtype, crs="EPSG:32610", transform=Affine(10, 0, 5e5, 0, -10, 4e6), **profile,
    ) as sink:  # fmt: skip
        sink.write(pixels)
    return path


def hide(path: Path, pixels: np.ndarray, hidden: np.ndarray, way: str) -> None:
    """Write pixels to a file that says in one way that some of them are none."""
    nodata = {"tag": 7, "nan": float("nan")}.get(way)
    fill = {"tag": 7, "nan": np.nan, "zeros": 0, "fill": -9999, "wrapped": 64536, "tag_beyond": 55537}.get(way, 5)
    if way == "fill" and pixels.dtype.kind == "u":
        fill = 65535
    kept = np.where(hidden, np.array(fill).astype(pixels.dtype), pixels)
    if way == "alpha":
        kept = np.concatenate([kept, np.where(hidden, 0, 255).astype(kept.dtype)[None]])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=way != "sidecar"):
        write(path, kept, nodata=nodata, photometric="MINISBLACK")
        with rasterio.open(path, "r+") as sink:
            if way == "alpha":
                sink.colorinterp = [*(ColorInterp.undefined,) * len(pixels), ColorInterp.alpha]
            if way in ("mask", "sidecar"):
                sink.write_mask(~hidden)
    if way == "sidecar":
        assert path.with_name(f"{path.name}.msk").exists()
    if way == "tag_beyond":
        band = '<PAMRasterBand band="{}"><NoDataValue>-9999</NoDataValue></PAMRasterBand>'
        text = f"<PAMDataset>{''.join(band.format(n + 1) for n in range(len(pixels)))}</PAMDataset>"
        path.with_name(f"{path.name}.aux.xml").write_text(text)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(("uint8", "uint16", "int16", "int32", "float32", "float64")),
    st.sampled_from(WAYS),
    arrays.arrays(bool, SHAPE[1:]),
    st.integers(0, 2**32 - 1),
)
def test_one_ground_is_seen_however_a_file_says_where_it_has_none(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, way: str, hidden: np.ndarray, seed: int
) -> None:
    kind = np.dtype(dtype)
    if (way == "nan" and kind.kind != "f") or (way == "fill" and kind.itemsize == 1):
        return
    if way in ("wrapped", "tag_beyond") and dtype != "uint16":
        return
    noise = np.random.default_rng(seed)
    pixels = noise.integers(10, 250, SHAPE).astype(kind)
    pixels[0, ::2] = 0
    path = tmp_path_factory.mktemp("pixels") / "image.tif"
    hide(path, pixels, hidden, way)
    with rasterio.open(path) as source:
        read, data = read_pixels(source, PixelFacts.of(source))
    np.testing.assert_array_equal(data, np.broadcast_to(~hidden, SHAPE))
    np.testing.assert_array_equal(read[data], pixels[data])


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(("uint8", "uint16")).flatmap(
        lambda dtype: arrays.arrays(dtype, SHAPE, elements=st.integers(0, 255 if dtype == "uint8" else 60_000))
    )
)
def test_a_file_that_says_nothing_is_all_data_but_for_zero_in_all_bands(pixels: np.ndarray) -> None:
    pixels[pixels == 55_537] = 1
    pixels[pixels == 32_768] = 1
    data = data_pixels(pixels, PixelFacts((None,) * len(pixels)))
    np.testing.assert_array_equal(data, np.broadcast_to(pixels.any(axis=0), SHAPE))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from((0, 65_535, 64_998, 55_537, 32_768)), st.integers(0, 2), st.integers(1, 20_000))
def test_what_can_not_be_in_one_band_is_data_while_another_has_ground(fill: int, band: int, ground: int) -> None:
    pixels = np.full((3, 1, 1), fill, dtype="uint16")
    assert impossible(pixels).all()
    pixels[band] = ground
    assert not impossible(pixels).any()


@pytest.mark.parametrize(
    ("value", "dtype", "nodata"),
    [
        (-3.4e38, "float32", -3.4e38),
        (-3.4028234663852886e38, "float32", -3.4028234663852886e38),
        (-9999.9, "float32", -9999.9),
        (1e20, "float32", 1e20),
        (255, "uint8", 255),
        (-32768, "int16", -32768),
    ],
)
def test_a_tag_is_compared_as_the_type_holds_it(value: float, dtype: str, nodata: float) -> None:
    band = np.array([[value, 5]]).astype(dtype)
    np.testing.assert_array_equal(equals_nodata(band, nodata), [[True, False]])


@pytest.mark.parametrize("nodata", [float("nan"), -9999, 70_000, 1.5, float("inf")])
def test_a_tag_that_the_type_can_not_hold_hides_no_ground(nodata: float) -> None:
    pixels = np.arange(1, 13, dtype="uint16").reshape(2, 2, 3)
    assert data_pixels(pixels, PixelFacts((nodata,) * 2)).all()


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        *(("int16", fill) for fill in (-9999, -32768, -999, 32767, -1000)),
        *(("float32", fill) for fill in (-9999, -3.4e38, 1e20, np.inf, -0.2, -0.9999)),
        *(("uint32", fill) for fill in (2**32 - 1, 2**32 - 9999)),
    ],
)
def test_fill_values_without_a_tag(dtype: str, fill: float) -> None:
    pixels = np.full((2, 1, 2), 0.3 if dtype == "float32" else 300).astype(dtype)
    pixels[:, 0, 0] = fill
    np.testing.assert_array_equal(data_pixels(pixels, PixelFacts((None, None)))[0], [[False, True]])


@pytest.mark.parametrize(
    ("dtype", "fill"), [("int16", -9999), ("int16", -32768), ("float32", -3.4e38), ("float32", 1e20)]
)
def test_a_number_far_below_all_ground_is_none_in_one_band_too(dtype: str, fill: float) -> None:
    pixels = np.full((2, 1, 2), 300).astype(dtype)
    pixels[1, 0, 0] = fill
    np.testing.assert_array_equal(data_pixels(pixels, PixelFacts((None, None)))[:, 0], [[True, True], [False, True]])


def test_the_fourth_band_of_four_is_alpha_only_if_nothing_says_otherwise(tmp_path: Path) -> None:
    pixels = np.full((4, 2, 2), 90, dtype="uint8")
    pixels[3, 0, 0] = 0
    path = write(tmp_path / "four.tif", pixels)
    with rasterio.open(path) as source:
        assert source.colorinterp[3] == ColorInterp.alpha
        assert PixelFacts.of(source).measured == (1, 2, 3)
        assert PixelFacts.of(source, used=(4,)).measured == (1, 2, 3, 4)
        assert read_pixels(source, PixelFacts.of(source, used=(4,)))[1].all()
    with rasterio.open(path, "r+") as sink:
        sink.set_band_description(4, "B12")
    with rasterio.open(path) as source:
        assert PixelFacts.of(source).measured == (1, 2, 3, 4)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-6, 2), st.floats(-1, 1), st.sampled_from(("gdal", "band", "file", "item")))
def test_scale_and_offset_are_read_where_they_stand(
    tmp_path_factory: pytest.TempPathFactory, scale: float, offset: float, where: str
) -> None:
    path = write(tmp_path_factory.mktemp("radiometry") / "a.tif", np.ones((2, 2, 2), dtype="uint16"))
    with rasterio.open(path, "r+") as sink:
        if where == "gdal":
            sink.scales, sink.offsets = (1.0, scale), (0.0, offset)
        elif where != "item":
            tags = {"scale_factor": scale, "add_offset": offset}
            sink.update_tags(*((2,) if where == "band" else ()), **tags)
    if where == "item":
        found = radiometry_of_item({"scale": scale, "offset": offset}, "a")
    else:
        with rasterio.open(path) as source:
            found = stated_radiometry(source, 2)
            assert where == "file" or stated_radiometry(source, 1) is None
    assert found is not None or (scale, offset) == (1.0, 0.0)
    if found is not None:
        assert found.scale == pytest.approx(scale)
        assert found.offset == pytest.approx(offset)
        numbers = np.array([0, 10_000], dtype="uint16")
        np.testing.assert_allclose(found.reflectance(numbers), [offset, 10_000 * scale + offset], rtol=1e-5, atol=1e-6)


def test_a_scale_that_can_not_be_is_refused() -> None:
    assert radiometry_of_item({}, "a") is None
    assert radiometry_of_item({"scale": 0.0001}, "a") == Radiometry(0.0001, 0.0)
    for scale in (0, "x", float("nan"), -1):
        with pytest.raises(InputError, match="which can't be"):
            radiometry_of_item({"scale": scale, "offset": 0}, "a")
