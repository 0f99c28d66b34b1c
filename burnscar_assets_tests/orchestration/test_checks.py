"""Checks: which there are, and that a failing one stops what comes after it."""

from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets import checks
from burnscar_assets.checks import Finding
from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR, DATA_VARIABLE
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.demo import LABEL_ASSETS, DemoOptions, demo_world
from burnscar_assets.orchestration.execution import open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.versions import STAGE_VERSIONS
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, SAMPLE_POINTS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_path
from burnscar_assets_tests.labels.label_records import frap_fires


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[World, Path]:
    """A world of two fires, whose labels can be made."""
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    for name in (CONFIG_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    release = tmp_path / "fires.gpkg"
    frap_fires({}, {}).to_file(release, driver="GPKG")
    settings_file, root = demo_world(DemoOptions(release, [2020]))
    return World(load_settings(settings_file), root), settings_file


def test_every_partitioned_asset_is_checked_for_corruption(root: DataRoot) -> None:
    graph = build_definitions(load_settings(CONFIGS_DIR / "demo.yaml"), root).resolve_asset_graph()
    keys = graph.asset_check_keys
    blocking = {k.asset_key.to_user_string() for k in keys if graph.get(k).blocking}
    assert blocking == set(STAGE_VERSIONS) - {"calfire_release"}
    assert {key.name for key in keys} >= {"splits_disjoint", "verified", "accounted_for", "beats_baseline"}


def test_findings_are_kept_with_the_partition(world: tuple[World, Path]) -> None:
    with open_runner(*world) as runner, dg.DagsterInstance.get() as instance:
        runner.refresh([2020], assets=LABEL_ASSETS)
        key = dg.AssetCheckKey(dg.AssetKey("fire_perimeters"), "whole")
        found = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)[0]
        assert found.event.dagster_event.event_specific_data.passed
        assert found.event.dagster_event.event_specific_data.description == "2 rows, keys unique"


def test_a_failed_blocking_check_stops_what_comes_after(
    world: tuple[World, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_runner(*world) as runner:
        runner.refresh([2020], assets=["calfire_release", "burn_history"])
        broken = Finding(False, "3 geometries are invalid or empty")
        with monkeypatch.context() as patched:
            patched.setattr(checks, "table_is_whole", lambda table, rows: broken)
            with pytest.raises(BurnscarError, match="blocking check failed for 2020"):
                runner.refresh([2020], assets=["fire_perimeters", "sample_points"])
        assert ("fire_perimeters", "FAILED") in {(pair.asset, pair.status) for pair in runner.plan([2020])}
        assert ("fire_perimeters", 2020) in runner.refresh([2020], assets=["fire_perimeters"]).pairs
        assert "FAILED" not in {pair.status for pair in runner.plan([2020])}
    root = world[0].root
    assert table_path(root, FIRE_PERIMETERS, 2020).exists()
    assert not table_path(root, SAMPLE_POINTS, 2020).exists()
