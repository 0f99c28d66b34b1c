"""Stages of the labels group: the release, the clean perimeters, and every burn that could still show."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from burnscar_assets.environment import corrections_file
from burnscar_assets.errors import MissingDataError, SuspiciousReleaseError
from burnscar_assets.network.masking import mask_address
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import (
    NO_RECORDS,
    RELEASE_BURNS,
    RELEASE_YEAR,
    Observed,
    observation,
    years_of_release,
)
from burnscar_assets.orchestration.stage import ACCEPT, StageRun
from burnscar_assets.storage.changes import read_if_whole
from burnscar_assets.storage.contracts import BURN_HISTORY, FIRE_PERIMETER_REJECTS, FIRE_PERIMETERS, RELEASE_RECORDS
from burnscar_assets.storage.tables import read_table

if TYPE_CHECKING:
    from burnscar_assets.labels.release import Release


def calfire_release(run: StageRun) -> dg.MaterializeResult:
    """The release of fire perimeters: fetched or read, brought to one schema, geometry as delivered."""
    from burnscar_assets.labels.plausibility import find_suspicions
    from burnscar_assets.labels.plots import plot_release
    from burnscar_assets.labels.release import fetch_release

    root, settings = run.root, run.settings
    if settings.simulated_perimeters and not root.resolve(settings.release.source).exists():
        raise MissingDataError(f"the simulated archive is not in {root.simulated} yet: run burnscar demo")
    release = fetch_release(settings.release, root, run.progress, settings.perimeters)
    for note in release.info.notes:
        run.context.log.warning(note)
    before = read_if_whole(root, RELEASE_RECORDS, None)
    suspicions = find_suspicions(RELEASE_RECORDS.empty() if before is None else before, release.records)
    if suspicions and not run.accepts:
        raise SuspiciousReleaseError(
            f"the release looks wrong, so nothing was made from it: {'; '.join(suspicions)}. If it is right, "
            f"run burnscar refresh --accept-release, or materialize calfire_release with {ACCEPT}: true"
        )
    preview = partial(
        plot_release, release.records, title="Records of the release", simulated=settings.simulated_perimeters
    )
    result = run.store(RELEASE_RECORDS, release.records, figures(release.info), preview)
    for seen in _changed_years(run.world, run.context.instance, before, release):
        run.context.log_event(seen)
    return result


def _changed_years(
    world: World, instance: dg.DagsterInstance, before: pd.DataFrame | None, release: "Release"
) -> Iterator[dg.AssetObservation]:
    """An observation of the fires, and of the burns, of each fire year where they differ from the release before."""
    from burnscar_assets.labels.release_changes import YearVersion, changed_years, release_versions

    years = [int(key) for key in world.fire_years.get_partition_keys()]
    versions = release_versions(release.records, years, world.settings.perimeters)
    changes = {} if before is None else changed_years(before, release.records)
    elsewhere = ", ".join(f"{change} in {year}" for year, change in changes.items()) or "other burns changed"
    facts = {"source": release.info.source, "sha256": release.info.sha256}
    for what, field in ((RELEASE_YEAR, "fires"), (RELEASE_BURNS, "burns")):
        known = years_of_release(world, instance, what)
        for year in sorted(versions.keys() | known.keys()):
            version = getattr(versions.get(year, YearVersion(NO_RECORDS, NO_RECORDS)), field)
            if known.get(year) != version:
                said = "first seen" if year not in known else str(changes.get(year, elsewhere))
                yield observation(Pair(what, year), Observed(version, facts), said)


def fire_perimeters(run: StageRun) -> dg.MaterializeResult:
    """Perimeters good enough to be labels: repaired, area recomputed, flagged; rejects have reasons."""
    from burnscar_assets.labels.corrections import OF_GROUND, read_corrections, wildfire_ids
    from burnscar_assets.labels.perimeters import clean_perimeters
    from burnscar_assets.labels.plots import plot_perimeters
    from burnscar_assets.sampling.land import load_land

    root, settings = run.root, run.settings
    records = read_table(root, RELEASE_RECORDS, None)
    words = read_corrections(corrections_file(root))
    words.check_fires(wildfire_ids(records, run.year), run.year, OF_GROUND)
    records = words.applied_to(records)
    cleaned = clean_perimeters(
        records,
        run.year,
        settings.perimeters,
        simulated=settings.simulated_perimeters,
        wider=settings.release.wider,
    )
    title = f"Fire perimeters {run.year}"
    preview = partial(plot_perimeters, cleaned.perimeters, cleaned.rejects, title=title, land=load_land(None))
    rejects = {FIRE_PERIMETER_REJECTS: cleaned.rejects}
    sources = ", ".join(mask_address(one.source) for one in settings.release.every)
    found = {"burnscar/source": sources} | figures(cleaned.summary)
    return run.store(FIRE_PERIMETERS, cleaned.perimeters, found, preview, rejects)


def burn_history(run: StageRun) -> dg.MaterializeResult:
    """Every fire and prescribed burn whose scar could still show in the year; negatives keep off it."""
    from burnscar_assets.labels.corrections import read_corrections
    from burnscar_assets.labels.history import burn_history as known_burns
    from burnscar_assets.labels.plots import plot_history
    from burnscar_assets.sampling.land import load_land

    root, settings = run.root, run.settings
    records = read_corrections(corrections_file(root)).applied_to(read_table(root, RELEASE_RECORDS, None))
    history = known_burns(records, run.year, settings.perimeters)
    burns = history.burns
    title, simulated = f"Burns that could still show in {run.year}", settings.simulated_perimeters
    preview = partial(plot_history, burns, title=title, simulated=simulated, land=load_land(None))
    doubts = {"burnscar/hulls": history.hulls, "burnscar/left_out": history.left_out}
    found = {"burnscar/area_ha": float(burns.area.sum() / 1e4)} | {name: why for name, why in doubts.items() if why}
    return run.store(BURN_HISTORY, burns, found, preview)
