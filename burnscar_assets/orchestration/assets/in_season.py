"""Stages of the in-season group: the agencies' records of a year, the contained fires, and their maps."""

from functools import partial

import dagster as dg

from burnscar_assets.dataset.config import write_dataset_config
from burnscar_assets.errors import SuspiciousReleaseError
from burnscar_assets.network.masking import mask_address
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import SEASON_LOOK_BACK_YEARS
from burnscar_assets.orchestration.processes import run_process, steps_to
from burnscar_assets.orchestration.stage import ACCEPT, StageRun
from burnscar_assets.storage.changes import read_if_whole, table_changes
from burnscar_assets.storage.contracts import (
    FIRE_PERIMETERS,
    IN_SEASON_BURNS,
    IN_SEASON_MAPS,
    IN_SEASON_PERIMETERS,
    IN_SEASON_RECORDS,
    IN_SEASON_REJECTS,
    RELEASE_RECORDS,
)
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import read_table


def in_season_records(run: StageRun) -> dg.MaterializeResult:
    """What the season's source has of a year's fires, fetched; geometry as delivered."""
    from burnscar_assets.labels.plausibility import find_lost_fires
    from burnscar_assets.labels.plots import plot_season
    from burnscar_assets.labels.season_source import read_season

    root, settings = run.root, run.settings
    notes: list[str] = []
    records = read_season(settings.in_season, root, run.year, run.progress, notes)
    for note in notes:
        run.context.log.warning(note)
    before = read_if_whole(root, IN_SEASON_RECORDS, run.year)
    suspicions = [] if before is None else find_lost_fires(before, records)
    if suspicions and not run.accepts:
        raise SuspiciousReleaseError(
            f"the in-season source looks wrong, so nothing was made from it: {'; '.join(suspicions)}. If it is "
            f"right, run burnscar refresh --accept-release, or materialize in_season_records with {ACCEPT}: true"
        )
    title = f"In-season records {run.year} ({settings.in_season.label_source.title})"
    found = {"burnscar/source": mask_address(settings.in_season.source), "burnscar/records": len(records)}
    found |= {"burnscar/notes": dg.MetadataValue.json(notes)} if notes else {}
    return run.store(IN_SEASON_RECORDS, records, found, partial(plot_season, records, title=title))


def in_season_perimeters(run: StageRun) -> dg.MaterializeResult:
    """Contained fires that the release doesn't have yet: for mapping, never for training.

    With all that burned and may show on their maps.
    """
    from burnscar_assets.labels.in_season import clean_in_season, season_burns
    from burnscar_assets.labels.plots import plot_perimeters
    from burnscar_assets.sampling.land import load_land

    root, settings = run.root, run.settings
    records = read_table(root, IN_SEASON_RECORDS, run.year)
    labels = read_if_whole(root, FIRE_PERIMETERS, run.year)
    labels = FIRE_PERIMETERS.empty() if labels is None else labels
    cleaned = clean_in_season(records, labels, run.year, settings.in_season, settings.perimeters)
    title = f"In-season perimeters {run.year} ({settings.in_season.label_source.title})"
    preview = partial(plot_perimeters, cleaned.perimeters, cleaned.rejects, title=title, land=load_land(None))
    release = read_if_whole(root, RELEASE_RECORDS, None)
    release = RELEASE_RECORDS.empty() if release is None else release
    burns = season_burns(records, release, run.year, settings.perimeters)
    beside = {IN_SEASON_REJECTS: cleaned.rejects, IN_SEASON_BURNS: burns}
    version = hash_json([IN_SEASON_PERIMETERS.content_hash(cleaned.perimeters), IN_SEASON_BURNS.content_hash(burns)])
    found = figures(cleaned.summary) | {"burnscar/burns": len(burns)}
    return run.store(IN_SEASON_PERIMETERS, cleaned.perimeters, found, preview, beside, version=version)


def in_season_maps(run: StageRun) -> dg.MaterializeResult:
    """A map of each contained fire that the release doesn't have yet.

    By the newest checkpoint of an earlier fire year, which has not seen it.
    """
    from burnscar_assets.publish.plots import plot_maps
    from burnscar_assets.publish.season import plan_season

    year, root, settings, seen = run.year, run.root, run.settings, run.world.mapped
    write_dataset_config(settings.imagery, root)
    before = read_if_whole(root, IN_SEASON_MAPS, year)
    spec = plan_season(seen.settings, seen.root, year, SEASON_LOOK_BACK_YEARS)
    path = spec.write(root.spec("season-maps", year))
    run_process(run.context, run.world, "burnscar_assets.publish.season", path, steps_to(run.progress))
    maps = read_table(root, IN_SEASON_MAPS, year)
    preview = partial(plot_maps, maps, title=f"In-season maps {year}", simulated=settings.simulated_imagery)
    metadata = {
        "burnscar/index": dg.MetadataValue.path(root.season_maps(year) / "index.html"),
        "burnscar/checkpoint_year": spec.checkpoint_year,
        "burnscar/maps": int(maps["complete"].sum()),
        "burnscar/without_imagery": int((~maps["complete"].astype(bool)).sum()),
    }
    return run.table_result(IN_SEASON_MAPS, maps, table_changes(IN_SEASON_MAPS, before, maps), metadata, preview)
