"""A last day that may be off by some days: images after a fire are from when it is surely over, wherever they go."""

from pathlib import Path

import pandas as pd
import pytest

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.dataset.definition import define_windows
from burnscar_assets.mapping.fires import task_of
from burnscar_assets.sampling.points import sample_points
from burnscar_assets.settings import SamplingSettings, WindowSettings, parse_settings
from burnscar_assets_tests.sampling.fire_worlds import LAND, YEAR, Fire, history_of, perimeters_of

WORLD = parse_settings({"name": "x", "years": {"first": YEAR}, "release": {"source": "a"}}, "x.yaml")


@pytest.mark.parametrize(
    ("precision_days", "later"), [(0.0, 0), (1.0, 0), (1.5, 2), (5.0, 5), (float("nan"), 0)], ids=str
)
def test_images_after_a_fire_are_from_when_it_is_surely_over(precision_days: float, later: int, tmp_path: Path) -> None:
    fires = perimeters_of([Fire(1_000, 2_000, 1_500)]).assign(end_precision_days=precision_days)
    last, alarm = fires["containment_date"].iloc[0], fires["alarm_date"].iloc[0]
    over, days = last + pd.Timedelta(days=later), pd.Timedelta(days=31)
    sampled = sample_points(
        fires, history_of([]), YEAR, SamplingSettings(), WindowSettings(), land=LAND, hard_negatives=None
    )
    windows = define_windows(sampled.points, WindowSettings())
    assert set(windows["start_time"]) == {over} and set(windows["end_time"]) == {over + days}
    assert set(windows["before_end"]) == {alarm}
    task = task_of(fires.to_crs(GEOGRAPHIC_CRS).iloc[0], tmp_path, tmp_path, WORLD)
    assert (task.start, task.end, task.before_end) == (over, over + days, alarm)
