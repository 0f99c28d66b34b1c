"""What all asset definitions share: options by stage, and the summary that a person sees."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from burnscar_assets.orchestration.metadata import picture, table_metadata
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.storage.tables import Table, table_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWNERS = ["team:burnscar"]
GPU_POOL = "gpu"


def options(world: World, stage: str, group: str, kinds: set[str], *, partitioned: bool = True) -> dict[str, Any]:
    """Keyword arguments of `dg.asset` for a stage."""
    return {
        "name": stage,
        "group_name": group,
        "kinds": kinds,
        "owners": OWNERS,
        "code_version": code_version(stage, world.settings),
        "partitions_def": world.fire_years if partitioned else None,
        "metadata": provenance(world),
    }


def provenance(world: World) -> dict[str, Any]:
    """Which world this is, and what of it is simulated: shown with every asset and every materialization."""
    settings = world.settings
    return {
        "burnscar/world": settings.name,
        "burnscar/simulated_perimeters": settings.simulated_perimeters,
        "burnscar/simulated_imagery": settings.simulated_imagery,
    }


def fire_year(context: dg.AssetExecutionContext) -> int:
    """The fire year that the run is for."""
    return int(context.partition_key)


def result(
    world: World,
    table: Table,
    rows: pd.DataFrame,
    year: int | None,
    metadata: Mapping[str, Any],
    preview: "Figure",
) -> dg.MaterializeResult:
    """The result of an asset that is a table: its data version is the hash of the rows' content."""
    described = table_metadata(table, rows, table_path(world.root, table, year))
    shown = {"burnscar/preview": picture(preview)} | described | dict(metadata) | provenance(world)
    return dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(table.content_hash(rows)))
