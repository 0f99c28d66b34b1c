"""The command that writes the settings of a new world: init."""

import argparse
import os
from pathlib import Path
from typing import Any

from burnscar_assets.environment import CONFIG_VARIABLE, data_root, shipped_files
from burnscar_assets.regions.load import DEFAULT, FOLDER
from burnscar_assets.storage.paths import DataRoot


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
