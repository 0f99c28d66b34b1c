"""A person's words on labels: a GeoPackage beside the world's settings, `environment.corrections_file`, for QGIS.

Its one layer has a row for each word: which fire, what is said of it, and, but for `out`, of which ground. What is said
of ground changes the records that labels and burns are made from; `out` changes no label, and takes the fire out of
scores alone. A row without a word says nothing yet.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.labels.history import UNSURE
from burnscar_assets.labels.perimeters import wildfires_of
from burnscar_assets.labels.repair import repair
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import table_crs
from burnscar_assets.vector_files import read_layers

FILE: Final = "corrections.gpkg"
LAYER: Final = "corrections"
OUT, UNBURNED, OUTLINE = "out", "unburned", "outline"
WORDS: Final = {
    OUT: "the fire is in no score",
    UNSURE: "whether this part burned isn't known: it is neither label nor scored",
    UNBURNED: "this island within the perimeter did not burn",
    OUTLINE: "this outline replaces the perimeter",
}
"""What can be said of a fire."""

OF_GROUND: Final = (UNSURE, UNBURNED, OUTLINE)
"""Words that are said of a part of the ground, and change labels."""

_FIELDS: Final = ("word", "fire_id", "fire_year")
_REMEDY: Final = "correct it in QGIS, or delete the row"


@dataclass(frozen=True)
class Corrections:
    """Words of a person on fires.

    Attributes:
        rows: row (its number in the file, from 1), word, fire_id, fire_year and geometry in the region's CRS, None of
            `out`.
        path: of the file, for errors.
    """

    rows: gpd.GeoDataFrame
    path: Path

    def out(self, fire_year: int) -> tuple[str, ...]:
        """Fires of a year that are out of the scores, in alphabetical order."""
        chosen = self.rows[(self.rows["word"] == OUT) & (self.rows["fire_year"] == fire_year)]
        return tuple(sorted(set(chosen["fire_id"])))

    @cached_property
    def of_ground(self) -> gpd.GeoDataFrame:
        """The words that are said of ground."""
        return self.rows[self.rows["word"] != OUT]

    def ground_version(self, *, fire_year: int | None = None, fires: Collection[str] | None = None) -> str:
        """Hash of what is said of the ground of fires: of a year, of some, or of all; empty if nothing is."""
        some = self.of_ground
        if fire_year is not None:
            some = some[some["fire_year"] == fire_year]
        if fires is not None:
            some = some[some["fire_id"].isin(fires)]
        shapes = shapely.to_wkb(shapely.normalize(shapely.set_precision(some.geometry.to_numpy(), 0.01)), hex=True)
        told = sorted(zip(some["fire_year"].tolist(), some["fire_id"], some["word"], shapes.tolist(), strict=True))
        return hash_json(told) if told else ""

    def out_version(self, fire_year: int) -> str:
        """Hash of which fires of a year are out; empty if none is."""
        return hash_json(found) if (found := self.out(fire_year)) else ""

    def check_fires(self, known: Collection[str], fire_year: int, words: Collection[str]) -> None:
        """Check that a year has the fires of which some words are said.

        Raises:
            InputError: it hasn't; the message names the row.
        """
        said = self.rows[(self.rows["fire_year"] == fire_year) & self.rows["word"].isin(words)]
        for row in said.itertuples():
            if row.fire_id not in known:
                raise self.wrong(row.row, f"there is no fire {row.fire_id!r} of {fire_year}")

    def applied_to(self, records: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """A release's records with the ground that a person gives them.

        An outline replaces a record's geometry; islands and unsure parts are cut out. What is unsure becomes a record
        of its own, of kind `unsure`, which is no label, and a burn that could show: neither burnt nor unburnt. What
        another source drew of the fire counts for nothing where there is an outline, nor on islands.

        Args:
            records: contract RELEASE_RECORDS.

        Returns:
            The same contract, other records untouched.

        Raises:
            InputError: an island doesn't touch its perimeter, or nothing is left of one; the message names the row.
        """
        if self.of_ground.empty:
            return records
        fires, geometry, unsure = records["kind"] == "fire", records.geometry.copy(), []
        for (fire_id, year), words in self.of_ground.groupby(["fire_id", "fire_year"]):
            is_it = fires & (records["record_id"] == fire_id) & (records["fire_year"] == year).fillna(False)
            places = records.index[is_it.to_numpy(dtype=bool)]
            for place in places:
                geometry[place], parts = self._corrected(geometry[place], words)
                if not parts.is_empty:
                    unsure.append(_record_of_unsure(records.loc[[place]], parts))
            for place in records.index[(records["kept_instead"] == fire_id).fillna(False).to_numpy(dtype=bool)]:
                geometry[place] = _left_of(geometry[place], words)
        corrected = records.set_geometry(gpd.GeoSeries(geometry, crs=records.crs))
        return pd.concat([corrected, *unsure], ignore_index=True)

    def _corrected(
        self, delivered: shapely.Geometry | None, words: gpd.GeoDataFrame
    ) -> tuple[shapely.Geometry, shapely.Geometry]:
        """A fire's perimeter as it is by some words, and what of the ground is unsure."""
        by_word = dict(iter(words.groupby("word")))
        whole = by_word[OUTLINE].geometry.iloc[0] if OUTLINE in by_word else repair(
            np.array([delivered], dtype=object), np.array([np.nan])
        ).geometry[0]  # fmt: skip
        for row in by_word.get(UNBURNED, words[:0]).itertuples():
            if not whole.intersects(row.geometry):
                raise self.wrong(row.row, f"the island lies outside the perimeter of {row.fire_id}")
        unsure = by_word[UNSURE].union_all() if UNSURE in by_word else shapely.Polygon()
        islands = by_word[UNBURNED].union_all() if UNBURNED in by_word else shapely.Polygon()
        left = shapely.difference(shapely.difference(whole, islands), unsure)
        if left.is_empty:
            last = words.iloc[-1]
            raise self.wrong(last["row"], f"nothing is left of the perimeter of {last['fire_id']} (say {OUT} of it)")
        return left, shapely.difference(unsure, islands)

    def wrong(self, row: int, why: str) -> InputError:
        """An error about a row, with what to do."""
        return InputError(f"{self.path}, row {row} of layer {LAYER}: {why}: {_REMEDY}")


def read_corrections(path: Path) -> Corrections:
    """The words of a file; none where there is no file.

    Raises:
        InputError: it can't be read, or a row isn't what it must be; the message names the row and says what to do.
    """
    if not path.exists():
        return Corrections(_empty(), path)
    try:
        layers = read_layers(path)
    except InputError as error:
        raise InputError(f"{path} can't be read ({error}): delete it, or have burnscar corrections write it") from error
    if LAYER not in layers:
        there = ", ".join(layers) or "none"
        raise InputError(f"{path} has no layer {LAYER} (there are: {there}): delete it and run burnscar corrections")
    rows = layers[LAYER]
    if lacking := [name for name in _FIELDS if name not in rows.columns]:
        raise InputError(f"layer {LAYER} of {path} lacks {', '.join(lacking)}: run burnscar corrections on no file")
    crs = usable_crs(rows.crs, f"layer {LAYER} of {path}")
    words = rows["word"].astype("string").fillna("").str.strip().str.lower()
    said = rows.assign(word=words, row=np.arange(1, len(rows) + 1))[words != ""]
    found = Corrections(said.set_crs(crs, allow_override=True).to_crs(table_crs()), path)
    for row in found.rows.itertuples():
        if why := _why_wrong(row):
            raise found.wrong(row.row, why)
    outlines = found.rows[found.rows["word"] == OUTLINE]
    for row in outlines[outlines.duplicated(["fire_id", "fire_year"])].itertuples():
        raise found.wrong(row.row, f"{row.fire_id} has another {OUTLINE} already")
    kept = found.rows[[*_FIELDS, "row", "geometry"]]
    return Corrections(kept.assign(fire_year=pd.to_numeric(kept["fire_year"]).astype(int)).reset_index(drop=True), path)


def write_corrections(path: Path, doubts: gpd.GeoDataFrame) -> None:
    """Write a file with a row for each doubtful fire and no words, for a person to fill in.

    Args:
        path: of the file.
        doubts: contract LABEL_DOUBTS; those without doubts are left out.

    Raises:
        StorageError: it can't be written.
    """
    listed = doubts[doubts["doubts"].map(len) > 0].sort_values(["fire_year", "fire_name", "fire_id"])
    rows = gpd.GeoDataFrame(
        {
            "word": pd.Series("", listed.index, dtype="object"),
            "note": pd.Series("", listed.index, dtype="object"),
            "fire_id": listed["fire_id"].astype(object),
            "fire_year": listed["fire_year"].astype("int64"),
            "fire_name": listed["fire_name"].fillna("").astype(object),
            "doubts": listed["doubts"].map(", ".join).astype(object),
            "flag": listed["flag"].astype(object),
        },
        geometry=listed.geometry.to_numpy(),
        crs=table_crs(),
    )
    with atomic_file(path) as temporary:
        named = temporary.with_name(FILE)  # GDAL looks at the ending
        rows.to_file(named, layer=LAYER, driver="GPKG", geometry_type="MultiPolygon", promote_to_multi=True)
        named.replace(temporary)


def _left_of(delivered: shapely.Geometry | None, words: gpd.GeoDataFrame) -> shapely.Geometry:
    """What a person's words on a fire leave of another source's drawing of it."""
    if (words["word"] == OUTLINE).any():
        return shapely.Polygon()
    islands = words.loc[words["word"] == UNBURNED, "geometry"].union_all()
    return shapely.difference(repair(np.array([delivered], dtype=object), np.array([np.nan])).burnt[0], islands)


def _why_wrong(row: object) -> str:
    """What is wrong with a row; empty if nothing is."""
    return next(_faults(row), "")


def _faults(row: object) -> Iterator[str]:
    word, fire_id, year, shape = (getattr(row, name) for name in (*_FIELDS, "geometry"))
    if word not in WORDS:
        yield f"{word!r} is no word; there are {', '.join(WORDS)}"
    if not isinstance(fire_id, str) or not fire_id.strip():
        yield "it names no fire in fire_id"
    if not _is_year(year):
        yield "it names no year in fire_year"
    if word == OUT:
        return
    if shape is None or shape.is_empty or shape.geom_type not in ("Polygon", "MultiPolygon"):
        yield f"{word} needs a polygon"
    elif not shape.is_valid:
        yield f"its polygon is invalid ({shapely.is_valid_reason(shape)})"


def _is_year(value: Any) -> bool:
    """Whether a field holds a whole number, as one or as text."""
    try:
        return float(value).is_integer()
    except (TypeError, ValueError):
        return False


def _record_of_unsure(record: gpd.GeoDataFrame, parts: shapely.Geometry) -> gpd.GeoDataFrame:
    """What isn't known to have burned, as a burn of a fire's days that is no label."""
    named = record.assign(record_id=record["record_id"] + f"/{UNSURE}", kind=UNSURE, reported_area_ha=np.nan)
    return named.set_geometry(gpd.GeoSeries([parts], index=record.index, crs=record.crs))


def wildfire_ids(records: gpd.GeoDataFrame, fire_year: int) -> set[str]:
    """The fires that a release has of a year, labels or not."""
    return set(records.loc[wildfires_of(records, fire_year), "record_id"])


def _empty() -> gpd.GeoDataFrame:
    columns = {"word": [], "fire_id": [], "fire_year": pd.Series([], dtype=int), "row": []}
    return gpd.GeoDataFrame(columns, geometry=[], crs=table_crs())
