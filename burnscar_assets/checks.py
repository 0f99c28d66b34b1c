"""What must hold of each stage's output, as pure functions of tables and files.

A check of corruption blocks what comes after it; a check of quality warns. Thresholds of quality are here.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd
import shapely

from burnscar_assets.classes import CLASS_NAMES, MIXED, Split, Stratum
from burnscar_assets.clock import is_within
from burnscar_assets.errors import CheckpointError, InputError
from burnscar_assets.evaluation.report import BASELINE, MAPS, MAPS_DECIDE, MAPS_GAIN, MEAN, MODEL, POOLED, best_baseline
from burnscar_assets.funnel import unexplained
from burnscar_assets.reader.clearness import is_clear_enough
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.tables import Table, table_crs

if TYPE_CHECKING:
    import geopandas as gpd

MAX_REJECTED_SHARE: Final = 0.2
MAX_LEFT_OUT_SHARE: Final = 0.25
MIN_CLASS_SHARE: Final = 0.2
MAX_CLOUDY_SHARE: Final = 0.25
MAX_MEAN_NODATA: Final = 0.01
MAX_F1_DROP: Final = 0.1
MAX_IOU_DROP: Final = 0.1
MAX_UNMAPPED_SHARE: Final = 0.25


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: whether it holds, in words, and the figures behind it."""

    holds: bool
    detail: str
    figures: dict[str, float] = field(default_factory=dict)


def release_is_whole(records: "gpd.GeoDataFrame") -> Finding:
    """The release has its contract's columns, unique ids, the region's CRS, and wildfires; geometry is as delivered."""
    fault = _fault(RELEASE_RECORDS, records)
    if fault:
        return Finding(False, fault)
    fires = int((records["kind"] == "fire").sum())
    return Finding(fires > 0, f"{len(records)} records, {fires} wildfires", {"records": len(records), "fires": fires})


def was_looked_at_lately(looked_at: datetime | None, now: datetime, limit_days: float) -> Finding:
    """The release's source was looked at, with success, not long ago."""
    if looked_at is None:
        return Finding(False, "the source was never looked at")
    days = (now - looked_at).total_seconds() / 86_400
    lately = is_within(looked_at.timestamp(), now.timestamp(), limit_days * 86_400)
    unknown = "" if lately or days > 0 else ": after now, so the clock was set back; look again"
    return Finding(lately, f"looked at {looked_at:%Y-%m-%d %H:%M} UTC{unknown}", {"days_ago": days})


def table_is_whole(table: Table, rows: pd.DataFrame) -> Finding:
    """The table has its contract's columns, unique keys, and valid geometries in the region's CRS."""
    import geopandas as gpd

    fault = _fault(table, rows)
    if fault:
        return Finding(False, fault)
    if isinstance(rows, gpd.GeoDataFrame):
        broken = int((~shapely.is_valid(rows.geometry.to_numpy()) | rows.geometry.is_empty.to_numpy()).sum())
        if broken:
            return Finding(False, f"{broken} geometries are invalid or empty", {"broken": broken})
    return Finding(True, f"{len(rows)} rows, keys unique", {"rows": len(rows)})


def no_fire_is_in_both_sources(in_season: "gpd.GeoDataFrame", perimeters: "gpd.GeoDataFrame") -> Finding:
    """No in-season perimeter is of a fire that the release has."""
    from burnscar_assets.labels.in_season import superseded_by

    both = superseded_by(in_season, perimeters).dropna()
    told = ", ".join(in_season.loc[both.index, "fire_id"].astype(str).head(5))
    return Finding(both.empty, told or f"{len(in_season)} in-season fires", {"in_both": len(both)})


def _fault(table: Table, rows: pd.DataFrame) -> str:
    """What columns, keys or CRS have against them; empty if nothing."""
    import geopandas as gpd

    try:
        table.conform(rows)
    except InputError as error:
        return str(error)
    misplaced = isinstance(rows, gpd.GeoDataFrame) and (
        rows.crs is None or rows.crs.to_authority() != tuple(table_crs().split(":"))
    )
    return f"coordinates are in {rows.crs}, not {table_crs()}" if misplaced else ""


def labels_agree(
    points: "gpd.GeoDataFrame", perimeters: "gpd.GeoDataFrame", history: "gpd.GeoDataFrame", side_m: float
) -> Finding:
    """Burnt points and those on edges lie at their fire, and no unburnt point lies in a burn.

    Args:
        points: table `sample_points`.
        perimeters: table `fire_perimeters` of the year.
        history: table `burn_history` of the year; points on old scars may lie in its burns.
        side_m: side of a window in metres: no burnt centre is farther from its fire.
    """
    burnt, unburnt, edges = (points[points["category"] == name] for name in (*CLASS_NAMES, MIXED))
    wanted = [Stratum(name).category for name in points["stratum"]]
    fires = perimeters.set_index("fire_id").geometry
    figures = {
        "stratum_of_other_class": int((points["category"] != wanted).sum()),
        "burnt_off_their_fire": _count_off(burnt, fires, side_m),
        "edges_off_their_fire": _count_off(edges, fires, side_m),
        "unburnt_in_a_fire": _count_inside(unburnt, perimeters),
        "unburnt_in_a_scar": _count_inside(unburnt[unburnt["stratum"] != Stratum.OLD_SCAR], history),
    }
    wrong = [f"{count} {name.replace('_', ' ')}" for name, count in figures.items() if count]
    return Finding(not wrong, ", ".join(wrong) or f"{len(points)} labels agree with the burns", dict(figures))


def _count_off(points: "gpd.GeoDataFrame", fires: "gpd.GeoSeries", reach_m: float) -> int:
    """Points that are farther from their fire."""
    own = fires.reindex(points["fire_id"]).to_numpy()
    return int((~shapely.dwithin(own, points.geometry.to_numpy(), reach_m)).sum())


def _count_inside(points: "gpd.GeoDataFrame", shapes: "gpd.GeoDataFrame") -> int:
    found, _ = shapely.STRtree(shapes.geometry.to_numpy()).query(points.geometry.to_numpy(), predicate="intersects")
    return len(set(found.tolist()))


def splits_are_disjoint(windows: "gpd.GeoDataFrame") -> Finding:
    """No fire and no cluster is in two splits, and no window touches a window of another split."""
    for column in ("fire_id", "cluster_id"):
        named = windows[windows[column].fillna("") != ""]  # land without fire has no fire_id
        splits = named.groupby(column)["split"].nunique()
        if (splits > 1).any():
            return Finding(False, f"{column} in two splits: {', '.join(splits.index[splits > 1][:5])}")
    footprints = windows.geometry.to_numpy()
    one, other = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    split = windows["split"].to_numpy(dtype=str)
    shared = int((split[one] != split[other]).sum()) // 2
    return Finding(shared == 0, f"{shared} pairs of windows of different splits share ground", {"shared": shared})


def classes_are_balanced(rows: pd.DataFrame) -> Finding:
    """In every split each class has its share."""
    rows = rows[rows["category"] != MIXED]
    shares = {
        f"{split}_{name}": float((part["category"] == name).mean())
        for split, part in rows.groupby("split")
        for name in CLASS_NAMES
    }
    low = [name for name, share in shares.items() if share < MIN_CLASS_SHARE]
    return Finding(
        not low, f"below {MIN_CLASS_SHARE:.0%}: {', '.join(low)}" if low else "each class has its share", shares
    )


def training_has_both_classes(rows: pd.DataFrame) -> Finding:
    """The training split has both classes, if it has anything: a model can't learn from one.

    In a world with folds a checkpoint learns from all years at once, and one of few fires may have burnt windows alone.
    """
    of_folds = ~rows["split"].isin(list(Split))  # each trains the checkpoints of others
    training = ((rows["split"] == Split.TRAIN) | of_folds) & (rows["category"] != MIXED)
    counts = rows.loc[training, "category"].value_counts()
    figures = {f"train_{name}": int(counts.get(name, 0)) for name in CLASS_NAMES}
    holds = len(counts) in (0, len(CLASS_NAMES)) or bool(of_folds.any())
    detail = "train: " + ", ".join(f"{figures[f'train_{name}']} {name}" for name in CLASS_NAMES)
    remedy = "" if holds else "; take more fires, or deal the ground anew (sampling.splits)"
    return Finding(holds, detail + remedy, dict(figures))


def few_are_rejected(perimeters: pd.DataFrame, rejects: pd.DataFrame) -> Finding:
    """Not so many records are rejected that the release itself is suspicious."""
    records = len(perimeters) + len(rejects)
    share = len(rejects) / max(records, 1)
    return Finding(share <= MAX_REJECTED_SHARE, f"{len(rejects)} of {records} records rejected", {"share": share})


def tiles_are_accounted_for(windows: pd.DataFrame, tiles: pd.DataFrame) -> Finding:
    """Every window has its row, every incomplete one a reason, and something is complete."""
    missing = len(set(windows["window_id"]) - set(tiles["window_id"]))
    incomplete = tiles[~tiles["complete"]]
    unexplained = int((incomplete["reason"].fillna("") == "").sum())
    holds = not missing and not unexplained and (len(windows) == 0 or bool(tiles["complete"].any()))
    detail = f"{missing} windows without a row, {unexplained} without a reason, {len(incomplete)} incomplete"
    return Finding(holds, detail, {"missing": missing, "unexplained": unexplained, "incomplete": len(incomplete)})


def few_are_left_out(tiles: pd.DataFrame) -> Finding:
    """Not too many windows lack imagery."""
    share = float((~tiles["complete"]).mean()) if len(tiles) else 0.0
    return Finding(share <= MAX_LEFT_OUT_SHARE, f"{share:.0%} of windows without usable imagery", {"share": share})


def few_are_cloudy(tiles: pd.DataFrame, min_clear_fraction: float) -> Finding:
    """Not too many windows with complete tiles are left out of training and scores as cloudy."""
    complete = tiles.loc[tiles["complete"].astype(bool), "clear_fraction"].to_numpy(dtype=float)
    cloudy = int((~is_clear_enough(complete, min_clear_fraction)).sum())
    share = cloudy / max(len(complete), 1)
    detail = f"{cloudy} of {len(complete)} complete tiles are less than {min_clear_fraction:.0%} clear"
    return Finding(share <= MAX_CLOUDY_SHARE, detail, {"share": share, "cloudy": cloudy})


def few_pixels_lack_data(tiles: pd.DataFrame) -> Finding:
    """Complete tiles have few pixels without data."""
    known = tiles.loc[tiles["complete"].astype(bool), "nodata_fraction"].dropna()
    mean = float(known.mean()) if len(known) else 0.0
    return Finding(mean <= MAX_MEAN_NODATA, f"{mean:.2%} of pixels without data in complete tiles", {"mean": mean})


def funnel_adds_up(funnel: pd.DataFrame) -> Finding:
    """From records to examples, whatever is lost has a reason, and nothing comes from nowhere."""
    gaps = unexplained(funnel)
    figures = {
        step if not reason else f"{step}_lost_{reason}": float(count)
        for step, count, reason in zip(funnel["step"], funnel["count"], funnel["reason"], strict=True)
    }
    named = (gaps["step"] + ": " + gaps["count"].astype(str) + " " + gaps["reason"]).str.cat(sep=", ")
    detail = f"{named}; a table is of another state: run burnscar refresh" if named else "every loss has a reason"
    return Finding(gaps.empty, detail, figures)


def checkpoint_is_verified(folder: Path) -> Finding:
    """The manifest and the files that it names are those that were trained."""
    from burnscar_assets.models.manifest import verify_checkpoint

    try:
        manifest = verify_checkpoint(folder)
    except CheckpointError as error:
        return Finding(False, str(error))
    return Finding(True, f"weights {manifest.weights_sha256[:12]}", {"epochs": manifest.epochs})


def only_test_windows_are_scored(predictions: pd.DataFrame) -> Finding:
    """Nothing but the test split is scored."""
    others = int((predictions["split"] != Split.TEST).sum())
    return Finding(others == 0, f"{others} scored windows are of another split", {"others": others})


def model_beats_baseline(metrics: pd.DataFrame) -> Finding:
    """The model maps held-out fires no worse than each baseline on the same pixels; without maps, by F1 of windows."""
    best = best_baseline(metrics)
    if best:
        gain = _figure(metrics, MODEL, MAPS_GAIN, best, MAPS_DECIDE)
        mapped = _figure(metrics, MODEL, MAPS, MEAN, MAPS_DECIDE)
        said = f"maps: mean IoU {mapped:.2f}, over that of {best} on the same fires {gain:+.3f}"
        return Finding(not gain < 0, said, {"model": mapped, "gain": gain})
    model, baseline = (_figure(metrics, method, POOLED, "", "f1_burnt") for method in (MODEL, BASELINE))
    return Finding(
        not model < baseline,
        f"F1 of burnt windows {model:.2f}, baseline {baseline:.2f}; no map is judged",
        {"model": model, "baseline": baseline},
    )


def metrics_keep_up(metrics: pd.DataFrame, year_before: pd.DataFrame) -> Finding:
    """The model's mean IoU of maps didn't fall much from the fire year before; without maps, its F1 of windows."""
    if year_before.empty:
        return Finding(True, "no metrics of the fire year before")
    what, place, most = "mean IoU of maps", (MAPS, MEAN, MAPS_DECIDE), MAX_IOU_DROP
    now, before = (_figure(rows, MODEL, *place) for rows in (metrics, year_before))
    if math.isnan(now) or math.isnan(before):
        what, place, most = "F1 of burnt windows", (POOLED, "", "f1_burnt"), MAX_F1_DROP
        now, before = (_figure(rows, MODEL, *place) for rows in (metrics, year_before))
    said = f"{what} {now:.2f}, year before {before:.2f}"
    return Finding(not now < before - most, said, {"now": now, "before": before})


def maps_are_whole(maps: "gpd.GeoDataFrame", folder: Path) -> Finding:
    """Every map of the table is there, with the files that its record names, as they were written."""
    from burnscar_assets.mapping.fires import safe_name
    from burnscar_assets.publish.folder import MAP_FILE, damaged_files
    from burnscar_assets.storage.atomic import read_json

    complete = maps[maps["complete"].astype(bool)]
    broken = []
    for fire_id, inputs_hash in zip(complete["fire_id"], complete["inputs_hash"], strict=True):
        place = folder / safe_name(fire_id)
        record = read_json(place / MAP_FILE)
        if record.get("inputs_sha256") != inputs_hash:
            broken.append(f"{fire_id}: no such map")
        elif damaged := damaged_files(place, record):
            broken.append(f"{fire_id}: {', '.join(damaged)}")
    return Finding(not broken, "; ".join(broken[:5]) or f"{len(complete)} maps, all whole", {"maps": len(complete)})


def scenes_are_whole(scenes: pd.DataFrame, windows: Path) -> Finding:
    """Every frame that has an image has its window, with what the table says of it, and none is in two splits."""
    from burnscar_assets.storage.atomic import read_json

    complete = scenes[scenes["complete"].astype(bool)]
    broken = []
    for row in complete.itertuples(index=False):
        known = read_json(windows / row.frame_id / "metadata.json").get("options", {})
        if any(known.get(name) != getattr(row, name) for name in ("image_hash", "label_hash", "split", "cluster_id")):
            broken.append(f"{row.frame_id}: no such window")
    fires = complete[complete["role"] == "fire"]
    shared = fires.groupby("cluster_id")["split"].nunique()
    broken += [f"cluster {name} is in two splits" for name in shared.index[shared > 1]]
    return Finding(not broken, "; ".join(broken[:5]) or f"{len(complete)} frames, all whole", {"frames": len(complete)})


def few_frames_lack_images(scenes: pd.DataFrame) -> Finding:
    """Few frames of fires lack an image after, or show the ground of less than half of their area."""
    fires = scenes[scenes["role"] == "fire"]
    if fires.empty:
        return Finding(True, "no fire is judged")
    poor = int((fires["clear_fraction"].fillna(0.0).to_numpy(float) < 0.5).sum())
    return Finding(
        poor / len(fires) <= MAX_UNMAPPED_SHARE,
        f"{poor} of {len(fires)} fires lack an image of half of their frame",
        {"poor": poor, "fires": len(fires), "without_before": int(fires["before_clear_fraction"].isna().sum())},
    )


def most_fires_are_mapped(maps: pd.DataFrame) -> Finding:
    """Few held-out fires lack imagery for a map, or an answer for most of their area."""
    if maps.empty:
        return Finding(True, "no held-out fire")
    answered = maps["valid_fraction"].fillna(0.0).to_numpy(float)
    poor = int((answered < 0.5).sum())
    without = int((~maps["complete"].astype(bool)).sum())
    share = poor / len(maps)
    return Finding(
        share <= MAX_UNMAPPED_SHARE,
        f"{poor} of {len(maps)} fires have no answer for most of their area, {without} of them no image",
        {"poor": poor, "fires": len(maps), "without_imagery": without},
    )


def _figure(metrics: pd.DataFrame, method: str, scope: str, subset: str, metric: str) -> float:
    """A figure of the table; NaN if it isn't there."""
    named = (metrics["scope"] == scope) & (metrics["subset"] == subset) & (metrics["metric"] == metric)
    found = metrics.loc[named & (metrics["method"] == method), "value"]
    return float(found.iloc[0]) if len(found) else math.nan
