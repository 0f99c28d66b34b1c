"""What can be seen of a REST layer without reading its rows: edit dates, their number, and sums by fire year.

A service that cannot count and sum is looked at all the same; the facts then say what they leave unseen.
Protocol: https://developers.arcgis.com/rest/services-reference/enterprise/query-feature-service-layer/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.arcgis import EVERY_ROW, RestLayer, ask, count_rows, describe_layer, open_layer
from burnscar_assets.labels.fields import match_fields, names_of
from burnscar_assets.labels.layer_rows import read_sums
from burnscar_assets.settings import SourceSettings


@dataclass(frozen=True)
class YearFacts:
    """Records of a fire year in a layer, and the sum of their reported areas to a tenth of its unit."""

    records: int
    area: float | None


@dataclass(frozen=True)
class LayerFacts:
    """What a service says of a layer's rows.

    Attributes:
        layer: Name of the layer.
        records: Number of rows.
        edited_at: When its data, its schema or either was edited last, ISO 8601 in UTC, by the service's names.
        by_year: Records by fire year (`none`: without one), ascending; empty if the service cannot tell.
        notes: What cannot be seen of changes, and why.
    """

    layer: str
    records: int
    edited_at: dict[str, str]
    by_year: dict[str, YearFacts]
    notes: tuple[str, ...]


def look_at_layer(url: str, settings: SourceSettings) -> LayerFacts:
    """Ask a service what it says of a layer's rows: three short questions.

    Args:
        url: Address of the layer, `…/FeatureServer/0`.
        settings: Headers, timeout and retries.

    Raises:
        InputError: no such layer, or one that cannot be queried.
        SourceUnavailableError: no answer after all tries, or a layer without rows, as while it is loaded anew.
    """
    with open_layer(url, settings) as session:
        layer = describe_layer(session, url, settings)
        records = count_rows(session, layer, settings)
        if not records:
            raise SourceUnavailableError(
                f"{url} has no rows: it is being loaded anew; if it stays so, check {settings.setting}"
            )
        by_year = _by_year(session, layer, settings)
    notes = []
    if not by_year:
        notes.append("the service gives no statistics: edits show only in its edit date and number of rows")
    if not layer.edited_ms:
        notes.append("the service names no edit date: edits that change no number or area of records are not seen")
    edited_at = {name: datetime.fromtimestamp(ms / 1000, UTC).isoformat() for name, ms in layer.edited_ms.items()}
    return LayerFacts(layer.name, records, edited_at, by_year, tuple(notes))


def _by_year(session: requests.Session, layer: RestLayer, settings: SourceSettings) -> dict[str, YearFacts]:
    """Sums by fire year; empty where the service refuses them, or has more years than it puts into one answer."""
    fields = match_fields(layer.fields, names_of(settings.label_source))
    if "fire_year" not in fields:
        return {}
    wanted = {"area": ("sum", fields["area.0"])} if "area.0" in fields else {}
    groups = read_statistics(session, layer, settings, wanted, fields["fire_year"])
    return dict(sorted((_year(year), YearFacts(sums["records"], sums.get("area"))) for year, sums in groups))


def read_statistics(
    session: requests.Session,
    layer: RestLayer,
    settings: SourceSettings,
    wanted: Mapping[str, tuple[str, str]],
    by: str | None,
    where: str = EVERY_ROW,
) -> list[tuple[Any, dict[str, Any]]]:
    """Groups of a layer's rows in sums that the service makes.

    Args:
        session: Of `open_layer`.
        layer: The layer.
        settings: How to ask.
        wanted: By a name each: `count`, `sum` or `max` (of days), and the field.
        by: Field whose values tell groups apart; None: all rows are one.
        where: Which rows, as SQL of the service.

    Returns:
        Of each group its value and its sums, `records` beside those that are wanted; none where the service refuses
        them, or has more groups than it puts into one answer.
    """
    if not layer.statistics:
        return []
    asked = {"records": ("count", layer.object_id_field), **wanted}
    statistics = [
        {"statisticType": kind, "onStatisticField": field, "outStatisticFieldName": name}
        for name, (kind, field) in asked.items()
    ]
    query = {"where": where, "f": "json", "outStatistics": json.dumps(statistics)}
    query |= {"groupByFieldsForStatistics": by} if by else {}
    try:
        groups = read_sums(ask(session, f"{layer.url}/query", query, settings))
        return [
            (group.get(by.lower()) if by else None, {n: _sum(k, group[n.lower()]) for n, (k, _) in asked.items()})
            for group in groups
        ]
    except (InputError, LookupError, TypeError, ValueError, ArithmeticError, OSError):
        return []


def _sum(kind: str, value: Any) -> Any:
    """A sum of an answer: a count, a sum to a tenth, or a time as ISO 8601 or as the service's own text."""
    if kind == "count":
        return int(value)
    if value is None or isinstance(value, str):
        return value
    return round(float(value), 1) if kind == "sum" else datetime.fromtimestamp(float(value) / 1000, UTC).isoformat()


def _year(value: Any) -> str:
    if value is None or not str(value).strip():
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
