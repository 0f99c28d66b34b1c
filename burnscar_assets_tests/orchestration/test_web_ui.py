"""The web UI of the demo in a browser: all is green, every picture shows, figures plot, nothing stays behind."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from burnscar_assets_tests.orchestration.conftest import DemoRun
from burnscar_assets_tests.orchestration.label_world import CHAIN
from burnscar_assets_tests.orchestration.web_ui_kit import (
    LOOPBACK,
    Browser,
    WebUi,
    running_browser,
    running_web_ui,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.browser]

YEARS = ("2019", "2020", "2021", "2022")
RELEASE = "calfire_release"
BY_YEAR = sorted(set(CHAIN) - {RELEASE})


@pytest.fixture(scope="module")
def web_ui(demo: DemoRun) -> Iterator[WebUi]:
    with running_web_ui(demo.root) as server:
        yield server


@pytest.fixture(scope="module")
def browser(web_ui: WebUi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(web_ui, tmp_path_factory.mktemp("chromium")) as window:
        yield window


def test_the_server_listens_on_this_machine_only(web_ui: WebUi) -> None:
    tables = [path for path in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if path.exists()]
    rows = [line.split() for path in tables for line in path.read_text().splitlines()[1:]]
    found = set()
    for _, local, _, state, *_ in rows:
        address, port = local.split(":")
        if state == "0A" and int(port, 16) == web_ui.port:
            is_v4 = len(address) == 8
            found.add(socket.inet_ntoa(bytes.fromhex(address)[::-1]) if is_v4 else address)
    assert found == {LOOPBACK}


def test_the_lineage_shows_every_asset_materialized(browser: Browser) -> None:
    browser.open_lineage(*CHAIN)

    def states() -> dict[str, str]:
        return {name: state for name in CHAIN if (state := browser.node(name))}

    browser.wait(lambda _: len(states()) == len(CHAIN) and "Loading" not in "".join(states().values()))
    for name, state in states().items():
        assert ("Materialized" if name == RELEASE else "100% filled") in state
        assert "failed" not in state.lower() and "missing" not in state.lower()


@pytest.mark.parametrize("asset", BY_YEAR)
def test_every_fire_year_is_materialized_and_has_a_picture(browser: Browser, asset: str) -> None:
    browser.open(f"/assets/{asset}?view=partitions&partition=2021")
    browser.reads(f"Materialized ({len(YEARS)})")
    for none in ("Failed (0)", "Materializing (0)", "Missing (0)", *YEARS):
        browser.reads(none)
    assert min(browser.picture_size()) > 100


def test_the_release_has_a_picture(browser: Browser) -> None:
    browser.open(f"/assets/{RELEASE}?view=events")
    assert min(browser.picture_size()) > 100


def test_key_figures_plot_over_fire_years(browser: Browser) -> None:
    browser.open("/assets/evaluation_metrics")
    browser.click("//button[.='Plots']")
    for name in ("f1_burnt", "auroc", "baseline_f1_burnt"):
        browser.reads(f"burnscar/{name}")
    assert browser.wait(lambda driver: driver.find_elements(By.TAG_NAME, "canvas"))


def test_stopping_leaves_no_process_behind(web_ui: WebUi) -> None:
    assert len(web_ui.processes()) >= 4, "web server, daemon, code server and their parent"
    web_ui.interrupt()
    wait_for(lambda: not web_ui.processes())
    with socket.socket() as client:
        assert client.connect_ex((LOOPBACK, web_ui.port)) != 0
