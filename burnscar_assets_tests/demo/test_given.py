from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from shapely import Point, union_all
from shapely.geometry.base import BaseGeometry

from burnscar_assets.demo.given import LARGEST_GRANULE_M, plan_over
from burnscar_assets.storage.contracts import FIRE_PERIMETERS


def perimeters(shapes: dict[str, BaseGeometry], end: str = "2020-08-20") -> gpd.GeoDataFrame:
    count = len(shapes)
    rows: dict[str, object] = {name: [""] * count for name in FIRE_PERIMETERS.column_names if name != "geometry"}
    rows |= {"fire_id": list(shapes), "fire_year": 2020, "cause": 1, "c_method": 1, "flags": [[]] * count}
    rows |= {"alarm_date": pd.NaT, "containment_date": pd.Timestamp(end, tz="UTC"), "simulated": False}
    areas = [shape.area / 10_000 for shape in shapes.values()]
    rows |= {"area_ha": areas, "reported_area_ha": areas, "end_precision_days": 1.0}
    return FIRE_PERIMETERS.conform(gpd.GeoDataFrame(rows, geometry=list(shapes.values()), crs="EPSG:3310"))


def test_a_small_fire_is_seen_with_its_ring_before_and_after() -> None:
    shape = Point(-90_000, 60_000).buffer(600)
    plan = plan_over(7, perimeters({"small": shape}))
    (granule,) = plan.granules
    assert granule.ground.contains(shape.buffer(1200))
    days = [(scene.acquired.date() - plan.burns[0].end).days for scene in plan.scenes]
    assert sum(0 <= day <= 30 for day in days) >= 3
    assert min(days) < -1
    assert plan.burns[0].start < plan.burns[0].end


@pytest.mark.parametrize(("radius_m", "count"), [(9_000, 1), (20_000, 2)])
def test_of_a_megafire_edge_and_inside_are_seen(radius_m: float, count: int) -> None:
    shape = Point(-90_000, 60_000).buffer(radius_m)
    granules = plan_over(7, perimeters({"mega": shape})).granules
    assert len(granules) == count
    for granule in granules:
        assert granule.side_m <= LARGEST_GRANULE_M + 120
        assert 0.3 < granule.ground.intersection(shape).area / granule.ground.area < 0.8
    if count == 2:
        assert not granules[0].ground.intersects(granules[1].ground)


def test_the_plan_does_not_depend_on_row_order() -> None:
    shapes = {name: Point(x, 60_000).buffer(500) for name, x in (("b", -90_000), ("a", 80_000), ("c", 0))}
    rows = perimeters(shapes)
    assert plan_over(7, rows) == plan_over(7, rows.iloc[::-1].reset_index(drop=True))
    assert {granule.epsg for granule in plan_over(7, rows).granules} == {32610, 32611}


@pytest.mark.real_data
def test_real_fires_of_all_sizes_get_bounded_imagery(real_data: Path) -> None:
    raw = pyogrio.read_dataframe(f"/vsizip/{real_data}/frap/fire241gdb.zip/fire24_1.gdb", where="YEAR_ = 2017")
    raw = raw.assign(geometry=shapely.make_valid(raw.geometry.to_numpy())).sort_values("GIS_ACRES")
    chosen = raw.iloc[np.linspace(0, len(raw) - 1, 12).astype(int)]
    plan = plan_over(7, perimeters({f"f{i}": g for i, g in enumerate(chosen.geometry)}, "2017-10-20"))
    seen = union_all([granule.ground for granule in plan.granules])
    whole = sum(seen.contains(burn.geometry.buffer(1100)) for burn in plan.burns)
    assert whole >= 6
    assert all(seen.intersects(burn.geometry) for burn in plan.burns)
    assert sum(scene.granule.side_px**2 for scene in plan.scenes) < 110e6
    assert len({scene.scene_id for scene in plan.scenes}) == len(plan.scenes)
