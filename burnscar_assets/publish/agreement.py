"""A map of burned ground beside the official perimeter: how far they agree, and where a person should look.

Neither is the truth. A perimeter is drawn around a fire, often without the unburned islands in it, at times by hand;
so an *island* here is of one of two kinds that are never mixed: a hole in the official perimeter (`islands_ha`, of
which the map leaves `islands_found_ha` unburnt), and an unburnt island that only the map has
(`islands_of_map_ha`, which counts as omission although the perimeter may be what is wrong).
"""

import math
from dataclasses import dataclass, field
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import outlines, rasterize
from burnscar_assets.mapping.grid import NO_ANSWER, Grid, check_raster, grid_of

MIN_PATCH_HA: Final = 0.5
"""Smaller patches of disagreement are not listed."""

BESIDE_PX: Final = 1.5
"""Pixels this near to the other side of the official outline lie beside it, corners included."""

OMISSION, COMMISSION = "omission", "commission"
_PATCH_COLUMNS = ("kind", "area_ha", "confidence", "confident_ha", "depth_m", "geometry")


@dataclass(frozen=True)
class Agreement:
    """How a map and an official perimeter agree where the map has an answer; NaN where undefined.

    Attributes:
        iou: Area that both call burned over area that either does.
        omission: Share of the perimeter that the map leaves unburnt.
        commission: Share of the mapped burned area outside the perimeter.
        mapped_ha: Burned on the map.
        official_ha: In the perimeter, where the map has an answer.
        unanswered_ha: In the perimeter, where the map has none, or beyond its edge.
        boundary_distance_m_median: Distance of one outer outline from the other, along both, metres.
        boundary_distance_m_p95: 95th percentile of the same.
        islands_ha: Holes of the official perimeter, where the map has an answer.
        islands_found_ha: Of these, mapped unburnt.
        islands_of_map_ha: Unburnt islands inside the perimeter that only the map has.
        patches: Where they disagree, in the map's CRS: kind, area_ha, confidence (of the map against the
            perimeter, 0–1), confident_ha, depth_m (how far it reaches from the perimeter's outline), geometry.
    """

    iou: float
    omission: float
    commission: float
    mapped_ha: float
    official_ha: float
    unanswered_ha: float
    boundary_distance_m_median: float
    boundary_distance_m_p95: float
    islands_ha: float
    islands_found_ha: float
    islands_of_map_ha: float
    patches: gpd.GeoDataFrame = field(repr=False, compare=False)

    def figures(self) -> dict[str, float | None]:
        """All figures by name for JSON; None where undefined."""
        names = [name for name in self.__dataclass_fields__ if name != "patches"]
        values = {name: float(getattr(self, name)) for name in names}
        return {name: None if math.isnan(value) else value for name, value in values.items()}


def compare(
    burned: NDArray[np.generic],
    perimeter: shapely.Geometry,
    transform: Affine,
    crs: object,
    *,
    probability: NDArray[np.floating] | None = None,
) -> Agreement:
    """Compare a map with an official perimeter.

    A pixel is in the perimeter if its centre is. Outlines are compared without those of holes, and only where the
    map has an answer on both sides, so that neither a cloud nor the map's edge counts as a boundary.

    Args:
        burned: (height, width) 0 unburnt, 1 burnt, 255 not known.
        perimeter: polygon or multipolygon in the raster's CRS.
        transform: affine transform of the raster.
        crs: projected CRS of the raster.
        probability: (height, width) probability of burnt, for the confidence of disagreement; without it, 1.

    Raises:
        InputError: shapes that differ, a perimeter that is no valid polygon, or a grid that can't be measured on.
    """
    grid = grid_of(transform, crs)
    burned = check_raster(burned)
    if probability is not None and probability.shape != burned.shape:
        raise InputError("burned ground and probability must be of one shape")
    if perimeter.geom_type not in ("Polygon", "MultiPolygon") or not perimeter.is_valid:
        raise InputError("the official perimeter must be a valid polygon or multipolygon: repair it first")
    answered, mapped = burned != NO_ANSWER, burned == 1
    official = rasterize(perimeter, transform, burned.shape)
    islands = rasterize(holes_of(perimeter), transform, burned.shape) & ~official
    ha = grid.pixel_ha
    both, either = (mapped & official).sum(), ((mapped | official) & answered).sum()
    distances = boundary_distances(mapped, answered, perimeter, grid)
    return Agreement(
        iou=_share(both, either),
        omission=1 - _share(both, (official & answered).sum()),
        commission=1 - _share(both, mapped.sum()),
        mapped_ha=float(mapped.sum() * ha),
        official_ha=float((official & answered).sum() * ha),
        unanswered_ha=_unanswered_ha(official, answered, perimeter, grid),
        boundary_distance_m_median=float(np.median(distances)) if len(distances) else math.nan,
        boundary_distance_m_p95=float(np.percentile(distances, 95)) if len(distances) else math.nan,
        islands_ha=float((islands & answered).sum() * ha),
        islands_found_ha=float((islands & answered & ~mapped).sum() * ha),
        islands_of_map_ha=float((enclosed(mapped) & answered & official).sum() * ha),
        patches=_patches(mapped, official, answered, probability, grid),
    )


def rank_disagreements(agreement: Agreement, name: str, limit: int) -> gpd.GeoDataFrame:
    """Where a map and a perimeter disagree most, for a person's review.

    First comes what is large and what the map is sure of: patches are ranked by area times confidence, counted
    without the pixels beside the official outline, where a line drawn by hand and a pixel can't agree.

    Returns:
        One row a patch, in EPSG:4326: rank (from 1), map (its name), kind (`omission`: only the perimeter has it;
        `commission`: only the map has it), area_ha, confidence, confident_ha, depth_m, lon, lat (of a point in it),
        geometry.
    """
    ranked = agreement.patches.to_crs(GEOGRAPHIC_CRS).sort_values(
        ["confident_ha", "area_ha"], ascending=False, kind="stable"
    )
    ranked = ranked.head(limit).reset_index(drop=True)
    inside, ranks = ranked.geometry.representative_point(), np.arange(1, len(ranked) + 1)
    columns = ["rank", "map", *_PATCH_COLUMNS[:-1], "lon", "lat", "geometry"]
    return ranked.assign(rank=ranks, map=name, lon=inside.x, lat=inside.y)[columns]


def holes_of(geometry: shapely.Geometry) -> shapely.Geometry:
    """The holes of a polygon or multipolygon, as one geometry."""
    rings = [ring for part in shapely.get_parts(geometry) for ring in part.interiors]
    return shapely.union_all([shapely.Polygon(ring) for ring in rings])


def enclosed(mapped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(height, width) ground that is not burned, but that burned ground encloses wholly."""
    from scipy import ndimage

    labels, _ = ndimage.label(~mapped, structure=np.ones((3, 3), dtype=bool))
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.asarray(~mapped & ~np.isin(labels, np.unique(edge)))


def _patches(
    mapped: NDArray[np.bool_],
    official: NDArray[np.bool_],
    answered: NDArray[np.bool_],
    probability: NDArray[np.floating] | None,
    grid: Grid,
) -> gpd.GeoDataFrame:
    """Connected patches of omission and of commission that reach beyond the pixels beside the official outline."""
    from rasterio.features import shapes
    from scipy import ndimage

    parts = []
    depth = _depth(official, grid)
    sure = np.ones(mapped.shape) if probability is None else np.abs(np.nan_to_num(probability, nan=0.5) - 0.5) * 2
    counted = np.clip(sure, 0, 1) * (depth > BESIDE_PX * max(grid.width_m, grid.height_m))
    for kind, where in ((OMISSION, official & ~mapped & answered), (COMMISSION, mapped & ~official)):
        labels, count = ndimage.label(where)
        inside = labels[where]
        pixels, confidence, confident = (
            np.bincount(inside, weights=values, minlength=count + 1)
            for values in (None, np.clip(sure[where], 0, 1), counted[where])
        )
        deepest = np.zeros(count + 1)
        np.maximum.at(deepest, inside, depth[where])
        listed = (pixels * grid.pixel_ha >= MIN_PATCH_HA) & (confident > 0)
        found = list(shapes(labels.astype(np.int32), mask=listed[labels], transform=grid.transform))
        place = np.array([int(label) for _, label in found], dtype=np.intp)
        columns = {
            "kind": kind,
            "area_ha": pixels[place] * grid.pixel_ha,
            "confidence": confidence[place] / pixels[place],
            "confident_ha": confident[place] * grid.pixel_ha,
            "depth_m": np.where(np.isfinite(deepest[place]), deepest[place], np.nan),
        }
        patches = [shapely.geometry.shape(patch) for patch, _ in found]
        parts.append(gpd.GeoDataFrame(columns, geometry=patches, crs=grid.crs, columns=list(_PATCH_COLUMNS)))
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=grid.crs)


def _depth(official: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """(height, width) distance of each pixel from the official outline's other side, metres; infinite without one."""
    from scipy import ndimage

    scale = (grid.height_m, grid.width_m)
    sides = [side for side in (official, ~official) if not side.all() and side.any()]
    if not sides:
        return np.full(official.shape, np.inf)
    return np.asarray(sum(ndimage.distance_transform_edt(side, sampling=scale) for side in sides))


def _unanswered_ha(
    official: NDArray[np.bool_], answered: NDArray[np.bool_], perimeter: shapely.Geometry, grid: Grid
) -> float:
    rows, columns = official.shape
    corners = grid.to_map(np.array([[0, rows], [columns, 0]]))
    beyond = perimeter.area - shapely.area(shapely.intersection(perimeter, shapely.box(*corners.ravel())))
    return float((official & ~answered).sum() * grid.pixel_ha + max(beyond, 0) * grid.metres_per_unit**2 / 10_000)


def _share(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else math.nan


def boundary_distances(
    mapped: NDArray[np.bool_], answered: NDArray[np.bool_], perimeter: shapely.Geometry, grid: Grid
) -> NDArray[np.float64]:
    """Distances between the outer outlines of mapped burned ground and of a perimeter.

    Points lie a pixel apart along each outline; from each, the distance to the nearest point of the other one. Points
    within a pixel of ground that the map has no answer for, or of its edge, are left out. The perimeter is in the
    grid's CRS, rasters are (height, width).

    Returns:
        (n,) metres, of both directions, both outlines with a point a pixel; empty if one has no such point.
    """
    from scipy import ndimage

    ours, theirs = _outer(shapely.MultiPolygon(outlines(mapped, grid.transform))), _outer(perimeter)
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
