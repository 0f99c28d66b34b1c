"""Assets of the labels group: the release, the clean perimeters, and every burn that could still show."""

import dagster as dg

from burnscar_assets.errors import MissingDataError
from burnscar_assets.orchestration.assets.common import fire_year, options, result
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.reporting import reporter
from burnscar_assets.storage.contracts import BURN_HISTORY, FIRE_PERIMETER_REJECTS, FIRE_PERIMETERS, RELEASE_RECORDS
from burnscar_assets.storage.tables import read_table, write_table


def build_label_assets(world: World) -> list[dg.AssetsDefinition]:
    """The assets from the release to clean perimeters."""
    root, settings = world.root, world.settings

    @dg.asset(
        **options(world, "calfire_release", "labels", {"geoparquet"}, partitioned=False),
        description="The release of fire perimeters: fetched or read, brought to one schema, geometry as delivered.",
    )
    def calfire_release(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from burnscar_assets.labels.plots import plot_release
        from burnscar_assets.labels.release import fetch_release

        if settings.simulated_perimeters and not root.resolve(settings.release.source).exists():
            raise MissingDataError(f"the simulated archive is not in {root.simulated} yet: run burnscar demo")
        release = fetch_release(settings.release, root, reporter(context))
        write_table(root, RELEASE_RECORDS, release.records, None)
        preview = plot_release(release.records, title="Records of the release", simulated=settings.simulated_perimeters)
        return result(world, RELEASE_RECORDS, release.records, None, figures(release.info), preview)

    @dg.asset(
        **options(world, "fire_perimeters", "labels", {"geoparquet", "geopandas"}),
        deps=[calfire_release],
        description="Perimeters good enough to be labels: repaired, area recomputed, flagged; rejects have reasons.",
    )
    def fire_perimeters(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from burnscar_assets.labels.perimeters import clean_perimeters
        from burnscar_assets.labels.plots import plot_perimeters
        from burnscar_assets.sampling.land import load_land

        year, records = fire_year(context), read_table(root, RELEASE_RECORDS, None)
        cleaned = clean_perimeters(records, year, settings.perimeters, simulated=settings.simulated_perimeters)
        write_table(root, FIRE_PERIMETER_REJECTS, cleaned.rejects, year)
        write_table(root, FIRE_PERIMETERS, cleaned.perimeters, year)
        title = f"Fire perimeters {year}"
        preview = plot_perimeters(cleaned.perimeters, cleaned.rejects, title=title, land=load_land(None))
        return result(world, FIRE_PERIMETERS, cleaned.perimeters, year, figures(cleaned.summary), preview)

    @dg.asset(
        **options(world, "burn_history", "labels", {"geoparquet", "geopandas"}),
        deps=[calfire_release],
        description="Every fire and prescribed burn whose scar could still show in the year; negatives keep off it.",
    )
    def burn_history(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from burnscar_assets.labels.history import burn_history as known_burns
        from burnscar_assets.labels.plots import plot_history
        from burnscar_assets.sampling.land import load_land

        year = fire_year(context)
        burns = known_burns(read_table(root, RELEASE_RECORDS, None), year, settings.perimeters)
        write_table(root, BURN_HISTORY, burns, year)
        title, simulated = f"Burns that could still show in {year}", settings.simulated_perimeters
        preview = plot_history(burns, title=title, simulated=simulated, land=load_land(None))
        return result(world, BURN_HISTORY, burns, year, {"burnscar/area_ha": float(burns.area.sum() / 1e4)}, preview)

    return [calfire_release, fire_perimeters, burn_history]
