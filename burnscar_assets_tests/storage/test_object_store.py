"""Partitions go to a real S3 server and come back whole, whatever happens on the way."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from burnscar_assets.errors import InputError, MissingDataError, SettingsError, SourceUnavailableError, StorageError
from burnscar_assets.storage import object_filesystem
from burnscar_assets.storage.object_manifest import Blob, Manifest
from burnscar_assets.storage.object_store import Fetched, ObjectStore, Published, open_store
from burnscar_assets_tests.storage.s3_server import S3Server, free_port
from burnscar_assets_tests.storage.unreliable_proxy import unreliable_proxy


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A bucket of this test's own."""
    name = f"test-{uuid.uuid4().hex}"
    s3.client().create_bucket(Bucket=name)
    return name


def make(root: Path, files: dict[str, str]) -> list[Path]:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return [root / path for path in files]


def anything(path: Path) -> bool:
    return True


def contents(root: Path) -> dict[str, str]:
    files = (p for p in root.rglob("*") if p.is_file() and ".store" not in p.parts)
    return {p.relative_to(root).as_posix(): p.read_text() for p in files}


def blobs(s3: S3Server, bucket: str) -> dict[str, str]:
    """Keys of all blobs by their content."""
    client = s3.client()
    listed = client.list_objects_v2(Bucket=bucket, Prefix="world/blobs/").get("Contents", [])
    return {client.get_object(Bucket=bucket, Key=o["Key"])["Body"].read().decode(): o["Key"] for o in listed}


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of a server that accepts connections and never says a word."""
    accepted: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                accepted.append(listener.accept()[0])
            except OSError:
                return

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for connection in accepted:
        connection.close()


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_what_is_published_comes_back_on_another_machine(kind: str, bucket: str, tmp_path: Path) -> None:
    uri = f"s3://{bucket}/world" if kind == "s3" else f"file://{tmp_path}/store"
    here, there = tmp_path / "here", tmp_path / "there"
    files = make(here, {"tables/a/part.parquet": "table", "dataset/w1/m.json": "{}", "dataset/w2/m.json": "{}"})
    large = here / "checkpoint.ckpt"
    large.write_bytes(os.urandom(9_000_000))
    published = open_store(uri).publish("tiles", "2021", "v1", here, [*files, large])
    assert published == Published(uploaded=3, kept=1, bytes=9_000_007)

    assert open_store(uri).fetch("tiles", "2021", there, anything) == Fetched(4, 0, 0, 9_000_009)
    assert (there / "checkpoint.ckpt").read_bytes() == large.read_bytes()
    assert (there / "dataset/w2/m.json").read_text() == "{}"

    assert open_store(uri).publish("tiles", "2021", "v1", here, [*files, large]) == Published(0, 4, 0)
    assert open_store(uri).fetch("tiles", "2021", there, anything) == Fetched(0, 4, 0, 0)
    assert open_store(uri).publish("copy", None, "v1", here, [large]) == Published(0, 1, 0)


def test_only_what_changed_travels(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/world")
    here, there = tmp_path / "here", tmp_path / "there"
    make(here, {"dataset/kept/m": "kept", "dataset/edited/m": "old", "dataset/dropped/m": "dropped"})
    store.publish("windows", "2021", "v1", here, [here / "dataset"])
    store.fetch("windows", "2021", there, anything)
    untouched = (there / "dataset/kept/m").stat()

    (here / "dataset/dropped/m").unlink()
    (here / "dataset/dropped").rmdir()
    make(
        here, {"dataset/edited/m": "new", "dataset/added/m": "added", "dataset/.x.tmp/m": "half", "dataset/.y.tmp": ""}
    )
    assert store.publish("windows", "2021", "v2", here, [here / "dataset"]) == Published(2, 1, 8)
    assert store.fetch("windows", "2021", there, anything) == Fetched(2, 1, 1, 8)
    assert contents(there) == {"dataset/kept/m": "kept", "dataset/edited/m": "new", "dataset/added/m": "added"}
    assert not (there / "dataset/dropped").exists()
    assert (there / "dataset/kept/m").stat() == untouched
    manifest = store.manifest("windows", "2021")
    assert manifest is not None and manifest.version == "v2"


def test_a_file_that_another_partition_has_too_stays(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/world")
    here, there = tmp_path / "here", tmp_path / "there"
    both = make(here, {"a": "a", "b": "b"})
    store.publish("first", None, "v1", here, both)
    store.publish("second", None, "v1", here, both)
    store.fetch("first", None, there, anything)
    store.fetch("second", None, there, anything)
    store.publish("first", None, "v2", here, both[:1])
    assert store.fetch("first", None, there, anything).removed == 0
    store.publish("second", None, "v2", here, both[:1])
    assert store.fetch("second", None, there, anything).removed == 1
    assert contents(there) == {"a": "a"}


def test_unchanged_files_are_not_read_again(bucket: str, tmp_path: Path) -> None:
    """Content swapped behind the file's back isn't seen as long as size, time and inode are the same."""
    store = open_store(f"s3://{bucket}/world")
    (file,) = make(tmp_path, {"a": "old"})
    store.publish("tiles", "2021", "v1", tmp_path, [file])
    before = file.stat()
    file.write_text("new")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.publish("tiles", "2021", "v1", tmp_path, [file]).uploaded == 0
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert store.publish("tiles", "2021", "v1", tmp_path, [file]).uploaded == 1


def test_a_publish_killed_before_its_manifest_leaves_the_old_version(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    uri, here, there = f"s3://{bucket}/world", tmp_path / "here", tmp_path / "there"
    store = open_store(uri)
    files = make(here, {"a": "old a", "b": "old b"})
    store.publish("tiles", "2021", "v1", here, files)
    make(here, {"a": "new a", "b": "new b"})
    code = """
        import sys, time
        from pathlib import Path
        from burnscar_assets.storage.object_filesystem import Bucket
        from burnscar_assets.storage.object_store import ObjectStore
        class Stopping(Bucket):
            def write(self, name, chunks):
                if name.startswith("manifests/"):
                    print("ready", flush=True)
                    time.sleep(60)
                super().write(name, chunks)
        root = Path(sys.argv[2])
        ObjectStore(Stopping(sys.argv[1])).publish("tiles", "2021", "v2", root, [root / "a", root / "b"])
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), uri, str(here)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline().strip() == "ready"
        process.send_signal(signal.SIGKILL)

    assert set(blobs(s3, bucket)) == {"old a", "old b", "new a", "new b"}
    store.fetch("tiles", "2021", there, anything)
    assert contents(there) == {"a": "old a", "b": "old b"}
    store.publish("tiles", "2021", "v2", here, files)
    store.fetch("tiles", "2021", there, anything)
    assert contents(there) == {"a": "new a", "b": "new b"}


def test_a_damaged_or_missing_blob_never_becomes_a_file(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    store, client = open_store(f"s3://{bucket}/world"), s3.client()
    here, there = tmp_path / "here", tmp_path / "there"
    files = make(here, {"a": "old"})
    store.publish("tiles", "2021", "v1", here, files)
    store.fetch("tiles", "2021", there, anything)
    make(here, {"a": "new"})
    store.publish("tiles", "2021", "v2", here, files)
    key = blobs(s3, bucket)["new"]
    client.put_object(Bucket=bucket, Key=key, Body=b"nex")
    with pytest.raises(StorageError, match=r"blobs/../\w+ in s3://.* is damaged: delete it"):
        store.fetch("tiles", "2021", there, anything)
    client.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(StorageError, match=r"is gone: delete .* manifests that name it"):
        store.fetch("tiles", "2021", there, anything)
    assert contents(there) == {"a": "old"}

    client.delete_object(Bucket=bucket, Key="world/manifests/tiles/2021.json")
    store.publish("tiles", "2021", "v2", here, files)
    store.fetch("tiles", "2021", there, anything)
    assert contents(there) == {"a": "new"}


def test_what_a_stopped_fetch_brought_is_removed_when_nothing_names_it(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    store = open_store(f"s3://{bucket}/world")
    here, there = tmp_path / "here", tmp_path / "there"
    files = make(here, {"a": "a", "b": "b"})
    store.publish("tiles", "2021", "v1", here, files)
    s3.client().delete_object(Bucket=bucket, Key=blobs(s3, bucket)["b"])
    with pytest.raises(StorageError, match=r"is gone"):
        store.fetch("tiles", "2021", there, anything)
    assert contents(there) == {"a": "a"}
    store.publish("tiles", "2021", "v2", here, make(here, {"c": "c"}))
    assert store.fetch("tiles", "2021", there, anything) == Fetched(1, 0, 1, 1)
    assert contents(there) == {"c": "c"}


def test_a_store_that_never_answers_is_a_clear_error_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, tmp_path: Path
) -> None:
    monkeypatch.setattr(object_filesystem, "SILENCE_TIMEOUT_S", 1.0)
    monkeypatch.setattr(object_filesystem, "ATTEMPTS", 2)
    files = make(tmp_path, {"a": "a"})
    with silent_server() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        began = time.monotonic()
        with pytest.raises(SourceUnavailableError, match=r"did not answer.*run the same again later"):
            open_store("s3://bucket/world").publish("tiles", "2021", "v1", tmp_path, files)
        assert time.monotonic() - began < 15


def test_connections_that_break_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    files = make(here, {f"{number}": f"content {number}" for number in range(40)})
    with unreliable_proxy(s3.endpoint, {0, 10, 30}.__contains__) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        store = open_store(f"s3://{bucket}/world")
        assert store.publish("tiles", "2021", "v1", here, files).uploaded == 40
        assert store.fetch("tiles", "2021", there, anything).downloaded == 40
    assert contents(there) == contents(here)


def test_a_store_that_goes_away_half_way_keeps_the_old_version_and_is_made_good(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(object_filesystem, "ATTEMPTS", 2)
    uri, here, there = f"s3://{bucket}/world", tmp_path / "here", tmp_path / "there"
    open_store(uri).publish("tiles", "2021", "v1", here, make(here, {"0": "old"}))
    files = make(here, {f"{number}": f"content {number}" for number in range(200)})
    with unreliable_proxy(s3.endpoint, lambda number: number >= 60) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(SourceUnavailableError, match="run the same again later"):
            open_store(uri).publish("tiles", "2021", "v2", here, files)
    assert len(blobs(s3, bucket)) > 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    open_store(uri).fetch("tiles", "2021", there, anything)
    assert contents(there) == {"0": "old"}
    open_store(uri).publish("tiles", "2021", "v2", here, files)
    open_store(uri).fetch("tiles", "2021", there, anything)
    assert contents(there) == contents(here)


def test_a_store_that_is_down_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, s3: S3Server, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SourceUnavailableError, match=r"did not answer"):
        open_store("s3://bucket/world").fetch("tiles", "2021", tmp_path, anything)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("AWS Error SLOW_DOWN during PutObject operation: Please reduce your request rate.", SourceUnavailableError),
        ("AWS Error UNKNOWN (HTTP status 503) during HeadObject operation", SourceUnavailableError),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted)", SourceUnavailableError),
        ("AWS Error ACCESS_DENIED during PutObject operation: No response body.", StorageError),
        ("google::cloud::Status(PERMISSION_DENIED: Permission denied)", StorageError),
    ],
)
def test_only_passing_failures_are_called_passing(said: str, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=r"^object store gs://b "), object_filesystem.store_errors("gs://b"):
        raise OSError(said)


def test_a_bucket_that_is_not_there_is_a_refusal(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"refused.*check BURNSCAR_STORE"):
        open_store("s3://no-such-bucket/world").publish("tiles", None, "v1", tmp_path, make(tmp_path, {"a": "a"}))


def test_a_partition_that_was_never_published_names_the_command(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"no tiles for 2021 in s3://.*burnscar refresh --years 2021"):
        open_store(f"s3://{bucket}/world").fetch("tiles", "2021", tmp_path, anything)


def test_only_results_that_are_there_are_published(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/world")
    with pytest.raises(MissingDataError, match=r"absent is gone"):
        store.publish("tiles", None, "v1", tmp_path, [tmp_path / "absent"])
    with pytest.raises(InputError, match=r"not under the data root"):
        store.publish("tiles", None, "v1", tmp_path / "root", make(tmp_path, {"outside": ""}))
    assert store.manifest("tiles", None) is None


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "", ".store/x.json"])
def test_a_manifest_cannot_name_a_file_outside_the_data_root(
    path: str, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    hostile = json.dumps({"version": "v", "files": {path: ["0" * 64, 1]}})
    s3.client().put_object(Bucket=bucket, Key="world/manifests/tiles/2021.json", Body=hostile.encode())
    with pytest.raises(StorageError, match=r"leaves the data root.*delete it"):
        open_store(f"s3://{bucket}/world").fetch("tiles", "2021", tmp_path / "root", anything)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("gone", [False, True])
def test_damage_in_the_store_is_found_and_published_again(
    gone: bool, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    store = open_store(f"s3://{bucket}/world")
    files = make(tmp_path, {"a": "a", "b": "b"})
    store.publish("tiles", "2021", "v1", tmp_path, files)
    assert store.verify("tiles", "2021") == []
    key = blobs(s3, bucket)["b"]
    if gone:
        s3.client().delete_object(Bucket=bucket, Key=key)
    else:
        s3.client().put_object(Bucket=bucket, Key=key, Body=b"x")
    assert store.verify("tiles", "2021") == ["b"]
    assert store.manifest("tiles", "2021") is None
    assert store.publish("tiles", "2021", "v1", tmp_path, files).uploaded >= 1
    assert store.verify("tiles", "2021") == []


@pytest.mark.parametrize("what", ["manifest", "blob"])
def test_what_another_machine_publishes_while_damage_is_looked_for_stays(
    what: str, s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = open_store(f"s3://{bucket}/world"), open_store(f"s3://{bucket}/world")
    store.publish("tiles", "2021", "v1", tmp_path, make(tmp_path, {"a": "a", "b": "b"}))
    key = blobs(s3, bucket)["b"]
    s3.client().put_object(Bucket=bucket, Key=key, Body=b"x")
    look, meanwhile = ObjectStore._verified, tmp_path / "other"

    def looking(self: ObjectStore, blob: Blob) -> tuple[Blob, bool]:
        found = look(self, blob)
        if not found[1] and not meanwhile.exists():
            meanwhile.mkdir()
            if what == "blob":
                s3.client().put_object(Bucket=bucket, Key=key, Body=b"b")
            else:
                other.publish("tiles", "2021", "v2", meanwhile, make(meanwhile, {"a": "c"}))
        return found

    monkeypatch.setattr(ObjectStore, "_verified", looking)
    assert store.verify("tiles", "2021") == (["b"] if what == "manifest" else [])
    left = store.manifest("tiles", "2021")
    assert left is not None
    assert left.version == ("v2" if what == "manifest" else "v1")
    assert store.verify("tiles", "2021") == []


def test_a_partition_brings_and_takes_away_its_own_files_only(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    store, here, there = open_store(f"s3://{bucket}/world"), tmp_path / "here", tmp_path / "there"

    def owns(path: Path) -> bool:
        return path.is_relative_to(there / "tables/tiles")

    make(there, {"dagster/dagster.yaml": "mine", "world.yaml": "mine"})
    store.publish("tiles", "2021", "v1", here, make(here, {"tables/tiles/part": "a", "dagster/dagster.yaml": "theirs"}))
    with pytest.raises(
        StorageError, match=r"names dagster/dagster\.yaml, which is no file of tiles; nothing was fetched"
    ):
        store.fetch("tiles", "2021", there, owns)
    assert contents(there) == {"dagster/dagster.yaml": "mine", "world.yaml": "mine"}

    store.fetch("tiles", "2021", there, anything)
    store.publish("tiles", "2021", "v2", here, [here / "tables/tiles/part"])
    assert store.fetch("tiles", "2021", there, owns).removed == 0, "left out, but not its own to take away"
    assert (there / "dagster/dagster.yaml").exists()


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"version": 1, "files": {"a": ["../../b", 1]}}', b'{"version": 1, "files": {"a": []}}'],
)
def test_a_damaged_manifest_is_named(text: bytes) -> None:
    with pytest.raises(StorageError, match=r"tiles\.json is no manifest"):
        Manifest.from_json(text, "tiles.json")


def test_an_address_of_another_kind_is_refused() -> None:
    for uri in ("ftp://x/y", "s3://", "bucket/prefix", "file://host/x", "s3://bucket/x?region=y"):
        with pytest.raises(SettingsError, match=r"BURNSCAR_STORE"):
            open_store(uri)


def test_credentials_in_the_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        open_store("s3://someone:sesame@bucket/prefix")
    assert "sesame" not in str(refused.value)
