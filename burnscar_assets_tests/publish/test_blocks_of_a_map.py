"""A map put together from blocks: the outlines of the whole raster, and memory that does not follow the area."""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from scipy import ndimage

from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.scenes import ImageFacts
from burnscar_assets.publish.folder import MapInputs, write_map
from burnscar_assets.publish.polygons import burned_polygons, polygons_by_blocks
from burnscar_assets.publish.rasters import BlockStore, MadeBlock, empty_block
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.publish.map_kit import AS_ANSWERED, FormulaModel, judge_of, spec_of, task_of

EPSG = 32611


def frame_of(width: int, height: int) -> Frame:
    return Frame(EPSG, 10.0, Box(50_000, -400_000, 50_000 + width, -400_000 + height))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block_px", [64, 100])
def test_outlines_are_those_of_the_whole_raster(seed: int, block_px: int, tmp_path: Path) -> None:
    random, frame = np.random.default_rng(seed), frame_of(310, 233)
    smooth, above = [(2, 0.08), (4, 0.03), (8, 0.02)][seed]
    burned = (ndimage.gaussian_filter(random.standard_normal(frame.shape), smooth) > above).astype(np.uint8)
    burned[100:130, 200:260] = 255
    probability = random.random(frame.shape).astype(np.float32)
    for name, pixels in (("burned", burned), ("probability", probability)):
        profile = {"driver": "GTiff", "count": 1, "width": 310, "height": 233, "dtype": pixels.dtype}
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile, crs=EPSG, transform=frame.transform) as sink:
            sink.write(pixels, 1)
    least = {"min_area_ha": 0.05, "min_hole_ha": 0.02}
    found = polygons_by_blocks(tmp_path, frame, block_px, **least)
    whole = burned_polygons(burned, probability, frame.transform, frame.crs, **least)
    assert len(found) == len(whole) > 10 and found["holes"].sum() == whole["holes"].sum()
    assert found["area_ha"].to_list() == whole["area_ha"].to_list()
    assert np.allclose(np.sort(found["mean_probability"]), np.sort(whole["mean_probability"]))
    assert found.geometry.union_all().symmetric_difference(whole.geometry.union_all()).area < 1e-3


def test_memory_does_not_follow_the_area(root: DataRoot, tmp_path: Path) -> None:
    peaks = []
    for side in (256, 1024):
        frame = frame_of(side, side)
        task = task_of(tmp_path / str(side), shapely.Polygon(frame.footprint.exterior))
        spec = spec_of(root, ImagerySettings(), task, block_px=128)
        inputs = MapInputs(
            task,
            spec,
            frame,
            judge_of(FormulaModel()).manifest,
            AS_ANSWERED,
            ImageFacts((), ()),
            None,
            tuple(frame.blocks(128)),
        )
        tracemalloc.start()
        record = write_map(inputs, patches(), task.work)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert record["area_ha"]["mapped"] > 0
    assert peaks[1] < 2 * peaks[0] + 8e6, "16 times the area"


def patches() -> Any:
    """Blocks of which each has one small patch of burned ground."""

    def read(box: Box) -> MadeBlock:
        block = empty_block(box)
        block.probability[:], block.validity[:] = 0.1, 0
        block.probability[40:60, 40:60] = 0.9
        return block

    return SimpleNamespace(read=read)


def test_a_damaged_block_or_one_of_other_inputs_is_none(tmp_path: Path) -> None:
    box = Box(0, 0, 5, 4)
    store = BlockStore(tmp_path, "a" * 64)
    store.write(box, empty_block(box))
    assert store.read(box) is not None and store.read(Box(0, 0, 4, 4)) is None
    (path,) = tmp_path.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:-200])
    assert store.read(box) is None
    store.write(box, empty_block(box))
    assert BlockStore(tmp_path, "b" * 64).read(box) is None and not list(tmp_path.rglob("*.npz"))
