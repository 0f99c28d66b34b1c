"""The commands that make new worlds: init, which writes settings, and study, of a person's own images and fires."""

import argparse
import os
from pathlib import Path
from typing import Any

from burnscar_assets.environment import CONFIG_VARIABLE, data_root, shipped_files
from burnscar_assets.regions.load import DEFAULT, FOLDER
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN
from burnscar_assets.storage.paths import DataRoot


def add_study(commands: Any, placed: argparse.ArgumentParser) -> None:
    """Add the command to those of a parser."""
    study = commands.add_parser(
        "study",
        parents=[placed],
        help="train and compare on your own images and fires",
        description="Make a world of a folder of GeoTIFFs and a file of fire perimeters, and run everything over it: "
        "labels, windows, tiles, each set-up that fits, the comparison, and pages of maps. What was made is kept; the "
        "same command goes on where it was stopped.",
    )
    study.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="GeoTIFFs, also in folders below")
    study.add_argument(
        "--perimeters",
        type=Path,
        required=True,
        metavar="FILE",
        help="GeoJSON, GeoPackage, shapefile or zip with name, year (YEAR_) and alarm date (ALARM_DATE) of each fire, "
        "containment date (CONT_DATE) and a remark (flag) where there are any",
    )
    study.add_argument("--region", metavar="NAME", help="where the fires lie (default: california), see burnscar init")
    study.add_argument("--sensor", metavar="NAME", help="whose images they are (default: found out from the files)")
    study.add_argument(
        "--bands",
        type=_bands,
        metavar="NAMES",
        help="bands of the sensor that is found out, such as nir,swir2; images with more are used too (default: the "
        "bands that most images have)",
    )
    study.add_argument(
        "--change",
        action="store_true",
        help="train on images before fires too: takes the fires alone that have images before and after, and tries "
        "set-ups that read both",
    )
    study.add_argument(
        "--days",
        type=Path,
        metavar="FILE",
        help="CSV with columns file, start, end (default: names and tags tell, else pre or post and the fire)",
    )
    study.add_argument(
        "--offset",
        type=int,
        choices=(0, BASELINE_OFFSET_DN),
        help="what each number of Sentinel-2 carries, where no file's name tells its baseline",
    )
    study.add_argument(
        "--weights",
        type=_weights,
        action="append",
        default=[],
        metavar="ENCODER=FOLDER",
        help="pretrained weights of an encoder, as galileo=FOLDER; its set-ups are left out without; may be repeated",
    )
    study.set_defaults(command=_study)


def _weights(text: str) -> tuple[str, Path]:
    name, given, folder = text.partition("=")
    if not (name and given and folder):
        raise argparse.ArgumentTypeError(f"{text} is not ENCODER=FOLDER, such as galileo=weights/galileo")
    return name, Path(folder)


def _bands(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def _study(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.study import run_study
    from burnscar_assets.study.prepare import StudyOptions

    return run_study(
        StudyOptions(
            options.images,
            options.perimeters,
            options.sensor,
            options.days,
            options.offset,
            dict(options.weights),
            options.bands,
            options.change,
            options.region,
        )
    )


def add_init(commands: Any, placed: argparse.ArgumentParser) -> None:
    """Add the command to those of a parser."""
    known = ", ".join(path.stem for path in shipped_files(FOLDER))
    parser = commands.add_parser(
        "init",
        parents=[placed],
        help="write the settings of a new world",
        description="Write the settings of a new world, with comments, to edit and to give to --config. Nothing is "
        "fetched or made, and no file is written over.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="file to write (default: world.yaml in --data, else REGION.yaml here)",
    )
    parser.add_argument("--region", default=DEFAULT, metavar="NAME", help=f"{known}, or one's own (default: {DEFAULT})")
    parser.set_defaults(command=_init)


def _init(options: argparse.Namespace) -> int:
    from burnscar_assets.settings.new_world import write_world

    in_root = options.data is not None
    path = options.file or (DataRoot(data_root()).world_file if in_root else Path(f"{Path(options.region).stem}.yaml"))
    os.environ[CONFIG_VARIABLE] = str(path)  # a region of one's own lies beside the settings that are written
    write_world(path, options.region)
    chosen = f"--data {options.data}" if in_root and not options.file else f"--config {path}"
    print(f"{path} written: edit it, then burnscar doctor {chosen}")
    return 0
