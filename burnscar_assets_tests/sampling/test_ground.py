"""Many perimeters against many windows."""

import numpy as np
import pytest
import shapely

from burnscar_assets.sampling.ground import Pieces, cut


def ragged(seed: int, vertices: int = 3_000) -> shapely.Geometry:
    """A fire of many vertices with an unburned island."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = 4_000 + 500 * np.sin(angle * 7) + rng.normal(0, 60, vertices)
    x, y = rng.uniform(-6_000, 6_000, 2)
    outline = shapely.Polygon(np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)]))
    return shapely.make_valid(outline).difference(shapely.Point(x, y).buffer(900))


SHAPES = np.array([ragged(seed) for seed in range(3)], dtype=object)
PIECES = Pieces(SHAPES)
CORNERS = np.random.default_rng(0).uniform(-14_000, 14_000, (400, 2))
WINDOWS = shapely.box(*CORNERS.T, *(CORNERS + 320).T)


def test_pieces_are_small_and_make_up_the_shapes() -> None:
    pieces, owner = cut(SHAPES)
    assert shapely.get_num_coordinates(pieces).max() <= 128
    for number, shape in enumerate(SHAPES):
        assert shapely.symmetric_difference(shapely.union_all(pieces[owner == number]), shape).area < 1e-3


@pytest.mark.parametrize("distance_m", [0.0, 150.0, 2_000.0])
def test_near_is_what_shapely_says(distance_m: float) -> None:
    expected = [min(shape.distance(window) for shape in SHAPES) <= distance_m for window in WINDOWS]
    assert PIECES.near(WINDOWS, distance_m).tolist() == expected
    assert 0 < sum(expected) < len(WINDOWS)
    few_at_a_time = Pieces(SHAPES)
    parts = [few_at_a_time.near(WINDOWS[start : start + 40], distance_m) for start in range(0, len(WINDOWS), 40)]
    assert np.concatenate(parts).tolist() == expected


def test_covered_share_is_what_shapely_says() -> None:
    of = np.arange(len(WINDOWS)) % len(SHAPES)
    expected = [window.intersection(SHAPES[n]).area / window.area for window, n in zip(WINDOWS, of, strict=True)]
    assert PIECES.covered_share(WINDOWS, of) == pytest.approx(expected, abs=2e-6)


def test_nothing_covers_nothing() -> None:
    empty = Pieces(np.array([], dtype=object))
    assert not empty.near(WINDOWS, 1e6).any()
    assert not empty.covered_share(WINDOWS).any()
    assert PIECES.near(WINDOWS[:0], 1.0).tolist() == []
    assert not Pieces([shapely.Polygon(), None]).near(WINDOWS, 1e6).any()
