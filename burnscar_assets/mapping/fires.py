"""Fires that are mapped and judged: which they are, and when their images may be from."""

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.classes import Split
from burnscar_assets.errors import InputError
from burnscar_assets.labels.dates import surely_over
from burnscar_assets.mapping.scenes import TimeSpan
from burnscar_assets.mapping.spec import MapTask
from burnscar_assets.network.masking import mask_address
from burnscar_assets.sampling.clusters import fire_clusters, fire_splits
from burnscar_assets.sampling.folds import ground_of
from burnscar_assets.section import Producer
from burnscar_assets.settings import Settings
from burnscar_assets.sources.load import load_source
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


def held_out_fires(settings: Settings, root: DataRoot, fire_year: int) -> gpd.GeoDataFrame:
    """Fires of a year on ground for testing, by fire_id; where fires are chosen for sampling, the chosen ones."""
    return judged_fires(settings, root, fire_year, [Split.TEST]).drop(columns=["split", "cluster_id"])


def judged_fires(settings: Settings, root: DataRoot, fire_year: int, splits: Sequence[str]) -> gpd.GeoDataFrame:
    """Fires of a year and of some splits, by fire_id, with split and cluster_id; the chosen ones, as held-out fires.

    Raises:
        MissingDataError: the year has no perimeters, or no windows where fires are chosen.
    """
    perimeters = read_table(root, FIRE_PERIMETERS, fire_year)
    clusters = fire_clusters(perimeters, settings.sampling)
    of_fire = fire_splits(perimeters, clusters, ground_of(settings.sampling.splits, root))
    fires = perimeters.assign(split=perimeters["fire_id"].map(of_fire), cluster_id=perimeters["fire_id"].map(clusters))
    fires = fires[fires["split"].isin([str(split) for split in splits])]
    if settings.sampling.max_fires_per_year is not None:
        chosen = set(read_table(root, WINDOWS, fire_year, columns=["fire_id"])["fire_id"].dropna())
        fires = fires[fires["fire_id"].isin(chosen)]
    return fires.sort_values("fire_id", kind="stable").reset_index(drop=True)


def task_of(fire: pd.Series, folder: Path, work: Path, settings: Settings, source: str | None = None) -> MapTask:
    """The map of a fire (a row of its perimeters in EPSG:4326), from imagery after it is surely over.

    Raises:
        SettingsError: the file of its label source is gone.
    """
    name = safe_name(str(fire["fire_id"]))
    over = surely_over(fire["containment_date"], fire["end_precision_days"])
    (first, last), (near, far) = settings.windows.days_after, settings.windows.days_before
    after = TimeSpan.of_days(over + timedelta(days=first), over + timedelta(days=last))
    before = None
    if pd.notna(fire["alarm_date"]):
        alarm = fire["alarm_date"]
        before = TimeSpan.of_days(alarm - timedelta(days=far), alarm - timedelta(days=near))
    return MapTask(
        name=name,
        title=str(fire["fire_name"] or name) if pd.notna(fire["fire_name"]) else name,
        folder=folder / name,
        work=work / name,
        area=shapely.to_wkt(fire["geometry"], rounding_precision=-1),
        buffer_m=settings.mapping.buffer_m,
        start=after.start,
        end=after.end,
        before_start=before.start if before else None,
        before_end=before.end if before else None,
        source=source or source_of(settings),
        fire_id=str(fire["fire_id"]),
        fire_year=int(fire["fire_year"]),
        simulated_perimeter=bool(fire["simulated"]),
        perimeter_producer=None if fire["simulated"] else _producer(str(fire["source"]), settings),
    )


def _producer(source: str, settings: Settings) -> Producer | None:
    """Who publishes the perimeters of a label source: one of the settings, or that of the season."""
    named = {one.name: one for one in (each.label_source for each in (settings.in_season, *settings.release.every))}
    return (named.get(source) or load_source(source)).producer


def safe_name(name: str) -> str:
    """A name for a folder, whatever a person calls it.

    Raises:
        InputError: nothing is left of it.
    """
    safe = _NOT_IN_NAMES.sub("_", name).strip("._")
    if not safe:
        raise InputError(f"{name!r} is no name for a folder: use letters and digits")
    return safe[:100]


def source_of(settings: Settings) -> str:
    """Where the perimeters of a world are from, for people."""
    name = Path(urlsplit(settings.release.source).path).name or mask_address(settings.release.source)
    return f"simulated perimeters, {name}" if settings.simulated_perimeters else f"official perimeters, {name}"
