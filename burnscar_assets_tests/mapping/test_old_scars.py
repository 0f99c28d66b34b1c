"""Old scars: told from fresh ones by the image before, kept off the map, written as a class of their own, counted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from burnscar_assets.mapping.ground import OLD_SCAR, REFUSED_SCAR
from burnscar_assets.mapping.old_scars import BurnRatios
from burnscar_assets.mapping.spec import MapSpec
from burnscar_assets.sensors.indices import nbr
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.publish.map_kit import (
    AS_ANSWERED,
    FormulaModel,
    SmallScene,
    degrees,
    ground_of,
    make_archive,
    spec_of,
    task_of,
)
from burnscar_assets_tests.publish.test_making import make, pixels

UNCHANGED = SmallScene("before", time="2022-07-01T18:50:00Z")
"""The surface of scene `one`, a month earlier: whatever looks burned in it did so before."""

RULE = replace(AS_ANSWERED, threshold=0.4, scar_bound=0.0)
SIDE = 60


def ratios(haze: float) -> BurnRatios:
    """Forest, with an old scar on the left, a fresh one on the right, a reburn below the old one, and a pond.

    Args:
        haze: what it takes off NBR in all of the image after.
    """
    before = np.full((SIDE, SIDE), 0.5, np.float32)
    before[:, :15] = -0.2
    after = before - np.float32(haze)
    after[:, 45:] = -0.3
    after[40:, :15] -= 0.3
    water = np.zeros((SIDE, SIDE), bool)
    water[:10, 20:30] = True
    return BurnRatios(before, after, water)


@pytest.mark.parametrize("haze", [-0.15, 0.0, 0.15])
def test_a_scar_that_was_there_before_is_old_whatever_haze_does_and_a_reburn_is_not(haze: float) -> None:
    found = ratios(haze)
    assert found.mode == pytest.approx(haze, abs=0.011)
    scars = found.old_scars(0.0, found.mode)
    assert scars[:40, :15].all() and scars.sum() == 40 * 15
    assert not found.old_scars(None, found.mode).any() and not found.old_scars(0.0, None).any()
    assert not found.old_scars(-0.3, found.mode).any(), "ground that was greener than the bound is none"


def test_where_one_image_does_not_show_the_ground_nothing_is_known_of_a_scar() -> None:
    dark = np.stack([np.full((40, 40), value, np.uint16) for value in (3000, 2000, 1000)])
    clear = np.ones((40, 40), bool)
    clear[:5] = False
    found = BurnRatios.of(dark, dark, clear, has_red=True)
    np.testing.assert_array_equal(found.old_scars(0.0, found.mode), clear)


def test_without_a_red_band_dark_ground_is_water_and_near_infrared_is_no_red() -> None:
    swir, nir = np.full((40, 40), 300, np.uint16), np.full((40, 40), 400, np.uint16)
    swir[:5], nir[:5] = 2000, 3000
    shown = np.stack([swir, nir, nir])
    for has_red in (True, False):
        found = BurnRatios.of(shown, shown, np.ones((40, 40), bool), has_red=has_red)
        assert found.water[5:].all() != has_red and not found.water[:5].any()


@pytest.fixture
def at(tmp_path: Path) -> Callable[[str], DataRoot]:
    return lambda name: DataRoot(tmp_path / name)


def of_fire(root: DataRoot, *scenes: SmallScene, **changes: object) -> MapSpec:
    imagery = make_archive(root, SmallScene("one"), *scenes)
    fire = {"fire_id": "f1", "fire_year": 2022, "title": "FIRE", "buffer_m": 100.0}
    days = {"before_start": "2022-06-15T00:00:00Z", "before_end": "2022-07-15T00:00:00Z"}
    task = task_of(root.path, degrees(500, -1100, 1200, -500))
    return spec_of(root, imagery, task.model_validate(task.model_dump() | fire | days), **changes)


def looked_burned(folder: Path) -> np.ndarray:
    swir, nir, _ = pixels(folder, "before")
    return np.asarray(nbr(nir, swir) < 0)


@pytest.mark.parametrize("block_px", [64, 512])
def test_old_scars_are_no_burn_of_a_fire_s_map_and_are_counted(at: Callable[[str], DataRoot], block_px: int) -> None:
    spec = of_fire(at("data"), UNCHANGED, block_px=block_px)
    plain = make(spec.data_root, spec, FormulaModel(per_pixel=True), rules=replace(RULE, scar_bound=None))
    before = pixels(plain.task.folder, "burned")
    assert plain.record is not None and plain.record["old_scars"] is None
    assert not (plain.task.folder / "ground.tif").exists()
    found = make(spec.data_root, spec, FormulaModel(per_pixel=True), rules=RULE)
    folder, record = found.task.folder, found.record
    assert found.made and record is not None
    scars, burned = looked_burned(folder), pixels(folder, "burned")
    refused = (before == 1) & scars
    assert refused.any() and ((before == 1) & ~scars).any()
    np.testing.assert_array_equal(burned, np.where(refused, 0, before))
    np.testing.assert_array_equal(pixels(folder, "ground") == REFUSED_SCAR, refused)
    assert record["old_scars"]["refused_ha"] == pytest.approx(refused.sum() / 100)
    assert record["area_ha"]["mapped"] == pytest.approx((burned == 1).sum() / 100)
    assert any(note.startswith(f"{refused.sum() / 100:,.1f} ha that the model calls burnt") for note in record["notes"])


def test_known_scars_stay_marked_and_an_area_of_interest_has_the_rule_too(at: Callable[[str], DataRoot]) -> None:
    root = at("aoi")
    imagery = make_archive(root, SmallScene("one"), UNCHANGED)
    task = task_of(root.path)
    days = {"before_start": "2022-06-15T00:00:00Z", "before_end": "2022-07-15T00:00:00Z"}
    spec = spec_of(root, imagery, task.model_validate(task.model_dump() | days))
    found = make(root, spec, FormulaModel(per_pixel=True), rules=RULE, ground=ground_of(0, 0, scar_columns=40))
    folder, record = found.task.folder, found.record
    assert record is not None and record["old_scars"]["refused_ha"] > 0
    ground, burned = pixels(folder, "ground"), pixels(folder, "burned")
    assert (ground == OLD_SCAR).any() and not (burned[looked_burned(folder)] == 1).any()
    assert (burned[ground == REFUSED_SCAR] == 0).all()


def test_without_an_image_before_the_map_is_as_it_was_and_says_so(at: Callable[[str], DataRoot]) -> None:
    spec = of_fire(at("data"))
    plain = make(spec.data_root, spec, rules=replace(RULE, scar_bound=None))
    record = make(spec.data_root, spec, rules=RULE).record
    assert record is not None and plain.record is not None and record["old_scars"] is None
    assert record["area_ha"]["mapped"] == plain.record["area_ha"]["mapped"]
    assert any("no image before" in note for note in record["notes"])
    assert not any("no image before" in note for note in plain.record["notes"])
