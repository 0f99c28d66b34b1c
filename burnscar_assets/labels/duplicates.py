"""Which records of a year are the same fire twice.

Sharing an identifier is not enough: the fires of one complex, and careless entries, share IRWIN and incident
numbers over different ground. Two records are the same fire if they share an identifier and their perimeters
mostly cover each other, or if their perimeters are equal.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from burnscar_assets.labels.fields import is_blank_number

MIN_COMMON_SHARE = 0.5
"""Share of the smaller perimeter that lies in the larger one from which two records are one fire."""


def find_duplicates(fires: gpd.GeoDataFrame) -> pd.Series:
    """Tell which records repeat a better one.

    The better one is the larger, then the one with more vertices, then the lower `record_id`.

    Args:
        fires: Records of one fire year (RELEASE_RECORDS), with valid, non-empty polygons.

    Returns:
        By the index of `fires`: `record_id` of the record that is kept instead, or missing.
    """
    kept_instead = pd.Series(pd.NA, index=fires.index, dtype="string")
    first, second = _same_fire(fires)
    if not len(first):
        return kept_instead
    rank = _rank(fires)
    better, worse = np.where(rank[first] < rank[second], (first, second), (second, first))
    dropped: set[int] = set()
    ids = fires["record_id"].to_numpy()
    order = np.lexsort((rank[better], rank[worse]))
    for winner, loser in zip(better[order], worse[order], strict=True):
        if winner not in dropped and loser not in dropped:
            dropped.add(loser)
            kept_instead.iloc[loser] = ids[winner]
    return kept_instead


def shares_incident(fires: gpd.GeoDataFrame) -> pd.Series:
    """Whether each record shares its IRWIN id, or its real incident number and unit, with another one."""
    irwin, incident = fires["irwin_id"], _incident(fires)
    return (irwin.notna() & irwin.duplicated(keep=False)) | (incident.notna() & incident.duplicated(keep=False))


def _same_fire(fires: gpd.GeoDataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the pairs that are one fire."""
    shapes = fires.geometry.to_numpy()
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    shared = np.zeros(len(first), dtype=bool)
    for identifier in (fires["irwin_id"], _incident(fires)):
        codes = pd.factorize(identifier)[0]
        shared |= (codes[first] == codes[second]) & (codes[first] >= 0)
    areas = shapely.area(shapes)
    alike = np.isclose(areas[first], areas[second], rtol=1e-6)
    candidates = shared | alike
    first, second, shared = first[candidates], second[candidates], shared[candidates]
    common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    share = common / np.minimum(areas[first], areas[second])
    same = np.where(shared, share >= MIN_COMMON_SHARE, share >= 1 - 1e-6)
    return first[same], second[same]


def _incident(fires: gpd.GeoDataFrame) -> pd.Series:
    numbers = fires["inc_num"].mask(is_blank_number(fires["inc_num"]))
    return fires["unit_id"].fillna("") + "/" + numbers


def _rank(fires: gpd.GeoDataFrame) -> NDArray[np.intp]:
    shapes = fires.geometry.to_numpy()
    order = np.lexsort(
        (
            fires["record_id"].to_numpy(dtype=str),
            -shapely.get_num_coordinates(shapes),
            -np.round(shapely.area(shapes)),
        )
    )
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank
