"""Whatever changes a result behind the platform's back is found, is stale with its cause, and is made again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnscar_assets.dataset.packed.pack import pack_path
from burnscar_assets.orchestration.execution import Refreshed
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.stage import lock_of
from burnscar_assets.orchestration.verifying import Verified, build_verify_job, verify
from burnscar_assets.publish.folder import MAP_FILE
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, SAMPLE_LOSSES, SAMPLE_POINTS
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.object_manifest import RECORDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_path
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.fault_kit import content
from burnscar_assets_tests.orchestration.label_world import LABELS, VARIABLES, LabelWorld, for_a_module

STAGES = (*LABELS, "sample_points", "windows")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LabelWorld:
    """A fire year up to its windows; it must not be changed."""
    world = LabelWorld(DataRoot(tmp_path_factory.mktemp("made") / "data"))
    with for_a_module():
        world.configure(years={"first": 2020, "last": 2020}, imagery={"archive": "index.parquet"})
        world.publish(frap_fires(*(season(2020, n) for n in range(3))))
        assert not refresh(world).failures
    return world


@pytest.fixture
def world(made: LabelWorld, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    """A copy of it, all of it as it was made."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    yield made.copy(root)


def refresh(world: LabelWorld) -> Refreshed:
    with world.runner() as runner:
        return runner.refresh([2020], assets=STAGES)


def look(world: LabelWorld) -> Verified:
    with world.runner() as runner:
        return verify(world.world, runner.planner.instance, [2020])


def stale(world: LabelWorld) -> dict[str, str]:
    with world.runner() as runner:
        return {str(found.pair): "; ".join(found.causes) for found in runner.planner.plan([2020], STAGES).stale}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _points(root: DataRoot) -> Path:
    return table_path(root, SAMPLE_POINTS, 2020)


def _beside(root: DataRoot) -> Path:
    return table_path(root, SAMPLE_LOSSES, 2020)


def _pack(root: DataRoot) -> Path:
    return pack_path(root.dataset, "2020")


def test_what_was_made_is_whole(world: LabelWorld) -> None:
    found = look(world)
    assert (found.damage, found.busy) == ([], [])
    assert found.describe() == f"all {found.files} files are what was made"
    assert found.files >= len(STAGES)
    assert refresh(world).runs == 0


@pytest.mark.parametrize(
    ("place", "made_again", "damage"),
    [
        (_points, {"sample_points 2020"}, _truncate),
        (_points, {"sample_points 2020"}, _empty),
        (_points, {"sample_points 2020"}, Path.unlink),
        (_beside, {"sample_points 2020"}, _flip),
        (_pack, {"windows 2020"}, _flip),
        (_pack, {"windows 2020"}, _truncate),
    ],
)
def test_damage_is_found_and_made_good(
    world: LabelWorld, place: Callable[[DataRoot], Path], made_again: set[str], damage: Callable[[Path], None]
) -> None:
    path, before = place(world.root), content(world.root)
    damage(path)
    found = look(world)
    assert [one.path for one in found.damage] == [path.relative_to(world.root.path).as_posix()]
    assert "damaged or gone: run burnscar refresh" in found.describe()
    causes = stale(world)
    assert causes.keys() == made_again
    assert all("damaged" in cause or "is gone" in cause for cause in causes.values())
    assert {str(pair) for pair in refresh(world).pairs} >= made_again
    assert content(world.root) == before
    assert look(world).damage == []
    if damage is not Path.unlink:
        assert list(world.root.damaged.rglob(path.name)), "what was damaged is kept"


@pytest.mark.parametrize(
    "damage", [Path.unlink, _empty, lambda path: path.write_text('{"paths": [], "seen": {"x": 1}}')]
)
def test_damage_to_what_results_are_held_against_hides_none(
    world: LabelWorld, damage: Callable[[Path], object]
) -> None:
    before = content(world.root)
    damage(world.root.path / RECORDS / "sample_points" / "2020.json")
    _flip(_points(world.root))
    assert [one.path for one in look(world).damage] == [".store/sample_points/2020.json"]
    assert stale(world).keys() >= {"sample_points 2020"}
    assert not refresh(world).failures
    assert content(world.root) == before
    assert look(world).damage == []


@pytest.mark.parametrize("damaged", ["burned.tif", MAP_FILE])
def test_maps_of_areas_are_looked_at_too(world: LabelWorld, damaged: str) -> None:
    folder = world.root.maps(None) / "creek"
    folder.mkdir(parents=True)
    (folder / "burned.tif").write_bytes(b"pixels")
    write_json(folder / MAP_FILE, {"files": {"burned.tif": hash_file(folder / "burned.tif")}})
    assert look(world).damage == []
    _truncate(folder / damaged) if damaged == MAP_FILE else _empty(folder / damaged)
    found = look(world)
    assert [one.path for one in found.damage] == [f"maps/aoi/creek/{damaged}"]
    assert "burnscar map" in found.describe()


def test_a_partition_that_is_being_written_is_left_alone(world: LabelWorld) -> None:
    _flip(_points(world.root))
    with lock_of(world.world, Pair("sample_points", 2020)):
        found = look(world)
    assert ([str(artifact) for artifact in found.busy], found.damage) == (["sample_points 2020"], [])
    assert look(world).damage


def test_a_change_of_size_and_time_alone_is_none(world: LabelWorld) -> None:
    """A copied data root has other times and inodes; its content counts."""
    path = _points(world.root)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert look(world).damage == []


def test_the_command_says_what_is_damaged(world: LabelWorld) -> None:
    assert "are what was made" in run_command(world.root, "burnscar", "verify").stdout
    _flip(table_path(world.root, FIRE_PERIMETERS, 2020))
    said = run_command(world.root, "burnscar", "verify", check=False)
    assert said.returncode == 1
    assert "tables/fire_perimeters/fire_year=2020/part.parquet" in said.stdout
    assert "run burnscar refresh" in said.stdout


def test_the_weekly_run_fails_where_something_is_damaged(world: LabelWorld) -> None:
    with world.runner() as runner:
        job = build_verify_job(world.world)
        assert job.execute_in_process(instance=runner.planner.instance).success
        _flip(_points(world.root))
        ended = job.execute_in_process(instance=runner.planner.instance, raise_on_error=False)
    assert not ended.success
    assert list(stale(world)) == ["sample_points 2020"]
