import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError, SourceUnavailableError, StorageError
from burnscar_assets.labels.download import CHUNK_BYTES, Download, RemoteVersion, download
from burnscar_assets.settings import ReleaseSettings
from burnscar_assets_tests.labels.label_servers import FileSite, serving

BODY = bytes(range(256)) * 2000
NOTHING = RemoteVersion()


def _fetch(site: FileSite, part: Path, have: RemoteVersion = NOTHING, **changes: float) -> Download | None:
    with serving(site) as address:
        url = f"{address}/fire241gdb.zip"
        return download(url, part, ReleaseSettings(source=url, **{"timeout_s": 5, **changes}), have)


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    site = FileSite(BODY, cuts=[2 * CHUNK_BYTES + 10, CHUNK_BYTES])
    done = _fetch(site, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    assert done is not None
    assert done.version.etag == '"v1"'
    assert [r.get("Range") for r in site.requests] == [None, f"bytes={2 * CHUNK_BYTES}-", f"bytes={3 * CHUNK_BYTES}-"]
    assert site.sent == len(BODY) + 10, "only the rest of the chunk was sent twice"


def test_a_download_goes_on_in_the_next_process(tmp_path: Path) -> None:
    site = FileSite(BODY, cuts=[CHUNK_BYTES])
    with pytest.raises(SourceUnavailableError, match="broke off"):
        _fetch(site, tmp_path / "part", retries=0)
    assert (tmp_path / "part").stat().st_size == CHUNK_BYTES
    _fetch(site, tmp_path / "part", retries=0)
    assert (tmp_path / "part").read_bytes() == BODY
    assert site.requests[-1]["If-Range"] == '"v1"'


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=4), etag=st.sampled_from(['"v1"', 'W/"v1"', None]))
def test_whatever_the_cuts_the_bytes_are_right(tmp_path: Path, cuts: list[int], etag: str | None) -> None:
    part = tmp_path / "part"
    _fetch(FileSite(BODY, etag=etag, cuts=list(cuts)), part, retries=len(cuts))
    assert part.read_bytes() == BODY


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_version_that_changed_meanwhile_starts_over(tmp_path: Path, honours_if_range: bool) -> None:
    with pytest.raises(SourceUnavailableError):
        _fetch(FileSite(BODY, cuts=[CHUNK_BYTES]), tmp_path / "part", retries=0)
    newer = FileSite(BODY[::-1], etag='"v2"', honours_if_range=honours_if_range)
    done = _fetch(newer, tmp_path / "part", retries=1)
    assert (tmp_path / "part").read_bytes() == BODY[::-1]
    assert done is not None
    assert done.version.etag == '"v2"'


def test_a_weak_etag_promises_no_bytes_so_the_date_is_asked(tmp_path: Path) -> None:
    site = FileSite(BODY, etag='W/"v1"', cuts=[CHUNK_BYTES])
    _fetch(site, tmp_path / "part")
    assert site.requests[-1]["If-Range"] == site.last_modified


def test_without_versions_it_starts_over(tmp_path: Path) -> None:
    site = FileSite(BODY, etag=None, last_modified=None, cuts=[CHUNK_BYTES])
    _fetch(site, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    assert "Range" not in site.requests[-1]


def test_a_part_that_was_complete_needs_no_bytes(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(BODY)
    (tmp_path / "part.json").write_text(json.dumps({"etag": '"v1"', "last_modified": None}))
    site = FileSite(BODY)
    done = _fetch(site, part)
    assert done is not None
    assert done.version.etag == '"v1"'
    assert site.sent == 0
    assert part.read_bytes() == BODY


@pytest.mark.parametrize("conditional", [True, False])
def test_the_version_at_hand_is_not_fetched_again(tmp_path: Path, conditional: bool) -> None:
    site = FileSite(BODY, conditional=conditional)
    assert _fetch(site, tmp_path / "part", have=RemoteVersion('"v1"', None)) is None
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_above_the_limit_is_refused(tmp_path: Path, chunked: bool) -> None:
    site = FileSite(b"x" * 1_200_000, chunked=chunked)
    with pytest.raises(InputError, match="max_download_mb = 1"):
        _fetch(site, tmp_path / "part", max_download_mb=1)
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(tmp_path: Path) -> None:
    busy = FileSite(BODY, statuses=[503, 429])
    _fetch(busy, tmp_path / "part")
    assert len(busy.requests) == 3
    refusing = FileSite(BODY, statuses=[403, 403])
    with pytest.raises(InputError, match=r"403.*release\.user_agent"):
        _fetch(refusing, tmp_path / "other")
    assert len(refusing.requests) == 1


def test_the_server_sees_a_browser(tmp_path: Path) -> None:
    site = FileSite(BODY)
    _fetch(site, tmp_path / "part")
    assert site.requests[0]["User-Agent"].startswith("Mozilla/5.0")
    assert site.requests[0]["Referer"] == "https://www.fire.ca.gov/"


def test_nobody_there_and_nonsense_addresses(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match=r"2 tries.*try again later"):
        download("http://127.0.0.1:9/x.zip", tmp_path / "p", ReleaseSettings(source="x", retries=1), NOTHING)
    with pytest.raises(InputError, match="not a web address"):
        download("http://", tmp_path / "p", ReleaseSettings(source="x"), NOTHING)


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "part").symlink_to("/dev/full")
    monkeypatch.setattr("burnscar_assets.labels.download.discard", lambda part: None)
    with pytest.raises(StorageError, match="no space left"):
        _fetch(FileSite(BODY), tmp_path / "part")
