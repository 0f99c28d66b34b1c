"""The pages of a folder of maps: one of each map, an index over them, and one over all folders beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from filelock import FileLock

from burnscar_assets.errors import InputError
from burnscar_assets.publish.catalogue import write_collection
from burnscar_assets.publish.pages.doubts import DOUBTS_FOLDER
from burnscar_assets.publish.pages.drawing import drawing_of
from burnscar_assets.publish.pages.index import (
    MapFolder,
    ShownMap,
    Standings,
    is_fire_year,
    keep_standings,
    read_standings,
    totals,
    year_page,
    years_page,
)
from burnscar_assets.publish.pages.page import fire_page
from burnscar_assets.publish.pages.records import (
    PAGE_FILE,
    BrokenMap,
    ReadMap,
    Unmapped,
    read_maps,
    read_unmapped,
    write_unmapped,
)
from burnscar_assets.publish.qgis import PROJECT_FILE, qgis_project
from burnscar_assets.publish.stac import MAP_FOLDER
from burnscar_assets.storage.atomic import storage_errors, write_if_changed

_LOCK: Final = ".pages.lock"


def write_pages(year_folder: Path, *, title: str, simulated: bool, unmapped: Sequence[Unmapped] | None = None) -> Path:
    """Write the page of each map in a folder, the folder's index, and the index over all folders beside it.

    Each map gets a QGIS project too, and folders get a STAC collection and a catalogue over them. What is as it should
    be is left untouched, so a second call writes nothing. Every sub-folder with a `map.json` is listed, a broken one
    with its reason. `unmapped` are fires that were to be mapped and have no usable image; by default, those that were
    noted before. Returns the folder's `index.html`.

    Raises:
        StorageError: a file can't be written.
    """
    with storage_errors(year_folder):
        year_folder.mkdir(parents=True, exist_ok=True)
    shown: list[ShownMap] = []
    broken: list[BrokenMap] = []
    for found in read_maps(year_folder):
        try:
            if isinstance(found, ReadMap):
                shown.append(_write_map(found, title, simulated))
            else:
                broken.append(found)
        except InputError as error:
            broken.append(BrokenMap(found.folder, str(error)))
    if unmapped is not None:
        write_unmapped(year_folder, unmapped)
    index = year_folder / PAGE_FILE
    page = year_page(
        shown, broken, read_unmapped(year_folder), title=title, simulated=simulated, summed=is_fire_year(year_folder)
    )
    write_if_changed(index, page.encode())
    folder = _folder(year_folder, [*(item.read for item in shown), *broken], simulated)
    write_collection(year_folder, [a_map.folder for a_map in folder.maps], title=title, simulated=folder.simulated)
    with storage_errors(year_folder), FileLock(year_folder.parent / _LOCK):  # other years may be written beside it
        _write_index(year_folder.parent, folder)
    return index


def write_standings(folder: Path, standings: Standings) -> None:
    """Report on the index over all folders of maps how set-ups map; where there is no map yet, it waits for one.

    Raises:
        StorageError: a file can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with storage_errors(folder), FileLock(folder / _LOCK):
        keep_standings(folder, standings)
        _write_index(folder)


def link_doubts(folder: Path) -> None:
    """Have the index over all folders of maps link to the page of doubtful perimeters beside them.

    Raises:
        StorageError: a file can't be written.
    """
    with storage_errors(folder), FileLock(folder / _LOCK):
        _write_index(folder)


def _write_map(a_map: ReadMap, title: str, simulated: bool) -> ShownMap:
    drawing = drawing_of(a_map)
    write_if_changed(a_map.folder / PROJECT_FILE, qgis_project(a_map))
    page = fire_page(a_map, drawing, folder_title=title, simulated=simulated)
    write_if_changed(a_map.folder / PAGE_FILE, page.encode())
    return ShownMap(a_map, drawing)


def _write_index(place: Path, mine: MapFolder | None = None) -> None:
    """Write the index over all folders of maps, of which one may be known already; without any, there is none."""
    there = {path for path in place.iterdir() if MAP_FOLDER.fullmatch(path.name) and (path / PAGE_FILE).is_file()}
    folders = {path: _folder(path, list(read_maps(path))) for path in there if mine is None or path != mine.path}
    folders |= {} if mine is None else {mine.path: mine}
    if folders:
        doubts = f"{DOUBTS_FOLDER}/{PAGE_FILE}"
        found = [folders[path] for path in sorted(folders)]
        page = years_page(found, read_standings(place), doubts if (place / doubts).is_file() else "")
        write_if_changed(place / PAGE_FILE, page.encode())


def _folder(path: Path, found: Sequence[ReadMap | BrokenMap], simulated: bool = False) -> MapFolder:
    maps = tuple(item for item in found if isinstance(item, ReadMap))
    says_so = simulated or any(a_map.record.simulated for a_map in maps)
    return MapFolder(path, totals(maps, len(found) - len(maps), len(read_unmapped(path))), maps, says_so)
