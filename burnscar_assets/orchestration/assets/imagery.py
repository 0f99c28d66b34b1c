"""Stages of the imagery group: scenes of windows, tiles cut from them, whole fire scenes, and doubtful perimeters."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.stage import StageRun
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    FIRE_PERIMETERS,
    FIRE_SCENES,
    LABEL_DOUBTS,
    SCENE_MATCHES,
    SCENE_RADIOMETRY,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.tables import read_table, read_years, table_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scene_matches(run: StageRun) -> dg.MaterializeResult:
    """Scenes that each window was matched with (rslearn prepare); windows without one have a reason."""
    from burnscar_assets.catalog.matching import match_scenes
    from burnscar_assets.dataset.config import validate_layers, write_dataset_config
    from burnscar_assets.dataset.tile_plots import plot_matches

    root, settings, year = run.root, run.settings, run.year
    write_dataset_config(settings.imagery, root)
    validate_layers(root.dataset, settings.imagery.layer, settings.sensor.names)
    windows = read_table(root, WINDOWS, year)
    matches, summary = match_scenes(windows, root.dataset, settings.imagery, run.progress)
    preview = partial(plot_matches, matches, title=f"Scenes matched {year}", simulated=settings.simulated_imagery)
    return run.store(SCENE_MATCHES, matches, figures(summary), preview)


def tiles(run: StageRun) -> dg.MaterializeResult:
    """Pixels of each window (rslearn ingest and materialize); incomplete ones are left out."""
    from burnscar_assets.dataset.materialize import materialize_tiles
    from burnscar_assets.dataset.scene_radiometry import radiometry_table
    from burnscar_assets.dataset.tile_plots import plot_chips

    root, settings, year = run.root, run.settings, run.year
    windows = read_table(root, WINDOWS, year)
    matches = read_table(root, SCENE_MATCHES, year)
    made, summary = materialize_tiles(windows, matches, root.dataset, settings.imagery, run.progress)
    preview = partial(
        plot_chips,
        root.dataset,
        settings.sensor,
        windows,
        made,
        title=f"Tiles {year}",
        simulated=settings.simulated_imagery,
    )
    beside = {SCENE_RADIOMETRY: radiometry_table(root.dataset, made)}
    return run.store(TILES, made, figures(summary), preview, beside)


def fire_scenes(run: StageRun) -> dg.MaterializeResult:
    """Whole frames of the fires that are judged, and frames without fire, on which every model and map answers.

    Images after and before, and the truth of each pixel.
    """
    from burnscar_assets.dataset.config import write_dataset_config
    from burnscar_assets.mapping.fire_scenes import read_fire_scenes
    from burnscar_assets.mapping.fires import judged_fires
    from burnscar_assets.mapping.scene_frames import frames_of_fires, frames_without_fire
    from burnscar_assets.mapping.scene_making import make_fire_scenes
    from burnscar_assets.publish.plots import plot_scenes
    from burnscar_assets.sampling.land import load_land

    root, settings, year = run.root, run.settings, run.year
    land, judged, code = settings.sampling.land, settings.sampling.splits.judged, STAGES[FIRE_SCENES.name].version
    write_dataset_config(settings.imagery, root)
    burns = read_table(root, BURN_HISTORY, year)
    frames = frames_of_fires(judged_fires(settings, root, year, judged), settings, root)
    frames += frames_without_fire(
        read_table(root, FIRE_PERIMETERS, year),
        burns,
        load_land(root.resolve(land) if land else None, year),
        settings,
        root,
    )
    made, summary = make_fire_scenes(frames, burns, year, settings, root, code=code, progress=run.progress)

    def preview() -> "Figure":
        scenes = read_fire_scenes(root, year, judged)
        return plot_scenes(scenes, settings.sensor, title=f"Fire scenes {year}", simulated=settings.simulated_imagery)

    return run.store(FIRE_SCENES, made, figures(summary), preview)


def label_doubts(run: StageRun) -> dg.MaterializeResult:
    """Judged fires of all years whose images speak against their perimeter, for a person to look at.

    Nothing changed within, or the burn goes on beside; nothing leaves the score by it.
    """
    from burnscar_assets.evaluation.perimeter_doubt import doubt_perimeters
    from burnscar_assets.mapping.fire_scenes import read_frames
    from burnscar_assets.publish.pages.doubts import write_doubts
    from burnscar_assets.publish.pages.site import link_doubts
    from burnscar_assets.publish.plots import plot_doubts

    root, settings, known = run.root, run.settings, run.world.fire_years.get_partition_keys()
    made = [year for year in map(int, known) if table_path(root, FIRE_SCENES, year).exists()]
    scenes = [scene for year in made for scene in read_frames(root, year, settings.sampling.splits.judged)]
    perimeters = read_years(root, FIRE_PERIMETERS, made)
    doubts, summary = doubt_perimeters(scenes, perimeters, settings.sensor, settings.evaluation, run.progress)
    page = write_doubts(root.label_doubts, doubts, scenes, settings.sensor, simulated=settings.simulated_imagery)
    link_doubts(root.label_doubts.parent)
    preview = partial(plot_doubts, doubts, title="Perimeters weighed", simulated=settings.simulated_imagery)
    metadata = figures(summary) | {"burnscar/index": dg.MetadataValue.path(page)}
    return run.store(LABEL_DOUBTS, doubts, metadata, preview)
