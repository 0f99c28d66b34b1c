"""Assets of the in-season group: the agencies' records of a year, and the contained fires that are mapped."""

from functools import partial

import dagster as dg

from burnscar_assets.errors import SuspiciousReleaseError
from burnscar_assets.network.masking import mask_address
from burnscar_assets.orchestration.assets.labels import ACCEPT
from burnscar_assets.orchestration.in_season import PERIMETERS, RECORDS, SEASON_YEAR
from burnscar_assets.orchestration.metadata import figures
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import StageRun, stage
from burnscar_assets.storage.changes import read_if_whole
from burnscar_assets.storage.contracts import (
    FIRE_PERIMETERS,
    IN_SEASON_BURNS,
    IN_SEASON_PERIMETERS,
    IN_SEASON_RECORDS,
    IN_SEASON_REJECTS,
    RELEASE_RECORDS,
)
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import read_table


def build_in_season_assets(world: World) -> list[dg.AssetsDefinition]:
    """The assets of a world that follows an in-season source."""
    return [_records(world), _perimeters(world)] if world.settings.in_season.enabled else []


def _records(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings

    @stage(
        world,
        RECORDS,
        group="in_season",
        kinds={"geoparquet"},
        deps=[SEASON_YEAR],
        config_schema={
            ACCEPT: dg.Field(bool, default_value=False, description="Take the records even if they look wrong.")
        },
        description="The interagency perimeters (WFIGS) of a year's fires, fetched; geometry as delivered.",
    )
    def in_season_records(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.labels.plausibility import find_lost_fires
        from burnscar_assets.labels.plots import plot_season
        from burnscar_assets.labels.wfigs import read_season

        notes: list[str] = []
        records = read_season(settings.in_season, run.year, run.progress, notes)
        for note in notes:
            run.context.log.warning(note)
        before = read_if_whole(root, IN_SEASON_RECORDS, run.year)
        suspicions = [] if before is None else find_lost_fires(before, records)
        if suspicions and not run.context.op_execution_context.op_config[ACCEPT]:
            raise SuspiciousReleaseError(
                f"the in-season source looks wrong, so nothing was made from it: {'; '.join(suspicions)}. If it is "
                f"right, run burnscar refresh --accept-release, or materialize {RECORDS} with {ACCEPT}: true"
            )
        title = f"In-season records {run.year} (WFIGS)"
        found = {"burnscar/source": mask_address(settings.in_season.source), "burnscar/records": len(records)}
        found |= {"burnscar/notes": dg.MetadataValue.json(notes)} if notes else {}
        return run.store(IN_SEASON_RECORDS, records, found, partial(plot_season, records, title=title))

    return in_season_records


def _perimeters(world: World) -> dg.AssetsDefinition:
    root, settings = world.root, world.settings

    @stage(
        world,
        PERIMETERS,
        group="in_season",
        kinds={"geoparquet", "geopandas"},
        deps=[RECORDS, "fire_perimeters", "calfire_release"],  # the release for older scars
        description="Contained fires that the release doesn't have yet: for mapping, never for training; with all that "
        "burned and may show on their maps.",
    )
    def in_season_perimeters(run: StageRun) -> dg.MaterializeResult:
        from burnscar_assets.labels.in_season import clean_in_season, season_burns
        from burnscar_assets.labels.plots import plot_perimeters
        from burnscar_assets.sampling.land import load_land

        records = read_table(root, IN_SEASON_RECORDS, run.year)
        labels = read_if_whole(root, FIRE_PERIMETERS, run.year)
        labels = FIRE_PERIMETERS.empty() if labels is None else labels
        cleaned = clean_in_season(records, labels, run.year, settings.in_season, settings.perimeters)
        title = f"In-season perimeters {run.year} (WFIGS)"
        preview = partial(plot_perimeters, cleaned.perimeters, cleaned.rejects, title=title, land=load_land(None))
        release = read_if_whole(root, RELEASE_RECORDS, None)
        release = RELEASE_RECORDS.empty() if release is None else release
        burns = season_burns(records, release, run.year, settings.perimeters)
        beside = {IN_SEASON_REJECTS: cleaned.rejects, IN_SEASON_BURNS: burns}
        version = hash_json(
            [IN_SEASON_PERIMETERS.content_hash(cleaned.perimeters), IN_SEASON_BURNS.content_hash(burns)]
        )
        found = figures(cleaned.summary) | {"burnscar/burns": len(burns)}
        return run.store(IN_SEASON_PERIMETERS, cleaned.perimeters, found, preview, beside, version=version)

    return in_season_perimeters
