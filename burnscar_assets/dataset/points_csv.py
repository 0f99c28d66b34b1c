"""Windows from any CSV of labelled points: longitude, latitude, time and label in each row.

A point gets the window of the lattice that it lies in, so points close together share one, and windows of
one zone never overlap. Every point is kept: its split is that of the ground under the window's centre,
without the margin that sampled points keep.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.classes import BURNT, CLASS_NAMES, UNBURNT, Stratum
from burnscar_assets.crs import likely_meaning
from burnscar_assets.dataset.config import ensure_label_layer
from burnscar_assets.dataset.definition import define_windows
from burnscar_assets.dataset.windows import WindowChanges, write_windows
from burnscar_assets.days import guess, is_day, why_no_image
from burnscar_assets.errors import InputError
from burnscar_assets.progress import Progress, silent
from burnscar_assets.regions.load import working_region
from burnscar_assets.sampling.accounts import cells_of
from burnscar_assets.sampling.lattice import GEOGRAPHIC_CRS, Lattice, utm_zone_of
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import SplitSettings, WindowSettings
from burnscar_assets.storage.contracts import SAMPLE_POINTS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import table_crs

_ALIASES: Final = {
    "lon": ("lon", "longitude", "long", "lng", "x"),
    "lat": ("lat", "latitude", "y"),
    "time": ("time", "date", "datetime", "timestamp", "containment_date", "cont_date", "event_date"),
    "label": ("label", "category", "class", "class_name"),
}
_LABELS: Final = {
    "burnt": CLASS_NAMES[BURNT], "burned": CLASS_NAMES[BURNT], "burn": CLASS_NAMES[BURNT],
    "unburnt": CLASS_NAMES[UNBURNT], "unburned": CLASS_NAMES[UNBURNT], "un_burnt": CLASS_NAMES[UNBURNT],
    "not_burnt": CLASS_NAMES[UNBURNT], "not_burned": CLASS_NAMES[UNBURNT],
}  # fmt: skip
_ZONES: Final = ("utm_zone", "utmzone", "utm", "utm_epsg", "epsg")
_ZONE: Final = r"(?i)^(?:(?P<number>\d{1,2})\s*(?P<letter>[C-HJ-NP-X])?|(?:EPSG:)?32(?P<south>[67])(?P<code>\d\d))$"
_FIRST_DATA_ROW = 2
_ROWS_NAMED = 5
_ID_LENGTH = 16
_LATITUDES = (-80.0, 84.0)


def windows_from_csv(csv: Path, settings: WindowSettings, splits: SplitSettings, sensor: Sensor) -> gpd.GeoDataFrame:
    """The windows of a points CSV.

    Args:
        csv: file with a header of usual names, whatever their case; lon and lat in degrees (EPSG:4326),
            time in ISO 8601 (UTC if it names no zone; imagery is taken from `days_after` it), label
            `burnt` or `unburnt`; a UTM zone, if there is one, must be the point's.
        settings: size, resolution and days.
        splits: the deal of the ground.
        sensor: whose images the windows are to have.

    Returns:
        Table `windows`; points with the same window, day and label become one.

    Raises:
        InputError: the file can't be read, a column is missing, values are unusable (naming their rows, the
            header being row 1), or points with different labels or splits share ground.
    """
    rows = _read_rows(csv, settings.days_after[1], sensor)
    lattice, split_map = Lattice(settings.side_m), SplitMap(splits)
    cells = lattice.cells_at(rows["lon"], rows["lat"])
    x_m, y_m = lattice.centres(cells)
    lon, lat = lattice.centres(cells, GEOGRAPHIC_CRS)
    burnt = rows["label"] == CLASS_NAMES[BURNT]
    points = gpd.GeoDataFrame(
        {
            "fire_year": working_region().fire_years(rows["time"]),
            "fire_id": "",
            "cluster_id": split_map.block_names(x_m, y_m),
            "stratum": np.where(burnt, Stratum.BURNT.value, Stratum.LAND.value),
            "category": rows["label"],
            "split": split_map.split_of(x_m, y_m),
            "utm_epsg": cells.utm_epsg,
            "cell_col": cells.col,
            "cell_row": cells.row,
            "alarm_date": pd.NaT,
            "containment_date": rows["time"].dt.normalize(),
            "lon": lon,
            "lat": lat,
            "row": rows["row"],
        },
        geometry=gpd.points_from_xy(x_m, y_m),
        crs=table_crs(),
    )
    one_window = ["utm_epsg", "cell_col", "cell_row", "containment_date", "category"]
    points = points.drop_duplicates(one_window, ignore_index=True)
    _refuse_conflicts(points, lattice.footprints(cells_of(points)), csv)
    points["point_id"] = [
        hash_json([str(value) for value in row])[:_ID_LENGTH] for row in points[one_window].itertuples(index=False)
    ]
    return define_windows(SAMPLE_POINTS.conform(points.drop(columns="row")), settings)


def write_csv_windows(windows: gpd.GeoDataFrame, dataset_path: Path, progress: Progress = silent) -> WindowChanges:
    """Write windows into a dataset, beside those that it has; a new dataset gets a config.json with the label layer.

    Raises:
        InputError: the dataset's config.json declares no label layer.
    """
    ensure_label_layer(dataset_path)
    return write_windows(windows, dataset_path, progress, remove_others=False)


def _read_rows(csv: Path, days_after: int, sensor: Sensor) -> pd.DataFrame:
    """Columns row (number in the file), lon, lat, time (UTC) and label, all of them checked."""
    try:
        raw = pd.read_csv(csv, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {csv}: {error.strerror}; give the path of a CSV of points") from error
    except ValueError as error:
        raise InputError(f"{csv} is not a CSV with a header: {error}") from error
    if raw.empty:
        raise InputError(f"{csv} has no points: give a CSV with a header and a row a point")
    picked = {name: raw[_column(raw, name, csv)].str.strip() for name in _ALIASES}
    zone = next((raw[name].str.strip() for name in raw.columns if str(name).strip().lower() in _ZONES), "")
    rows = pd.DataFrame({"row": np.arange(len(raw)) + _FIRST_DATA_ROW, **picked, "zone": zone})
    rows = rows[(rows[list(_ALIASES)] != "").any(axis=1)].reset_index(drop=True)
    lon, lat = pd.to_numeric(rows["lon"], errors="coerce"), pd.to_numeric(rows["lat"], errors="coerce")
    time = pd.to_datetime(rows["time"].where(rows["time"].map(is_day)), utc=True, errors="coerce", format="ISO8601")
    label = rows["label"].str.lower().str.replace(r"[\s-]+", "_", regex=True).map(_LABELS)
    off = ~(lon.between(-180, 180) & lat.between(-90, 90))
    place = likely_meaning(np.column_stack([lon[off], lat[off]]))
    _refuse(csv, rows, "lon", lon.between(-180, 180), f"degrees between -180 and 180{place}")
    _refuse(csv, rows, "lat", lat.between(*_LATITUDES), f"degrees between -80 and 84 (UTM zones){place}")
    _refuse(csv, rows, "lat", (lon != 0) | (lat != 0), "a place; 0, 0 is what a missing one becomes")
    _refuse(csv, rows, "zone", _zones_fit(rows["zone"], lon, lat), "the UTM zone of the place, such as 10 or 32610")
    _refuse(csv, rows, "time", time.notna(), "an ISO 8601 date or time, such as 2021-08-30", guess)
    imaged = time.map(lambda moment: why_no_image(moment, sensor, days_after=days_after) is None)
    since = "" if sensor.first_day is None else f"from {sensor.first_day} "
    _refuse(csv, rows, "time", imaged, f"a day that images can be of, {since}to today", guess)
    _refuse(csv, rows, "label", label.notna(), "burnt or unburnt")
    return rows.drop(columns="zone").assign(lon=lon, lat=lat, time=time, label=label)


def _zones_fit(zones: pd.Series, lon: pd.Series, lat: pd.Series) -> pd.Series:
    """Whether each UTM zone that is given is that of its point: a number, with its letter, or an EPSG code."""
    parts = zones.str.extract(_ZONE)
    number = pd.to_numeric(parts["number"].fillna(parts["code"]), errors="coerce")
    south = (parts["south"] == "7") | (parts["letter"].str.upper() < "N")
    fits = (number == utm_zone_of(lon.fillna(0))) & (south == (lat < 0))
    return fits | (zones == "")


def _column(raw: pd.DataFrame, name: str, csv: Path) -> str:
    there = {str(column).strip().lower(): str(column) for column in raw.columns}
    for alias in _ALIASES[name]:
        if alias in there:
            return there[alias]
    wanted = " or ".join(_ALIASES[name])
    raise InputError(f"{csv} has no column for {name}: looked for {wanted}, found {', '.join(map(str, raw.columns))}")


def _refuse(
    csv: Path, rows: pd.DataFrame, name: str, good: pd.Series, allowed: str, guessed: Callable[[str], str] | None = None
) -> None:
    bad = rows[~good.to_numpy(dtype=bool)]
    if len(bad):
        shown = [f"row {r}: {v!r}" for r, v in zip(bad["row"][:_ROWS_NAMED], bad[name][:_ROWS_NAMED], strict=True)]
        meant = guessed(bad[name].iloc[0]) if guessed else ""
        raise InputError(f"{csv}: {len(bad)} bad value(s) of {name} ({', '.join(shown)}); allowed: {allowed}{meant}")


def _refuse_conflicts(points: gpd.GeoDataFrame, footprints: npt.NDArray[np.object_], csv: Path) -> None:
    """Points on the same ground must agree: in their label if they are of one day, and in their split."""
    first, second = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    pairs = first < second
    first, second = first[pairs], second[pairs]
    shared = shapely.area(shapely.intersection(footprints[first], footprints[second])) > 1.0
    first, second = points.iloc[first[shared]].reset_index(), points.iloc[second[shared]].reset_index()
    same_day = first["containment_date"] == second["containment_date"]
    for name, conflict in (
        ("labels", same_day & (first["category"] != second["category"])),
        ("splits", first["split"] != second["split"]),
    ):
        if conflict.any():
            rows = [f"{a} and {b}" for a, b in zip(first["row"][conflict], second["row"][conflict], strict=True)]
            raise InputError(
                f"{csv}: points of different {name} share a window's ground in rows {', '.join(rows[:_ROWS_NAMED])}: "
                "leave one of each pair out"
            )
