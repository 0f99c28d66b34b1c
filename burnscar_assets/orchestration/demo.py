"""`burnscar demo`: build the simulated archive, run the assets over it, tell what came of it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml
from rich.markup import escape

from burnscar_assets.comparison.compare import load_report
from burnscar_assets.comparison.report import comparison_lines
from burnscar_assets.demo.world import SimulatedWorld, build_world
from burnscar_assets.environment import CONFIGS_DIR, DATA_VARIABLE
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.models.manifest import load_manifest
from burnscar_assets.orchestration.execution import Refreshed, Runner, open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.reporting import listening
from burnscar_assets.progress import Progress
from burnscar_assets.publish.pages.records import PAGE_FILE
from burnscar_assets.regions.load import work_in
from burnscar_assets.sampling.selection import select_fires
from burnscar_assets.settings import load_settings, parse_settings
from burnscar_assets.stage_progress import live_stages
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, SETUP_COMPARISON
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path
from burnscar_assets.summary import comparison_table, count_table, map_table, score_table
from burnscar_assets.terminal import Console, show_table

DEFAULT_ROOT = "data/demo"
LABEL_ASSETS = ("calfire_release", "fire_perimeters", "burn_history")


@dataclass(frozen=True)
class DemoOptions:
    """What the user asked the demo for."""

    perimeters: Path | None = None
    years: Sequence[int] | None = None
    fires: int | None = None
    workers: int = 2


def run_demo(options: DemoOptions) -> int:
    """Build, run and report; a second call finds everything fresh and runs nothing."""
    console = Console()
    settings_file, root = demo_world(options)
    settings = load_settings(settings_file)
    work_in(settings.ground)
    world = World(settings, root)
    console.print(f"[bold]{escape(settings.name)}[/]: data root {root.path}", highlight=False)
    with open_runner(world, settings_file) as runner, live_stages() as stages, listening(stages):
        years = runner.planner.choose_years(options.years)
        archive, refreshed = _run(world, runner, years, options.workers, stages.work)
    _report(console, world, years, archive, refreshed)
    return 0


def demo_world(options: DemoOptions) -> tuple[Path, DataRoot]:
    """The settings file and data root of the asked-for demo; given perimeters make a world of their own.

    Raises:
        InputError: the file does not exist.
        SettingsError: years or fires that are not allowed.
    """
    demo_file = CONFIGS_DIR / "demo.yaml"
    if options.perimeters is None:
        if options.fires is not None:
            raise SettingsError("--fires goes with --perimeters")
        return demo_file, DataRoot(Path(os.environ.get(DATA_VARIABLE) or DEFAULT_ROOT).resolve())
    if not options.perimeters.exists():
        raise InputError(f"no file {options.perimeters}: give a zip, FileGDB, GeoPackage, shapefile or GeoJSON")
    if not options.years:
        raise SettingsError("--perimeters needs --years, for instance --years 2018 2020")
    name = options.perimeters.name.split(".")[0]
    root = DataRoot(Path(os.environ.get(DATA_VARIABLE) or f"data/{name}").resolve())
    content = yaml.safe_load(demo_file.read_text(encoding="utf-8"))
    content |= given_perimeters(options.perimeters.resolve(), sorted(set(options.years)), options.fires, content)
    parse_settings(content, "the demo's settings")
    written = "# Written by burnscar demo --perimeters.\n" + yaml.safe_dump(content, sort_keys=False)
    if not root.world_file.exists() or root.world_file.read_text(encoding="utf-8") != written:
        with atomic_file(root.world_file) as temporary:
            temporary.write_text(written, encoding="utf-8")
    return root.world_file, root


def given_perimeters(perimeters: Path, years: list[int], fires: int | None, demo: dict) -> dict:
    """The sections of the demo's settings that change when perimeters are given."""
    per_year = fires or 12
    exclude = sorted(set(range(years[0], years[-1] + 1)) - set(years))
    return {
        "name": f"{perimeters.name} (simulated imagery)",
        "years": {"first": years[0], "last": years[-1], "exclude": exclude},
        "release": {"source": str(perimeters)},
        "sampling": demo["sampling"] | {"max_fires_per_year": per_year},
        "demo": {"perimeters": str(perimeters), "fires_per_year": per_year},
    }


def _run(
    world: World, runner: Runner, years: list[int], workers: int, progress: Progress
) -> tuple[SimulatedWorld, Refreshed]:
    settings, root = world.settings, world.root
    if settings.simulated_perimeters:
        archive = build_world(settings, root, progress=progress, workers=workers)
        return archive, _refresh(runner, years, None)
    labels = _refresh(runner, years, LABEL_ASSETS)
    selected = [select_fires(read_table(root, FIRE_PERIMETERS, year), settings.sampling) for year in years]
    archive = build_world(settings, root, pd.concat(selected, ignore_index=True), progress, workers)
    rest = _refresh(runner, years, None)
    return archive, Refreshed(labels.runs + rest.runs, labels.pairs + rest.pairs)


def _refresh(runner: Runner, years: list[int], assets: Sequence[str] | None) -> Refreshed:
    runner.planner.observe()
    refreshed = runner.refresh(years, assets=assets)
    if refreshed.failures:
        raise refreshed.failures[0]
    return refreshed


def _report(console: Console, world: World, years: list[int], archive: SimulatedWorld, refreshed: Refreshed) -> None:
    root = world.root
    if not refreshed.runs:
        console.print("everything was fresh: no work was done twice")
    least, judged = world.settings.imagery.min_clear_fraction, world.settings.evaluation
    show_table(count_table(root, years, least, title=f"{world.settings.name}: perimeters to tiles"))
    own, that_maps = world.settings.setups.title, world.mapped.setup
    title = f"{own}: held-out fires, with {judged.confidence:.0%} intervals over clusters of fires"
    show_table(score_table(root, years, judged, title=title))
    by = own if that_maps is None else that_maps.title
    show_table(map_table(root, years, title=f"{by}: maps of the held-out fires, against the official perimeter"))
    if world.setups and table_path(root, SETUP_COMPARISON, None).exists():
        show_table(comparison_table(root))
        for line in comparison_lines(load_report(root)):
            console.print(escape(line), highlight=False)
    for notice, titles in _notices(world, years).items():
        console.print(f"[bold yellow]note:[/] {escape(f'{titles}: {notice}')}", highlight=False)
    console.print(f"imagery: {archive.scenes} simulated scenes, {archive.bytes / 1e6:,.0f} MB", highlight=False)
    option = "" if root.path == Path(DEFAULT_ROOT).resolve() else f" --data {os.path.relpath(root.path)}"
    maps = root.maps(None).parent / PAGE_FILE
    if maps.exists():
        console.print(f"maps of the held-out fires: open {maps}", highlight=False, soft_wrap=True)
    console.print("next:")
    for command, why in (
        (f"burnscar ui{option}", "the assets, their pictures and figures at http://127.0.0.1:3000"),
        (f'burnscar sql{option} "from evaluation_metrics"', "any table"),
        (f"burnscar compare{option}", "the set-ups side by side, with what they cost"),
        (f"burnscar plan{option}", "what is stale, and why"),
        (f"rslearn dataset materialize --root {os.path.relpath(root.dataset)}", "the dataset is rslearn's own"),
    ):
        console.print(f"  {_prefix()}{command}   [dim]{why}[/]", highlight=False, soft_wrap=True)


def _notices(world: World, years: list[int]) -> dict[str, str]:
    """What networks' weights are, each with the titles of the set-ups that have such."""
    titles: dict[str, list[str]] = {}
    own = {None: world.settings.setups.title}
    for name, title in (own | {name: one.title for name, one in world.setups.items() if one.is_neural}).items():
        root = world.of(name).root
        for notice in sorted({load_manifest(root.checkpoint(year)).notice for year in years}):
            titles.setdefault(notice, []).append(title)
    return {notice: ", ".join(named) for notice, named in titles.items()}


def _prefix() -> str:
    folder = Path(sys.executable).parent
    return "" if str(folder) in os.environ.get("PATH", "").split(os.pathsep) else f"{os.path.relpath(folder)}/"
