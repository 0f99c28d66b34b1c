"""A person's corrections of labels as observed assets by fire year: a word makes stale what it touches alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import dagster as dg

from burnscar_assets.environment import corrections_file
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import Observed, record, years_of_release
from burnscar_assets.orchestration.stage import OWNERS
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.tables import read_table, table_path

CORRECTED_FIRES: Final = "corrected_fires"
CORRECTED_BURNS: Final = "corrected_burns"
FIRES_OUT: Final = "fires_out"
SOURCES: Final = {
    CORRECTED_FIRES: ("labels", "What a person says of the ground of a year's fires: outlines, islands, unsure parts."),
    CORRECTED_BURNS: ("labels", "The same of fires whose scars could still show in a year."),
    FIRES_OUT: ("model", "Fires of a year that a person took out of the scores."),
}
"""Group and description of each observed asset."""

NO_WORDS: Final = "none"
"""Version of a year that nobody says anything of."""


def build_correction_sources(world: World) -> list[dg.AssetSpec]:
    """The observed assets of a world."""
    return [
        dg.AssetSpec(name, group_name=group, owners=OWNERS, partitions_def=world.fire_years, description=description)
        for name, (group, description) in SOURCES.items()
    ]


def observe_corrections(world: World, instance: dg.DagsterInstance) -> list[str]:
    """Look at the file, and record the years of which it says something else; returns what is wrong with it."""
    path = corrections_file(world.root)
    try:
        versions = _versions(world, path)
    except BurnscarError as error:
        return [f"corrections were not looked at: {error}"]
    years = [int(year) for year in world.fire_years.get_partition_keys()]
    for name, version_of in versions.items():
        known = years_of_release(world, instance, name)
        for year in years:
            version = version_of(year) or NO_WORDS
            if known.get(year) != version:
                said = "no word" if version == NO_WORDS else f"words in {path.name}"
                record(instance, Pair(name, year), Observed(version, {"file": str(path)}), said)
    return []


def _versions(world: World, path: Path) -> dict[str, Callable[[int], str]]:
    """How each observed asset's version of a year is told; empty if nothing is said of it.

    Raises:
        InputError: the file says what can't be.
    """
    if not path.exists():  # as in most worlds, whose plans then import nothing that reads geometries
        return dict.fromkeys(SOURCES, lambda _year: "")
    from burnscar_assets.labels.corrections import read_corrections
    from burnscar_assets.labels.history import could_show

    words = read_corrections(path)
    said, settings = not words.of_ground.empty, world.settings.perimeters
    there = said and table_path(world.root, RELEASE_RECORDS, None).exists()
    records = read_table(world.root, RELEASE_RECORDS, None) if there else None

    def of_burns(year: int) -> str:
        shown = None if records is None else set(records.loc[could_show(records, year, settings), "record_id"])
        return words.ground_version(fires=shown)

    return {
        CORRECTED_FIRES: lambda year: words.ground_version(fire_year=year),
        CORRECTED_BURNS: of_burns,
        FIRES_OUT: words.out_version,
    }
