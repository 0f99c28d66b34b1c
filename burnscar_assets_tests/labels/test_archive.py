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


def test_backslashes_between_folders_are_slashes(tmp_path: Path) -> None:
    archive = tmp_path / "windows.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for name in ("perimeters\\", "perimeters\\firep24_1.shp", "perimeters\\deep\\a.dbf"):
            target.writestr(zipfile.ZipInfo(name), b"" if name.endswith("\\") else b"x")
    (tmp_path / "out").mkdir()
    assert unpack(archive, tmp_path / "out", 10**6) == {"perimeters/firep24_1.shp": 1, "perimeters/deep/a.dbf": 1}
    assert (tmp_path / "out" / "perimeters" / "deep" / "a.dbf").read_bytes() == b"x"


def test_names_in_other_encodings_come_out(tmp_path: Path) -> None:
    archive = tmp_path / "names.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("CA_ON.dbf", b"x")
    archive.write_bytes(archive.read_bytes().replace(b"CA_ON", b"CA\xd1ON"))
    (tmp_path / "out").mkdir()
    assert len(unpack(archive, tmp_path / "out", 10**6)) == 1


def test_zips_in_a_zip_are_extracted_beside_themselves_and_odd_ones_left(tmp_path: Path) -> None:
    inner, archive = tmp_path / "inner.zip", tmp_path / "outer.zip"
    with zipfile.ZipFile(inner, "w") as target:
        target.writestr("firep24_1.shp", b"x")
        target.writestr("again.zip", b"PK")
    with zipfile.ZipFile(archive, "w") as target:
        target.write(inner, "a/inner.zip")
        target.writestr("broken.zip", b"PK no zip")
    (tmp_path / "out").mkdir()
    sizes = unpack(archive, tmp_path / "out", 10**6)
    assert sizes["a/inner.zip.content/firep24_1.shp"] == 1
    assert {name for name in sizes if name.endswith(".zip")} == {
        "a/inner.zip", "broken.zip", "a/inner.zip.content/again.zip",
    }  # fmt: skip


def test_what_zips_in_a_zip_unpack_to_counts(tmp_path: Path) -> None:
    inner, archive = tmp_path / "inner.zip", tmp_path / "outer.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("big.shp", bytes(500_000))
    with zipfile.ZipFile(archive, "w") as target:
        target.write(inner, "inner.zip")
    (tmp_path / "out").mkdir()
    assert set(unpack(archive, tmp_path / "out", 100_000)) == {"inner.zip"}


@pytest.mark.parametrize(("max_bytes", "why"), [(10**6, "is truncated"), (14_000, "would unpack to")])
def test_a_zip_in_the_zip_that_cannot_be_extracted_leaves_nothing_but_a_note(
    tmp_path: Path, max_bytes: int, why: str
) -> None:
    inner = _zip(tmp_path / "inner.zip", {"first.shp": b"1" * 9000, "second.shp": bytes(range(256)) * 20})
    content = bytearray(inner.read_bytes())
    second = content.index(b"second.shp")
    content[second + 20 : second + 40] = b"\xff" * 20
    outer = _zip(tmp_path / "outer.zip", {"a/inner.zip": bytes(content), "readme.txt": b"x"})
    (tmp_path / "out").mkdir()
    notes: list[str] = []
    assert set(unpack(outer, tmp_path / "out", max_bytes, notes=notes)) == {"a/inner.zip", "readme.txt"}
    assert not list((tmp_path / "out").rglob("*.shp")) and not list((tmp_path / "out").rglob("*.content"))
    assert len(notes) == 1 and notes[0].startswith("a/inner.zip was passed over: it ") and why in notes[0]
    assert str(tmp_path) not in notes[0]


def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "odd.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("a", b"x")
        target.writestr("a/b", b"x")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="a file and a folder of the name"):
        unpack(archive, tmp_path / "out", 10**6)
