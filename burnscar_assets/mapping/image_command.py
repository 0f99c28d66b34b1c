"""`burnscar map-image`: burned ground and severity from GeoTIFFs that are in no archive, without a model."""

import argparse
from pathlib import Path
from typing import Any

from burnscar_assets.errors import InputError


def add_map_image(commands: Any) -> None:
    """Add the command to the parser's commands."""
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
    parser.add_argument("--nir", type=int, metavar="N", help="band of near infrared (default: by name, e.g. B08)")
    parser.add_argument("--swir", type=int, metavar="N", help="band of short-wave infrared (default: by name, B12)")
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
    parser.set_defaults(command=map_image, data=None)


def map_image(options: argparse.Namespace) -> int:
    """Map the images that the options name, and say what came out; returns the exit code.

    Raises:
        InputError: an image, the perimeter or the threshold can't be used, or a file of the map would take the place of
            one that is read.
        StorageError: the folder can't be written.
    """
    from burnscar_assets.mapping.images import Bands, read_images, read_perimeter_of
    from burnscar_assets.mapping.index_files import PICTURE_FILE, write_index_map
    from burnscar_assets.mapping.index_map import check_threshold, map_images
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
    for line in _lines(figures):
        say(line)
    print(f"{options.out / PICTURE_FILE}")
    return 0


def _check_nothing_read_is_written(options: argparse.Namespace) -> None:
    from burnscar_assets.mapping.image_files import files_of
    from burnscar_assets.mapping.index_files import map_files

    before = files_of(options.before) if options.before else ()
    perimeter = () if options.perimeter is None else (options.perimeter,)
    written = {(options.out / name).resolve() for name in map_files()}
    for path in (*files_of(options.after), *before, *perimeter):
        if path.resolve() in written:
            raise InputError(f"{path} is read, and a file of the map would take its place: choose another --out")


def _lines(figures: dict[str, Any]) -> list[str]:
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
