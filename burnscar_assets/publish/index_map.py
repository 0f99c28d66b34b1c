"""Burned ground by a burn index alone: the spectral set-up, for images that are in no archive and need no model.

One image after the fire is cut by its burn ratio (NBR), two by their difference (dNBR). The threshold of one image is
found without any label (Otsu), that of dNBR is the one below which Key and Benson call ground unburned. So an official
perimeter never decides what is called burned here, and can be compared with; it only says where severity is counted,
and which ring about the fire gives dNBR's offset there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import rasterize
from burnscar_assets.mapping.grid import MIN_AREA_HA, MIN_HOLE_HA, NO_ANSWER, Grid
from burnscar_assets.mapping.old_scars import LEAST_BURNED_DNBR
from burnscar_assets.mapping.severity import (
    NO_SEVERITY,
    Offset,
    classify,
    phenology_offset,
    severity_ha,
)
from burnscar_assets.publish.agreement import Agreement, compare, enclosed, rank_disagreements
from burnscar_assets.publish.images import Images
from burnscar_assets.publish.plots import plot_index_map
from burnscar_assets.publish.polygons import (
    POLYGON_ENDINGS,
    POLYGONS_STEM,
    burned_polygons,
    sieve,
    write_polygons,
)
from burnscar_assets.sensors.indices import FloatArray, dnbr, otsu
from burnscar_assets.storage.atomic import atomic_file, read_json, remove_file, storage_errors, write_json

TWO_KINDS: Final = 0.75
"""Share of an index's variance between the two sides of Otsu's threshold; one kind of ground alone gives 0.64
(a bell curve) to 0.75 (evenly spread)."""

NBR_LIMIT: Final = 1.0
DNBR_LIMIT: Final = 2.0
"""What an index can't go beyond, on either side of 0."""

EXTREME_NBR: Final = 0.9
"""Of the kinds of ground that there are, only few pixels have a ratio beyond."""

LITTLE: Final = 0.01
"""Share of a perimeter that may lie without an answer before a reader is told."""

_DIVISORS: Final = (10, 100, 1_000)
_USUAL: Final = 0.1
"""Least threshold that somebody means who writes it without its decimal point."""

FIGURES_FILE: Final = "figures.json"
PICTURE_FILE: Final = "map.png"
DISAGREEMENTS_FILE: Final = "disagreements.geojson"
INDEX_FILES: Final = ("nbr.tif", "dnbr.tif")
BURNED_FILE: Final = "burned.tif"
SEVERITY_FILE: Final = "severity.tif"
NO_INDEX: Final = -9999.0
REVIEWED: Final = 20
"""How many patches of disagreement are listed for a person's review."""

_DPI: Final = 110


@dataclass(frozen=True)
class Threshold:
    """Where an index is cut.

    By `otsu`, with the share of the index's variance that is between the two sides, 0–1, by `key_benson`, or `given`.
    """

    value: float
    by: str
    separability: float | None = None


@dataclass(frozen=True)
class IndexMap:
    """A map by a burn index.

    `index` is NaN without data; `burned` is 0 unburnt, 1 burnt, 255 no data, after the minimum mapping unit; severity,
    with hectares by class, needs an image before the fire, and `offset` is what was subtracted from dNBR for it.
    """

    grid: Grid
    index_name: str
    index: FloatArray
    threshold: Threshold
    burned: NDArray[np.uint8]
    polygons: gpd.GeoDataFrame
    severity: NDArray[np.uint8] | None
    severity_ha: dict[str, float] | None
    offset: Offset | None
    perimeter: shapely.Geometry | None
    agreement: Agreement | None
    simulated: bool
    notes: tuple[str, ...]

    @property
    def severity_within(self) -> str | None:
        """Where severity is counted."""
        if self.severity is None:
            return None
        return "outer outlines of burned ground on this map" if self.perimeter is None else "official perimeter"

    @property
    def burned_ha(self) -> float:
        """Mapped burned area, hectares."""
        return float((self.burned == 1).sum() * self.grid.pixel_ha)


def map_images(
    images: Images,
    perimeter: shapely.Geometry | None = None,
    *,
    threshold: float | None = None,
    notes: Iterable[str] = (),
) -> IndexMap:
    """Map burned ground by NBR, or by dNBR and with severity if there is an image before the fire.

    Burned is below a threshold of NBR, or from one of dNBR on; none given, it is found without labels. The perimeter is
    in the images' CRS.

    Raises:
        InputError: the perimeter can't be compared with, the threshold lies beyond the index, or the index is the same
            everywhere.
    """
    grid, of_change = images.grid, images.before is not None
    check_threshold(threshold, of_change=of_change)
    change = None if images.before is None else dnbr(images.before, images.after)
    index = images.after if change is None else change
    cut = _threshold(index, threshold, of_change=of_change)
    raw = np.where(np.isnan(index), NO_ANSWER, index >= cut.value if of_change else index < cut.value).astype(np.uint8)
    burned = sieve(raw, grid.pixel_ha, min_area_ha=MIN_AREA_HA, min_hole_ha=MIN_HOLE_HA)
    polygons = burned_polygons(burned, None, grid.transform, grid.crs)
    inside = None if perimeter is None else _inside(perimeter, burned, grid)
    classes, hectares, offset = (None,) * 3 if change is None else _severity(change, burned == 1, inside, grid)
    agreement = None if perimeter is None else compare(burned, perimeter, grid.transform, grid.crs)
    every = (*images.notes, *notes, *_unanswered(agreement), *_notes(images, cut, of_change, inside, offset))
    return IndexMap(
        grid, "dnbr" if of_change else "nbr", index, cut, burned, polygons, classes, hectares, offset,
        perimeter, agreement, images.simulated, every,
    )  # fmt: skip


def _inside(perimeter: shapely.Geometry, burned: NDArray[np.uint8], grid: Grid) -> NDArray[np.bool_]:
    """(height, width) the perimeter's pixels, of which the images must show some."""
    inside = rasterize(perimeter, grid.transform, burned.shape)
    if not (inside & (burned != NO_ANSWER)).any():
        raise InputError(
            "the images have no pixel with data inside the official perimeter: is it of this fire, does it say its CRS?"
        )
    return inside


def _severity(
    change: FloatArray, burned: NDArray[np.bool_], inside: NDArray[np.bool_] | None, grid: Grid
) -> tuple[NDArray[np.uint8], dict[str, float], Offset | None]:
    """Classes of severity, hectares of each within the perimeter, else within the map's outlines, and the offset."""
    offset = None if inside is None else phenology_offset(change, inside, grid)
    classes = classify(change if offset is None else (change - np.float32(offset.dnbr)))
    return classes, severity_ha(classes, grid.pixel_ha, burned | enclosed(burned) if inside is None else inside), offset


def check_threshold(threshold: float | None, *, of_change: bool) -> None:
    """Check that a threshold is one that an index can reach.

    Raises:
        InputError: it lies beyond; the message guesses what is meant, as tables often hold dNBR × 1,000.
    """
    name, limit = ("dNBR", DNBR_LIMIT) if of_change else ("NBR", NBR_LIMIT)
    if threshold is None or abs(threshold) <= limit:
        return
    guesses = (threshold / divisor for divisor in reversed(_DIVISORS))
    guess = next((guess for guess in guesses if _USUAL <= abs(guess) <= limit), None)
    meant = "" if guess is None else f": did you mean {guess:g}?"
    raise InputError(f"a threshold of {threshold:g} can't be, {name} lies within ±{limit:g}{meant}")


def _threshold(index: FloatArray, given: float | None, *, of_change: bool) -> Threshold:
    if given is not None:
        return Threshold(given, "given")
    if of_change:
        return Threshold(LEAST_BURNED_DNBR, "key_benson")
    value, separability = otsu(index)
    return Threshold(value, "otsu", separability)


def _unanswered(agreement: Agreement | None) -> list[str]:
    """How much of the official perimeter nothing can be said of, if it is much."""
    if agreement is None or agreement.unanswered_ha <= LITTLE * agreement.official_ha:
        return []
    return [
        f"{agreement.unanswered_ha:,.0f} ha of the official perimeter have no answer, and count neither as burned nor "
        "as left out: they lie beyond the images, or have no data there"
    ]


def _notes(
    images: Images, cut: Threshold, of_change: bool, inside: NDArray[np.bool_] | None, offset: Offset | None
) -> list[str]:
    notes = []
    if np.nanmedian(np.abs(images.after)) > EXTREME_NBR:
        notes.append(f"NBR is beyond ±{EXTREME_NBR} on most of the ground: are these the right bands (--nir, --swir)?")
    if cut.separability is not None and cut.separability < TWO_KINDS:
        notes.append(
            f"the index shows no two kinds of ground (separability {cut.separability:.2f}): the threshold may mean "
            "nothing; give one with --threshold, or an image before the fire"
        )
    if not of_change:
        notes.append("one image can't tell a new scar from an old one, from water, shadow or bare ground")
    elif inside is None:
        notes.append(
            "no perimeter: severity is without an offset for season and sun, and counted within this map's own outlines"
        )
    elif offset is None:
        notes.append("no offset for season and sun: the images show too little unburnt ground around the perimeter")
    if images.warped:
        notes.append(
            "the image was warped to its UTM zone by nearest pixel, since areas can't be measured on its own grid"
        )
    notes.append("no interval of the area: the errors of this map are not known")
    return notes


def write_index_map(found: IndexMap, folder: Path, title: str) -> dict[str, Any]:
    """Write a map by an index to a folder; returns its figures, as in `figures.json`.

    Written are `nbr.tif` or `dnbr.tif`, `burned.tif`, `severity.tif` (with an image before the fire), the polygons as
    `burned_area.gpkg`, `.parquet` and `.geojson`, `disagreements.geojson` (with a perimeter), `map.png` and
    `figures.json`. Of an earlier map in the folder nothing stays, neither files that this one doesn't have nor what
    other programs keep beside them; what is not of a map stays.

    Raises:
        StorageError: the folder can't be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if "index" in read_json(folder / FIGURES_FILE):
        for name in map_files() - _files_of(found):
            remove_file(folder / name)
    index = np.where(np.isnan(found.index), NO_INDEX, found.index).astype(np.float32)
    _write_raster(folder / f"{found.index_name}.tif", index, found, NO_INDEX)
    _write_raster(folder / BURNED_FILE, found.burned, found, NO_ANSWER)
    if found.severity is not None:
        _write_raster(folder / SEVERITY_FILE, found.severity, found, NO_SEVERITY)
    perimeter = None if found.perimeter is None else gpd.GeoSeries([found.perimeter], crs=found.grid.crs)
    write_polygons(found.polygons, folder, perimeter=perimeter, simulated=found.simulated)
    if found.agreement is not None:
        ranked = rank_disagreements(found.agreement, title, REVIEWED).assign(simulated=found.simulated)
        with atomic_file(folder / DISAGREEMENTS_FILE) as temporary:
            temporary.write_text(ranked.to_json(drop_id=True) + "\n", encoding="utf-8")
    with atomic_file(folder / PICTURE_FILE) as temporary:
        plot_index_map(found, title).savefig(temporary, format="png", dpi=_DPI)
    figures = index_figures(found, title)
    write_json(folder / FIGURES_FILE, figures)
    return figures


def map_files() -> set[str]:
    """Names of all files that maps by an index can have."""
    polygons = {f"{POLYGONS_STEM}.{ending}" for ending in POLYGON_ENDINGS}
    return {*INDEX_FILES, BURNED_FILE, SEVERITY_FILE, DISAGREEMENTS_FILE, PICTURE_FILE, FIGURES_FILE} | polygons


def _files_of(found: IndexMap) -> set[str]:
    lacking = {name for name in INDEX_FILES if name != f"{found.index_name}.tif"}
    lacking |= {SEVERITY_FILE} if found.severity is None else set()
    lacking |= {DISAGREEMENTS_FILE} if found.agreement is None else set()
    return map_files() - lacking


def index_figures(found: IndexMap, title: str) -> dict[str, Any]:
    """The figures of a map by an index; None where undefined."""
    seen = int((found.burned != NO_ANSWER).sum())
    return {
        "title": title,
        "simulated": found.simulated,
        "index": found.index_name,
        "threshold": {
            "value": found.threshold.value,
            "by": found.threshold.by,
            "separability": found.threshold.separability,
        },
        "crs": found.grid.crs.to_string(),
        "pixel_m": [found.grid.width_m, found.grid.height_m],
        "seen_ha": seen * found.grid.pixel_ha,
        "burned_ha": found.burned_ha,
        "patches": len(found.polygons),
        "unburned_islands": int(found.polygons["holes"].sum()),
        "agreement": None if found.agreement is None else found.agreement.figures(),
        "severity_ha": found.severity_ha,
        "severity_within": found.severity_within,
        "dnbr_offset": None if found.offset is None else found.offset.dnbr,
        "notes": list(found.notes),
    }


def _write_raster(path: Path, pixels: NDArray[np.generic], found: IndexMap, nodata: float) -> None:
    """One band as a cloud-optimized GeoTIFF, whole or not at all."""
    with (
        atomic_file(path) as temporary,
        rasterio.open(
            temporary,
            "w",
            driver="COG",
            height=pixels.shape[0],
            width=pixels.shape[1],
            count=1,
            dtype=pixels.dtype,
            crs=found.grid.crs.to_wkt(),
            transform=found.grid.transform,
            nodata=nodata,
            compress="DEFLATE",
            overview_resampling="nearest",
        ) as sink,
    ):
        sink.write(pixels, 1)
        if found.simulated:
            sink.update_tags(SIMULATED="yes")
