"""Scenes in S3 and in Google Cloud Storage: the engine reads what their servers give to who has the credentials.

Both are asked by plain GET requests for parts of objects; the server here refuses those that aren't signed.
"""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    RangeHandler,
    SmallScene,
    make_dataset,
    make_windows,
    write_scene,
)

BUCKET = "scenes"
LAYER = "sentinel2_l2a"
PLACES = [(5, 5), (60, 60), (150, 100)]
S3, GCS = "AWS4-HMAC-SHA256 Credential=reader/", "GOOG1 reader:"
CLEARED = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY")


class _SignedHandler(RangeHandler):
    """Serves objects to requests that are signed in the reader's name."""

    def do_GET(self) -> None:  # noqa: N802
        said = self.headers.get("Authorization", "")
        if not said.startswith((S3, GCS)):
            self.requests.append("refused")
            self.send_error(403)
            return
        super().do_GET()


@contextmanager
def store(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder whose subfolders are buckets; yields its host and what was asked for."""
    requests: list[str] = []
    handler = type("Handler", (_SignedHandler,), {"requests": requests, "failing": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()


def use(monkeypatch: pytest.MonkeyPatch, scheme: str, host: str) -> None:
    """What the environment says to reach the store."""
    if scheme == "s3":
        found = {"AWS_ENDPOINT_URL": f"http://{host}", "AWS_DEFAULT_REGION": "us-east-1"}
        found |= {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "s3-secret"}
    else:
        found = {"CPL_GS_ENDPOINT": f"http://{host}/"}
        found |= {"GS_ACCESS_KEY_ID": "reader", "GS_SECRET_ACCESS_KEY": "gcs-secret"}
    for name, value in found.items():
        monkeypatch.setenv(name, value)


def index_of(folder: Path, buckets: Path, address: str) -> Path:
    """An index whose files are under an address; without one they are local."""
    item = write_scene(buckets / BUCKET, SmallScene("s"))
    for asset in item["assets"].values():
        asset["href"] = f"{address}/{asset['href'].removeprefix('./')}"
    write_index([item], folder / "index.parquet")
    return folder / "index.parquet"


def tiles_of(root: DataRoot, index: Path) -> tuple[pd.DataFrame, np.ndarray]:
    allowed = [f"s3://{BUCKET}", f"gs://{BUCKET}"]
    imagery = make_dataset(root, index, packed=True, retries=0, max_unreadable_fraction=1, allowed_hosts=allowed)
    windows = make_windows(root, PLACES)
    matches, _ = match_scenes(windows, root.dataset, imagery)
    table, summary = materialize_tiles(windows, matches, root.dataset, imagery)
    if summary.left_out:
        return table, np.empty(0)
    return table, np.array([read_tile(root.dataset, "2022", name, LAYER, BANDS) for name in windows["window_id"]])


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_scenes_in_a_store_are_read_with_the_credentials_of_the_environment(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    buckets = tmp_path / "buckets"
    with store(buckets) as (host, requests):
        remote = index_of(tmp_path, buckets, f"{scheme}://{BUCKET}")
        with monkeypatch.context() as patched:
            use(patched, scheme, host)
            root = DataRoot(tmp_path / "with")
            table, tiles = tiles_of(root, remote)
        assert table["complete"].all()
        assert len(requests) >= len(BANDS) and "refused" not in requests
        local = index_of(tmp_path, buckets, str(buckets / BUCKET))
        np.testing.assert_array_equal(tiles, tiles_of(DataRoot(tmp_path / "local"), local)[1])
        assert "secret" not in json.dumps(json.loads((root.dataset / "config.json").read_text()))
        assert not any(b"-secret" in path.read_bytes() for path in root.path.rglob("*") if path.is_file())
