"""A sample that a person drew on a map: points, each with what was seen there, from which the map's area is corrected.

Field `seen` says burnt or unburnt. Field `stratum`, if there is one, says what the map called the point when the sample
was drawn: a sample of another map tells nothing of this one. In a file for all maps of a world, field `fire_id` names
the fire whose map a point was drawn on, since maps of neighbours overlap.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.classes import BURNT, CLASS_NAMES, UNBURNT
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.degrees import likely_meaning
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.aoi import in_degrees
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.vectors import read_layers

if TYPE_CHECKING:
    import geopandas as gpd

    from burnscar_assets.mapping.spec import MapTask

SEEN, STRATUM, FIRE_ID = "seen", "stratum", "fire_id"
NO_STRATUM: Final = -1

_FIELDS: Final = {
    SEEN: "burnt or unburnt, as was seen there",
    FIRE_ID: "the fire whose map the point was drawn on",
}

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class MapSample:
    """The points of one map.

    Attributes:
        name: of the file.
        row, column: (n,) pixel of each in the map.
        seen: (n,) class that was seen.
        stratum: (n,) class of the map when the sample was drawn, or NO_STRATUM.
    """

    name: str
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    seen: Codes
    stratum: Codes

    @cached_property
    def digest(self) -> str:
        """Hash of what it says, whatever the order of its points."""
        rows = zip(self.row.tolist(), self.column.tolist(), self.seen.tolist(), self.stratum.tolist(), strict=True)
        return hash_json([self.name, sorted(rows)])


class SampledMap:
    """What a map calls the points of a sample, looked up block by block."""

    def __init__(self, sample: MapSample) -> None:
        self.sample = sample
        self._mapped = np.full(len(sample.row), NO_ANSWER, np.uint8)

    def look(self, box: Box, frame: Frame, burned: npt.NDArray[np.uint8]) -> None:
        """Look up the points in a block: (height, width) 1 burnt, 0 unburnt, NO_ANSWER."""
        rows, columns = box.slices_in(frame.box)
        row, column = self.sample.row - rows.start, self.sample.column - columns.start
        inside = (row >= 0) & (row < box.height) & (column >= 0) & (column < box.width)
        self._mapped[inside] = burned[row[inside], column[inside]]

    @property
    def without_answer(self) -> int:
        """Points where the map has no answer."""
        return int((self._mapped == NO_ANSWER).sum())

    @property
    def drawn_elsewhere(self) -> int:
        """Points that were drawn as of another class than the map has there."""
        stratum, known = self.sample.stratum, self._mapped != NO_ANSWER
        return int((known & (stratum != NO_STRATUM) & (stratum != self._class)).sum())

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(2, 2) points by class of the map (rows) and class that was seen (columns), in the order of CLASS_NAMES."""
        known = self._mapped != NO_ANSWER
        found = np.zeros((len(CLASS_NAMES), len(CLASS_NAMES)), np.int64)
        np.add.at(found, (self._class[known], self.sample.seen[known]), 1)
        return found

    @property
    def _class(self) -> Codes:
        return np.where(self._mapped == 1, BURNT, UNBURNT).astype(np.int8)


class Reference:
    """A file of points.

    Args:
        path: of it.
        points: their places in EPSG:4326, with `seen`, `stratum` and `fire_id`.
    """

    def __init__(self, path: Path, points: "gpd.GeoDataFrame") -> None:
        self._path, self._points = path, points

    def on(self, frame: Frame, task: "MapTask") -> MapSample | None:
        """The points of a map; None if it has none.

        Raises:
            InputError: points lie off the map.
        """
        points = self._points
        if task.fire_id is not None:
            points = points[points[FIRE_ID] == task.fire_id]
        if points.empty:
            return None
        places = project(shapely.multipoints(points.geometry.to_numpy()), GEOGRAPHIC_CRS, f"EPSG:{frame.epsg}")
        pixels = np.floor(shapely.get_coordinates(places) / [frame.resolution_m, -frame.resolution_m]).astype(np.int64)
        column, row = pixels[:, 0] - frame.box.left, pixels[:, 1] - frame.box.top
        height, width = frame.shape
        off = (row < 0) | (row >= height) | (column < 0) | (column >= width)
        if task.fire_id is None:
            off |= ~shapely.intersects(task.geometry, points.geometry.to_numpy())
        if off.any():
            raise InputError(
                f"{self._path}: {off.sum()} of {len(off)} points lie off the map of {task.title}: is the file's "
                "coordinate system the right one? a sample is drawn on the map that it is for"
            )
        seen, stratum = (points[name].to_numpy(np.int8) for name in (SEEN, STRATUM))
        return MapSample(self._path.name, row, column, seen, stratum)


def read_reference(path: Path, *, of_fires: bool) -> Reference:
    """Read a sample.

    Args:
        path: a vector file with one layer of points.
        of_fires: whether it is for maps of fires, so that each point must name its fire.

    Raises:
        InputError: it can't be read, is not points with a CRS that is right, or says something else than burnt and
            unburnt.
    """
    import geopandas as gpd

    if path.suffix.lower() == ".shp":
        raise InputError(f"{path} is one of several files of a shapefile: save the points as a GeoPackage")
    layers = read_layers(path)
    if len(layers) > 1:
        raise InputError(f"{path} has {len(layers)} layers ({', '.join(layers)}): save the points alone")
    (layer,) = layers.values()
    others = int((~_are_points(layer.geometry)).sum())
    if others or layer.empty:
        raise InputError(
            f"{path}: {others} of its {len(layer)} features are no points: give points, each with what was seen there"
        )
    layer = layer.explode(ignore_index=True)
    for field, what in _FIELDS.items() if of_fires else ((SEEN, _FIELDS[SEEN]),):
        if field not in layer:
            known = ", ".join(map(str, layer.columns.drop(layer.geometry.name))) or "none"
            raise InputError(f"{path} has no field {field!r} (it has {known}): say {what}, for each point")
    places = in_degrees(layer.geometry.force_2d(), str(path))
    if (np.abs(xy := shapely.get_coordinates(places)) > [180, 90]).any():
        raise InputError(
            f"{path} has coordinates that are no longitude and latitude{likely_meaning(xy)}: correct its CRS"
        )
    stratum = _classes(path, layer[STRATUM], STRATUM) if STRATUM in layer else np.full(len(layer), NO_STRATUM, np.int8)
    classes = {SEEN: _classes(path, layer[SEEN], SEEN), STRATUM: stratum}
    fires = layer[FIRE_ID].astype(str).to_numpy() if of_fires else ""
    return Reference(path, gpd.GeoDataFrame(classes | {FIRE_ID: fires}, geometry=places, crs=GEOGRAPHIC_CRS))


def _are_points(shapes: "gpd.GeoSeries") -> npt.NDArray[np.bool_]:
    kinds = shapely.get_type_id(shapes.to_numpy())
    points = np.isin(kinds, (shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT))
    return np.asarray(points & ~shapely.is_empty(shapes.to_numpy()))


def _classes(path: Path, words: pd.Series, field: str) -> Codes:
    """Classes of words."""
    plain = words.fillna("").astype(str).str.strip().str.lower()
    unknown = words[~plain.isin(CLASS_NAMES)]
    if len(unknown):
        said = ", ".join(sorted({"nothing" if pd.isna(word) else repr(word) for word in unknown})[:5])
        raise InputError(
            f"{path}: {len(unknown)} of {len(words)} points say {said} in field {field!r}: say burnt or unburnt"
        )
    return plain.map({name: code for code, name in enumerate(CLASS_NAMES)}).to_numpy(np.int8)
