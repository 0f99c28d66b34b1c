"""A sample that a person drew on a map, and what it says of the areas of classes and the map's accuracies.

Field `seen` says burnt or unburnt. Field `stratum`, if there is one, says what the map called the point when the sample
was drawn: a sample of another map tells nothing of this one. In a file for all maps of a world, field `fire_id` names
the fire whose map a point was drawn on, since maps of neighbours overlap.

Areas follow Olofsson et al. (2014), Good practices for estimating area and assessing accuracy of land change, Remote
Sensing of Environment 148, equations 4–11. Their intervals are put together from Wilson's of the rates in each mapped
class (the method of variance estimates recovery, Zou and Donner 2008): they allow for errors that were not seen, and
none is cut off at 0 or at the whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT, CLASS_NAMES, UNBURNT
from burnscar_assets.crs import GEOGRAPHIC_CRS, likely_meaning
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.publish.aoi import in_degrees
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
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]
FEW_SAMPLES: Final = 25
"""Fewer samples of a class make its interval doubtful itself (Olofsson et al. ask for 50, and never below 20–30)."""


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
    row: NDArray[np.int64]
    column: NDArray[np.int64]
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

    def look(self, box: Box, frame: Frame, burned: NDArray[np.uint8]) -> None:
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
    def counts(self) -> NDArray[np.int64]:
        """(2, 2) points by class of the map (rows) and class that was seen (columns), in the order of CLASS_NAMES."""
        known = self._mapped != NO_ANSWER
        found = np.zeros((len(CLASS_NAMES), len(CLASS_NAMES)), np.int64)
        np.add.at(found, (self._class[known], self.sample.seen[known]), 1)
        return found

    @property
    def _class(self) -> Codes:
        return np.where(self._mapped == 1, BURNT, UNBURNT).astype(np.int8)


class Reference:
    """A file of points."""

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

    Of maps of fires, each point must name its fire.

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
    stratum = (
        _classes_of(path, layer[STRATUM], STRATUM) if STRATUM in layer else np.full(len(layer), NO_STRATUM, np.int8)
    )
    classes = {SEEN: _classes_of(path, layer[SEEN], SEEN), STRATUM: stratum}
    fires = layer[FIRE_ID].astype(str).to_numpy() if of_fires else ""
    return Reference(path, gpd.GeoDataFrame(classes | {FIRE_ID: fires}, geometry=places, crs=GEOGRAPHIC_CRS))


def _are_points(shapes: "gpd.GeoSeries") -> NDArray[np.bool_]:
    kinds = shapely.get_type_id(shapes.to_numpy())
    points = np.isin(kinds, (shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT))
    return np.asarray(points & ~shapely.is_empty(shapes.to_numpy()))


def _classes_of(path: Path, words: pd.Series, field: str) -> Codes:
    """Classes of words."""
    plain = words.fillna("").astype(str).str.strip().str.lower()
    unknown = words[~plain.isin(CLASS_NAMES)]
    if len(unknown):
        said = ", ".join(sorted({"nothing" if pd.isna(word) else repr(word) for word in unknown})[:5])
        raise InputError(
            f"{path}: {len(unknown)} of {len(words)} points say {said} in field {field!r}: say burnt or unburnt"
        )
    return plain.map({name: code for code, name in enumerate(CLASS_NAMES)}).to_numpy(np.int8)


@dataclass(frozen=True)
class ClassArea:
    """Estimates of one class; NaN where undefined.

    Attributes:
        name: Class.
        mapped_ha: As counted on the map.
        area_ha: As estimated.
        standard_error_ha: Of the estimate.
        low_ha, high_ha: Confidence interval.
        users_accuracy, users_accuracy_se: Share of the class's mapped area that is of the class.
        producers_accuracy, producers_accuracy_se: Share of the class's true area that is mapped so.
        samples_mapped: Samples that the map calls this.
        samples_true: Samples that are this.
    """

    name: str
    mapped_ha: float
    area_ha: float
    standard_error_ha: float
    low_ha: float
    high_ha: float
    users_accuracy: float
    users_accuracy_se: float
    producers_accuracy: float
    producers_accuracy_se: float
    samples_mapped: int
    samples_true: int


@dataclass(frozen=True)
class AreaEstimate:
    """Areas by class and what is to be known about them."""

    classes: tuple[ClassArea, ...]
    overall_accuracy: float
    overall_accuracy_se: float
    confidence: float
    notes: tuple[str, ...]
    defined: bool

    def __getitem__(self, name: str) -> ClassArea:
        """The estimates of a class."""
        return next(found for found in self.classes if found.name == name)


def estimate_area(
    mapped_ha: Mapping[str, float],
    counts: NDArray[np.integer] | Sequence[Sequence[int]],
    *,
    confidence: float = 0.95,
) -> AreaEstimate:
    """Unbiased areas of classes with intervals, and the map's accuracies with standard errors.

    A rate that was seen as 0 or 1 is not taken for certain: its standard error is that of the Agresti–Coull proportion.

    Args:
        mapped_ha: mapped area of each class, hectares, in the order of the matrix.
        counts: (classes, classes) samples by class of the map (rows) and true class (columns).
        confidence: of the intervals.

    Raises:
        InputError: shapes that don't fit, negative figures, or no area at all.
    """
    names, mapped = list(mapped_ha), np.array(list(mapped_ha.values()), dtype=np.float64)
    matrix = np.asarray(counts, dtype=np.float64)
    _check(mapped, matrix)
    quantile = _quantile(confidence)
    missing = [
        name for name, area, size in zip(names, mapped, matrix.sum(axis=1), strict=True) if area > 0 and not size
    ]
    weights = np.full(len(names), np.nan) if missing else mapped / mapped.sum()
    figures = _figures(mapped, weights, matrix, quantile)
    overall = {field: float(figures.pop(field)[0]) for field in ("overall_accuracy", "overall_accuracy_se")}
    samples = {"samples_mapped": matrix.sum(axis=1).astype(int), "samples_true": matrix.sum(axis=0).astype(int)}
    return AreaEstimate(
        classes=tuple(
            ClassArea(name, **{field: values[place].item() for field, values in (figures | samples).items()})
            for place, name in enumerate(names)
        ),
        **overall,
        confidence=confidence,
        notes=(
            *(f"no estimate: no sample of known ground lies where {name} is mapped" for name in missing),
            *_doubts(names, matrix),
        ),
        defined=not missing,
    )


def _figures(mapped: Floats, weights: Floats, matrix: Floats, quantile: float) -> dict[str, Floats]:
    """Equations 1–11 for (k,) areas, their shares, and (k, k) counts: (k,) by field of `ClassArea`, NaN without area.

    `overall_accuracy` and `overall_accuracy_se` are (1,).
    """
    sizes = matrix.sum(axis=1, keepdims=True)
    rates = np.divide(matrix, sizes, out=np.zeros_like(matrix), where=sizes > 0)
    rate_variance = _variances(rates, sizes, quantile)
    low, high = _wilson(rates, sizes, quantile)
    cells = weights[:, np.newaxis] * rates
    cell_variance = np.square(weights)[:, np.newaxis] * rate_variance
    share, right, total = cells.sum(axis=0), np.diag(cells), mapped.sum()
    own, others = np.diag(cell_variance), cell_variance.sum(axis=0) - np.diag(cell_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        users = np.where(sizes[:, 0] > 0, np.diag(rates), np.nan)
        producers = right / share
        producers_error = np.sqrt(np.square(1 - producers) * own + np.square(producers) * others) / share
    return {
        "mapped_ha": mapped,
        "area_ha": share * total,
        "standard_error_ha": np.sqrt(cell_variance.sum(axis=0)) * total,
        "low_ha": (share - _reach(weights, rates - low)) * total,
        "high_ha": (share + _reach(weights, high - rates)) * total,
        "users_accuracy": users,
        "users_accuracy_se": np.sqrt(np.diag(rate_variance)),
        "producers_accuracy": producers,
        "producers_accuracy_se": producers_error,
        "overall_accuracy": right.sum(keepdims=True),
        "overall_accuracy_se": np.sqrt(own.sum(keepdims=True)),
    }


def _variances(rates: Floats, sizes: Floats, quantile: float) -> Floats:
    """(k, k) variances of the rates of each mapped class."""
    cautious = (rates * sizes + quantile**2 / len(rates)) / (sizes + quantile**2)
    unanimous = rates.max(axis=1, keepdims=True) == 1
    return np.where(
        unanimous,
        cautious * (1 - cautious) / (sizes + quantile**2),
        rates * (1 - rates) / np.maximum(sizes - 1, 1),
    )


def _wilson(rates: Floats, sizes: Floats, quantile: float) -> tuple[Floats, Floats]:
    """Wilson's score interval of each rate (1927); from 0 to 1 without samples."""
    divisor = sizes + quantile**2
    middle = (rates * sizes + quantile**2 / 2) / divisor
    reach = quantile * np.sqrt(rates * (1 - rates) * sizes + quantile**2 / 4) / divisor
    return np.minimum(middle - reach, rates), np.maximum(middle + reach, rates)


def _reach(weights: Floats, off: Floats) -> Floats:
    return np.asarray(np.sqrt(np.square(weights[:, np.newaxis] * off).sum(axis=0)))


def _doubts(names: Sequence[str], matrix: Floats) -> Iterator[str]:
    """What a reader must know of an estimate."""
    for name, seen in zip(names, matrix, strict=True):
        size = int(seen.sum())
        if 0 < size < FEW_SAMPLES:
            yield f"too few samples: {size} mapped as {name}; with fewer than {FEW_SAMPLES} the interval is doubtful"
        if size and seen.max() == size:
            yield f"all {size} samples mapped as {name} agree; the interval allows for errors that were not seen"


def _quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def _check(mapped: Floats, matrix: Floats) -> None:
    k = len(mapped)
    if k < 2 or matrix.shape != (k, k):
        raise InputError(f"{k} mapped classes need counts of shape ({k}, {k}), not {matrix.shape}")
    if not np.isfinite(mapped).all() or (mapped < 0).any() or (matrix < 0).any():
        raise InputError("mapped areas and counts of samples can't be negative or missing")
    if not mapped.sum():
        raise InputError("nothing is mapped: there is no area to estimate")
