"""How an agency's outline differs from what burned: off by tens of metres, simplified, now and then wrong.

Real outlines come from walks, flights, infrared and hands (FRAP's C_METHOD 1 to 8). Where they were compared with
images, they lie 10–60 m beside the burn, and some stop at a straight line though the burn goes on.
"""

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon, box, make_valid
from shapely.affinity import rotate
from shapely.geometry.base import BaseGeometry

from burnscar_assets.demo.noise import Frame, fractal_noise, generator

OFF_BY_M = (10.0, 60.0)
"""How far an outline lies beside the burn, root of the mean square along its length, metres."""

MOST_OF_SIDE = 0.016
"""An outline lies off by no more than so much of the root of its area: small fires are walked around with GPS."""

WRONG_SHARE = 0.06
"""Share of perimeters that end at a straight line though the burn goes on: one of the 33 chips in
`california_fires` does, and of another the burn goes on beyond the perimeter."""

WRONG_KEEPS = (0.6, 0.85)
WRONG_FROM_M2 = 200_000.0

_BEND_M = 450.0
_VERTEX_EVERY_M = 40.0
_NOISE_SPREAD = 0.17
"""Standard deviation of fractal noise of two octaves."""

_SIMPLIFIED = 0.6
"""Tolerance of the simplification, by how far the outline is off."""


def drawn_outline(seed: int, key: str, burned: BaseGeometry) -> BaseGeometry:
    """The outline that a release has of a burn, or, as it works both ways, a burn that may lie behind an outline.

    Both are valid, in the region's CRS.
    """
    rng = generator(seed, "outline", key)
    off_by_m = min(float(rng.uniform(*OFF_BY_M)), MOST_OF_SIDE * float(np.sqrt(burned.area)))

    def displaced(points: np.ndarray) -> np.ndarray:
        frame = Frame(points[:, :1], points[:, 1:])
        noises = [fractal_noise((seed, key, "outline", way), frame, _BEND_M, 2) for way in ("east", "north")]
        return points + off_by_m * (np.hstack(noises) - 0.5) / _NOISE_SPREAD

    moved = shapely.transform(shapely.segmentize(burned, _VERTEX_EVERY_M), displaced)
    simple = make_valid(make_valid(moved).simplify(_SIMPLIFIED * off_by_m))
    return _largest_parts(simple, len(shapely.get_parts(burned)))


def cut_short(seed: int, key: str, outline: BaseGeometry) -> BaseGeometry:
    """The outline, of a few fires (WRONG_SHARE) without what lies beyond a straight line."""
    rng = generator(seed, "wrong", key)
    keeps, turn = float(rng.uniform(*WRONG_KEEPS)), float(rng.uniform(0, 360))
    if rng.random() >= WRONG_SHARE or outline.area < WRONG_FROM_M2:
        return outline
    level = rotate(outline, turn, origin=(0, 0))
    west, south, east, north = level.bounds
    least, most = south, north
    while most - least > 1:
        middle = (least + most) / 2
        enough = level.intersection(box(west, south, east, middle)).area >= keeps * level.area
        least, most = (least, middle) if enough else (middle, most)
    kept = _largest_parts(level.intersection(box(west, south, east, most)), 1)
    return rotate(kept, -turn, origin=(0, 0))


def _largest_parts(shape: BaseGeometry, count: int) -> BaseGeometry:
    """The `count` largest polygons of a shape; slivers of an outline that crossed itself go."""
    flat = [part for one in shapely.get_parts(shape) for part in shapely.get_parts(one)]
    parts = sorted((part for part in flat if isinstance(part, Polygon)), key=lambda part: -part.area)[:count]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)
