"""A page of another origin, in a real browser on the same machine, changes nothing behind the web UI.

The same page is tried on Dagster's own server first, where it wipes an asset: it would find a guard that lets it in.
"""

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.browser import running_chromium
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld
from burnscar_assets_tests.orchestration.web_ui_kit import (
    LOOPBACK,
    SIZE,
    WebUi,
    running_web_ui,
    wait_for,
)
from burnscar_assets_tests.storage.s3_server import free_port

pytestmark = pytest.mark.slow

WIPE = 'mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["burn_history"]}}]) { __typename } }'
ATTACKS = """<!doctype html><title>attack</title><body><script>
const target = "%(target)s", wipe = %(wipe)s, body = JSON.stringify({query: wipe});
const image = new Image();
image.onload = image.onerror = () => { document.title += " image"; };
image.src = target + "/graphql?query=" + encodeURIComponent(wipe);
document.body.append(image);
const ask = (path, options) => fetch(target + path, {mode: "no-cors", ...options}).catch(() => 0);
Promise.all([
  ask("/graphql?query=" + encodeURIComponent(wipe)),
  ask("/graphql", {method: "POST", body: body, headers: {"Content-Type": "text/plain"}}),
  ask("/graphql?query=" + encodeURIComponent(wipe), {method: "POST"}),
  ask("/report_asset_materialization/burn_history?partition=2020", {method: "POST"}),
]).then(() => { document.title += " fetched"; });
const socket = new WebSocket(target.replace("http", "ws") + "/graphql", "graphql-ws");
const end = () => { if (!document.title.includes("socket")) document.title += " socket"; };
socket.onopen = () => {
  socket.send(JSON.stringify({type: "connection_init"}));
  socket.send(JSON.stringify({type: "start", id: "1", payload: {query: wipe}}));
  setTimeout(end, 2000);
};
socket.onerror = socket.onclose = end;
const frame = document.createElement("iframe");
frame.name = "frame";
document.body.append(frame);
const form = document.createElement("form");
Object.assign(form, {action: target + "/graphql", method: "POST", target: "frame", enctype: "text/plain"});
const field = document.createElement("input");
Object.assign(field, {name: body.slice(0, -1) + ', "x": "', value: '"}'});
form.append(field);
document.body.append(form);
form.submit();
</script>"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> LabelWorld:
    """A fire year's labels, made."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BURNSCAR_CONFIG", "BURNSCAR_DATA", "DAGSTER_HOME", "WANDB_MODE"):
            patch.setenv(name, "")
        world = LabelWorld(DataRoot(tmp_path_factory.mktemp("attacked") / "data"))
        world.configure(years={"first": 2020, "last": 2020}, automation={"enabled": False})
        world.publish(frap_fires(*(season(2020, n) for n in range(3))))
        with world.runner() as runner:
            assert not runner.refresh([2020], assets=LABELS).failures
        yield world


@contextmanager
def page(folder: Path, target: str) -> Iterator[str]:
    """The address of the attacking page, on another port: another origin."""
    (folder / "index.html").write_text(ATTACKS % {"target": target, "wipe": json.dumps(WIPE)})
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def attack(folder: Path, target: str) -> None:
    """Visit the page, until all that it does has been answered."""
    (folder / "page").mkdir()
    with page(folder / "page", target) as address, running_chromium(folder / "profile", SIZE) as driver:
        driver.get(address)
        wait_for(lambda: all(word in driver.title for word in ("image", "fetched", "socket")))


def materializations(root: DataRoot) -> int:
    with dg.DagsterInstance.from_config(str(root.dagster_home)) as instance:
        return len(instance.fetch_materializations(dg.AssetKey("burn_history"), limit=10).records)


def test_a_page_of_another_origin_changes_nothing(world: LabelWorld, tmp_path: Path) -> None:
    before = materializations(world.root)
    assert before
    with running_web_ui(world.root) as server:
        attack(tmp_path, server.address)
        assert server.ask("{ assetNodes { id } }"), "the web UI's own questions are answered"
    assert materializations(world.root) == before


def test_a_server_for_other_machines_wants_a_token(world: LabelWorld) -> None:
    command = [sys.executable, "-m", "burnscar_assets", "ui", "--host", "0.0.0.0", "--port", "0"]
    environment = {k: v for k, v in os.environ.items() if k != "BURNSCAR_UI_TOKEN"}
    environment |= {"BURNSCAR_DATA": str(world.root.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "set BURNSCAR_UI_TOKEN" in done.stderr


def test_the_page_would_find_a_server_without_a_guard(world: LabelWorld, tmp_path: Path) -> None:
    """Last in this file: it wipes the asset of the world."""
    port = free_port()
    command = [sys.executable, "-m", "dagster_webserver", "--port", str(port), "--empty-workspace"]
    environment = os.environ | {"DAGSTER_HOME": str(world.root.dagster_home)}
    with subprocess.Popen(command, env=environment) as process:
        try:
            server = WebUi(process, port, "")
            wait_for(server.answers)
            attack(tmp_path, server.address)
            assert materializations(world.root) == 0
        finally:
            process.terminate()
