"""Outlines of burned ground from a map's files, with no more of it in memory than one connected piece.

Blocks whose burned pixels touch, corners included, go together; each such group of blocks is drawn by itself. No patch
and no island that burned ground encloses reaches from one group into another, so the outlines are those that the whole
raster would give.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from rasterio.windows import Window
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from burnscar_assets.mapping.frame import Box, Frame, transform_of
from burnscar_assets.mapping.polygons import burned_polygons
from burnscar_assets.mapping.rasters import BURNED, PROBABILITY

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Edges:
    """Burned pixels along a block's edges."""

    top: Mask
    bottom: Mask
    left: Mask
    right: Mask


def polygons_by_blocks(
    folder: Path, frame: Frame, block_px: int, *, min_area_ha: float, min_hole_ha: float
) -> gpd.GeoDataFrame:
    """Polygons of burned ground of a map's folder, as `polygons.burned_polygons` has them.

    Args:
        folder: with `burned.tif` and `probability.tif`.
        frame: the map's pixels.
        block_px: side of the blocks, in pixels.
        min_area_ha: smaller patches are left out.
        min_hole_ha: smaller unburnt islands are filled.
    """
    with rasterio.open(folder / BURNED.file) as burned, rasterio.open(folder / PROBABILITY.file) as probability:
        parts = []
        for group in _groups(burned, frame, block_px) or [[frame.blocks(block_px)[0]]]:
            around = _around(group)
            pixels = _read(burned, frame, around)
            others = np.ones(pixels.shape, bool)
            for box in group:
                others[box.slices_in(around)] = False
            pixels[others & (pixels == 1)] = 0
            parts.append(
                burned_polygons(
                    pixels,
                    _read(probability, frame, around),
                    transform_of(around, frame.resolution_m),
                    frame.crs,
                    min_area_ha=min_area_ha,
                    min_hole_ha=min_hole_ha,
                )
            )
    found = [part for part in parts if len(part)] or parts[:1]
    together = gpd.GeoDataFrame(pd.concat(found, ignore_index=True), crs=frame.crs)
    bounds = together.bounds
    order = np.lexsort((bounds["miny"], bounds["minx"], -together["area_ha"]))
    return together.iloc[order].reset_index(drop=True)


def _groups(burned: rasterio.DatasetReader, frame: Frame, block_px: int) -> list[list[Box]]:
    """Blocks with burned ground, those that touch together."""
    edges: dict[tuple[int, int], _Edges] = {}
    boxes: dict[tuple[int, int], Box] = {}
    for box in frame.blocks(block_px):
        pixels = _read(burned, frame, box) == 1
        if pixels.any():
            place = ((box.top - frame.box.top) // block_px, (box.left - frame.box.left) // block_px)
            boxes[place] = box
            edges[place] = _Edges(pixels[0].copy(), pixels[-1].copy(), pixels[:, 0].copy(), pixels[:, -1].copy())
    number = {place: n for n, place in enumerate(boxes)}
    links = [(number[one], number[other]) for one, other in _touching(edges)]
    rows, columns = np.array(links, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(len(boxes), len(boxes)))
    count, group = connected_components(graph, directed=False) if boxes else (0, np.empty(0, int))
    members = list(boxes.values())
    return [[members[n] for n in np.flatnonzero(group == which)] for which in range(count)]


def _touching(edges: dict[tuple[int, int], _Edges]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Neighbouring blocks whose burned pixels share an edge or a corner."""
    for (row, column), mine in edges.items():
        right, below = edges.get((row, column + 1)), edges.get((row + 1, column))
        if right is not None and (_widened(mine.right) & right.left).any():
            yield (row, column), (row, column + 1)
        if below is not None and (_widened(mine.bottom) & below.top).any():
            yield (row, column), (row + 1, column)
        across, back = edges.get((row + 1, column + 1)), edges.get((row + 1, column - 1))
        if across is not None and mine.bottom[-1] and across.top[0]:
            yield (row, column), (row + 1, column + 1)
        if back is not None and mine.bottom[0] and back.top[-1]:
            yield (row, column), (row + 1, column - 1)


def _widened(edge: Mask) -> Mask:
    wide = edge.copy()
    wide[1:] |= edge[:-1]
    wide[:-1] |= edge[1:]
    return wide


def _around(group: Sequence[Box]) -> Box:
    return Box(
        min(box.left for box in group),
        min(box.top for box in group),
        max(box.right for box in group),
        max(box.bottom for box in group),
    )


def _read(source: rasterio.DatasetReader, frame: Frame, box: Box) -> npt.NDArray[Any]:
    rows, columns = box.slices_in(frame.box)
    return np.asarray(source.read(1, window=Window.from_slices(rows, columns)))
