"""Which windows' labels are certain, by the images before and after the fire, where there is one before.

The image before a fire is a layer of its own, named after the layer that is evaluated (`before_layer`, see
`configs/dataset-pre-post.json`). Without it nothing is known of the labels' noise, and the report says so.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.dataset.config import before_layer, open_dataset
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.evaluation.label_noise import (
    EDGE_M,
    FEWEST_UNBURNED,
    LabelNoise,
    unburned_islands,
    unburned_offsets,
    uncertain_windows,
)
from burnscar_assets.reader.clearness import is_clear_enough
from burnscar_assets.sensors.indices import FloatArray, dnbr, nbr
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs


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
