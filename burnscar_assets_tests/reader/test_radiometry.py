"""What the numbers of a scene are worth: evidence and decision, on made and on real pixels."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.reader.fitting import sampled_bands
from burnscar_assets.reader.radiometry import (
    SAMPLED,
    VISIBLE,
    BandSample,
    Conversion,
    Shown,
    Statement,
    conversion_of_range,
    decide,
    prefer_files,
    raster_bands,
    statement_of_scale,
    statements_of_item,
    what_pixels_show,
)
from burnscar_assets.sensors.load import default_sensor, load_sensor

VISIBLE_BANDS = ("B01", "B02", "B03", "B04")
CHIP_BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
WITHOUT = ("33188", "25630", "275979", "286743", "322265", "511198")
WITH = ("445", "8845", "74721")
UNPROVED = ("57755", "252161", "70541")

offsets = st.sampled_from([0, 1000])
said = st.lists(st.builds(Statement, st.sampled_from(["flag", "tags"]), offsets, st.just("")), max_size=4)
surfaces = st.tuples(st.integers(150, 700), st.integers(1_000, 6_000), st.integers(0, 99))


def ground(darkest: int, brightest: int, seed: int) -> np.ndarray:
    """Digital numbers without an offset of ground with shadow or water in it."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.normal(60, 30, 200), generator.uniform(darkest, brightest, 3_000)]).clip(1)


def samples_of(pixels: np.ndarray, offset: int) -> list[BandSample]:
    found = [
        BandSample.of(band, pixels * share + offset, visible=band in VISIBLE_BANDS)
        for band, share in (("B12", 1.0), ("B02", 0.9), ("B11", 1.1))
    ]
    return [sample for sample in found if sample]


def chip_samples(path: Path, bands: list[str]) -> list[BandSample]:
    with rasterio.open(path) as source:
        planes = dict(zip(bands, source.read(), strict=True))
    found = [
        BandSample.of(band, planes[band][planes[band] > 0], visible=band in VISIBLE_BANDS)
        for band in sampled_bands(default_sensor(), bands)
    ]
    return [sample for sample in found if sample]


def test_bands_that_prove_are_chosen_by_what_they_show() -> None:
    sensor = default_sensor()
    told_most = ("B12", "B02", "B11", "B04", "B8A", "B03", "B05", "B08", "B01", "B09", "B06", "B07")
    assert sensor.bands_of(SAMPLED) == told_most and sensor.bands_of(VISIBLE) == VISIBLE_BANDS
    assert sampled_bands(sensor, CHIP_BANDS) == ["B12", "B02", "B11"]
    assert sampled_bands(load_sensor("landsat-c2-l2"), ["B5", "B4"]) == ["B4", "B5"]


@given(surfaces, offsets, said)
def test_pixels_win_over_what_is_said(surface: tuple[int, int, int], offset: int, statements: list[Statement]) -> None:
    decision = decide("s", statements, samples_of(ground(*surface), offset))
    assert (decision.usable, decision.offset_dn, decision.decided_by) == (True, offset, "pixels")
    assert len(decision.evidence_against) == sum(s.offset_dn != offset for s in statements)
    assert len(decision.evidence_for) == 1 + sum(s.offset_dn == offset for s in statements)


@given(st.integers(1_500, 9_000), st.integers(0, 99), said)
def test_bright_ground_proves_nothing(level: int, seed: int, statements: list[Statement]) -> None:
    pixels = np.random.default_rng(seed).normal(level, 40, 3_000)
    decision = decide("s", statements, samples_of(pixels, 0))
    agreed = {statement.offset_dn for statement in statements}
    assert decision.usable == (len(agreed) == 1)
    assert decision.offset_dn == (agreed.pop() if len(agreed) == 1 else 0)
    assert "pixels prove nothing" in " ".join(decision.evidence_against)
    assert bool(decision.reason) != decision.usable


@given(st.integers(0, 199))
def test_few_pixels_are_no_sample(count: int) -> None:
    assert BandSample.of("B12", np.zeros(count), visible=False) is None


@pytest.mark.parametrize(
    ("flag", "baseline", "offset"),
    [
        (True, "05.09", 0), (True, "", 0), ("true", "04.00", 0), (False, "05.09", 1000), (False, "", 1000),
        ("False", "04.00", 1000), (False, "02.14", 0), (None, "02.14", 0), (None, "04.00", 1000), (None, "", None),
        (None, "unknown", None),
    ],
)  # fmt: skip
def test_flag_and_baseline(flag: bool | str | None, baseline: str, offset: int | None) -> None:
    properties = {} if flag is None else {"earthsearch:boa_offset_applied": flag}
    found = [statement.offset_dn for statement in statements_of_item(properties, baseline)]
    assert found == ([] if offset is None else [offset])


def test_raster_bands_are_heard() -> None:
    assets = {
        "blue": {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]},
        "red": {"bands": [{"raster:scale": 0.0001, "raster:offset": -0.1}]},
        "aot": {"raster:bands": [{"scale": 0.001, "offset": 0}]},
        "scl": {"raster:bands": [{"nodata": 0}]},
        "visual": {"raster:bands": [{}, {}, {}]},
        "odd": {"raster:bands": [{"scale": "x"}]},
    }
    stated = raster_bands(assets)
    assert stated == {"blue": (0.0001, -0.1), "red": (0.0001, -0.1), "aot": (0.001, 0.0)}
    properties = {"raster:bands": stated, "earthsearch:boa_offset_applied": True}
    assert [s.offset_dn for s in statements_of_item(properties, "05.09")] == [0, 1000]


def test_files_overrule_a_bare_baseline_and_nothing_else() -> None:
    tags = statement_of_scale("tags", 1e-4, -0.1)
    assert tags is not None
    baseline, flag = statements_of_item({}, "02.14"), statements_of_item({"earthsearch:boa_offset_applied": True}, "")
    assert prefer_files(baseline, [tags, tags]) == ([tags], baseline)
    assert prefer_files(flag, [tags]) == ([*flag, tags], [])
    decision = decide("s", *[[tags], []], overruled=baseline)
    assert (decision.usable, decision.offset_dn) == (True, 1000)
    assert "02.14" in decision.evidence_against[0]
    assert not decide("s", [*flag, tags], []).usable


@given(st.sampled_from(["float32", "float64"]), st.floats(0.05, 1.4), st.integers(0, 99))
def test_reflectance_is_told_by_its_range(kind: str, brightest: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).uniform(0.001, brightest, 500).astype(kind)
    assert conversion_of_range(kind, [pixels]) == Conversion(10_000)
    assert conversion_of_range(kind, [pixels * 10_000]) == Conversion()
    assert conversion_of_range(kind, [pixels * 100]) is None or brightest * 100 <= 2.5
    assert conversion_of_range("uint8", [pixels]) is None


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("chip", "shown"),
    [
        *((chip, Shown.WITHOUT) for chip in WITHOUT),
        *((chip, Shown.WITH) for chip in WITH),
        *((chip, Shown.UNPROVED) for chip in UNPROVED),
    ],
)
def test_real_chips_show_what_is_known_of_them(real_data: Path, chip: str, shown: Shown) -> None:
    path = real_data / "imagery" / "s2_12band" / f"patch_{chip}.tif"
    assert what_pixels_show(chip_samples(path, CHIP_BANDS)) is shown


@pytest.mark.real_data
def test_real_scenes_show_what_their_metadata_say(real_data: Path) -> None:
    (safe,) = (real_data / "imagery" / "safe_l2a").glob("*.SAFE")
    shown = [
        sample
        for band in ("B12", "B02", "B8A")
        for path in safe.glob(f"GRANULE/*/IMG_DATA/R60m/*_{band}_60m.jp2")
        for sample in chip_samples(path, [band])
    ]
    assert len(shown) == 3
    assert what_pixels_show(shown) is Shown.WITH
    alps = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    for path in (real_data / "imagery" / "alps_l2a").glob("*_BOA_10.tif"):
        assert what_pixels_show(chip_samples(path, alps)) is Shown.WITHOUT
