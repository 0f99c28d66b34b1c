"""False alarms per 1,000 km² of land without fire: what a map of a whole state would show for nothing."""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import Stratum
from burnscar_assets.evaluation.metrics import NO_INTERVAL, Interval, cluster_intervals

if TYPE_CHECKING:
    import geopandas as gpd

RATE: Final = "false_alarms_per_1000_km2"
AREA: Final = "area_km2"
UNIT_KM2: Final = 1000.0
_M2_PER_KM2 = 1e6


def false_alarms(
    predictions: "gpd.GeoDataFrame", called_burnt: NDArray[np.bool_], confidence: float
) -> tuple[dict[str, float], Interval] | None:
    """Windows of stratum `land` that are called burnt, by the area of those windows.

    The interval is the wider one at each end of two: that over blocks of ground, since false alarms come in patches,
    and the exact Poisson interval (Garwood 1936), since blocks without any alarm don't differ. With fewer blocks than
    an interval needs there is none.

    Args:
        predictions: contract PREDICTIONS, the region's CRS (equal area).
        called_burnt: (n,) which windows the method calls burnt.
        confidence: of the interval, 0–1.

    Returns:
        `area_km2` scored, `fp` and `false_alarms_per_1000_km2`, and the interval of the last; None without such land.
    """
    land = ((predictions["stratum"] == Stratum.LAND) & (predictions["fire_id"].fillna("") == "")).to_numpy(dtype=bool)
    if not land.any():
        return None
    area_km2 = predictions.geometry.area.to_numpy()[land] / _M2_PER_KM2
    called = called_burnt[land].astype(np.float64)
    alarms, total_km2 = int(called.sum()), float(area_km2.sum())

    def rate(weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        return {RATE: UNIT_KM2 * (weights @ called) / (weights @ area_km2)}

    blocks = predictions.loc[land, "cluster_id"].astype(str).to_list()
    over_blocks = cluster_intervals(rate, blocks, np.zeros(len(blocks), dtype=bool), confidence, "positive")[RATE]
    interval = NO_INTERVAL
    if not np.isnan(over_blocks.low):
        low, high = (UNIT_KM2 * count / total_km2 for count in poisson_interval(alarms, confidence))
        interval = Interval(min(over_blocks.low, low), max(over_blocks.high, high))
    return {AREA: total_km2, "fp": float(alarms), RATE: UNIT_KM2 * alarms / total_km2}, interval


def poisson_interval(count: int, confidence: float) -> tuple[float, float]:
    """The exact interval of the expected value behind a count (Garwood 1936)."""
    from scipy.special import gammaincinv

    tail = (1 - confidence) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1 - tail))
