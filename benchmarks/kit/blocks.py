"""The floors of imagery: the blocks that windows need, their bytes, and what fetching or decoding them alone takes.

Run as `python -m kit.blocks WHAT ADDRESS FOLDER SCENES WINDOWS`, where WHAT is `decode` (from the archive's folder) or
`fetch` (from its address on the slow server): each file once, each block once, nothing else. Prints what it took as one
JSON line. SCENES are the archive's measures as JSON: side in pixels, granules, days.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import requests

from burnscar_assets.demo.cogs import TILE_PX
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from kit.scenes import Scene, band_path, scenes

CONNECTIONS = 32
SIZE_FIELDS = 8
"""Bytes between two blocks of a COG: the size of one after it, the size of the next before it."""


@dataclass(frozen=True)
class Block:
    """A block of a band of a scene, and where its bytes are in the file."""

    row: int
    column: int
    first_byte: int
    bytes: int


def needed_blocks(folder: Path, wanted: list[Scene], windows: gpd.GeoDataFrame) -> dict[Path, list[Block]]:
    """The distinct blocks, by file, whose pixels the windows are cut or interpolated from.

    A band that is coarser than the windows is interpolated bilinearly, from pixels half a pixel beyond the window.
    """
    found: dict[Path, set[tuple[int, int]]] = defaultdict(set)
    for scene in wanted:
        mine = windows[_shows(scene, windows)]
        side_m = mine["size_px"] * mine["resolution_m"]
        west_m = mine["min_col"] * mine["resolution_m"] - scene.granule.west_m
        north_m = scene.granule.north_m + mine["min_row"] * mine["resolution_m"]
        for band in BANDS:
            resolution_m = BAND_RESOLUTION_M[band]
            beyond_m = 0 if resolution_m == 10 else resolution_m / 2
            last = scene.granule.side_m // resolution_m - 1
            edges = [west_m - beyond_m, west_m + side_m + beyond_m, north_m - beyond_m, north_m + side_m + beyond_m]
            west, east, north, south = (
                (np.clip(edge.to_numpy(float) / resolution_m - off, 0, last) // TILE_PX).astype(int)
                for edge, off in zip(edges, (0, 1e-6, 0, 1e-6), strict=True)
            )
            for left, right, top, bottom in zip(west, east, north, south, strict=True):
                found[band_path(folder, scene, band)].update(
                    (row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)
                )
    return {path: list(_locate(path, sorted(blocks))) for path, blocks in found.items()}


def _shows(scene: Scene, windows: gpd.GeoDataFrame) -> "gpd.GeoSeries":
    """Which windows lie in the scene and want its day."""
    granule = scene.granule
    x_m = windows["min_col"] * windows["resolution_m"]
    y_m = -windows["min_row"] * windows["resolution_m"]
    inside = x_m.between(granule.west_m, granule.west_m + granule.side_m, inclusive="left")
    inside &= y_m.between(granule.north_m - granule.side_m, granule.north_m, inclusive="right")
    return inside & (windows["start_time"] <= scene.acquired) & (windows["end_time"] > scene.acquired)


def _locate(path: Path, blocks: list[tuple[int, int]]) -> Iterator[Block]:
    with rasterio.open(path) as source:
        for row, column in blocks:
            first, size = (
                int(source.get_tag_item(f"BLOCK_{name}_{column}_{row}", "TIFF", bidx=1)) for name in ("OFFSET", "SIZE")
            )
            yield Block(row, column, first, size)


def decode(needed: dict[Path, list[Block]]) -> None:
    """Open each file once and decode each block once, on one core."""
    for path, blocks in needed.items():
        with rasterio.open(path) as source:
            for block in blocks:
                source.read(1, window=source.block_window(1, block.row, block.column))


def fetch(address: str, folder: Path, needed: dict[Path, list[Block]]) -> None:
    """Get the bytes of each block, those that are next to each other with one request, over many connections."""
    sessions: list[requests.Session] = []

    def get(run: tuple[Path, int, int]) -> int:
        path, first, last = run
        session = sessions.pop() if sessions else requests.Session()
        headers = {"Range": f"bytes={first}-{last - 1}"}
        answer = session.get(f"{address}/{path.relative_to(folder).as_posix()}", headers=headers, timeout=60)
        answer.raise_for_status()
        sessions.append(session)
        return len(answer.content)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(get, [(path, *run) for path, blocks in needed.items() for run in _runs(blocks)]))


def _runs(blocks: list[Block]) -> Iterator[tuple[int, int]]:
    """First byte, and the one after the last, of blocks that follow each other but for their size fields."""
    ordered = sorted(blocks, key=lambda block: block.first_byte)
    first, last = ordered[0].first_byte, ordered[0].first_byte
    for block in ordered:
        if block.first_byte - last > SIZE_FIELDS:
            yield first, last
            first = block.first_byte
        last = block.first_byte + block.bytes
    yield first, last


def main(what: str, place: str, archive: Path, measures: str, windows: Path) -> None:
    """Decode or fetch what windows need."""
    needed = needed_blocks(archive, scenes(**json.loads(measures)), gpd.read_parquet(windows))
    begin, began = time.perf_counter(), time.process_time()
    if what == "decode":
        decode(needed)
    else:
        fetch(place, archive, needed)
    cpu_s = time.process_time() - began
    blocks = [block.bytes for found in needed.values() for block in found]
    print(
        json.dumps({"blocks": len(blocks), "bytes": sum(blocks), "wall_s": time.perf_counter() - begin, "cpu_s": cpu_s})
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
