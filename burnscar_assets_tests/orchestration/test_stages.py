"""The register of stages: it names all that there is, and a stage that is added to it is there everywhere."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.orchestration.documentation import contracts_page
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage_code import current_code
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.settings import Settings, load_settings, parse_settings
from burnscar_assets.storage.contracts import ALL_TABLES, LEARNING_CURVES, MINED_NEGATIVES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path
from burnscar_assets_tests.demo_settings import settings_alone
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.label_world import LABELS, VARIABLES, LabelWorld
from burnscar_assets_tests.orchestration.toy_stage import CAUSES, FIRE_CAUSES

OF_COMMANDS = {MINED_NEGATIVES.name, LEARNING_CURVES.name}
"""Tables that no stage writes, but `burnscar mine` and `burnscar learning-curve`."""


def demo(**sections: dict) -> Settings:
    alone = "setups" in sections
    content = (settings_alone() if alone else load_settings(CONFIGS_DIR / "demo.yaml")).model_dump(mode="json")
    for name, values in sections.items():
        content[name] |= values
    return parse_settings(content, "test")


@pytest.mark.parametrize(
    ("sections", "some"),
    [
        ({}, {"label_doubts", "setup_comparison", "tutorial/checkpoint", "ensemble/evaluation_metrics"}),
        ({"setups": {"exclude": ["*"]}}, {"burned_area_maps"}),
        ({"in_season": {"enabled": True}}, {"in_season_records", "in_season_perimeters", "in_season_maps"}),
        ({"sampling": {"splits": {"folds": 3}}}, {"folds"}),
    ],
)
def test_every_asset_of_a_world_has_its_record_and_every_input_is_an_asset(
    root: DataRoot, sections: dict, some: set[str]
) -> None:
    world = World(demo(**sections), root)
    graph = build_definitions(world.settings, root).resolve_asset_graph()
    seen = [world, *(world.of(name) for name in world.setups)]
    assets = {key.to_user_string() for key in graph.materializable_asset_keys}
    assert assets == {one.asset(spec.makes) for one in seen for spec in one.stages} >= some
    assert all(graph.get(key).group_name != "default" for key in graph.get_all_asset_keys()), "a stub of Dagster's"


def test_every_table_has_one_stage_that_writes_it() -> None:
    written = Counter(table.name for spec in STAGES.values() for table in spec.tables)
    assert set(written.values()) == {1}
    assert {table.name for table in ALL_TABLES} == written.keys() | OF_COMMANDS


@pytest.fixture
def world(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    """One with the stage of `toy_stage.py`, which takes a record and nothing else."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(STAGES, FIRE_CAUSES.name, FIRE_CAUSES)
    world = LabelWorld(root)
    world.configure(years={"first": 2020, "last": 2020})
    world.publish(frap_fires(*(season(2020, n) for n in range(3))))
    yield world


def test_a_stage_is_a_record_and_a_body(world: LabelWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, pair = (*LABELS, "fire_causes"), Pair("fire_causes", 2020)
    with world.runner() as runner:
        node = runner.planner.graph.get(pair.key)
        assert (node.group_name, node.description) == ("labels", "Causes of the fires of a year.")
        assert str(node.code_version).startswith("1-")
        came = runner.refresh([2020], assets=chosen)
        assert not came.failures and pair in came.pairs
        assert read_table(world.root, CAUSES, 2020)["fires"].sum() == 3
        check = dg.AssetCheckKey(pair.key, "whole")
        (found,) = runner.planner.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
        assert found.event.dagster_event.event_specific_data.passed
        assert runner.planner.plan([2020], chosen).stale == ()
        table_path(world.root, CAUSES, 2020).unlink()
        (gone,) = runner.planner.plan([2020], chosen).stale
        assert gone.pair == pair and "is gone" in gone.causes[0]
        assert runner.refresh([2020], assets=chosen).pairs == [pair]
    assert "funnel" in current_code()["fire_causes"].code
    assert "| `fire_causes` | Causes of the fires of a year. | `fire_perimeters` | `fire_causes` |" in contracts_page()
    assert CAUSES.description in contracts_page()
    monkeypatch.setitem(STAGES, FIRE_CAUSES.name, replace(FIRE_CAUSES, version="2"))
    world.configure(years={"first": 2020, "last": 2020}, perimeters={"max_duration_days": 100})
    with world.runner() as runner:
        causes = {one.pair: one.causes for one in runner.planner.plan([2020], chosen).stale}[pair]
    assert {"code changed: version 1 → 2", "settings changed: perimeters.max_duration_days 240 → 100"} <= set(causes)
