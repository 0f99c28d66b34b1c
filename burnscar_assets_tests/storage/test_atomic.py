"""A write is there whole or not at all, whatever stops it."""

import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.errors import StorageError
from burnscar_assets.storage.atomic import (
    COMPANION_ENDINGS,
    atomic_file,
    atomic_folder,
    companions,
    recover,
    remove_file,
    write_json,
)

Writer = Callable[[Path], AbstractContextManager[Path]]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def leftovers(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.startswith(".")]


@contextmanager
def mounted(tmp_path: Path, options: str) -> Iterator[Path]:
    """A tmpfs of its own, or a skip where this user may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting a small or read-only file system needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def run_and_kill(code: str, folder: Path) -> None:
    """Run code in another process until it prints `ready`, then kill -9 it."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def test_file_appears_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole" and names(target.parent) == ["file.txt"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_an_error_in_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(ValueError), atomic_file(target) as temporary:
        temporary.write_text("new")
        raise ValueError
    assert target.read_text() == "old" and not leftovers(tmp_path)


def test_a_kill_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    code = """
        import sys, time
        from pathlib import Path
        from burnscar_assets.storage.atomic import atomic_file
        with atomic_file(Path(sys.argv[1]) / "file.txt") as temporary:
            temporary.write_text("ne")
            print("ready", flush=True)
            time.sleep(60)
    """
    run_and_kill(code, tmp_path)
    assert target.read_text() == "old"
    write_json(target, {"next": "write works"})
    assert json.loads(target.read_text()) == {"next": "write works"}


def test_a_kill_in_the_middle_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "a").write_text("old")
    code = """
        import sys, time
        from pathlib import Path
        from burnscar_assets.storage.atomic import atomic_folder
        with atomic_folder(Path(sys.argv[1]) / "folder") as temporary:
            (temporary / "a").write_text("new")
            print("ready", flush=True)
            time.sleep(60)
    """
    run_and_kill(code, tmp_path)
    assert (target / "a").read_text() == "old"


KILLED_BETWEEN_RENAMINGS = """
    import sys, time
    from pathlib import Path
    from burnscar_assets.storage.atomic import atomic_folder

    rename, seen = Path.replace, []

    def replace(source, target):
        if seen:
            print("ready", flush=True)
            time.sleep(60)
        seen.append(target)
        rename(source, target)

    with atomic_folder(Path(sys.argv[1]) / "folder") as new:
        (new / "a").write_text("new")
        Path.replace = replace
"""


def test_a_kill_between_the_renamings_ends_with_the_new_folder(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("old")
    run_and_kill(KILLED_BETWEEN_RENAMINGS, tmp_path)
    assert not target.exists()
    recover(target)
    assert (target / "a").read_text() == "new" and names(tmp_path) == ["folder"]


def test_an_error_after_a_kill_between_the_renamings_keeps_what_was_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("old")
    run_and_kill(KILLED_BETWEEN_RENAMINGS, tmp_path)
    with pytest.raises(ValueError), atomic_folder(target):
        raise ValueError
    assert (target / "a").read_text() == "new" and names(tmp_path) == ["folder"]


def test_the_next_write_clears_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    target, other = tmp_path / "file.txt", tmp_path / "file.txt.12345678"
    for path in (target, other):
        code = f"""
            import time
            from pathlib import Path
            from burnscar_assets.storage.atomic import atomic_file
            with atomic_file(Path({str(path)!r})) as temporary:
                print("ready", flush=True)
                time.sleep(60)
        """
        run_and_kill(code, tmp_path)
    assert len(leftovers(tmp_path)) == 2
    write_json(target, {})
    assert len(leftovers(tmp_path)) == 1
    write_json(other, {})
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_two_writers_at_once_leave_each_other_alone(write: Writer, tmp_path: Path) -> None:
    target = tmp_path / "x"
    with write(target) as first:
        with write(target) as second:
            assert second != first and first.exists()
        assert target.exists() and first.exists()
    assert names(tmp_path) == ["x"]


def test_a_work_folder_that_another_writer_clears_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, acquire = list[Path](), FileLock.acquire

    def acquired(lock: FileLock, **options: Any) -> Any:
        taken.append(Path(lock.lock_file).parent)
        if len(taken) == 1:
            shutil.rmtree(taken[0])
            raise FileNotFoundError(lock.lock_file)
        return acquire(lock, **options)

    monkeypatch.setattr(FileLock, "acquire", acquired)
    write_json(tmp_path / "config.json", {})
    assert len(set(taken)) == 2 and [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_folder(target) as temporary:
            (temporary / content).write_text(content)
        assert names(target) == [content]
    assert names(tmp_path) == ["folder"] and target.stat().st_mode & 0o777 == 0o755


def test_an_error_in_the_block_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(ValueError), atomic_folder(target) as temporary:
        (temporary / "b").write_text("new")
        raise ValueError
    assert names(target) == ["a"] and not leftovers(tmp_path)


def test_a_full_disk_is_one_clear_error_and_keeps_what_was_there() -> None:
    """/dev/full gives a true ENOSPC; the content goes there through a link in place of the temporary file."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    target = Path("/dev/shm") / f"burnscar-{os.getpid()}.txt"
    target.write_text("old")
    try:
        with pytest.raises(StorageError, match=r"no space left while writing .*free some"), atomic_file(target) as new:
            new.unlink()
            new.symlink_to("/dev/full")
            new.write_text("new")
        assert target.read_text() == "old"
    finally:
        target.unlink()


def test_a_full_file_system_is_one_clear_error(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=64k") as disk:
        write_json(disk / "old.json", {"a": 1})
        with pytest.raises(StorageError, match="no space left"):
            write_json(disk / "old.json", {"a": "x" * 100_000})
        assert json.loads((disk / "old.json").read_text()) == {"a": 1} and not leftovers(disk)


def test_a_file_size_limit_keeps_the_old_file(tmp_path: Path) -> None:
    """A write that the system cuts short (EFBIG) is an error, and never the new file."""
    target = tmp_path / "file.json"
    write_json(target, {"a": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_json(target, {"a": "x" * 10_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert json.loads(target.read_text()) == {"a": 1} and not leftovers(tmp_path)


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_a_read_only_place_is_one_clear_error(write: Writer, tmp_path: Path) -> None:
    with (
        mounted(tmp_path, "ro") as disk,
        pytest.raises(StorageError, match="choose another BURNSCAR_DATA"),
        write(disk / "x"),
    ):
        pass


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_a_file_where_a_folder_should_be_is_one_clear_error(write: Writer, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    for path in (tmp_path / "data" / "x", tmp_path / "data" / "folder" / "x"):
        with pytest.raises(StorageError, match="choose another BURNSCAR_DATA"), write(path):
            pass


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1, 2]})
    content = (tmp_path / "a.json").read_text()
    assert content.endswith("}\n") and content.index('"a"') < content.index('"b"')


def numbers(path: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in database.execute("SELECT number FROM numbers")]


def write_numbers(path: Path, content: range) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE numbers (number INTEGER)")
        database.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in content])
        database.commit()


@pytest.mark.parametrize("closes_first", [True, False])
def test_a_database_that_is_open_in_wal_mode_is_replaced_by_an_intact_one(tmp_path: Path, closes_first: bool) -> None:
    target = tmp_path / "map.gpkg"
    write_numbers(target, range(5_000))
    reader = sqlite3.connect(target)
    assert reader.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    reader.execute("UPDATE numbers SET number = number + 1")
    reader.commit()
    assert len(companions(target)) == 2
    with atomic_file(target) as temporary:
        named = temporary.with_name(target.name)
        write_numbers(named, range(7))
        named.replace(temporary)
    if closes_first:
        reader.close()
    assert numbers(target) == list(range(7)) and names(tmp_path) == ["map.gpkg"]
    reader.close()
    assert numbers(target) == list(range(7)) and names(tmp_path) == ["map.gpkg"]


def test_companions_go_with_their_file_and_nothing_else_does(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    others = {"a.tif.bak", "a.qml", "b.tif-wal", "b.tif.aux.xml", "a.tfw"}
    for name in (*others, "a.tif", *(f"a.tif{ending}" for ending in COMPANION_ENDINGS)):
        (tmp_path / name).write_text("old")
    with pytest.raises(ValueError), atomic_file(target):
        raise ValueError
    assert len(companions(target)) == len(COMPANION_ENDINGS)
    with atomic_file(target) as temporary:
        temporary.write_text("new")
    assert set(names(tmp_path)) == {*others, "a.tif"} and target.read_text() == "new"
    (tmp_path / "a.tif.ovr").write_text("old")
    remove_file(target)
    remove_file(target)
    assert set(names(tmp_path)) == others


def test_a_kill_between_old_and_new_leaves_no_new_file_beside_an_old_log(tmp_path: Path) -> None:
    target = tmp_path / "map.gpkg"
    target.write_text("old")
    target.with_name("map.gpkg-wal").write_text("old")
    code = """
        import sys, time
        from pathlib import Path
        from burnscar_assets.storage import atomic
        def stop(path):
            print("ready", flush=True)
            time.sleep(60)
        atomic._remove_companions = stop
        with atomic.atomic_file(Path(sys.argv[1]) / "map.gpkg") as temporary:
            temporary.write_text("new")
    """
    run_and_kill(code, tmp_path)
    assert not target.exists()
    recover(target)
    assert target.read_text() == "new" and names(tmp_path) == ["map.gpkg"]


@contextmanager
def umask(value: int) -> Iterator[None]:
    """Another umask for a while."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@given(st.integers(0, 0o077), st.one_of(st.none(), st.sampled_from([0o600, 0o640, 0o664, 0o644])), st.booleans())
def test_modes_follow_the_umask_and_what_was_private_stays_private(mask: int, had: int | None, by_way: bool) -> None:
    with tempfile.TemporaryDirectory() as place, umask(mask):
        path, folder = Path(place, "file"), Path(place, "folder")
        if had is not None:
            path.write_text("old")
            path.chmod(had)
            folder.mkdir()
            folder.chmod(had | 0o100)
        with atomic_file(path) as temporary:
            if by_way:  # as libraries do that write a temporary file first
                descriptor, other = tempfile.mkstemp(dir=temporary.parent)
                os.close(descriptor)
                Path(other).replace(temporary)
        with atomic_folder(folder) as new:
            (new / "a").write_text("x")
        assert path.stat().st_mode & 0o777 == (0o666 & ~mask if had is None else had)
        assert folder.stat().st_mode & 0o777 == (0o777 & ~mask if had is None else had | 0o100)
        assert (folder / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_files_and_folders_are_on_the_disk_before_they_take_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        happened.append(f"sync {place.name}")
        real_sync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        happened.append(f"replace {Path(target).name}")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("x")
    assert happened == ["sync new", "replace file", f"sync {tmp_path.name}"]
    happened.clear()
    with atomic_folder(tmp_path / "folder") as new:
        (new / "deep").mkdir()
        (new / "deep" / "a").write_text("x")
        (new / "b").write_text("x")
    assert sorted(happened[:2]) == ["sync a", "sync b"]
    assert happened[2:] == ["sync deep", "sync new", "replace folder", f"sync {tmp_path.name}"]
