"""docs/data-contracts.md, written from the contracts (`make docs`)."""

from pathlib import Path

from burnscar_assets.storage.contracts import ALL_TABLES
from burnscar_assets.storage.tables import Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data-contracts.md"

INTRODUCTION = """# Data contracts

Written by `make docs` from `burnscar_assets/storage/contracts.py`; a test keeps the two the same.

Tables are GeoParquet (plain Parquet where there is no geometry) under
`<data root>/tables/<table>/fire_year=YYYY/part.parquet`; `release_records` is not partitioned. Geometries are in
the region's CRS (equal area, metres), times in UTC. A write replaces a partition whole. The data version of an
asset is the SHA-256 of its table's rows, sorted by key, coordinates to a centimetre.

`burnscar sql "select fire_year, count(*) from windows group by 1"` queries them with DuckDB.
"""


def contracts_page() -> str:
    """The page as Markdown."""
    return "\n".join([INTRODUCTION, *map(_section, ALL_TABLES)])


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
