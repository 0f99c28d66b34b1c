"""The `burnscar` command and its subcommands, from demo to doctor.

Parses arguments, prints, and turns the errors that users can meet into one line and exit code 1.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from burnscar_assets.arguments import count, fire_year, port
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE, data_root, settings_path
from burnscar_assets.errors import BurnscarError, SettingsError
from burnscar_assets.mapping.aoi_command import add_map, with_bounding_box
from burnscar_assets.mapping.image_command import add_map_image
from burnscar_assets.network.environment import share_transport
from burnscar_assets.plausible import check_path, check_text
from burnscar_assets.process import collect_seldom
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets.storage.full_disk import full_disk_errors
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.terminal import (
    complain,
    note,
    quiet_closed_pipe,
    say,
    show,
    show_table,
    write_in_any_encoding,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    write_in_any_encoding()
    given = list(sys.argv[1:] if arguments is None else arguments)
    with quiet_closed_pipe():
        return _run(_parser().parse_args(with_bounding_box(given)), given)


def _run(options: argparse.Namespace, given: Sequence[str]) -> int:
    if options.data is not None:
        os.environ[DATA_VARIABLE] = str(options.data.resolve())
    if getattr(options, "config", None) is not None:
        os.environ[CONFIG_VARIABLE] = options.config
    share_transport()
    collect_seldom()
    try:
        for argument in given:
            check_text(argument)
        for path in [data_root(), *(value for value in vars(options).values() if isinstance(value, Path))]:
            check_path(path)
        with full_disk_errors(data_root()):
            return int(options.command(options) or 0)
    except BurnscarError as error:
        said = str(error)
    except PermissionError as error:
        said = f"no permission for {error.filename or data_root()}: grant it, or choose another data root with --data"
    complain(said)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="burnscar", description="From official fire perimeters to a burned-area model, by fire year."
    )
    placed = argparse.ArgumentParser(add_help=False)
    placed.add_argument("--data", type=Path, help=f"data root (default: ${DATA_VARIABLE}, or data/<settings>)")
    shared = argparse.ArgumentParser(add_help=False, parents=[placed])
    shared.add_argument(
        "--config", help=f"settings: a path, or demo or california, which are shipped (default: ${CONFIG_VARIABLE})"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_chain(commands, shared, placed)
    _add_models(commands, shared)
    ui = commands.add_parser("ui", parents=[shared], help="start the web UI and the daemon")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1); others need a token")
    ui.add_argument("--port", type=port, default=3000, help="port (default 3000); 0: any that is free")
    ui.add_argument("--read-only", action="store_true", help="show everything, and let nobody run or change anything")
    ui.set_defaults(command=_ui)

    _add_tables(commands, shared, placed)
    _add_files(commands, shared, placed)
    add_map(commands, shared)
    add_map_image(commands)
    commands.add_parser("doctor", parents=[shared], help="check libraries, folders, GPU and sources").set_defaults(
        command=_doctor
    )
    return parser


def _add_chain(commands: Any, shared: argparse.ArgumentParser, placed: argparse.ArgumentParser) -> None:
    """Commands that make the assets, or say what is stale."""
    demo = commands.add_parser("demo", parents=[placed], help="run the whole chain on a simulated archive")
    demo.add_argument("--perimeters", type=Path, help="simulate imagery over the perimeters of this file instead")
    demo.add_argument("--years", type=fire_year, nargs="+", help="fire years to run")
    demo.add_argument("--fires", type=count, help="fires a year that imagery is simulated for (default 12)")
    demo.add_argument("--workers", type=count, default=2, help="processes that render scenes (default 2)")
    demo.set_defaults(command=_demo)

    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    chosen.add_argument("--select", nargs="+", metavar="ASSET", help="only these assets (default: all)")
    chosen.add_argument("--no-gpu", action="store_true", help="leave out what needs a GPU: training and evaluation")

    plan = commands.add_parser("plan", parents=[shared, chosen], help="list what is stale or missing, with its cause")
    plan.add_argument("--json", action="store_true", help="print JSON instead of a table")
    plan.set_defaults(command=_plan)

    refresh = commands.add_parser("refresh", parents=[shared, chosen], help="run what is stale or missing")
    refresh.add_argument("--dry-run", action="store_true", help="only show what would be run first")
    refresh.add_argument("--accept-release", action="store_true", help="take a release even if it looks wrong")
    refresh.add_argument("--in-process", action="store_true", help="run here, even if a daemon is running")
    refresh.set_defaults(command=_refresh, json=False)

    verify = commands.add_parser(
        "verify", parents=[shared], help="read all results again, and find those that are damaged"
    )
    verify.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    verify.set_defaults(command=_verify)


def _add_models(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Commands about checkpoints."""
    champion = commands.add_parser(
        "champion", parents=[shared], help="which checkpoint of each fire year serves, and why"
    )
    champion.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    champion.add_argument("--accept", metavar="REASON", help="make the evaluated checkpoint of these years champion")
    champion.set_defaults(command=_champion)

    commands.add_parser("compare", parents=[shared], help="the set-ups side by side, on the same fires").set_defaults(
        command=_compare
    )

    mine = commands.add_parser("mine", parents=[shared], help="find land that a checkpoint takes for burnt")
    mine.add_argument("--years", type=fire_year, nargs="+", required=True, help="fire years whose checkpoints look")
    mine.add_argument(
        "--against",
        type=Path,
        metavar="ROOT",
        help="instead compare this world, trained with what was mined, to another",
    )
    mine.set_defaults(command=_mine)


def _add_tables(commands: Any, shared: argparse.ArgumentParser, placed: argparse.ArgumentParser) -> None:
    """Commands that look at tables."""
    funnel = commands.add_parser("funnel", parents=[shared], help="what became of each record, with its reason")
    funnel.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    funnel.set_defaults(command=_funnel)

    sql = commands.add_parser("sql", parents=[placed], help="query the tables with DuckDB")
    sql.add_argument("query", help='e.g. "select fire_year, count(*) from windows group by 1"')
    sql.set_defaults(command=_sql)


def _add_files(commands: Any, shared: argparse.ArgumentParser, placed: argparse.ArgumentParser) -> None:
    """Commands that read and write files of other tools."""
    windows = commands.add_parser("windows", parents=[shared], help="make rslearn windows from a CSV of points")
    windows.add_argument("--csv", type=Path, required=True, help="points with lon, lat, time and label")
    windows.add_argument("--dataset", type=Path, required=True, help="rslearn dataset to add them to")
    windows.set_defaults(command=_windows)

    export = commands.add_parser("export", parents=[placed], help="write windows as GeoTIFFs, for QGIS")
    export.add_argument("--geotiff", type=Path, required=True, metavar="DIR", help="folder to write to")
    export.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    export.add_argument("--windows", nargs="+", metavar="ID", help="only these windows (default: all)")
    export.set_defaults(command=_export)


def _world() -> tuple[Settings, DataRoot, Path]:
    root = data_root()
    path = settings_path(root)
    return load_settings(path), DataRoot(root), path


def _demo(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.demo import DemoOptions, run_demo

    return run_demo(DemoOptions(options.perimeters, options.years, options.fires, options.workers))


def _plan(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.execution import open_runner
    from burnscar_assets.orchestration.partitions import World

    settings, root, path = _world()
    with open_runner(World(settings, root), path, only_look=True) as runner:
        planner = runner.planner
        note(planner.observe())
        assets = planner.choose_assets(options.select, gpu=not options.no_gpu)
        plan = planner.plan(planner.choose_years(options.years), assets)
    if options.json:
        told = ("asset", "fire_year", "status", "causes")
        print(json.dumps([{name: getattr(pair, name) for name in told} for pair in plan.stale], indent=2))
        return 0
    if plan.without_records:
        print(f"the release has no records yet of {', '.join(map(str, plan.without_records))}")
    if not plan.stale:
        print("nothing is stale")
        return 0
    rows = [(pair.asset, pair.fire_year or "", pair.status.lower(), "; ".join(pair.causes)) for pair in plan.stale]
    show(("asset", "fire year", "status", "because"), rows)
    more = f"up to {len(plan.may_follow)} more follow if those come out different"
    print(f"{len(plan.stale)} partitions to make or to confirm; {more}")
    return 0


def _refresh(options: argparse.Namespace) -> int:
    if options.dry_run:
        return _plan(options)
    from burnscar_assets.orchestration.execution import open_runner
    from burnscar_assets.orchestration.metadata import notes_of
    from burnscar_assets.orchestration.pairs import RELEASE, Pair
    from burnscar_assets.orchestration.partitions import World
    from burnscar_assets.orchestration.queue import daemon_is_running, refresh_through_queue
    from burnscar_assets.orchestration.reporting import listening
    from burnscar_assets.stage_progress import live_stages

    settings, root, path = _world()
    with open_runner(World(settings, root), path) as runner, live_stages() as stages, listening(stages):
        planner = runner.planner
        note(planner.observe())
        chosen: dict[str, Any] = {
            "assets": planner.choose_assets(options.select, gpu=not options.no_gpu),
            "accept_release": options.accept_release,
        }
        years = planner.choose_years(options.years)
        if not options.in_process and daemon_is_running(planner.instance):
            refreshed = refresh_through_queue(planner, years, progress=stages.work, **chosen)
        else:
            refreshed = runner.refresh(years, **chosen)
        release = Pair(RELEASE, None)
        notes = notes_of(planner.instance, release) if release in refreshed.pairs else []
    note(notes)
    for failure in refreshed.failures:
        complain(str(failure))
    made = f"{refreshed.runs} runs, {len(refreshed.pairs)} partitions made"
    confirmed = f", {len(refreshed.confirmed)} confirmed as they were" if refreshed.confirmed else ""
    print(made + confirmed if refreshed.runs or confirmed else "nothing is stale")
    return int(bool(refreshed.failures))


def _verify(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.execution import open_runner
    from burnscar_assets.orchestration.partitions import World
    from burnscar_assets.orchestration.verifying import verify
    from burnscar_assets.terminal import live_progress

    settings, root, path = _world()
    world = World(settings, root)
    with open_runner(world, path) as runner, live_progress() as progress:
        planner = runner.planner
        found = verify(world, planner.instance, planner.choose_years(options.years), progress)
    if found.damage:
        show(("result", "file", "in the"), [(damage.artifact, damage.path, damage.where) for damage in found.damage])
    say(found.describe())
    return int(bool(found.damage))


def _funnel(options: argparse.Namespace) -> int:
    from burnscar_assets.funnel_report import funnel_tables
    from burnscar_assets.orchestration.partitions import World

    settings, root, _ = _world()
    years = options.years or [int(key) for key in World(settings, root).fire_years.get_partition_keys()]
    imagery = settings.imagery
    for table in funnel_tables(
        root, years, imagery.layer, imagery.min_clear_fraction, simulated=settings.simulated_imagery
    ):
        show_table(table)
    return 0


def _champion(options: argparse.Namespace) -> int:
    from burnscar_assets.evaluation.champion import accept_checkpoint, champions
    from burnscar_assets.orchestration.artifacts import republish
    from burnscar_assets.orchestration.pairs import Pair
    from burnscar_assets.orchestration.partitions import World

    settings, root, _ = _world()
    world = World(settings, root)
    years = options.years or [int(key) for key in world.fire_years.get_partition_keys()]
    if options.accept is not None:
        if not options.years:
            raise SettingsError('say which: burnscar champion --years YEAR --accept "REASON"')
        for year in years:
            accept_checkpoint(root, year, settings.imagery.layer, options.accept)
            republish(world, Pair("evaluation_metrics", year))
    rows = []
    for found in champions(root, years):
        refused = f"{found.refused.weights_sha256[:12]}: {found.refused.reason}" if found.refused else ""
        reign = found.reign
        rows.append(
            (
                found.fire_year,
                reign.weights_sha256[:12],
                reign.by,
                f"{reign.decided_at:%Y-%m-%d}",
                reign.reason,
                refused,
            )
        )
    show(("fire year", "champion", "by", "since", "because", "refused since"), rows)
    return 0


def _mine(options: argparse.Namespace) -> int:
    from burnscar_assets.mining.ablation import compare_worlds
    from burnscar_assets.mining.mine import FILE, mine
    from burnscar_assets.terminal import live_progress

    settings, root, _ = _world()
    if options.against is not None:
        found = compare_worlds(root, DataRoot(options.against.resolve()), options.years, settings.evaluation)
        show(found.rows.columns, found.rows.round(3).itertuples(index=False))
        print(
            f"{found.windows} held-out windows of {found.fires} fires; {found.left_out} that only one judged left out"
        )
        return 0
    device = {"gpu": "cuda"}.get(settings.training.accelerator, settings.training.accelerator)
    with live_progress() as progress:
        mined = [mine(settings, root, year, device=device, progress=progress) for year in sorted(set(options.years))]
    show(asdict(mined[0]), (asdict(summary).values() for summary in mined))
    if settings.sampling.hard_negatives != FILE:
        print(f"to train on them, set sampling.hard_negatives: {FILE} and give `hard` a share in unburnt_per_burnt")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from burnscar_assets.comparison.compare import load_report
    from burnscar_assets.comparison.told import HEADINGS, comparison_lines, comparison_rows
    from burnscar_assets.storage.contracts import SETUP_COMPARISON
    from burnscar_assets.storage.tables import read_table

    root = _world()[1]
    report = load_report(root)
    show(HEADINGS, comparison_rows(read_table(root, SETUP_COMPARISON, None)))
    for line in comparison_lines(report):
        say(line)
    return 0


def _ui(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.instance import open_instance
    from burnscar_assets.orchestration.partitions import World
    from burnscar_assets.orchestration.services import run_services
    from burnscar_assets.orchestration.web_guard import policy_of
    from burnscar_assets.orchestration.web_ui import check_home, reserve_port

    settings, root, path = _world()
    check_home(root.dagster_home)
    port = reserve_port(options.host, options.port)
    policy_of(options.host, port)
    with open_instance(World(settings, root), path):
        pass
    announcement = f"{settings.name}: http://{options.host}:{port} (data root {root.path})"
    run_services(options.host, port, root.dagster_home, announcement, read_only=options.read_only)
    return 0


def _sql(options: argparse.Namespace) -> int:
    from burnscar_assets.storage.catalog import query

    rows = query(DataRoot(data_root()), options.query)
    show(rows.columns, rows.itertuples(index=False))
    return 0


def _windows(options: argparse.Namespace) -> int:
    from burnscar_assets.windows.points_csv import windows_from_csv, write_csv_windows

    settings = _world()[0]
    windows = windows_from_csv(options.csv, settings.windows, settings.sampling.splits)
    changes = write_csv_windows(windows, options.dataset)
    print(f"{changes.made} made, {changes.replaced} replaced, {changes.kept} kept in {options.dataset}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from burnscar_assets.packed.export import export_geotiffs
    from burnscar_assets.terminal import live_progress

    groups = [str(year) for year in options.years] if options.years else None
    with live_progress() as progress:
        done = export_geotiffs(DataRoot(data_root()).dataset, options.geotiff, groups, options.windows, progress)
    print(f"{done.windows} windows, {done.rasters} GeoTIFFs in {options.geotiff}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from burnscar_assets.doctor import checks

    settings, root, _ = _world()
    marks = {True: Text("ok", "green"), False: Text("missing", "red"), None: Text("note", "yellow")}
    results = checks(settings, root)
    rows = [(marks[check.ok], check.name, check.detail, "" if check.ok else check.remedy) for check in results]
    show(("", "check", "found", "what to do"), rows)
    return int(any(check.ok is False for check in results))


if __name__ == "__main__":
    sys.exit(main())
