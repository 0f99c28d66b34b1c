"""The evaluator on a tiny world: what it writes, what it refuses, and that refusing leaves things as they were."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from burnscar_assets.cost import COST_FILE
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import CheckpointError, InputError, MissingDataError
from burnscar_assets.evaluation import predictions as judging
from burnscar_assets.evaluation.calibration import tune_threshold, window_nbr
from burnscar_assets.evaluation.champion_record import SEEN_FILE, champion_folder, load_champion
from burnscar_assets.evaluation.evaluator import evaluate, scored_windows
from burnscar_assets.evaluation.predictions import describe_windows
from burnscar_assets.evaluation.season import evaluate_season
from burnscar_assets.evaluation.spec import EvaluationReport, EvaluationSpec, load_report
from burnscar_assets.models.manifest import MANIFEST_FILE, verify_checkpoint
from burnscar_assets.progress import silent
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.storage.contracts import (
    EVALUATION_METRICS,
    FIRE_PERIMETERS,
    PREDICTIONS,
    SEASON_PREDICTIONS,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, write_table
from burnscar_assets_tests.evaluation.tiny_world import MARGIN_M, spec_of
from burnscar_assets_tests.imported import imported_by
from burnscar_assets_tests.tiny_dataset import LAYER


def results(root: DataRoot) -> dict[str, bytes]:
    """What an evaluation wrote, but for the times that it measured."""
    tables = (PREDICTIONS, SEASON_PREDICTIONS, EVALUATION_METRICS)
    folders = (root.evaluation(2020), *(root.tables / table.name for table in tables))
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in files if path.name != COST_FILE}


def rewrite(root: DataRoot, table: Table, change: Callable[[pd.DataFrame], None], year: int = 2020) -> None:
    rows = read_table(root, table, year)
    change(rows)
    write_table(root, table, rows, year)


def test_test_windows_are_predicted_and_nothing_else(trained: DataRoot) -> None:
    windows, predictions = read_table(trained, WINDOWS, 2020), read_table(trained, PREDICTIONS, 2020)
    expected = windows[windows["split"] == "test"]
    assert sorted(predictions["window_id"]) == sorted(expected["window_id"])
    assert predictions["burnt_probability"].between(0, 1).all()
    decision = load_report(trained, 2020).held_out.rules.decision
    assert decision.fixed_on == "validation" and decision.burnt + decision.unburnt == 20
    called = np.where(predictions["burnt_probability"] > decision.threshold, "burnt", "unburnt")
    assert (predictions["predicted"] == called).all()
    merged = predictions.merge(expected, on="window_id", suffixes=("", "_window"))
    assert (merged["category"] == merged["category_window"]).all()
    assert merged.geometry.geom_equals(merged["geometry_window"]).all()


def test_probabilities_are_those_of_the_loaded_model(trained: DataRoot) -> None:
    from burnscar_assets.dataset.tiles import read_tile
    from burnscar_assets.models.model import load_model

    predictions, tiles = read_table(trained, PREDICTIONS, 2020), read_table(trained, TILES, 2020)
    row = predictions.iloc[3]
    image = np.asarray(read_tile(trained.dataset, "2020", row["window_id"], LAYER, BANDS))[None]
    acquired = tiles.set_index("window_id").loc[row["window_id"], "acquired"].to_pydatetime()
    probability = load_model(trained.checkpoint(2020)).predict_windows({LAYER: image}, {LAYER: [acquired]})
    assert row["burnt_probability"] == pytest.approx(probability[0], abs=1e-5)
    assert row["nbr"] == pytest.approx(window_nbr(image, default_sensor())[0])


def test_a_window_without_data_is_not_judged(trained: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, rules = spec_of(trained), load_report(trained, 2020).held_out.rules
    windows = describe_windows(spec, scored_windows(spec)[0])
    read = judging._tiles

    def tiles(spec: EvaluationSpec, rows: gpd.GeoDataFrame, *of: Any) -> np.ndarray:
        images = read(spec, rows, *of)
        images[(rows["window_id"] == windows["window_id"].iloc[3]).to_numpy()] = 0
        return images

    monkeypatch.setattr(judging, "_tiles", tiles)
    found = judging.predict(spec, trained.checkpoint(2020), windows, rules, silent)
    assert found["window_id"].tolist() == windows["window_id"].drop(windows.index[3]).tolist()


def test_the_threshold_is_tuned_on_the_training_split_alone(trained: DataRoot) -> None:
    from burnscar_assets.dataset.tiles import read_tiles
    from burnscar_assets.models.plan import usable_windows

    seen = usable_windows(trained, (2019, 2020), LAYER, min_clear_fraction=0.9)
    train = seen[seen["split"] == "train"]
    images = np.stack([np.asarray(tile) for tile in read_tiles(trained.dataset, train, LAYER, BANDS)])
    expected = tune_threshold(window_nbr(images, default_sensor()), (train["category"] == "burnt").to_numpy(bool))
    assert load_report(trained, 2020).held_out.rules.threshold == expected
    assert expected.train_burnt + expected.train_unburnt == 60


def test_the_report_stands_for_both_tables_and_proves_separation(trained: DataRoot) -> None:
    report = load_report(trained, 2020)
    assert report.predictions_hash == PREDICTIONS.content_hash(read_table(trained, PREDICTIONS, 2020))
    assert report.metrics_hash == EVALUATION_METRICS.content_hash(read_table(trained, EVALUATION_METRICS, 2020))
    separation = report.held_out.separation
    assert (separation.scored_windows, separation.seen_windows) == (10, 80)
    assert separation.seen_years == (2019, 2020) and separation.nearest_m > 0
    assert report.summary.windows == 10 and report.simulated


def test_the_same_evaluation_gives_the_same_files_whatever_the_batches(world: DataRoot) -> None:
    before = results(world)
    evaluate(spec_of(world))
    assert results(world) == before
    shuffled = read_table(world, WINDOWS, 2020).sample(frac=1, random_state=1)
    write_table(world, WINDOWS, shuffled, 2020)
    evaluate(spec_of(world))
    assert results(world) == before
    probability = read_table(world, PREDICTIONS, 2020)["burnt_probability"]
    evaluate(spec_of(world, batch_size=3))
    assert np.allclose(read_table(world, PREDICTIONS, 2020)["burnt_probability"], probability, atol=1e-5)


def cloud_over(root: DataRoot, window_ids: set[str], clear: float, year: int = 2020) -> None:
    def change(tiles: pd.DataFrame) -> None:
        cloudy = tiles["window_id"].isin(window_ids)
        tiles["clear_fraction"] = tiles["clear_fraction"].astype(float).mask(cloudy, clear)

    rewrite(root, TILES, change, year)


def test_cloudy_windows_are_told_beside_and_are_in_no_other_figure(world: DataRoot) -> None:
    before = read_table(world, PREDICTIONS, 2020).set_index("window_id")
    metrics_before = read_table(world, EVALUATION_METRICS, 2020)
    cloudy = set(before.index[:4])
    cloud_over(world, cloudy, 0.89)
    report = evaluate(spec_of(world))
    predictions = read_table(world, PREDICTIONS, 2020).set_index("window_id")
    assert set(predictions.index) == set(before.index) - cloudy
    assert np.allclose(predictions["burnt_probability"], before.loc[predictions.index, "burnt_probability"])
    metrics = read_table(world, EVALUATION_METRICS, 2020)
    season = metrics["scope"].str.startswith("season")
    told = metrics[(metrics["scope"] == "cloudy") & (metrics["method"] == "model")].set_index("metric")
    called = before.loc[sorted(cloudy)]
    assert (told["windows"] == 4).all()
    assert told.loc["accuracy", "value"] == pytest.approx((called["category"] == called["predicted"]).mean())
    assert (metrics.loc[~season & ~metrics["scope"].isin(["cloudy"]), "windows"] <= 6).all()
    assert not (metrics_before["scope"] == "cloudy").any(), "no such figures where nothing is cloudy"
    assert (metrics.loc[metrics["scope"] == "season", "windows"] == 46).all()
    assert (metrics.loc[metrics["scope"] == "season_cloudy", "windows"] == 4).all()
    summary = report.summary
    assert (summary.windows, summary.cloudy_windows, summary.season_windows) == (6, 4, 46)
    assert summary.cloudy_f1_burnt == pytest.approx(told.loc["f1_burnt", "value"])
    assert load_report(world, 2020) == report
    card = (world.evaluation(2020) / "MODEL_CARD.md").read_text()
    assert card.count("Beside these, 4 cloudy windows, which no other figure counts: F1 of burnt") == 2


def test_fires_that_a_person_took_out_are_answered_and_neither_scored_nor_fix_a_threshold(world: DataRoot) -> None:
    before, rules = read_table(world, PREDICTIONS, 2020), load_report(world, 2020).held_out.rules
    seen = read_table(world, WINDOWS, 2020)
    validates = seen.loc[(seen["split"] == "val") & (seen["fire_id"].fillna("") != ""), "fire_id"].iloc[0]
    scored = before.loc[before["fire_id"].fillna("") != "", "fire_id"].iloc[0]
    report = evaluate(spec_of(world, fires_out=(validates, scored)))
    after, metrics = read_table(world, PREDICTIONS, 2020), read_table(world, EVALUATION_METRICS, 2020)
    pd.testing.assert_series_equal(before["burnt_probability"], after["burnt_probability"])
    out = int((before["fire_id"] == scored).sum())
    assert after["out"].sum() == out > 0 and report.summary.windows == len(before) - out
    with_out = metrics[metrics["scope"] == "pooled_with_out"]
    assert (with_out["windows"] == len(before)).all() and scored not in set(metrics["fire_id"])
    now = report.held_out.rules
    assert now.threshold == rules.threshold, "what trains is no score"
    fixed = [one.decision.burnt + one.decision.unburnt for one in (rules, now)]
    assert fixed[1] < fixed[0] and now.temperature.windows in (0, fixed[1])
    card = (world.evaluation(2020) / "MODEL_CARD.md").read_text()
    assert f"With fires that a person took out, {len(before)} windows: F1 of burnt" in card


def test_cloud_over_windows_of_training_asks_for_another_training(world: DataRoot) -> None:
    train = read_table(world, WINDOWS, 2019).query("split == 'train'")["window_id"]
    cloud_over(world, {train.iloc[0]}, 0.5, 2019)
    with pytest.raises(InputError, match="windows have changed since the checkpoint of 2020 was trained on them"):
        evaluate(spec_of(world))


def test_a_year_under_cloud_says_so(world: DataRoot) -> None:
    cloud_over(world, set(read_table(world, PREDICTIONS, 2020)["window_id"]), 0.1)
    with pytest.raises(InputError, match=r"10 test windows are less clear than imagery\.min_clear_fraction"):
        evaluate(spec_of(world))


def test_the_season_is_judged_by_the_champion_of_the_year_before(trained: DataRoot) -> None:
    report, season = load_report(trained, 2020), read_table(trained, SEASON_PREDICTIONS, 2020)
    windows, tiles = read_table(trained, WINDOWS, 2020), read_table(trained, TILES, 2020)
    assert set(season["window_id"]) == set(windows["window_id"]) & set(tiles.loc[tiles["complete"], "window_id"])
    judged = report.season.judgement
    assert judged is not None and judged.checkpoint_year == 2019
    assert judged.weights_sha256 == verify_checkpoint(trained.checkpoint(2019)).weights_sha256
    assert judged.separation.seen_years == (2019,) and judged.separation.scored_windows == len(season) == 50
    assert judged.rules.decision.burnt + judged.rules.decision.unburnt == 10, (
        "its threshold is fixed on its own validation split"
    )
    assert judged.separation.nearest_m > MARGIN_M
    champion = load_champion(trained, 2019)
    assert champion is not None and champion.rules == judged.rules
    assert report.season.elsewhere == "none told apart, since no ecoregions are given (evaluation.ecoregions)"
    metrics = read_table(trained, EVALUATION_METRICS, 2020)
    pooled = metrics[(metrics["scope"] == "season") & (metrics["method"] == "model")].set_index("metric")
    right = (season["category"] == season["predicted"]).mean()
    assert pooled.loc["accuracy", "value"] == pytest.approx(right) and pooled.loc["accuracy", "windows"] == 50
    assert metrics.loc[metrics["scope"] == "season_fire", "fire_id"].nunique() == 9
    assert report.summary.season_windows == 50


def test_a_season_window_on_ground_that_was_seen_is_left_out(world: DataRoot) -> None:
    seen = read_table(world, WINDOWS, 2019).query("split == 'train'").geometry.iloc[0]

    def burn_again(windows: pd.DataFrame) -> None:
        windows.loc[windows.index[windows["split"] == "test"][0], "geometry"] = seen

    rewrite(world, WINDOWS, burn_again)
    season = evaluate_season(spec_of(world), silent)
    assert season.season.left_out == 1 and len(season.predictions) == 49
    assert "that it has seen: 1" in season.season.note


def test_the_season_is_the_champions_whatever_was_trained_since(world: DataRoot) -> None:
    before = evaluate_season(spec_of(world), silent)
    shutil.rmtree(world.checkpoint(2019))
    rewrite(world, WINDOWS, swap_splits, 2019)
    after = evaluate_season(spec_of(world), silent)
    assert after.season == before.season and after.predictions.equals(before.predictions)
    manifest = champion_folder(world, 2019) / MANIFEST_FILE
    manifest.write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="the champion of 2019 is damaged"):
        evaluate_season(spec_of(world), silent)


def test_windows_of_ecoregions_that_the_champion_has_not_seen_are_told_apart(world: DataRoot, tmp_path: Path) -> None:
    windows = read_table(world, WINDOWS, 2020)
    seen, season = gpd.read_parquet(champion_folder(world, 2019) / SEEN_FILE), windows.total_bounds
    middle = windows.geometry.centroid.x.median()
    west, east = box(season[0] - 1e3, season[1] - 1e3, middle, season[3] + 1e3), box(middle, *season[1:3], season[3])
    regions = [("Known", seen.union_all().convex_hull.buffer(1e3)), ("West", west), ("East", east.buffer(1e3))]
    path = tmp_path / "regions.geojson"
    named, shapes = zip(*regions, strict=True)
    gpd.GeoDataFrame({"US_L3NAME": named}, geometry=list(shapes), crs=windows.crs).to_crs("EPSG:4326").to_file(path)
    report = evaluate(spec_of(world, ecoregions=path))
    assert report.season.elsewhere == "East, West"
    metrics, season_rows = read_table(world, EVALUATION_METRICS, 2020), read_table(world, SEASON_PREDICTIONS, 2020)
    told = metrics[(metrics["scope"] == "season_other_ecoregion") & (metrics["method"] == "model")].set_index("metric")
    elsewhere = season_rows[season_rows["ecoregion"].isin(["East", "West"])]
    assert len(elsewhere) > 0 and (told["windows"] == len(elsewhere)).all()
    right = (elsewhere["category"] == elsewhere["predicted"]).mean()
    assert told.loc["accuracy", "value"] == pytest.approx(right)
    said = f"Ecoregions that the champion has not seen: East, West. {len(elsewhere)} windows, F1 of burnt model"
    assert said in (world.evaluation(2020) / "MODEL_CARD.md").read_text()
    everywhere = gpd.GeoSeries([windows.union_all().convex_hull.buffer(1e5)], crs=windows.crs).to_crs("EPSG:4326")
    gpd.GeoDataFrame({"US_L3NAME": ["All"]}, geometry=everywhere).to_file(path)
    assert evaluate_season(spec_of(world, ecoregions=path), silent).season.elsewhere == (
        "none, it has seen all of the season's"
    )


def lose_the_champion(root: DataRoot) -> None:
    shutil.rmtree(champion_folder(root, 2019))


@pytest.mark.parametrize(
    ("change", "year_before", "note"),
    [
        (lose_the_champion, 2019, "2019 has no champion: run burnscar refresh --years 2019 2020"),
        (lambda root: None, None, "it is the first fire year"),
    ],
)
def test_without_a_champion_of_the_year_before_it_says_so_and_goes_on(
    change: Callable[[DataRoot], None], year_before: int | None, note: str, world: DataRoot
) -> None:
    change(world)
    season = evaluate_season(spec_of(world).model_copy(update={"year_before": year_before}), silent)
    assert note in season.season.note and season.season.judgement is None
    assert season.predictions.empty


def test_a_checkpoint_that_has_seen_the_season_is_refused(world: DataRoot) -> None:
    with pytest.raises(InputError, match=r"to be judged on 2020 has seen \[2020\]"):
        evaluate_season(spec_of(world).model_copy(update={"year_before": 2020}), silent)


def test_a_season_is_missing_from_metrics_card_and_report_alike(world: DataRoot) -> None:
    lose_the_champion(world)
    report = evaluate(spec_of(world))
    assert load_report(world, 2020) == report and report.summary.season_f1_burnt is None
    assert read_table(world, SEASON_PREDICTIONS, 2020).empty
    assert not read_table(world, EVALUATION_METRICS, 2020)["scope"].str.startswith("season").any()
    assert "Not judged: 2019 has no champion" in (world.evaluation(2020) / "MODEL_CARD.md").read_text()


def test_windows_are_described_by_fire_days_and_region(trained: DataRoot, tmp_path: Path) -> None:
    predictions = read_table(trained, PREDICTIONS, 2020)
    fires = read_table(trained, FIRE_PERIMETERS, 2020).set_index("fire_id")["area_ha"]
    assert predictions["fire_area_ha"].to_numpy() == pytest.approx(fires.loc[predictions["fire_id"]].to_numpy())
    acquired = read_table(trained, TILES, 2020).set_index("window_id").loc[predictions["window_id"], "acquired"]
    starts = read_table(trained, WINDOWS, 2020).set_index("window_id").loc[predictions["window_id"], "start_time"]
    days = (acquired.to_numpy() - starts.to_numpy()).astype("timedelta64[D]").astype(int)
    assert predictions["days_since_containment"].to_list() == days.tolist()
    windows = read_table(trained, WINDOWS, 2020).query("split == 'test'").reset_index(drop=True)
    middle = windows.geometry.centroid.x.median()
    west, south, _, north = windows.total_bounds
    path = tmp_path / "regions.geojson"
    regions = gpd.GeoDataFrame(
        {"US_L3NAME": ["West"]}, geometry=[box(west - 1e4, south - 1e4, middle, north + 1e4)], crs=windows.crs
    )
    regions.to_crs("EPSG:4326").to_file(path)
    spec = spec_of(trained, ecoregions=path)
    described = describe_windows(spec, windows.assign(acquired=windows["start_time"]))
    expected = np.where(windows.geometry.centroid.x < middle, "West", "")
    assert described["ecoregion"].to_list() == expected.tolist() and {"West", ""} == set(expected)


def move_test_fire_to_training(windows: pd.DataFrame) -> None:
    windows.loc[windows["split"] == "test", "fire_id"] = windows.loc[windows["split"] == "train", "fire_id"].iloc[0]


def share_a_cluster(windows: pd.DataFrame) -> None:
    windows.loc[windows["split"] == "test", "cluster_id"] = windows.loc[windows["split"] == "val", "cluster_id"].iloc[0]


def share_ground(windows: pd.DataFrame) -> None:
    train, test = (windows.index[windows["split"] == split][0] for split in ("train", "test"))
    windows.loc[test, "geometry"] = windows.loc[train, "geometry"]


def deal_anew(windows: pd.DataFrame) -> None:
    windows.loc[windows.index[windows["split"] == "train"][0], "split"] = "test"


def swap_splits(windows: pd.DataFrame) -> None:
    """Leaves the numbers of windows by split and class as they were."""
    burnt = windows["category"] == "burnt"
    train, val = (windows.index[burnt & (windows["split"] == split)][0] for split in ("train", "val"))
    windows.loc[[train, val], "split"] = ["val", "train"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (move_test_fire_to_training, "fires among those scored that were trained on"),
        (share_a_cluster, "clusters among those scored that were trained on"),
        (share_ground, "ground that was trained on"),
        (deal_anew, "windows have changed since the checkpoint of 2020"),
        (swap_splits, "windows have changed since the checkpoint of 2020"),
    ],
)
def test_a_leak_stops_the_evaluation_and_keeps_the_old_one(
    change: Callable[[pd.DataFrame], None], message: str, world: DataRoot
) -> None:
    before = results(world)
    rewrite(world, WINDOWS, change)
    with pytest.raises(InputError, match=message):
        evaluate(spec_of(world))
    assert results(world) == before


def test_without_test_windows_the_error_says_what_to_do(world: DataRoot) -> None:
    test_windows = read_table(world, WINDOWS, 2020).query("split == 'test'")["window_id"]

    def lose(tiles: pd.DataFrame) -> None:
        tiles.loc[tiles["window_id"].isin(test_windows), "complete"] = False

    rewrite(world, TILES, lose)
    with pytest.raises(InputError, match=r"no test window of 2020 has a complete tile .*sampling\.splits"):
        evaluate(spec_of(world))


def test_a_tampered_checkpoint_is_refused_and_the_old_evaluation_kept(world: DataRoot) -> None:
    before = results(world)
    weights = world.checkpoint(2020) / "weights.pth"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="hash is wrong"):
        evaluate(spec_of(world))
    assert results(world) == before


def test_a_missing_tile_is_a_clear_error(world: DataRoot) -> None:
    window_id = read_table(world, PREDICTIONS, 2020)["window_id"].iloc[0]
    shutil.rmtree(world.dataset / "windows" / "2020" / window_id / "layers" / LAYER)
    with pytest.raises(MissingDataError, match="burnscar refresh --years 2020"):
        evaluate(spec_of(world))


def run_process(spec: Path) -> tuple[int, dict, set[str]]:
    process = imported_by("-m", "burnscar_assets.evaluation.evaluator", str(spec))
    return process.code, json.loads(process.said[-1]), process.packages


def test_the_process_writes_what_the_function_does_and_imports_nothing_of_training(
    world: DataRoot, tmp_path: Path
) -> None:
    before = results(world)
    for path in world.evaluation(2020).glob("*.*"):
        path.unlink()
    code, event, packages = run_process(spec_of(world).write(tmp_path / "spec.json"))
    assert (code, event["event"]) == (0, "done")
    assert "torch" in packages and not {"lightning", "torchmetrics", "wandb"} & packages
    assert results(world) == before


def test_the_process_says_what_went_wrong(tmp_path: Path) -> None:
    spec = EvaluationSpec(root=tmp_path / "data", fire_year=2020, min_clear_fraction=0.9, margin_m=320)
    code, event, _ = run_process(spec.write(tmp_path / "spec.json"))
    assert (code, event["error"]) == (2, "CheckpointError") and "burnscar refresh --years 2020" in event["message"]
    code, event, _ = run_process(tmp_path / "absent.json")
    assert (code, event["error"]) == (2, "InputError") and "absent.json" in event["message"]


def test_spec_round_trip_and_mistakes(tmp_path: Path) -> None:
    spec = EvaluationSpec(
        root=tmp_path, fire_year=2020, min_clear_fraction=0.9, margin_m=320, data_versions={"tiles/2020": "abc"}
    )
    path = spec.write(tmp_path / "spec.json")
    assert EvaluationSpec.read(path) == spec
    path.write_text(path.read_text().replace("fire_year", "fire_jahr"))
    with pytest.raises(InputError, match="fire_jahr"):
        EvaluationSpec.read(path)


def test_a_broken_report_counts_as_missing(trained: DataRoot, tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    with pytest.raises(MissingDataError, match="burnscar refresh --years 2020"):
        load_report(root, 2020)
    root.evaluation(2020).mkdir(parents=True)
    whole = (trained.evaluation(2020) / "report.json").read_bytes()
    (root.evaluation(2020) / "report.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingDataError, match="no evaluation report"):
        load_report(root, 2020)
    (root.evaluation(2020) / "report.json").write_bytes(whole)
    assert isinstance(load_report(root, 2020), EvaluationReport)
