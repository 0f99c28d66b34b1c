"""The truth of each pixel: perimeters drawn on the windows' own grids. Pure tables and arrays; nothing is written.

A pixel is what its centre is. Inside the window's own fire it is burnt, in another burn that could still show it is
unlabelled, elsewhere unburnt. Within a margin of any of these edges it is unlabelled, as perimeters are no better than
that. Where the own fire and an older scar overlap, the ground is burnt. Windows of stratum `old_scar` say that old
scars are unburnt, so burns of earlier fire years hide nothing there.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from burnscar_assets.classes import BURNT, CLASS_NAMES, UNBURNT, UNLABELLED, Stratum
from burnscar_assets.sampling.lattice import transformer
from burnscar_assets.storage.tables import table_crs

Labels = Mapping[str, NDArray[np.uint8]]
"""By window_id, (rows, columns) of class ids or `classes.UNLABELLED`."""

_SLACK_M: Final = 50.0
"""Geometry is cut so far beyond a window: its footprint is a little turned in the tables' projection."""

_HASH_LENGTH: Final = 16


@dataclass(frozen=True)
class _Met:
    """Shapes that bear on windows.

    Attributes:
        window: (n,) row of the window.
        own: (n,) whether it is the window's own fire.
        shape: (n,) number of the shape, perimeters before burns.
    """

    window: NDArray[np.int64]
    own: NDArray[np.bool_]
    shape: NDArray[np.int64]


@dataclass(frozen=True)
class _Near:
    """Burns near windows of one zone, each cut to its window and in pixels of it.

    Attributes:
        window: (n,) row of the window.
        own: (n,) whether it is the window's own fire.
        area: (n,) what burnt.
        edge: (n,) its edge, widened by the margin.
    """

    window: NDArray[np.int64]
    own: NDArray[np.bool_]
    area: NDArray[np.object_]
    edge: NDArray[np.object_]


def draw_labels(
    windows: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, burns: gpd.GeoDataFrame, margin_m: float
) -> Labels:
    """The label raster of every window.

    Args:
        windows: table `windows`, the region's CRS.
        perimeters: table `fire_perimeters` of the windows' fires, the region's CRS.
        burns: table `burn_history` of the fire year, the region's CRS.
        margin_m: pixels nearer than this to an edge are unlabelled, in metres.

    Returns:
        (size_px, size_px) uint8 by window_id. A burnt or mixed window whose fire has no perimeter is
        unlabelled throughout.
    """
    drawn: dict[str, NDArray[np.uint8]] = {}
    known = set(perimeters["fire_id"])
    for row in windows.itertuples(index=False):
        lost = row.category != CLASS_NAMES[UNBURNT] and row.fire_id not in known
        drawn[row.window_id] = np.full((row.size_px, row.size_px), UNLABELLED if lost else UNBURNT, np.uint8)
    for _, rows in windows.groupby("utm_epsg"):
        names = rows["window_id"].to_numpy()
        near = _near(rows.reset_index(drop=True), perimeters, burns, margin_m)
        for window, layers in _by_window(near):
            for value, shapes in layers:
                _draw(drawn[names[window]], shapes, value)
    return drawn


def label_inputs(
    windows: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, burns: gpd.GeoDataFrame, margin_m: float
) -> dict[str, str]:
    """A digest of all that `draw_labels`, with the same arguments, draws each window's raster from, by window_id."""
    told = windows[["utm_epsg", "min_col", "min_row", "size_px", "resolution_m", "category"]]
    digests = [hashlib.sha256(repr((margin_m, *row)).encode()) for row in told.itertuples(index=False, name=None)]
    met = _met(windows, perimeters, burns, margin_m + _SLACK_M)
    needed, place = np.unique(met.shape, return_inverse=True)
    shapes = [hashlib.sha256(wkb).digest() for wkb in shapely.to_wkb(_shapes(perimeters, burns)[needed])]
    for window, own, shape in zip(met.window.tolist(), met.own.tolist(), place.tolist(), strict=True):
        digests[window].update((b"own" if own else b"other") + shapes[shape])
    names = windows["window_id"]
    return {name: digest.hexdigest()[:_HASH_LENGTH] for name, digest in zip(names, digests, strict=True)}


def describe_labels(windows: gpd.GeoDataFrame, labels: Labels) -> gpd.GeoDataFrame:
    """The windows with `burnt_share`, `unlabelled_share` and `label_hash` of their label rasters."""
    pixels = [labels[name] for name in windows["window_id"]]
    return windows.assign(
        burnt_share=[float((raster == BURNT).mean()) for raster in pixels],
        unlabelled_share=[float((raster == UNLABELLED).mean()) for raster in pixels],
        label_hash=[label_hash(raster) for raster in pixels],
    )


def label_hash(raster: NDArray[np.uint8]) -> str:
    """What a label raster is known by."""
    return hashlib.sha256(raster.tobytes()).hexdigest()[:_HASH_LENGTH]


def _met(windows: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, burns: gpd.GeoDataFrame, reach_m: float) -> _Met:
    """Which shapes bear on each window: those of own fires first, then other burns in the order of their table."""
    own_window, own_fire = _own(windows, perimeters)
    window, burn = burns.sindex.query(windows.geometry.buffer(reach_m), predicate="intersects", sort=True)
    others = _hides(windows.iloc[window], burns.iloc[burn])
    window, burn = window[others], burn[others]
    rows = np.concatenate([own_window, window])
    return _Met(rows, np.arange(len(rows)) < len(own_window), np.concatenate([own_fire, burn + len(perimeters)]))


def _shapes(perimeters: gpd.GeoDataFrame, burns: gpd.GeoDataFrame) -> NDArray[np.object_]:
    return np.concatenate([perimeters.geometry.to_numpy(), burns.geometry.to_numpy()])


def _near(windows: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, burns: gpd.GeoDataFrame, margin_m: float) -> _Near:
    """What each window of a zone has of its own fire, and of other burns that could show in it."""
    reach_m = margin_m + _SLACK_M
    met = _met(windows, perimeters, burns, reach_m)
    boxes = windows.geometry.bounds.to_numpy()[met.window] + np.array([-1, -1, 1, 1]) * reach_m
    needed, place = np.unique(met.shape, return_inverse=True)
    shapes = _shapes(perimeters, burns)[needed]
    area, edge = (
        _in_pixels(windows.iloc[met.window], _cut(parts[place], boxes)) for parts in (shapes, shapely.boundary(shapes))
    )
    margin_px = margin_m / windows["resolution_m"].to_numpy(dtype=float)[met.window]
    return _Near(met.window, met.own, area, shapely.buffer(edge, margin_px))


def _cut(shapes: NDArray[np.object_], boxes: NDArray[np.float64]) -> NDArray[np.object_]:
    """Each shape within a box of its own."""
    cut = np.empty(len(shapes), object)
    cut[:] = [shapely.clip_by_rect(shape, *box) for shape, box in zip(shapes, boxes, strict=True)]
    return cut


def _own(windows: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of windows whose own fire has a perimeter, and the rows of those."""
    fire = pd.Index(perimeters["fire_id"]).get_indexer(windows["fire_id"])
    window = np.flatnonzero(fire >= 0)
    return window, fire[window]


def _hides(windows: gpd.GeoDataFrame, burns: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """Whether a burn leaves pixels unlabelled: not the window's own fire, nor an old scar that counts as unburnt."""
    own = windows["fire_id"].to_numpy(object) == burns["burn_id"].to_numpy(object)
    years = burns["burn_year"].to_numpy(dtype=float, na_value=np.inf)
    earlier = years < windows["fire_year"].to_numpy(dtype=float)
    return ~own & ~(earlier & (windows["stratum"] == Stratum.OLD_SCAR).to_numpy(dtype=bool))


def _in_pixels(windows: gpd.GeoDataFrame, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Shapes in the region's CRS, one a window of one zone, in columns and rows from the window's upper left corner."""
    if not len(shapes):
        return shapes
    project = transformer(table_crs(), f"EPSG:{int(windows['utm_epsg'].iloc[0])}").transform
    counts = shapely.get_num_coordinates(shapes)
    corner = windows[["min_col", "min_row"]].to_numpy(dtype=float).repeat(counts, axis=0)
    resolution_m = windows["resolution_m"].to_numpy(dtype=float).repeat(counts)

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x_m, y_m = project(points[:, 0], points[:, 1])
        return np.column_stack([x_m / resolution_m, -np.asarray(y_m) / resolution_m]) - corner

    return shapely.transform(shapes, place)


def _by_window(near: _Near) -> Iterator[tuple[int, list[tuple[int, list[Any]]]]]:
    """For each window, classes and the shapes that have them, in the order in which they are drawn."""
    order = np.argsort(near.window, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(near.window[order])) + 1) if len(order) else []:
        own, others = rows[near.own[rows]], rows[~near.own[rows]]
        hidden = [*near.area[others], *near.edge[others]]
        layers = [(UNLABELLED, hidden), (BURNT, [*near.area[own]]), (UNLABELLED, [*near.edge[own]])]
        yield int(near.window[rows[0]]), layers


def _draw(raster: NDArray[np.uint8], shapes: list[Any], value: int) -> None:
    """Give pixels whose centres lie in shapes a value."""
    there = [(shape, value) for shape in shapes if not shape.is_empty]
    if there:
        rasterize(there, out=raster)
