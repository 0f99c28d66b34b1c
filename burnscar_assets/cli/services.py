"""The commands that serve or look after the machine: ui, doctor."""

import argparse
from typing import Any

from rich.text import Text

from burnscar_assets.cli.arguments import open_world, port
from burnscar_assets.terminal import show


def add_services(commands: Any, shared: argparse.ArgumentParser) -> None:
    """The web UI, and what it needs."""
    ui = commands.add_parser("ui", parents=[shared], help="start the web UI and the daemon")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1); others need a token")
    ui.add_argument("--port", type=port, default=3000, help="port (default 3000); 0: any that is free")
    ui.add_argument("--read-only", action="store_true", help="show everything, and let nobody run or change anything")
    ui.set_defaults(command=_ui)
    doctor = commands.add_parser("doctor", parents=[shared], help="check libraries, folders, GPU and sources")
    doctor.set_defaults(command=_doctor)


def _ui(options: argparse.Namespace) -> int:
    from burnscar_assets.orchestration.instance import open_instance
    from burnscar_assets.orchestration.partitions import World
    from burnscar_assets.orchestration.services import run_services
    from burnscar_assets.orchestration.web_server import check_home, policy_of, reserve_port

    settings, root, path = open_world()
    check_home(root.dagster_home)
    chosen = reserve_port(options.host, options.port)
    policy_of(options.host, chosen)
    with open_instance(World(settings, root), path):
        pass
    announcement = f"{settings.name}: http://{options.host}:{chosen} (data root {root.path})"
    run_services(options.host, chosen, root.dagster_home, announcement, read_only=options.read_only)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from burnscar_assets.doctor import checks

    settings, root, _ = open_world()
    marks = {True: Text("ok", "green"), False: Text("missing", "red"), None: Text("note", "yellow")}
    results = checks(settings, root)
    rows = [(marks[check.ok], check.name, check.detail, "" if check.ok else check.remedy) for check in results]
    show(("", "check", "found", "what to do"), rows)
    return int(any(check.ok is False for check in results))
