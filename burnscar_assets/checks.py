"""What must hold of each stage's output, as pure functions of tables and files.

A check of corruption blocks what comes after it; a check of quality warns. Thresholds of quality are here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.classes import CLASS_NAMES, Split
from burnscar_assets.errors import CheckpointError, InputError
from burnscar_assets.evaluation.report import BASELINE, MODEL, POOLED
from burnscar_assets.storage.tables import TABLE_CRS, Table

MAX_REJECTED_SHARE: Final = 0.2
MAX_LEFT_OUT_SHARE: Final = 0.25
MIN_CLASS_SHARE: Final = 0.2
MAX_F1_DROP: Final = 0.1


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: whether it holds, in words, and the figures behind it."""

    holds: bool
    detail: str
    figures: dict[str, float] = field(default_factory=dict)


def table_is_whole(table: Table, rows: pd.DataFrame) -> Finding:
    """The table has its contract's columns, unique keys, and valid geometries in EPSG:3310."""
    try:
        table.conform(rows)
    except InputError as error:
        return Finding(False, str(error))
    if isinstance(rows, gpd.GeoDataFrame):
        if rows.crs is None or rows.crs.to_authority() != tuple(TABLE_CRS.split(":")):
            return Finding(False, f"coordinates are in {rows.crs}, not {TABLE_CRS}")
        broken = int((~shapely.is_valid(rows.geometry.to_numpy()) | rows.geometry.is_empty.to_numpy()).sum())
        if broken:
            return Finding(False, f"{broken} geometries are invalid or empty", {"broken": broken})
    return Finding(True, f"{len(rows)} rows, keys unique", {"rows": len(rows)})


def splits_are_disjoint(windows: gpd.GeoDataFrame) -> Finding:
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
    shares = {
        f"{split}_{name}": float((part["category"] == name).mean())
        for split, part in rows.groupby("split")
        for name in CLASS_NAMES
    }
    low = [name for name, share in shares.items() if share < MIN_CLASS_SHARE]
    return Finding(
        not low, f"below {MIN_CLASS_SHARE:.0%}: {', '.join(low)}" if low else "each class has its share", shares
    )


def few_are_rejected(kept: int, rejected: int) -> Finding:
    """Not so many records are rejected that the release itself is suspicious."""
    share = rejected / max(kept + rejected, 1)
    return Finding(share <= MAX_REJECTED_SHARE, f"{rejected} of {kept + rejected} records rejected", {"share": share})


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


def checkpoint_is_verified(folder: Path) -> Finding:
    """The manifest and the files that it names are those that were trained."""
    from burnscar_assets.training.manifest import verify_checkpoint

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
    """The model's pooled F1 of burnt is not below the baseline's."""
    model, baseline = (_pooled(metrics, method, "f1_burnt") for method in (MODEL, BASELINE))
    return Finding(
        not model < baseline,
        f"F1 of burnt {model:.2f}, baseline {baseline:.2f}",
        {"model": model, "baseline": baseline},
    )


def metrics_keep_up(metrics: pd.DataFrame, year_before: pd.DataFrame) -> Finding:
    """The model's pooled F1 of burnt did not fall much from the fire year before."""
    if year_before.empty:
        return Finding(True, "no metrics of the fire year before")
    now, before = (_pooled(rows, MODEL, "f1_burnt") for rows in (metrics, year_before))
    return Finding(
        not now < before - MAX_F1_DROP,
        f"F1 of burnt {now:.2f}, year before {before:.2f}",
        {"now": now, "before": before},
    )


def _pooled(metrics: pd.DataFrame, method: str, metric: str) -> float:
    chosen = (metrics["scope"] == POOLED) & (metrics["method"] == method) & (metrics["metric"] == metric)
    return float(metrics.loc[chosen, "value"].iloc[0])
