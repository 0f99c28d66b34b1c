"""Schedules: which GPU runs are asked for, in which order and within which budget; and searches for late imagery."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster._core.test_utils import freeze_time

from burnscar_assets.catalog.searches import MATCHED, search_times
from burnscar_assets.dataset.ledger import open_ledgers
from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR, DATA_VARIABLE
from burnscar_assets.orchestration.automation.schedules import GPU_RUN_TAG
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.planning import Planner
from burnscar_assets.orchestration.runs import KUBERNETES_TAG
from burnscar_assets.settings import parse_settings
from burnscar_assets.storage.contracts import SCENE_MATCHES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import write_table
from burnscar_assets_tests.orchestration.conftest import DemoRun
from burnscar_assets_tests.orchestration.label_world import LabelWorld

LAYER = "sentinel2_l2a"
NOW = datetime(2026, 9, 20, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    yield


def tick(world: World, schedule: str, at: datetime = NOW) -> list[dg.RunRequest] | str:
    """What a schedule asks for, or why it asks for nothing."""
    with open_instance(world, CONFIGS_DIR / "demo.yaml") as instance, set_defs_state_storage(None):
        definitions = build_definitions(world.settings, world.root)
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=definitions.get_repository_def()
        )
        asked = definitions.resolve_schedule_def(schedule).evaluate_tick(context)
    return asked.skip_message or list(asked.run_requests or [])


def demo_changed(demo: DemoRun, **automation: Any) -> World:
    """The demo's world with another learning rate, so that every checkpoint is stale."""
    content = yaml.safe_load((CONFIGS_DIR / "demo.yaml").read_text())
    content["training"]["learning_rate"] = 2.0e-3
    return World(parse_settings(content | {"automation": automation}, "test"), demo.root)


def add_gpu_run(world: World, hours: float, ended: datetime) -> None:
    """A run of the GPU schedule that took so long."""

    @dg.job
    def empty() -> None: ...

    with open_instance(world, CONFIGS_DIR / "demo.yaml") as instance:
        with freeze_time(ended - timedelta(hours=hours)):
            run = instance.create_run_for_job(empty, tags={GPU_RUN_TAG: "yes"})
            instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", job_name="empty"), run_id=run.run_id)
        with freeze_time(ended):
            instance.report_dagster_event(dg.DagsterEvent("PIPELINE_SUCCESS", job_name="empty"), run_id=run.run_id)


@pytest.mark.slow
def test_stale_gpu_stages_are_asked_for_newest_year_first(demo: DemoRun) -> None:
    asked = tick(demo_changed(demo, gpu="schedule"), "gpu_stages")
    assert isinstance(asked, list)
    assert [request.partition_key for request in asked] == ["2022", "2021", "2020", "2019"]
    priorities = [int(request.tags["dagster/priority"]) for request in asked]
    assert priorities == sorted(priorities, reverse=True)
    for request in asked:
        asked_for = {key.to_user_string() for key in request.asset_selection or []}
        assert asked_for == {"checkpoint", "evaluation_metrics", "burned_area_maps"}
        assert "nvidia.com/gpu" in json.dumps(json.loads(request.tags[KUBERNETES_TAG]))


@pytest.mark.slow
def test_the_budget_limits_what_the_schedule_asks_for(demo: DemoRun) -> None:
    world = demo_changed(demo, gpu="budget", gpu_hours_per_day=5)
    now = datetime.now(UTC)
    add_gpu_run(world, hours=2, ended=now - timedelta(days=3))
    assert len(tick(world, "gpu_stages")) == 2, "each takes 2 of 5 hours"
    add_gpu_run(world, hours=2, ended=now)
    assert len(tick(world, "gpu_stages")) == 1
    add_gpu_run(world, hours=2, ended=now)
    assert "used up" in tick(world, "gpu_stages")


def test_gpu_stages_wait_while_their_inputs_are_stale(root: DataRoot) -> None:
    labels = LabelWorld(root)
    labels.configure(automation={"gpu": "schedule"})
    assert "no GPU stage is stale whose inputs are up to date" in tick(labels.world, "gpu_stages")


def test_stale_maps_of_a_season_have_no_checkpoint_trained_again(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = LabelWorld(root)
    labels.configure(automation={"gpu": "schedule"}, in_season={"enabled": True})
    monkeypatch.setattr(Planner, "runs", lambda *_: {2021: [Pair("in_season_maps", 2021)]})
    assert "no GPU stage is stale" in tick(labels.world, "gpu_stages")


@pytest.mark.parametrize(
    ("gpu", "status"), [({"gpu": "person"}, "STOPPED"), ({"gpu": "budget", "gpu_hours_per_day": 4}, "RUNNING")]
)
def test_the_gpu_schedule_runs_only_where_the_settings_say_so(root: DataRoot, gpu: dict, status: str) -> None:
    labels = LabelWorld(root)
    labels.configure(automation=gpu)
    schedule = build_definitions(labels.world.settings, root).resolve_schedule_def("gpu_stages")
    assert schedule.default_status.value == status


@pytest.mark.parametrize(("searched_days_ago", "asked"), [(3, True), (0.5, False)])
def test_windows_whose_imagery_may_have_come_are_searched_again(
    root: DataRoot, searched_days_ago: float, asked: bool
) -> None:
    labels = LabelWorld(root)
    labels.configure()
    row = {"window_id": "w", "fire_year": 2021, "layer": LAYER, "group_index": 0, "item_ids": [], "acquired": None}
    row |= {"cloud_cover": None, "clear_fraction": None, "matched": False, "reason": "too_cloudy", "source": ""}
    write_table(root, SCENE_MATCHES, SCENE_MATCHES.conform(pd.DataFrame([row])), 2021)
    with open_ledgers(root.dataset, MATCHED, LAYER, ["2021"]) as ledgers:
        entry = search_times(NOW - timedelta(days=searched_days_ago), NOW + timedelta(days=2))
        ledgers["2021"].remember("w", entry)
    requests = tick(labels.world, "missing_imagery")
    if not asked:
        assert "no window or frame waits" in requests
        return
    (request,) = requests
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.asset_selection) == ("2021", [dg.AssetKey("scene_matches")])
