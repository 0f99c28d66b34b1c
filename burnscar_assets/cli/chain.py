"""The commands that make the assets, or say what is stale or damaged: demo, plan, refresh, verify."""

import argparse
import json
from pathlib import Path
from typing import Any

from burnscar_assets.cli.arguments import count, fire_year, open_world
from burnscar_assets.terminal import complain, note, say, show


def add_chain(commands: Any, shared: argparse.ArgumentParser, placed: argparse.ArgumentParser) -> None:
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


def _demo(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.demo import DemoOptions, run_demo

    return run_demo(DemoOptions(options.perimeters, options.years, options.fires, options.workers))


def _plan(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.execution import open_runner
    from burnscar_assets.orchestration.partitions import World

    settings, root, path = open_world()
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

    settings, root, path = open_world()
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

    settings, root, path = open_world()
    world = World(settings, root)
    with open_runner(world, path) as runner, live_progress() as progress:
        planner = runner.planner
        found = verify(world, planner.instance, planner.choose_years(options.years), progress)
    if found.damage:
        show(("result", "file", "in the"), [(damage.artifact, damage.path, damage.where) for damage in found.damage])
    say(found.describe())
    return int(bool(found.damage))
