"""The web UI as tests drive it: `burnscar ui` in a session of its own, its GraphQL, and headless Chromium on it."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import element_to_be_clickable, visibility_of_element_located
from selenium.webdriver.support.wait import WebDriverWait

from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.browser import running_chromium
from burnscar_assets_tests.orchestration.conftest import BIN
from burnscar_assets_tests.orchestration.label_world import CHAIN

PATIENCE_S = 120.0
MARK = "WEB_UI_TEST"
LOOPBACK = "127.0.0.1"
SIZE = (1600, 1200)
WIDE = (3400, 2400)
"""Large enough for a lineage whose nodes tell their state in words."""

GROUP = re.compile(r"[a-z_]+\d+")
"""Text of a group that isn't expanded: its name, and how many assets are in it."""

PARENT_TAG = "dagster/parent_backfill_id"
BACKFILLS = """
{ partitionBackfillsOrError { ... on PartitionBackfills { results {
  id title status partitionNames tags { key value }
} } } }"""

RUNS = """
{ runsOrError { ... on Runs { results { status assetSelection { path } tags { key value } } } } }"""

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true."""
    deadline = time.monotonic() + patience_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.2)
    return answer


class Run(NamedTuple):
    """What Dagster knows of a run."""

    status: str
    fire_year: str | None
    assets: set[str]


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

    def answers(self) -> bool:
        """Whether the server answers at all."""
        try:
            return "version" in self.ask("{ version }")
        except (OSError, http.client.HTTPException):
            return False

    def has_loaded(self) -> bool:
        """Whether the server answers and knows the assets; fails if it has ended."""
        assert self.process.poll() is None, "burnscar ui ended; its output is above"
        try:
            nodes = self.ask("{ assetNodes { assetKey { path } } }")["assetNodes"]
        except (OSError, http.client.HTTPException):
            return False
        return set(CHAIN) <= {node["assetKey"]["path"][-1] for node in nodes}

    def runs(self, tag: str, value: str | None = None) -> list[Run]:
        """Runs with a tag, or with one value of it, oldest first."""
        found = []
        for run in reversed(self.ask(RUNS)["runsOrError"]["results"]):
            tags = {item["key"]: item["value"] for item in run["tags"]}
            assets = {key["path"][-1] for key in run["assetSelection"]}
            if tag in tags and value in (None, tags[tag]):
                found.append(Run(run["status"], tags.get("dagster/partition"), assets))
        return found

    def backfills(self) -> list[dict[str, Any]]:
        """Id, title, status, partitions and parent of all backfills, newest first."""
        found = self.ask(BACKFILLS)["partitionBackfillsOrError"]["results"]
        return [
            backfill | {"parent": {tag["key"]: tag["value"] for tag in backfill.pop("tags")}.get(PARENT_TAG)}
            for backfill in found
        ]

    def end_of_backfill(self, **known: Any) -> dict[str, Any]:
        """The newest backfill of which this is known, once it has ended."""

        def ended() -> dict[str, Any] | None:
            found = [backfill for backfill in self.backfills() if known.items() <= backfill.items()]
            return found[0] if found and found[0]["status"] not in ("REQUESTED", "IN_PROGRESS") else None

        return wait_for(ended)

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


@contextmanager
def running_web_ui(root: DataRoot, programs: Path = BIN) -> Iterator[WebUi]:
    """`burnscar ui` of a data root on a free port, until the end of the block; `programs` is where `burnscar` lies."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    mark = uuid.uuid4().hex
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BURNSCAR_", "DAGSTER_"))}
    process = subprocess.Popen(
        [str(programs / "burnscar"), "ui", "--port", str(port)],
        env=environment | {"BURNSCAR_DATA": str(root.path), MARK: mark},
        cwd=root.path.parent,
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


@dataclass(frozen=True)
class Browser:
    """A browser window on the web UI."""

    driver: Chrome
    server: WebUi

    def open(self, path: str, size: tuple[int, int] = SIZE) -> None:
        self.driver.set_window_size(*size)
        self.driver.get(self.server.address + path)

    def wait(self, condition: Callable[[Chrome], Literal[False] | T]) -> T:
        ignored = (StaleElementReferenceException,)
        return WebDriverWait(self.driver, PATIENCE_S, ignored_exceptions=ignored).until(condition)

    def click(self, css_or_xpath: str) -> None:
        by = By.XPATH if css_or_xpath.startswith("//") else By.CSS_SELECTOR
        self.wait(element_to_be_clickable((by, css_or_xpath))).click()

    def reads(self, text: str) -> None:
        """Wait until an element of the page shows this text and no other."""
        self.wait(visibility_of_element_located((By.XPATH, f"//*[text()='{text}']")))

    def text(self) -> str:
        """All that the page shows."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def nodes(self) -> list[str]:
        """Texts of the nodes of a lineage."""
        nodes = self.driver.find_elements(By.CSS_SELECTOR, "svg foreignObject")
        return [node.get_attribute("textContent") or "" for node in nodes]

    def node(self, asset: str) -> str:
        """What the lineage says of an asset; empty while it isn't drawn."""
        return next((text for text in self.nodes() if text.startswith(f"{asset}Latest event")), "")

    def open_lineage(self, *assets: str) -> None:
        """The lineage of these assets alone, all groups expanded (they stay so), in a window that is wide enough."""
        chosen = " or ".join(f'key:"{asset}"' for asset in assets)
        self.open(f"/asset-groups~{quote(chosen, safe='')}", WIDE)

        def drawn(_: Chrome) -> bool:
            nodes = self.nodes()
            if nodes and all(GROUP.fullmatch(text) for text in nodes):
                ActionChains(self.driver).key_down(Keys.ALT).send_keys("e").key_up(Keys.ALT).perform()
            return any(self.node(asset) for asset in assets)

        self.wait(drawn)

    def open_year(self, asset: str, year: str) -> None:
        """The page of one partition of an asset, once it shows its state."""
        self.open(f"/assets/{asset}?view=partitions&partition={year}")
        self.reads("Latest materialization")

    def launch(self, *years: str) -> None:
        """Press *Materialize*, choose years in its dialog, and launch them."""
        self.click("//button[starts-with(., 'Materialize')]")
        chosen = (By.CSS_SELECTOR, "[role=dialog] input[placeholder^='ex:']")
        self.wait(element_to_be_clickable(chosen)).send_keys(", ".join(years), Keys.ENTER)
        self.reads(f"{len(years)} partition{'s' if len(years) > 1 else ''}")
        self.click("//*[@role='dialog']//button[starts-with(., 'Launch')]")

    def launched_backfill(self) -> str:
        """The id of the backfill that the page says was launched."""
        launched = self.wait(visibility_of_element_located((By.XPATH, "//*[contains(text(), 'Created backfill')]")))
        return launched.text.split()[-1]

    def re_execute_from_failure(self, backfill_id: str) -> None:
        """Choose it from the menu of a backfill's page, and wait until the page says that it was done."""
        self.open(f"/runs/b/{backfill_id}")
        self.reads("Failed")
        self.click("//button[not(normalize-space())]")
        self.click("//*[text()='Re-execute from failure']")
        wait_for(lambda: any(backfill["parent"] == backfill_id for backfill in self.server.backfills()))

    def picture_size(self) -> tuple[int, int]:
        """Open the preview of the page's partition or event; the natural size of the picture that shows."""
        self.click("//tr[contains(., 'burnscar/preview')]//a[contains(., 'Show Markdown')]")
        shown = (By.CSS_SELECTOR, "[role=dialog] img[src^='data:image/png']")
        image = self.wait(visibility_of_element_located(shown))
        self.wait(lambda _: image.get_property("complete"))
        return int(str(image.get_property("naturalWidth"))), int(str(image.get_property("naturalHeight")))


@contextmanager
def running_browser(server: WebUi, profile: Path) -> Iterator[Browser]:
    """Chromium on a web UI, until the end of the block.

    Args:
        server: the web UI.
        profile: an empty folder for Chromium's own files.
    """
    with running_chromium(profile, SIZE) as driver:
        yield Browser(driver, server)
