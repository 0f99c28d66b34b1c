"""From a raster of burned ground to polygons: minimum mapping unit, outlines honest to the pixel, holes kept.

Burnt pixels belong together where they share an edge (4-connected), unburnt ones also where they share a corner
(8-connected), so that two patches or a patch and a hole never cross.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import shape

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.grid import NO_ANSWER, Grid, check_raster, grid_of

MIN_AREA_HA = 0.5
MIN_HOLE_HA = 0.1
LARGEST_CHANGE = 0.01
"""By what share of its area smoothing may change a patch."""

_EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class _Patch:
    """One patch in pixels: its outline on pixel edges, and what was counted on it."""

    outline: shapely.Polygon
    pixels: int
    mean_probability: float
    islands: int


def burned_polygons(
    burned: NDArray[np.generic],
    probability: NDArray[np.floating] | None,
    transform: Affine,
    crs: object,
    *,
    min_area_ha: float = MIN_AREA_HA,
    min_hole_ha: float = MIN_HOLE_HA,
) -> gpd.GeoDataFrame:
    """Polygons of burned ground, one a patch, largest first.

    The outline runs through the middles of the pixels' edges, which cuts each corner by half a pixel, and is then
    simplified. No point of it is farther than half a pixel's diagonal from the pixels' outline, no two patches
    overlap, and no ring is lost. Where this would change a patch's area by more than 1 %, it is smoothed less, or
    keeps its pixel outline.

    Args:
        burned: (height, width) 0 unburnt, 1 burnt, 255 not known.
        probability: (height, width) probability of burnt, 0–1, not finite or negative where not known; None if
            there is none.
        transform: affine transform of the raster.
        crs: projected CRS of the raster.
        min_area_ha: smaller patches are left out.
        min_hole_ha: smaller unburnt islands are filled; ground that is not known never is.

    Returns:
        In the raster's CRS: geometry (valid polygon), area_ha (of its pixels, as in the raster), mean_probability
        (NaN without one), holes (unburned islands; a hole where all is unknown is none), outline_area_change (by
        smoothing, a share of the area).

    Raises:
        InputError: a raster of other values or shapes, or a grid that hectares can't be measured on.
    """
    grid = grid_of(transform, crs)
    burned = check_raster(burned)
    if probability is not None and probability.shape != burned.shape:
        raise InputError(f"probability has shape {probability.shape}, but burned ground {burned.shape}")
    rows, columns = _around(burned == 1)
    burned = burned[rows, columns]
    probability = None if probability is None else probability[rows, columns]
    grid = Grid(transform @ Affine.translation(columns.start, rows.start), grid.crs)
    sieved = sieve(burned, grid.pixel_ha, min_area_ha=min_area_ha, min_hole_ha=min_hole_ha)
    patches = sorted(_patches(sieved, probability), key=lambda patch: (-patch.pixels, patch.outline.bounds))
    outlines, changes = _smoothed([patch.outline for patch in patches], grid)
    figures = {
        "area_ha": np.array([patch.pixels for patch in patches], dtype=np.float64) * grid.pixel_ha,
        "mean_probability": np.array([patch.mean_probability for patch in patches], dtype=np.float64),
        "holes": np.array([patch.islands for patch in patches], dtype=np.int64),
        "outline_area_change": changes,
    }
    return gpd.GeoDataFrame(figures, geometry=outlines, crs=grid.crs)


def sieve(burned: NDArray[np.uint8], pixel_ha: float, *, min_area_ha: float, min_hole_ha: float) -> NDArray[np.uint8]:
    """The raster without patches and unburnt islands below a minimum mapping unit.

    Small patches go first, then small islands that burnt ground encloses wholly. An island at the raster's edge or
    beside unknown ground has no known size, and stays.

    Args:
        burned: (height, width) 0 unburnt, 1 burnt, 255 not known.
        pixel_ha: area of a pixel, hectares.
        min_area_ha: patches below become unburnt.
        min_hole_ha: islands below become burnt.

    Returns:
        A raster of the same shape; 255 is where it was.
    """
    from scipy import ndimage

    result = burned.copy()
    patches, count = ndimage.label(burned == 1)
    small = np.bincount(patches.ravel(), minlength=count + 1) * pixel_ha < min_area_ha
    small[0] = False
    result[small[patches]] = 0
    islands, count = ndimage.label(result == 0, structure=_EVERY_NEIGHBOUR)
    fill = np.bincount(islands.ravel(), minlength=count + 1) * pixel_ha < min_hole_ha
    open_ground = ndimage.binary_dilation(result == NO_ANSWER, structure=_EVERY_NEIGHBOUR)
    open_ground[[0, -1], :] = True
    open_ground[:, [0, -1]] = True
    fill[np.unique(islands[open_ground])] = False
    fill[0] = False
    result[fill[islands]] = 1
    return result


def _around(burned: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of all burned ground and one pixel about it; the rest need not be looked at."""
    if not burned.any():
        return slice(0, 1), slice(0, 1)
    parts = [np.flatnonzero(burned.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(max(int(part[0]) - 1, 0), int(part[-1]) + 2) for part in parts)
    return rows, columns


def _patches(sieved: NDArray[np.uint8], probability: NDArray[np.floating] | None) -> Iterator[_Patch]:
    """Patches of a raster, with outlines in columns and rows."""
    from rasterio.features import shapes
    from scipy import ndimage

    labels, count = ndimage.label(sieved == 1)
    if not count:
        return
    pixels = np.bincount(labels.ravel(), minlength=count + 1)
    means = _means(labels, count, probability)
    unburnt = _unburnt_holes(sieved)
    for geometry, label in shapes(labels.astype(np.int32), mask=labels > 0, connectivity=4):
        outline, number = shape(geometry), int(label)
        islands = sum(_encloses_unburnt(ring, unburnt) for ring in outline.interiors)
        yield _Patch(outline, int(pixels[number]), float(means[number]), islands)


def _means(labels: NDArray[np.integer], count: int, probability: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """(count + 1,) mean known probability of each label; NaN where there is none."""
    if probability is None:
        return np.full(count + 1, np.nan)
    known = np.isfinite(probability) & (probability >= 0)
    totals = np.bincount(labels[known], weights=probability[known], minlength=count + 1)
    pixels = np.bincount(labels[known], minlength=count + 1)
    return np.divide(totals, pixels, out=np.full(count + 1, np.nan), where=pixels > 0)


def _unburnt_holes(sieved: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(height, width) whether a pixel belongs to ground that isn't burnt and holds an unburnt pixel."""
    from scipy import ndimage

    ground, count = ndimage.label(sieved != 1, structure=_EVERY_NEIGHBOUR)
    has_unburnt = np.zeros(count + 1, dtype=bool)
    has_unburnt[np.unique(ground[sieved == 0])] = True
    has_unburnt[0] = False
    return has_unburnt[ground]


def _encloses_unburnt(ring: shapely.LinearRing, unburnt: NDArray[np.bool_]) -> bool:
    """Whether the ground in a hole, known by the pixel under its uppermost corner, holds an unburnt pixel."""
    column, row = min(ring.coords, key=lambda corner: (corner[1], corner[0]))
    return bool(unburnt[int(row), int(column)])


def _smoothed(outlines: list[shapely.Polygon], grid: Grid) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Outlines in map coordinates, smoothed so that none crosses another, and by what share their areas changed.

    A patch that simplifying or cutting corners would change too much goes back to its cut or pixel outline, and so
    does one that would then overlap it; cut and pixel outlines of different patches never overlap.
    """
    plain = _placed(outlines, grid)
    cut = _placed([shapely.Polygon(_cut(o.exterior), [_cut(ring) for ring in o.interiors]) for o in outlines], grid)
    area = shapely.area(plain)
    safe = np.where(np.abs(shapely.area(cut) / area - 1) <= LARGEST_CHANGE, cut, plain)
    smooth = _simplified(cut, grid)
    kept = np.abs(shapely.area(smooth) / area - 1) <= LARGEST_CHANGE
    while True:
        result = np.where(kept, smooth, safe)
        back = _sharing_ground(result, ~kept)
        back = back[kept[back]]
        if not len(back):
            return result, shapely.area(result) / area - 1
        kept[back] = False


def _sharing_ground(patches: NDArray[np.object_], some: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of patches that share ground with another one of `some`."""
    tree, asked = shapely.STRtree(patches), np.flatnonzero(some)
    found = [tree.query(patches[asked], predicate=how) for how in ("overlaps", "within", "contains")]
    one, other = np.concatenate(found, axis=1)
    return np.unique(other[asked[one] != other])


def _simplified(cut: NDArray[np.object_], grid: Grid) -> NDArray[np.object_]:
    """Outlines simplified together; as they are if that did not keep them apart and valid.

    A cut corner is a quarter of a diagonal from the new outline. Simplifying may use the tolerance twice, as it first
    simplifies a ring from its first point and then may drop that, which makes another quarter.
    """
    if not len(cut):
        return cut
    together = shapely.simplify(shapely.MultiPolygon(list(cut)), grid.half_diagonal / 4, preserve_topology=True)
    parts = shapely.get_parts(together)
    return parts if len(parts) == len(cut) and together.is_valid else cut


def _cut(ring: shapely.LinearRing) -> NDArray[np.float64]:
    """A ring of pixel edges with half a pixel cut off each corner: the ends of its straight runs, half a pixel in."""
    corners = np.asarray(ring.coords)
    steps = np.diff(corners, axis=0)
    lengths = np.abs(steps).sum(axis=1, keepdims=True)
    half = steps / lengths / 2
    ends = np.stack([corners[:-1] + half, corners[1:] - half], axis=1)
    two_ends = np.stack([np.ones(len(steps), dtype=bool), lengths[:, 0] > 1], axis=1)
    return np.asarray(ends[two_ends])


def _placed(outlines: list[shapely.Polygon], grid: Grid) -> NDArray[np.object_]:
    return np.asarray(shapely.transform(np.array(outlines, dtype=object), grid.to_map), dtype=object).reshape(-1)
