"""Unpacking an archive that somebody else packed.

Only regular files and folders that stay inside come out, and no more bytes than the limits allow. The
whole archive is checked before the first byte is written.
"""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from burnscar_assets.errors import InputError
from burnscar_assets.progress import Progress, silent
from burnscar_assets.text import clean

MAX_MEMBERS = 100_000
MAX_EXPANSION = 100
"""Vector data shrinks to a third or a tenth in a zip; a hundredth is a bomb."""

FREE_EXPANSION_BYTES = 50_000_000
"""Below this unpacked size the ratio does not matter."""


def unpack(
    archive: Path,
    folder: Path,
    max_bytes: int,
    progress: Progress = silent,
    *,
    depth: int = 1,
    notes: list[str] | None = None,
) -> dict[str, int]:
    """Extract a zip into an existing empty folder, and zips in it beside themselves.

    Args:
        archive: The zip.
        folder: Where its members go.
        max_bytes: Refuse an archive that unpacks to more.
        progress: Told the bytes written.
        depth: How deep zips in the zip are extracted.
        notes: Which of these can't be, and why, is added, a sentence each.

    Returns:
        The size in bytes of each file, by its path relative to `folder`.

    Raises:
        InputError: not a zip, truncated, encrypted, a member that would land outside, a link, or too large.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = [_with_slashes(member) for member in source.infolist()]
            members = [member for member in members if not member.is_dir()]
            _check(archive, members, max_bytes)
            total, done, sizes = sum(member.file_size for member in members), 0, {}
            for member in members:
                with _extracting(archive, member):
                    target = Path(source.extract(member, folder))
                sizes[target.relative_to(folder).as_posix()] = member.file_size
                done += member.file_size
                progress("unpack", done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"{archive} is not a zip, or is truncated ({error}): fetch it again, completely") from error
    for name in [name for name in sizes if depth and name.lower().endswith(".zip")]:
        sizes |= _nested(folder, name, max_bytes - sum(sizes.values()), depth - 1, notes)
    return sizes


def _nested(folder: Path, name: str, max_bytes: int, depth: int, notes: list[str] | None) -> dict[str, int]:
    """Extract a zip in the zip beside itself, whole or not at all; one that can't be stays as it is, with a note."""
    inside = folder / f"{name}.content"
    inside.mkdir()
    try:
        sizes = unpack(folder / name, inside, max_bytes, depth=depth, notes=notes)
    except InputError as error:
        shutil.rmtree(inside)
        if notes is not None:
            notes.append(f"{clean(name)} was passed over: {clean(str(error).replace(str(folder / name), 'it'))}")
        return {}
    return {(inside / member).relative_to(folder).as_posix(): size for member, size in sizes.items()}


def _with_slashes(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """A member whose name has backslashes between folders, as some Windows programs write them, with slashes."""
    member.filename = member.filename.replace("\\", "/")
    return member


@contextmanager
def _extracting(archive: Path, member: zipfile.ZipInfo) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(
            f"{archive} holds a file and a folder of the name {member.filename!r}: get it elsewhere"
        ) from error


def _check(archive: Path, members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    for member in members:
        if problem := _problem(member):
            raise InputError(f"{archive} holds {problem} {member.filename!r}; nothing was unpacked: get it elsewhere")
    total = sum(member.file_size for member in members)
    allowed = min(max_bytes, max(FREE_EXPANSION_BYTES, MAX_EXPANSION * archive.stat().st_size))
    if total > allowed or len(members) > MAX_MEMBERS:
        raise InputError(
            f"{archive} would unpack to {total} bytes in {len(members)} files, allowed are {allowed} in {MAX_MEMBERS}; "
            "nothing was unpacked: if it is the right file, unpack it yourself and give the folder as release.source"
        )


def _problem(member: zipfile.ZipInfo) -> str | None:
    name = member.orig_filename
    if "\0" in name or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        return "a member with an absolute path,"
    if ".." in PureWindowsPath(name).parts:  # splits at both kinds of slash
        return "a member that climbs out of its folder,"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link or device,"
    return "an encrypted member," if member.flag_bits & 0x1 else None
