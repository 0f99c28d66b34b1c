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
from burnscar_assets.settings import SourceSettings
from burnscar_assets.sources.source import LabelSource, LayerNames
from burnscar_assets.vector_files import FILEGDB, NAMES, NoGeometryError, format_of, list_layers
from burnscar_assets.vector_files import read_layer as read_rows

_FORMATS = frozenset({".gpkg", ".shp", ".geojson", ".json", ".fgb", ".kml", ".kmz", ".parquet", ".geoparquet"})
"""Endings that files in a folder are looked at for; what they are is told by their content."""

_MOST_DIGITS = 9
"""A longer number is no release's."""


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
    """The layers of fires and of prescribed burns, and the number of the release if its names tell it."""

    fires: tuple[Layer, ...]
    prescribed: Layer | None
    release_number: int | None
    notes: tuple[str, ...] = ()


def find_layers(path: Path, settings: SourceSettings, source_name: str) -> ReleaseLayers:
    """Detect the layers of a release.

    Args:
        path: Dataset, or a folder that holds datasets.
        settings: `fire_layer` and `prescribed_layer`, where given, override the detection.
        source_name: Name of the file that the release came in; may hold the release number.

    Raises:
        InputError: nothing readable, no layer of fires, or none of the name that the settings give; the
            message names the layers found.
    """
    datasets = _datasets(path)
    if not datasets:
        raise InputError(f"{source_name} holds no {NAMES}: is it a release of fire perimeters? Check release.source")
    layers, notes = _list(datasets, path)
    named = settings.label_source.layers
    fires = _named(layers, settings.fire_layer, "fire_layer", source_name) or _fires(layers, named)
    if not fires:
        raise InputError(_no_fires(layers, datasets, source_name, named))
    prescribed = _named(layers, settings.prescribed_layer, "prescribed_layer", source_name)
    prescribed = prescribed or _matching(layers, named.prescribed)[-1:]
    number = release_number(fires[-1].name, named.fires) or release_number(source_name, named.file)
    return ReleaseLayers(fires, prescribed[0] if prescribed else None, number, notes)


def release_number(name: str, pattern: str | None) -> int | None:
    """The number of a release that a name holds, where the source's file says; None if it holds none."""
    match = re.search(pattern, name, re.IGNORECASE) if pattern else None
    number = match[1] if match and match.re.groups else None
    return int(number) if number and number.isdecimal() and len(number) <= _MOST_DIGITS else None


def read_layer(layer: Layer, notes: list[str] | None = None, source: LabelSource | None = None) -> gpd.GeoDataFrame:
    """Read a layer with its fields as they are, in its own CRS.

    Curves become line segments: FRAP's FileGDB has some.

    Args:
        layer: Which.
        notes: What was passed over is added, a sentence each.
        source: Whose it is, for advice on a layer without a CRS.

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
    usual = f"; {source.title}'s is {source.usual_crs}" if source and source.usual_crs else ""
    usable_crs(records.crs, layer.label, f"add one (a .prj beside a shapefile{usual}), then run the same again")
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


def _named(layers: list[Layer], name: str | None, field: str, source_name: str) -> tuple[Layer, ...]:
    """The layer that the settings name; empty where they name none."""
    if name is None:
        return ()
    for layer in layers:
        if layer.name == name:
            return (layer,)
    raise InputError(f"{source_name} has no layer {name!r} (release.{field}); layers found: {_names(layers)}")


def _fires(layers: list[Layer], named: LayerNames) -> tuple[Layer, ...]:
    """The layers of fires by their names; a lone layer, or each where all are read, may have any other name."""
    others = [layer for layer in layers if not (named.never and _is_called(layer.name, named.never))]
    found = _matching(others, named.fires)
    if named.every:
        return found or (() if named.fires else tuple(others))
    return found[-1:] or (tuple(others) if len(layers) == 1 else ())


def _matching(layers: list[Layer], pattern: str | None) -> tuple[Layer, ...]:
    """The layers of a name, the one of the highest number last."""
    found = [layer for layer in layers if pattern and _is_called(layer.name, pattern)]
    return tuple(sorted(found, key=lambda layer: (release_number(layer.name, pattern) or 0, layer.name)))


def _is_called(name: str, pattern: str) -> bool:
    return re.search(pattern, name, re.IGNORECASE) is not None


def _no_fires(layers: list[Layer], datasets: list[Path], source_name: str, named: LayerNames) -> str:
    lost = sorted({name for dataset in datasets for name in _catalogue(dataset)} - {layer.name for layer in layers})
    lost = [name for name in lost if any(p and _is_called(name, p) for p in (named.fires, named.prescribed))]
    wanted = f" (called like {named.fires})" if named.fires else ""
    message = f"{source_name} has no layer of fire perimeters{wanted}; layers found: {_names(layers)}. "
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
