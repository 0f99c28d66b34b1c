"""Decides, from tables and settings alone, which maps a fire year gets, or what an area of interest asks for."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.classes import Split
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.environment import config_file
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.evaluation.champion_record import FOLDER as CHAMPION
from burnscar_assets.evaluation.champion_record import champion_folder, serving
from burnscar_assets.mapping.aoi import Aoi
from burnscar_assets.mapping.scenes import TimeSpan
from burnscar_assets.mapping.spec import MapSpec, MapTask
from burnscar_assets.network.masking import mask_address
from burnscar_assets.sampling.clusters import fire_clusters, fire_splits
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import Settings
from burnscar_assets.setups import OWN
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets.training.manifest import MANIFEST_FILE, load_manifest

DEVICES: Final = {"cpu": "cpu", "gpu": "cuda", "auto": "auto"}
"""Where a model runs, by `training.accelerator`."""

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


def plan_year(settings: Settings, root: DataRoot, fire_year: int, setup: str = OWN) -> MapSpec:
    """The maps of a fire year: one for each fire that its checkpoint was not trained on.

    Args:
        settings: of the world, or of a set-up.
        root: with the set-up's part.
        fire_year: the year.
        setup: name of the set-up.

    Raises:
        MissingDataError: the year has no perimeters, windows or checkpoint.
    """
    fires = held_out_fires(settings, root, fire_year)
    folder, work = root.maps(fire_year), root.map_work(fire_year)
    tasks = [task_of(fire, folder, work, settings) for _, fire in fires.to_crs(GEOGRAPHIC_CRS).iterrows()]
    return MapSpec(
        **common_of(settings, root, fire_year, setup),
        fire_year=fire_year,
        reference=reference_of(settings),
        tasks=tuple(tasks),
        title=f"Burned area, fire year {fire_year}",
        pages=folder,
    )


def held_out_fires(settings: Settings, root: DataRoot, fire_year: int) -> gpd.GeoDataFrame:
    """Fires of a year on ground for testing, by fire_id; where fires are chosen for sampling, the chosen ones."""
    return judged_fires(settings, root, fire_year, [Split.TEST]).drop(columns=["split", "cluster_id"])


def judged_fires(settings: Settings, root: DataRoot, fire_year: int, splits: Sequence[Split]) -> gpd.GeoDataFrame:
    """Fires of a year and of some splits, by fire_id, with split and cluster_id; the chosen ones, as held-out fires.

    Raises:
        MissingDataError: the year has no perimeters, or no windows where fires are chosen.
    """
    perimeters = read_table(root, FIRE_PERIMETERS, fire_year)
    clusters = fire_clusters(perimeters, settings.sampling)
    of_fire = fire_splits(perimeters, clusters, SplitMap(settings.sampling.splits))
    fires = perimeters.assign(split=perimeters["fire_id"].map(of_fire), cluster_id=perimeters["fire_id"].map(clusters))
    fires = fires[fires["split"].isin([split.value for split in splits])]
    if settings.sampling.max_fires_per_year is not None:
        chosen = set(read_table(root, WINDOWS, fire_year, columns=["fire_id"])["fire_id"].dropna())
        fires = fires[fires["fire_id"].isin(chosen)]
    return fires.sort_values("fire_id", kind="stable").reset_index(drop=True)


def plan_aoi(
    settings: Settings,
    root: DataRoot,
    aoi: Aoi,
    days: tuple[datetime, datetime],
    *,
    before: tuple[datetime, datetime] | None = None,
    year: int | None = None,
    setup: str = OWN,
    name: str | None = None,
    out: Path | None = None,
    source: str | None = None,
    reference: Path | None = None,
    yes: bool = False,
) -> MapSpec:
    """The map of an area of interest.

    Args:
        settings: of the world, or of a set-up.
        root: with the set-up's part.
        aoi: the area.
        days: first and last day that imagery may be from.
        before: the same of an image before the fire, for severity; without them there is none.
        year: fire year of the checkpoint; without one, the newest that has a checkpoint and is not after the days.
        setup: name of the set-up.
        name: of the map's folder; without one, the area's and the days.
        out: folder to put it in, below `aoi`; without one, among the maps of the world.
        source: where the area is from; without one, the area's own word.
        reference: vector file of points that a person drew on this map; samples of fires' maps tell nothing of it.
        yes: whether it may keep the model busy for long.

    Raises:
        InputError: days are in the wrong order.
        MissingDataError: there is no checkpoint.
    """
    first, last = days
    if last < first:
        raise InputError(f"--end {last:%Y-%m-%d} is before --start {first:%Y-%m-%d}: give the first day, then the last")
    span = TimeSpan.of_days(first, last)
    earlier = None if before is None else _span_before(before, first)
    chosen = _checkpoint_year(root, first.year) if year is None else year
    folder_name = safe_name(name or f"{aoi.name}-{first:%Y%m%d}-{last:%Y%m%d}")
    place = root.maps(None) if out is None else out / root.maps(None).name
    task = MapTask(
        name=folder_name,
        title=name or aoi.name,
        folder=place / folder_name,
        work=root.map_work(None) / folder_name,
        area=shapely.to_wkt(aoi.geometry, rounding_precision=-1),
        start=span.start,
        end=span.end,
        before_start=earlier.start if earlier else None,
        before_end=earlier.end if earlier else None,
        source=source or f"area of interest, {aoi.origin}",
    )
    return MapSpec(
        **common_of(settings, root, chosen, setup),
        tasks=(task,),
        reference=None if reference is None else reference.resolve(),
        title="Burned area, areas of interest",
        pages=place,
        may_take_long=yes,
    )


def _span_before(days: tuple[datetime, datetime], after: datetime) -> TimeSpan:
    first, last = days
    if not first <= last < after:
        raise InputError(
            f"the image before the fire must be from before {after:%Y-%m-%d}, not from {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}: give its first day, then its last"
        )
    return TimeSpan.of_days(first, last)


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


def reference_of(settings: Settings) -> Path | None:
    """The sample that a person drew on the maps of a world's fires, if there is one.

    Raises:
        SettingsError: the file is not there.
    """
    given = settings.mapping.reference
    return None if given is None else config_file(given).resolve()


def common_of(settings: Settings, root: DataRoot, checkpoint_year: int, setup: str) -> dict[str, Any]:
    """What every specification of maps by a checkpoint says."""
    serving(root, checkpoint_year)
    manifest = load_manifest(champion_folder(root, checkpoint_year))
    return {
        "root": root.path,
        "part": root.part,
        "setup": setup,
        "checkpoint_year": checkpoint_year,
        "imagery": settings.imagery,
        "settings": settings.mapping,
        "classes": settings.training.classes,
        "size_px": settings.windows.size_px,
        "resolution_m": settings.windows.resolution_m,
        "confidence": settings.evaluation.confidence,
        "device": DEVICES[settings.training.accelerator],
        "simulated": settings.simulated_imagery,
        "data_versions": {"checkpoint": manifest.weights_sha256, **manifest.data_versions},
    }


def task_of(fire: pd.Series, folder: Path, work: Path, settings: Settings, source: str | None = None) -> MapTask:
    """The map of a fire (a row of its perimeters in EPSG:4326), from imagery after its containment."""
    name = safe_name(str(fire["fire_id"]))
    contained = fire["containment_date"]
    (first, last), (near, far) = settings.windows.days_after, settings.windows.days_before
    after = TimeSpan.of_days(contained + timedelta(days=first), contained + timedelta(days=last))
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
    )


def _checkpoint_year(root: DataRoot, until: int) -> int:
    """The newest fire year with a champion, of those before the imagery's if there is one."""
    folder = root.evaluation(until).parent
    found = folder.glob(f"fire_year=*/{CHAMPION}/{MANIFEST_FILE}")
    years = sorted(int(path.parents[1].name.rpartition("=")[2]) for path in found)
    if not years:
        raise MissingDataError(
            f"no checkpoint that was evaluated in {folder}: run burnscar refresh, or name a set-up that has one"
        )
    earlier = [year for year in years if year < until] or [year for year in years if year <= until]
    return earlier[-1] if earlier else years[0]
