"""Looking at the in-season source, to see whether fires of a year changed, without fetching their perimeters.

The layer is national and changes every few minutes, so its edit date tells nothing: what is asked for is how many
fires of the state there are, how large, how far contained, and when one was edited last, in sums made by the server.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.arcgis import RestLayer, ask, count_rows, describe_layer, open_layer
from burnscar_assets.labels.http import quickly
from burnscar_assets.labels.layer_facts import statistic
from burnscar_assets.labels.layer_rows import read_sums
from burnscar_assets.labels.plausibility import FEWEST_FIRES
from burnscar_assets.labels.wfigs import match_incident_fields, season_sql
from burnscar_assets.settings import InSeasonSettings
from burnscar_assets.storage.hashing import hash_json

_TIMES: Final = ("contained", "newest_perimeter", "edited")


@dataclass(frozen=True)
class CategoryFacts:
    """Records of one category of incidents, in sums.

    Attributes:
        records: How many.
        acres: Sum of their areas as reported, to a tenth.
        percent_contained: Sum of their shares contained.
        with_containment: How many have a date of containment.
        contained: Newest date of containment, ISO 8601.
        newest_perimeter: When the newest perimeter is from, ISO 8601.
        edited: Day of the last edit of any; edits of the same day show in the sums, if they matter.
    """

    records: int
    acres: float | None
    percent_contained: float | None
    with_containment: int
    contained: str | None
    newest_perimeter: str | None
    edited: str | None


@dataclass(frozen=True)
class SeasonState:
    """What was seen of a fire year in the in-season source.

    Attributes:
        version: Hash of the facts, 16 digits.
        records: Records of the year.
        facts: Sums by category (`WF`, `RX`, …), JSON values.
        note: What changes cannot be seen, and why; empty if any that matters would be.
    """

    version: str
    records: int
    facts: dict[str, Any]
    note: str


def look_at_season(settings: InSeasonSettings, fire_year: int, *, had_records: int = 0) -> SeasonState:
    """Ask the service about a fire year: three short questions.

    Args:
        settings: The layer and the state.
        fire_year: The year.
        had_records: How many the year had when it was looked at before.

    Raises:
        InputError: no such layer, or one of other fields.
        SourceUnavailableError: no answer, or an empty one of a layer without rows or of a year that had many
            records, as while the layer is loaded anew.
    """
    quick = quickly(settings)
    where = season_sql(settings, fire_year)
    with open_layer(settings.source, quick) as session:
        layer = describe_layer(session, settings.source, quick)
        fields = match_incident_fields(layer.fields, f"layer {layer.name} of {layer.url}", settings.setting)
        records = count_rows(session, layer, quick, where)
        lost = not records and had_records >= FEWEST_FIRES
        if lost or not (records or count_rows(session, layer, quick)):
            raise SourceUnavailableError(
                f"{settings.source} has no fires of {fire_year}: it is being loaded anew; if it stays so, check "
                f"{settings.setting}"
            )
        if not records:
            return SeasonState(hash_json([where, {}])[:16], 0, {}, "")
        sums = {"where": where, "f": "json", **_statistics(layer, fields)}
        try:
            answer = ask(session, f"{layer.url}/query", sums, quick) if layer.statistics else {}
            category = fields["category"].lower()
            facts = {str(group.get(category)): asdict(_facts(group)) for group in read_sums(answer)}
        except (InputError, LookupError, TypeError, ValueError, OSError):
            facts = {}
    if facts:
        return SeasonState(hash_json([where, records, facts])[:16], records, dict(sorted(facts.items())), "")
    note = "the service gives no statistics: each edit of the layer, of any state, counts as a change"
    return SeasonState(hash_json([where, records, layer.edited_ms])[:16], records, {"records": records}, note)


def _statistics(layer: RestLayer, fields: dict[str, str]) -> dict[str, str]:
    wanted = [
        statistic("count", layer.object_id_field, "records"),
        statistic("sum", fields["acres"], "acres"),
        statistic("sum", fields["percent_contained"], "percent_contained"),
        statistic("count", fields["contained"], "with_containment"),
        statistic("max", fields["contained"], "contained"),
        statistic("max", fields["polygon_date"], "newest_perimeter"),
    ]
    if "modified" in fields:
        wanted.append(statistic("max", fields["modified"], "edited"))
    return {"outStatistics": json.dumps(wanted), "groupByFieldsForStatistics": fields["category"]}


def _facts(row: dict[str, Any]) -> CategoryFacts:
    times = {name: _time(row.get(name)) for name in _TIMES}
    edited = times["edited"]
    return CategoryFacts(
        records=int(row["records"]),
        acres=None if row.get("acres") is None else round(float(row["acres"]), 1),
        percent_contained=None if row.get("percent_contained") is None else float(row["percent_contained"]),
        with_containment=int(row.get("with_containment") or 0),
        contained=times["contained"],
        newest_perimeter=times["newest_perimeter"],
        edited=edited and edited[:10],
    )


def _time(value: Any) -> str | None:
    """A time of the answer: epoch milliseconds, or the service's own text."""
    if value is None or isinstance(value, str):
        return value
    return datetime.fromtimestamp(float(value) / 1000, UTC).isoformat(timespec="seconds")
