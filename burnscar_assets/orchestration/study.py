"""`burnscar study`: a world of a person's own images and fires, run through all assets, and what came of it."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from burnscar_assets.comparison.compare import load_report
from burnscar_assets.comparison.report import comparison_lines
from burnscar_assets.environment import data_root
from burnscar_assets.orchestration.execution import Refreshed, open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.reporting import listening
from burnscar_assets.publish.pages.records import PAGE_FILE
from burnscar_assets.stage_progress import live_stages
from burnscar_assets.storage.contracts import SETUP_COMPARISON
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_path
from burnscar_assets.study.prepare import Prepared, StudyOptions, prepare_study
from burnscar_assets.summary import comparison_table, count_table
from burnscar_assets.terminal import Console, complain, live_progress, show_table


def run_study(options: StudyOptions) -> int:
    """Prepare, run and report; a second call goes on where the first stopped, and runs nothing that is fresh."""
    console = Console()
    root = DataRoot(data_root())
    with live_progress() as progress:
        prepared = prepare_study(options, root, progress)
    _say(console, f"[bold]{escape(prepared.settings.name)}[/]: settings {prepared.settings_file}")
    for line in prepared.told:
        _say(console, f"  {escape(line)}")
    world = World(prepared.settings, root)
    with open_runner(world, prepared.settings_file) as runner, live_stages() as stages, listening(stages):
        years = runner.planner.choose_years(None)
        runner.planner.observe()
        refreshed = runner.refresh(years, accept_release=True)
    _report(console, world, years, prepared, refreshed)
    return int(bool(refreshed.failures))


def _report(console: Console, world: World, years: Sequence[int], prepared: Prepared, refreshed: Refreshed) -> None:
    """The last words: counts, what was left out, the comparison, and where everything lies."""
    root = world.root
    if not refreshed.runs:
        _say(console, "everything was fresh: no work was done twice")
    show_table(count_table(root, years, world.settings.imagery.min_clear_fraction, title="perimeters to tiles"))
    for line in prepared.left_out:
        _say(console, f"[bold]left out:[/] {escape(line)}")
    if world.setups and table_path(root, SETUP_COMPARISON, None).exists():
        show_table(comparison_table(root))
        for line in comparison_lines(load_report(root)):
            _say(console, escape(line))
        _say(console, f"comparison: {root.comparison}")
    pages = [path for path in _pages(root) if path.exists()]
    for path in pages:
        _say(console, f"maps of the fires: open {path}")
    option = f"--data {os.path.relpath(root.path)}"
    _say(console, f"next: burnscar ui {option}; burnscar compare {option}; or edit {prepared.settings_file}")
    for failure in refreshed.failures:
        complain(str(failure))


def _pages(root: DataRoot) -> list[Path]:
    """Pages of maps that there may be: of the world's own set-up, then of the others."""
    others = sorted(folder / "maps" / PAGE_FILE for folder in (root.path / "setups").glob("*") if folder.is_dir())
    return [root.maps(None).parent / PAGE_FILE, *others]


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
