import json
import math

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from sklearn.metrics import jaccard_score, precision_score, recall_score

from burnscar_assets.errors import InputError
from burnscar_assets.publish.agreement import COMMISSION, OMISSION, Agreement, compare, rank_disagreements

CRS = "EPSG:32610"
TEN_M = Affine(10, 0, 500_000, 0, -10, 4_000_000)
SIDE = 60


def ground(left: int, top: int, right: int, bottom: int) -> shapely.Polygon:
    """A box of pixels as a polygon of the map."""
    return shapely.box(500_000 + 10 * left, 4_000_000 - 10 * bottom, 500_000 + 10 * right, 4_000_000 - 10 * top)


def raster(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    burned = np.zeros((SIDE, SIDE), dtype="uint8")
    for left, top, right, bottom in boxes:
        burned[top:bottom, left:right] = 1
    return burned


def agreement(burned: np.ndarray, perimeter: shapely.Geometry, **more: np.ndarray) -> Agreement:
    return compare(burned, perimeter, TEN_M, CRS, **more)


@settings(max_examples=60, deadline=None)
@given(
    arrays("uint8", (12, 12), elements=st.sampled_from([0, 1, 1, 255])),
    st.tuples(st.integers(-3, 8), st.integers(-3, 8), st.integers(1, 9), st.integers(1, 9)),
)
def test_areas_agree_with_scikit_learn(burned: np.ndarray, place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    perimeter = ground(left, top, left + width, top + height)
    found = agreement(burned, perimeter)
    rows, columns = np.mgrid[0:12, 0:12]
    official = (columns >= left) & (columns < left + width) & (rows >= top) & (rows < top + height)
    answered = burned != 255
    truth, mapped = official[answered], burned[answered] == 1
    for ours, score, needed in (
        (found.iou, jaccard_score, (truth | mapped).any()),
        (1 - found.omission, recall_score, truth.any()),
        (1 - found.commission, precision_score, mapped.any()),
    ):
        assert ours == pytest.approx(score(truth, mapped)) if needed else math.isnan(ours)
    assert found.official_ha + found.unanswered_ha == pytest.approx(perimeter.area / 1e4)
    assert found.mapped_ha == pytest.approx(mapped.sum() / 100)
    json.dumps(found.figures(), allow_nan=False)


def test_a_map_that_is_the_perimeter_agrees_wholly() -> None:
    found = agreement(raster((10, 10, 50, 40)), ground(10, 10, 50, 40))
    assert (found.iou, found.omission, found.commission) == (1, 0, 0)
    assert found.boundary_distance_m_median == found.boundary_distance_m_p95 == 0
    assert found.patches.empty


@pytest.mark.parametrize("shift", [1, 3, 7])
def test_boundary_distance_is_that_of_a_grown_square(shift: int) -> None:
    burned = raster((20 - shift, 20 - shift, 40 + shift, 40 + shift))
    found = agreement(burned, ground(20, 20, 40, 40))
    assert found.boundary_distance_m_median == pytest.approx(10 * shift)
    assert 10 * shift <= found.boundary_distance_m_p95 <= 10 * shift * math.sqrt(2)


def test_both_directions_count() -> None:
    """A second patch far away is far from the perimeter, though each point of the perimeter is near the map."""
    near = agreement(raster((10, 10, 30, 30)), ground(10, 10, 30, 30))
    far = agreement(raster((10, 10, 30, 30), (50, 50, 58, 58)), ground(10, 10, 30, 30))
    assert near.boundary_distance_m_p95 == 0
    assert far.boundary_distance_m_p95 > 200
    mirrored = agreement(raster((10, 10, 30, 30)), ground(10, 10, 30, 30) | ground(50, 50, 58, 58))
    assert mirrored.boundary_distance_m_p95 == pytest.approx(far.boundary_distance_m_p95)


def test_a_cloud_is_no_boundary_and_no_disagreement() -> None:
    burned = raster((10, 10, 50, 40))
    burned[:, 30:] = 255
    found = agreement(burned, ground(10, 10, 50, 40))
    assert found.iou == 1
    assert found.boundary_distance_m_p95 == 0
    assert found.unanswered_ha == pytest.approx(20 * 30 / 100)
    assert found.patches.empty


def test_islands_of_the_perimeter_and_of_the_map_are_kept_apart() -> None:
    perimeter = ground(5, 5, 55, 55) - ground(10, 10, 20, 20) - ground(10, 30, 20, 40)
    burned = raster((5, 5, 55, 55))
    burned[10:20, 10:15] = 0  # half of the first official island
    burned[40:46, 40:45] = 0  # an island that only the map has
    found = agreement(burned, perimeter)
    assert found.islands_ha == pytest.approx(2.0)
    assert found.islands_found_ha == pytest.approx(0.5)
    assert found.islands_of_map_ha == pytest.approx(0.3)
    assert found.boundary_distance_m_p95 == 0, "islands are no part of the outer outline"


def test_what_a_person_should_look_at_comes_first() -> None:
    perimeter = ground(10, 10, 50, 50)
    burned = raster((10, 10, 50, 50), (52, 10, 60, 30))
    burned[20:40, 15:35] = 0  # large, but the map is not sure
    burned[10:50, 49] = 0  # a sliver along the outline
    probability = np.full(burned.shape, 0.9)
    probability[20:40, 15:35] = 0.45
    found = agreement(burned, perimeter, probability=probability)
    assert sorted(found.patches["kind"]) == [COMMISSION, OMISSION]
    ranked = rank_disagreements(found, "fire", 5)
    assert ranked["map"].tolist() == ["fire", "fire"]
    assert ranked["kind"].tolist() == [COMMISSION, OMISSION]
    assert ranked["rank"].tolist() == [1, 2]
    assert ranked["confidence"].tolist() == pytest.approx([0.8, 0.1])
    assert ranked["area_ha"].tolist() == pytest.approx([1.6, 4.0])
    assert (ranked["confident_ha"] <= ranked["area_ha"] * ranked["confidence"] + 1e-9).all()
    assert ranked.geometry.contains(ranked.set_geometry(ranked.geometry.representative_point()).geometry).all()
    assert ranked.crs == "EPSG:4326"
    assert len(rank_disagreements(found, "fire", 1)) == 1
    assert rank_disagreements(agreement(raster((10, 10, 50, 50)), perimeter), "fire", 5).empty


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_patches_are_disagreement_and_nothing_else(seed: int) -> None:
    noise = np.random.default_rng(seed)
    burned = (ndimage.gaussian_filter(noise.normal(size=(SIDE, SIDE)), 4) > 0).astype("uint8")
    burned[:, :5] = 255
    perimeter = ground(10, 10, 50, 50)
    patches = agreement(burned, perimeter, probability=noise.random(burned.shape)).patches
    inside = shapely.area(shapely.intersection(patches.geometry.to_numpy(), perimeter)) / 1e4
    wanted = np.where(patches["kind"] == OMISSION, patches["area_ha"], 0)
    np.testing.assert_allclose(inside, wanted, atol=1e-6)
    np.testing.assert_allclose(patches.area / 1e4, patches["area_ha"])
    assert (patches["area_ha"] >= 0.5).all()
    assert patches["confidence"].between(0, 1).all()


def test_nothing_mapped_and_nothing_seen() -> None:
    nothing = agreement(raster(), ground(10, 10, 20, 20))
    assert (nothing.iou, nothing.omission) == (0, 1)
    assert nothing.figures()["commission"] is None
    assert nothing.figures()["boundary_distance_m_median"] is None
    clouded = agreement(np.full((SIDE, SIDE), 255, "uint8"), ground(10, 10, 20, 20))
    assert clouded.figures()["iou"] is None
    assert clouded.unanswered_ha == pytest.approx(1)
    elsewhere = agreement(raster((1, 1, 20, 20)), ground(500, 500, 510, 510))
    assert elsewhere.unanswered_ha == pytest.approx(1)
    assert elsewhere.commission == 1


@pytest.mark.parametrize(
    "perimeter",
    [shapely.Point(0, 0), shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), shapely.LineString([(0, 0), (1, 1)])],
)
def test_a_perimeter_that_is_no_valid_polygon_is_refused(perimeter: shapely.Geometry) -> None:
    with pytest.raises(InputError, match="valid polygon"):
        agreement(raster(), perimeter)
