"""Maps of fires that the release doesn't have yet, by the newest checkpoint from before their season."""

from functools import partial

import dagster as dg

from burnscar_assets.dataset.config import write_dataset_config
from burnscar_assets.orchestration.in_season import PERIMETERS
from burnscar_assets.orchestration.partitions import SEASON_LOOK_BACK_YEARS, World, years_before
from burnscar_assets.orchestration.processes import Event, run_process
from burnscar_assets.orchestration.runs import gpu_stage_tags
from burnscar_assets.orchestration.sources import IMAGERY_CATALOGUE
from burnscar_assets.orchestration.stage import GPU_POOL, StageRun, stage
from burnscar_assets.storage.changes import read_if_whole, table_changes
from burnscar_assets.storage.contracts import IN_SEASON_MAPS
from burnscar_assets.storage.tables import read_table

MAPPER = "burnscar_assets.mapping.season"


def build_season_map_assets(world: World) -> list[dg.AssetsDefinition]:
    """The maps of a world that follows an in-season source."""
    root, settings = world.root, world.settings
    if not settings.in_season.enabled:
        return []
    before_season = years_before(SEASON_LOOK_BACK_YEARS)

    @stage(
        world,
        IN_SEASON_MAPS.name,
        group="in_season",
        kinds={"cog", "stac", "geoparquet"},
        deps=[
            PERIMETERS,
            *(dg.AssetDep(name, partition_mapping=before_season) for name in ("checkpoint", "evaluation_metrics")),
            IMAGERY_CATALOGUE,
        ],
        pool=GPU_POOL,
        op_tags=gpu_stage_tags(settings),
        description="A map of each contained fire that the release doesn't have yet, by the newest checkpoint of an "
        "earlier fire year, which has not seen it.",
    )
    def in_season_maps(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.mapping.plots import plot_maps
        from burnscar_assets.mapping.season import plan_season

        year, progress = run.year, run.progress

        def follow(event: Event) -> None:
            if event["event"] == "step":
                progress(event["what"], event["done"], event["total"])

        write_dataset_config(settings.imagery, root)
        before = read_if_whole(root, IN_SEASON_MAPS, year)
        spec = plan_season(settings, root, year, SEASON_LOOK_BACK_YEARS)
        run_process(run.context, world, MAPPER, spec.write(root.spec("season-maps", year)), follow)
        maps = read_table(root, IN_SEASON_MAPS, year)
        preview = partial(plot_maps, maps, title=f"In-season maps {year}", simulated=settings.simulated_imagery)
        metadata = {
            "burnscar/index": dg.MetadataValue.path(root.season_maps(year) / "index.html"),
            "burnscar/checkpoint_year": spec.checkpoint_year,
            "burnscar/maps": int(maps["complete"].sum()),
            "burnscar/without_imagery": int((~maps["complete"].astype(bool)).sum()),
        }
        return run.table_result(IN_SEASON_MAPS, maps, table_changes(IN_SEASON_MAPS, before, maps), metadata, preview)

    return [in_season_maps]
