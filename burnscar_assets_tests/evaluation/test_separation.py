"""What was trained on can't be scored: fires, clusters and ground are compared at each evaluation."""

import geopandas as gpd
import pytest
from shapely.geometry import box

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.separation import on_unseen_ground, prove_season_separation, prove_separation

Cell = tuple[str, str, float]


def windows(*cells: Cell, year: int = 2021) -> gpd.GeoDataFrame:
    """Windows of 320 m as (fire_id, cluster_id, left edge in m)."""
    return gpd.GeoDataFrame(
        {
            "window_id": [f"{fire}@{left:g}" for fire, _, left in cells],
            "fire_year": year,
            "fire_id": [c[0] for c in cells],
            "cluster_id": [c[1] for c in cells],
        },
        geometry=[box(left, 0, left + 320, 320) for _, _, left in cells],
        crs="EPSG:3310",
    )


def test_separate_windows_are_proven_so() -> None:
    proof = prove_separation(
        windows(("a", "ca", 0), ("", "block1", 5000)), windows(("b", "cb", 1000), ("", "block2", 9000), year=2020), 320
    )
    assert (proof.scored_fires, proof.seen_fires, proof.seen_years) == (1, 1, (2020,))
    assert proof.nearest_m == pytest.approx(680)


@pytest.mark.parametrize(
    ("scored", "seen", "message"),
    [
        (("a", "c1", 0), ("a", "c2", 5000), "fires among those scored that were trained on: a"),
        (("a", "c1", 0), ("b", "c1", 5000), "clusters among those scored that were trained on: c1"),
        (("", "block", 0), ("", "block", 5000), "clusters among those scored that were trained on: block"),
        (("a", "c1", 0), ("b", "c2", 310), "ground that was trained on: a@0"),
        (("a", "c1", 0), ("b", "c2", 0), "ground that was trained on: a@0"),
    ],
)
def test_whatever_is_shared_is_an_error(scored: Cell, seen: Cell, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prove_separation(windows(scored), windows(seen), 0)


def test_land_without_fire_is_no_shared_fire() -> None:
    assert prove_separation(windows(("", "b1", 0)), windows(("", "b2", 9000)), 0).scored_fires == 0


def test_a_shared_edge_is_no_shared_ground() -> None:
    assert prove_separation(windows(("a", "c1", 0)), windows(("b", "c2", 320)), 0).nearest_m == 0


def test_many_shared_fires_are_counted_not_all_named() -> None:
    cells = [(f"f{n}", f"c{n}", 1000.0 * n) for n in range(9)]
    with pytest.raises(InputError, match=r"f4 and 4 more"):
        prove_separation(windows(*cells), windows(*cells), 0)


@pytest.mark.parametrize("left_m", [330, 630])
def test_what_lies_within_the_margin_is_an_error_in_either_proof(left_m: float) -> None:
    scored, seen = windows(("a", "c1", 0)), windows(("b", "c2", left_m), year=2020)
    for proof in (
        lambda m: prove_separation(scored, seen, m),
        lambda m: prove_season_separation(scored, seen, 2021, m),
    ):
        with pytest.raises(InputError, match="within 320 m of ground that was trained on: a@0"):
            proof(320)
        assert proof(left_m - 320).nearest_m == pytest.approx(left_m - 320)


def test_windows_of_the_season_keep_the_margin_of_the_splits() -> None:
    season, seen = windows(*(("a", "c1", left) for left in (0, 50, 330, 639, 640, 5000))), windows(("b", "c2", 0))
    assert on_unseen_ground(season, seen, 320)["window_id"].to_list() == ["a@639", "a@640", "a@5000"]
    assert on_unseen_ground(season, seen, 0)["window_id"].to_list() == ["a@330", "a@639", "a@640", "a@5000"]
