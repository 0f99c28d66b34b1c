"""When cheap stages follow by themselves: the conditions of the real graph, on events that are reported to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from burnscar_assets.definitions import build_definitions
from burnscar_assets.orchestration.corrections import FIRES_OUT
from burnscar_assets.orchestration.pairs import VERSION_TAG, Pair
from burnscar_assets.orchestration.sources import Observed, record
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.demo_settings import demo_after, demo_alone

LABELS = ("fire_perimeters", "burn_history")
FOLLOWING = ("sample_points", "windows", "scene_matches", "tiles", "fire_scenes")
READ_BURNS = ("sample_points", "windows", "fire_scenes")
SOURCES = ("sampling_ground", "imagery_catalogue", "land_cover", FIRES_OUT)
BASELINES = tuple(
    f"{setup}/{stage}"
    for setup in ("boosted-trees", "nbr-threshold", "trees-per-pixel")
    for stage in ("checkpoint", "evaluation_metrics")
)
"""Set-ups that need no GPU, so that they follow too."""


@dataclass
class Daemon:
    """The daemon's evaluations of the demo's graph for 2019 and 2020, without the time between them."""

    folder: Path
    instance: dg.DagsterInstance
    settings: dict[str, Any] = field(default_factory=dict)
    cursor: Any = None

    def definitions(self) -> dg.Definitions:
        content = demo_after() | {"years": {"first": 2019, "last": 2020}}
        path = self.folder / "world.yaml"
        path.write_text(yaml.safe_dump(content | self.settings))
        return build_definitions(load_settings(path), DataRoot(self.folder))

    def tick(self) -> set[Pair]:
        """What one evaluation asks for."""
        definitions = self.definitions()
        result = dg.evaluate_automation_conditions(defs=definitions, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        keys = definitions.resolve_asset_graph().materializable_asset_keys
        asked = {key: result.get_requested_partitions(key) for key in keys}
        return {Pair.of(key, partition) for key, partitions in asked.items() for partition in partitions}

    def make(self, asset: str, *fire_years: int | None, version: str = "a") -> None:
        for year in fire_years:
            pair = Pair(asset, year)
            made = dg.AssetMaterialization(pair.key, partition=pair.partition_key, tags={VERSION_TAG: version})
            self.instance.report_runless_asset_event(made)

    def fail(self, fire_year: int) -> None:
        """A real run of the following stages, which fails: no table is there."""
        job = self.definitions().resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey(stage) for stage in FOLLOWING]
        done = job.execute_in_process(
            asset_selection=keys, partition_key=str(fire_year), instance=self.instance, raise_on_error=False
        )
        assert not done.success

    def see(self, source: str, version: str = "a") -> None:
        for year in (2019, 2020, 2021) if source == FIRES_OUT else (None,):
            record(self.instance, Pair(source, year), Observed(version, {}))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(tmp_path, instance)


@pytest.fixture
def settled(daemon: Daemon) -> Daemon:
    """All of both years is there, sources were seen, and the daemon knows it."""
    for source in SOURCES:
        daemon.see(source)
    for asset in (*LABELS, *FOLLOWING, *BASELINES):
        daemon.make(asset, 2019, 2020)
    daemon.make("label_doubts", None)
    assert daemon.tick() == set()
    return daemon


def test_nothing_is_asked_for_without_its_inputs(daemon: Daemon) -> None:
    assert daemon.tick() == set()
    daemon.make("fire_perimeters", 2019)
    assert daemon.tick() == set()


def test_a_year_without_anything_goes_through_all_stages_in_one_run(daemon: Daemon) -> None:
    for source in SOURCES:
        daemon.see(source)
    daemon.tick()
    for asset in LABELS:
        daemon.make(asset, 2020)
    assert daemon.tick() == {Pair(stage, 2020) for stage in FOLLOWING}, "training waits for a person"


def test_a_daemon_that_starts_late_asks_for_what_is_missing(daemon: Daemon) -> None:
    for source in SOURCES:
        daemon.see(source)
    for asset in (*LABELS, "sample_points", "windows"):
        daemon.make(asset, 2019)
    assert daemon.tick() == {Pair(stage, 2019) for stage in ("scene_matches", "tiles", "fire_scenes", *BASELINES)}


def test_what_failed_waits_for_a_person_or_a_changed_input(settled: Daemon) -> None:
    settled.settings = {"years": {"first": 2019, "last": 2021}}
    for asset in LABELS:
        settled.make(asset, 2021)
    assert settled.tick() == {Pair(stage, 2021) for stage in (*FOLLOWING, *BASELINES)}
    settled.fail(2021)
    assert settled.tick() == set()
    settled.make("fire_perimeters", 2021, version="b")
    assert settled.tick() == {Pair(stage, 2021) for stage in READ_BURNS}, "all read perimeters"


def test_sources_that_nobody_has_looked_at_are_looked_at_by_a_sensor(daemon: Daemon) -> None:
    for asset in LABELS:
        daemon.make(asset, 2020)
    assert daemon.tick() == set()
    definitions = daemon.definitions()
    look = definitions.resolve_sensor_def("source_watch")
    look(dg.build_sensor_context(instance=daemon.instance, definitions=definitions))
    assert daemon.tick() == {Pair(stage, 2020) for stage in FOLLOWING}


def test_an_input_that_is_made_again_with_the_same_content_changes_nothing(settled: Daemon) -> None:
    for asset in (*LABELS, *FOLLOWING):
        settled.make(asset, 2019, 2020)
        assert settled.tick() == set()


def test_a_changed_input_asks_for_its_year_alone(settled: Daemon) -> None:
    settled.make("burn_history", 2020, version="b")
    assert settled.tick() == {Pair(stage, 2020) for stage in READ_BURNS}
    settled.make("sample_points", 2020, version="a")
    assert settled.tick() == set(), "the wave stops where the content is as it was"


@pytest.mark.parametrize(
    ("source", "reader"), [("imagery_catalogue", "scene_matches"), ("sampling_ground", "sample_points")]
)
def test_a_changed_source_asks_for_the_stages_that_read_it(settled: Daemon, source: str, reader: str) -> None:
    settled.see(source)
    assert settled.tick() == set()
    settled.see(source, "b")
    assert settled.tick() == {Pair(stage, year) for stage in (reader, "fire_scenes") for year in (2019, 2020)}
    assert settled.tick() == set()


def test_changed_settings_ask_for_the_stages_that_read_them(settled: Daemon) -> None:
    imagery = demo_alone()["imagery"]
    settled.settings = {"imagery": imagery | {"max_cloud_cover": 11}}
    readers = "scene_matches", "tiles", "fire_scenes"
    assert settled.tick() == {Pair(stage, year) for stage in readers for year in (2019, 2020)}


@pytest.mark.parametrize("enabled", [True, False])
def test_sensors_run_with_the_daemon_unless_the_settings_say_otherwise(daemon: Daemon, enabled: bool) -> None:
    daemon.settings = {"automation": {"enabled": enabled}}
    repository = daemon.definitions().get_repository_def()
    expected = dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED
    assert {sensor.name: sensor.default_status for sensor in repository.sensor_defs} == dict.fromkeys(
        ("release_watch", "source_watch", "stages_follow", "failed_runs", "interrupted_runs"), expected
    )
