"""Decides, from the tables alone, what a year's training run sees; finds what would fail before torch loads."""

from collections.abc import Sequence

import geopandas as gpd
import pandas as pd

from burnscar_assets.classes import CLASS_NAMES, Split
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.settings import Settings
from burnscar_assets.storage.contracts import TILES, WINDOWS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path
from burnscar_assets.training.config import check_inputs, run_config
from burnscar_assets.training.olmoearth import resolve_encoder
from burnscar_assets.training.spec import Counts, TrainingSpec


def plan_training(
    settings: Settings, root: DataRoot, fire_year: int, data_versions: dict[str, str] | None = None
) -> TrainingSpec:
    """The specification of a year's training run: its own year and those of the look-back that were made.

    Raises:
        MissingDataError: the year has no windows or tiles yet.
        InputError: a split is empty, a class is missing, or the dataset lacks what the model reads.
        SettingsError, SourceUnavailableError: the model or its configuration is not to be had.
    """
    years = _fire_years(settings, root, fire_year)
    windows = usable_windows(root, years, settings.imagery.layer)
    _check_splits(windows, fire_year)
    spec = TrainingSpec(
        fire_year=fire_year,
        fire_years=years,
        dataset=root.dataset.resolve(),
        checkpoint=root.checkpoint(fire_year).resolve(),
        layer=settings.imagery.layer,
        size_px=int(windows["size_px"].max()),
        settings=settings.training,
        encoder=resolve_encoder(settings.training.model, DataRoot(root.path.resolve())),
        windows=_counts(windows),
        fires={split: len(set(rows["fire_id"].dropna()) - {""}) for split, rows in windows.groupby("split")},
        seen_hash=seen_hash(windows),
        data_versions=data_versions or {},
        simulated=settings.simulated_imagery,
    )
    check_inputs(run_config(spec, "cpu"), root.dataset)
    return spec


def usable_windows(root: DataRoot, fire_years: Sequence[int], layer: str) -> gpd.GeoDataFrame:
    """Windows of these years whose tile of the layer is complete, by window_id, with its `acquired`."""
    parts = []
    for year in fire_years:
        windows, tiles = read_table(root, WINDOWS, year), read_table(root, TILES, year)
        complete = tiles[tiles["complete"].fillna(False) & (tiles["layer"] == layer)]
        parts.append(windows.merge(complete[["window_id", "acquired"]], on="window_id"))
    return pd.concat(parts, ignore_index=True).sort_values("window_id", kind="stable", ignore_index=True)


def seen_windows(windows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Those of `usable_windows` that a checkpoint sees: it trains on some, its best epoch is chosen by others."""
    return windows[windows["split"].isin([Split.TRAIN, Split.VAL])].reset_index(drop=True)


def seen_hash(windows: gpd.GeoDataFrame) -> str:
    """Hash of which of `usable_windows` a checkpoint sees, and in which split."""
    seen = seen_windows(windows)
    return hash_json(sorted(zip(seen["window_id"], seen["split"], strict=True)))


def _fire_years(settings: Settings, root: DataRoot, fire_year: int) -> tuple[int, ...]:
    known = [y for y in range(settings.years.first, fire_year + 1) if y not in settings.years.exclude]
    candidates = known[-(settings.training.look_back_years + 1) :]
    made = [y for y in candidates if table_path(root, TILES, y).exists() and table_path(root, WINDOWS, y).exists()]
    if fire_year not in made:
        raise MissingDataError(f"no tiles for {fire_year}: run burnscar refresh --years {fire_year}")
    return tuple(made)


def _counts(windows: pd.DataFrame) -> Counts:
    counts: Counts = {}
    for (split, year, category), rows in windows.groupby(["split", "fire_year", "category"]):
        counts.setdefault(str(split), {}).setdefault(int(year), {})[str(category)] = len(rows)
    return counts


def _check_splits(windows: pd.DataFrame, fire_year: int) -> None:
    have = {split: set(windows.loc[windows["split"] == split, "category"]) for split in Split}
    missing = [f"train has no {name} windows" for name in CLASS_NAMES if name not in have[Split.TRAIN]]
    if not have[Split.VAL]:
        missing.append("val has no windows")
    if missing:
        raise InputError(
            f"cannot train for {fire_year}: of {len(windows)} windows with complete tiles, {' and '.join(missing)}; "
            "take more years (training.look_back_years) or fires, or deal the ground anew (sampling.splits: "
            "block_km smaller, another seed)"
        )
