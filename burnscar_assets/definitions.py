"""The only load target of Dagster: everything of one world, for `dagster`, the web UI and the daemon."""

import dagster as dg

from burnscar_assets.environment import data_root, settings_path
from burnscar_assets.orchestration.assets import build_assets
from burnscar_assets.orchestration.assets.maps import build_aoi_asset, build_aoi_job
from burnscar_assets.orchestration.automation import build_sensors
from burnscar_assets.orchestration.automation.schedules import build_schedules
from burnscar_assets.orchestration.checks import build_checks
from burnscar_assets.orchestration.corrections import build_correction_sources
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.retention import build_retention_job
from burnscar_assets.orchestration.sources import build_sources
from burnscar_assets.orchestration.unfinished import in_process_executor
from burnscar_assets.orchestration.verifying import build_verify_job
from burnscar_assets.regions.load import work_in
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets.storage.paths import DataRoot


def build_definitions(settings: Settings, root: DataRoot) -> dg.Definitions:
    """All assets, checks, sensors and schedules of a world; nothing is read or written until one is materialized."""
    world = World(settings, root)
    return dg.Definitions(
        assets=[
            *build_sources(world),
            *build_correction_sources(world),
            *build_assets(world),
            build_aoi_asset(world),
        ],
        asset_checks=build_checks(world),
        jobs=[build_aoi_job(world), build_verify_job(world), build_retention_job(settings.automation)],
        sensors=build_sensors(world),
        schedules=build_schedules(world),
        executor=in_process_executor,
    )


@dg.definitions
def definitions() -> dg.Definitions:
    """The world of this process: see `environment.settings_path`."""
    root = data_root()
    settings = load_settings(settings_path(root))
    work_in(settings.ground)
    return build_definitions(settings, DataRoot(root))
