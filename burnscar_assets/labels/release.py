"""A release of fire perimeters: fetched or read, whatever it comes as, in one schema.

The entry point of the `calfire_release` stage. Sources: the address of a zip, an ArcGIS REST layer, or a local zip,
FileGDB, GeoPackage, shapefile, GeoParquet or GeoJSON; their label sources say what their fields mean.
"""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd

from burnscar_assets.labels.arcgis import Choice, prescribed_layer_url, read_rest_layer
from burnscar_assets.labels.duplicates import kept_instead
from burnscar_assets.labels.layer_address import is_rest_layer, refuse_page
from burnscar_assets.labels.layers import ReleaseLayers, find_layers, read_layer, release_number
from burnscar_assets.labels.local_source import find_local, hash_local
from burnscar_assets.labels.normalise import normalise, to_records
from burnscar_assets.labels.perimeters import are_rejects
from burnscar_assets.labels.store import StoredRelease, fetch_archive, now, unpack_local
from burnscar_assets.network.masking import mask_address
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import PerimeterSettings, ReleaseSettings, SourceSettings
from burnscar_assets.sources.source import LabelSource
from burnscar_assets.storage.paths import DataRoot


@dataclass(frozen=True)
class ReleaseInfo:
    """Where a release came from and what it holds.

    Attributes:
        source: As in the settings, masked.
        kind: `zip_url`, `rest` or `file`.
        path: The archive or file on this machine; None for `rest`.
        sha256: Hash of that; None for `rest`.
        format: Name of its label source.
        further: Addresses of the further sources, by the names of their formats, masked.
        records_by_source: Records of each label source.
        set_aside_by_source: Of these, records of fires that a source named before has too.
        release_number: Its number (24 of FRAP's `firep24_1`), if the names tell it.
        fire_layer: Layer of fires, or layers.
        prescribed_layer: Layer of prescribed burns, if there is one.
        fires: Records of wildfires.
        prescribed: Records of prescribed burns.
        other: Records of burns that are neither, as far as is known.
        fires_by_year: Records of wildfires by fire year.
        undated: Records of wildfires without a fire year.
        retrieved_at: When it was fetched, ISO 8601 in UTC.
        notes: What was passed over, cleaned, decided or is doubtful, a sentence each.
    """

    source: str
    kind: str
    path: str | None
    sha256: str | None
    format: str
    further: dict[str, str]
    records_by_source: dict[str, int]
    set_aside_by_source: dict[str, int]
    release_number: int | None
    fire_layer: str
    prescribed_layer: str | None
    fires: int
    prescribed: int
    other: int
    fires_by_year: dict[int, int]
    undated: int
    retrieved_at: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Release:
    """A release: its records (contract RELEASE_RECORDS) and where they came from."""

    records: gpd.GeoDataFrame
    info: ReleaseInfo


@dataclass(frozen=True)
class Fetched:
    """What one source gave: where it came from, its normalised layers, and what is to be said of them."""

    kind: str
    path: Path | None
    sha256: str | None
    release_number: int | None
    fire_layer: str
    prescribed_layer: str | None
    retrieved_at: str
    parts: list[pd.DataFrame]
    notes: list[str]


def fetch_release(
    settings: ReleaseSettings, root: DataRoot, progress: Progress = silent, limits: PerimeterSettings | None = None
) -> Release:
    """Fetch or read the release that the settings name, of one source or several.

    Args:
        settings: The sources and how to fetch them.
        root: Where downloads and unpacked archives are kept; relative sources lie under it.
        progress: Told bytes and rows.
        limits: Which perimeters are good enough: of a fire in several sources, a record that isn't doesn't count.

    Returns:
        Records in the contract RELEASE_RECORDS (the region's CRS), sorted by `record_id`, and their provenance.

    Raises:
        InputError: a source is missing or unusable; what was stored before stays.
        SourceUnavailableError: a server does not answer.
        StorageError: the data root cannot be written.
    """
    fetched = [fetch_source(source, root, progress) for source in settings.every]
    parts = [part for one in fetched for part in one.parts]
    records = to_records(parts)
    if settings.further:
        names = [source.label_source.name for source in settings.every]
        rejects = are_rejects(records, limits or PerimeterSettings(), settings.wider)
        records = records.assign(kept_instead=kept_instead(records, names, rejects))
    return Release(records, _info(settings, fetched, records))


def fetch_source(
    settings: SourceSettings, root: DataRoot, progress: Progress = silent, where: Choice | None = None
) -> Fetched:
    """Fetch or read one source.

    Args:
        settings: The source and how to fetch it.
        root: Where downloads and unpacked archives are kept; relative sources lie under it.
        progress: Told bytes and rows.
        where: Which rows of an ArcGIS layer are wanted; of a file all are read.

    Raises:
        InputError, SourceUnavailableError, StorageError: as `fetch_release`.
    """
    source = settings.source
    if is_rest_layer(source):
        return _from_rest(settings, progress, where)
    if source.startswith(("http://", "https://")):
        refuse_page(source, settings.setting)
        stored = fetch_archive(source, settings, root, progress)
        layers = find_layers(stored.content, settings, source.split("?")[0].rsplit("/", 1)[-1])
        return _from_layers(settings, "zip_url", stored, layers)
    path = find_local(source, root)
    if path.is_file() and path.suffix.lower() == ".zip":
        stored = unpack_local(path, settings, root, progress)
        return _from_layers(settings, "file", stored, find_layers(stored.content, settings, path.name))
    stored = StoredRelease(path, path, hash_local(path), now())
    return _from_layers(settings, "file", stored, find_layers(path, settings, path.name))


def _from_layers(settings: SourceSettings, kind: str, stored: StoredRelease, layers: ReleaseLayers) -> Fetched:
    notes, source, role = [*stored.notes, *layers.notes], settings.label_source, settings.role
    of_kind = [(layer, "fire") for layer in layers.fires]
    of_kind += [(layers.prescribed, "prescribed")] if layers.prescribed else []
    return Fetched(
        kind=kind,
        path=stored.archive,
        sha256=stored.sha256,
        release_number=layers.release_number,
        fire_layer=", ".join(layer.name for layer in layers.fires),
        prescribed_layer=layers.prescribed.name if layers.prescribed else None,
        retrieved_at=stored.retrieved_at,
        parts=[
            normalise(
                _with_name(read_layer(layer, notes, source), layer.name, source), kind, layer.label, notes, source, role
            )
            for layer, kind in of_kind
        ],
        notes=notes,
    )


def _from_rest(settings: SourceSettings, progress: Progress, where: Choice | None) -> Fetched:
    layer, fires = read_rest_layer(settings.source, settings, progress, where=where)
    notes: list[str] = []
    source, role = settings.label_source, settings.role
    rows = _with_name(fires, layer.name, source)
    parts = [normalise(rows, "fire", f"layer {layer.name} of {layer.url}", notes, source, role)]
    prescribed_url = prescribed_layer_url(settings, layer.url)
    if prescribed_url:
        burns, rows = read_rest_layer(prescribed_url, settings, progress, where=where)
        rows = _with_name(rows, burns.name, source)
        parts.append(normalise(rows, "prescribed", f"layer {burns.name} of {burns.url}", notes, source, role))
    number = release_number(layer.name, source.layers.fires)
    return Fetched("rest", None, None, number, layer.name, prescribed_url, now(), parts, notes)


def _with_name(rows: gpd.GeoDataFrame, layer: str, source: LabelSource) -> gpd.GeoDataFrame:
    """A layer with its name as the field `layer`, where the source's file reads that."""
    is_read = any("layer" in field.names for field in source.fields.every().values())
    return rows.assign(layer=layer) if is_read else rows


def _info(settings: ReleaseSettings, fetched: list[Fetched], records: gpd.GeoDataFrame) -> ReleaseInfo:
    """Where the first source came from, and what all of them hold."""
    fires, first = records[records["kind"] == "fire"], fetched[0]
    by_year = fires["fire_year"].value_counts().sort_index()
    by_source = records["source"].value_counts().sort_index()
    set_aside = records.loc[records["kept_instead"].notna(), "source"].value_counts().sort_index()
    return ReleaseInfo(
        source=mask_address(settings.source),
        kind=first.kind,
        path=str(first.path) if first.path else None,
        sha256=first.sha256,
        format=settings.label_source.name,
        further={source.label_source.name: mask_address(source.source) for source in settings.further},
        records_by_source={str(name): int(count) for name, count in by_source.items()},
        set_aside_by_source={str(name): int(count) for name, count in set_aside.items()},
        release_number=first.release_number,
        fire_layer=first.fire_layer,
        prescribed_layer=first.prescribed_layer and mask_address(first.prescribed_layer),
        fires=len(fires),
        prescribed=int((records["kind"] == "prescribed").sum()),
        other=int((records["kind"] == "other").sum()),
        fires_by_year={int(year): int(count) for year, count in by_year.items()},
        undated=int(fires["fire_year"].isna().sum()),
        retrieved_at=first.retrieved_at,
        notes=tuple(note for one in fetched for note in one.notes),
    )
