import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from burnscar_assets.evaluation.evaluator import evaluate
from burnscar_assets.evaluation.label_doubt import LabelDoubt, doubt_labels, edge_distances_m
from burnscar_assets.evaluation.report import evaluate_predictions
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.models.plan import usable_windows
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS, FIRE_PERIMETERS, PREDICTIONS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, write_table
from burnscar_assets_tests.evaluation.images_before import BEFORE, add_images_before
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions
from burnscar_assets_tests.evaluation.tiny_world import spec_of
from burnscar_assets_tests.tiny_dataset import LAYER, SIZE_PX, make_tiny_dataset

SIDE = (SIZE_PX, SIZE_PX)


def burned_by_window(windows: gpd.GeoDataFrame) -> dict[str, np.ndarray]:
    """All of a burnt window burned, but of every third one only half; nothing of the others."""
    burned = {}
    for number, (name, category) in enumerate(zip(windows["window_id"], windows["category"], strict=True)):
        burned[name] = np.full(SIDE, category == "burnt")
        if number % 3 == 0:
            burned[name][: SIZE_PX // 2] = False
    return burned


def doubt_of(root: DataRoot, windows: gpd.GeoDataFrame) -> LabelDoubt:
    return doubt_labels(root, windows, default_sensor(), LAYER, min_clear_fraction=0.9)


@pytest.mark.parametrize("offset", [0.0, 0.11, -0.05])
def test_windows_with_islands_are_not_certain_and_their_share_is_told(root: DataRoot, offset: float) -> None:
    """Whatever season and haze of the two images add to dNBR, here the ends of what they do on real fires."""
    make_tiny_dataset(root, years=(2020,), windows_per_year=80)
    perimeters = read_table(root, FIRE_PERIMETERS, 2020)
    write_table(root, FIRE_PERIMETERS, perimeters.set_geometry(perimeters.buffer(20_000)), 2020)
    windows = usable_windows(root, [2020], LAYER, min_clear_fraction=0.9)
    assert "no images from before" in doubt_of(root, windows).noise.note
    burned = burned_by_window(windows)
    without = windows["window_id"].iloc[-1]
    add_images_before(root, 2020, {name: where for name, where in burned.items() if name != without}, offset)
    doubt = doubt_of(root, windows)
    assert without not in doubt.certain.index
    assert "79 of 80 windows" in doubt.noise.note
    for name, category in zip(windows["window_id"], windows["category"], strict=True):
        if name != without:
            assert doubt.certain[name] == (category == "unburnt" or burned[name].all())
    fires = {fire["fire_id"]: fire for fire in doubt.noise.fires}
    burnt = windows[(windows["category"] == "burnt") & (windows["window_id"] != without)]
    for fire_id, rows in burnt.groupby("fire_id"):
        share = np.mean([1 - burned[name].mean() for name in rows["window_id"]])
        assert fires[fire_id]["unburned_share"] == pytest.approx(share, abs=1e-3)
        assert fires[fire_id]["offset"] == pytest.approx(offset, abs=1e-3)
    json.dumps(doubt.noise.fires, allow_nan=False)


def test_without_unburned_ground_or_under_cloud_nothing_is_known(root: DataRoot) -> None:
    make_tiny_dataset(root, years=(2020,), windows_per_year=20)
    windows = usable_windows(root, [2020], LAYER, min_clear_fraction=0.9)
    add_images_before(root, 2020, burned_by_window(windows))
    unburnt = windows[windows["category"] == "unburnt"]
    few = pd.concat([windows[windows["category"] == "burnt"], unburnt.groupby("fire_id").head(2)])
    few = few[few["fire_id"] == unburnt["fire_id"].iloc[0]].reset_index(drop=True)
    assert few["category"].value_counts()["unburnt"] == 2
    doubt = doubt_of(root, few)
    assert doubt.certain.empty and "there are no 3 unburnt windows" in doubt.noise.note
    tiles = read_table(root, TILES, 2020)
    write_table(root, TILES, tiles.assign(clear_fraction=np.where(tiles["layer"] == BEFORE, 0.5, 1.0)), 2020)
    assert "no window has a clear image from before" in doubt_of(root, windows).noise.note


def test_distances_are_those_to_the_nearest_outline(root: DataRoot) -> None:
    make_tiny_dataset(root, years=(2020,), windows_per_year=6)
    windows = read_table(root, WINDOWS, 2020)
    first = windows.geometry.iloc[0]
    perimeters = gpd.GeoSeries([shapely.box(*first.bounds).buffer(-100), first.buffer(-40)], crs=table_crs())
    found = edge_distances_m(windows, perimeters)
    assert np.isinf(found[1:]).all()
    row = windows.iloc[0]
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] + 0.5
    centres = gpd.GeoSeries(
        gpd.points_from_xy((row["min_col"] + columns.ravel()) * 10, -(row["min_row"] + rows.ravel()) * 10),
        crs=f"EPSG:{row['utm_epsg']}",
    ).to_crs(table_crs())
    assert centres.within(first).all()
    nearest = np.min([centres.distance(outline) for outline in perimeters.boundary], axis=0)
    np.testing.assert_allclose(found[0].ravel(), nearest, atol=0.01)
    assert np.isinf(edge_distances_m(windows, perimeters.iloc[:0])).all()


def test_the_second_score_leaves_out_just_the_doubtful_windows() -> None:
    predictions = make_predictions(fires=8)
    settings = EvaluationSettings(bootstrap_samples=100)
    assert "label" not in set(evaluate_predictions(predictions, settings, 2021)["scope"])
    certain = np.arange(len(predictions)) % 4 != 0
    told = evaluate_predictions(predictions.assign(label_certain=certain), settings, 2021)
    second = told[told["scope"] == "label"].drop(columns=["scope", "subset"])
    alone = evaluate_predictions(predictions[certain], settings, 2021)
    pooled = alone[alone["scope"] == "pooled"].drop(columns=["scope", "subset"])
    assert set(told.loc[told["scope"] == "label", "subset"]) == {"certain"}
    columns = ["method", "metric", "value", "windows"]
    assert second[columns].reset_index(drop=True).equals(pooled[columns].reset_index(drop=True))


@pytest.mark.slow
def test_an_evaluation_with_images_from_before(world: DataRoot) -> None:
    plain = load_report(world, 2020)
    assert BEFORE in plain.label_noise.note
    scored = read_table(world, PREDICTIONS, 2020)
    assert scored["label_certain"].isna().all()
    windows = read_table(world, WINDOWS, 2020)
    test = windows[windows["split"] == "test"]
    add_images_before(world, 2020, burned_by_window(test))
    report = evaluate(spec_of(world))
    predictions = read_table(world, PREDICTIONS, 2020)
    assert predictions["label_certain"].notna().all()
    assert 0 < predictions["label_certain"].sum() < len(predictions)
    assert {fire["fire_id"] for fire in report.label_noise.fires} == set(test["fire_id"])
    assert load_report(world, 2020).label_noise == report.label_noise
    metrics = read_table(world, EVALUATION_METRICS, 2020)
    second = metrics[(metrics["scope"] == "label") & (metrics["metric"] == "f1_burnt")]
    assert set(second["method"]) == set(metrics["method"])
    assert (second["windows"] == predictions["label_certain"].sum()).all()
    card = (world.evaluation(2020) / "MODEL_CARD.md").read_text()
    assert "label: certain" in card
    assert "labels are not certain" in card
    unchanged = ["window_id", "burnt_probability", "predicted", "baseline_predicted", "category"]
    assert predictions[unchanged].equals(scored[unchanged]), "what is scored does not depend on dNBR"
