"""`burnscar map`: burned ground of any place and time, in the terminal."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from burnscar_assets.environment import data_root, settings_path

_NEGATIVE: Final = re.compile(r"-\d")
_ENVIRONMENT: Final = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}


def add_map(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser("map", parents=[shared], help="map burned ground of any place and time")
    parser.add_argument(
        "--aoi",
        required=True,
        metavar="FILE|BBOX",
        help="GeoJSON, GeoPackage, GeoParquet, KMZ or shapefile (also zipped) in any coordinate system, or "
        "west,south,east,north in degrees",
    )
    parser.add_argument("--start", required=True, metavar="DATE", help="first day that imagery may be from")
    parser.add_argument("--end", required=True, metavar="DATE", help="last day that imagery may be from")
    parser.add_argument("--before-start", metavar="DATE", help="first day of an image before the fire, for severity")
    parser.add_argument("--before-end", metavar="DATE", help="last day of it")
    parser.add_argument("--year", type=int, help="fire year of the checkpoint (default: the newest before the imagery)")
    parser.add_argument("--setup", default="default", help="set-up whose checkpoint is used")
    parser.add_argument("--name", help="name of the map (default: that of the file, and the days)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: maps/ in the data root)")
    parser.add_argument("--yes", action="store_true", help="map it even if it keeps the model busy for hours")
    parser.set_defaults(command=_map)


def with_bounding_box(arguments: Sequence[str]) -> list[str]:
    """Arguments in which a box that begins with a minus is no option: `--aoi -120,38,-119,39` is what people write."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--aoi" and _NEGATIVE.match(argument):
            joined[-1] = f"--aoi={argument}"
        else:
            joined.append(argument)
    return joined


def _map(options: argparse.Namespace) -> int:
    os.environ.update({name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()})
    from burnscar_assets.mapping.mapper import make_maps
    from burnscar_assets.orchestration.assets.maps import aoi_spec
    from burnscar_assets.orchestration.partitions import World
    from burnscar_assets.process import make_threads_doze
    from burnscar_assets.settings import load_settings
    from burnscar_assets.storage.paths import DataRoot
    from burnscar_assets.terminal import live_progress, say

    make_threads_doze()
    root = DataRoot(data_root())
    world = World(load_settings(settings_path(root.path)), root)
    spec = aoi_spec(
        world,
        options.aoi,
        options.start,
        options.end,
        options.setup,
        before_start=options.before_start,
        before_end=options.before_end,
        name=options.name,
        year=options.year,
        out=options.out,
        yes=options.yes,
    )
    with live_progress() as progress:
        summary, (outcome,) = make_maps(spec, progress)
    record = outcome.record or {}
    for line in told(record, made=bool(summary.made)):
        say(line)
    print(f"{outcome.task.folder}")
    if summary.index is not None:
        print(f"open {summary.index}")
    return 0


def told(record: dict[str, Any], *, made: bool) -> list[str]:
    """What a map says, in lines for a terminal."""
    area, clear = record["area_ha"], record["clear_fraction"]
    lines = [] if made else ["the map was there already: nothing it follows from has changed"]
    if record["simulated"]:
        lines.append("the imagery is SIMULATED: figures say nothing of real ground")
    lines.append(f"burned: {area['mapped']:,.1f} ha as mapped")
    if area["estimate"] is not None:
        interval = f"{area['low']:,.1f} to {area['high']:,.1f} ha, {area['confidence']:.0%} interval"
        lines.append(f"burned: {area['estimate']:,.1f} ha as estimated ({interval})")
    if record["severity_ha"] is not None:
        classes = ", ".join(f"{area_ha:,.1f} ha {name}" for name, area_ha in record["severity_ha"].items() if area_ha)
        lines.append(f"severity: {classes or 'not known anywhere'}")
    days = sorted({scene["acquired"][:10] for scene in record["scenes"]})
    lines.append(f"clear: {clear:.0%} of the area, from {', '.join(days) or 'no image'}")
    if not clear:
        lines.append("cloudy throughout: the map has no answer anywhere; take more days with --start and --end")
    return [*lines, *(f"note: {note}" for note in record["notes"])]
