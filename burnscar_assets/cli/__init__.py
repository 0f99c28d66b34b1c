"""The `burnscar` command and its subcommands, from demo to doctor.

Parses arguments, prints, and turns the errors that users can meet into one line and exit code 1.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from burnscar_assets.cli.chain import add_chain
from burnscar_assets.cli.maps import add_map, add_map_image, with_bounding_box
from burnscar_assets.cli.results import add_files, add_models, add_tables
from burnscar_assets.cli.services import add_services
from burnscar_assets.cli.worlds import add_init, add_study
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE, data_root
from burnscar_assets.errors import BurnscarError
from burnscar_assets.network.environment import share_transport
from burnscar_assets.plausible import check_path, check_text
from burnscar_assets.process import collect_seldom
from burnscar_assets.storage.atomic import full_disk_errors
from burnscar_assets.terminal import complain, quiet_closed_pipe, write_in_any_encoding


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

    add_chain(commands, shared, placed)
    add_init(commands, placed)
    add_study(commands, placed)
    add_models(commands, shared)
    add_tables(commands, shared, placed)
    add_files(commands, shared, placed)
    add_map(commands, shared)
    add_map_image(commands)
    add_services(commands, shared)
    return parser
