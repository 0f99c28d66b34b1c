"""Assets of the sampling group: points in strata, and the rslearn windows made from them."""

import dagster as dg

from burnscar_assets.orchestration.assets.common import fire_year, options, result
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.reporting import reporter
from burnscar_assets.storage.contracts import BURN_HISTORY, FIRE_PERIMETERS, SAMPLE_LOSSES, SAMPLE_POINTS, WINDOWS
from burnscar_assets.storage.tables import read_table, write_table


def build_sample_assets(world: World) -> list[dg.AssetsDefinition]:
    """The assets from perimeters to windows."""
    root, settings = world.root, world.settings

    @dg.asset(
        **options(world, "sample_points", "sampling", {"geoparquet", "geopandas"}),
        deps=["fire_perimeters", "burn_history"],
        description="Burnt points by fire area and unburnt points in strata, each in a lattice cell of its own.",
    )
    def sample_points(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from burnscar_assets.sampling.land import load_land
        from burnscar_assets.sampling.plots import plot_points
        from burnscar_assets.sampling.points import sample_points as sample

        year, sampling = fire_year(context), settings.sampling
        perimeters = read_table(root, FIRE_PERIMETERS, year)
        sampled = sample(
            perimeters,
            read_table(root, BURN_HISTORY, year),
            year,
            sampling,
            settings.windows,
            land=load_land(root.resolve(sampling.land) if sampling.land else None, year),
            hard_negatives=load_land(root.resolve(sampling.hard_negatives)) if sampling.hard_negatives else None,
        )
        write_table(root, SAMPLE_LOSSES, sampled.losses, year)
        write_table(root, SAMPLE_POINTS, sampled.points, year)
        preview = plot_points(
            sampled.points,
            perimeters,
            title=f"Sampled points {year}",
            simulated=settings.simulated_perimeters,
            losses=sampled.losses,
        )
        return result(world, SAMPLE_POINTS, sampled.points, year, figures(sampled.summary), preview)

    @dg.asset(
        **options(world, "windows", "sampling", {"geoparquet", "rslearn"}),
        deps=[sample_points],
        description="rslearn windows with their label layer; group = fire year, tag `split` = train, val or test.",
    )
    def windows(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from burnscar_assets.windows.dataset import write_windows
        from burnscar_assets.windows.definition import define_windows
        from burnscar_assets.windows.plots import plot_windows

        year = fire_year(context)
        defined = define_windows(read_table(root, SAMPLE_POINTS, year), settings.windows)
        changes = write_windows(defined, root.dataset, reporter(context), fire_years=[year])
        write_table(root, WINDOWS, defined, year)
        counts = {f"burnscar/{split}_windows": int(n) for split, n in defined["split"].value_counts().items()}
        perimeters, simulated = read_table(root, FIRE_PERIMETERS, year), settings.simulated_perimeters
        preview = plot_windows(defined, perimeters, title=f"Windows {year}", simulated=simulated)
        return result(world, WINDOWS, defined, year, figures(changes) | counts, preview)

    return [sample_points, windows]
