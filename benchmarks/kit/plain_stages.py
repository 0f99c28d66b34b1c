"""The CPU stages of a world as plain function calls, in the order of the graph: no Dagster, no checks, no pictures.

Run as `python plain_stages.py DATA_ROOT`, it is the peer that orchestration is measured against: what remains when
everything that tells, remembers, checks and draws is taken away.
"""

import sys
from pathlib import Path

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.dataset.config import validate_layers, write_dataset_config
from burnscar_assets.dataset.definition import define_windows
from burnscar_assets.dataset.label_layer import bring_labels
from burnscar_assets.dataset.label_rasters import describe_labels
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.scene_radiometry import radiometry_table
from burnscar_assets.dataset.windows import write_windows
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.evaluation.perimeter_doubt import doubt_perimeters
from burnscar_assets.labels.history import burn_history
from burnscar_assets.labels.perimeters import clean_perimeters
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.mapping.fire_scenes import read_frames
from burnscar_assets.mapping.fires import judged_fires
from burnscar_assets.mapping.scene_frames import frames_of_fires, frames_without_fire
from burnscar_assets.mapping.scene_making import make_fire_scenes
from burnscar_assets.process import collect_seldom
from burnscar_assets.progress import silent
from burnscar_assets.sampling.land import load_land
from burnscar_assets.sampling.points import sample_points
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    FIRE_SCENES,
    LABEL_DOUBTS,
    RELEASE_RECORDS,
    SAMPLE_LOSSES,
    SAMPLE_POINTS,
    SCENE_MATCHES,
    SCENE_RADIOMETRY,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years, write_table


def run_all(settings: Settings, root: DataRoot) -> None:
    """The release, then every fire year that it has records of, oldest first."""
    records = fetch_release(settings.release, root).records
    write_table(root, RELEASE_RECORDS, records, None)
    released = [int(year) for year in sorted(set(records["fire_year"].dropna()))]
    fire_years = [y for y in released if settings.years.first <= y <= (settings.years.last or y)]
    for fire_year in fire_years:
        _label(settings, root, fire_year)
        _sample(settings, root, fire_year)
        _image(settings, root, fire_year)
        _frame(settings, root, fire_year)
    _doubt(settings, root, fire_years)


def _label(settings: Settings, root: DataRoot, fire_year: int) -> None:
    records = read_table(root, RELEASE_RECORDS, None)
    cleaned = clean_perimeters(records, fire_year, settings.perimeters, simulated=settings.simulated_perimeters)
    write_table(root, FIRE_PERIMETER_REJECTS, cleaned.rejects, fire_year)
    write_table(root, FIRE_PERIMETERS, cleaned.perimeters, fire_year)
    records = read_table(root, RELEASE_RECORDS, None)
    write_table(root, BURN_HISTORY, burn_history(records, fire_year, settings.perimeters).burns, fire_year)


def _sample(settings: Settings, root: DataRoot, fire_year: int) -> None:
    sampling = settings.sampling
    sampled = sample_points(
        read_table(root, FIRE_PERIMETERS, fire_year),
        read_table(root, BURN_HISTORY, fire_year),
        fire_year,
        sampling,
        settings.windows,
        land=load_land(root.resolve(sampling.land) if sampling.land else None, fire_year),
        hard_negatives=load_land(root.resolve(sampling.hard_negatives)) if sampling.hard_negatives else None,
    )
    write_table(root, SAMPLE_LOSSES, sampled.losses, fire_year)
    write_table(root, SAMPLE_POINTS, sampled.points, fire_year)
    windows = define_windows(read_table(root, SAMPLE_POINTS, fire_year), settings.windows)
    write_dataset_config(settings.imagery, root)
    write_windows(windows, root.dataset, fire_years=[fire_year])
    perimeters, burns = read_table(root, FIRE_PERIMETERS, fire_year), read_table(root, BURN_HISTORY, fire_year)
    labels, _ = bring_labels(windows, perimeters, burns, settings.windows.label_margin_m, root.dataset)
    write_table(root, WINDOWS, describe_labels(windows, labels), fire_year)


def _image(settings: Settings, root: DataRoot, fire_year: int) -> None:
    write_dataset_config(settings.imagery, root)
    validate_layers(root.dataset, settings.imagery.layer, BANDS)
    windows = read_table(root, WINDOWS, fire_year)
    write_table(root, SCENE_MATCHES, match_scenes(windows, root.dataset, settings.imagery)[0], fire_year)
    windows, matches = read_table(root, WINDOWS, fire_year), read_table(root, SCENE_MATCHES, fire_year)
    tiles = materialize_tiles(windows, matches, root.dataset, settings.imagery)[0]
    write_table(root, SCENE_RADIOMETRY, radiometry_table(root.dataset, tiles), fire_year)
    write_table(root, TILES, tiles, fire_year)


def _frame(settings: Settings, root: DataRoot, fire_year: int) -> None:
    perimeters, burns = read_table(root, FIRE_PERIMETERS, fire_year), read_table(root, BURN_HISTORY, fire_year)
    land = load_land(root.resolve(settings.sampling.land) if settings.sampling.land else None, fire_year)
    frames = frames_of_fires(judged_fires(settings, root, fire_year, settings.sampling.splits.judged), settings, root)
    frames += frames_without_fire(perimeters, burns, land, settings, root)
    write_table(root, FIRE_SCENES, make_fire_scenes(frames, burns, fire_year, settings, root)[0], fire_year)


def _doubt(settings: Settings, root: DataRoot, fire_years: list[int]) -> None:
    scenes = [scene for year in fire_years for scene in read_frames(root, year, settings.sampling.splits.judged)]
    perimeters = read_years(root, FIRE_PERIMETERS, fire_years)
    doubts, _ = doubt_perimeters(scenes, perimeters, settings.sensor, settings.evaluation, silent)
    write_table(root, LABEL_DOUBTS, doubts, None)


if __name__ == "__main__":
    collect_seldom()  # as the commands do
    data_root = DataRoot(Path(sys.argv[1]))
    run_all(load_settings(data_root.world_file), data_root)
