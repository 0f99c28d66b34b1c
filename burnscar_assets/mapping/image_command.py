"""`burnscar map-image`: burned ground and severity from GeoTIFFs that are in no archive, without a model."""

import argparse
from pathlib import Path
from typing import Any


def add_map_image(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "map-image",
        help="map burned ground by a burn index, from your own GeoTIFFs",
        description="Burned ground from one image after the fire (NBR, threshold by Otsu), or from a pair (dNBR from "
        "0.10 on, with classes of severity). Writes GeoTIFFs, polygons, map.png and figures.json.",
    )
    parser.add_argument("--after", type=Path, required=True, metavar="FILE", help="image after the fire")
    parser.add_argument("--before", type=Path, metavar="FILE", help="image before the fire, with the same bands")
    parser.add_argument("--nir", type=int, metavar="N", help="band of near infrared (default: by name, e.g. B08)")
    parser.add_argument("--swir", type=int, metavar="N", help="band of short-wave infrared (default: by name, B12)")
    parser.add_argument("--offset", type=int, default=0, metavar="DN", help="in each digital number, e.g. 1000")
    parser.add_argument("--perimeter", type=Path, metavar="FILE", help="official perimeter, or its mask, to compare")
    parser.add_argument("--threshold", type=float, metavar="X", help="burned is NBR below X, or dNBR from X on")
    parser.add_argument("--title", help="heading of the picture (default: name of the image after the fire)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.set_defaults(command=map_image, data=None)


def map_image(options: argparse.Namespace) -> int:
    """Map the images that the options name, and say what came out; returns the exit code.

    Raises:
        InputError: an image or the perimeter can't be used.
        StorageError: the folder can't be written.
    """
    from burnscar_assets.mapping.images import Bands, read_images, read_perimeter
    from burnscar_assets.mapping.index_files import PICTURE_FILE, write_index_map
    from burnscar_assets.mapping.index_map import map_images

    images = read_images(options.after, options.before, Bands(options.nir, options.swir, options.offset))
    perimeter = None if options.perimeter is None else read_perimeter(options.perimeter, images.grid)
    found = map_images(images, perimeter, threshold=options.threshold)
    figures = write_index_map(found, options.out, options.title or options.after.stem)
    for line in _lines(figures):
        print(line)
    print(f"{options.out / PICTURE_FILE}")
    return 0


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
