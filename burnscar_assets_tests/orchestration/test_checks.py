"""Checks: which there are, and that a failing one stops what comes after it."""

from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets import checks
from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR, DATA_VARIABLE
from burnscar_assets.orchestration.checks import build_checks
from burnscar_assets.orchestration.demo import LABEL_ASSETS, DemoOptions, demo_world
from burnscar_assets.orchestration.execution import open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, SAMPLE_POINTS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_path
from burnscar_assets_tests.funnel_tables import YEAR, write_tables
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


def test_every_asset_is_checked_for_corruption_as_it_is_partitioned(root: DataRoot) -> None:
    settings = load_settings(CONFIGS_DIR / "demo.yaml")
    graph = build_definitions(settings, root).resolve_asset_graph()
    checked = {key: graph.get(key) for part in build_checks(World(settings, root)) for key in part.check_keys}
    blocked = {key.asset_key for key, check in checked.items() if check.blocking}
    assert blocked == graph.materializable_asset_keys
    for key, check in checked.items():
        assert check.partitions_def == graph.get(key.asset_key).partitions_def, key


def test_the_page_of_concepts_lists_the_checks(root: DataRoot) -> None:
    page = (CONFIGS_DIR.parent / "docs" / "concepts.md").read_text(encoding="utf-8")
    listed = {line for line in page.splitlines() if line.endswith((" | blocks |", " | warns |"))}
    parts = build_checks(World(load_settings(CONFIGS_DIR / "demo.yaml"), root))
    expected = {
        f"| `{spec.asset_key.to_user_string()}` | `{spec.name}` | {spec.description} | "
        f"{'blocks' if spec.blocking else 'warns'} |"
        for part in parts
        for spec in part.check_specs
        if len(spec.asset_key.path) == 1  # a set-up's checks are those of the assets that it has of its own
    }
    assert listed == expected


@pytest.mark.parametrize(
    ("asset", "said"), [("calfire_release", "2 records, 2 wildfires"), ("fire_perimeters", "2 rows, keys unique")]
)
def test_findings_are_kept(world: tuple[World, Path], asset: str, said: str) -> None:
    with open_runner(*world) as runner, dg.DagsterInstance.get() as instance:
        runner.refresh([2020], assets=LABEL_ASSETS)
        key = dg.AssetCheckKey(dg.AssetKey(asset), "whole")
        found = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)[0]
        assert found.event.dagster_event.event_specific_data.passed
        assert found.event.dagster_event.event_specific_data.description == said


def test_the_funnel_is_shown_with_its_check(root: DataRoot) -> None:
    write_tables(root)
    parts = build_checks(World(load_settings(CONFIGS_DIR / "demo.yaml"), root))
    funnel_check = next(part for part in parts if "funnel_adds_up" in {spec.name for spec in part.check_specs})
    answer = funnel_check(dg.build_op_context(partition_key=str(YEAR)))
    assert answer.passed
    assert answer.metadata["burnscar/tiles_lost_too_cloudy"].value == 1
    assert answer.metadata["burnscar/preview"].value.startswith("**From records to examples (simulated)**")


def test_a_failed_blocking_check_stops_what_comes_after(
    world: tuple[World, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_runner(*world) as runner:
        runner.refresh([2020], assets=["calfire_release", "burn_history"])
        with monkeypatch.context() as patched:
            patched.setattr(checks, "table_crs", lambda: "EPSG:4326")
            stopped = runner.refresh([2020], assets=["fire_perimeters", "sample_points"])
        assert ["a blocking check failed for fire year 2020" in str(error) for error in stopped.failures] == [True]
        assert ("fire_perimeters", "FAILED") in {
            (found.asset, found.status) for found in runner.planner.plan([2020]).stale
        }
        assert ("fire_perimeters", 2020) in runner.refresh([2020], assets=["fire_perimeters"]).pairs
        assert "FAILED" not in {found.status for found in runner.planner.plan([2020]).stale}
    root = world[0].root
    assert table_path(root, FIRE_PERIMETERS, 2020).exists()
    assert not table_path(root, SAMPLE_POINTS, 2020).exists()
