"""What tiles hold when files are of another type, unit or offset than the layer, from the archive that a user names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.dataset.ledger import TILES_MADE, open_ledgers
from burnscar_assets.dataset.materialize import TileSummary, materialize_tiles
from burnscar_assets.dataset.scene_radiometry import radiometry_table
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    EPSG,
    LEFT,
    TOP,
    WINDOW_PX,
    SmallScene,
    make_dataset,
    make_windows,
    write_scene,
)

LAYER = "sentinel2_l2a"
COLUMN, ROW = 60, 48
TEN_METRES = [band for band in BANDS if BAND_RESOLUTION_M[band] == 10]
SCENE = SmallScene("s", baseline="02.14")

Pixels = np.ndarray


def write_band(path: Path, pixels: Pixels, size: int, **profile: Any) -> None:
    scale, offset = profile.pop("scale", 1.0), profile.pop("offset", 0.0)
    profile = {
        "driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 1, "dtype": pixels.dtype,
        "crs": f"EPSG:{EPSG}", "transform": from_origin(LEFT, TOP, size, size), "tiled": True, "blockxsize": 64,
        "blockysize": 64, **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(pixels, 1)
        if (scale, offset) != (1.0, 0.0):
            sink.scales, sink.offsets = (scale,), (offset,)


def write_as(folder: Path, scene: SmallScene, change: Callable[[Pixels], Pixels], **profile: Any) -> StacDict:
    """A scene whose files hold what `change` makes of its digital numbers without an offset."""
    item = write_scene(folder, scene)
    for band in BANDS:
        write_band(
            folder / scene.name / f"{band}.tif", change(scene.reflectance(band)), BAND_RESOLUTION_M[band], **profile
        )
    return item


def tiles(
    root: DataRoot, folder: Path, items: list[StacDict], config: str = "dataset.json"
) -> tuple[Pixels | None, TileSummary, dict[str, Any]]:
    """The window's tile, the summary and its row of the table."""
    write_index(items, folder / "index.parquet")
    settings = make_dataset(root, folder / "index.parquet", dataset_config=config)
    windows = make_windows(root, [(COLUMN, ROW)])
    matches, _ = match_scenes(windows, root.dataset, settings)
    table, summary = materialize_tiles(windows, matches, root.dataset, settings)
    tile = read_tile(root.dataset, "2022", "w0", LAYER, BANDS) if summary.complete else None
    return tile, summary, table.iloc[0].to_dict()


def expected(scene: SmallScene, band: str) -> Pixels:
    return scene.reflectance(band)[ROW : ROW + WINDOW_PX, COLUMN : COLUMN + WINDOW_PX]


def assert_right(tile: Pixels | None, scene: SmallScene = SCENE) -> None:
    assert tile is not None
    for band in TEN_METRES:
        np.testing.assert_array_equal(tile[BANDS.index(band)], expected(scene, band))


def signed(pixels: Pixels) -> Pixels:
    """As int16, the window's first pixel without data, the next with a negative reflectance."""
    result = pixels.astype("int16")
    factor = len(result) / 240
    row, column = round(ROW * factor), round(COLUMN * factor)
    result[row, column : column + 2] = (-9999, -30)
    return result


@pytest.mark.parametrize("nodata", [-9999, None])
def test_signed_numbers_never_wrap(root: DataRoot, tmp_path: Path, nodata: float | None) -> None:
    tile, _, row = tiles(root, tmp_path, [write_as(tmp_path, SCENE, signed, nodata=nodata)])
    assert tile is not None
    for band in TEN_METRES:
        pixels = tile[BANDS.index(band)]
        assert (pixels[0, 0], pixels[0, 1]) == (0, 1)
        np.testing.assert_array_equal(pixels[1:], expected(SCENE, band)[1:])
    assert tile.max() < 6_000
    assert 0 < row["nodata_fraction"] < 0.05


@pytest.mark.parametrize(
    ("change", "profile"),
    [
        (lambda dn: (dn / 10_000).astype("float32"), {}),
        (lambda dn: (dn / 10_000).astype("float32"), {"nodata": np.nan}),
        (lambda dn: (dn / 10_000).astype("float64"), {"nodata": -9999}),
        (lambda dn: dn.astype("float32"), {}),
        (lambda dn: dn.astype("int32"), {"nodata": -9999}),
        (lambda dn: (dn + 1000).astype("uint16"), {"scale": 1e-4, "offset": -0.1}),
        (lambda dn: ((dn / 10_000 + 0.2) / 2e-5).astype("uint16"), {"scale": 2e-5, "offset": -0.2}),
        (lambda dn: (dn / 100).astype("float32"), {"scale": 0.01, "nodata": -1}),
    ],
    ids=["0-1", "0-1 NaN", "0-1 double", "float DN", "int32", "tags", "other scale", "percent with scale"],
)
def test_units_become_the_layers(
    root: DataRoot, tmp_path: Path, change: Callable[[Pixels], Pixels], profile: dict[str, Any]
) -> None:
    tile, _, _ = tiles(root, tmp_path, [write_as(tmp_path, SCENE, change, **profile)])
    assert tile is not None
    for band in TEN_METRES:
        off = np.abs(tile[BANDS.index(band)].astype(int) - expected(SCENE, band))
        assert off.max() <= 1


@pytest.mark.parametrize("unit", [1, 10_000], ids=["float DN", "0-1"])
@pytest.mark.parametrize("offset_dn", [-1000, -500, 300])
def test_an_offset_without_a_scale_is_of_the_file_s_own_unit(
    root: DataRoot, tmp_path: Path, unit: int, offset_dn: int
) -> None:
    def bright(dn: Pixels) -> Pixels:
        return ((dn + 3000.0 - offset_dn) / unit).astype("float32")

    tile, _, _ = tiles(root, tmp_path, [write_as(tmp_path, SCENE, bright, offset=offset_dn / unit)])
    assert tile is not None
    for band in TEN_METRES:
        off = np.abs(tile[BANDS.index(band)].astype(int) - 3000 - expected(SCENE, band))
        assert off.max() <= 1


@pytest.mark.parametrize(
    "change",
    [lambda dn: (dn / 100).astype("float32"), lambda dn: (dn // 30).astype("uint8")],
    ids=["percent", "8 bit"],
)
def test_unknown_units_are_set_aside(root: DataRoot, tmp_path: Path, change: Callable[[Pixels], Pixels]) -> None:
    from burnscar_assets.errors import InputError

    with pytest.raises(InputError, match="neither reflectance 0–1 nor digital numbers"):
        tiles(root, tmp_path, [write_as(tmp_path, SCENE, change)])


def wrapped(pixels: Pixels) -> Pixels:
    return np.random.default_rng(1).integers(64_000, 64_999, pixels.shape).astype("uint16")


def test_impossible_numbers_are_no_data(root: DataRoot, tmp_path: Path) -> None:
    _, summary, row = tiles(root, tmp_path, [write_as(tmp_path, SCENE, wrapped, nodata=0)])
    assert (summary.complete, row["reason"], row["nodata_fraction"]) == (0, "nodata", 1.0)


@pytest.mark.parametrize("alpha", [False, True], ids=["mask band", "alpha band"])
def test_masks_say_where_there_are_data(root: DataRoot, tmp_path: Path, alpha: bool) -> None:
    item = write_scene(tmp_path, SCENE)
    for band in BANDS:
        pixels = SCENE.reflectance(band)
        factor = len(pixels) / 240
        valid = np.full(pixels.shape, 255, "uint8")
        valid[: round((ROW + 6) * factor)] = 0
        path, size = tmp_path / SCENE.name / f"{band}.tif", BAND_RESOLUTION_M[band]
        write_band(path, np.where(valid, pixels, 4_000).astype("uint16"), size, count=1 + alpha)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as sink:
            if alpha:
                sink.write(valid, 2)
                sink.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
            else:
                sink.write_mask(valid > 0)
    write_index([item], tmp_path / "index.parquet")
    settings = make_dataset(root, tmp_path / "index.parquet", max_nodata_fraction=1)
    windows = make_windows(root, [(COLUMN, ROW)])
    matches, _ = match_scenes(windows, root.dataset, settings)
    materialize_tiles(windows, matches, root.dataset, settings)
    tile = read_tile(root.dataset, "2022", "w0", LAYER, BANDS)
    for band in TEN_METRES:
        pixels = tile[BANDS.index(band)]
        assert (pixels[:6] == 0).all()
        np.testing.assert_array_equal(pixels[6:], expected(SCENE, band)[6:])


def edge(pixels: Pixels) -> Pixels:
    """The swath ends in the window's second column of 60 m."""
    result = pixels.copy()
    result[:, (COLUMN + 12) * len(pixels) // 240 :] = 0
    return result


def test_pixels_at_the_swath_edge_do_not_mix_with_fill(root: DataRoot, tmp_path: Path) -> None:
    made = {}
    for name, nodata in (("with", 0), ("without", None)):
        folder = tmp_path / name
        folder.mkdir()
        mine = DataRoot(folder / "root")
        write_index([write_as(folder, SCENE, edge, nodata=nodata)], folder / "index.parquet")
        settings = make_dataset(mine, folder / "index.parquet", max_nodata_fraction=1)
        windows = make_windows(mine, [(COLUMN, ROW)])
        matches, _ = match_scenes(windows, mine.dataset, settings)
        materialize_tiles(windows, matches, mine.dataset, settings)
        made[name] = read_tile(mine.dataset, "2022", "w0", LAYER, BANDS)
    np.testing.assert_array_equal(made["with"], made["without"])
    assert (made["without"] == 0).any()
    for number, band in enumerate(BANDS):
        pixels = made["without"][number]
        assert pixels[pixels > 0].min() >= edge(SCENE.reflectance(band))[edge(SCENE.reflectance(band)) > 0].min(), band


@pytest.mark.parametrize("ingest", [False, True], ids=["direct", "ingested"])
@pytest.mark.parametrize("carries", [False, True])
@pytest.mark.parametrize("flag", [False, True, None])
@pytest.mark.parametrize("baseline", ["02.14", "05.09"])
def test_offset_is_proved_by_the_pixels(
    root: DataRoot, tmp_path: Path, carries: bool, flag: bool | None, baseline: str, ingest: bool
) -> None:
    config = tmp_path / "dataset.json"
    content = (CONFIGS_DIR / "dataset.json").read_text()
    config.write_text(content.replace('"ingest": false', f'"ingest": {"true" if ingest else "false"}'))
    item = write_as(tmp_path, SCENE, lambda dn: dn + np.uint16(1000 * carries), nodata=0)
    item["properties"] |= {"s2:processing_baseline": baseline}
    if flag is not None:
        item["properties"] |= {"earthsearch:boa_offset_applied": flag}
    tile, _, _ = tiles(root, tmp_path, [item], str(config))
    if carries and baseline == "02.14":  # nobody says that there is an offset, and that baseline never had one
        assert tile is not None
        np.testing.assert_array_equal(tile[0], expected(SCENE, "B02") + 1000)
    else:
        assert_right(tile)


def test_what_is_known_of_scenes_is_kept_with_the_tiles(root: DataRoot, tmp_path: Path) -> None:
    items = [write_as(tmp_path, SCENE, lambda dn: dn + np.uint16(1000), nodata=0)]
    items[0]["properties"] |= {"s2:processing_baseline": "05.09"}
    _, _, row = tiles(root, tmp_path, items)
    known = radiometry_table(root.dataset, pd.DataFrame([row]))
    assert known[["item_id", "usable", "offset_dn", "decided_by"]].values.tolist() == [["s", True, 1000, "pixels"]]
    names = {path.name for path in (root.dataset / ".burnscar").iterdir()}
    assert names == {f"{work}-{LAYER}-2022.json" for work in ("matched", "tiles")}
    with open_ledgers(root.dataset, TILES_MADE, LAYER, ["2022"]) as ledgers:
        ledgers["2022"].forget(["w0"])
    assert radiometry_table(root.dataset, pd.DataFrame([row])).equals(known)
