"""Files in the schemas that agencies publish, of simulated fires and with the traps that the real files have."""

import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import geopandas as gpd
import pandas as pd
import pyogrio
import shapely

from burnscar_assets.demo.fires import SimulatedFire
from burnscar_assets.demo.ignitions import simulate_fires
from burnscar_assets.demo.regions import choose_regions
from burnscar_assets.demo.world import Scale
from burnscar_assets.settings import Settings
from burnscar_assets.storage.tables import table_crs

Maker = Callable[[Sequence[SimulatedFire]], gpd.GeoDataFrame]

LEAST_HA = 40.0
"""Where the MTBS-like file ends; MTBS itself maps from 405 ha in the West, which simulated scenes have no room for."""

HA_PER_ACRE = 0.40468564224

NO_DAY = "0000/00/00"
"""A missing day in NBAC's fields of text."""

CANADA_ALBERS = (
    'PROJCS["Canada_Albers_Equal_Area_Conic",GEOGCS["GCS_North_American_1983",DATUM["D_North_American_1983",'
    'SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],'
    'PROJECTION["Albers"],PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],'
    'PARAMETER["Central_Meridian",-96.0],PARAMETER["Standard_Parallel_1",50.0],PARAMETER["Standard_Parallel_2",70.0],'
    'PARAMETER["Latitude_Of_Origin",40.0],UNIT["Meter",1.0]]'
)
"""NBAC's projection as a .prj says it: in ESRI's words, without a code."""


def a_fire(key: str, start: date, end: date, shape: shapely.Geometry, kind: str = "fire") -> SimulatedFire:
    """A fire whose outline, in the region's CRS, is what burned."""
    return SimulatedFire(key, kind, "here", start.year, start, end, 0.6, shape, shape)


def fires_of_world(settings: Settings, scale: Scale) -> list[SimulatedFire]:
    """The fires of a simulated world, as they truly burned and as they were outlined."""
    assert settings.demo is not None and settings.years.last is not None
    years = range(settings.years.first, settings.years.last + 1)
    count = settings.demo.fires_per_year
    regions = choose_regions(settings.sampling.splits, count, scale.granule_m, scale.fires_a_region)
    return simulate_fires(settings.demo.seed, regions, years, count)


def write_zip(frame: gpd.GeoDataFrame, path: Path, prj: str | None = None) -> Path:
    """A zipped shapefile of the zip's name; dates are fields of days, as dBASE has them."""
    days = [name for name in frame.columns if pd.api.types.is_datetime64_any_dtype(frame[name])]
    plain = {name: frame[name].dt.date.astype(object).where(frame[name].notna(), None) for name in days}
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        layer = Path(scratch) / f"{path.stem}.shp"
        pyogrio.write_dataframe(frame.assign(**plain), layer, encoding="UTF-8", use_arrow=True)
        if prj is not None:
            layer.with_suffix(".prj").write_text(prj)
        for member in sorted(layer.parent.iterdir()):
            archive.write(member, member.name)
    return path


def mtbs(fires: Sequence[SimulatedFire], least_ha: float = LEAST_HA) -> gpd.GeoDataFrame:
    """Burned area boundaries as MTBS has them, EPSG:4269.

    No end of a fire; the image after it may be of the next year (extended assessment) or of none (emergency), and its
    id is written in several ways; thresholds that nobody set are 9999, -9999 or 999; islands are filled; small fires
    are missing; prescribed fires are among them.
    """
    large = [fire for fire in _by_key(fires) if fire.perimeter.area >= least_ha * 1e4]
    outlines = gpd.GeoSeries([_without_islands(fire.perimeter) for fire in large], crs=table_crs()).to_crs(4269)
    rows = [_mtbs_row(number, *each) for number, each in enumerate(zip(large, outlines, strict=True))]
    return gpd.GeoDataFrame(rows, geometry=outlines.to_numpy(), crs=4269)


def _mtbs_row(number: int, fire: SimulatedFire, outline: shapely.Geometry) -> dict[str, Any]:
    lon, lat = (getattr(outline.centroid, axis) for axis in "xy")
    extended, emergency = number % 5 == 3, number % 5 == 4
    fill = (9999, -9999, 999)[number % 3]
    after = fire.containment + timedelta(days=330 if extended else 9 + number % 6)
    kind = {"prescribed": "Prescribed Fire"}.get(fire.kind, "Wildfire")
    return {
        "Event_ID": f"XX{abs(lat) * 1000:05.0f}{abs(lon) * 1000:06.0f}{fire.alarm:%Y%m%d}",
        "irwinID": f"{{{UUID(int=number, version=4)}}}".upper() if fire.fire_year >= 2014 else None,
        "Incid_Name": f"SIM {fire.key}".upper(),
        "Incid_Type": "Unknown" if number % 9 == 8 else kind,
        "Map_ID": 10_000_000 + number,
        "Map_Prog": "MTBS",
        "Asmnt_Type": "Extended" if extended else "Emergency" if emergency else "Initial",
        "BurnBndAc": round(fire.perimeter.area / 1e4 / HA_PER_ACRE),
        "BurnBndLat": f"{lat:.3f}",
        "BurnBndLon": f"{lon:.3f}",
        "Ig_Date": pd.Timestamp(fire.alarm),
        "Pre_ID": scene_id(number, fire.alarm - timedelta(days=20)),
        "Post_ID": None if emergency else scene_id(number, after),
        "Perim_ID": None,
        "dNBR_offst": fill if emergency else 12,
        "dNBR_stdDv": fill if emergency else 31,
        "NoData_T": -970,
        "IncGreen_T": -150,
        "Low_T": 85 if not emergency else fill,
        "Mod_T": 270 if not emergency else fill,
        "High_T": fill,
        "Comment": None,
    }


def scene_id(number: int, day: date) -> str:
    """The id of an image of a day, in one of the ways that MTBS has written it."""
    processed = day + timedelta(days=12)
    written = ("LC08_044033_{}", "8044033{}", "LC08_L1TP_044033_{}_{}_01_T1", "S2A_10TFK_{}")
    return written[number % len(written)].format(f"{day:%Y%m%d}", f"{processed:%Y%m%d}")


def nbac(fires: Sequence[SimulatedFire], *, days_as_text: bool = True) -> gpd.GeoDataFrame:
    """Polygons of several years as NBAC has them, Canada Albers.

    A fire that crossed a border between administrations is several polygons of one GID, each with its own area; days
    come from hotspots and from agencies, of which any may be missing, of some fires all; years are real numbers.
    """
    rows: list[dict[str, Any]] = []
    for number, fire in enumerate(_by_key(fires)):
        row, parts = _nbac_row(number, fire), [fire.perimeter]
        if number % 4 == 1:
            parts = _cut_in_two(fire.perimeter)
        for place, part in enumerate(parts):
            area = {"POLY_HA": part.area / 1e4, "ADJ_HA": 0.93 * part.area / 1e4}
            rows.append(row | area | {"ADMIN_AREA": ("BC", "AB")[place], "geometry": part})
    frame = gpd.GeoDataFrame(rows, crs=table_crs()).to_crs(CANADA_ALBERS)
    days = [name for name in frame.columns if name.endswith("DATE")]
    if days_as_text:
        texts = {name: [f"{day:%Y/%m/%d}" if day else NO_DAY for day in frame[name]] for name in days}
        return frame.assign(**texts)
    return frame.assign(**{name: pd.to_datetime(frame[name]) for name in days})


def _nbac_row(number: int, fire: SimulatedFire) -> dict[str, Any]:
    hotspots, agency = number % 5 != 3, number % 5 != 4
    dated = number % 11 != 7
    after = fire.containment + timedelta(days=9 + number % 6)
    return {
        "YEAR": float(fire.fire_year),
        "NFIREID": float(number + 1),
        "GID": f"{fire.fire_year}_{number + 1}",
        "BASRC": "SAT",
        "FIREMAPS": "Sentinel-2",
        "FIREMAPM": "Processed imagery",
        "FIRECAUS": "Natural cause" if number % 2 else "Human cause",
        "HS_SDATE": fire.alarm + timedelta(days=1) if hotspots and dated else None,
        "HS_EDATE": fire.containment if hotspots and dated else None,
        "AG_SDATE": fire.alarm if agency and dated else None,
        "AG_EDATE": fire.containment if agency and dated and number % 3 else None,
        "CAPDATE": after if dated else None,
        "ADJ_FLAG": "true",
        "PRESCRIBED": "true" if fire.kind == "prescribed" else None,
        "VERSION": "20260513",
    }


def _by_key(fires: Iterable[SimulatedFire]) -> list[SimulatedFire]:
    return sorted(fires, key=lambda fire: fire.key)


def _without_islands(shape: shapely.Geometry) -> shapely.Geometry:
    return shapely.MultiPolygon([shapely.Polygon(part.exterior) for part in shapely.get_parts(shape)]).buffer(0)


def _cut_in_two(shape: shapely.Geometry) -> list[shapely.Geometry]:
    """West and east of the middle, as a border cuts a fire."""
    west, south, east, north = shape.bounds
    middle = (west + east) / 2
    halves = [shape.intersection(shapely.box(*ends, north)) for ends in ((west, south, middle), (middle, south, east))]
    return [shapely.MultiPolygon([part for part in shapely.get_parts(half) if part.area]) for half in halves]
