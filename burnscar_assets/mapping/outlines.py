"""How far two outlines of one fire are apart, measured along both."""

import numpy as np
import shapely
from numpy.typing import NDArray

from burnscar_assets.mapping.grid import Grid


def boundary_distances(
    mapped: NDArray[np.bool_], answered: NDArray[np.bool_], perimeter: shapely.Geometry, grid: Grid
) -> NDArray[np.float64]:
    """Distances between the outer outlines of mapped burned ground and of a perimeter.

    Points lie a pixel apart along each outline; from each, the distance to the nearest point of the other one.
    Points within a pixel of ground that the map has no answer for, or of its edge, are left out.

    Args:
        mapped: (height, width) burned ground.
        answered: (height, width) where the map has an answer.
        perimeter: polygon or multipolygon in the grid's CRS.
        grid: of the rasters.

    Returns:
        (n,) metres, of both directions, both outlines with a point a pixel; empty if one has no such point.
    """
    from scipy import ndimage

    ours, theirs = _outer(_outlines(mapped, grid)), _outer(perimeter)
    if not len(ours) or not len(theirs):
        return np.empty(0)
    known = ndimage.binary_erosion(answered, structure=np.ones((3, 3), dtype=bool))
    spacing = min(grid.transform.a, -grid.transform.e)
    both_ways = [
        _distances(_on_known(_points(one, spacing), known, grid), other)
        for one, other in ((ours, theirs), (theirs, ours))
    ]
    if not all(map(len, both_ways)):
        return np.empty(0)
    return np.concatenate(both_ways) * grid.metres_per_unit


def _outlines(mapped: NDArray[np.bool_], grid: Grid) -> shapely.MultiPolygon:
    from rasterio.features import shapes

    found = shapes(mapped.astype(np.uint8), mask=mapped, connectivity=4, transform=grid.transform)
    return shapely.MultiPolygon([shapely.geometry.shape(geometry) for geometry, _ in found])


def _outer(geometry: shapely.Geometry) -> NDArray[np.object_]:
    """Outer rings of a polygon or multipolygon."""
    return np.asarray(shapely.get_exterior_ring(shapely.get_parts(geometry)))


def _points(rings: NDArray[np.object_], spacing: float) -> NDArray[np.float64]:
    """(n, 2) points along rings, evenly, no farther than `spacing` apart."""
    parts = []
    for ring in rings:
        corners = shapely.get_coordinates(ring)
        reached = np.concatenate([[0.0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
        along = np.linspace(0, reached[-1], max(int(np.ceil(reached[-1] / spacing)), 1), endpoint=False)
        parts.append(np.column_stack([np.interp(along, reached, corners[:, axis]) for axis in (0, 1)]))
    return np.concatenate(parts)


def _on_known(points: NDArray[np.float64], known: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """The points that lie in pixels where `known` holds."""
    transform = grid.transform
    columns = np.floor((points[:, 0] - transform.c) / transform.a).astype(np.int64)
    rows = np.floor((points[:, 1] - transform.f) / transform.e).astype(np.int64)
    inside = (rows >= 0) & (rows < known.shape[0]) & (columns >= 0) & (columns < known.shape[1])
    inside[inside] = known[rows[inside], columns[inside]]
    return points[inside]


def _distances(points: NDArray[np.float64], rings: NDArray[np.object_]) -> NDArray[np.float64]:
    """(n,) distance of each point to the nearest of the rings, in units of the CRS."""
    if not len(points):
        return np.empty(0)
    corners = [shapely.get_coordinates(ring) for ring in rings]
    starts, ends = (np.concatenate([part[cut] for part in corners]) for cut in (slice(None, -1), slice(1, None)))
    tree = shapely.STRtree(shapely.linestrings(np.stack([starts, ends], axis=1)))
    (place, _), distance = tree.query_nearest(shapely.points(points), return_distance=True, all_matches=False)
    result = np.empty(len(points))
    result[place] = distance
    return result
