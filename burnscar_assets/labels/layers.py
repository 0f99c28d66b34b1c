"""Which layers a release has, and reading one of them as it is.

A release lies in a file (GeoPackage, shapefile, GeoParquet, GeoJSON), in a FileGDB folder, or in a folder
of these. Here layers are found, told apart by name and read with their CRS; what their fields mean is
`normalise`'s business.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.labels.cut_answers import refuse_saved_page
from burnscar_assets.settings import ReleaseSettings
from burnscar_assets.vector_files import FILEGDB, NAMES, NoGeometryError, format_of, list_layers
from burnscar_assets.vector_files import read_layer as read_rows

FIRE_LAYER = re.compile(r"firep(\d+)(?:_\d+)?", re.IGNORECASE)
PRESCRIBED_LAYER = re.compile(r"rxburn(\d+)(?:_\d+)?", re.IGNORECASE)
_TREATMENT_LAYER = re.compile(r"rxburn|non_?rx", re.IGNORECASE)
_RELEASE_FILE = re.compile(r"fire(?:p)?(\d\d)_?1", re.IGNORECASE)

ADD_CRS = "add one (a .prj beside a shapefile; FRAP's is EPSG:3310), then run the same again"

_FORMATS = frozenset({".gpkg", ".shp", ".geojson", ".json", ".fgb", ".kml", ".kmz", ".parquet", ".geoparquet"})
"""Endings that files in a folder are looked at for; what they are is told by their content."""


@dataclass(frozen=True)
class Layer:
    """One layer with geometry, in one dataset."""

    dataset: Path
    name: str

    @property
    def label(self) -> str:
        """How errors name the layer."""
        return f"layer {self.name} of {self.dataset.name}"


@dataclass(frozen=True)
class ReleaseLayers:
    """The layers of wildfires and of prescribed burns, and the number of the release if its names tell it."""

    fires: Layer
    prescribed: Layer | None
    release_number: int | None
    notes: tuple[str, ...] = ()


def find_layers(path: Path, settings: ReleaseSettings, source_name: str) -> ReleaseLayers:
    """Detect the layers of a release.

    Args:
        path: Dataset, or a folder that holds datasets.
        settings: `fire_layer` and `prescribed_layer`, where given, override the detection.
        source_name: Name of the file that the release came in; may hold the release number.

    Raises:
        InputError: nothing readable, no layer of wildfires, or none of the name that the settings give; the
            message names the layers found.
    """
    datasets = _datasets(path)
    if not datasets:
        raise InputError(f"{source_name} holds no {NAMES}: is it a release of fire perimeters? Check release.source")
    layers, notes = _list(datasets, path)
    fires = _named(layers, settings.fire_layer, "fire_layer", source_name) or _detect(layers, FIRE_LAYER)
    if fires is None and len(layers) == 1 and not _TREATMENT_LAYER.search(layers[0].name):
        fires = layers[0]
    if fires is None:
        raise InputError(_no_fires(layers, datasets, source_name))
    prescribed = _named(layers, settings.prescribed_layer, "prescribed_layer", source_name)
    number = FIRE_LAYER.search(fires.name) or _RELEASE_FILE.search(source_name)
    prescribed = prescribed or _detect(layers, PRESCRIBED_LAYER)
    return ReleaseLayers(fires, prescribed, int(number[1]) if number is not None else None, notes)


def read_layer(layer: Layer, notes: list[str] | None = None) -> gpd.GeoDataFrame:
    """Read a layer with its fields as they are, in its own CRS.

    Curves become line segments: FRAP's FileGDB has some.

    Raises:
        InputError: the layer is damaged, or has no CRS that can be used.
    """
    refuse_saved_page(layer.dataset)
    try:
        records = read_rows(layer.dataset, layer.name, notes)
    except NoGeometryError as error:
        raise InputError(f"{layer.label} cannot be read, {error}; or choose another release.source") from error
    except InputError as error:
        raise InputError(f"{layer.label} cannot be read, {error}: get the file again, completely") from error
    if not isinstance(records, gpd.GeoDataFrame):
        raise InputError(f"{layer.label} has no geometry: choose another release.fire_layer")
    usable_crs(records.crs, layer.label, ADD_CRS)
    return records


def _datasets(path: Path) -> list[Path]:
    if path.is_file() or _is_filegdb(path):
        return [path]
    inside = [entry for entry in sorted(path.rglob("*")) if not _is_of_a_mac(entry.relative_to(path))]
    folders = [entry for entry in inside if entry.is_dir() and _is_filegdb(entry)]
    files = [entry for entry in inside if entry.is_file() and entry.suffix.lower() in _FORMATS]
    return folders + [file for file in files if not any(folder in file.parents for folder in folders)]


def _is_of_a_mac(entry: Path) -> bool:
    """Whether an entry of a folder is one of macOS's notes on files."""
    return entry.name.startswith("._") or "__MACOSX" in entry.parts


def _is_filegdb(path: Path) -> bool:
    return path.is_dir() and format_of(path) == FILEGDB


def _list(datasets: list[Path], source: Path) -> tuple[list[Layer], tuple[str, ...]]:
    """Layers with geometry of all datasets, and which of these were passed over.

    Raises:
        InputError: none can be read.
    """
    listed = dict(zip(datasets, list_layers(datasets), strict=True))
    odd = {dataset: reason for dataset, reason in listed.items() if isinstance(reason, str)}
    if len(odd) == len(listed):
        dataset, reason = next(iter(odd.items()))
        raise InputError(f"{dataset} cannot be read, {reason}: check release.source, or get the file again, completely")
    layers = [Layer(dataset, name) for dataset, names in listed.items() if dataset not in odd for name in names]
    where = {dataset: dataset.relative_to(source) if dataset != source else dataset.name for dataset in odd}
    return layers, tuple(f"{where[dataset]} is passed over: {reason}" for dataset, reason in odd.items())


def _named(layers: list[Layer], name: str | None, field: str, source_name: str) -> Layer | None:
    if name is None:
        return None
    for layer in layers:
        if layer.name == name:
            return layer
    raise InputError(f"{source_name} has no layer {name!r} (release.{field}); layers found: {_names(layers)}")


def _detect(layers: list[Layer], pattern: re.Pattern[str]) -> Layer | None:
    matches = [(int(match[1]), layer.name, layer) for layer in layers if (match := pattern.search(layer.name))]
    return max(matches, key=lambda entry: entry[:2])[2] if matches else None


def _no_fires(layers: list[Layer], datasets: list[Path], source_name: str) -> str:
    lost = sorted({name for dataset in datasets for name in _catalogue(dataset)} - {layer.name for layer in layers})
    lost = [name for name in lost if FIRE_LAYER.search(name) or PRESCRIBED_LAYER.search(name)]
    message = f"{source_name} has no layer of fire perimeters (firepNN_1); layers found: {_names(layers)}. "
    if lost:
        return message + (
            f"The file is incomplete: its catalogue lists {', '.join(lost)}, whose tables are missing. Get it again"
        )
    return message + "If it should have one, the file is incomplete: get it again; or set release.fire_layer"


def _catalogue(dataset: Path) -> list[str]:
    """Names in the catalogue of a FileGDB, of tables that are there and of those that are lost."""
    if not _is_filegdb(dataset):
        return []
    try:
        return read_rows(dataset, "GDB_SystemCatalog", columns=["Name"])["Name"].tolist()
    except InputError:
        return []


def _names(layers: list[Layer]) -> str:
    return ", ".join(sorted(layer.name for layer in layers)) or "none"
