"""Dagster's web server behind the guard, for `burnscar ui`: `python -m burnscar_assets.orchestration.web_server`."""

import argparse
from collections.abc import Sequence

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from burnscar_assets.orchestration.web_guard import Guard, policy_of
from burnscar_assets.parent import end_with_parent

STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW = 15_000, 3600, 20
"""Of the database's connections, as Dagster's own command has them."""

POLL_MS = 2000
"""How often pages ask for what is new."""


def serve(host: str, port: int, workspace: str, *, read_only: bool) -> None:
    """Serve Dagster's web UI until a signal ends it.

    Args:
        host: Address to listen on.
        port: Port.
        workspace: Path of Dagster's workspace file.
        read_only: Whether pages show everything and change nothing.
    """
    policy = policy_of(host, port)
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance,
            workspace_load_target=WorkspaceFileTarget([workspace]),
            version=__version__,
            read_only=read_only,
            code_server_log_level="warning",
        ) as context,
    ):
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW)
        app = Guard(create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS), policy)
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


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
