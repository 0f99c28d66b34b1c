"""How far perimeters are wrong as labels: unburned islands in them, and windows whose label is not certain.

A perimeter is drawn around a fire, and ground inside it may not have burned. The change of the burn ratio (dNBR) shows
where, once what unburned ground changed by between the same images is taken off: season, haze and sun of two years
change it by −0.05 to 0.11 on real fires, as much as the bound between unburned and burned. The image before a fire is a
layer of its own, named after the layer that is evaluated (`before_layer`, see `configs/dataset-pre-post.json`). Without
it nothing is known of the labels' noise, and the report says so.

A burn ratio of the same images is what model and baseline see. So dNBR never makes or corrects a label: it only tells
how many labels are doubtful, and which windows a *second* score leaves out. That score is the first one on easier
ground. It says how much of the error may be the labels', and is no measure for choosing anything; the NBR baseline
gains most by it, since its own index decides what is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.dataset.config import before_layer, open_dataset
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.errors import InputError
from burnscar_assets.reader.clearness import is_clear_enough
from burnscar_assets.sensors.indices import FloatArray, dnbr, nbr
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs

UNBURNED_BELOW: Final = 0.10
"""dNBR below which Key and Benson call ground unburned."""

MARGIN: Final = 0.05
"""By how much that bound is doubtful: unburned ground scatters by so much about its own change."""

FEWEST_UNBURNED: Final = 3
"""Unburnt windows that tell how unburned ground changed: of fewer, one that was mown or logged would be the median."""

UNCERTAIN_SHARE: Final = 0.25
"""A window is uncertain if more than this share of its pixels is."""

EDGE_M: Final = 30.0
"""Nearer to a perimeter's outline, a pixel may be on either side."""

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1_000
"""Of windows, for the intervals of the share of islands."""

_PER_FIRE: Final = ("fire_id", "windows", "pixels", "unburned_share", "low", "high")


@dataclass(frozen=True)
class LabelNoise:
    """What the report says of the labels' noise.

    Attributes:
        note: How it was estimated, or why it was not.
        fires: One for each fire with burnt windows: fire_id, windows, pixels, unburned_share (of the ground inside its
            perimeter), low and high, the ends of its interval, and offset, the dNBR of unburned ground that was taken
            off (the median of its windows'); None where undefined.
    """

    note: str = ""
    fires: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of_several(cls, found: "Sequence[LabelNoise]") -> "LabelNoise":
        """Of windows that were looked at in several parts, such as folds, by number."""
        if len(found) == 1:
            return found[0]
        notes = "; ".join(f"fold {number}: {one.note}" for number, one in enumerate(found))
        return cls(notes, tuple(fire for one in found for fire in one.fires))


def unburned_offsets(
    change: NDArray[np.floating], burnt: NDArray[np.bool_], places: Sequence[NDArray[np.str_]]
) -> NDArray[np.float64]:
    """(n,) dNBR of unburned ground beside each window, which season, haze and sun explain, not a fire.

    It is the median of the medians of unburnt windows of the same place, so that one that changed as a whole weighs
    little; NaN where no place has three windows.

    Args:
        change: (n, height, width) dNBR, NaN where not known.
        burnt: (n,) whether each window's label is burnt.
        places: (n,) names of places, the best to compare with first; windows with an empty name are in no place.

    Raises:
        InputError: the shapes don't fit.
    """
    _check(change, burnt)
    found = np.full(len(change), np.nan)
    tells = ~burnt & np.isfinite(change).any(axis=(1, 2))
    medians = np.full(len(change), np.nan)
    medians[tells] = np.nanmedian(change[tells], axis=(1, 2))
    for names in places:
        for name in np.unique(names[np.isnan(found) & (names != "")]):
            here = names == name
            if (here & tells).sum() >= FEWEST_UNBURNED:
                found[here & np.isnan(found)] = np.median(medians[here & tells])
    return found


def uncertain_pixels(
    change: NDArray[np.floating], inside: NDArray[np.bool_], edge_distance_m: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """Which pixels' labels are not certain.

    They are those near the bound of dNBR, those inside a perimeter that dNBR calls unburned (possible islands), those
    near a perimeter's outline, and those that dNBR is not known of. Ground outside a perimeter that changed much
    stays certain: that no fire was mapped there is what the label says, and taking such ground for wrong would spare
    a model its false alarms.

    Args:
        change: dNBR less that of unburned ground, any shape; NaN where not known.
        inside: whether each pixel's label is burnt, of a shape that broadcasts to it.
        edge_distance_m: distance from the nearest outline of a perimeter; None: not looked at.
    """
    near_bound = np.abs(change - UNBURNED_BELOW) < MARGIN
    island = inside & (change < UNBURNED_BELOW)
    doubtful = near_bound | island | np.isnan(change)
    return doubtful if edge_distance_m is None else doubtful | (edge_distance_m < EDGE_M)


def uncertain_windows(
    change: NDArray[np.floating], burnt: NDArray[np.bool_], edge_distance_m: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """(n,) windows of which more than a quarter of the pixels are uncertain.

    Args:
        change: (n, height, width) dNBR less that of unburned ground, NaN where not known.
        burnt: (n,) whether each window's label is burnt.
        edge_distance_m: (n, height, width) distance from the nearest outline; None: not looked at.

    Raises:
        InputError: the shapes don't fit.
    """
    _check(change, burnt)
    doubtful = uncertain_pixels(change, burnt[:, np.newaxis, np.newaxis], edge_distance_m)
    return np.asarray(doubtful.mean(axis=(1, 2)) > UNCERTAIN_SHARE)


def unburned_islands(change: NDArray[np.floating], fire_ids: NDArray[np.str_]) -> pd.DataFrame:
    """Share of the ground inside each fire's perimeter that may not have burned, with its doubt.

    The interval holds both kinds of doubt: which windows happened to be drawn (they are resampled), and where the bound
    of dNBR lies (it is moved by the margin, down for the lower end, up for the upper one).

    Args:
        change: (n, height, width) dNBR of windows inside perimeters less that of unburned ground, NaN where not known.
        fire_ids: (n,) fire of each window.

    Returns:
        One row a fire, by fire_id: windows, pixels (known ones), unburned_share (NaN if none is known), low, high
        (NaN with fewer than two windows).

    Raises:
        InputError: the shapes don't fit.
    """
    _check(change, fire_ids)
    known = np.isfinite(change).sum(axis=(1, 2))
    bounds = UNBURNED_BELOW + MARGIN * np.array([-1, 0, 1])
    below = np.stack([(change < bound).sum(axis=(1, 2)) for bound in bounds], axis=1)
    rows = []
    for fire_id in np.unique(fire_ids):
        of_fire = (fire_ids == fire_id) & (known > 0)
        share = _share(below[of_fire, 1].sum(), known[of_fire].sum())
        low, high = _interval(below[of_fire], known[of_fire])
        rows.append((str(fire_id), int(of_fire.sum()), int(known[of_fire].sum()), share, low, high))
    return pd.DataFrame(rows, columns=list(_PER_FIRE))


def _interval(below: NDArray[np.integer], known: NDArray[np.integer]) -> tuple[float, float]:
    """Ends of the interval of one fire: (n, 3) pixels below each bound and (n,) known ones of its windows."""
    count = len(known)
    if count < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    shares = (drawn @ below) / (drawn @ known)[:, np.newaxis]
    tail = (1 - CONFIDENCE) / 2
    return float(np.quantile(shares[:, 0], tail)), float(np.quantile(shares[:, 2], 1 - tail))


def _share(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else float("nan")


def _check(change: NDArray[np.floating], of_windows: NDArray[np.generic]) -> None:
    if change.ndim != 3 or of_windows.shape != change.shape[:1]:
        raise InputError(f"dNBR of windows has shape (n, height, width), not {change.shape} for {len(of_windows)}")


@dataclass(frozen=True)
class LabelDoubt:
    """Doubt about the labels of windows.

    Attributes:
        certain: Whether each window's label is certain, by window_id; empty where nothing is known.
        noise: For the report.
    """

    certain: pd.Series = field(repr=False)
    noise: LabelNoise


def doubt_labels(
    root: DataRoot, windows: gpd.GeoDataFrame, sensor: Sensor, layer: str, *, min_clear_fraction: float
) -> LabelDoubt:
    """Find the windows whose labels dNBR and the perimeters' outlines make doubtful.

    The dNBR of unburned ground beside a window is taken off first: that of unburnt windows of its fire and of the same
    days, else of any fire and the same days, else of its fire, else of all windows given.

    Args:
        root: data root.
        windows: as `usable_windows`.
        sensor: whose images these are.
        layer: raster layer of the image after the fire.
        min_clear_fraction: images from before the fire that show less of a window tell nothing of it, 0–1.

    Raises:
        MissingDataError: the year has no perimeters, or a tile is gone.
    """
    before = before_layer(layer)
    if before not in open_dataset(root.dataset).layers:
        return _nothing_known(f"not estimated: the dataset has no images from before the fires (layer {before})")
    known = _with_image_before(root, windows, before, min_clear_fraction)
    if known.empty:
        return _nothing_known("not estimated: no window has a clear image from before the fire")
    change = _changes(root, known, sensor, layer, before)
    offsets = unburned_offsets(change, _burnt(known), _places(known))
    told = np.isfinite(offsets)
    if not told.any():
        said = f"there are no {FEWEST_UNBURNED} unburnt windows with a clear image from before"
        return _nothing_known(f"not estimated: {said}, which would tell how unburned ground changed")
    return _doubt(root, len(windows), known[told].reset_index(drop=True), change[told], offsets[told])


def _with_image_before(
    root: DataRoot, windows: gpd.GeoDataFrame, before: str, min_clear_fraction: float
) -> gpd.GeoDataFrame:
    """The windows that have a clear image from before the fire, with its `acquired_before`."""
    tiles = pd.concat([read_table(root, TILES, year) for year in sorted(set(windows["fire_year"]))], ignore_index=True)
    tiles = tiles[(tiles["layer"] == before) & tiles["complete"].fillna(False)]
    clear = is_clear_enough(tiles["clear_fraction"].to_numpy(dtype=float), min_clear_fraction)
    moments = tiles.loc[clear, ["window_id", "acquired"]].rename(columns={"acquired": "acquired_before"})
    return windows.merge(moments, on="window_id")


def _doubt(
    root: DataRoot, asked: int, known: gpd.GeoDataFrame, raw_change: FloatArray, offsets: NDArray[np.float64]
) -> LabelDoubt:
    """Doubt about windows of which dNBR and the offset to take off it are known, of so many that were asked about."""
    change = raw_change - offsets.astype(np.float32)[:, np.newaxis, np.newaxis]
    burnt = _burnt(known)
    size = int(known["size_px"].iloc[0])
    distances = np.empty((len(known), size, size), np.float32)
    for year, rows in known.groupby("fire_year"):
        of_year = read_table(root, FIRE_PERIMETERS, int(str(year))).geometry
        distances[known.index.get_indexer(rows.index)] = edge_distances_m(rows, of_year)
    certain = ~uncertain_windows(change, burnt, distances)
    fires = unburned_islands(change[burnt], known.loc[burnt, "fire_id"].astype(str).to_numpy(dtype=str))
    fires = fires.assign(offset=fires["fire_id"].map(pd.Series(offsets).groupby(known["fire_id"].astype(str)).median()))
    note = (
        f"by dNBR of {len(known)} of {asked} windows, less that of unburned ground beside them: "
        f"{int((~certain).sum())} labels are not certain, and the score of scope `label` leaves these out. It is the "
        "score on easier ground: no measure for choosing, and kinder to the NBR threshold, whose own index decides"
    )
    noise = LabelNoise(note, tuple(_plain(row) for row in fires.to_dict("records")))
    return LabelDoubt(pd.Series(certain, index=known["window_id"].to_numpy(), dtype="boolean"), noise)


def _burnt(windows: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    return (windows["category"] == CLASS_NAMES[BURNT]).to_numpy(dtype=bool)


def _places(known: gpd.GeoDataFrame) -> list[NDArray[np.str_]]:
    """Names of what windows share with unburned ground: fire and days of both images, days, fire, or nothing else."""
    fires = known["fire_id"].astype("string").fillna("").to_numpy(dtype=str)
    days = [known[name].dt.strftime("%Y-%m-%d").to_numpy(dtype=str) for name in ("acquired_before", "acquired")]
    of_days = np.char.add(np.char.add(days[0], " "), days[1])
    both = np.where(fires == "", "", np.char.add(np.char.add(fires, " "), of_days))
    return [both, of_days, fires, np.full(len(known), "any")]


def edge_distances_m(windows: gpd.GeoDataFrame, perimeters: gpd.GeoSeries) -> NDArray[np.float32]:
    """(n, size, size) distance of each pixel's centre from the nearest outline of a perimeter, metres.

    Windows farther than EDGE_M from every outline have infinity.

    Args:
        windows: of one size, with columns of table WINDOWS.
        perimeters: in the region's CRS, as are the windows' footprints.
    """
    size = int(windows["size_px"].iloc[0])
    result = np.full((len(windows), size, size), np.inf, dtype=np.float32)
    corners = [shapely.get_coordinates(ring) for ring in shapely.get_parts(perimeters.boundary.to_numpy())]
    if not corners:
        return result
    ends = np.concatenate([np.stack([ring[:-1], ring[1:]], axis=1) for ring in corners])
    tree = shapely.STRtree(shapely.linestrings(ends))
    near = np.unique(tree.query(windows.geometry.to_numpy(), predicate="dwithin", distance=EDGE_M)[0])
    for place in near:
        centres = shapely.points(_centres(windows.iloc[place], size))
        (asked, _), distance = tree.query_nearest(centres, return_distance=True, all_matches=False)
        result[place].ravel()[asked] = distance
    return result


def _centres(window: pd.Series, size: int) -> NDArray[np.float64]:
    """(size², 2) centres of a window's pixels in the region's CRS, row by row."""
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    x = (window["min_col"] + columns.ravel()) * window["resolution_m"]
    y = -(window["min_row"] + rows.ravel()) * window["resolution_m"]
    project = Transformer.from_crs(f"EPSG:{window['utm_epsg']}", table_crs(), always_xy=True)
    return np.column_stack(project.transform(x, y))


def _changes(root: DataRoot, windows: gpd.GeoDataFrame, sensor: Sensor, after: str, before: str) -> FloatArray:
    """(n, height, width) dNBR of windows."""
    bands = sensor.burn_ratio
    ratios = [
        np.stack([nbr(nir, swir) for nir, swir in read_tiles(root.dataset, windows, layer, bands)])
        for layer in (before, after)
    ]
    return dnbr(*ratios)


def _nothing_known(note: str) -> LabelDoubt:
    return LabelDoubt(pd.Series([], dtype="boolean"), LabelNoise(note))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON has it."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
