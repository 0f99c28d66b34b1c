from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from kit.judging import truly_burned
from kit.true_burn import has_true_burns, score_against, true_burns

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.demo.truth import TRUTH_FILE
from burnscar_assets.mapping.fire_scenes import TRUTH_UNKNOWN, FireScene
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs, write_table
from burnscar_assets_tests.sampling.fire_worlds import Fire, perimeters_of

FRAME = Frame(32610, 10, Box(60_000, -430_000, 60_040, -429_970))


def ground(left: int, top: int, width: int, height: int, crs: str = GEOGRAPHIC_CRS) -> shapely.Geometry:
    """Pixels of the frame as a geometry."""
    corner = FRAME.box.left + left, FRAME.box.top + top
    box = Box(*corner, corner[0] + width, corner[1] + height)
    return project(FRAME.metres(box), f"EPSG:{FRAME.epsg}", crs)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """Two fires side by side in 2021, and one where the first lies that burned a year later."""
    root = DataRoot(tmp_path)
    fires = perimeters_of([Fire(0, 0, 1, name="a"), Fire(9, 0, 1, name="b")], 2021)
    outlines = [ground(2, 2, 12, 12, table_crs()), ground(20, 2, 12, 12, table_crs())]
    write_table(root, FIRE_PERIMETERS, fires.set_geometry(outlines, crs=table_crs()), 2021)
    shapes = [ground(*where, table_crs()) for where in ((2, 2, 10, 12), (19, 2, 12, 12), (2, 2, 12, 12))]
    years = [2021, 2021, 2022]
    root.simulated.mkdir(parents=True)
    table = {"burn_id": ["1", "2", "3"], "fire_year": years}
    gpd.GeoDataFrame(table, geometry=shapes, crs=table_crs()).to_parquet(root.simulated / TRUTH_FILE)
    return root


def test_a_fire_has_the_burn_of_its_year_that_shares_most_ground(root: DataRoot, tmp_path: Path) -> None:
    burns = true_burns(root, [2021])
    pixels = {name: FRAME.covers(burn, FRAME.box) for name, burn in burns.items()}
    assert has_true_burns(root) and not has_true_burns(DataRoot(tmp_path / "real"))
    assert {name: int(found.sum()) for name, found in pixels.items()} == {"a": 120, "b": 144}
    assert pixels["a"][2:14, 2:12].all() and pixels["b"][2:14, 19:31].all()


def test_a_fire_that_burned_nowhere_near_its_perimeter_is_not_judged(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FireScene, "truth", lambda scene: np.zeros(FRAME.shape, np.uint8))
    with truly_burned(root, [2021]):
        scenes: list[Any] = [SimpleNamespace(fire_id=fire, frame=FRAME) for fire in ("a", "elsewhere", None)]
        burned, elsewhere, no_fire = (FireScene.truth(scene) for scene in scenes)
    assert burned.sum() == 120 and (elsewhere == TRUTH_UNKNOWN).all() and not no_fire.any()


def test_both_predictions_are_scored_by_the_true_burn_on_the_same_pixels(root: DataRoot) -> None:
    judged = np.ones(FRAME.shape, bool)
    judged[:8] = False
    perimeter, half = np.zeros(FRAME.shape, bool), np.zeros(FRAME.shape, bool)
    perimeter[2:14, 2:14], half[2:14, 2:7] = True, True
    found = score_against(true_burns(root, [2021])["a"], FRAME, judged, perimeter, half, "a")
    assert found.model == pytest.approx(60 / 72) and found.beside == pytest.approx(30 / 60)
    assert found.gain == pytest.approx(found.model - found.beside) and found.fire_id == "a"
