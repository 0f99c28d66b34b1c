"""One fire edited, from perimeters through windows to tiles: everything else keeps its bytes and times."""

import dataclasses
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyproj
import pytest
import shapely

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.classes import Stratum
from burnscar_assets.dataset.definition import define_windows
from burnscar_assets.dataset.materialize import TileSummary, materialize_tiles
from burnscar_assets.dataset.packed.pack import pack_path
from burnscar_assets.dataset.windows import WindowChanges, is_packed, write_windows
from burnscar_assets.sampling.points import sample_points
from burnscar_assets.settings import ImagerySettings, SamplingSettings, SplitSettings, WindowSettings
from burnscar_assets.storage.contracts import TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    EPSG,
    LEFT,
    SIDE_M,
    TOP,
    YEAR,
    SmallScene,
    make_dataset,
    write_archive,
)
from burnscar_assets_tests.sampling.fire_worlds import Fire, history_of, perimeters_of

EAST_M = (0, 12_000, 24_000)
LAND = gpd.GeoDataFrame(geometry=[shapely.box(-200_000, 50_000, -100_000, 130_000)], crs="EPSG:3310")
SAMPLING = SamplingSettings(
    points_per_sqrt_window=4,
    unburnt_per_burnt={Stratum.RING: 0.5, Stratum.LAND: 0.5},
    splits=SplitSettings(block_km=500),
)


@dataclass(frozen=True)
class Made:
    """What a pass over the stages made."""

    windows: gpd.GeoDataFrame
    tiles: pd.DataFrame
    window_changes: WindowChanges
    tile_changes: TileSummary
    files: dict[str, dict[str, Any]]
    """Bytes and modification time of every file, or every row of the pack with its number, by window."""


def fires_in_scenes() -> list[Fire]:
    """A fire in the middle of each scene."""
    to_albers = pyproj.Transformer.from_crs(EPSG, 3310, always_xy=True).transform
    centres = [to_albers(LEFT + east + SIDE_M / 2, TOP - SIDE_M / 2) for east in EAST_M]
    return [Fire(x, y, 900, name=f"fire {number}") for number, (x, y) in enumerate(centres)]


def make(root: DataRoot, fires: list[Fire], imagery: ImagerySettings) -> Made:
    """Run the stages from perimeters to tiles."""
    perimeters, size = perimeters_of(fires, YEAR), WindowSettings()
    sampled = sample_points(perimeters, history_of([]), YEAR, SAMPLING, size, land=LAND, hard_negatives=None)
    windows = define_windows(sampled.points, size)
    window_changes = write_windows(windows, root.dataset, fire_years=[YEAR])
    matches, _ = match_scenes(windows, root.dataset, imagery)
    tiles, tile_changes = materialize_tiles(windows, matches, root.dataset, imagery)
    return Made(windows, tiles, window_changes, tile_changes, files_by_window(root.dataset))


def files_by_window(dataset: Path) -> dict[str, dict[str, Any]]:
    if is_packed(dataset):
        return rows_by_window(pack_path(dataset, str(YEAR)))
    return {
        window.name: {
            str(path.relative_to(window)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(window.rglob("*"))
            if path.is_file()
        }
        for window in sorted((dataset / "windows" / f"{YEAR}").iterdir())
    }


def rows_by_window(pack: Path) -> dict[str, dict[str, Any]]:
    with closing(sqlite3.connect(pack)) as file:
        names = dict(file.execute("SELECT id, name FROM windows"))
        rows: dict[str, dict[str, Any]] = {name: {"window": number} for number, name in names.items()}
        for table in ("layer_datas", "vectors", "rasters"):
            cursor = file.execute(f"SELECT id, window, * FROM {table}")
            for number, window, *values in cursor:
                rows[names[window]][f"{table} {number}"] = values
    return rows


def tiled(made: Made) -> set[str]:
    return set(made.tiles.loc[made.tiles["complete"], "window_id"])


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "packed"])
def test_only_what_an_edited_fire_touches_is_made_again(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    scenes = [SmallScene(f"over {east}", east_m=east, surface=east) for east in EAST_M]
    imagery = make_dataset(root, write_archive(tmp_path, *scenes), packed=packed, max_nodata_fraction=0.0)
    fires = fires_in_scenes()
    first = make(root, fires, imagery)
    assert first.window_changes == WindowChanges(kept=0, made=len(first.windows), replaced=0, removed=0)
    assert first.tile_changes.made == len(tiled(first)) > 10

    moved = [fires[0], dataclasses.replace(fires[1], x_m=fires[1].x_m + 300), fires[2]]
    second = make(root, moved, imagery)
    before, after = set(first.windows["window_id"]), set(second.windows["window_id"])
    kept, gone, new = before & after, before - after, after - before
    assert set(first.windows.set_index("window_id").loc[list(gone), "fire_id"]) <= {"fire 1", ""}
    assert set(second.windows.set_index("window_id").loc[list(new), "fire_id"]) <= {"fire 1", ""}
    assert min(len(kept), len(gone), len(new)) > 3
    assert second.window_changes == WindowChanges(len(kept), len(new), 0, len(gone))

    assert {name: second.files[name] for name in kept} == {name: first.files[name] for name in kept}
    assert second.files.keys() == after
    changes = second.tile_changes
    assert (changes.kept, changes.replaced) == (len(tiled(first) & kept), 0)
    assert (changes.made, changes.removed) == (len(tiled(second) & new), len(tiled(first) & gone))
    assert min(changes.kept, changes.made, changes.removed) > 0

    for ledger in root.dataset.glob(".burnscar/tiles-*.json"):
        assert not gone & json.loads(ledger.read_text()).keys()

    third = make(root, fires, imagery)
    assert TILES.content_hash(third.tiles) == TILES.content_hash(first.tiles)
    again = third.tile_changes
    assert (again.kept, again.made, again.removed) == (changes.kept, changes.removed, changes.made)


def test_a_removed_fire_takes_its_windows_and_tiles_with_it(root: DataRoot, tmp_path: Path) -> None:
    imagery = make_dataset(root, write_archive(tmp_path, *(SmallScene(f"over {e}", east_m=e) for e in EAST_M)))
    fires = fires_in_scenes()
    first = make(root, fires, imagery)
    second = make(root, fires[:1], imagery)
    assert second.window_changes.removed == len(first.windows) - len(second.windows) > 0
    assert second.tile_changes.removed == len(tiled(first)) - len(tiled(second)) > 0
    assert {name: first.files[name] for name in second.files} == second.files

    none = make(root, [], imagery)
    assert (none.window_changes.removed, none.tile_changes.windows) == (len(second.windows), 0)
    assert none.files == {}
