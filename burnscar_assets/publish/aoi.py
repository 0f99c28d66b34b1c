"""Areas of interest as people give them: a vector file in any coordinate system, or a bounding box in degrees."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS, likely_meaning, usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.vectors import FORMATS, read_first_layer, read_layers

UTM_LATITUDES: Final = (-80.0, 84.0)
"""Where UTM is defined, degrees."""

LEAST_M2: Final = 100.0
"""What a pixel of a map covers, square metres."""

_EDGE_UNITS: Final = 40_000.0
"""Longer edges, in metres or feet, are brought to degrees in parts, so that they bend as they should."""

_ELLIPSOID: Final = pyproj.Geod(ellps="WGS84")
_POLYGONAL: Final = (3, 6)


@dataclass(frozen=True)
class Aoi:
    """An area to map.

    Valid, in EPSG:4326; `origin` is what it was read from, for the provenance.
    """

    name: str
    geometry: shapely.Geometry
    origin: str


def read_aoi(given: str) -> Aoi:
    """The area that a file or a bounding box names.

    Args:
        given: path of a GeoJSON, GeoPackage, GeoParquet, KMZ, shapefile (also zipped) or other vector file, all of
            whose polygons count; or `west,south,east,north` in degrees; or GeoJSON itself.

    Raises:
        InputError: there is no such file, it holds no area, its coordinates are no place on Earth or not what its
            CRS says, or the area crosses the antimeridian or lies beyond UTM.
    """
    if given.lstrip().startswith("{"):
        return Aoi("area", _of_geojson(given), "GeoJSON")
    box = _bounding_box(given)
    if box is not None:
        west, south, east, north = box
        if west > east and _is_degrees(*box):
            raise InputError(
                f"the box {given} crosses the antimeridian: map its two sides one by one, {west},{south},180,{north} "
                f"and -180,{south},{east},{north}"
            )
        if len(others := _other_orders(box)) and not _is_box(*box):
            raise InputError(f"{given} is no box west,south,east,north in degrees: did you mean {' or '.join(others)}?")
        if west == east or south >= north:
            raise InputError(f"the box {given} is empty: give west,south,east,north in degrees, each larger side last")
        return Aoi("bbox", check_place(shapely.box(west, south, east, north), given), f"bbox {given}")
    path = Path(given)
    if not path.exists():
        raise InputError(f"no file {given}: give {FORMATS}, or west,south,east,north in degrees")
    return Aoi(path.name.split(".")[0], _area(path), path.name)


def check_place(geometry: shapely.Geometry, origin: str) -> shapely.Geometry:
    """Check that a geometry in degrees is an area that one map can show.

    It is in EPSG:4326; `origin` is what it comes from, for errors. Returned are its polygons alone, made valid.

    Raises:
        InputError: it is empty, no area, off the Earth, or crosses the antimeridian.
    """
    coordinates = shapely.get_coordinates(geometry)
    if not len(coordinates):
        raise InputError(f"{origin} is empty: draw the area to map, and save it as a polygon")
    if not np.isfinite(coordinates).all() or (np.abs(coordinates) > [180.0, 90.0]).any():
        raise InputError(
            f"{origin} has coordinates that are no longitude and latitude: is its CRS the right one?"
            f"{likely_meaning(coordinates)}"
        )
    area = polygons_of(geometry)
    if area.is_empty:
        raise InputError(f"{origin} has no area, only points or lines: save polygons, or draw a buffer around them")
    covered_m2 = abs(_ELLIPSOID.geometry_area_perimeter(area)[0])
    if covered_m2 < LEAST_M2:
        raise InputError(
            f"{origin} covers {covered_m2:.2g} m², less than a pixel: draw the area to map; if it is larger, its "
            "coordinate system is wrong"
        )
    west, south, east, north = area.bounds
    if east - west > 180:
        raise InputError(
            f"{origin} reaches from {west:.1f}° to {east:.1f}°: it crosses the antimeridian, or is more than one map; "
            "cut it at 180°, and map its parts one by one"
        )
    if south < UTM_LATITUDES[0] or north > UTM_LATITUDES[1]:
        raise InputError(f"{origin} reaches beyond {UTM_LATITUDES[0]:.0f}° to {UTM_LATITUDES[1]:.0f}°, where UTM ends")
    return area


def polygons_of(geometry: shapely.Geometry) -> shapely.Geometry:
    """A geometry made valid, without its points and lines; empty if nothing else is left."""
    parts = shapely.get_parts(shapely.make_valid(geometry))
    flat = shapely.get_parts(parts[np.isin(shapely.get_type_id(parts), (*_POLYGONAL, 7))])
    return shapely.union_all(flat[np.isin(shapely.get_type_id(flat), _POLYGONAL)])


def _of_geojson(text: str) -> shapely.Geometry:
    try:
        with TemporaryDirectory() as folder:
            (Path(folder) / "area.geojson").write_text(text, encoding="utf-8", errors="replace")
            shapes = read_first_layer(Path(folder) / "area.geojson").geometry.dropna()
    except InputError as error:
        raise InputError(
            f"the area is no GeoJSON ({error}): give a feature collection, a feature or a geometry"
        ) from error
    return check_place(shapely.geometrycollections(shapes.to_numpy()), "the area")


def _bounding_box(given: str) -> tuple[float, float, float, float] | None:
    """Four numbers; None if it is anything else."""
    try:
        west, south, east, north = map(float, given.replace(",", " ").split())
    except ValueError:
        return None
    return west, south, east, north


def _is_box(west: float, south: float, east: float, north: float) -> bool:
    return _is_degrees(west, south, east, north) and west < east and south < north


def _is_degrees(west: float, south: float, east: float, north: float) -> bool:
    return max(abs(west), abs(east)) <= 180 and max(abs(south), abs(north)) <= 90


def _other_orders(box: tuple[float, float, float, float]) -> list[str]:
    """The box with its numbers in other orders that people use, where that makes it one: latitude first, or pairs."""
    orders = ((1, 0, 3, 2), (0, 2, 1, 3), (2, 0, 3, 1))
    found = [tuple(box[number] for number in order) for order in orders]
    return [",".join(f"{number:g}" for number in other) for other in found if _is_box(*other)]


def _area(path: Path) -> shapely.Geometry:
    parts = {name: layer.geometry.dropna() for name, layer in read_layers(path).items()}
    parts = {name: shapes for name, shapes in parts.items() if len(shapes)}
    if not parts:
        raise InputError(f"{path} has no features: draw the area to map, and save it as a polygon")
    degrees = [in_degrees(shapes.force_2d(), f"{path.name}, layer {name},") for name, shapes in parts.items()]
    return check_place(shapely.geometrycollections(np.concatenate(degrees)), path.name)


def in_degrees(shapes: gpd.GeoSeries, origin: str) -> npt.NDArray[np.object_]:
    """Shapes in longitude and latitude, if their coordinates are what their CRS says.

    Raises:
        InputError: they have no CRS that can be used, or another one than it says; the message begins with `origin`.
    """
    crs = usable_crs(shapes.crs, f"{origin} does not say its coordinate system: it")
    bounds = shapes.total_bounds
    if crs.is_projected and (np.abs(bounds) <= [180, 90, 180, 90]).all():
        raise InputError(
            f"{origin} has coordinates that look like degrees, but says that they are {crs.name}: correct its "
            "coordinate system, likely to EPSG:4326"
        )
    if crs.is_projected and np.isfinite(bounds).all():
        shapes = shapes.segmentize(_EDGE_UNITS)
    return np.asarray(shapes.to_crs(GEOGRAPHIC_CRS).to_numpy())
