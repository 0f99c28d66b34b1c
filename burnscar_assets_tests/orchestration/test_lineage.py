"""Which stale pairs can be made now: on the graph of the demo."""

import pytest

from burnscar_assets.definitions import build_definitions
from burnscar_assets.orchestration.lineage import Lineage
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import observe
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.demo_settings import settings_alone

YEARS = [2019, 2020, 2021, 2022]


@pytest.fixture
def lineage(root: DataRoot) -> Lineage:
    settings = settings_alone()
    graph = build_definitions(settings, root).resolve_asset_graph()
    return Lineage(graph, YEARS)


def test_a_missing_chain_of_a_year_is_one_run_once_the_release_is_there(lineage: Lineage) -> None:
    everything = set(lineage.pairs())
    assert lineage.can_be_made(everything) == [Pair("calfire_release", None)]
    made = lineage.can_be_made(everything - {Pair("calfire_release", None)})
    assert {pair.asset for pair in made if pair.fire_year == 2019} == {p.asset for p in everything if p.fire_year}
    assert Pair("tiles", 2022) in made
    assert Pair("checkpoint", 2022) not in made, "it looks back on years that are made in other runs"


def test_land_cover_is_read_by_metrics_alone_and_its_content_is_its_version(lineage: Lineage, root: DataRoot) -> None:
    readers = {pair.asset for pair in lineage.pairs() if Pair("land_cover", None) in lineage.parents(pair)}
    assert readers == {"evaluation_metrics"}
    settings = settings_alone()
    path = root.simulated / "land_cover.tif"
    path.parent.mkdir(parents=True)
    versions = [observe(World(settings, root), Pair("land_cover", None)).version]
    for content in (b"a", b"b"):
        path.write_bytes(content)
        versions.append(observe(World(settings, root), Pair("land_cover", None)).version)
    assert len(set(versions)) == 3
    unset = settings.model_copy(update={"evaluation": EvaluationSettings()})
    graph = build_definitions(unset, root).resolve_asset_graph()
    assert Pair("land_cover", None) not in Lineage(graph, YEARS).parents(Pair("evaluation_metrics", 2020))


def test_what_may_still_change_is_waited_for(lineage: Lineage) -> None:
    stale = {Pair("fire_perimeters", 2021), Pair("checkpoint", 2021), Pair("checkpoint", 2019)}
    assert lineage.can_be_made(stale) == [Pair("fire_perimeters", 2021), Pair("checkpoint", 2019)]


def test_a_run_takes_along_what_may_follow_in_its_year(lineage: Lineage) -> None:
    stale = {Pair("burn_history", 2020), Pair("burn_history", 2021), Pair("tiles", 2021)}
    chain = ("burn_history", "sample_points", "windows", "scene_matches", "tiles")
    along = [pair for pair in lineage.after(stale) if pair.asset in chain]
    made = lineage.can_be_made(stale, along=along)
    assert set(made) == {Pair(asset, year) for asset in chain for year in (2020, 2021)}
    assert lineage.can_be_made({Pair("calfire_release", None)}, along=along) == [Pair("calfire_release", None)]
    assert Pair("sample_points", 2020) not in lineage.can_be_made(stale, {Pair("burn_history", 2020)}, along)


def test_metrics_wait_for_the_champion_of_the_year_before_and_follow_it(lineage: Lineage) -> None:
    stale = {Pair("checkpoint", 2020), Pair("evaluation_metrics", 2020), Pair("evaluation_metrics", 2021)}
    assert lineage.can_be_made(stale) == [Pair("checkpoint", 2020), Pair("evaluation_metrics", 2020)]
    after = [pair for pair in lineage.after({Pair("checkpoint", 2020)}) if pair.asset == "evaluation_metrics"]
    assert after == [Pair("evaluation_metrics", year) for year in (2020, 2021, 2022)]


def test_what_failed_is_not_made_again_and_holds_up_what_comes_after(lineage: Lineage) -> None:
    stale = {Pair("windows", 2020), Pair("scene_matches", 2020), Pair("windows", 2021)}
    assert lineage.can_be_made(stale, failed={Pair("windows", 2020)}) == [Pair("windows", 2021)]


def test_a_year_whose_metrics_cannot_be_made_does_not_hold_up_the_next(lineage: Lineage) -> None:
    stale = {Pair("evaluation_metrics", year) for year in (2020, 2021, 2022)}
    assert lineage.can_be_made(stale) == [Pair("evaluation_metrics", 2020)]
    assert lineage.can_be_made(stale, failed={Pair("evaluation_metrics", 2020)}) == [Pair("evaluation_metrics", 2021)]
    blocked = stale | {Pair("checkpoint", 2020)}
    assert lineage.can_be_made(blocked, failed={Pair("checkpoint", 2020)}) == [Pair("evaluation_metrics", 2021)]
    assert lineage.can_be_made(stale, at_work={Pair("evaluation_metrics", 2020)}) == []


def test_what_may_follow_is_everything_after(lineage: Lineage) -> None:
    after = lineage.after({Pair("tiles", 2020)})
    assert {(p.asset, p.fire_year) for p in after} == {
        *((a, y) for a in ("checkpoint", "evaluation_metrics", "burned_area_maps") for y in (2020, 2021, 2022))
    }
    assert Pair("fire_perimeters", 2019) in lineage.after({Pair("calfire_release", None)})
