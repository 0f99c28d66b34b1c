"""Results go through a real S3 server: one machine makes them, another that shares no disk goes on with them."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import geopandas as gpd
import pytest
import shapely

from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE, STORE_VARIABLE
from burnscar_assets.errors import MissingDataError
from burnscar_assets.evaluation.calibration import Decision, NbrThreshold, Temperature
from burnscar_assets.evaluation.champion_record import Champion, Reign, champion_folder
from burnscar_assets.evaluation.rules import FRAMES, MapRules, Rules
from burnscar_assets.evaluation.spec import REPORT_FILE
from burnscar_assets.orchestration import artifacts
from burnscar_assets.orchestration.artifacts import DATASET, DATASET_STAGES, fetch_inputs, missing, publish
from burnscar_assets.orchestration.assets import setups
from burnscar_assets.orchestration.assets.model import metrics_version
from burnscar_assets.orchestration.execution import Refreshed
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.contracts import (
    BURNED_AREA_MAPS,
    EVALUATION_METRICS,
    FIRE_PERIMETERS,
    MAP_SCORES,
    PREDICTIONS,
    SAMPLE_POINTS,
    SEASON_PREDICTIONS,
    WINDOWS,
)
from burnscar_assets.storage.object_store import open_store
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, table_path, write_table
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld
from burnscar_assets_tests.storage.s3_server import s3_server

STORE = "s3://results/small"
SAMPLING = (*LABELS, "sample_points", "windows")


@pytest.fixture
def world(root: DataRoot, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    world = LabelWorld(root)
    world.configure(years={"first": 2020, "last": 2020}, imagery={"archive": "index.parquet"})
    world.publish(frap_fires(*(season(2020, n) for n in range(3))))
    with s3_server(root.path / "s3.log") as server:
        server.client().create_bucket(Bucket="results")
        for name, value in {**server.environment, STORE_VARIABLE: STORE}.items():
            monkeypatch.setenv(name, value)
        yield world


def refresh(world: LabelWorld, *assets: str) -> Refreshed:
    with world.runner() as runner:
        return runner.refresh([2020], assets=assets)


def window_names(world: LabelWorld) -> set[str]:
    return {window.name for window in open_dataset(world.root.dataset).load_windows(groups=["2020"])}


def lose_the_disk(world: LabelWorld) -> None:
    """What another machine has: Dagster's state and the settings, none of the results."""
    for folder in ("tables", "dataset", "locks", ".store"):
        shutil.rmtree(world.root.path / folder, ignore_errors=True)


def test_another_machine_goes_on_where_the_first_stopped(world: LabelWorld) -> None:
    assert not refresh(world, *LABELS, "sample_points").failures
    points = SAMPLE_POINTS.content_hash(read_table(world.root, SAMPLE_POINTS, 2020))
    lose_the_disk(world)
    assert refresh(world, *LABELS, "sample_points").runs == 0, "it is in the store"
    assert refresh(world, "windows").pairs == [Pair("windows", 2020)]
    assert SAMPLE_POINTS.content_hash(read_table(world.root, SAMPLE_POINTS, 2020)) == points
    windows = window_names(world)
    lose_the_disk(world)
    fetch_inputs(world.world, Pair("scene_matches", 2020))
    assert window_names(world) == windows
    assert set(read_table(world.root, WINDOWS, 2020)["window_id"]) == windows
    assert (world.root.dataset / "config.json").exists()


def test_an_ensemble_gets_the_checkpoints_of_its_members(world: LabelWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member has places of its own, which are none of the ensemble's."""
    world.configure(
        years={"first": 2020, "last": 2020}, setups={"exclude": ["tutorial"]}, imagery={"archive": "index.parquet"}
    )
    members = [root.checkpoint(2020) / "manifest.json" for root in (world.root, world.root.setup("trees-per-pixel"))]
    for path, asset in zip(members, ("checkpoint", "trees-per-pixel/checkpoint"), strict=True):
        write_json(path, {})
        publish(world.world, Pair(asset, 2020), "v")
        path.unlink()
    came: list[bool] = []

    def body(_run: object) -> None:
        came.extend(path.exists() for path in members)
        raise MissingDataError("nothing is weighed here")

    monkeypatch.setattr(setups, "ensemble_checkpoint", body)
    with world.runner() as runner, pytest.raises(MissingDataError, match="nothing is weighed here"):
        runner.run([Pair("ensemble/checkpoint", 2020)])
    assert came == [True, True]


def test_what_the_store_lost_is_made_again(world: LabelWorld) -> None:
    refresh(world, *LABELS)
    with world.runner() as runner:
        assert runner.planner.plan([2020], LABELS).stale == ()
    store = open_store(STORE)
    store._bucket.delete("manifests/fire_perimeters/2020.json")
    with world.runner() as runner:
        (found,) = runner.planner.plan([2020], LABELS).stale
    assert (found.pair, found.causes) == (Pair("fire_perimeters", 2020), ("it is not in the object store",))
    assert refresh(world, *LABELS).pairs == [found.pair]
    assert store.manifest("fire_perimeters", "2020") is not None


def test_each_artifact_has_its_own_places(world: LabelWorld) -> None:
    """Whoever wrote a manifest, it names no settings, none of Dagster's state and no other asset's results."""
    root, state = world.root.path, world.world
    others = ("dagster/storage/x.db", "dagster/dagster.yaml", "world.yaml", "setups/unet.yaml", "tables/x", "locks/x")
    for artifact in (*LABELS, "sample_points", DATASET, "checkpoint", "unet/checkpoint", "burned_area_maps"):
        owns = artifacts.owned(state, artifact, None if artifact == "calfire_release" else "2020")
        assert not [path for path in others if owns(root / path)], artifact
        assert not owns(root / "dataset" / "config.json")
    owns = artifacts.owned(state, DATASET, "2020")
    assert owns(root / "dataset/windows/2020/w/metadata.json") and owns(root / "dataset/.burnscar/tiles-2020.json")
    assert not owns(root / "dataset/windows/2021/w/metadata.json")
    assert not owns(root / "dataset/.burnscar/tiles-2021.json")
    assert artifacts.owned(state, "checkpoint", "2020")(root / "checkpoints/fire_year=2020/weights.pth")
    assert artifacts.owned(state, "unet/checkpoint", "2020")(root / "setups/unet/checkpoints/fire_year=2020/model.yaml")


def test_a_link_in_an_artifact_leads_no_file_elsewhere(world: LabelWorld) -> None:
    folder = world.root.checkpoint(2020)
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(world.root.path.parent)
    owns = artifacts.owned(world.world, "checkpoint", "2020")
    assert owns(folder / "weights.pth")
    assert not owns(folder / "link" / "outside.txt")


def test_without_a_store_results_stay_on_disk(world: LabelWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, "")
    refresh(world, *LABELS)
    publish(world.world, Pair("fire_perimeters", 2020), "v")
    assert open_store(STORE).manifest("fire_perimeters", "2020") is None
    table_path(world.root, FIRE_PERIMETERS, 2020).unlink()
    with world.runner() as runner:
        assert "is gone" in runner.planner.plan([2020], LABELS).stale[0].causes[0]


def test_stages_that_share_folders_publish_them_together() -> None:
    assert all(DATASET in artifacts.artifacts_of(stage) for stage in DATASET_STAGES)
    assert artifacts.artifacts_of("fire_perimeters") == ("fire_perimeters",)


def crown(root: DataRoot, fire_year: int, weights: str, maps: MapRules | None = None) -> None:
    """Make a checkpoint a year's champion."""
    rules = Rules(NbrThreshold(0, 1, 1, 1), Decision(0.5, "nothing", None, 0, 0), Temperature(1, 0, False, 0, 0), maps)
    reign = Reign(weights_sha256=weights, by="person", reason="why", decided_at=datetime(2021, 1, 1, tzinfo=UTC))
    champion = Champion(fire_year=fire_year, reign=reign, rules=rules)
    champion_folder(root, fire_year).mkdir(parents=True, exist_ok=True)
    write_json(champion_folder(root, fire_year) / "champion.json", champion.model_dump(mode="json"))


@pytest.mark.parametrize("setup", ["default", "nbr-threshold"])
def test_maps_by_another_checkpoint_than_the_champion_are_to_be_made(
    world: LabelWorld, monkeypatch: pytest.MonkeyPatch, setup: str
) -> None:
    monkeypatch.delenv(STORE_VARIABLE)
    world.configure(mapping={"setup": setup}, setups={"exclude": []})
    root, pair = world.root, Pair("burned_area_maps", 2020)
    crown(root.setup("nbr-threshold") if setup == "default" else root, 2020, "c" * 64)
    row = dict.fromkeys(BURNED_AREA_MAPS.column_names) | {"fire_id": "f", "fire_year": 2020, "complete": True}
    row |= {"checkpoint_year": 2020, "weights_sha256": "a" * 64, "item_ids": [], "simulated": True}
    rows = gpd.GeoDataFrame([row], geometry=[shapely.box(0, 0, 1, 1)], crs=table_crs())
    write_table(root, BURNED_AREA_MAPS, BURNED_AREA_MAPS.conform(rows), 2020)
    root.maps(2020).mkdir(parents=True)
    (root.maps(2020) / "index.html").touch()
    assert missing(world.world, pair, "") == [], "no checkpoint is champion"
    for weights, said in (
        ("a" * 64, []),
        ("b" * 64, ["the champion of 2020 is another checkpoint than that of the maps"]),
    ):
        crown(world.world.mapped.root, 2020, weights)
        assert missing(world.world, pair, "") == said
    shutil.rmtree(root.maps(2020))
    assert missing(world.world, pair, "") == [f"{root.maps(2020) / 'index.html'} is gone"]


def test_a_season_judged_by_another_checkpoint_than_the_champion_is_to_be_judged(
    world: LabelWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORE_VARIABLE)
    root, pair = world.root, Pair("evaluation_metrics", 2020)
    crown(root, 2020, "c" * 64)
    for table in (EVALUATION_METRICS, MAP_SCORES, PREDICTIONS, SEASON_PREDICTIONS):
        write_table(root, table, table.empty(), 2020)
    judged = {"checkpoint_year": 2019, "weights_sha256": "a" * 64}
    for told, champion, said in (
        (None, "a" * 64, []),
        (judged, "a" * 64, []),
        (judged, "b" * 64, ["the champion of 2019 is another checkpoint than that of the season"]),
    ):
        write_json(root.evaluation(2020) / REPORT_FILE, {"season": {"judgement": told}})
        crown(root, 2019, champion)
        assert missing(world.world, pair, "") == said


def test_metrics_have_another_version_where_the_champion_has_other_rules(world: LabelWorld) -> None:
    for table in (EVALUATION_METRICS, MAP_SCORES):
        write_table(world.root, table, table.empty(), 2020)

    def version(rules: MapRules) -> str:
        crown(world.root, 2020, "a" * 64, rules)
        return metrics_version(world.world, 2020)

    rules = MapRules(1.0, 0.0, 0.5, FRAMES)
    assert version(rules) == version(replace(rules)) != version(replace(rules, threshold=0.4))


@pytest.mark.parametrize("setup", [None, "unet"])
def test_metrics_have_another_version_where_validation_fires_are_mapped_otherwise(
    world: LabelWorld, setup: str | None
) -> None:
    seen = world.world.of(setup)
    for table in (EVALUATION_METRICS, MAP_SCORES, PREDICTIONS):
        write_table(seen.root, table, table.empty(), 2020)

    def version(of: str, *ious: float) -> str:
        judged = [{"rules": {"maps": {"errors": [iou]}}} for iou in ious]
        report = {"held_out": judged[0], "folds": []} if of == "blocks" else {"held_out": None, "folds": judged}
        write_json(seen.root.evaluation(2020) / REPORT_FILE, report)
        return metrics_version(seen, 2020)

    assert version("blocks", 0.5) == version("blocks", 0.5) != version("blocks", 0.6)
    assert version("folds", 0.5, 0.5) != version("folds", 0.5, 0.6)
