from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from shapely import Point

from burnscar_assets.demo.burns import make_burn_layers
from burnscar_assets.demo.plan import Burn, Granule, WorldPlan
from burnscar_assets.demo.spectra import Cover
from burnscar_assets.demo.truth import TRUTH_FILE, write_truth
from burnscar_assets.orchestration.stage_code import PACKAGE, Source
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets_tests.demo.test_scenes import FIRE, X_M, Y_M


@pytest.fixture(scope="module")
def granule() -> Granule:
    return Granule.around("g1", "r1", "sierra", 32610, X_M, Y_M, 3000)


def test_no_stage_reads_what_truly_burned() -> None:
    source = Source(PACKAGE)
    for stage, spec in STAGES.items():
        reached = source.digests(spec.code)
        assert not [module for module in reached if module.split(".")[0] == "demo"], stage
    naming = [path for path in PACKAGE.rglob("*.py") if any(n in path.read_text() for n in (TRUTH_FILE, "demo.truth"))]
    assert {path.relative_to(PACKAGE).as_posix() for path in naming} == {"demo/truth.py", "demo/world.py"}


def test_true_burns_are_outlines_less_what_did_not_burn(granule: Granule, tmp_path: Path) -> None:
    other = Burn("unseen", Point(X_M + 50_000, Y_M).buffer(500), FIRE.start, FIRE.end, 0.7)
    write_truth(tmp_path / TRUTH_FILE, WorldPlan(7, (granule,), (FIRE, other), ()), workers=0)
    (row,) = gpd.read_parquet(tmp_path / TRUTH_FILE).itertuples()
    assert (row.burn_id, row.fire_year, row.start, row.end) == ("f", 2021, "2021-08-01", "2021-08-11")
    assert row.simulated
    assert row.geometry.is_valid
    assert row.burned_ha == pytest.approx(row.geometry.area / 10_000)
    assert row.geometry.difference(FIRE.geometry.buffer(15)).area == 0
    assert 0.4 * FIRE.geometry.area < row.geometry.area < 0.99 * FIRE.geometry.area


def test_unburned_islands_take_a_tenth_of_a_fire_of_any_size_and_in_some_a_third(granule: Granule) -> None:
    cover = np.full((granule.side_px, granule.side_px), Cover.SHRUB, np.uint8)
    for radius_m in (250, 1200):
        burns = tuple(
            Burn(f"{radius_m}-{number}", Point(X_M, Y_M).buffer(radius_m), FIRE.start, FIRE.end, 0.7)
            for number in range(60)
        )
        layers = make_burn_layers(7, granule, burns, cover)
        pixels = np.pi * radius_m**2 / 100
        unburned = [1 - float((layer.severity >= 0.1).sum()) / pixels for layer in layers]
        assert 0.05 < np.median(unburned) < 0.15
        assert 0.25 < np.percentile(unburned, 90) < 0.55
        light = [float(((layer.severity > 0.1) & (layer.severity < 0.5)).sum()) / pixels for layer in layers]
        assert 0.05 < np.median(light) < 0.4
