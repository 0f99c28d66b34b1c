import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.labels import archive
from burnscar_assets.labels.archive import unpack

LIMIT = 10_000_000


def _zip(path: Path, members: dict[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def _inside(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "er" / "content"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_what_was_packed_comes_out(tmp_path: Path) -> None:
    source = _zip(tmp_path / "a.zip", {"x.gdb/": b"", "x.gdb/one": b"1" * 1000, "read me.txt": b"hello"})
    assert unpack(source, _inside(tmp_path), LIMIT) == {"x.gdb/one": 1000, "read me.txt": 5}
    assert (_inside(tmp_path) / "x.gdb" / "one").read_bytes() == b"1" * 1000


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil", "\\\\host\\share\\evil", "a/.."]
)
def test_a_member_that_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    source = _zip(tmp_path / "a.zip", {"good": b"good", name: b"evil"})
    with pytest.raises(InputError, match="nothing was unpacked"):
        unpack(source, _inside(tmp_path), LIMIT)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [source]


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match="link"):
        unpack(_zip(tmp_path / "a.zip", {link: b"/etc/passwd"}), _inside(tmp_path), LIMIT)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    source = _zip(tmp_path / "a.zip", {"a": b"secret"})
    content = bytearray(source.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    source.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        unpack(source, _inside(tmp_path), LIMIT)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _zip(tmp_path / "a.zip", {"zeros": b"\0" * 2_000_000})
    with pytest.raises(InputError, match="would unpack to 2000000 bytes"):
        unpack(source, _inside(tmp_path), 1_000_000)
    monkeypatch.setattr(archive, "FREE_EXPANSION_BYTES", 100_000)
    with pytest.raises(InputError, match="would unpack"):
        unpack(source, _inside(tmp_path), LIMIT)
    assert not list(_inside(tmp_path).iterdir())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_truncated_zip_is_refused(tmp_path: Path, share: float) -> None:
    source = _zip(tmp_path / "a.zip", {"one": bytes(range(256)) * 20, "two": b"2" * 5000})
    whole = source.read_bytes()
    source.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match="truncated"):
        unpack(source, _inside(tmp_path), LIMIT)


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    source = _zip(tmp_path / "a.zip", {"one": bytes(range(256)) * 20})
    content = bytearray(source.read_bytes())
    content[60:70] = b"\xff" * 10
    source.write_bytes(content)
    with pytest.raises(InputError, match="truncated"):
        unpack(source, _inside(tmp_path), LIMIT)
