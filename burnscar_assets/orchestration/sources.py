"""What comes from outside, as observed assets: perimeters' sources, what they say of each year, files, catalogue.

Looking at a source is cheap and fetches nothing. What was seen is recorded as an observation with a data version, so
that Dagster, the plan and the sensors all know when the stage that reads a source is stale.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from burnscar_assets.catalog.searches import catalogue_version
from burnscar_assets.errors import BurnscarError
from burnscar_assets.labels.watch import SourceState, observe_source
from burnscar_assets.network.masking import mask_address
from burnscar_assets.orchestration.pairs import VERSION_TAG, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import CHANGES, OWNERS
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.hashing import hash_file, hash_json

RELEASE_SOURCE: Final = "release_source"
RELEASE_YEAR: Final = "release_year"
RELEASE_BURNS: Final = "release_burns"
SAMPLING_GROUND: Final = "sampling_ground"
LAND_COVER: Final = "land_cover"
IMAGERY_CATALOGUE: Final = "imagery_catalogue"
SEASON_YEAR: Final = "in_season_year"
STATE: Final = "burnscar/state"
MOST_SHOWN: Final = 24
NO_RECORDS: Final = "no records"
"""Data version of a fire year whose records have all gone from the release."""

BY_YEAR: Final = {
    RELEASE_YEAR: "The release's fires of a year, which become its labels; recorded when a release was read.",
    RELEASE_BURNS: "The release's burns that could still show in a fire year; recorded when a release was read.",
}
"""Description of what is observed of a release by fire year."""

SOURCES: Final = {
    RELEASE_SOURCE: ("labels", "What the server or the file says of the release's version, without fetching it."),
    SAMPLING_GROUND: ("sampling", "The files of land and of hard negatives that the settings name."),
    LAND_COVER: ("model", "The raster of land cover by which maps are scored, if the settings name one."),
    IMAGERY_CATALOGUE: ("imagery", "The index of the imagery; `live` for one that is searched over the network."),
}
"""Group and description of each observed source."""

_SEASON = (
    "What the season's source says of a year's fires, in sums: how many, how large, how far contained, edited when."
)


@dataclass(frozen=True)
class Observed:
    """What was seen of a source: its version, and facts for people."""

    version: str
    facts: Mapping[str, Any]


def observe(world: World, pair: Pair, known: Mapping[str, Any] | None = None, *, settle_s: float = 0.0) -> Observed:
    """Look at a source.

    Args:
        world: whose source.
        pair: the observed asset, of the season with its fire year.
        known: the facts that were seen last, which save reading a file that has not changed.
        settle_s: a release's file that was written less than so many seconds ago may still be being written.

    Raises:
        BurnscarError: the source is down, gone, or being written.
    """
    settings, root = world.settings, world.root
    before = SourceState.from_json(dict(known)) if known else None
    if pair.fire_year is not None:
        from burnscar_assets.labels.season_source import observe_season

        state = observe_season(settings.in_season, root, pair.fire_year, before)
        return Observed(state.version, state.to_json())
    if pair.asset == RELEASE_SOURCE:
        state = observe_source(settings.release, root, before, settle_s=settle_s)
        return Observed(state.version, state.to_json())
    if pair.asset in (SAMPLING_GROUND, LAND_COVER):
        ground = (settings.sampling.land, settings.sampling.hard_negatives)
        files = ground if pair.asset == SAMPLING_GROUND else (settings.evaluation.land_cover,)
        found = {name: hash_file(path) for name in files if name and (path := root.resolve(name)).is_file()}
        return Observed(hash_json(found)[:16], found)
    facts = {"archive": mask_address(settings.imagery.archive or "live")}
    return Observed(catalogue_version(settings.imagery, root)[:16], facts)


def record(instance: dg.DagsterInstance, pair: Pair, observed: Observed, changes: str = "") -> None:
    """Write an observation to the event log."""
    instance.report_runless_asset_event(observation(pair, observed, changes))


def observation(pair: Pair, observed: Observed, changes: str = "") -> dg.AssetObservation:
    """An observation as Dagster takes it."""
    return dg.AssetObservation(
        asset_key=pair.key,
        partition=pair.partition_key,
        tags={VERSION_TAG: observed.version},
        metadata=_metadata(observed) | {CHANGES: changes},
    )


def _metadata(observed: Observed) -> dict[str, Any]:
    return {
        STATE: dg.MetadataValue.json(dict(observed.facts)),
        "dagster/last_updated_timestamp": dg.MetadataValue.timestamp(datetime.now(UTC)),
    }


def latest(instance: dg.DagsterInstance, pair: Pair) -> Observed | None:
    """What was seen last of a source, or of a year of the release."""
    partitions = None if pair.partition_key is None else [pair.partition_key]
    chosen = dg.AssetRecordsFilter(asset_key=pair.key, asset_partitions=partitions)
    for found in instance.fetch_observations(chosen, limit=1).records:
        seen = found.asset_observation
        if seen is not None and seen.tags.get(VERSION_TAG):
            facts = seen.metadata.get(STATE)
            return Observed(seen.tags[VERSION_TAG], facts.value if facts else {})  # type: ignore[arg-type]
    return None


def looked_at(instance: dg.DagsterInstance, source: str) -> datetime | None:
    """When a source was looked at last, with success."""
    found = instance.fetch_observations(dg.AssetKey(source), limit=1).records
    return datetime.fromtimestamp(found[0].timestamp, UTC) if found else None


def look(world: World, instance: dg.DagsterInstance, pair: Pair) -> None:
    """Look at a source, and record what was seen if it differs from what was seen last.

    Raises:
        BurnscarError: the source is down, gone, being written, or something else.
    """
    before = latest(instance, pair)
    seen = observe(world, pair, before.facts if before else None)
    if before is None or before.version != seen.version:
        record(instance, pair, seen, _differences(before, seen))


def look_at_all(world: World, instance: dg.DagsterInstance, pairs: Iterable[Pair]) -> list[str]:
    """Look at sources and record those that changed; returns, in words, what couldn't be looked at."""
    problems = []
    for pair in pairs:
        try:
            look(world, instance, pair)
        except BurnscarError as error:
            problems.append(f"{pair} was not looked at: {error}")
    return problems


def _differences(before: Observed | None, now: Observed) -> str:
    """Which facts differ, in words; of what is long, like a hash, the start, and no sums of records."""
    if before is None:
        return "first seen"
    was, seen = (dict(facts.get("facts", facts)) for facts in (before.facts, now.facts))
    names = [name for name in sorted(was.keys() | seen.keys()) if was.get(name) != seen.get(name)]
    told = [name for name in names if not isinstance(seen.get(name, was.get(name)), dict)]
    said = [f"{name} {str(was.get(name))[:MOST_SHOWN]} → {str(seen.get(name))[:MOST_SHOWN]}" for name in told]
    return ", ".join(said) or "records were edited"


def years_of_release(world: World, instance: dg.DagsterInstance, what: str = RELEASE_YEAR) -> dict[int, str]:
    """The data version of each fire year that the release had records of when it was read last: of fires or burns."""
    return _versions(world, instance, what, dg.DagsterEventType.ASSET_OBSERVATION)


def made_versions(world: World, instance: dg.DagsterInstance, asset: str) -> dict[int, str]:
    """The data version of each fire year of an asset that was made."""
    return _versions(world, instance, asset, dg.DagsterEventType.ASSET_MATERIALIZATION)


def _versions(world: World, instance: dg.DagsterInstance, asset: str, event: dg.DagsterEventType) -> dict[int, str]:
    """The data version of each fire year of an asset, by the newest event of a type."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey.from_user_string(asset), event, [VERSION_TAG], world.fire_years.get_partition_keys()
    )
    return {int(year): found[VERSION_TAG] for year, found in sorted(tags.items())}


def open_years(world: World, instance: dg.DagsterInstance, now: datetime | None = None) -> list[int]:
    """The fire years that are looked at: those after the newest of the release, and the current one.

    A release may have the first fires of a year while the year lasts. Before a release was read it is the current
    year alone.
    """
    current = working_region().fire_year(now or datetime.now(UTC))
    released = [year for year, version in years_of_release(world, instance).items() if version != NO_RECORDS]
    newest = max(released, default=current - 1)
    years = map(int, world.fire_years.get_partition_keys())
    return [year for year in years if (year > newest and year <= current) or year == current]


def open_seasons(world: World, instance: dg.DagsterInstance) -> list[Pair]:
    """The seasons that are looked at; none in a world that follows none."""
    years = open_years(world, instance) if world.settings.in_season.enabled else []
    return [Pair(SEASON_YEAR, year) for year in years]


def seasons_seen(world: World, instance: dg.DagsterInstance) -> dict[int, str]:
    """The data version of each fire year that was ever looked at in the in-season source."""
    return years_of_release(world, instance, SEASON_YEAR) if world.settings.in_season.enabled else {}


def build_sources(world: World) -> list[dg.SourceAsset | dg.AssetSpec]:
    """The observed assets of a world."""
    by_year = [
        dg.AssetSpec(
            name,
            group_name="labels",
            owners=OWNERS,
            deps=["calfire_release"],
            partitions_def=world.fire_years,
            description=description,
        )
        for name, description in BY_YEAR.items()
    ]
    season = dg.AssetSpec(
        SEASON_YEAR,
        group_name="in_season",
        owners=OWNERS,
        partitions_def=world.fire_years,
        description=_SEASON,
    )
    follows = [season] if world.settings.in_season.enabled else []
    return [*(_source(world, name) for name in SOURCES), *by_year, *follows]


def _source(world: World, name: str) -> dg.SourceAsset:
    group, description = SOURCES[name]

    def look(context: dg.AssetExecutionContext) -> dg.ObserveResult:
        before = latest(context.instance, Pair(name, None))
        seen = observe(world, Pair(name, None), before.facts if before else None)
        return dg.ObserveResult(data_version=dg.DataVersion(seen.version), metadata=_metadata(seen))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.observable_source_asset(name=name, group_name=group, description=description)(look)
