"""What holds of every sample, whatever the fires: asserted by property tests and on real perimeters alike."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from burnscar_assets.sampling.accounts import cells_of
from burnscar_assets.sampling.burnt import burnt_points_wanted
from burnscar_assets.sampling.clusters import fire_clusters
from burnscar_assets.sampling.lattice import Lattice
from burnscar_assets.sampling.points import SampledPoints
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SamplingSettings, WindowSettings
from burnscar_assets.storage.contracts import SAMPLE_LOSSES, SAMPLE_POINTS


def assert_sound(
    sampled: SampledPoints,
    perimeters: gpd.GeoDataFrame,
    history: gpd.GeoDataFrame,
    settings: SamplingSettings,
    windows: WindowSettings,
) -> None:
    """Assert everything that a sample promises."""
    points = sampled.points
    footprints = footprints_of(points, windows)
    SAMPLE_POINTS.conform(points)
    SAMPLE_LOSSES.conform(sampled.losses)
    assert_cells_apart(points, footprints, settings)
    assert_split_on_its_ground(points, footprints, settings)
    assert_burnt_are_burnt(points, footprints, perimeters, settings, windows)
    assert_edges_are_crossed(points, footprints, perimeters)
    assert_unburnt_keep_off_burns(points, footprints, perimeters, history, settings)
    assert_strata_keep_their_distance(points, perimeters, settings)
    assert_clusters(points, perimeters, settings)
    assert_account(sampled, perimeters, settings, windows)


def footprints_of(points: gpd.GeoDataFrame, windows: WindowSettings) -> np.ndarray:
    """Footprints of the points' windows, EPSG:3310."""
    return Lattice(windows.side_m).footprints(cells_of(points))


def assert_cells_apart(points: gpd.GeoDataFrame, footprints: np.ndarray, settings: SamplingSettings) -> None:
    """No cell twice, the spacing kept, no two windows on the same ground."""
    for _, zone in points.groupby("utm_epsg"):
        cells = zone[["cell_col", "cell_row"]].to_numpy(dtype=float)
        apart = np.hypot(*(cells[:, None] - cells[None]).transpose(2, 0, 1))
        assert (apart[~np.eye(len(cells), dtype=bool)] >= settings.spacing_windows).all()
    first, second = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    shared = shapely.area(shapely.intersection(footprints[first], footprints[second]))[first != second]
    assert shared.max(initial=0) < 1.0


def assert_split_on_its_ground(points: gpd.GeoDataFrame, footprints: np.ndarray, settings: SamplingSettings) -> None:
    """Every window lies, with its margin, on ground of its split alone."""
    split_map = SplitMap(settings.splits)
    for footprint, split in zip(footprints, points["split"], strict=True):
        around = shapely.segmentize(footprint.buffer(settings.splits.margin_m * 0.99), 50)
        assert set(split_map.split_of(*shapely.get_coordinates(around).T).tolist()) == {split}


def assert_burnt_are_burnt(
    points: gpd.GeoDataFrame,
    footprints: np.ndarray,
    perimeters: gpd.GeoDataFrame,
    settings: SamplingSettings,
    windows: WindowSettings,
) -> None:
    """Burnt windows lie mostly inside their perimeter; one that lies less inside is its fire's only one."""
    burnt = (points["category"] == "burnt").to_numpy(dtype=bool)
    shapes = perimeters.set_index("fire_id").geometry.loc[points["fire_id"][burnt]].to_numpy()
    share = shapely.area(shapely.intersection(footprints[burnt], shapes)) / shapely.area(footprints[burnt])
    assert (share >= settings.min_burnt_share_small - 1e-5).all()
    less = points[burnt][share < settings.min_burnt_share - 1e-5]
    numbers = points[burnt]["fire_id"].value_counts()
    assert (numbers.loc[less["fire_id"]] == 1).all()
    assert (numbers <= settings.max_points_per_fire).all()
    complexes = perimeters.set_index("fire_id")["complex_id"].loc[points["fire_id"][burnt]]
    in_complex = complexes[complexes != ""].value_counts()
    assert (in_complex <= settings.max_points_per_complex).all()


def assert_edges_are_crossed(points: gpd.GeoDataFrame, footprints: np.ndarray, perimeters: gpd.GeoDataFrame) -> None:
    """The outline of their fire crosses windows on edges, none of which is on ground for testing."""
    edges = points["stratum"] == "edge"
    assert (edges == (points["category"] == "mixed")).all() and not (points["split"][edges] == "test").any()
    outlines = perimeters.set_index("fire_id").boundary.loc[points["fire_id"][edges]].to_numpy()
    assert shapely.intersects(footprints[edges.to_numpy(dtype=bool)], outlines).all()


def assert_unburnt_keep_off_burns(
    points: gpd.GeoDataFrame,
    footprints: np.ndarray,
    perimeters: gpd.GeoDataFrame,
    history: gpd.GeoDataFrame,
    settings: SamplingSettings,
) -> None:
    """Unburnt windows keep the gap from every burn; only old scars may lie on burns of earlier years."""
    unburnt = (points["category"] == "unburnt").to_numpy(dtype=bool)
    on_scar = (points["stratum"] == "old_scar").to_numpy(dtype=bool)
    assert (points["stratum"] != "burnt").to_numpy(dtype=bool)[unburnt].all()
    for which, burns in ((unburnt, perimeters.geometry), (unburnt & ~on_scar, history.geometry)):
        tree = shapely.STRtree(burns.to_numpy())
        assert not len(tree.query(footprints[which], predicate="dwithin", distance=settings.ring_gap_m * 0.999)[0])


def assert_strata_keep_their_distance(
    points: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, settings: SamplingSettings
) -> None:
    """Ring and granule points lie at their distance from their own fire."""
    ring = (settings.ring_gap_m, settings.ring_gap_m + settings.ring_width_m)
    granule = tuple(1000 * km for km in settings.granule_km)
    shapes = perimeters.set_index("fire_id").geometry
    for stratum, (nearest_m, farthest_m) in (("ring", ring), ("granule", granule)):
        own = points[points["stratum"] == stratum]
        distance_m = shapely.distance(own.geometry.to_numpy(), shapes.loc[own["fire_id"]].to_numpy())
        assert ((distance_m >= nearest_m) & (distance_m <= farthest_m)).all()


def assert_clusters(points: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, settings: SamplingSettings) -> None:
    """All points of a cluster are of one split; points of no fire belong to their block."""
    assert (points.groupby("cluster_id")["split"].nunique() <= 1).all()
    of_fire = points[points["fire_id"] != ""]
    clusters = fire_clusters(perimeters, settings)
    assert (of_fire["cluster_id"].to_numpy() == clusters.loc[of_fire["fire_id"]].to_numpy()).all()
    assert set(points["stratum"][points["fire_id"] == ""]) <= {"land", "hard", "old_scar"}


def assert_account(
    sampled: SampledPoints, perimeters: gpd.GeoDataFrame, settings: SamplingSettings, windows: WindowSettings
) -> None:
    """Burnt points had and lost are those that the fires wanted; so are unburnt ones, in sum."""
    burnt = sampled.points[sampled.points["category"] == "burnt"]
    lost = sampled.losses[sampled.losses["stratum"] == "burnt"].groupby("fire_id")["points"].sum()
    had = burnt.groupby("fire_id").size()
    wanted = burnt_points_wanted(perimeters["area_ha"], windows.side_m, settings)
    total = pd.Series(had, dtype=float).add(lost.astype(float), fill_value=0)
    assert total.loc[perimeters["fire_id"]].tolist() == wanted.tolist()
    lost_by = sampled.losses.groupby("stratum")["points"].sum()
    unburnt = int(
        (sampled.points["category"] == "unburnt").sum() + lost_by.drop(["burnt", "edge"], errors="ignore").sum()
    )
    asked = len(burnt) * sum(settings.unburnt_per_burnt.values())
    assert abs(unburnt - asked) <= had.size
    edges = int((sampled.points["category"] == "mixed").sum() + lost_by.get("edge", 0))
    allowed = np.minimum(wanted, settings.max_points_per_fire)
    assert edges <= settings.edge_share * allowed.sum() + len(perimeters)
