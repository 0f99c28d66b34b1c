"""A look sees a change of the source, says what it cannot see, and fetches nothing."""

import json
import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import pyogrio
import pytest

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.local_source import hash_local
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.labels.watch import SourceState, observe_source
from burnscar_assets.settings import ReleaseSettings
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires
from burnscar_assets_tests.labels.label_servers import FileSite, serving

AN_HOUR_S = 3600.0
BODY = b"PK" + bytes(100_000)


def _look_at(source: Path | str, root: DataRoot, known: SourceState | None = None, **changes: Any) -> SourceState:
    return observe_source(ReleaseSettings(source=str(source), **changes), root, known)


def _age(path: Path, seconds: float = AN_HOUR_S) -> Path:
    """Let a file, or a folder and all in it, be as old as given."""
    then = time.time() - seconds
    for entry in [*path.rglob("*"), path]:
        os.utime(entry, (then, then))
    return path


def _zip(path: Path, content: bytes = bytes(1000)) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fires.json", content)
    return path


# an address


def _look_over(site: FileSite, root: DataRoot) -> SourceState:
    with serving(site) as address:
        state = _look_at(f"{address}/fire241gdb.ashx?rev=5", root)
    return SourceState("", state.kind, state.version, state.facts, state.note)


def _versions(sites: list[FileSite], root: DataRoot) -> list[str]:
    """Version of each file where all are served at one address, one after the other."""
    versions = []
    site = FileSite(BODY)
    with serving(site) as address:
        for other in sites:
            vars(site).update(vars(other))
            versions.append(_look_at(f"{address}/fire.zip", root).version)
    return versions


def test_an_address_is_asked_for_its_head_alone(root: DataRoot) -> None:
    site = FileSite(BODY)
    state = _look_over(site, root)
    assert site.methods == ["HEAD"]
    assert site.requests[0]["Referer"] == "https://www.fire.ca.gov/"
    assert state.facts == {
        "etag": '"v1"',
        "last_modified": "Wed, 01 Apr 2026 08:00:00 GMT",
        "size_bytes": len(BODY),
    }
    assert (state.kind, state.note, len(state.version)) == ("zip_url", "", 16)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("status", [403, 405, 501])
def test_where_head_is_refused_the_first_byte_is_asked_for(root: DataRoot, status: int, ranges: bool) -> None:
    site = FileSite(BODY, head_status=status, ranges=ranges)
    state = _look_over(site, root)
    assert site.methods == ["HEAD", "GET"]
    assert state.facts == _look_over(FileSite(BODY), root).facts
    if ranges:
        assert site.sent == 1


def test_the_version_is_the_etag_or_else_the_date_and_the_size(root: DataRoot) -> None:
    later = "Fri, 01 May 2026 08:00:00 GMT"
    same, moved, edited, undated, dated_later, longer = _versions(
        [
            FileSite(BODY),
            FileSite(BODY, last_modified=later),
            FileSite(BODY, etag='"v2"'),
            FileSite(BODY, etag=None),
            FileSite(BODY, etag=None, last_modified=later),
            FileSite(BODY + b"x"),
        ],
        root,
    )
    assert same == moved, "the same ETag from another machine of the server"
    assert len({same, edited, undated, dated_later, longer}) == 5


def test_a_server_without_versions_is_seen_by_size_and_says_so(root: DataRoot) -> None:
    nameless = {"etag": None, "last_modified": None}
    state = _look_over(FileSite(BODY, **nameless), root)
    assert state.facts == {"size_bytes": len(BODY)}
    assert "only a change of its size is seen" in state.note
    blind = _look_over(FileSite(BODY, chunked=True, ranges=False, **nameless), root)
    assert blind.facts == {}
    assert "no change of it is seen" in blind.note


def test_a_page_in_place_of_the_file_is_refused(root: DataRoot) -> None:
    site = FileSite(b"<html>Access denied</html>", content_type="text/html; charset=utf-8")
    with pytest.raises(InputError, match=r"web page.*release\.user_agent"):
        _look_over(site, root)
    assert site.methods == ["HEAD", "GET"], "a server may name the wrong type where it sends no file"


def test_a_source_that_is_down_busy_empty_or_gone(root: DataRoot) -> None:
    with pytest.raises(SourceUnavailableError, match="did not answer"):
        _look_at("http://127.0.0.1:9/fire.zip", root)
    busy = FileSite(BODY, statuses=[503])
    with pytest.raises(SourceUnavailableError, match="503"):
        _look_over(busy, root)
    assert busy.methods == ["HEAD"], "a look is not repeated: the next one comes soon"
    with pytest.raises(SourceUnavailableError, match="is empty"):
        _look_over(FileSite(b""), root)
    with pytest.raises(InputError, match=r"404.*release\.source"):
        _look_over(FileSite(BODY, statuses=[404]), root)


# a file


def test_a_file_is_read_again_only_if_it_was_written(
    tmp_path: Path, root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _age(_zip(tmp_path / "fire241gdb.zip"))
    first = _look_at(path, root)
    assert (first.kind, first.version) == ("file", hash_file(path)[:16])
    monkeypatch.setattr("burnscar_assets.labels.watch.hash_local", lambda _: pytest.fail("read again"))
    assert _look_at(path, root, first) == first
    monkeypatch.undo()
    touched = _look_at(_age(path, 2 * AN_HOUR_S), root, first)
    assert touched.version == first.version
    assert touched.facts["modified_at"] < first.facts["modified_at"]
    edited = _look_at(_age(_zip(path, b"other" * 200)), root, touched)
    assert edited.version != first.version
    assert edited.facts["size_bytes"] == path.stat().st_size


def test_the_version_of_a_file_is_that_of_the_release_made_from_it(tmp_path: Path, root: DataRoot) -> None:
    folder = tmp_path / "fire24_1.gdb"
    pyogrio.write_dataframe(frap_fires({}), folder, layer="firep24_1", driver="OpenFileGDB")
    _age(folder)
    seen = _look_at(folder, root)
    assert fetch_release(ReleaseSettings(source=str(folder)), root).info.sha256 == seen.facts["sha256"]
    (folder / "_gdb.HOST.1.2.sr.lock").touch()
    assert _look_at(_age(folder), root).version == seen.version, "somebody has it open in ArcGIS"
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="no perimeters"):
        _look_at(folder, root, seen)


def test_a_change_in_one_part_of_a_shapefile_is_seen(tmp_path: Path, root: DataRoot) -> None:
    for suffix in ("shp", "shx", "dbf"):
        (tmp_path / f"firep24_1.{suffix}").write_bytes(suffix.encode())
    source = tmp_path / "firep24_1.shp"
    first = _look_at(_age(tmp_path) / source.name, root)
    (tmp_path / "firep24_1.dbf").write_bytes(b"DBF")
    second = _look_at(_age(tmp_path, AN_HOUR_S - 60) / source.name, root, first)
    assert first.facts["files"] == second.facts["files"] == 3
    assert first.version != second.version


def test_what_is_still_being_written_is_left_alone(tmp_path: Path, root: DataRoot) -> None:
    path = _zip(tmp_path / "fire.zip")
    with pytest.raises(SourceUnavailableError, match=r"is being written: it changed \d s ago"):
        _look_at(path, root)
    assert observe_source(ReleaseSettings(source=str(path)), root, settle_s=0).version == hash_file(path)[:16]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceUnavailableError, match="a zip without its end"):
        _look_at(_age(path), root)
    path.write_bytes(b"")
    with pytest.raises(SourceUnavailableError, match="it is empty"):
        _look_at(_age(path), root)
    path.write_bytes(b"<html>Access denied</html>")
    with pytest.raises(InputError, match="not a zip"):
        _look_at(_age(path), root)


def test_a_folder_that_files_are_copied_into_with_their_old_times(tmp_path: Path, root: DataRoot) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    _age(_zip(folder / "fires.zip"))
    with pytest.raises(SourceUnavailableError, match="is being written"):
        _look_at(folder, root)
    _age(folder)
    assert _look_at(folder, root).version == hash_local(folder)[:16]


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _age(_zip(tmp_path / "fire.zip"))

    def hash_and_write(file: Path) -> str:
        sha256 = hash_file(file)
        _zip(file, b"newer")
        return sha256

    monkeypatch.setattr("burnscar_assets.labels.watch.hash_local", hash_and_write)
    with pytest.raises(SourceUnavailableError, match="changed while it was read"):
        _look_at(path, root)
    monkeypatch.setattr("burnscar_assets.labels.watch.hash_local", lambda file: file.unlink() or hash_file(file))
    with pytest.raises(SourceUnavailableError, match="vanished"):
        _look_at(_age(path), root)


# the state


def test_a_state_survives_a_cursor(tmp_path: Path, root: DataRoot) -> None:
    for state in (_look_over(FileSite(BODY), root), _look_at(_age(_zip(tmp_path / "fire.zip")), root)):
        assert SourceState.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert SourceState.from_json({"etag": "v1"}) is None, "what another version of the program wrote"
    assert SourceState.from_json({}) is None


@pytest.mark.real_data
def test_the_real_release(real_data: Path, root: DataRoot) -> None:
    source = real_data / "frap" / "fire241gdb.zip"
    assert (
        _look_at(source, root).facts["sha256"] == fetch_release(ReleaseSettings(source=str(source)), root).info.sha256
    )
