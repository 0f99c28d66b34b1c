"""Assets of the imagery group: the scenes that each window is matched with, and the tiles cut from them."""

from functools import partial

import dagster as dg

from burnscar_assets.orchestration.automation.conditions import follow
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import IMAGERY_CATALOGUE
from burnscar_assets.orchestration.stage import StageRun, stage
from burnscar_assets.storage.contracts import SCENE_MATCHES, SCENE_RADIOMETRY, TILES, WINDOWS
from burnscar_assets.storage.tables import read_table


def build_imagery_assets(world: World) -> list[dg.AssetsDefinition]:
    """The assets from windows to tiles."""
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
        from burnscar_assets.imagery.dataset import validate_layers, write_dataset_config
        from burnscar_assets.imagery.matching import match_scenes
        from burnscar_assets.imagery.plots import plot_matches

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
        from burnscar_assets.imagery.materialize import materialize_tiles
        from burnscar_assets.imagery.plots import plot_chips
        from burnscar_assets.imagery.scene_radiometry import radiometry_table

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
