"""A stage as CONTRIBUTING.md says how to add one: a table, a record, a body."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from burnscar_assets.orchestration.stage import StageRun
from burnscar_assets.orchestration.stage_spec import Partitions, StageSpec
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.tables import Column, Table, read_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAUSES = Table(
    "fire_causes",
    "How many fires of a year had which cause.",
    ("fire_year", "cause"),
    (
        Column("fire_year", "int", "Fire year."),
        Column("cause", "string", "Code of the cause."),
        Column("fires", "int", "Number of fires."),
    ),
    row="cause",
)

FIRE_CAUSES = StageSpec(
    name="fire_causes",
    version="1",
    group="labels",
    kinds=frozenset({"geoparquet"}),
    module=__name__,
    inputs=("fire_perimeters",),
    settings=("perimeters.max_duration_days",),
    code=("funnel",),
    tables=(CAUSES,),
    partitions=Partitions.FIRE_YEARS,
)


def fire_causes(run: StageRun) -> dg.MaterializeResult:
    """Causes of the fires of a year."""
    perimeters = read_table(run.root, FIRE_PERIMETERS, run.year)
    counted = perimeters["cause"].astype(str).value_counts()
    rows = pd.DataFrame({"fire_year": run.year, "cause": counted.index, "fires": counted.to_numpy()})
    return run.store(CAUSES, rows, {}, partial(_picture, rows))


def _picture(_rows: pd.DataFrame) -> "Figure":
    from matplotlib.figure import Figure

    return Figure()
