"""`python -m burnscar_assets.publish.season spec.json`: maps of fires that the release doesn't have yet.

They are made by the champion of the newest earlier fire year that has one, which cannot have seen them, and lie apart
from the release's maps. Maps of fires that are no longer of the season, as the release has them now, are removed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import Field

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import MissingDataError
from burnscar_assets.evaluation.champion_record import champion_folder, champion_manifest
from burnscar_assets.mapping.fires import task_of
from burnscar_assets.mapping.spec import MapSpec
from burnscar_assets.models.manifest import MANIFEST_FILE
from burnscar_assets.process import Report, run_stage, step_reports
from burnscar_assets.progress import Progress, silent
from burnscar_assets.publish.mapper import MapSummary, make_maps, map_row, remove_others, write_map_table
from burnscar_assets.publish.pages.site import write_pages
from burnscar_assets.publish.plan import common_of, home_of, reference_of
from burnscar_assets.settings import Settings
from burnscar_assets.storage.contracts import IN_SEASON_MAPS, IN_SEASON_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table


class SeasonSpec(MapSpec):
    """Everything that the process needs, wherever it runs."""

    season: int = Field(description="Fire year whose in-season maps these are.")
    pages: Path = Field(description="Folder of the maps.")


def plan_season(settings: Settings, root: DataRoot, fire_year: int, look_back_years: int) -> SeasonSpec:
    """The maps of a season: one for each contained fire.

    Settings and root are as the set-up sees them that maps. A checkpoint from before the years looked back at is no
    judge of it.

    Raises:
        MissingDataError: the season has no perimeters yet, or no checkpoint before it was trained and evaluated.
    """
    chosen = checkpoint_before(root, fire_year, look_back_years)
    if chosen is None:
        raise MissingDataError(
            f"no checkpoint of {fire_year - look_back_years}–{fire_year - 1} to map the season by: run burnscar refresh"
        )
    fires = read_table(root, IN_SEASON_PERIMETERS, fire_year).to_crs(GEOGRAPHIC_CRS)
    setup, title = settings.mapping.setup, settings.in_season.label_source.title
    home = home_of(settings, root, setup)
    folder, work = home.season_maps(fire_year), home.season_map_work(fire_year)
    return SeasonSpec(
        **common_of(settings, root, chosen, setup),
        season=fire_year,
        reference=reference_of(settings),
        tasks=tuple(task_of(fire, folder, work, settings, _named(fire, title)) for _, fire in fires.iterrows()),
        title=f"Burned area in season, fire year {fire_year}",
        pages=folder,
    )


def _named(fire: pd.Series, title: str) -> str:
    """What the map's page says its perimeter is."""
    incident = fire["fire_id"] if pd.isna(fire["incident_id"]) else fire["incident_id"]
    return f"in-season perimeter, {title} {incident}"


def checkpoint_before(root: DataRoot, fire_year: int, look_back_years: int) -> int | None:
    """The newest fire year before that has a champion; None if there is none lately."""
    for year in range(fire_year - 1, fire_year - look_back_years - 1, -1):
        if (champion_folder(root, year) / MANIFEST_FILE).exists():
            return year
    return None


def make_season_maps(spec: SeasonSpec, progress: Progress = silent) -> MapSummary:
    """Make the maps of a season, with their table and pages; raises what `mapper.make_maps` does."""
    root = spec.data_root
    remove_others(spec.pages, [task.name for task in spec.tasks])
    if not spec.tasks:
        write_map_table(root, IN_SEASON_MAPS, spec.season, [], [])
        index = write_pages(spec.pages, title=spec.title, simulated=spec.simulated, unmapped=())
        return MapSummary(0, 0, 0, index)
    summary, outcomes = make_maps(spec, progress)
    manifest = champion_manifest(root, spec.checkpoint_year)
    rows = [map_row(spec, manifest, found) | {"fire_year": spec.season} for found in outcomes]
    write_map_table(root, IN_SEASON_MAPS, spec.season, rows, outcomes)
    return summary


def main(arguments: Sequence[str]) -> int:
    """Make the maps that the file given specifies; returns the exit code."""

    def work(path: Path, report: Report) -> None:
        made = make_season_maps(SeasonSpec.read(path), step_reports(report))
        report({"event": "done", "maps": made.maps, "made": made.made, "without": made.without})

    return run_stage("burnscar_assets.publish.season", arguments, work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
