"""The instance of deploy/postgres on a real PostgreSQL and a real S3 server."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas as gpd
import pytest
from dagster._core.run_coordinator import QueuedRunCoordinator

from burnscar_assets.definitions import build_definitions
from burnscar_assets.orchestration.lineage import Lineage
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.staleness import EventLog, stale_pairs
from burnscar_assets.settings import parse_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.deploy.postgres_server import PostgresServer, postgres_programs, postgres_server
from burnscar_assets_tests.labels.label_records import frap_fires
from burnscar_assets_tests.storage.s3_server import S3Server, s3_server

REPOSITORY = Path(__file__).resolve().parents[2]
LOG_BUCKET = "burnscar-logs"
YEARS = (2020, 2021)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL isn't installed")
    with postgres_server(programs) as server:
        yield server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as server:
        server.client().create_bucket(Bucket=LOG_BUCKET)
        yield server


@pytest.fixture
def instance(
    postgres: PostgresServer, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance as the deployment's file says, with empty storage."""
    for name, value in {**postgres.environment, **s3.environment, "BURNSCAR_LOG_BUCKET": LOG_BUCKET}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copyfile(REPOSITORY / "deploy" / "postgres" / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as loaded:
        yield loaded
        loaded.wipe()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two fire years of a few square fires, labels only."""
    write_release(tmp_path / "fires.geojson", frap_fires({}, *({"YEAR_": 2021} | dates(2021) for _ in range(2))))
    content = {
        "name": "small",
        "years": {"first": YEARS[0], "last": YEARS[1]},
        "release": {"source": str(tmp_path / "fires.geojson")},
    }
    return World(parse_settings(content, "test"), DataRoot(tmp_path / "data"))


def dates(year: int) -> dict[str, Any]:
    return {"ALARM_DATE": f"{year}-08-01", "CONT_DATE": f"{year}-08-05"}


def write_release(path: Path, fires: gpd.GeoDataFrame) -> None:
    fires.to_crs(4326).to_file(path, driver="GeoJSON")


def make(world: World, instance: dg.DagsterInstance, asset: str, year: int | None) -> None:
    job = build_definitions(world.settings, world.root).resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        asset_selection=[dg.AssetKey(asset)], partition_key=None if year is None else str(year), instance=instance
    )


def stale(world: World, instance: dg.DagsterInstance) -> set[tuple[str, int | None]]:
    graph = build_definitions(world.settings, world.root).resolve_asset_graph()
    pairs = Lineage(graph, YEARS).pairs({"calfire_release", "fire_perimeters"})
    return {(found.asset, found.fire_year) for found in stale_pairs(world, EventLog(graph, instance), pairs)}


def count(postgres: PostgresServer, query: str) -> int:
    with closing(postgres.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


@pytest.mark.slow
def test_runs_events_and_staleness_live_in_postgres(
    postgres: PostgresServer, world: World, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    make(world, instance, "calfire_release", None)
    for year in YEARS:
        make(world, instance, "fire_perimeters", year)
    assert stale(world, instance) == set()
    assert count(postgres, "select count(*) from runs where status = 'SUCCESS'") == 3
    of_perimeters = "dagster_event_type = 'ASSET_MATERIALIZATION' and asset_key like '%fire_perimeters%'"
    assert count(postgres, f"select count(distinct partition) from event_logs where {of_perimeters}") == 2
    assert not list(tmp_path.rglob("*.db"))

    fires = gpd.read_file(tmp_path / "fires.geojson")
    write_release(tmp_path / "fires.geojson", fires[~((fires["YEAR_"] == 2021) & fires.duplicated("YEAR_"))])
    make(world, instance, "calfire_release", None)
    assert ("fire_perimeters", 2021) in stale(world, instance)
    make(world, instance, "fire_perimeters", 2020)
    assert stale(world, instance) == {("fire_perimeters", 2021)}


def test_logs_go_to_s3(s3: S3Server, instance: dg.DagsterInstance) -> None:
    with instance.compute_log_manager.capture_logs(["a-run", "compute_logs", "a-step"]):
        print("said by a step", flush=True)
    stored = s3.client().get_object(Bucket=LOG_BUCKET, Key="dagster-logs/storage/a-run/compute_logs/a-step.out")
    assert stored["Body"].read() == b"said by a step\n"


def test_runs_wait_in_a_queue_one_at_a_time_for_each_fire_year(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None and queue.max_concurrent_runs == 4
    assert list(queue.tag_concurrency_limits) == [
        {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]
    assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
    assert instance.run_retries_enabled and instance.run_monitoring_enabled
