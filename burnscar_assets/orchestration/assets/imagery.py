"""Assets of the imagery group: scenes of windows, tiles cut from them, whole fire scenes, and doubtful perimeters."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from burnscar_assets.orchestration.automation.conditions import follow
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import IMAGERY_CATALOGUE, SAMPLING_GROUND
from burnscar_assets.orchestration.stage import StageRun, stage
from burnscar_assets.orchestration.versions import STAGE_VERSIONS
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


def build_imagery_assets(world: World) -> list[dg.AssetsDefinition]:
    """The assets from windows to tiles, the fire scenes, and the perimeters that these speak against."""
    return [*_tile_assets(world), _fire_scenes(world), _label_doubts(world)]


def _tile_assets(world: World) -> list[dg.AssetsDefinition]:
    root, settings = world.root, world.settings

    @stage(
        world,
        "scene_matches",
        group="imagery",
        kinds={"geoparquet", "rslearn"},
        deps=["windows", IMAGERY_CATALOGUE],
        automation_condition=follow(),
        description="Scenes that each window was matched with (rslearn prepare); windows without one have a reason.",
    )
    def scene_matches(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.catalog.matching import match_scenes
        from burnscar_assets.dataset.config import validate_layers, write_dataset_config
        from burnscar_assets.dataset.tile_plots import plot_matches

        year = run.year
        write_dataset_config(settings.imagery, root)
        validate_layers(root.dataset, settings.imagery.layer, settings.sensor.names)
        windows = read_table(root, WINDOWS, year)
        matches, summary = match_scenes(windows, root.dataset, settings.imagery, run.progress)
        preview = partial(plot_matches, matches, title=f"Scenes matched {year}", simulated=settings.simulated_imagery)
        return run.store(SCENE_MATCHES, matches, figures(summary), preview)

    @stage(
        world,
        "tiles",
        group="imagery",
        kinds={"rslearn", "cog"},
        deps=[scene_matches],
        automation_condition=follow(),
        description="Pixels of each window (rslearn ingest and materialize); incomplete ones are left out.",
    )
    def tiles(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.dataset.materialize import materialize_tiles
        from burnscar_assets.dataset.scene_radiometry import radiometry_table
        from burnscar_assets.dataset.tile_plots import plot_chips

        year = run.year
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

    return [scene_matches, tiles]


def _fire_scenes(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings

    @stage(
        world,
        FIRE_SCENES.name,
        group="imagery",
        kinds={"geoparquet", "rslearn", "cog"},
        deps=[
            "fire_perimeters",
            "burn_history",
            *world.folds,
            *(["windows"] if settings.sampling.max_fires_per_year else []),  # which fires were chosen
            SAMPLING_GROUND,
            IMAGERY_CATALOGUE,
        ],
        automation_condition=follow(),
        description="Whole frames of the fires that are judged, and frames without fire: images after and before, and "
        "the truth of each pixel; every set-up, baseline and map answers on these.",
    )
    def fire_scenes(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.dataset.config import write_dataset_config
        from burnscar_assets.mapping.fire_scenes import read_fire_scenes
        from burnscar_assets.mapping.fires import judged_fires
        from burnscar_assets.mapping.plots import plot_scenes
        from burnscar_assets.mapping.scene_frames import frames_of_fires, frames_without_fire
        from burnscar_assets.mapping.scene_making import make_fire_scenes
        from burnscar_assets.sampling.land import load_land

        year, land, judged = run.year, settings.sampling.land, settings.sampling.splits.judged
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
        made, summary = make_fire_scenes(
            frames, burns, year, settings, root, code=STAGE_VERSIONS[FIRE_SCENES.name], progress=run.progress
        )

        def preview() -> "Figure":
            scenes = read_fire_scenes(root, year, judged)
            return plot_scenes(
                scenes, settings.sensor, title=f"Fire scenes {year}", simulated=settings.simulated_imagery
            )

        return run.store(FIRE_SCENES, made, figures(summary), preview)

    return fire_scenes


def _label_doubts(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings
    known = world.fire_years.get_partition_keys()
    years = dg.SpecificPartitionsPartitionMapping(known)

    @stage(
        world,
        LABEL_DOUBTS.name,
        group="imagery",
        kinds={"geoparquet"},
        deps=[dg.AssetDep(name, partition_mapping=years) for name in ("fire_perimeters", FIRE_SCENES.name)],
        partitioned=False,
        automation_condition=follow(),
        description="Judged fires of all years whose images speak against their perimeter: nothing changed within, or "
        "the burn goes on beside. For a person to look at; nothing leaves the score by it.",
    )
    def label_doubts(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.evaluation.perimeter_doubt import doubt_perimeters
        from burnscar_assets.mapping.fire_scenes import read_frames
        from burnscar_assets.mapping.pages.doubts import write_doubts
        from burnscar_assets.mapping.pages.site import link_doubts
        from burnscar_assets.mapping.plots import plot_doubts

        made = [year for year in map(int, known) if table_path(root, FIRE_SCENES, year).exists()]
        scenes = [scene for year in made for scene in read_frames(root, year, settings.sampling.splits.judged)]
        perimeters = read_years(root, FIRE_PERIMETERS, made)
        doubts, summary = doubt_perimeters(scenes, perimeters, settings.sensor, settings.evaluation, run.progress)
        page = write_doubts(root.label_doubts, doubts, scenes, settings.sensor, simulated=settings.simulated_imagery)
        link_doubts(root.label_doubts.parent)
        preview = partial(plot_doubts, doubts, title="Perimeters weighed", simulated=settings.simulated_imagery)
        metadata = figures(summary) | {"burnscar/index": dg.MetadataValue.path(page)}
        return run.store(LABEL_DOUBTS, doubts, metadata, preview)

    return label_doubts
