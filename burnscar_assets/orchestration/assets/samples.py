"""Stages of the sampling group: folds, points in strata, and the rslearn windows made from them."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np

from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import StageRun
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    FIRE_PERIMETERS,
    FOLDS,
    SAMPLE_LOSSES,
    SAMPLE_POINTS,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years

if TYPE_CHECKING:
    import geopandas as gpd


def folds(run: StageRun) -> dg.MaterializeResult:
    """The fires of all years dealt into folds by ground: each is judged once, by a model that was not trained on it.

    No walk-forward.
    """
    from burnscar_assets.mapping.scene_frames import frame_footprints
    from burnscar_assets.sampling.folds import deal_folds, fire_grounds
    from burnscar_assets.sampling.plots import plot_folds

    root, settings = run.root, run.settings
    perimeters = read_years(root, FIRE_PERIMETERS, map(int, run.world.fire_years.get_partition_keys()))
    frames = frame_footprints(perimeters, settings, root)
    grounds = fire_grounds(perimeters, frames, settings.sampling, settings.windows.side_m)
    dealt = deal_folds(grounds, settings.sampling.splits)
    counts = {f"burnscar/{fold}_fires": int(count) for fold, count in dealt["fold"].value_counts().items()}
    found = {"burnscar/groups": int(dealt["group_id"].nunique())} | dict(sorted(counts.items()))
    preview = partial(plot_folds, dealt, title="Folds of fires", simulated=settings.simulated_perimeters)
    return run.store(FOLDS, dealt, found, preview)


def sample_points(run: StageRun) -> dg.MaterializeResult:
    """Burnt points by fire area and unburnt points in strata, each in a lattice cell of its own."""
    from burnscar_assets.sampling.folds import ground_of
    from burnscar_assets.sampling.land import load_land
    from burnscar_assets.sampling.plots import plot_points
    from burnscar_assets.sampling.points import sample_points as sample
    from burnscar_assets.sampling.reuse import Memory

    root, settings = run.root, run.settings
    year, sampling = run.year, settings.sampling
    perimeters = read_table(root, FIRE_PERIMETERS, year)
    sampled = sample(
        perimeters,
        read_table(root, BURN_HISTORY, year),
        year,
        sampling,
        settings.windows,
        land=load_land(root.resolve(sampling.land) if sampling.land else None, year),
        hard_negatives=_confusers(root, sampling.hard_negatives, year),
        split_map=ground_of(sampling.splits, root),
        before=Memory.read(root.draws(year)),
        code=code_version("sample_points", settings),
    )
    sampled.memory.write(root.draws(year))
    preview = partial(
        plot_points,
        sampled.points,
        perimeters,
        title=f"Sampled points {year}",
        simulated=settings.simulated_perimeters,
        losses=sampled.losses,
    )
    losses = {SAMPLE_LOSSES: sampled.losses}
    return run.store(SAMPLE_POINTS, sampled.points, figures(sampled.summary), preview, losses)


def points_hold(world: World, fire_year: int) -> bool:
    """Whether the points of a year would come out the same if nothing but its burn history changed."""
    from burnscar_assets.sampling.reuse import Memory, picks_stay

    root, settings = world.root, world.settings
    before = Memory.read(root.draws(fire_year))
    burns = [read_table(root, table, fire_year).geometry.to_numpy() for table in (BURN_HISTORY, FIRE_PERIMETERS)]
    return before is not None and picks_stay(before, np.concatenate(burns), settings.windows.side_m, settings.sampling)


def windows_hold(world: World, fire_year: int) -> bool:
    """Whether the windows of a year would come out the same if nothing but its burn history changed."""
    from burnscar_assets.dataset.config import write_dataset_config
    from burnscar_assets.dataset.label_layer import has_label_raster, labels_hold

    root, settings = world.root, world.settings
    write_dataset_config(settings.imagery, root)
    if not has_label_raster(root.dataset):
        return False
    windows, perimeters, burns = (read_table(root, t, fire_year) for t in (WINDOWS, FIRE_PERIMETERS, BURN_HISTORY))
    margin_m, code = settings.windows.label_margin_m, code_version("windows", settings)
    return labels_hold(windows, perimeters, burns, margin_m, root.dataset, code=code)


def _confusers(root: DataRoot, name: str | None, year: int) -> "gpd.GeoDataFrame | None":
    """The layer of confusers that the settings name; what was mined names the fire years that it is for."""
    from burnscar_assets.sampling.land import load_land

    return load_land(root.resolve(name), year, may_be_empty=True) if name else None


def windows(run: StageRun) -> dg.MaterializeResult:
    """Windows of rslearn with their labels, as a class and as a raster.

    The group is the fire year, the tag `split` train, val or test.
    """
    from burnscar_assets.dataset.config import write_dataset_config
    from burnscar_assets.dataset.definition import define_windows
    from burnscar_assets.dataset.label_layer import bring_labels, has_label_raster
    from burnscar_assets.dataset.label_rasters import describe_labels
    from burnscar_assets.dataset.window_plots import plot_windows
    from burnscar_assets.dataset.windows import write_windows

    root, settings = run.root, run.settings
    year = run.year
    write_dataset_config(settings.imagery, root)
    defined = define_windows(read_table(root, SAMPLE_POINTS, year), settings.windows)
    changes = write_windows(defined, root.dataset, run.progress, fire_years=[year])
    perimeters, simulated = read_table(root, FIRE_PERIMETERS, year), settings.simulated_perimeters
    counts = {f"burnscar/{split}_windows": int(n) for split, n in defined["split"].value_counts().items()}
    if has_label_raster(root.dataset):
        burns = read_table(root, BURN_HISTORY, year)
        margin_m, code = settings.windows.label_margin_m, code_version("windows", settings)
        labels, written = bring_labels(defined, perimeters, burns, margin_m, root.dataset, code=code)
        counts["burnscar/label_rasters_written"] = written
        defined = describe_labels(defined, labels)
    preview = partial(plot_windows, defined, perimeters, title=f"Windows {year}", simulated=simulated)
    return run.store(WINDOWS, defined, figures(changes) | counts, preview)
