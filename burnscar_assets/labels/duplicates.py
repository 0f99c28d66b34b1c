"""Which records are the same fire twice: of one source in a year, or of two sources.

Sharing an identifier is not enough: the fires of one complex, and careless entries, share IRWIN and incident
numbers over different ground. Two records of a source are the same fire if they share an identifier and their
perimeters mostly cover each other, or if their perimeters are equal. Two sources draw one fire each in its own way, so
of theirs some common ground is enough.
"""

from collections.abc import Sequence
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from burnscar_assets.labels.fields import is_blank_number
from burnscar_assets.labels.repair import repair

MIN_COMMON_SHARE = 0.5
"""Share of the smaller perimeter that lies in the larger one from which two records are one fire."""

SAME_FIRE_DAYS: Final = 7
"""Two records of other names that cover each other are one fire if their alarms are at most so many days apart."""

LEAST_SHARE: Final = 0.1
"""Share of a record that a record of another name must cover to count in its place: a spot fire is no megafire."""

ALIKE_SHARE: Final = 0.9
"""Share of the larger of two perimeters that is common from which they are one fire of their year, whatever days."""


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


def kept_instead(records: gpd.GeoDataFrame, sources: Sequence[str], rejected: pd.Series) -> pd.Series:
    """Tell which records are of a fire that a source named before has too.

    Args:
        records: Records of several sources (RELEASE_RECORDS), of any year, geometry as delivered.
        sources: Their names, the one that is believed most first.
        rejected: Which records can't be labels, and so count in the place of no other.

    Returns:
        By the index of `records`: `record_id` of the record that counts instead, or missing.
    """
    found = pd.Series(pd.NA, index=records.index, dtype="string")
    shapes = repair(records.geometry.to_numpy(), records["reported_area_ha"].to_numpy(dtype=float)).burnt
    drawn = records.set_geometry(gpd.GeoSeries(shapes, index=records.index, crs=records.crs))
    rank = records["source"].map({name: place for place, name in enumerate(sources)})
    for place in range(1, len(sources)):
        own, before = drawn[rank == place], drawn[(rank < place) & found.isna() & ~rejected]
        found.update(same_fires(own, before)["record_id"])
    return found


def same_fires(fires: gpd.GeoDataFrame, others: gpd.GeoDataFrame) -> pd.DataFrame:
    """Of each fire the record of other sources that is the same fire.

    The two overlap, and share their IRWIN id, or in one year their name, their unit's number or nearly all of their
    ground; or one mostly covers the other and a tenth of the fire, and their alarms are near, or, where one is unknown,
    their years are the same.

    Args:
        fires: Records with valid polygons.
        others: Records of other sources with valid polygons.

    Returns:
        The rows of `others` by the index of `fires`; of several the one with the most common ground. Fires that are in
        no other source are left out.
    """
    shapes, theirs = fires.geometry.to_numpy(), others.geometry.to_numpy()
    first, second = shapely.STRtree(theirs).query(shapes, predicate="intersects")
    common = shapely.area(shapely.intersection(shapes[first], theirs[second]))
    own, other = shapely.area(shapes[first]), shapely.area(theirs[second])
    covers = (common >= MIN_COMMON_SHARE * np.minimum(own, other)) & (common >= LEAST_SHARE * own)
    a, b = fires.iloc[first].reset_index(drop=True), others.iloc[second].reset_index(drop=True)
    apart = (a["alarm_date"] - b["alarm_date"]).abs().dt.days
    of_year = _are_equal(a["fire_year"], b["fire_year"])
    named = _are_equal(_plain(a["fire_name"]), _plain(b["fire_name"])) | _are_equal(_incident(a), _incident(b))
    same = _are_equal(a["irwin_id"], b["irwin_id"]) | (of_year & named)
    same |= of_year & (common >= ALIKE_SHARE * np.maximum(own, other))
    same |= covers & ((apart <= SAME_FIRE_DAYS) | (apart.isna() & of_year))
    pairs = b.assign(fire=fires.index[first], common=common)[same & (common > 0)]
    pairs = pairs.sort_values("common", ascending=False, kind="stable").drop_duplicates("fire")
    return pd.DataFrame(pairs.set_index("fire").drop(columns="common"))


def _are_equal(values: pd.Series, others: pd.Series) -> pd.Series:
    """Which values are there and the same."""
    return (values == others).fillna(False).astype(bool)


def _plain(names: pd.Series) -> pd.Series:
    """Names without case, spaces at the ends and a closing FIRE; empty ones are missing."""
    plain = names.astype("string").str.upper().str.strip().str.replace(r"\s+FIRE$", "", regex=True)
    return plain.replace("", pd.NA)


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
