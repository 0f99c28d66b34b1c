"""Decides, from the tables alone, what a year's training run sees; finds what would fail before torch loads."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import CLASS_NAMES, MIXED, Fold, Split
from burnscar_assets.encoders.chosen import ChosenEncoder
from burnscar_assets.encoders.tuning import check_tuning
from burnscar_assets.encoders.weights import resolve_encoder
from burnscar_assets.errors import InputError, MissingDataError, SettingsError
from burnscar_assets.models.config import (
    check_inputs,
    image_layers,
    is_per_pixel,
    needs_encoder,
    outline_config,
    run_config,
)
from burnscar_assets.models.fewer_fires import with_training_fires
from burnscar_assets.models.judged_ground import judged_frames, judged_years, on_judged_frames
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.spec import Counts, TrainingSpec
from burnscar_assets.reader.clearness import is_clear_enough
from burnscar_assets.settings import Settings
from burnscar_assets.storage.contracts import TILES, WINDOWS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

_JOINED: Final = ("clear_fraction", "unclear")
"""Columns of tiles that become one of all layers of a window."""


def plan_training(
    settings: Settings,
    root: DataRoot,
    fire_year: int,
    data_versions: dict[str, str] | None = None,
    *,
    fold: Fold | None = None,
    fires: int | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> TrainingSpec:
    """The specification of a year's training run: its own year and those of the look-back that were made.

    Args:
        settings: of the world, or of a set-up.
        root: data root.
        fire_year: whose checkpoint is trained.
        data_versions: of what it is trained on.
        fold: that the checkpoint is judged on, in a world with folds.
        fires: how many training fires it sees, for a learning curve; None: all.
        warn: called with what a person should know before they use the checkpoint.

    Raises:
        MissingDataError: the year has no windows or tiles yet.
        InputError: a split is empty, a class is missing, or the dataset lacks what the model reads.
        SettingsError, SourceUnavailableError: the model or its configuration is not to be had.
    """
    years = training_years(settings, root, fire_year)
    outline = outline_config(settings.training, settings.imagery.layer, settings.sensor)
    check_inputs(outline, root.dataset)
    layers = tuple(image_layers(outline, settings.sensor))
    chosen = choose_windows(settings, root, years, layers, fold, per_pixel=is_per_pixel(outline), fires=fires)
    check_splits(chosen, fire_year)
    windows = chosen.windows
    spec = TrainingSpec(
        fire_year=fire_year,
        fire_years=years,
        dataset=root.dataset.resolve(),
        checkpoint=root.checkpoint(fire_year).resolve(),
        sensor=settings.sensor,
        layer=settings.imagery.layer,
        layers=layers,
        size_px=int(windows["size_px"].max()),
        metres=settings.windows.resolution_m,
        settings=settings.training,
        encoder=_fed_encoder(settings, root, windows, warn),
        names=names_by_split(windows),
        unclear=_unclear(windows) if is_per_pixel(outline) else {},
        min_clear_fraction=settings.imagery.min_clear_fraction,
        **seen_counts(chosen),
        seen_hash=seen_hash(windows),
        data_versions=data_versions or {},
        simulated=settings.simulated_imagery,
        fold=fold,
        training_fires=fires,
    )
    run_config(spec, "cpu")  # what nothing fills in is found before a process starts
    return spec


def _fed_encoder(
    settings: Settings, root: DataRoot, windows: pd.DataFrame, warn: Callable[[str], None]
) -> ChosenEncoder | None:
    """The encoder that a model has, which the windows can feed; None if it has none."""
    if not needs_encoder(settings.training):
        return None
    encoder = resolve_encoder(settings.training.model, DataRoot(root.path.resolve()), warn)
    check_feeding(encoder, settings, windows)
    return encoder


def check_feeding(encoder: ChosenEncoder, settings: Settings, windows: pd.DataFrame) -> None:
    """Check that an encoder can be fed with windows, and tuned as the settings say.

    Args:
        encoder: with the patch size that is trained with.
        settings: of the world, or of a set-up.
        windows: of `usable_windows`, with sides and days of images.

    Raises:
        SettingsError: sides, time steps or tuning are none that it takes.
        InputError: it is told when images were acquired, and of some nobody knows.
    """
    said, training = encoder.encoder, settings.training
    check_tuning(training, encoder)
    steps, (least, largest) = len(training.earlier_layers) + 1, said.sides_px
    if steps > said.most_steps:
        raise SettingsError(
            f"training.earlier_layers: {said.title} takes {said.most_steps} images of a window at most, not {steps}"
        )
    for side in (training.crop_px,) if training.crop_px else map(int, windows["size_px"].unique()):
        if not least <= side <= largest:
            raise SettingsError(
                f"{said.title} takes windows of {least} to {largest} px, not {side}: set windows.size_px (or "
                "training.crop_px, for models that answer for whole windows)"
            )
        if said.whole_patches and side % encoder.patch_size:
            fits = [size for size in said.patch_sizes if side % size == 0]
            raise SettingsError(
                f"{side} px are no multiple of a patch's {encoder.patch_size} px: set training.model.patch_size to one "
                f"of {', '.join(map(str, fits)) or 'none'}, or windows.size_px or training.crop_px to a multiple"
            )
    undated = windows.filter(like="acquired").isna().any(axis=1).sum()
    if said.wants_dates and undated:
        raise InputError(
            f"{said.title} is told when images were acquired, and those of {undated} windows have no day: give the "
            "archive's items a datetime, or choose another training.model.encoder"
        )


@dataclass(frozen=True)
class ChosenWindows:
    """The windows that a checkpoint is trained, chosen and judged by, and those that are left out.

    Attributes:
        windows: those of every split that count.
        cloudy: those that are less clear than counts.
        judged: those of training or validation that reach into the frame of a fire that judges the checkpoint.
    """

    windows: gpd.GeoDataFrame
    cloudy: gpd.GeoDataFrame
    judged: gpd.GeoDataFrame


def choose_windows(
    settings: Settings,
    root: DataRoot,
    fire_years: Sequence[int],
    every_layer: Sequence[str] = (),
    fold: Fold | None = None,
    *,
    per_pixel: bool = False,
    fires: int | None = None,
) -> ChosenWindows:
    """Choose what a checkpoint is trained with among the complete windows of some years.

    In a world with folds, it is the checkpoint that is judged on `fold`, and splits are what that makes of the folds.
    Windows on the edges of fires are for checkpoints that are trained on label rasters, `per_pixel`. With `fires`,
    those of so many training fires are chosen, see `fewer_fires`.

    Raises:
        MissingDataError: a table is missing.
        InputError: a judged fire can't be mapped, as it reaches too far beyond its UTM zone.
    """
    complete = complete_windows(root, fire_years, settings.imagery.layer, every_layer, fold, edges=per_pixel)
    clear, cloudy = by_clearness(complete, settings.imagery.min_clear_fraction)
    judged = on_judged_frames(clear, judged_frames(settings, root, judged_years(settings, root, fire_years), fold))
    windows = with_training_fires(clear[~judged].reset_index(drop=True), fires)
    return ChosenWindows(windows, cloudy, clear[judged].reset_index(drop=True))


def complete_windows(
    root: DataRoot,
    fire_years: Sequence[int],
    layer: str,
    every_layer: Sequence[str] = (),
    fold: Fold | None = None,
    *,
    edges: bool = False,
) -> gpd.GeoDataFrame:
    """Windows of these years whose tiles of every layer are complete, cloudy ones too, by window_id.

    Args:
        root: data root.
        fire_years: years whose windows and tiles were made.
        layer: raster layer of the image after the fire.
        every_layer: the layers that are read, if there are others.
        fold: that a checkpoint is judged on, in a world with folds: splits are what that makes of the folds.
        edges: whether those of training and validation on the edges of fires, of no single class, are wanted too.

    Returns:
        Table `windows` with `acquired` of the layer's tile, `acquired <layer>` of every layer's, and
        `clear_fraction`, the least of all of them; NaN where none is known; and `unclear`, pixels of any of them.

    Raises:
        MissingDataError: a table is missing.
    """
    wanted = list(dict.fromkeys((layer, *every_layer)))
    parts = []
    for year in fire_years:
        windows, tiles = read_table(root, WINDOWS, year), read_table(root, TILES, year)
        for name in wanted:
            complete = tiles[tiles["complete"].fillna(False) & (tiles["layer"] == name)]
            columns = {"acquired": acquired_column(name)} | {column: f"{column} {name}" for column in _JOINED}
            windows = windows.merge(complete[["window_id", *columns]].rename(columns=columns), on="window_id")
        clear, unclear = ([windows.pop(f"{column} {name}") for name in wanted] for column in _JOINED)
        least = np.fmin.reduce([one.to_numpy(dtype=float, na_value=np.nan) for one in clear], axis=0)
        places = [" ".join(filter(None, runs)) for runs in zip(*(one.fillna("") for one in unclear), strict=True)]
        parts.append(windows.assign(acquired=windows[acquired_column(layer)], clear_fraction=least, unclear=places))
    windows = pd.concat(parts, ignore_index=True).sort_values("window_id", kind="stable", ignore_index=True)
    if fold is not None:
        windows = windows.assign(split=windows["split"].map(fold.roles).astype("string"))
    seen = windows["split"] != Split.TEST
    return windows[(windows["category"] != MIXED) | (seen & edges)].reset_index(drop=True)


def by_clearness(windows: gpd.GeoDataFrame, least: float) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Those of `complete_windows` that count, and those that are left out of training and scores as cloudy.

    Args:
        windows: with `clear_fraction`.
        least: `imagery.min_clear_fraction`, 0–1.
    """
    clear = is_clear_enough(windows["clear_fraction"].to_numpy(), least)
    return windows[clear].reset_index(drop=True), windows[~clear].reset_index(drop=True)


def usable_windows(
    root: DataRoot,
    fire_years: Sequence[int],
    layer: str,
    every_layer: Sequence[str] = (),
    *,
    min_clear_fraction: float,
    fold: Fold | None = None,
) -> gpd.GeoDataFrame:
    """Those of `complete_windows` that count: all that is trained on or scored is chosen from these.

    Raises:
        MissingDataError: a table is missing.
    """
    return by_clearness(complete_windows(root, fire_years, layer, every_layer, fold), min_clear_fraction)[0]


def windows_of(root: DataRoot, manifest: CheckpointManifest, layer: str) -> gpd.GeoDataFrame:
    """Windows of the years that a checkpoint has seen that counted for it: by its clearness, off judged frames.

    Raises:
        MissingDataError: a table is missing.
    """
    complete = complete_windows(
        root, manifest.fire_years, layer, manifest.every_layer, manifest.fold, edges=manifest.per_pixel
    )
    usable = by_clearness(complete, manifest.min_clear_fraction)[0]
    judged = [window_id for names in manifest.judged_windows.values() for window_id in names]
    off_judged = usable[~usable["window_id"].isin(judged)].reset_index(drop=True)
    return with_training_fires(off_judged, manifest.training_fires)


def of_one_class(windows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Windows without those on the edges of fires, which have no class as a whole."""
    return windows[windows["category"] != MIXED].reset_index(drop=True)


def acquired_column(layer: str) -> str:
    """Column of `usable_windows` that says when a layer's tile was acquired."""
    return f"acquired {layer}"


def seen_windows(windows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Those of `usable_windows` that a checkpoint sees: it trains on some, its best epoch is chosen by others."""
    return windows[windows["split"].isin([Split.TRAIN, Split.VAL])].reset_index(drop=True)


def seen_hash(windows: gpd.GeoDataFrame) -> str:
    """Hash of which of `usable_windows` a checkpoint sees, in which split, and of their label rasters."""
    seen = seen_windows(windows)
    return hash_json(sorted(zip(seen["window_id"], seen["split"], seen["label_hash"], strict=True)))


def training_years(settings: Settings, root: DataRoot, fire_year: int) -> tuple[int, ...]:
    """The fire years whose windows a checkpoint sees: its own and those of the look-back that were made.

    In a world with folds, all that were made.

    Raises:
        MissingDataError: its own year has no windows or tiles yet.
    """
    known = [y for y in range(settings.years.first, fire_year + 1) if y not in settings.years.exclude]
    candidates = known if settings.sampling.splits.folds else known[-(settings.training.look_back_years + 1) :]
    made = [y for y in candidates if table_path(root, TILES, y).exists() and table_path(root, WINDOWS, y).exists()]
    if fire_year not in made and not (made and settings.sampling.splits.folds):
        raise MissingDataError(f"no tiles for {fire_year}: run burnscar refresh --years {fire_year}")
    return tuple(made)


def count_windows(windows: pd.DataFrame) -> Counts:
    """Numbers of `usable_windows` by split, fire year and category."""
    counts: Counts = {}
    for (split, year, category), rows in windows.groupby(["split", "fire_year", "category"]):
        counts.setdefault(str(split), {}).setdefault(int(year), {})[str(category)] = len(rows)
    return counts


def seen_counts(chosen: ChosenWindows) -> dict[str, Any]:
    """What a checkpoint says that it has seen: fields of its manifest; windows for testing are in none of them."""
    seen = seen_windows(chosen.windows)
    return {
        "windows": count_windows(seen),
        "cloudy_windows": count_splits(seen_windows(chosen.cloudy)),
        "judged_windows": names_by_split(chosen.judged),
        "fires": {str(split): len(set(rows["fire_id"].dropna()) - {""}) for split, rows in seen.groupby("split")},
    }


def names_by_split(windows: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Names of `usable_windows` in the dataset, by split."""
    return {str(split): tuple(sorted(rows["window_id"])) for split, rows in windows.groupby("split")}


def _unclear(windows: pd.DataFrame) -> dict[str, str]:
    """Of `usable_windows` that a checkpoint sees: those with pixels that are not clear, and which these are."""
    seen = seen_windows(windows)
    return {name: runs for name, runs in zip(seen["window_id"], seen["unclear"], strict=True) if runs}


def count_splits(windows: pd.DataFrame) -> dict[str, int]:
    """Numbers of windows by split."""
    return {str(split): len(rows) for split, rows in windows.groupby("split")}


def check_splits(chosen: ChosenWindows, fire_year: int) -> None:
    """Check that there is something of each class to train on, and something to validate on.

    Args:
        chosen: the windows, and those left out, for the message.
        fire_year: of the checkpoint, for the message.

    Raises:
        InputError: there is not.
    """
    windows = chosen.windows
    have = {split: set(windows.loc[windows["split"] == split, "category"]) for split in Split}
    missing = [f"train has no {name} windows" for name in CLASS_NAMES if name not in have[Split.TRAIN]]
    if not have[Split.VAL]:
        missing.append("val has no windows")
    if missing:
        raise InputError(
            f"cannot train for {fire_year}: of {len(windows)} windows with complete and clear tiles "
            f"({len(chosen.cloudy)} others are cloudy, imagery.min_clear_fraction; {len(chosen.judged)} lie in frames "
            f"of judged fires), {' and '.join(missing)}; {_remedy(pd.concat([windows, chosen.cloudy, chosen.judged]))}"
        )


def _remedy(windows: pd.DataFrame) -> str:
    """What to do where windows can't be parted into those that are trained on and those that are validated on."""
    of_fires = windows[windows["fire_id"].fillna("") != ""]
    if of_fires["cluster_id"].nunique() == 1:
        return (
            f"its {of_fires['fire_id'].nunique()} fires lie so near each other that they are one cluster, which no "
            "deal of the ground parts: add fires farther away, or of other years (training.look_back_years)"
        )
    return (
        "take more years (training.look_back_years) or fires, or deal the ground anew (sampling.splits: block_km "
        "smaller, another seed)"
    )
