"""A company's proxy and certificates, given to one library, reach the index and the files of an archive alike."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import rasterio
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.network.environment import BUNDLES, PROXIES
from burnscar_assets.network.session import Limits, Session
from burnscar_assets.reader.files import gdal_options
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, serve, write_archive
from burnscar_assets_tests.labels.label_servers import ForwardProxy, serving

PLACES = [(5, 5), (60, 60)]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies and certificates but those of a test, and those that rasterio and pyogrio bring."""
    for name in (*PROXIES, *(name.upper() for name in PROXIES), *BUNDLES):
        monkeypatch.delenv(name, raising=False)
    for name in ("GDAL_CURL_CA_BUNDLE", "PROJ_CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, DEFAULT_CA_BUNDLE_PATH)


@pytest.mark.parametrize(
    ("name", "host"),
    [("HTTP_PROXY", "capitals.invalid"), ("http_proxy", "small.invalid"), ("ALL_PROXY", "all.invalid")],
)
def test_index_and_files_come_through_the_proxy(
    name: str, host: str, root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(tmp_path / "archive", SmallScene("only"))
    with serve(tmp_path / "archive") as (address, requests), serving(proxy := ForwardProxy(address)) as through:
        monkeypatch.setenv(name, through)
        settings = make_dataset(root, f"http://{host}/index.parquet")
        windows = make_windows(root, PLACES)
        matches, _ = match_scenes(windows, root.dataset, settings)
        _, summary = materialize_tiles(windows, matches, root.dataset, settings)
    assert (summary.complete, summary.left_out) == (2, 0)
    assert all(path.startswith(f"http://{host}/") for path in proxy.asked)
    assert len(proxy.asked) >= len(requests)
    assert {path.rpartition(".")[2] for path in proxy.asked} >= {"parquet", "tif"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A certificate of localhost that no library knows, and its key."""
    path = tmp_path_factory.mktemp("company") / "company.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", f"{path}.crt"]
    try:
        subprocess.run([*command, *names], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"openssl makes no certificate here: {error}")
    with path.open("a") as both:
        both.write(Path(f"{path}.crt").read_text())
    yield path


@pytest.mark.parametrize("name", BUNDLES)
def test_certificates_of_a_company_hold_for_all(
    name: str, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(tmp_path / "archive", SmallScene("only"))
    file = next((tmp_path / "archive").rglob("*.tif")).relative_to(tmp_path / "archive")
    with serve(tmp_path / "archive", certificate=certificate) as (address, _):
        url = f"{address}/{file.as_posix()}"
        monkeypatch.setenv(name, f"{certificate}.crt")
        assert Session(Limits(), ["localhost"]).get(url).ok
        with rasterio.Env(**gdal_options()), rasterio.open(f"/vsicurl/{url}") as source:
            assert source.read(1).any()
