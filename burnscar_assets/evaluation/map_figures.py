"""From scores of maps to figures of a year: each fire once, pooled, by part, and what the model gains on baselines.

Intervals are over pieces of ground; differences are paired, over the fires that both were judged on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.evaluation import report
from burnscar_assets.evaluation.ground import frame_clusters
from burnscar_assets.evaluation.land_cover import by_class, dominant_cover
from burnscar_assets.evaluation.map_scores import areas_by_severity
from burnscar_assets.evaluation.metrics import NO_INTERVAL, Interval, Scale, cluster_intervals, effective_clusters
from burnscar_assets.evaluation.subsets import classes_of
from burnscar_assets.settings import EvaluationSettings

FRAME: Final = ("fire_year", "frame_id")
"""What names a frame."""

OUT_OF_SCORE: Final = "a person took it out of the scores"
"""Why no figure has a fire whose map is scored."""

OVER_FIRES: Final[dict[str, Scale]] = {
    report.MAPS_DECIDE: "share",
    "iou_off_outline": "share",
    "f1": "share",
    "omission": "share",
    "commission": "share",
    "boundary_f_1px": "share",
    "boundary_f_2px": "share",
    "boundary_distance_m_mean": "positive",
    "boundary_distance_m_median": "positive",
    "area_ratio": "positive",
}
"""Scores that have a mean and a median over fires, and what they can be."""

_POOLED: Final[dict[str, tuple[str, str]]] = {
    "omission": ("missed_ha", "burnt_ha"),
    "commission": ("false_ha", "mapped_ha"),
    report.MAPS_DECIDE: ("hits_ha", "either_ha"),
    "f1": ("twice_hits_ha", "both_ha"),
    "area_ratio": ("mapped_ha", "burnt_ha"),
}
_OF_COVER: Final = ("omission", "commission", report.MAPS_DECIDE)
_HA_PER_1000_KM2: Final = 100_000
_FALSE: Final = {"false_ha_per_1000_km2": "mapped_ha", "false_patches_per_1000_km2": "false_patches"}


@dataclass(frozen=True)
class FireMaps:
    """Judged maps of fires by one predictor.

    Attributes:
        rows: contract MAP_SCORES with `ground`, the piece of ground that each fire lies on.
        confidence: of intervals, 0–1.
    """

    rows: pd.DataFrame
    confidence: float

    def of(self, inside: NDArray[np.bool_]) -> "FireMaps":
        """Some of the fires."""
        return FireMaps(self.rows[inside].reset_index(drop=True), self.confidence)

    def mean(self, values: NDArray[np.float64], scale: Scale) -> tuple[float, Interval]:
        """Mean over the fires where it is defined, with its interval."""
        known = np.isfinite(values)
        if not known.any():
            return float("nan"), NO_INTERVAL
        return self._ratio(np.where(known, values, 0), known.astype(np.float64), scale, known)

    def pooled(self, metric: str) -> tuple[float, Interval]:
        """A share of the areas of all fires together, with its interval."""
        part, whole = (self._area(name) for name in _POOLED[metric])
        return self._ratio(part, whole, OVER_FIRES[metric], whole > 0)

    def share(self, part: NDArray[np.float64], whole: NDArray[np.float64]) -> tuple[float, Interval]:
        """Share of some ground of all fires together, with its interval."""
        return self._ratio(part, whole, "share", whole > 0)

    def counted(self) -> dict[str, Any]:
        """How much is behind a figure."""
        ground = self.rows["ground"].tolist()
        effective = effective_clusters(ground, np.ones(len(ground), bool))
        return {"windows": 0, "fires": len(self.rows), "effective_clusters": effective}

    def _area(self, name: str) -> NDArray[np.float64]:
        hits, burnt, mapped = (self.rows[column].to_numpy(float) for column in ("hits_ha", "burnt_ha", "mapped_ha"))
        return {
            "hits_ha": hits,
            "twice_hits_ha": 2 * hits,
            "burnt_ha": burnt,
            "mapped_ha": mapped,
            "missed_ha": burnt - hits,
            "false_ha": mapped - hits,
            "either_ha": burnt + mapped - hits,
            "both_ha": burnt + mapped,
        }[name]

    def _ratio(
        self, part: NDArray[np.float64], whole: NDArray[np.float64], scale: Scale, known: NDArray[np.bool_]
    ) -> tuple[float, Interval]:
        """Σ part / Σ whole, with its interval over the pieces of ground that tell of it."""

        def statistic(weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
            total = weights @ whole[known]
            return {"": np.divide(weights @ part[known], total, out=np.full(len(total), np.nan), where=total > 0)}

        ground = self.rows["ground"].to_numpy(str)[known].tolist()
        if not ground:
            return float("nan"), NO_INTERVAL
        value = float(statistic(np.ones((1, len(ground))))[""][0])
        return value, cluster_intervals(statistic, ground, np.ones(len(ground), bool), self.confidence, scale)[""]


def fires_judged(scores: gpd.GeoDataFrame, *, with_out: bool = False) -> pd.DataFrame:
    """The judged rows of fires, of one or several years, with `ground`: the piece of ground of each fire's frame.

    Args:
        scores: contract MAP_SCORES.
        with_out: whether fires are among them that a person took out of the scores.
    """
    rows = scores[scores["judged"].astype(bool) & (scores["fire_id"].fillna("") != "")]
    rows = rows if with_out else rows[~rows["out"].astype(bool)]
    frames = rows.drop_duplicates(list(FRAME))
    ground = frame_clusters(frames["cluster_id"].astype(str).tolist(), frames.geometry.to_numpy())
    of_frame = frames[list(FRAME)].assign(ground=ground)
    return pd.DataFrame(rows.drop(columns="geometry")).merge(of_frame, on=list(FRAME), how="left")


def why_no_map(scores: pd.DataFrame) -> str:
    """Why none of a checkpoint's maps of fires is judged, from contract MAP_SCORES; empty if one is."""
    own = scores[(scores["predictor"] == report.MODEL) & (scores["fire_id"].fillna("") != "")]
    reasons = own["reason"].where(~own["judged"].astype(bool) | ~own["out"].astype(bool), OUT_OF_SCORE)
    if (reasons == "").any():
        return ""
    return "; ".join(sorted(set(reasons))) or "no held-out fire has a frame with an image"


def map_metrics(scores: gpd.GeoDataFrame, settings: EvaluationSettings) -> Iterator[dict[str, Any]]:
    """Figures of the maps of one checkpoint and of the baselines beside it.

    Args:
        scores: contract MAP_SCORES, of one or several years, of one seed.
        settings: confidence of the intervals, and bounds of the classes of size.

    Yields:
        Rows of contract EVALUATION_METRICS without fire_year: scopes `maps…` and `season_maps`.
    """
    fires, every = fires_judged(scores), fires_judged(scores, with_out=True)
    for method in dict.fromkeys(fires["predictor"]):
        if method == report.SEASON:
            continue
        maps = FireMaps(fires[fires["predictor"] == method].reset_index(drop=True), settings.confidence)
        yield from _named(_over_fires(maps), maps, method=method, scope=report.MAPS)
        pooled = ((metric, *maps.pooled(metric)) for metric in _POOLED)
        yield from _named((("", *one) for one in pooled), maps, method=method, scope=report.MAPS_POOLED)
        yield from _parts(maps, method, settings)
        yield from _with_out(every[every["predictor"] == method], method, settings.confidence)
        if method != report.MODEL:
            yield from _gain(fires, method, settings.confidence)
    yield from _without_fire(scores, settings.confidence)
    of_season = FireMaps(fires[fires["predictor"] == report.SEASON].reset_index(drop=True), settings.confidence)
    if len(of_season.rows):
        yield from _named(_over_fires(of_season), of_season, method=report.MODEL, scope=report.SEASON_MAPS)


def paired(fires: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """The fires that two predictors were judged on, with `gain`: the first one's IoU less the second's."""
    names = list(FRAME)
    theirs = fires.loc[fires["predictor"] == other, [*names, report.MAPS_DECIDE]].rename(
        columns={report.MAPS_DECIDE: "theirs"}
    )
    both = fires[fires["predictor"] == one].merge(theirs, on=names)
    return both.assign(gain=both[report.MAPS_DECIDE] - both["theirs"])


_Figure = tuple[str, str, float, Interval]
"""Subset, metric, value and interval."""


def _over_fires(maps: FireMaps) -> Iterator[_Figure]:
    for metric, scale in OVER_FIRES.items():
        values = maps.rows[metric].to_numpy(float, na_value=np.nan)
        yield (report.MEAN, metric, *maps.mean(values, scale))
        known = values[np.isfinite(values)]
        yield report.MEDIAN, metric, float(np.median(known)) if len(known) else float("nan"), NO_INTERVAL


def _parts(maps: FireMaps, method: str, settings: EvaluationSettings) -> Iterator[dict[str, Any]]:
    """IoU by size and dominant cover, all ground by severity and cover, and figures without fires with a remark."""
    dominant = dominant_cover(maps.rows)
    parts = {
        report.MAPS_SIZE: classes_of(maps.rows["area_ha"], settings.size_classes_ha, "ha"),
        report.MAPS_FIRE_COVER: [(name, dominant == name) for name in sorted({*dominant} - {None})],
    }
    for scope, (name, inside) in ((scope, part) for scope, of_scope in parts.items() for part in of_scope):
        if inside.any():
            chosen = maps.of(inside)
            found = chosen.mean(chosen.rows[report.MAPS_DECIDE].to_numpy(float), "share")
            yield from _named([(name, report.MAPS_DECIDE, *found)], chosen, method=method, scope=scope)
    yield from _by_cover(maps, method)
    for name, (burnt, missed) in areas_by_severity(maps.rows).items():
        if (burnt > 0).any():
            chosen = maps.of(burnt > 0)
            yield from _named(
                [(name, "omission", *maps.share(missed, burnt))], chosen, method=method, scope=report.MAPS_SEVERITY
            )
    flagged = (maps.rows["flag"].fillna("") != "").to_numpy(bool)
    if flagged.any() and not flagged.all():
        chosen = maps.of(~flagged)
        yield from _named(_over_fires(chosen), chosen, method=method, scope=report.MAPS_UNFLAGGED)


def _by_cover(maps: FireMaps, method: str) -> Iterator[dict[str, Any]]:
    """Scores on all fires' ground of each class of land cover, and the share of the ground whose class isn't known."""
    for name, rows in by_class(maps.rows):
        of_class = FireMaps(rows.reset_index(drop=True), maps.confidence)
        found = [(name, metric, *of_class.pooled(metric)) for metric in _OF_COVER]
        yield from _named(found, of_class, method=method, scope=report.MAPS_COVER)
    told = maps.of(maps.rows["no_cover"].notna().to_numpy(bool))
    if len(told.rows):
        judged_ha = told.rows["judged_ha"].to_numpy(float)
        share = told.share(told.rows["no_cover"].to_numpy(float) * judged_ha, judged_ha)
        yield from _named([("", "no_cover", *share)], told, method=method, scope=report.MAPS_COVER)


def _with_out(every: pd.DataFrame, method: str, confidence: float) -> Iterator[dict[str, Any]]:
    """The same means of all fires, where a person took some out."""
    if every["out"].astype(bool).any():
        maps = FireMaps(every.reset_index(drop=True), confidence)
        yield from _named(_over_fires(maps), maps, method=method, scope=report.MAPS_WITH_OUT)


def _gain(fires: pd.DataFrame, method: str, confidence: float) -> Iterator[dict[str, Any]]:
    """The model's IoU less that of a baseline, over the fires that both were judged on."""
    maps = FireMaps(paired(fires, report.MODEL, method), confidence)
    if len(maps.rows):
        found = maps.mean(maps.rows["gain"].to_numpy(float), "difference")
        yield from _named([(method, report.MAPS_DECIDE, *found)], maps, method=report.MODEL, scope=report.MAPS_GAIN)


def _without_fire(scores: gpd.GeoDataFrame, confidence: float) -> Iterator[dict[str, Any]]:
    """What is mapped per area where nothing burned."""
    rows = scores[scores["judged"].astype(bool) & (scores["fire_id"].fillna("") == "")]
    for method, of_method in rows.groupby("predictor", sort=False):
        area, blocks = of_method["judged_ha"].to_numpy(float), of_method["cluster_id"].astype(str).tolist()
        for metric, column in _FALSE.items():
            false = of_method[column].to_numpy(float)

            def rate(weights: NDArray[Any], false: NDArray[Any] = false) -> dict[str, NDArray[np.float64]]:
                return {"": _HA_PER_1000_KM2 * (weights @ false) / (weights @ area)}  # noqa: B023

            no_fire = np.zeros(len(blocks), bool)
            interval = cluster_intervals(rate, blocks, no_fire, confidence, "positive")[""]
            value = float(rate(np.ones((1, len(false))))[""][0])
            yield {
                "method": method, "scope": report.MAPS_NO_FIRE, "subset": "", "fire_id": "", "metric": metric,
                "value": value, "low": interval.low, "high": interval.high, "windows": 0, "fires": 0,
                "effective_clusters": effective_clusters(blocks, no_fire),
            }  # fmt: skip


def _named(figures: Iterable[_Figure], maps: FireMaps, *, method: str, scope: str) -> Iterator[dict[str, Any]]:
    counted = maps.counted()
    for subset, metric, value, interval in figures:
        ends = {"value": value, "low": interval.low, "high": interval.high}
        yield {"method": method, "scope": scope, "subset": subset, "fire_id": "", "metric": metric} | ends | counted
