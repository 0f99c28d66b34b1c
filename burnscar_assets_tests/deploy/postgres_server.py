"""A real PostgreSQL server on loopback, from Debian's packages, in a folder that is gone afterwards."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from burnscar_assets_tests.storage.s3_server import free_port

USER, PASSWORD, DATABASE = "dagster", "dagster-secret", "dagster"
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class PostgresServer:
    """Where the server listens."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """The variables that deploy/postgres/dagster.yaml reads."""
        return {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_DB": DATABASE,
            "DAGSTER_PG_USERNAME": USER,
            "DAGSTER_PG_PASSWORD": PASSWORD,
        }

    def connect(self, database: str = DATABASE) -> Any:
        """A connection that goes around Dagster."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, connect_timeout=5
        )
        connection.autocommit = True
        return connection


def postgres_programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None if PostgreSQL isn't installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def postgres_server(programs: Path) -> Iterator[PostgresServer]:
    """Make a cluster, start it (as nobody where we are root, whom it refuses), make the database; stop it at last."""
    port, other = free_port(), {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="burnscar-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if other:
            for path in (folder, folder / "password"):
                shutil.chown(path, **other)
        data = folder / "data"
        initdb = [programs / "initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={folder}/password"]
        subprocess.run([*initdb, "--no-sync"], check=True, capture_output=True, cwd=folder, **other)
        options = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        command = [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True, **other)
        try:
            server = PostgresServer(port)
            _create_database(server, process, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _create_database(server: PostgresServer, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            connection = server.connect("postgres")
        except psycopg2.OperationalError:
            time.sleep(0.1)
        else:
            with closing(connection), connection.cursor() as cursor:
                cursor.execute(f"create database {DATABASE}")
            return
    raise AssertionError(f"PostgreSQL did not start: {log.read_text()}")
