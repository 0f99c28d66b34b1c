"""Decides, from tables and settings alone, which maps a fire year gets, or what an area of interest asks for."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.classes import Split
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.environment import config_file
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.evaluation.champion_record import FOLDER as CHAMPION
from burnscar_assets.evaluation.champion_record import champion_folder, serving
from burnscar_assets.mapping.fires import held_out_fires, judged_fires, safe_name, task_of
from burnscar_assets.mapping.scenes import TimeSpan
from burnscar_assets.mapping.spec import MapSpec, MapTask
from burnscar_assets.models.manifest import MANIFEST_FILE, load_manifest
from burnscar_assets.publish.aoi import Aoi
from burnscar_assets.regions.load import working_region
from burnscar_assets.settings import Settings
from burnscar_assets.setups import OWN
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot


def plan_year(settings: Settings, root: DataRoot, fire_year: int, setup: str = OWN) -> MapSpec:
    """The maps of a fire year: one for each fire that its checkpoint was not trained on.

    In a world with folds, of each fire of all years, by the checkpoint of its fold.

    Raises:
        MissingDataError: the year has no perimeters, windows or checkpoint.
    """
    common, title = common_of(settings, root, fire_year, setup), f"Burned area, fire year {fire_year}"
    home = home_of(settings, root, setup)
    folder, work = home.maps(fire_year), home.map_work(fire_year)
    fold_of: dict[str, int] = {}
    if members := settings.sampling.splits.members:
        years = load_manifest(champion_folder(root.fold(0), fire_year)).fire_years
        judged = [judged_fires(settings, root, year, settings.sampling.splits.judged) for year in years]
        fires = gpd.GeoDataFrame(pd.concat(judged, ignore_index=True))
        numbers = {name: fold.number for fold in members for name in fold.splits(Split.TEST)}
        fold_of = dict(zip(fires["fire_id"].astype(str), fires["split"].map(numbers).astype(int), strict=True))
        title = (
            f"Burned area, fire years {years[0]} to {years[-1]}, {len(members)} folds by ground at least "
            f"{settings.sampling.splits.fold_gap_km:g} km apart, no walk-forward"
        )
    else:
        fires = held_out_fires(settings, root, fire_year)
    tasks = [task_of(fire, folder, work, settings) for _, fire in fires.to_crs(GEOGRAPHIC_CRS).iterrows()]
    return MapSpec(
        **common,
        fire_year=fire_year,
        reference=reference_of(settings),
        tasks=tuple(tasks),
        fold_of=fold_of,
        title=title,
        pages=folder,
    )


@dataclass(frozen=True)
class AoiRequest:
    """What a person asks of the map of an area of interest.

    Attributes:
        aoi: the area.
        days: first and last day that imagery may be from.
        before: the same of an image before the fire, for severity; without them there is none.
        year: fire year of the checkpoint; without one, the newest that has a checkpoint and is not after the days.
        setup: name of the set-up.
        name: of the map's folder; without one, the area's and the days.
        out: folder to put it in, below `aoi`; without one, among the maps of the world.
        reference: vector file of points that a person drew on this map; samples of fires' maps tell nothing of it.
        yes: whether it may keep the model busy for long.
    """

    aoi: Aoi
    days: tuple[datetime, datetime]
    before: tuple[datetime, datetime] | None = None
    year: int | None = None
    setup: str = OWN
    name: str | None = None
    out: Path | None = None
    reference: Path | None = None
    yes: bool = False


def plan_aoi(settings: Settings, root: DataRoot, request: AoiRequest) -> MapSpec:
    """The map of an area of interest, by the settings and below the root of the world, or of a set-up.

    Raises:
        InputError: days are in the wrong order.
        MissingDataError: there is no checkpoint.
    """
    aoi, (first, last), year = request.aoi, request.days, request.year
    if last < first:
        raise InputError(f"--end {last:%Y-%m-%d} is before --start {first:%Y-%m-%d}: give the first day, then the last")
    span = TimeSpan.of_days(first, last)
    earlier = None if request.before is None else _span_before(request.before, first)
    chosen = _checkpoint_year(root, working_region().fire_year(first)) if year is None else year
    folder_name = safe_name(request.name or f"{aoi.name}-{first:%Y%m%d}-{last:%Y%m%d}")
    home = home_of(settings, root, request.setup)
    place = home.maps(None) if request.out is None else request.out / home.maps(None).name
    task = MapTask(
        name=folder_name,
        title=request.name or aoi.name,
        folder=place / folder_name,
        work=home.map_work(None) / folder_name,
        area=shapely.to_wkt(aoi.geometry, rounding_precision=-1),
        start=span.start,
        end=span.end,
        before_start=earlier.start if earlier else None,
        before_end=earlier.end if earlier else None,
        source=f"area of interest, {aoi.origin}",
    )
    return MapSpec(
        **common_of(settings, root, chosen, request.setup),
        tasks=(task,),
        reference=None if request.reference is None else request.reference.resolve(),
        title="Burned area, areas of interest",
        pages=place,
        may_take_long=request.yes,
    )


def _span_before(days: tuple[datetime, datetime], after: datetime) -> TimeSpan:
    first, last = days
    if not first <= last < after:
        raise InputError(
            f"the image before the fire must be from before {after:%Y-%m-%d}, not from {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}: give its first day, then its last"
        )
    return TimeSpan.of_days(first, last)


def reference_of(settings: Settings) -> Path | None:
    """The sample that a person drew on the maps of a world's fires, if there is one.

    Raises:
        SettingsError: the file is not there.
    """
    given = settings.mapping.reference
    return None if given is None else config_file(given).resolve()


def home_of(settings: Settings, root: DataRoot, setup: str) -> DataRoot:
    """Where maps by a set-up go: of the one that maps fires to the world's own, of others beside their checkpoints."""
    return DataRoot(root.path) if setup == settings.mapping.setup else root


def common_of(settings: Settings, root: DataRoot, checkpoint_year: int, setup: str) -> dict[str, Any]:
    """What every specification of maps by a checkpoint, or by those of folds, says."""
    roots = [root.fold(fold.number) for fold in settings.sampling.splits.members] or [root]
    for one in roots:
        serving(one, checkpoint_year)
    manifests = [load_manifest(champion_folder(one, checkpoint_year)) for one in roots]
    weights = [manifest.weights_sha256 for manifest in manifests]
    return {
        "root": root.path,
        "part": root.part,
        "setup": setup,
        "checkpoint_year": checkpoint_year,
        "sensor": settings.sensor,
        "imagery": settings.imagery,
        "settings": settings.mapping,
        "classes": settings.training.classes,
        "size_px": settings.windows.size_px,
        "resolution_m": settings.windows.resolution_m,
        "confidence": settings.evaluation.confidence,
        "accelerator": settings.training.accelerator,
        "simulated": settings.simulated_imagery,
        "data_versions": {
            "checkpoint": weights[0] if len(weights) == 1 else hash_json(weights),
            **manifests[0].data_versions,
        },
    }


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
