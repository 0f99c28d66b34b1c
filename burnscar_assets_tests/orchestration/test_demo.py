"""The demo as a stranger runs it: what it makes, that it can be trusted, and that other tools work on it."""

import json
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets.classes import Split
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.orchestration.execution import open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import (
    ALL_TABLES,
    EVALUATION_METRICS,
    FIRE_PERIMETERS,
    MAP_SCORES,
    PREDICTIONS,
    SCENE_MATCHES,
    SETUP_COMPARISON,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.tables import read_table, read_years
from burnscar_assets_tests.imported import imported_by
from burnscar_assets_tests.orchestration.conftest import DemoRun, command_environment

pytestmark = [pytest.mark.slow]

YEARS = (2019, 2020, 2021, 2022)


def test_it_ends_with_a_summary_and_says_what_is_simulated(demo: DemoRun) -> None:
    for expected in ("simulated", "2019", "2022", "f1_burnt", "RANDOM WEIGHTS", "maps of the held-out", "burnscar ui"):
        assert expected in demo.output
    assert "Traceback" not in demo.output
    assert "Warning" not in demo.output


def test_a_second_demo_does_no_work_twice(demo: DemoRun) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.root.tables.rglob("*.parquet")}
    again = demo.run("burnscar", "demo").stdout
    assert "everything was fresh" in again
    assert {path: path.stat().st_mtime_ns for path in demo.root.tables.rglob("*.parquet")} == before
    assert "nothing is stale" in demo.run("burnscar", "plan").stdout


def test_commands_that_look_import_no_more_than_they_need(demo: DemoRun) -> None:
    for command in (["plan"], ["sql", "from windows"], ["compare"]):
        looked = imported_by("-m", "burnscar_assets", *command, environment=command_environment(demo.root))
        assert (looked.code, looked.said) == (0, [])
        assert not {"geopandas", "rasterio", "matplotlib", "torch", "rslearn"} & looked.packages, command


def test_a_network_without_an_encoder_is_loaded_without_what_trains_it(demo: DemoRun) -> None:
    load = "import sys, pathlib, burnscar_assets.models.model as m; m.load_model(pathlib.Path(sys.argv[1]))"
    loaded = imported_by("-c", load, str(demo.root.checkpoint(2019)))
    assert loaded.code == 0
    assert "torch" in loaded.packages and not {"lightning", "torchmetrics", "wandb"} & loaded.packages


def test_the_default_is_among_those_that_map_validation_fires_best_and_the_tutorial_stands_beside_it(
    demo: DemoRun,
) -> None:
    table = read_table(demo.root, SETUP_COMPARISON, None)
    found = table[table["scope"] == "validation"].set_index("setup")["value"]
    default = load_settings(CONFIGS_DIR / "demo.yaml").mapping.setup
    assert {"default", "tutorial", "trees-per-pixel", "ensemble", default} <= set(found.index)
    assert found[default] > found.max() - 0.03, found  # nine fires tell no finer
    assert "Chosen by validation:" in demo.output
    assert "tutorial" in set(table.loc[table["scope"] == "maps", "setup"])


def test_the_simulated_perimeters_are_as_promised(demo: DemoRun) -> None:
    fires = read_years(demo.root, FIRE_PERIMETERS, YEARS)
    assert len(fires) >= 40
    assert fires["simulated"].all()
    lon = gpd.GeoSeries(fires.geometry, crs=3310).to_crs(4326).bounds
    assert (lon["maxx"] < -120).any() and (lon["minx"] > -120).any()
    assert ((lon["minx"] < -120) & (lon["maxx"] > -120)).any()
    assert (fires["area_ha"] < 10).any()


def test_no_fire_and_no_ground_is_in_two_splits(demo: DemoRun) -> None:
    windows = read_years(demo.root, WINDOWS, YEARS)
    for column in ("fire_id", "cluster_id"):
        named = windows[windows[column] != ""]
        assert named.groupby(column)["split"].nunique().max() == 1
    splits = {split: shapely.union_all(windows[windows["split"] == split].geometry) for split in Split}
    for one, other in ((Split.TRAIN, Split.VAL), (Split.TRAIN, Split.TEST), (Split.VAL, Split.TEST)):
        assert splits[one].distance(splits[other]) > 0


def test_metrics_are_of_unseen_fires_and_beat_chance(demo: DemoRun) -> None:
    above_chance = []
    for year in YEARS:
        manifest = verify_checkpoint(demo.root.checkpoint(year))
        predictions = read_table(demo.root, PREDICTIONS, year)
        seen = read_years(demo.root, WINDOWS, manifest.fire_years)
        seen = seen[seen["split"] != Split.TEST]
        assert not set(predictions["fire_id"]) & set(seen["fire_id"]) - {""}
        assert not set(predictions["window_id"]) & set(seen["window_id"])
        assert load_report(demo.root, year).held_out.separation.nearest_m > 0
        metrics = read_table(demo.root, EVALUATION_METRICS, year)
        pooled = metrics[(metrics["scope"] == "pooled") & (metrics["method"] == "model")].set_index("metric")
        above_chance.append(pooled.loc["auroc", "value"] > 0.5 and pooled.loc["balanced_accuracy", "value"] > 0.5)
        assert metrics.loc[metrics["scope"] == "fire", "fire_id"].nunique() >= 2
    assert all(above_chance)


def test_windows_without_imagery_are_listed_with_a_reason_and_left_out(demo: DemoRun) -> None:
    matches, tiles = read_years(demo.root, SCENE_MATCHES, YEARS), read_years(demo.root, TILES, YEARS)
    windows = read_years(demo.root, WINDOWS, YEARS)
    unmatched = matches[~matches["matched"]]
    assert len(unmatched) and (unmatched["reason"].fillna("") != "").all()
    incomplete = tiles[~tiles["complete"]]
    assert set(unmatched["window_id"]) <= set(incomplete["window_id"])
    assert (incomplete["reason"].fillna("") != "").all()
    assert set(tiles["window_id"]) == set(windows["window_id"])
    assert not set(read_years(demo.root, PREDICTIONS, YEARS)["window_id"]) & set(incomplete["window_id"])


def test_every_partition_shows_counts_schema_place_and_picture(demo: DemoRun) -> None:
    import dagster as dg

    path = CONFIGS_DIR / "demo.yaml"
    with open_runner(World(load_settings(path), demo.root), path) as runner, dg.DagsterInstance.get() as instance:
        assert runner.planner.fire_years() == list(YEARS)
        for asset in ("fire_perimeters", "sample_points", "scene_matches", "tiles", "checkpoint", "evaluation_metrics"):
            events = instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
            shown = {e.partition_key: e.asset_materialization.metadata for e in events if e.asset_materialization}
            assert set(shown) == set(map(str, YEARS))
            for metadata in shown.values():
                assert "dagster/uri" in metadata and metadata["burnscar/simulated_imagery"].value is True
                picture = metadata["burnscar/preview"].value
                assert picture.startswith("![preview](data:image/png;base64,") and len(picture) < 140_000


def test_sql_sees_the_tables(demo: DemoRun) -> None:
    answer = demo.run("burnscar", "sql", "select fire_year, count(*) from windows group by 1 order by 1").stdout
    windows = read_years(demo.root, WINDOWS, YEARS)
    for year, count in windows.groupby("fire_year").size().items():
        assert f"{year}" in answer and f"{count}" in answer
    refused = demo.run("burnscar", "sql", "select nonsense", check=False)
    assert refused.returncode == 1 and "error:" in refused.stdout and "Traceback" not in refused.stdout


def test_doctor_finds_nothing_missing(demo: DemoRun) -> None:
    assert demo.run("burnscar", "doctor").returncode == 0


def test_dagster_materializes_a_partition(demo: DemoRun) -> None:
    table = demo.root.tables / "fire_perimeters" / "fire_year=2021" / "part.parquet"
    before = pd.read_parquet(table, columns=["fire_id"])
    done = demo.run(
        "dagster",
        *("asset", "materialize", "-m", "burnscar_assets.definitions"),
        *("--select", "fire_perimeters", "--partition", "2021"),
    )
    assert "RUN_SUCCESS" in done.stdout
    assert pd.read_parquet(table, columns=["fire_id"]).equals(before)
    assert "nothing is stale" in demo.run("burnscar", "plan").stdout


def test_rslearn_commands_work_on_the_dataset(demo: DemoRun) -> None:
    demo.run("rslearn", "dataset", "prepare", "--root", str(demo.root.dataset), "--group", "2021")
    demo.run("rslearn", "dataset", "materialize", "--root", str(demo.root.dataset), "--group", "2021")
    config = demo.root.checkpoint(2019) / "model.yaml"
    tested = demo.run("rslearn", "model", "test", "--config", str(config))
    assert "test_mean_iou" in tested.stdout


def test_a_partition_that_is_gone_is_made_again(demo: DemoRun) -> None:
    table = demo.root.tables / "tiles" / "fire_year=2022" / "part.parquet"
    before = TILES.content_hash(read_table(demo.root, TILES, 2022))
    table.unlink()
    assert "is gone" in demo.run("burnscar", "plan").stdout
    done = demo.run("burnscar", "refresh").stdout
    assert "1 runs, 1 partitions made" in done
    assert TILES.content_hash(read_table(demo.root, TILES, 2022)) == before


def test_every_table_of_a_year_is_there(demo: DemoRun) -> None:
    not_of_a_year = {"release_records", "setup_comparison", "folds", "label_doubts", "learning_curves"}
    for table in ALL_TABLES:
        if table.name not in not_of_a_year and not table.name.startswith(("in_season_", "mined_")):
            years = YEARS[1:] if table.name == "season_predictions" else YEARS
            assert all(len(read_table(demo.root, table, year)) for year in years), table.name
    manifest = json.loads((demo.root.checkpoint(2022) / "manifest.json").read_text())
    assert manifest["fire_years"] == [2020, 2021, 2022]
    assert set(manifest["data_versions"]) == {"tiles/2020", "tiles/2021", "tiles/2022"}


def test_maps_of_held_out_fires_decide_and_the_page_over_all_maps_says_so(demo: DemoRun) -> None:
    compared = read_table(demo.root, SETUP_COMPARISON, None)
    by_maps = compared[(compared["scope"] == "maps") & (compared["metric"] == "iou")].set_index("setup")
    assert {"default", "tutorial", "baseline/all_burnt", "baseline/dnbr_less_mode"} <= set(by_maps.index)
    assert by_maps["value"].between(0, 1).all() and by_maps.loc["default", "verdict"] == "reference"
    scores = read_years(demo.root, MAP_SCORES, YEARS)
    judged = scores[scores["judged"].astype(bool) & (scores["predictor"] != "season")]
    assert (judged.groupby(["fire_year", "frame_id"])["judged_ha"].nunique() == 1).all()
    said = (demo.root.maps(None).parent / "index.html").read_text()
    assert "Set-ups by their maps" in said and "strongest floor or burn index" in said


@pytest.mark.real_data
def test_imagery_simulated_over_real_perimeters(real_data: Path, tmp_path: Path) -> None:
    from burnscar_assets.storage.paths import DataRoot
    from burnscar_assets_tests.orchestration.conftest import run_command

    root = DataRoot(tmp_path / "real")
    release = real_data / "frap" / "fire241gdb.zip"
    done = run_command(root, "burnscar", "demo", "--perimeters", str(release), "--years", "2018", "--fires", "6")
    assert "simulated imagery" in done.stdout
    perimeters = read_table(root, FIRE_PERIMETERS, 2018)
    assert len(perimeters) == 38 and not perimeters["simulated"].any()
    assert len(set(read_table(root, WINDOWS, 2018)["fire_id"]) - {""}) <= 6
    assert load_report(root, 2018).held_out.separation.scored_windows > 0
    assert load_settings(root.world_file).years.first == 2018
