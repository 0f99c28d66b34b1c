"""Small releases for tests of the labels: squares with FRAP's fields."""

from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.labels.normalise import normalise, to_records

SIDE_M = 1000.0
ACRES = 247.10538147
"""Acres of a square of one kilometre."""


def square(column: int, side_m: float = SIDE_M, x: float = 0.0) -> shapely.Polygon:
    """A square south of the origin of EPSG:3310; squares of different columns are apart, after ten farther north."""
    left, top = column % 10 * 20_000.0 + x, column // 10 * 20_000.0
    return shapely.box(left, top - side_m, left + side_m, top)


def frap_fires(*changes: dict[str, Any]) -> gpd.GeoDataFrame:
    """One valid FRAP fire of 2020 for each argument, in which it changes fields (`geometry` too)."""
    rows = []
    for number, change in enumerate(changes):
        row = {
            "YEAR_": 2020,
            "STATE": "CA",
            "AGENCY": "CDF",
            "UNIT_ID": "LNU",
            "FIRE_NAME": f"FIRE {number}",
            "INC_NUM": f"{number + 1:08d}",
            "ALARM_DATE": pd.Timestamp("2020-08-01", tz="UTC"),
            "CONT_DATE": pd.Timestamp("2020-08-05", tz="UTC"),
            "CAUSE": 1,
            "C_METHOD": 1,
            "GIS_ACRES": ACRES,
            "COMPLEX_NAME": None,
            "IRWINID": f"{{{number:08d}-AAAA-BBBB-CCCC-0123456789AB}}",
            "COMPLEX_ID": None,
            "geometry": square(number),
        }
        rows.append(row | change)
    return gpd.GeoDataFrame(rows, crs="EPSG:3310")


def release_records(fires: gpd.GeoDataFrame, prescribed: gpd.GeoDataFrame | None = None) -> gpd.GeoDataFrame:
    """The frames as RELEASE_RECORDS."""
    parts = [normalise(fires, "fire", "layer firep24_1")]
    if prescribed is not None:
        parts.append(normalise(prescribed, "prescribed", "layer rxburn24_1"))
    return to_records(parts)


def season(fire_year: int, number: int) -> dict[str, Any]:
    """Changes that make one of several fires of a fire year, for `frap_fires`."""
    dates = {
        "ALARM_DATE": pd.Timestamp(fire_year, 8, 1, tz="UTC"),
        "CONT_DATE": pd.Timestamp(fire_year, 8, 5, tz="UTC"),
    }
    return {"YEAR_": fire_year, "INC_NUM": f"{fire_year}{number}"} | dates
