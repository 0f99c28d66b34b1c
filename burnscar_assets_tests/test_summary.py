"""The summary of a world in the terminal: pooled and per fire, fires listed where they are too few, and all years."""

import io
import re

import geopandas as gpd
import pytest
import shapely
from rich.console import Console

from burnscar_assets.evaluation.map_figures import map_metrics
from burnscar_assets.evaluation.report import evaluate_predictions
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import BURNED_AREA_MAPS, EVALUATION_METRICS, MAP_SCORES, PREDICTIONS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets.summary import map_table, score_table
from burnscar_assets_tests.evaluation.map_score_tables import scores_of
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

SETTINGS = EvaluationSettings()


def judged(root: DataRoot, year: int, fires: int, *, windows_per_fire: int = 12) -> None:
    rows = make_predictions(fires=fires, windows_per_fire=windows_per_fire, seed=year).assign(fire_year=year)
    rows = rows.set_geometry(rows.translate(yoff=50_000 * (year - 2000)))
    fire = rows["fire_id"] != ""
    for name in ("window_id", "fire_id", "cluster_id"):
        rows[name] = rows[name].where(~fire, rows[name] + f"-{year}")
    write_table(root, PREDICTIONS, PREDICTIONS.conform(rows), year)
    write_table(root, EVALUATION_METRICS, evaluate_predictions(rows, SETTINGS, year), year)


def shown(root: DataRoot, years: list[int]) -> str:
    file = io.StringIO()
    Console(width=200, file=file).print(score_table(root, years, SETTINGS, title="scores"))
    return file.getvalue()


def test_few_fires_are_listed_and_all_years_together_have_an_interval(root: DataRoot) -> None:
    for year in (2020, 2021, 2022):
        judged(root, year, 3)
    text = shown(root, [2020, 2021, 2022])
    assert len(re.findall(r"0\.\d\d 0\.\d\d [01]\.\d\d", text)) == 6, "three fires of each year, of both methods"
    assert text.count("(3.0)") == 3 and "(9.0)" in text
    ends = [(float(low), float(high)) for low, high in re.findall(r"\[([\d.]+), ([\d.]+)\]", text)]
    assert len(ends) == 4, "of all years: pooled and mean over fires, of both methods"
    assert all(high - low < 0.9 for low, high in ends)


@pytest.mark.parametrize("fires", [0, 1, 30])
def test_any_number_of_fires_is_shown(root: DataRoot, fires: int) -> None:
    judged(root, 2021, fires)
    text = shown(root, [2021, 2022])
    assert "2021" in text and "–" in text
    assert ("[" in text) == (fires == 30)


def test_maps_come_first_beside_the_best_baseline_and_all_years_together(root: DataRoot) -> None:
    for year in (2020, 2021):
        judged(root, year, 3)
        scores = scores_of({"model": [0.6, 0.7, 0.8], "dnbr": [0.7, 0.8, 0.9], "all_burnt": [0.2] * 3}, year=year)
        write_table(root, MAP_SCORES, scores, year)
        windows = read_table(root, PREDICTIONS, year)
        metrics = evaluate_predictions(windows, SETTINGS, year, of_maps=map_metrics(scores, SETTINGS))
        write_table(root, EVALUATION_METRICS, metrics, year)
    text = shown(root, [2020, 2021])
    assert text.count("│ 0.70 ") == 3 and text.count("-0.10") == 3 and "dnbr" in text


def test_fires_without_a_map_count_and_one_with_nothing_mapped_has_an_iou_of_0(root: DataRoot) -> None:
    names = ["a", "b", "c", "d"]
    known = {"fire_id": names, "fire_year": 2021, "complete": [True, True, True, False], "iou": [0.8, 0.0, None, None]}
    lists = {column.name: [[]] * 4 for column in BURNED_AREA_MAPS.columns if column.type == "strings"}
    absent = {name: None for name in BURNED_AREA_MAPS.column_names if name not in {*known, *lists, "geometry"}}
    frame = gpd.GeoDataFrame(
        known | lists | absent, geometry=[shapely.Point(n, 0).buffer(1) for n in range(4)], crs=3310
    )
    write_table(root, BURNED_AREA_MAPS, frame, 2021)
    file = io.StringIO()
    Console(width=200, file=file).print(map_table(root, [2021, 2022], title="maps"))
    rows = {line.split()[1]: line.split("│")[2:6] for line in file.getvalue().splitlines() if line.startswith("│ 20")}
    assert [cell.strip() for cell in rows["2021"]] == ["4", "3", "1", "0.40 of 2"]
    assert [cell.strip() for cell in rows["2022"]] == ["0", "0", "0", "–"]
