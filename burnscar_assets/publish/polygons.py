"""Burned ground as polygons: minimum mapping unit, outlines honest to the pixel, holes kept; and as files.

Burnt pixels belong together where they share an edge (4-connected), unburnt ones also where they share a corner
(8-connected), so that two patches or a patch and a hole never cross. A large map is drawn in groups of blocks whose
burned pixels touch, corners included: no patch and no island that burned ground encloses reaches from one group into
another, so the outlines are those that the whole raster would give.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry import shape

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import Box, Frame, around, transform_of
from burnscar_assets.mapping.grid import MIN_AREA_HA, MIN_HOLE_HA, NO_ANSWER, Grid, check_raster, grid_of
from burnscar_assets.publish.rasters import BURNED, PROBABILITY
from burnscar_assets.storage.atomic import atomic_file

LARGEST_CHANGE = 0.01
"""By what share of its area smoothing may change a patch."""

_EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)
Mask = npt.NDArray[np.bool_]
BURNED_LAYER: Final = "burned"
PERIMETER_LAYER: Final = "perimeter"
POLYGONS_STEM: Final = "burned_area"
POLYGON_ENDINGS: Final = ("gpkg", "parquet", "geojson")
_DATE: Final = "2000-01-01T00:00:00Z"
"""GeoPackages carry a time of writing; a fixed one makes the same content the same file."""


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
    beside unknown ground has no known size, and stays. The raster is (height, width) 0 unburnt, 1 burnt, 255 not known,
    which stays.
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

    The folder has `burned.tif` and `probability.tif`.
    """
    with rasterio.open(folder / BURNED.file) as burned, rasterio.open(folder / PROBABILITY.file) as probability:
        parts = []
        for group in _groups(burned, frame, block_px) or [[frame.blocks(block_px)[0]]]:
            whole = around(group)
            pixels = _read(burned, frame, whole)
            others = np.ones(pixels.shape, bool)
            for box in group:
                others[box.slices_in(whole)] = False
            pixels[others & (pixels == 1)] = 0
            place = transform_of(whole, frame.resolution_m)
            known = _read(probability, frame, whole)
            parts.append(
                burned_polygons(pixels, known, place, frame.crs, min_area_ha=min_area_ha, min_hole_ha=min_hole_ha)
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


def _read(source: rasterio.DatasetReader, frame: Frame, box: Box) -> npt.NDArray[Any]:
    rows, columns = box.slices_in(frame.box)
    return np.asarray(source.read(1, window=Window.from_slices(rows, columns)))


def write_polygons(
    polygons: gpd.GeoDataFrame,
    folder: Path,
    *,
    perimeter: gpd.GeoDataFrame | gpd.GeoSeries | None = None,
    simulated: bool = False,
) -> list[Path]:
    """Write polygons as `burned_area.gpkg`, `.parquet` and `.geojson`; returns the three paths.

    The GeoPackage has the layer `burned` and, if given, `perimeter`, both in the polygons' CRS; GeoParquet has that CRS
    too, and each polygon's bounding box as its covering (GeoParquet 1.1); GeoJSON follows RFC 7946 (EPSG:4326, seven
    decimals, cut at the antimeridian). The same content gives the same bytes. The perimeter may be in any CRS; a column
    of each layer says whether imagery or perimeter is simulated.

    Raises:
        StorageError: they can't be written.
    """
    burned = polygons.assign(simulated=simulated)
    geopackage, parquet, geojson = (folder / f"{POLYGONS_STEM}.{ending}" for ending in POLYGON_ENDINGS)
    with _whole(geopackage) as path, _fixed_date():
        burned.to_file(path, layer=BURNED_LAYER, driver="GPKG", geometry_type="Polygon")
        if perimeter is not None:
            outline = gpd.GeoDataFrame(geometry=perimeter.geometry).to_crs(polygons.crs).assign(simulated=simulated)
            how = {"layer": PERIMETER_LAYER, "mode": "a", "geometry_type": "MultiPolygon", "promote_to_multi": True}
            outline.to_file(path, driver="GPKG", **how)
    with _whole(parquet) as path:
        burned.to_parquet(path, index=False, write_covering_bbox=True)
    with _whole(geojson) as path:
        burned.to_crs(GEOGRAPHIC_CRS).to_file(path, driver="GeoJSON", RFC7946="YES")
    return [geopackage, parquet, geojson]


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """As `atomic_file`, with the name that is wanted: GDAL looks at a file's ending, and names layers after it."""
    with atomic_file(path) as temporary:
        named = temporary.with_name(path.name)
        yield named
        named.replace(temporary)


@contextmanager
def _fixed_date() -> Iterator[None]:
    import pyogrio

    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
