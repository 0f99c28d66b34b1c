"""Small seasons for tests: squares with WFIGS's fields, their records, and a service of them that answers to SQL."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import geopandas as gpd
import pandas as pd

from burnscar_assets.labels.normalise import normalise
from burnscar_assets.labels.season_source import season_records
from burnscar_assets.settings import InSeasonSettings
from burnscar_assets_tests.labels.label_records import ACRES, square
from burnscar_assets_tests.labels.label_servers import ArcGisSite

DATES = (
    "attr_FireDiscoveryDateTime",
    "attr_ContainmentDateTime",
    "attr_ControlDateTime",
    "attr_FireOutDateTime",
    "attr_ModifiedOnDateTime_dt",
    "poly_DateCurrent",
    "poly_PolygonDateTime",
)


NOW = pd.Timestamp("2026-12-01", tz="UTC").to_pydatetime()
"""When tests read a season."""


def moment(text: str) -> int:
    """Epoch milliseconds of a time in UTC."""
    return int(pd.Timestamp(text, tz="UTC").value // 1_000_000)


def wfigs_fires(*changes: dict[str, Any], fire_year: int = 2026) -> gpd.GeoDataFrame:
    """One contained Californian wildfire for each argument, in which it changes fields; dates may be text."""
    rows = []
    for number, change in enumerate(changes):
        row = {
            "OBJECTID": number + 1,
            "GlobalID": f"9000000{number}-aaaa-bbbb-cccc-0123456789ab",
            "attr_IrwinID": irwin(number),
            "poly_IRWINID": irwin(number),
            "attr_UniqueFireIdentifier": f"{fire_year}-CANEU-{number:06d}",
            "attr_LocalIncidentIdentifier": f"{number:06d}",
            "attr_IncidentName": f"Season {number}",
            "poly_IncidentName": f"SEASON {number}",
            "attr_IncidentTypeCategory": "WF",
            "attr_POOState": "US-CA",
            "attr_POOProtectingAgency": "State",
            "attr_POOProtectingUnit": "CANEU",
            "attr_FireCause": "Natural",
            "attr_PercentContained": 100.0,
            "attr_CpxID": None,
            "attr_CpxName": None,
            "poly_MapMethod": "Mixed Methods",
            "poly_GISAcres": ACRES,
            "attr_FireDiscoveryDateTime": f"{fire_year}-07-01T21:30",
            "attr_ContainmentDateTime": f"{fire_year}-07-09T02:00",
            "attr_ControlDateTime": None,
            "attr_FireOutDateTime": None,
            "attr_ModifiedOnDateTime_dt": f"{fire_year}-07-10T12:00",
            "poly_DateCurrent": f"{fire_year}-07-08T12:00",
            "poly_PolygonDateTime": f"{fire_year}-07-07T12:00",
            "geometry": square(number),
        } | change
        rows.append(row | {name: moment(row[name]) for name in DATES if isinstance(row[name], str)})
    fires = gpd.GeoDataFrame(rows, crs="EPSG:3310")
    return fires.astype(dict.fromkeys(DATES, "Int64"))


def as_season(
    rows: gpd.GeoDataFrame, fire_year: int = 2026, notes: list[str] | None = None, **settings: Any
) -> gpd.GeoDataFrame:
    """Rows as the in-season source has them, as records of a fire year."""
    source = InSeasonSettings(**settings).label_source
    return season_records(normalise(rows, "fire", "layer", notes, source, "map"), fire_year, NOW)


def recorded(answer: Path) -> gpd.GeoDataFrame:
    """Rows of a recorded answer of WFIGS's own service, as a service holds them."""
    rows = gpd.GeoDataFrame.from_features(json.loads(answer.read_text()), crs=4326)
    return rows.astype(dict.fromkeys(DATES, "Int64"))


def irwin(number: int) -> str:
    """IRWIN id of a test's fire, as the service writes it."""
    return f"{{{number:08X}-5555-6666-7777-0123456789AB}}"


BURNING: dict[str, Any] = {"attr_ContainmentDateTime": None, "attr_PercentContained": 40.0}
"""Changes that make a fire one that isn't contained."""


@dataclass
class WfigsSite(ArcGisSite):
    """A feature service of incidents, which chooses rows by SQL."""

    def _query(self, asked: dict[str, str]) -> dict[str, Any]:
        chosen = replace(self, rows=self._chosen(asked["where"]))
        return super(WfigsSite, chosen)._query(asked)

    def _chosen(self, where: str) -> gpd.GeoDataFrame:
        table = pd.DataFrame(self.rows.drop(columns="geometry"))
        table = table.assign(**{name: pd.to_datetime(table[name], unit="ms") for name in DATES})
        with duckdb.connect() as connection:
            connection.register("incidents", table)
            found = connection.sql(f"SELECT OBJECTID FROM incidents WHERE {where}").df()["OBJECTID"]
        return self.rows[self.rows["OBJECTID"].isin(found)]

    def _fields(self) -> list[dict[str, Any]]:
        return [
            entry | ({"type": "esriFieldTypeDate"} if entry["name"] in DATES else {}) for entry in super()._fields()
        ]
