"""Set-ups and their comparison under Dagster: what they wait for, what makes them stale, and that the marks agree."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR, DATA_VARIABLE, corrections_file
from burnscar_assets.labels.corrections import LAYER
from burnscar_assets.orchestration.assets.model import checkpoint_holds
from burnscar_assets.orchestration.confirming import CONFIRMED
from burnscar_assets.orchestration.execution import Runner, open_runner
from burnscar_assets.orchestration.lineage import Lineage
from burnscar_assets.orchestration.pairs import VERSION_TAG, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, SETUP_COMPARISON
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.tiny_dataset import SPLITS, make_tiny_dataset

YEARS = (2019, 2020)
COMPARISON = Pair("setup_comparison", None)
TREES = {"title": "Trees", "kind": "trees", "trees": {"rounds": 20, "min_windows_in_leaf": 3}}


@pytest.fixture
def root(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    """A world of two set-ups beside its own, without a network."""
    shipped = [path.stem for path in (CONFIGS_DIR / "setups").glob("*.yaml")]
    content = {
        "name": "set-ups",
        "years": {"first": 2019, "last": 2020},
        "release": {"source": "none"},
        "training": {"look_back_years": 1, "accelerator": "cpu"},
        "evaluation": {"bootstrap_samples": 100},
        "sampling": {"splits": SPLITS},
        "setups": {"exclude": shipped, "reference": "line"},
        "demo": {},
    }
    (root.path / "setups").mkdir(parents=True)
    root.world_file.write_text(yaml.safe_dump(content))
    write(root, "line", title="Line", kind="threshold")
    write(root, "wood", **TREES)
    monkeypatch.setenv(CONFIG_VARIABLE, str(root.world_file))
    monkeypatch.setenv(DATA_VARIABLE, str(root.path))
    return root


def write(root: DataRoot, name: str, **content: Any) -> None:
    (root.path / "setups" / f"{name}.yaml").write_text(yaml.safe_dump(content))


@contextmanager
def runner(root: DataRoot) -> Iterator[Runner]:
    with open_runner(World(load_settings(root.world_file), root), root.world_file) as opened:
        yield opened


def pairs(*assets: str) -> list[Pair]:
    return [Pair(asset, year) for year in YEARS for asset in assets]


def stale(opened: Runner) -> set[Pair]:
    """What the plan takes for stale among the set-ups' assets, having seen that Dagster's own reckoning agrees."""
    planner = opened.planner
    chosen = planner.choose_assets(["line", "wood", "setup_comparison"], gpu=True)
    plan = planner.plan(YEARS, chosen)
    own = CachingStaleStatusResolver(planner.instance, planner.graph, LoadingContextForTest(planner.instance))
    found = {one.pair for one in plan.stale}
    for pair in Lineage(planner.graph, YEARS).pairs(chosen):
        assert (own.get_status(pair.key, pair.partition_key) is not StaleStatus.FRESH) == (pair in found), pair
    return found


def make(opened: Runner, chosen: list[Pair]) -> None:
    for year in (*YEARS, None):
        if of_year := [pair for pair in chosen if pair.fire_year == year]:
            opened.run(of_year)


def test_the_comparison_waits_for_every_set_up_of_every_year(root: DataRoot) -> None:
    graph = build_definitions(load_settings(root.world_file), root).resolve_asset_graph()
    lineage = Lineage(graph, YEARS)
    metrics = {*pairs("evaluation_metrics", "line/evaluation_metrics", "wood/evaluation_metrics")}
    assert set(lineage.parents(COMPARISON)) == metrics
    everything = set(lineage.pairs())
    assert COMPARISON in everything and COMPARISON not in lineage.can_be_made(everything)
    for one in metrics:
        assert lineage.can_be_made({one, COMPARISON}) == [one]
        assert COMPARISON not in lineage.can_be_made({one, COMPARISON}, failed={one})
    assert lineage.can_be_made({COMPARISON}) == [COMPARISON]
    assert COMPARISON in lineage.after({Pair("tiles", 2019)})
    assert Pair("line/checkpoint", 2020) in lineage.after({Pair("tiles", 2019)}), "it looks back"
    kinds = {name: graph.get(dg.AssetKey([name, "checkpoint"])).kinds for name in ("line", "wood")}
    assert kinds == {"line": {"numpy"}, "wood": {"lightgbm"}}


@pytest.mark.slow
def test_a_changed_set_up_makes_stale_its_own_assets_and_the_comparison(root: DataRoot) -> None:
    make_tiny_dataset(root, years=YEARS, windows_per_year=30, seed=3)
    own = pairs("line/checkpoint", "line/evaluation_metrics", "wood/checkpoint", "wood/evaluation_metrics")
    with runner(root) as opened:
        assert stale(opened) == {*own, COMPARISON}
        make(opened, [*own, COMPARISON])
        assert stale(opened) == set()
        assert set(read_table(root, SETUP_COMPARISON, None)["setup"]) == {"line", "wood"}
    write(root, "wood", **TREES | {"trees": {"rounds": 3, "min_windows_in_leaf": 12}})
    with runner(root) as opened:
        assert stale(opened) == {*pairs("wood/checkpoint")}
        make(opened, pairs("wood/checkpoint"))
        assert stale(opened) == {*pairs("wood/evaluation_metrics")}
        make(opened, pairs("wood/evaluation_metrics")[:1])
        assert stale(opened) == {*pairs("wood/evaluation_metrics")[1:], COMPARISON}
        make(opened, pairs("wood/evaluation_metrics")[1:])
        plan = opened.planner.plan(YEARS, ["setup_comparison"])
        assert [one.pair for one in plan.stale] == [COMPARISON]
        assert any("wood/evaluation_metrics" in cause for cause in plan.stale[0].causes), plan.stale[0].causes
        make(opened, [COMPARISON])
        assert stale(opened) == set()
    (root.path / "setups" / "wood.yaml").write_text(yaml.safe_dump(TREES | {"description": "In other words."}))
    (root.comparison / "comparison.json").unlink()
    root.comparison.rmdir()
    with runner(root) as opened:
        assert COMPARISON in {one.pair for one in opened.planner.plan(YEARS, ["setup_comparison"]).stale}


@pytest.mark.slow
def test_a_fire_that_a_person_took_out_makes_stale_the_metrics_of_its_year_alone(root: DataRoot) -> None:
    make_tiny_dataset(root, years=YEARS, windows_per_year=30, seed=3)
    fire = read_table(root, FIRE_PERIMETERS, 2020).iloc[[0]]
    with runner(root) as opened:
        opened.planner.observe()
        make(opened, [*pairs("line/checkpoint", "line/evaluation_metrics")])
        assert not {*pairs("line/checkpoint", "line/evaluation_metrics")} & stale(opened)
        rows = fire[["fire_id", "fire_year", "geometry"]].assign(word="out")
        rows.to_file(corrections_file(root), layer=LAYER, driver="GPKG")
        assert not [told for told in opened.planner.observe() if "corrections" in told]
        found = stale(opened) & {*pairs("line/checkpoint", "line/evaluation_metrics")}
        assert found == {Pair("line/evaluation_metrics", 2020)}
        (asked,), cursor = look(root, opened, None)
        assert (asked.partition_key, asked.asset_selection) == ("2020", [dg.AssetKey(["line", "evaluation_metrics"])])
        assert look(root, opened, cursor) == ([], cursor), "it is asked for once"
        make(opened, [*found])
        told = json.loads(root.setup("line").spec("evaluation", 2020).read_text())
        assert told["fires_out"] == [fire["fire_id"].iloc[0]]
        rows.assign(word="").to_file(corrections_file(root), layer=LAYER, driver="GPKG")
        (again,), _ = look(root, opened, cursor)
        assert again.asset_selection == asked.asset_selection and again.run_key != asked.run_key


def look(root: DataRoot, opened: Runner, cursor: str | None) -> tuple[list[dg.RunRequest], str | None]:
    """What the sensor that looks at corrections asks for, and what it remembers."""
    definitions = build_definitions(load_settings(root.world_file), root)
    context = dg.build_sensor_context(opened.planner.instance, cursor, definitions=definitions)
    told = definitions.resolve_sensor_def("source_watch").evaluate_tick(context)
    return list(told.run_requests or ()), told.cursor


@pytest.mark.slow
def test_perimeters_that_move_no_window_train_nothing_anew(root: DataRoot) -> None:
    make_tiny_dataset(root, years=YEARS, windows_per_year=30, seed=3)
    trained = pairs("line/checkpoint")
    with runner(root) as opened:
        tell_of_perimeters(opened, "as they were")
        make(opened, trained)
        made = {pair: event_of(opened, pair) for pair in trained}
        tell_of_perimeters(opened, "edited")
        assert {*trained} <= stale(opened)
        assert not opened.refresh(YEARS, assets=["line/checkpoint"]).failures
        assert not {*trained} & stale(opened)
        for pair, before in made.items():
            now = event_of(opened, pair)
            assert CONFIRMED in now.metadata and CONFIRMED not in before.metadata
            assert now.tags[VERSION_TAG] == before.tags[VERSION_TAG]
    world = World(load_settings(root.world_file), root)
    assert checkpoint_holds(world.of("line"), 2020)
    splits = world.settings.sampling.splits.model_copy(update={"block_km": 3, "train": 0.1, "val": 0.1})
    other = world.settings.model_copy(
        update={"sampling": world.settings.sampling.model_copy(update={"splits": splits})}
    )
    assert not checkpoint_holds(World(other, root).of("line"), 2020), "frames of judged fires would take windows"


def tell_of_perimeters(opened: Runner, version: str) -> None:
    """Tell Dagster that perimeters were made, in other words than those that are there."""
    for year in YEARS:
        tags = {VERSION_TAG: f"{version} {year}"}
        told = dg.AssetMaterialization("fire_perimeters", partition=str(year), tags=tags)
        opened.planner.instance.report_runless_asset_event(told)


def event_of(opened: Runner, pair: Pair) -> dg.AssetMaterialization:
    """The last materialization of a pair."""
    instance, partition = opened.planner.instance, str(pair.fire_year)
    wanted = dg.AssetRecordsFilter(asset_key=pair.key, asset_partitions=[partition])
    found = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert found is not None
    return found


@pytest.mark.slow
def test_a_broken_set_up_holds_up_neither_the_others_nor_its_own_other_years(root: DataRoot) -> None:
    make_tiny_dataset(root, years=YEARS, windows_per_year=30, seed=3)
    broken = root.setup("line").evaluation(2019)
    broken.parent.mkdir(parents=True)
    broken.write_text("a file in the place of a folder")
    with runner(root) as opened:
        chosen = opened.planner.choose_assets(["line", "wood"], gpu=True)
        came = opened.refresh(YEARS, assets=chosen)
        left = {one.pair for one in opened.planner.plan(YEARS, chosen).stale}
    assert [failure.asset for failure in came.failures] == ["line/evaluation_metrics"]
    assert left == {Pair("line/evaluation_metrics", 2019)}
