"""What the web UI shows of an asset: row counts, column schema, place, key figures, a picture."""

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pandas as pd

from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.storage.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

SHOWN_DECIMALS = 4
PICTURE_DPI = 90
NOTES = "burnscar/notes"
MAX_PICTURE_BYTES = 100_000
"""Each picture is kept several times in Dagster's event log, so previews stay small."""


def table_schema(table: Table) -> dg.TableSchema:
    """The contract of a table, as Dagster shows it."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name=c.name, type=c.type, description=c.description) for c in table.columns]
    )


def table_metadata(table: Table, rows: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Row count, schema and place of a table's partition."""
    return {
        "dagster/partition_row_count": len(rows),
        "dagster/column_schema": table_schema(table),
        "dagster/uri": str(path),
    }


def figures(summary: Any) -> dict[str, Any]:
    """A summary dataclass as metadata: numbers plot over partitions, mappings become tables."""
    shown = _flatten({name: value for name, value in asdict(summary).items() if name != "fire_year"})
    return {f"burnscar/{name}": value for name, value in shown}


def notes_of(instance: dg.DagsterInstance, pair: Pair) -> list[str]:
    """What was passed over, decided or is doubtful in the newest materialization of an asset without partitions."""
    event = instance.get_latest_materialization_event(pair.key)
    made = None if event is None else event.asset_materialization
    notes = None if made is None else made.metadata.get(NOTES)
    return [str(note) for note in notes.value or ()] if isinstance(notes, dg.JsonMetadataValue) else []


def _flatten(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    plain: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, float):
            plain.append((name, round(value, SHOWN_DECIMALS)))
        elif isinstance(value, bool | int | str):
            plain.append((name, value))
        elif isinstance(value, Mapping | list | tuple) and value:
            plain.append((name, dg.MetadataValue.json(value)))
    return plain


def picture(figure: "Figure") -> dg.MetadataValue:
    """A figure as an embedded PNG of at most 100 KB; one that isn't pyplot's, which all threads share."""
    image = _drawn(figure)
    encoded = _encode(image)
    while len(encoded) > MAX_PICTURE_BYTES:
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))
        encoded = _encode(image)
    return dg.MetadataValue.md(f"![preview](data:image/png;base64,{base64.b64encode(encoded).decode()})")


def _drawn(figure: "Figure") -> "Image":
    """The figure's pixels, cut to what is drawn; one whose layout fits itself to the page is drawn just once."""
    import PIL.Image
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if figure.get_layout_engine() is None:
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=PICTURE_DPI, bbox_inches="tight", pil_kwargs={"compress_level": 1})
        with PIL.Image.open(file) as full:
            return full.convert("RGB")
    figure.set_dpi(PICTURE_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _encode(image: "Image") -> bytes:
    """PNG of 256 colours, which a map or a chart can't be told from, at a third of the size."""
    buffer = io.BytesIO()
    image.quantize(256).save(buffer, format="png")
    return buffer.getvalue()
