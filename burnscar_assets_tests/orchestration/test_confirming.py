"""Partitions that an edit elsewhere can't change are confirmed, not made; what an edit may touch is made."""

import json
from collections.abc import Iterator

import dagster as dg
import pytest

from burnscar_assets import checks
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.confirming import CONFIRMED
from burnscar_assets.orchestration.execution import Refreshed
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.stage import lock_of
from burnscar_assets.orchestration.unfinished import begin
from burnscar_assets.storage.contracts import SAMPLE_POINTS, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, table_path
from burnscar_assets_tests.labels.label_records import frap_fires, season, square
from burnscar_assets_tests.orchestration.label_world import LABELS, VARIABLES, LabelWorld, for_a_module

YEARS = [2019, 2020, 2021]
FIRES = tuple(season(year, n) for year in YEARS for n in range(3))
ASSETS = (*LABELS, "sample_points", "windows")
POINTS, OF_POINTS = Pair("sample_points", 2021), Pair("windows", 2021)

IMAGERY = {"archive": "index.parquet"}
"""Never read: nothing here looks at imagery."""

FAR = {"geometry": square(4, side_m=1200.0)}
BESIDE_A_LATER_FIRE = {"geometry": square(6, x=1500.0)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> LabelWorld:
    """A world in which all is made; it must not be changed."""
    with for_a_module():
        return made(DataRoot(tmp_path_factory.mktemp("undisturbed") / "data"))


@pytest.fixture
def world(undisturbed: LabelWorld, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    """A copy of it, of which a fire was edited since."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    world = undisturbed.copy(root)
    world.publish(edited(FAR))
    yield world


def made(root: DataRoot, fires: tuple[dict, ...] = FIRES) -> LabelWorld:
    world = LabelWorld(root)
    world.configure(imagery=IMAGERY)
    world.publish(frap_fires(*fires))
    assert not refresh(world).failures
    return world


def edited(change: dict) -> object:
    """The release with a fire of 2020 changed."""
    return frap_fires(*(fire | change if number == 4 else fire for number, fire in enumerate(FIRES)))


def refresh(world: LabelWorld) -> Refreshed:
    with world.runner() as runner:
        return runner.refresh(YEARS, assets=ASSETS)


def is_fresh(world: LabelWorld) -> bool:
    with world.runner() as runner:
        return not runner.planner.plan(YEARS, ASSETS).stale


def content(root: DataRoot, table: Table) -> str:
    return table.content_hash(read_table(root, table, 2021))


def test_a_far_edit_is_confirmed_and_the_result_is_that_of_a_world_made_anew(world: LabelWorld, root: DataRoot) -> None:
    before = {table: table_path(root, table, 2021).stat().st_mtime_ns for table in (SAMPLE_POINTS, WINDOWS)}
    came = refresh(world)
    assert came.confirmed == [POINTS, OF_POINTS]
    assert {Pair("burn_history", 2021), Pair("windows", 2020)} <= set(came.pairs)
    assert is_fresh(world)
    with world.runner() as runner:
        for pair in came.confirmed:
            chosen = dg.AssetRecordsFilter(asset_key=pair.key, asset_partitions=["2021"])
            told = runner.planner.instance.fetch_materializations(chosen, limit=1).records[0].asset_materialization
            assert (told.partition, told.metadata["dagster/partition_row_count"].value > 0) == ("2021", True)
            assert "burn_history changed, but nothing here" in told.metadata[CONFIRMED].value
    assert refresh(world).runs == 0
    change = FIRES[4] | FAR
    anew = made(DataRoot(root.path / "anew"), (*FIRES[:4], change, *FIRES[5:]))
    for table, modified in before.items():
        assert content(root, table) == content(anew.root, table)
        assert table_path(root, table, 2021).stat().st_mtime_ns == modified


def test_an_edit_that_reaches_a_later_fire_is_not(world: LabelWorld) -> None:
    world.publish(edited(BESIDE_A_LATER_FIRE))
    came = refresh(world)
    assert POINTS in came.pairs and POINTS not in came.confirmed
    assert is_fresh(world)


def test_nothing_else_may_have_changed(world: LabelWorld) -> None:
    world.configure(imagery=IMAGERY, sampling={"max_points_per_fire": 7})
    came = refresh(world)
    assert POINTS in came.pairs and POINTS not in came.confirmed


def test_what_is_gone_is_made(world: LabelWorld) -> None:
    table_path(world.root, SAMPLE_POINTS, 2021).unlink()
    came = refresh(world)
    assert came.confirmed == [OF_POINTS] and POINTS in came.pairs


def test_what_failed_a_blocking_check_is_made_and_nothing_is_made_of_it(
    world: LabelWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(checks, "labels_agree", lambda *_: checks.Finding(False, "they don't"))
        with world.runner() as runner, pytest.raises(BurnscarError, match="blocking check"):
            runner.run([POINTS])
        came = refresh(world)
        assert came.failures and not came.confirmed
        assert {POINTS, OF_POINTS}.isdisjoint(came.pairs)
    assert POINTS in refresh(world).pairs
    assert is_fresh(world)


def test_what_can_not_be_judged_is_made(world: LabelWorld) -> None:
    world.root.draws(2021).write_bytes(b"PK\x03\x04 cut")
    ledger = world.root.dataset / ".burnscar" / "drawn-label_raster-2021.json"
    ledger.write_text(json.dumps({name: {} for name in json.loads(ledger.read_text())}))
    came = refresh(world)
    assert not came.confirmed and not came.failures
    assert {POINTS, OF_POINTS} <= set(came.pairs)
    assert is_fresh(world)


def test_what_another_process_works_on_is_left_to_a_run(world: LabelWorld) -> None:
    with world.runner() as runner:
        runner.refresh(YEARS, assets=LABELS)
        plan = runner.planner.plan(YEARS, ASSETS)
        with lock_of(world.world, Pair("burn_history", 2021)).acquire(blocking=False):
            assert runner.planner.confirm(plan) == (plan, [])
        assert runner.planner.confirm(plan)[1] == [POINTS, OF_POINTS]


def test_what_a_cut_off_run_may_have_left_is_made(world: LabelWorld) -> None:
    with world.runner() as runner:
        begin(runner.planner.instance, POINTS, "0f1e2d3c-0000")
    came = refresh(world)
    assert POINTS not in came.confirmed and POINTS in came.pairs
    assert is_fresh(world)
