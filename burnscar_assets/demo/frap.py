"""The simulated release: a FileGDB in a zip in the schema of FRAP's release 24, with FRAP's kinds of defects.

Layers `firep24_1` (wildfires) and `rxburn24_1` (prescribed burns), the region's CRS. Every record says in COMMENTS
or its name that it is simulated, and a SIMULATED.md lies beside the geodatabase.
"""

import zipfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely import MultiPolygon, Polygon
from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry

from burnscar_assets.demo.fires import M2_PER_HA, SimulatedFire
from burnscar_assets.demo.noise import generator
from burnscar_assets.demo.regions import Region
from burnscar_assets.sources.source import HECTARES
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.tables import table_crs

RELEASE: Final = 24
FIRE_LAYER: Final = f"firep{RELEASE}_1"
PRESCRIBED_LAYER: Final = f"rxburn{RELEASE}_1"
GDB_NAME: Final = f"fire{RELEASE}_1_simulated.gdb"
COMMENT: Final = "SIMULATED by burnscar_assets demo"
NOTICE_FILE: Final = "SIMULATED.md"
HA_PER_ACRE: Final = HECTARES["acres"]
NO_NUMBER: Final = "00000000"

FIRE_FIELDS: Final = (
    "YEAR_", "STATE", "AGENCY", "UNIT_ID", "FIRE_NAME", "INC_NUM", "ALARM_DATE", "CONT_DATE", "CAUSE", "C_METHOD",
    "OBJECTIVE", "GIS_ACRES", "COMMENTS", "COMPLEX_NAME", "IRWINID", "FIRE_NUM", "COMPLEX_ID", "DECADES",
)  # fmt: skip
"""Fields of release 24's wildfires, in order."""

PRESCRIBED_FIELDS: Final = (
    "TREATMENT_ID", "TREATMENT_NAME", "TREATMENT_TYPE", "UNIT_ID", "AGENCY", "TREATED_AC", "GIS_ACRES", "STATE",
    "YEAR_", "RX_CONSUM", "PRE_CON_CLASS", "POST_CON_CLASS", "END_DATE", "START_DATE",
)  # fmt: skip
"""Fields of prescribed burns, in order."""

_SHORT_INTEGERS: Final = (
    "YEAR_", "CAUSE", "C_METHOD", "OBJECTIVE", "TREATMENT_TYPE", "PRE_CON_CLASS", "POST_CON_CLASS",
)  # fmt: skip
_DATES: Final = ("ALARM_DATE", "CONT_DATE", "START_DATE", "END_DATE")
_REALS: Final = ("GIS_ACRES", "TREATED_AC", "RX_CONSUM")
_NAMES: Final = (
    "MANZANITA", "QUAIL", "CEDAR", "LUPINE", "GRANITE", "COYOTE", "BUCKEYE", "PONDEROSA", "CHAMISE", "HERON",
    "OBSIDIAN", "SAGE", "TOYON", "RAVEN", "MADRONE", "JUNIPER", "CONDOR", "YARROW", "ALDER", "BOBCAT",
)  # fmt: skip

Record = dict[str, Any]


def is_release_of(path: Path, world: str) -> bool:
    """Whether a release that was written for this world is there, whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"World {world}." in archive.read(NOTICE_FILE).decode() and archive.testzip() is None
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def write_release(path: Path, fires: Sequence[SimulatedFire], regions: Sequence[Region], seed: int, world: str) -> None:
    """Write the release, whole or not at all. Its content is the same each time; GDAL puts new identifiers into it.

    The notice beside the geodatabase tells the digest of the world.
    """
    units = {region.name: region.anchor.unit_id for region in regions}
    records = fire_records(fires, units, seed)
    prescribed = prescribed_records([fire for fire in fires if fire.kind == "prescribed"], units)
    with atomic_file(path) as temporary, TemporaryDirectory(dir=temporary.parent) as scratch:
        database = Path(scratch) / GDB_NAME
        for table, layer in ((records, FIRE_LAYER), (prescribed, PRESCRIBED_LAYER)):
            table.to_file(database, layer=layer, driver="OpenFileGDB", engine="pyogrio", promote_to_multi=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(NOTICE_FILE, f"{COMMENT}. No record describes a fire that happened. World {world}.\n")
            for member in sorted(database.rglob("*")):
                archive.write(member, f"{GDB_NAME}/{member.relative_to(database)}")


def fire_records(fires: Sequence[SimulatedFire], units: dict[str, str], seed: int) -> gpd.GeoDataFrame:
    """Wildfires as the release tells them, defects and second records included, in FIRE_FIELDS' order."""
    wild = [fire for fire in fires if fire.kind != "prescribed"]
    rows = [_spoiled(_fire_record(fire, number, units[fire.region], seed), fire) for number, fire in enumerate(wild)]
    doubles = _doubles([(fire, row) for fire, row in zip(wild, rows, strict=True) if fire.kind == "fire"])
    return _as_frame(rows + doubles + [_without_year(rows), _without_geometry(rows)], FIRE_FIELDS)


def prescribed_records(fires: Sequence[SimulatedFire], units: dict[str, str]) -> gpd.GeoDataFrame:
    """Prescribed burns, in PRESCRIBED_FIELDS' order."""
    rows = []
    for number, fire in enumerate(fires):
        acres = _acres(fire.perimeter)
        rows.append(
            {
                "TREATMENT_ID": f"SIM-{number:04d}", "TREATMENT_NAME": f"SIMULATED RX {fire.region.upper()}",
                "TREATMENT_TYPE": 1, "UNIT_ID": units[fire.region], "AGENCY": "CDF", "TREATED_AC": acres,
                "GIS_ACRES": acres, "STATE": "CA", "YEAR_": fire.fire_year, "RX_CONSUM": None, "PRE_CON_CLASS": 2,
                "POST_CON_CLASS": 1, "END_DATE": fire.containment, "START_DATE": fire.alarm,
                "geometry": fire.perimeter,
            }
        )  # fmt: skip
    return _as_frame(rows, PRESCRIBED_FIELDS)


def bow_tie(polygon: Polygon) -> Polygon:
    """The polygon with two neighbouring vertices swapped, so that its ring crosses itself at a small corner."""
    ring = list(polygon.exterior.coords)[:-1]
    for first in range(2, len(ring) - 2):
        swapped = [*ring[:first], ring[first + 1], ring[first], *ring[first + 2 :]]
        crossed = Polygon(swapped, [hole.coords for hole in polygon.interiors])
        if not crossed.is_valid:
            return crossed
    return polygon


def _fire_record(fire: SimulatedFire, number: int, unit: str, seed: int) -> Record:
    rng = generator(seed, "record", fire.key)
    complex_name = f"SIM {unit} {fire.fire_year} COMPLEX" if fire.part_of else None
    has_irwin = fire.fire_year >= 2014
    return {
        "YEAR_": fire.fire_year, "STATE": "CA", "AGENCY": "CDF", "UNIT_ID": unit,
        "FIRE_NAME": f"SIM {_NAMES[number % len(_NAMES)]}", "INC_NUM": f"{int(rng.integers(1000, 40000)):08d}",
        "ALARM_DATE": fire.alarm, "CONT_DATE": fire.containment, "CAUSE": int(rng.choice([1, 2, 5, 9, 14])),
        "C_METHOD": int(rng.choice([1, 2, 3, 5, 7])), "OBJECTIVE": 1, "GIS_ACRES": _acres(fire.perimeter),
        "COMMENTS": COMMENT, "COMPLEX_NAME": complex_name,
        "IRWINID": _identifier(rng) if has_irwin else None, "FIRE_NUM": None,
        "COMPLEX_ID": _identifier(generator(seed, fire.part_of)) if fire.part_of else None,
        "DECADES": f"{fire.fire_year // 10 * 10}", "geometry": fire.perimeter,
    }  # fmt: skip


def _spoiled(row: Record, fire: SimulatedFire) -> Record:
    """The record with the defect that its fire was dealt."""
    changes: dict[str, Record] = {
        "containment_missing": {"CONT_DATE": None},
        "containment_before_alarm": {"CONT_DATE": fire.alarm - timedelta(days=29)},
        "containment_year_late": {"CONT_DATE": fire.containment + timedelta(days=365)},
        "alarm_year_wrong": {"ALARM_DATE": _years_before(fire.alarm, 18)},
        "area_wrong": {"GIS_ACRES": 2.2 * row["GIS_ACRES"]},
        "bow_tie": {"geometry": bow_tie(row["geometry"])},
        "no_number": {"INC_NUM": NO_NUMBER, "IRWINID": None, "UNIT_ID": "SCU"},
    }
    return row | changes.get(fire.defect, {})


def _years_before(day: date, years: int) -> date:
    """The same day of an earlier year; 28 February in the place of a leap day."""
    leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - years, day=28 if leap_day else day.day)


def _doubles(told: Sequence[tuple[SimulatedFire, Record]]) -> list[Record]:
    """Second, older records of one fire a year: the same IRWIN id, or the same year, unit and number without one."""
    doubles = []
    for turn, fire_year in enumerate(sorted({fire.fire_year for fire, _ in told})):
        usable = [row for fire, row in told if fire.fire_year == fire_year and not (fire.defect or fire.part_of)]
        row = usable[len(usable) // 2]
        smaller = scale(row["geometry"], 0.8, 0.8)
        older = {"geometry": smaller, "GIS_ACRES": _acres(smaller), "C_METHOD": 6, "COMMENTS": f"{COMMENT}; early map"}
        doubles.append(row | older | ({"IRWINID": None} if turn % 2 else {"INC_NUM": NO_NUMBER}))
    return doubles


def _without_year(rows: Sequence[Record]) -> Record:
    first = min(rows, key=lambda row: (row["YEAR_"], row["FIRE_NAME"]))
    smaller = scale(first["geometry"], 0.5, 0.5)
    lost = dict.fromkeys(("YEAR_", "ALARM_DATE", "CONT_DATE", "IRWINID"))
    named = {"geometry": smaller, "GIS_ACRES": _acres(smaller), "FIRE_NAME": "SIM UNDATED", "INC_NUM": ""}
    return first | named | lost


def _without_geometry(rows: Sequence[Record]) -> Record:
    last = max(rows, key=lambda row: (row["YEAR_"], row["FIRE_NAME"]))
    lost = {"geometry": None, "FIRE_NAME": "SIM UNMAPPED", "INC_NUM": "00099999", "IRWINID": None, "GIS_ACRES": 0.0}
    return last | lost


def _as_frame(rows: Sequence[Record], fields: Sequence[str]) -> gpd.GeoDataFrame:
    columns: dict[str, Any] = {field: [row[field] for row in rows] for field in fields}
    for field, values in columns.items():
        if field in _DATES:
            columns[field] = pd.Series([_as_moment(value) for value in values], dtype="datetime64[ms, UTC]")
        else:
            dtype = "Int16" if field in _SHORT_INTEGERS else "float64" if field in _REALS else object
            columns[field] = pd.Series(values, dtype=dtype)
    shapes = [_multi(row["geometry"]) for row in rows]
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=table_crs()))


def _multi(shape: BaseGeometry | None) -> BaseGeometry | None:
    return MultiPolygon([shape]) if isinstance(shape, Polygon) else shape


def _as_moment(day: date | None) -> pd.Timestamp | None:
    return None if day is None else pd.Timestamp(day, tz="UTC")


def _acres(shape: BaseGeometry) -> float:
    return round(shape.area / M2_PER_HA / HA_PER_ACRE, 4)


def _identifier(rng: np.random.Generator) -> str:
    return f"{{{UUID(bytes=rng.bytes(16), version=4)}}}".upper()
