"""docs/data-contracts.md, written from the stages and the contracts of their tables (`make docs`)."""

from collections.abc import Iterable
from pathlib import Path

from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.storage.contracts import ALL_TABLES
from burnscar_assets.storage.tables import Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data-contracts.md"

INTRODUCTION = """# Data contracts

Written by `make docs` from `burnscar_assets/orchestration/stages.py` and `burnscar_assets/storage/contracts.py`; a test
keeps them the same.

Tables are GeoParquet (plain Parquet where there is no geometry) under
`<data root>/tables/<table>/fire_year=YYYY/part.parquet`; `release_records` is not partitioned. Geometries are in
the region's CRS (equal area, metres), times in UTC. A write replaces a partition whole. The data version of an
asset is the SHA-256 of its table's rows, sorted by key, coordinates to a centimetre.

`burnscar sql "select fire_year, count(*) from windows group by 1"` queries them with DuckDB.
"""


def contracts_page() -> str:
    """The page as Markdown."""
    of_stages = [table for spec in STAGES.values() for table in spec.tables]
    return "\n".join([INTRODUCTION, _stages(), *map(_section, dict.fromkeys([*of_stages, *ALL_TABLES]))])


def _stages() -> str:
    """The stages in the order in which they are made: what each makes, from what, and its tables."""
    head = ["## Stages", "", "| stage | what it makes | from | tables |", "| --- | --- | --- | --- |"]
    rows = [
        f"| `{spec.name}` | {spec.description} | {_named(one.asset for one in spec.reads)} | "
        f"{_named(table.name for table in spec.tables)} |"
        for spec in STAGES.values()
    ]
    return "\n".join([*head, *rows, ""])


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _section(table: Table) -> str:
    rows = [f"| `{c.name}` | {c.type} | {c.description} |" for c in table.columns]
    key = ", ".join(f"`{k}`" for k in table.keys)
    return "\n".join(
        [
            f"## {table.name}",
            "",
            table.description,
            "",
            f"Key: {key}.",
            "",
            "| column | type | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(contracts_page(), encoding="utf-8")
