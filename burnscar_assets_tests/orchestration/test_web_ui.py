"""The web UI as a person uses it, in a browser: all is green, every picture shows, a backfill runs, nothing stays."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import element_to_be_clickable, visibility_of_element_located
from selenium.webdriver.support.wait import WebDriverWait

from burnscar_assets.orchestration.versions import STAGE_VERSIONS
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.tables import table_path
from burnscar_assets_tests.orchestration.conftest import BIN, DemoRun

pytestmark = [pytest.mark.slow, pytest.mark.browser]

YEARS = ("2019", "2020", "2021", "2022")
RELEASE = "calfire_release"
BY_YEAR = sorted(set(STAGE_VERSIONS) - {RELEASE})
PATIENCE_S = 120.0
MARK = "WEB_UI_TEST"
LOOPBACK = "127.0.0.1"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server",
    "--window-size=1600,1200",
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class WebUi:
    """A running `burnscar ui`, leader of a session of its own; what it starts carries the mark."""

    process: subprocess.Popen[bytes]
    port: int
    mark: str

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The answer to a GraphQL query."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        body = json.dumps({"query": query, "variables": variables})
        try:
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            answer = json.load(connection.getresponse())
        finally:
            connection.close()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def has_loaded(self) -> bool:
        """Whether the server answers and knows the assets; fails if it has ended."""
        assert self.process.poll() is None, "burnscar ui ended; its output is above"
        try:
            return len(self.ask("{ assetNodes { id } }")["assetNodes"]) == len(STAGE_VERSIONS)
        except (OSError, http.client.HTTPException):
            return False

    def processes(self) -> list[str]:
        """Command lines of all processes that were started with the mark in their environment."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT to the whole group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(PATIENCE_S)


def wait_for(condition: Callable[[], T]) -> T:
    """Ask until the answer is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.2)
    return answer


@pytest.fixture(scope="module")
def web_ui(demo: DemoRun) -> Iterator[WebUi]:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    mark = uuid.uuid4().hex
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BURNSCAR_", "DAGSTER_"))}
    process = subprocess.Popen(
        [str(BIN / "burnscar"), "ui", "--port", str(port)],
        env=environment | {"BURNSCAR_DATA": str(demo.root.path), MARK: mark},
        cwd=demo.root.path.parent,
        start_new_session=True,
    )
    server = WebUi(process, port, mark)
    try:
        wait_for(server.has_loaded)
        yield server
    finally:
        try:
            server.interrupt()
        finally:
            if server.processes():
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def browser(web_ui: WebUi, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromedriver not found: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    driver = Chrome(options=options, service=Service(chromedriver))
    try:
        yield Browser(driver, web_ui)
    finally:
        driver.quit()


@dataclass(frozen=True)
class Browser:
    """A browser window on the web UI."""

    driver: Chrome
    server: WebUi

    def open(self, path: str) -> None:
        self.driver.get(self.server.address + path)

    def wait(self, condition: Callable[[Chrome], Literal[False] | T]) -> T:
        ignored = (StaleElementReferenceException,)
        return WebDriverWait(self.driver, PATIENCE_S, ignored_exceptions=ignored).until(condition)

    def click(self, css_or_xpath: str) -> None:
        by = By.XPATH if css_or_xpath.startswith("//") else By.CSS_SELECTOR
        self.wait(element_to_be_clickable((by, css_or_xpath))).click()

    def reads(self, text: str) -> None:
        """Wait until the page shows the text."""
        self.wait(visibility_of_element_located((By.XPATH, f"//*[text()='{text}']")))

    def nodes(self) -> list[str]:
        """Texts of the nodes of a lineage."""
        nodes = self.driver.find_elements(By.CSS_SELECTOR, "svg foreignObject")
        return [node.get_attribute("textContent") or "" for node in nodes]

    def picture_size(self) -> tuple[int, int]:
        """Open the preview of the page's partition or event; the natural size of the picture that shows."""
        self.click("//tr[contains(., 'burnscar/preview')]//a[contains(., 'Show Markdown')]")
        shown = (By.CSS_SELECTOR, "[role=dialog] img[src^='data:image/png']")
        image = self.wait(visibility_of_element_located(shown))
        self.wait(lambda _: image.get_property("complete"))
        return int(str(image.get_property("naturalWidth"))), int(str(image.get_property("naturalHeight")))


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
    browser.driver.set_window_size(3400, 1200)  # wide enough for nodes that tell their state in words
    browser.open("/asset-groups")
    browser.wait(lambda _: any("sampling" in text for text in browser.nodes()))
    ActionChains(browser.driver).key_down(Keys.ALT).send_keys("e").key_up(Keys.ALT).perform()  # expand all groups

    def states() -> dict[str, str]:
        texts = browser.nodes()
        return {name: text for name in STAGE_VERSIONS for text in texts if text.startswith(f"{name}Latest event")}

    browser.wait(lambda _: len(states()) == len(STAGE_VERSIONS) and "Loading" not in "".join(states().values()))
    for name, state in states().items():
        assert ("Materialized" if name == RELEASE else "100% filled") in state
        assert "failed" not in state.lower() and "missing" not in state.lower()
    browser.driver.set_window_size(1600, 1200)


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


def test_a_backfill_is_launched_and_runs_to_success(browser: Browser, web_ui: WebUi, demo: DemoRun) -> None:
    years = ("2020", "2022")
    tables = {year: table_path(demo.root, FIRE_PERIMETERS, int(year)) for year in YEARS}
    before = {year: table.stat().st_mtime_ns for year, table in tables.items()}
    browser.open("/assets/fire_perimeters")
    browser.click("//button[contains(., 'Materialize')]")
    chosen = (By.CSS_SELECTOR, "[role=dialog] input[placeholder^='ex:']")
    field = browser.wait(element_to_be_clickable(chosen))
    field.send_keys(", ".join(years), Keys.ENTER)
    browser.reads("2 partitions")
    browser.click("//*[@role='dialog']//button[.='Launch backfill']")
    launched = browser.wait(visibility_of_element_located((By.XPATH, "//*[contains(text(), 'Created backfill')]")))
    name = launched.text.split()[-1]

    def status() -> dict[str, Any]:
        query = "query B($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {"
        return web_ui.ask(query + " status partitionNames } } }", id=name)["partitionBackfillOrError"]

    ended = wait_for(lambda: answer if (answer := status())["status"] not in ("REQUESTED", "IN_PROGRESS") else None)
    assert ended == {"status": "COMPLETED_SUCCESS", "partitionNames": list(years)}
    browser.open("/runs?view=backfills")
    browser.wait(
        lambda driver: f"{name}\n" in (text := driver.find_element(By.TAG_NAME, "body").text) and "Success" in text
    )
    written = {year for year, table in tables.items() if table.stat().st_mtime_ns != before[year]}
    assert written == set(years)


def test_stopping_leaves_no_process_behind(web_ui: WebUi) -> None:
    assert len(web_ui.processes()) >= 4, "web server, daemon, code server and their parent"
    web_ui.interrupt()
    wait_for(lambda: not web_ui.processes())
    with socket.socket() as client:
        assert client.connect_ex((LOOPBACK, web_ui.port)) != 0
