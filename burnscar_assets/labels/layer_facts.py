"""What can be seen of a REST layer without reading its rows: edit dates, their number, and sums by fire year.

A service that cannot count and sum is looked at all the same; the facts then say what they leave unseen.
Protocol: https://developers.arcgis.com/rest/services-reference/enterprise/query-feature-service-layer/
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.arcgis import RestLayer, ask, count_rows, describe_layer, open_layer
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
    if not layer.statistics or "fire_year" not in fields:
        return {}
    wanted = [statistic("count", layer.object_id_field, "records")]
    if "area.0" in fields:
        wanted.append(statistic("sum", fields["area.0"], "area"))
    year_field = fields["fire_year"]
    query = {
        "where": "1=1",
        "f": "json",
        "outStatistics": json.dumps(wanted),
        "groupByFieldsForStatistics": year_field,
    }
    try:
        answer = ask(session, f"{layer.url}/query", query, settings)
        found = {_year(group.get(year_field.lower())): _facts(group) for group in read_sums(answer)}
    except (InputError, LookupError, TypeError, ValueError):
        return {}
    return dict(sorted(found.items()))


def statistic(kind: str, field: str, name: str) -> dict[str, str]:
    """One of a query's `outStatistics`: `count`, `sum` or `max` of a field, under a name."""
    return {"statisticType": kind, "onStatisticField": field, "outStatisticFieldName": name}


def _facts(group: dict[str, Any]) -> YearFacts:
    area = group.get("area")
    return YearFacts(int(group["records"]), None if area is None else round(float(area), 1))


def _year(value: Any) -> str:
    if value is None or not str(value).strip():
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
