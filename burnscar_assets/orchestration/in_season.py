"""The in-season source as an observed asset by fire year: which years are looked at, and what was seen of them."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import NO_RECORDS, VERSION_TAG, Observed, latest, record, years_of_release
from burnscar_assets.orchestration.stage import OWNERS
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.regions.load import working_region

SEASON_YEAR: Final = "in_season_year"
RECORDS: Final = "in_season_records"
PERIMETERS: Final = "in_season_perimeters"
MAPS: Final = "in_season_maps"
ASSETS: Final = tuple(name for name, spec in STAGES.items() if spec.group == "in_season")


def build_in_season_source(world: World) -> list[dg.AssetSpec]:
    """The observed asset of a world that follows an in-season source."""
    if not world.settings.in_season.enabled:
        return []
    description = "What WFIGS says of a year's fires, in sums: how many, how large, how far contained, edited when."
    return [
        dg.AssetSpec(
            SEASON_YEAR,
            group_name="in_season",
            owners=OWNERS,
            partitions_def=world.fire_years,
            description=description,
        )
    ]


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


def seasons_seen(world: World, instance: dg.DagsterInstance) -> dict[int, str]:
    """The data version of each fire year that was ever looked at in the in-season source."""
    return years_of_release(world, instance, SEASON_YEAR) if world.settings.in_season.enabled else {}


def made_versions(world: World, instance: dg.DagsterInstance, asset: str) -> dict[int, str]:
    """The data version of each fire year of an asset that was made."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey.from_user_string(asset),
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        [VERSION_TAG],
        world.fire_years.get_partition_keys(),
    )
    return {int(year): found[VERSION_TAG] for year, found in sorted(tags.items())}


def observe_season(world: World, instance: dg.DagsterInstance, fire_year: int) -> None:
    """Look at a fire year, and record what was seen if it differs from what was seen last.

    Raises:
        BurnscarError: the source is down, gone, something else, or being loaded anew.
    """
    from burnscar_assets.labels.season_watch import look_at_season

    pair = Pair(SEASON_YEAR, fire_year)
    before = latest(instance, pair)
    had_records = 0 if before is None else int(before.facts.get("records", 0))
    state = look_at_season(world.settings.in_season, fire_year, had_records=had_records)
    if before is None or before.version != state.version:
        said = f"{state.records} records" if before is None else _difference(before, state.records)
        record(instance, pair, Observed(state.version, asdict(state)), said)


def observe_seasons(world: World, instance: dg.DagsterInstance) -> list[str]:
    """Look at all years that are looked at; returns, in words, what couldn't be looked at."""
    problems = []
    for year in open_years(world, instance) if world.settings.in_season.enabled else ():
        try:
            observe_season(world, instance, year)
        except BurnscarError as error:
            problems.append(f"{SEASON_YEAR} {year} was not looked at: {error}")
    return problems


def _difference(before: Observed, records: int) -> str:
    had = int(before.facts.get("records", 0))
    return "records were edited" if had == records else f"{had} → {records} records"
