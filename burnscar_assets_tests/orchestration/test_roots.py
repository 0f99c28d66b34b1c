"""Data roots of any name, read-only ones, copied ones, and those whose databases fail: commands as users type them."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnscar_assets.cli import main
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.orchestration.instance import DATABASES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.orchestration.conftest import BIN, run_command
from burnscar_assets_tests.orchestration.fault_kit import content
from burnscar_assets_tests.orchestration.small_world import use_geopackage

EVERY = "a?b=c%25d%2Fe&f#g h'i\"j*k[l];mñ火+n:o\\p&{q}$r|s<t>u^v`w~(x)s${HOME}"
"""A folder's name with every character that some library takes for syntax."""

ODD = "?%#&'\"*[];+:\\ {}$|<>^`~=@,ñ火"
LOOKING = (("plan",), ("sql", "select count(*) from windows"), ("funnel",), ("compare",), ("refresh", "--dry-run"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")


@pytest.fixture
def copy(small_world: DataRoot, tmp_path: Path) -> DataRoot:
    """The small world with its CPU stages made, at another place."""
    shutil.copytree(small_world.path, tmp_path / "copy", symlinks=True)
    return DataRoot(tmp_path / "copy")


def _one_line(said: str) -> bool:
    return said.startswith("error: ") and said.count("\n") == 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(ODD + "ab0", min_size=1, max_size=8).filter(lambda name: name.strip(" ~")))
def test_a_root_of_any_name_has_its_plan_and_nothing_beside_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    shutil.rmtree(place, ignore_errors=True)
    (place / name / "world").mkdir(parents=True)
    assert main(["plan", "--no-gpu", "--years", "2021", "--data", str(place / name / "world")]) == 0
    assert "sample_points" in capsys.readouterr().out
    assert [path.name for path in place.iterdir()] == [name]
    assert [path.name for path in (place / name).iterdir()] == ["world"]
    assert all((place / name / "world" / "dagster" / database).is_file() for database in DATABASES)


@pytest.mark.parametrize("name", ["a!b", "a\nb", "a\tb"])
def test_characters_that_may_not_stand_in_a_path_are_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--data", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert _one_line(said) and f"may not have {name[1]!a}" in said
    assert not list(tmp_path.iterdir())


def test_the_web_ui_names_the_characters_that_it_can_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ui", "--data", str(tmp_path / "a?b%25")]) == 1
    said = capsys.readouterr().err
    assert _one_line(said) and "may not have ? or %" in said
    assert not list(tmp_path.iterdir())


def test_all_stages_and_looks_work_in_a_root_of_any_name(
    small_archive: DataRoot, small_world: DataRoot, tmp_path: Path
) -> None:
    root = DataRoot(tmp_path / EVERY)
    shutil.copytree(small_archive.path, root.path, symlinks=True)
    use_geopackage(root)
    run_command(root, "burnscar", "refresh", "--no-gpu", "--in-process")
    assert content(root) == content(small_world)
    for command in LOOKING:
        assert "Traceback" not in run_command(root, "burnscar", *command, check=False).stdout
    assert [path.name for path in tmp_path.iterdir()] == [EVERY]


@pytest.mark.parametrize("database", DATABASES)
def test_a_damaged_database_is_named_with_what_to_do(
    database: str, copy: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy.dagster_home / database
    path.write_bytes(bytes(range(256)) * 40)
    for left in path.parent.glob(f"{path.name}-*"):
        left.unlink()
    assert main(["plan", "--data", str(copy.path)]) == 1
    said = capsys.readouterr().err
    assert _one_line(said) and str(path) in said and "is damaged" in said


@pytest.mark.parametrize("change", ["DROP TABLE asset_keys", "ALTER TABLE event_logs RENAME COLUMN asset_key TO ak"])
def test_a_database_of_another_dagster_is_told_with_its_migration(
    change: str, copy: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(copy.dagster_home / "history" / "runs" / "index.db")) as connection:
        connection.execute(change)
        connection.commit()
    assert main(["plan", "--data", str(copy.path)]) == 1
    said = capsys.readouterr().err
    assert _one_line(said) and "dagster instance migrate" in said


def test_a_locked_database_is_told_in_one_line(copy: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy.dagster_home / "history" / "runs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        assert main(["plan", "--data", str(copy.path)]) == 1
    said = capsys.readouterr().err
    assert _one_line(said) and "is locked" in said


READ_ONLY = (shutil.which("unshare") or "unshare", "--map-root-user", "--mount", "sh", "-c")
MOUNT = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


@pytest.fixture
def read_only(small_world: DataRoot) -> Iterator[tuple[str, ...]]:
    """What a command is put behind so that it sees the small world on a read-only file system."""
    prefix = (*READ_ONLY, MOUNT, str(small_world.path))
    try:
        probe = subprocess.run([*prefix, "touch", str(small_world.path / "new")], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare on this machine")
    if b"Read-only" not in probe.stderr:
        pytest.skip(f"no read-only mounts for this user: {probe.stderr!r}")
    yield prefix


def test_a_read_only_root_can_be_looked_at(read_only: tuple[str, ...], small_world: DataRoot) -> None:
    for command in LOOKING:
        expected = run_command(small_world, "burnscar", *command, check=False)
        done = run_command(small_world, *read_only, str(BIN / "burnscar"), *command, check=False)
        assert (done.returncode, done.stdout) == (expected.returncode, expected.stdout), command
    for command in (("refresh",), ("ui", "--port", "0")):
        done = run_command(small_world, *read_only, str(BIN / "burnscar"), *command, check=False)
        assert done.returncode == 1 and _one_line(done.stdout), done.stdout
        assert "can only be looked at" in done.stdout


@pytest.mark.slow
def test_a_copied_world_trains_and_tests_its_own_checkpoint(trained_world: DataRoot, tmp_path: Path) -> None:
    first, second = DataRoot(tmp_path / "first"), DataRoot(tmp_path / "elsewhere" / "second")
    for root in (first, second):
        shutil.copytree(trained_world.path, root.path, symlinks=True)
    before = {path: path.read_bytes() for path in first.checkpoint(2019).iterdir()}
    (second.checkpoint(2019) / "last.ckpt").unlink()
    (second.checkpoint(2019) / "best.ckpt").unlink()
    config = str((second.checkpoint(2019) / "model.yaml").relative_to(tmp_path))
    for command in ("fit", "test"):
        run_command(first, "rslearn", "model", command, "--config", config)  # its current folder is tmp_path
    assert {path: path.read_bytes() for path in first.checkpoint(2019).iterdir()} == before
    assert {"best.ckpt", "last.ckpt"} <= {path.name for path in second.checkpoint(2019).iterdir()}
    for name in ("model.yaml", "config.yaml"):
        text = (second.checkpoint(2019) / name).read_text(encoding="utf-8")
        assert str(tmp_path) not in text and str(trained_world.path) not in text
        assert yaml.safe_load(text)["management_dir"] == "."
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "first"]
