"""What is stale, why, and what a refresh makes of it: on real runs of the label stages."""

import re
from collections.abc import Iterator
from dataclasses import replace

import geopandas as gpd
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE, corrections_file
from burnscar_assets.errors import BurnscarError, SettingsError
from burnscar_assets.labels.corrections import LAYER
from burnscar_assets.orchestration.corrections import FIRES_OUT
from burnscar_assets.orchestration.execution import Refreshed
from burnscar_assets.orchestration.lineage import Lineage
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.planning import Planner
from burnscar_assets.orchestration.sources import years_of_release
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, RELEASE_RECORDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path
from burnscar_assets_tests.labels.label_records import frap_fires, season, square
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld

YEARS = [2019, 2020, 2021]
FIRES = tuple(season(year, n) for year in YEARS for n in range(3))
GROWN = {"geometry": square(4, side_m=1200.0)}


@pytest.fixture
def world(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    world = LabelWorld(root)
    world.configure()
    world.publish(frap_fires(*FIRES))
    yield world


def refresh(world: LabelWorld, assets: tuple[str, ...] = LABELS, **options: object) -> Refreshed:
    with world.runner() as runner:
        return runner.refresh(YEARS, assets=assets, **options)  # type: ignore[arg-type]


def stale(world: LabelWorld, assets: tuple[str, ...] = LABELS) -> dict[Pair, tuple[str, ...]]:
    """What the plan says, which is what Dagster's marks say, too."""
    with world.runner() as runner:
        planner = runner.planner
        plan = planner.plan(YEARS, assets)
        planned = {found.pair: found for found in plan.stale}
        marks = CachingStaleStatusResolver(planner.instance, planner.graph, LoadingContextForTest(planner.instance))
        for pair in Lineage(planner.graph, set(YEARS) - set(plan.without_records)).pairs(assets):
            mark = marks.get_status(pair.key, pair.partition_key)
            assert mark.value == (planned[pair].status if pair in planned else StaleStatus.FRESH.value), pair
        return {pair: found.causes for pair, found in planned.items()}


def edited(number: int = 4, **change: object) -> list[dict]:
    return [fire | (change or GROWN) if i == number else fire for i, fire in enumerate(FIRES)]


def test_a_refresh_makes_everything_once(world: LabelWorld) -> None:
    first = refresh(world)
    assert not first.failures
    assert set(first.pairs) == {
        Pair("calfire_release", None), *(Pair(name, year) for name in LABELS[1:] for year in YEARS)
    }  # fmt: skip
    assert refresh(world).runs == 0
    assert stale(world) == {}


def test_a_persons_words_make_stale_what_they_touch_and_no_more(world: LabelWorld) -> None:
    refresh(world)
    before = read_table(world.root, FIRE_PERIMETERS, 2020).set_index("fire_id")
    fire_id, path = before.index[1], corrections_file(world.root)
    said = run_command(world.root, "burnscar", "corrections").stdout
    assert path.name in said and "unburned: this island" in said and gpd.read_file(path, layer=LAYER).empty
    island = before.geometry[fire_id].centroid.buffer(100)
    row = {"fire_id": fire_id, "fire_year": 2020, "geometry": island}

    def say(word: str, **of: object) -> None:
        gpd.GeoDataFrame([row | {"word": word} | of], crs=before.crs).to_file(path, layer=LAYER, driver="GPKG")

    say("")
    assert stale(world) == {}
    say("unburned")
    scars = {Pair("burn_history", 2020), Pair("burn_history", 2021)}
    found = stale(world)
    assert set(found) == {Pair("fire_perimeters", 2020), *scars}
    assert found[Pair("fire_perimeters", 2020)] == ("corrected_fires 2020 changed: words in corrections.gpkg",)
    refresh(world)
    lost = before.area - read_table(world.root, FIRE_PERIMETERS, 2020).set_index("fire_id").area
    assert lost[fire_id] == pytest.approx(island.area, rel=1e-3) and (lost.drop(fire_id) == 0).all()
    say("out")
    assert set(stale(world)) == {Pair("fire_perimeters", 2020), *scars}, "the island is no more said"
    refresh(world)
    assert stale(world) == {} and fire_id in run_command(world.root, "burnscar", "corrections").stdout
    with world.runner() as runner:
        versions_out = years_of_release(runner.planner.world, runner.planner.instance, FIRES_OUT)
        assert [year for year, version in versions_out.items() if version != "none"] == [2020]
        say("perhaps")
        assert any("row 1" in told and "no word" in told for told in runner.planner.observe())
        assert runner.planner.plan(YEARS, LABELS).stale == ()
    say("unsure", fire_id="nobody")
    (failure,) = refresh(world).failures[:1]
    assert "no fire 'nobody' of 2020" in str(failure)


def test_a_refresh_tells_of_each_stage_in_one_line(world: LabelWorld) -> None:
    told = run_command(world.root, "burnscar", "refresh", "--in-process", "--select", *LABELS).stdout.splitlines()
    lines = {re.sub(r" \(\d+\.\d s\)$", "", line) for line in told[:-1]}
    fires = {f"fire_perimeters {year}: 3 fires" for year in YEARS}
    burns = {f"burn_history {year}: {3 * number} burns" for number, year in enumerate(YEARS, 1)}
    assert lines == {"calfire_release: 9 records", *fires, *burns}
    assert len(told) == 8 and told[-1] == "4 runs, 7 partitions made"


def test_the_same_content_in_another_file_goes_no_further_than_the_release(world: LabelWorld) -> None:
    refresh(world)
    world.publish(frap_fires(*FIRES).iloc[::-1])
    (pair,) = stale(world)
    assert pair == Pair("calfire_release", None)
    assert refresh(world).pairs == [pair]


def test_an_edited_fire_makes_its_year_stale_and_says_so_back_to_the_root(world: LabelWorld) -> None:
    refresh(world)
    world.publish(frap_fires(*edited()))
    with world.runner() as runner:
        runner.refresh(YEARS, assets=["calfire_release"])
    found = stale(world)
    assert found[Pair("fire_perimeters", 2020)] == ("release_year 2020 changed: 1 fire changed",)
    scars = {Pair("burn_history", 2020), Pair("burn_history", 2021)}
    assert set(found) == {Pair("fire_perimeters", 2020), *scars}, "a scar of 2020 may still show in 2021"
    assert found[Pair("burn_history", 2021)] == ("release_burns 2021 changed: 1 fire changed in 2020",)
    refresh(world)
    with world.runner() as runner:
        runner.run([Pair("sample_points", 2019)])
        runner.run([Pair("sample_points", 2020)])
    world.publish(frap_fires(*edited(geometry=square(4, side_m=1300.0))))
    refresh(world)
    causes = stale(world, ("sample_points",))
    chain = "fire_perimeters 2020 changed: 1 fire changed ← release_year 2020 changed: 1 fire changed"
    assert chain in causes[Pair("sample_points", 2020)]
    assert Pair("sample_points", 2019) not in causes


def test_what_only_the_labels_read_leaves_the_burn_history_alone(world: LabelWorld) -> None:
    refresh(world)
    world.publish(frap_fires(*edited(CAUSE=9)))
    with world.runner() as runner:
        runner.refresh(YEARS, assets=["calfire_release"])
    assert set(stale(world)) == {Pair("fire_perimeters", 2020)}


def test_content_that_comes_back_is_fresh_again(world: LabelWorld) -> None:
    refresh(world)
    for fires, fresh in ((edited(), False), (FIRES, True)):
        world.publish(frap_fires(*fires))
        with world.runner() as runner:
            runner.refresh(YEARS, assets=["calfire_release"])
        assert (stale(world) == {}) is fresh


def test_a_changed_setting_is_named(world: LabelWorld) -> None:
    refresh(world)
    world.configure(perimeters={"max_duration_days": 100})
    found = stale(world)
    assert set(found) == {Pair("fire_perimeters", year) for year in YEARS}
    assert found[Pair("fire_perimeters", 2019)] == ("settings changed: perimeters.max_duration_days 240 → 100",)


def test_a_run_takes_along_what_follows_and_leaves_what_came_out_the_same(world: LabelWorld) -> None:
    points = (*LABELS, "sample_points")
    refresh(world, assets=points)
    world.configure(perimeters={"max_duration_days": 241})
    same = refresh(world, assets=points)
    assert (same.runs, same.pairs) == (3, [Pair("fire_perimeters", year) for year in YEARS])
    world.publish(frap_fires(*edited()))
    other = refresh(world, assets=points)
    assert other.runs == 3, "the release, its year, and the next one, in whose burn history the scar is"
    assert set(other.pairs) == {
        Pair("calfire_release", None), Pair("fire_perimeters", 2020), Pair("sample_points", 2020),
        *(Pair("burn_history", year) for year in (2020, 2021)),
    }  # fmt: skip
    assert other.confirmed == [Pair("sample_points", 2021)], "far from the scar"
    assert stale(world, points) == {}


def test_a_raised_stage_version_is_named(world: LabelWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh(world)
    was = STAGES["burn_history"]
    monkeypatch.setitem(STAGES, was.name, replace(was, version="9"))
    assert stale(world)[Pair("burn_history", 2020)] == (f"code changed: version {was.version} → 9",)


def test_a_year_without_records_waits_for_them(world: LabelWorld) -> None:
    world.publish(frap_fires(*(fire for fire in FIRES if fire["YEAR_"] != 2021)))
    assert {pair.fire_year for pair in refresh(world).pairs} == {None, 2019, 2020}
    with world.runner() as runner:
        plan = runner.planner.plan(YEARS, LABELS)
    assert (plan.stale, plan.without_records) == ((), (2021,))
    world.publish(frap_fires(*FIRES))
    refresh(world)
    assert len(read_table(world.root, FIRE_PERIMETERS, 2021)) == 3


def test_nothing_is_made_from_a_suspicious_release_without_a_persons_word(world: LabelWorld) -> None:
    many = [{"YEAR_": 2020, "INC_NUM": f"{n}", "geometry": square(n)} for n in range(12)]
    world.publish(frap_fires(*many))
    refresh(world)
    before = RELEASE_RECORDS.content_hash(read_table(world.root, RELEASE_RECORDS, None))
    world.publish(frap_fires(*many[:4]))
    refused = refresh(world)
    assert [refused.pairs, len(refused.failures)] == [[], 1]
    assert "gone" in str(refused.failures[0]) and "--accept-release" in str(refused.failures[0])
    assert RELEASE_RECORDS.content_hash(read_table(world.root, RELEASE_RECORDS, None)) == before
    assert Pair("fire_perimeters", 2020) not in stale(world)
    assert not refresh(world, accept_release=True).failures
    assert len(read_table(world.root, FIRE_PERIMETERS, 2020)) == 4


def test_other_years_go_on_when_one_fails(world: LabelWorld) -> None:
    table_path(world.root, FIRE_PERIMETERS, 2020).mkdir(parents=True)
    came = refresh(world)
    assert len(came.failures) == 1
    assert Pair("fire_perimeters", 2021) in came.pairs
    assert Pair("fire_perimeters", 2020) in stale(world)
    table_path(world.root, FIRE_PERIMETERS, 2020).rmdir()
    assert not refresh(world).failures
    assert stale(world) == {}


def test_two_refreshes_of_one_data_root_do_not_run_beside_each_other(world: LabelWorld) -> None:
    with world.runner() as one, world.runner() as other, one._alone(), pytest.raises(BurnscarError, match="another"):
        other.refresh(YEARS)


def test_what_is_stale_right_after_it_was_made_is_told_of_and_not_made_for_ever(
    world: LabelWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.runner() as runner:
        monkeypatch.setitem(
            STAGES, "burn_history", replace(STAGES["burn_history"], version="9")
        )  # after the definitions were built
        changed = world.world
        graph = build_definitions(changed.settings, changed.root).resolve_asset_graph()
        runner.planner = Planner(changed, graph, runner.planner.instance)
        came = runner.refresh([2019], assets=LABELS)
    (failure,) = came.failures
    assert "burn_history 2019 became stale again" in str(failure)
    assert Pair("fire_perimeters", 2019) in came.pairs


def test_unknown_years_and_assets_are_named(world: LabelWorld) -> None:
    with world.runner() as runner:
        with pytest.raises(SettingsError, match="1999"):
            runner.planner.choose_years([1999])
        with pytest.raises(SettingsError, match="tile"):
            runner.planner.choose_assets(["tile"], gpu=True)
        assert "checkpoint" not in runner.planner.choose_assets(None, gpu=False)
