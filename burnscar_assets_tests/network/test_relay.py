"""GDAL connects to nothing but what it was given: no redirect, no name and no change of a name leads it elsewhere."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from burnscar_assets.errors import InputError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.network import relay, relay_process
from burnscar_assets.network.environment import PROXIES
from burnscar_assets.network.relay import RefusedConnectionError, explained
from burnscar_assets.network.relay_process import Relay, Rule
from burnscar_assets.reader.files import FORGETTING, _serves_no_image, bulk_options
from burnscar_assets.reader.origin import _product_metadata
from burnscar_assets_tests.catalog.small_archive import serve

NAME = "innocent.example"
PIXELS = np.random.default_rng(0).integers(0, 9999, (1, 512, 512)).astype("uint16")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of one image."""
    transform = from_origin(700_020, 4_200_000, 10, 10)
    kind = {"driver": "GTiff", "dtype": "uint16", "crs": "EPSG:32610", "transform": transform}
    with rasterio.open(
        tmp_path / f"{tmp_path.name}.tif", "w", width=512, height=512, count=1, tiled=True, **kind
    ) as file:
        file.write(PIXELS)
    with rasterio.Env(**bulk_options(), **FORGETTING):
        yield tmp_path


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *(name.upper() for name in PROXIES)):
        monkeypatch.delenv(name, raising=False)


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Have `NAME` stand for these, one after the other, the last for ever."""
    left, real = [*answers], socket.getaddrinfo

    def lookup(host: str, port: int, *args: object, **options: object) -> list:
        if host != NAME:
            return real(host, port, *args, **options)
        return real(left.pop(0) if len(left) > 1 else left[0], port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def read(address: str, hosts: tuple[str, ...] = ()) -> np.ndarray:
    with open_raster(address, hosts) as source:
        return explained(source.read, address, hosts)


@pytest.mark.parametrize("patient", [0, 1], ids=["at once", "after the header"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "[::ffff:127.0.0.1]", "2130706433"])
def test_a_redirect_is_not_followed_whenever_it_comes(folder: Path, host: str, patient: int) -> None:
    with serve(folder) as (there, asked):
        target = there.replace("127.0.0.1", host)
        with (
            serve(folder, elsewhere=lambda path, before: target + path if before >= patient else "") as (here, own),
            pytest.raises(RefusedConnectionError, match="redirects to"),
        ):
            read(f"{here}/{folder.name}.tif")
    assert len(own) > patient
    assert not asked


def test_an_address_in_gdals_own_form_leads_nowhere_either(folder: Path) -> None:
    with serve(folder) as (there, asked):
        target = there.replace("127.0.0.1", "localhost")
        with (
            serve(folder, elsewhere=lambda path, before: target + path) as (here, _),
            pytest.raises(RefusedConnectionError),
        ):
            read(f"/vsicurl/{here}/{folder.name}.tif")
    assert not asked


def test_a_redirect_to_a_host_that_the_settings_allow_is_followed(folder: Path) -> None:
    with serve(folder) as (there, asked):
        target = there.replace("127.0.0.1", "localhost")
        with serve(folder, elsewhere=lambda path, before: target + path) as (here, _):
            np.testing.assert_array_equal(read(f"{here}/{folder.name}.tif", ("localhost",)), PIXELS)
    assert asked


def test_a_redirect_on_the_host_is_followed(folder: Path) -> None:
    with serve(folder, elsewhere=lambda path, before: f"/{folder.name}.tif" if path == "/old.tif" else "") as (here, _):
        np.testing.assert_array_equal(read(f"{here}/old.tif"), PIXELS)


def test_a_name_that_stands_for_this_machine_is_not_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "127.0.0.1")
    with serve(folder) as (here, asked):
        address = f"{here.replace('127.0.0.1', NAME)}/{folder.name}.tif"
        assert not by_curl(Rule.of(address, ("*", "127.0.0.1")), address)
        assert not asked
        assert by_curl(Rule.of(address, (NAME,)), address)


def test_a_name_that_changes_what_it_stands_for_is_seen_where_it_is_connected_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, "192.0.2.1", "127.0.0.1")
    monkeypatch.setattr(relay_process, "_CONNECT_S", 0.5)
    with serve(folder) as (here, asked):
        address = f"{here.replace('127.0.0.1', NAME)}/{folder.name}.tif"
        for _ in range(3):
            assert not by_curl(Rule.of(address, ("*",)), address)
    assert not asked


def test_nor_are_metadata_and_a_second_look_asked_for_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "127.0.0.1")
    with serve(folder) as (here, asked):
        address = f"{here.replace('127.0.0.1', NAME)}/{folder.name}.tif"
        assert not _serves_no_image(address, ("*.example",))
        with pytest.raises(OSError, match="private network"):
            _product_metadata(address, ("*.example",))
        assert not asked
        assert not _serves_no_image(address, (NAME,))
        assert asked


def by_curl(rule: Rule, address: str, user: str = "known") -> bool:
    """Whether a file comes through a relay of this process, where names stand for what a test says."""
    served = Relay()
    served.rules["known"] = rule
    proxy = f"socks5h://{user}:-@127.0.0.1:{served.port}"
    command = ["curl", "-sS", "--max-time", "5", "--noproxy", "", "--proxy", proxy, "--output", os.devnull, address]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_what_no_proxy_names_does_not_go_round_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "*")
    with (
        serve(folder) as (there, asked),
        serve(folder, elsewhere=lambda path, before: there.replace("127.0.0.1", "localhost") + path) as (here, _),
        pytest.raises(RefusedConnectionError),
    ):
        read(f"{here}/{folder.name}.tif")
    assert not asked


def test_no_other_program_connects_through_it(folder: Path) -> None:
    with serve(folder) as (here, asked):
        address = f"{here}/{folder.name}.tif"
        assert by_curl(Rule.of(address, ()), address)
        assert not by_curl(Rule.of(address, ()), address, user="unknown")
    assert len(asked) == 1


def test_it_has_no_secrets_and_ends_with_the_process(folder: Path) -> None:
    program = (
        "import os; from burnscar_assets.network.relay import _relay; pid = _relay()._process.pid; "
        "print(pid, 'AWS_SECRET_ACCESS_KEY' in open(f'/proc/{pid}/environ').read()); os._exit(1)"
    )
    environment = os.environ | {"AWS_SECRET_ACCESS_KEY": "secret"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, timeout=60, check=False, capture_output=True
    ).stdout.split()
    assert told[1] == b"False"
    deadline = time.monotonic() + 10
    while Path(f"/proc/{int(told[0])}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_another_one_takes_its_place(folder: Path) -> None:
    with serve(folder) as (here, _):
        read(f"{here}/{folder.name}.tif")
        first = relay._relay()._process
        first.kill()
        first.wait()
        np.testing.assert_array_equal(read(f"{here}/{folder.name}.tif"), PIXELS)


def test_many_threads_read_at_once(folder: Path) -> None:
    """Relay and server are other processes: GDAL holds Python's lock here and there while it waits for an answer."""
    program = (
        "import sys; from pathlib import Path; from burnscar_assets_tests.catalog.small_archive import serve\n"
        "with serve(Path(sys.argv[1])) as (here, _):\n    print(here, flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        here = server.stdout.readline().strip()
        with ThreadPoolExecutor(16) as pool:
            began = time.monotonic()
            for found in pool.map(_read_anew, [f"{here}/{folder.name}.tif"] * 64):
                np.testing.assert_array_equal(found, PIXELS)
        assert time.monotonic() - began < 50
        server.stdin.close()


def _read_anew(address: str) -> np.ndarray:
    with rasterio.Env(**bulk_options(), **FORGETTING):
        return read(address)


def test_a_process_that_was_forked_has_one_of_its_own(folder: Path) -> None:
    with serve(folder) as (here, _):
        read(f"{here}/{folder.name}.tif")
        child = os.fork()
        if not child:
            os._exit(0 if relay._RELAY is None and relay._relay().is_running else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_other_ports_and_schemes_of_the_host() -> None:
    rule = Rule.of("http://archive.example:8080/x.tif", ())
    with pytest.raises(InputError, match="port 6379"):
        rule.check("archive.example", 6379)
    assert Rule.of("https://EXAMPLE.org./x", ()) == Rule.of("https://example.org/y", ())
    assert Rule.of("https://bücher.example/x", ()).host == "xn--bcher-kva.example"
