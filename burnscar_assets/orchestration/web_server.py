"""Dagster's web server behind the guard, for `burnscar ui`: `python -m burnscar_assets.orchestration.web_server`."""

import argparse
from collections.abc import Sequence

import uvicorn

from burnscar_assets.orchestration.dagster_private import web_application
from burnscar_assets.orchestration.web_guard import Guard, policy_of
from burnscar_assets.parent import end_with_parent


def serve(host: str, port: int, workspace: str, *, read_only: bool) -> None:
    """Serve Dagster's web UI until a signal ends it.

    Args:
        host: Address to listen on.
        port: Port.
        workspace: Path of Dagster's workspace file.
        read_only: Whether pages show everything and change nothing.
    """
    policy = policy_of(host, port)
    with web_application(workspace, read_only=read_only) as application:
        uvicorn.run(Guard(application, policy), host=host, port=port, log_level="warning", access_log=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve what the command line says."""
    parser = argparse.ArgumentParser(prog="burnscar_assets.orchestration.web_server", description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--read-only", action="store_true")
    options = parser.parse_args(arguments)
    end_with_parent()
    serve(options.host, options.port, options.workspace, read_only=options.read_only)


if __name__ == "__main__":
    main()
