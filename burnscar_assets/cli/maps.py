"""The commands that make a map: of any place and time (map), or of images of one's own without a model (map-image)."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from burnscar_assets.cli.arguments import open_world
from burnscar_assets.errors import InputError

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
    parser.add_argument("--setup", help="set-up whose checkpoint is used (default: the one that maps fires)")
    parser.add_argument("--name", help="name of the map (default: that of the file, and the days)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: maps/ in the data root)")
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FILE",
        help="points that you drew on this map and looked at, with burnt or unburnt in the field seen: the area is "
        "estimated from them",
    )
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
    from burnscar_assets.orchestration.assets.maps import aoi_spec
    from burnscar_assets.orchestration.partitions import World
    from burnscar_assets.process import make_threads_doze
    from burnscar_assets.publish.mapper import make_maps
    from burnscar_assets.terminal import live_progress, say

    make_threads_doze()
    settings, root, _ = open_world()
    world = World(settings, root)
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
        reference=options.reference,
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


def add_map_image(commands: Any) -> None:
    """Add the command to those of a parser."""
    parser = commands.add_parser(
        "map-image",
        help="map burned ground by a burn index, from your own GeoTIFFs",
        description="Burned ground from one image after the fire (NBR, threshold by Otsu), or from a pair (dNBR from "
        "0.10 on, with classes of severity). Writes GeoTIFFs, polygons, map.png and figures.json.",
    )
    image = "GeoTIFF or JPEG 2000, two such files of one band each, or a Sentinel-2 product's folder (.SAFE)"
    parser.add_argument(
        "--after", type=Path, nargs="+", required=True, metavar="FILE", help=f"image after the fire: {image}"
    )
    parser.add_argument(
        "--before", type=Path, nargs="+", metavar="FILE", help="image before the fire, with the same bands"
    )
    parser.add_argument("--nir", type=int, metavar="N", help="band of near infrared (default: by name)")
    parser.add_argument("--swir", type=int, metavar="N", help="band of short-wave infrared (default: by name)")
    parser.add_argument(
        "--offset", type=float, metavar="DN", help="in each number, e.g. 1000 (default: what the files say, else 0)"
    )
    parser.add_argument(
        "--offset-before", type=float, metavar="DN", help="likewise of the image before (default: as --offset)"
    )
    parser.add_argument("--perimeter", type=Path, metavar="FILE", help="official perimeter, or its mask, to compare")
    parser.add_argument("--threshold", type=float, metavar="X", help="burned is NBR below X, or dNBR from X on")
    parser.add_argument("--title", help="heading of the picture (default: name of the image after the fire)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.set_defaults(command=_map_image, data=None)


def _map_image(options: argparse.Namespace) -> int:
    from burnscar_assets.publish.images import Bands, read_images, read_perimeter_of
    from burnscar_assets.publish.index_map import PICTURE_FILE, check_threshold, map_images, write_index_map
    from burnscar_assets.terminal import say
    from burnscar_assets.text import clean

    if options.offset_before is not None and options.before is None:
        raise InputError("--offset-before is of the image before the fire: give it with --before")
    check_threshold(options.threshold, of_change=options.before is not None)
    bands = Bands(options.nir, options.swir, options.offset, options.offset_before)
    _check_nothing_read_is_written(options)
    images = read_images(options.after, options.before, bands)
    perimeter, notes = (None, ()) if options.perimeter is None else read_perimeter_of(options.perimeter, images)
    found = map_images(images, perimeter, threshold=options.threshold, notes=notes)
    figures = write_index_map(found, options.out, clean(options.title or options.after[0].stem))
    for line in _figure_lines(figures):
        say(line)
    print(f"{options.out / PICTURE_FILE}")
    return 0


def _check_nothing_read_is_written(options: argparse.Namespace) -> None:
    from burnscar_assets.publish.image_files import files_of
    from burnscar_assets.publish.index_map import map_files

    before = files_of(options.before) if options.before else ()
    perimeter = () if options.perimeter is None else (options.perimeter,)
    written = {(options.out / name).resolve() for name in map_files()}
    for path in (*files_of(options.after), *before, *perimeter):
        if path.resolve() in written:
            raise InputError(f"{path} is read, and a file of the map would take its place: choose another --out")


def _figure_lines(figures: dict[str, Any]) -> list[str]:
    """The figures in words."""
    cut, agreement, severity = figures["threshold"], figures["agreement"], figures["severity_ha"]
    seen = f"{figures['burned_ha']:,.0f} ha burned of {figures['seen_ha']:,.0f} ha seen"
    lines = ["simulated imagery"] if figures["simulated"] else []
    lines.append(f"{seen}, in {figures['patches']} patches with {figures['unburned_islands']} unburned islands")
    lines.append(f"{figures['index']} cut at {cut['value']:.3f} ({cut['by']})")
    if agreement is not None:
        told = {name: "undefined" if value is None else f"{value:.2f}" for name, value in agreement.items()}
        lines.append(f"official perimeter: IoU {told['iou']}, {told['omission']} left out, {told['commission']} beyond")
    if severity is not None:
        lines.append(f"severity within the {figures['severity_within']}:")
        lines += [f"  {name}: {hectares:,.0f} ha" for name, hectares in severity.items()]
    return lines + [f"note: {note}" for note in figures["notes"]]
