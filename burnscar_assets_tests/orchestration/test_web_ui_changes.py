"""What a person sees and does in a browser when a year failed and when a release changed, down to a refresh."""

import json
import shutil
from collections.abc import Iterator

import pytest

from burnscar_assets.orchestration.runs import REFRESH_TAG
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_path
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.label_world import CHAIN
from burnscar_assets_tests.orchestration.small_world import edit_fires, grow_a_fire
from burnscar_assets_tests.orchestration.web_ui_kit import Browser, WebUi, running_browser, running_web_ui

pytestmark = [pytest.mark.slow, pytest.mark.browser]

UNEDITED, EDITED = YEARS = ("2019", "2020")
WITHOUT_YEARS = ("calfire_release", "label_doubts")
NODES = "query N($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) { assetKey { path } %s } }"


@pytest.fixture(scope="module")
def world(small_world: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    root = DataRoot(tmp_path_factory.mktemp("changes") / "data")
    shutil.copytree(small_world.path, root.path)
    return root


@pytest.fixture(scope="module")
def web_ui(world: DataRoot) -> Iterator[WebUi]:
    with running_web_ui(world) as server:
        yield server


@pytest.fixture(scope="module")
def browser(web_ui: WebUi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(web_ui, tmp_path_factory.mktemp("chromium")) as window:
        yield window


def stale_in_the_web_ui(server: WebUi) -> set[tuple[str, int | None, str]]:
    """Asset, fire year and state of all that the web UI marks as stale or missing."""
    by_year = [{"path": [name]} for name in CHAIN if name not in WITHOUT_YEARS]
    nodes = server.ask(NODES % "partitionKeys staleStatusByPartition", keys=by_year)["assetNodes"]
    states = {
        (node["assetKey"]["path"][0], int(year), state)
        for node in nodes
        for year, state in zip(node["partitionKeys"], node["staleStatusByPartition"], strict=True)
    }
    others = server.ask(NODES % "staleStatus", keys=[{"path": [name]} for name in WITHOUT_YEARS])["assetNodes"]
    states |= {(node["assetKey"]["path"][0], None, node["staleStatus"]) for node in others}
    return {state for state in states if state[2] != "FRESH"}


def planned(world: DataRoot) -> set[tuple[str, int | None, str]]:
    plan = json.loads(run_command(world, "burnscar", "plan", "--json").stdout)
    return {(pair["asset"], pair["fire_year"], pair["status"]) for pair in plan}


def test_only_the_failed_year_of_a_backfill_is_run_again(browser: Browser, web_ui: WebUi, world: DataRoot) -> None:
    perimeters = table_path(world, FIRE_PERIMETERS, int(EDITED))
    aside = perimeters.rename(world.path / "aside.parquet")
    browser.open("/assets/sample_points")
    browser.launch(*YEARS)
    failed = web_ui.end_of_backfill(id=browser.launched_backfill())
    assert (failed["status"], failed["partitionNames"]) == ("COMPLETED_FAILED", list(YEARS))

    aside.rename(perimeters)
    browser.open_lineage("sample_points")
    browser.wait(lambda _: "50% filled (1 failed)" in browser.node("sample_points"))
    browser.re_execute_from_failure(failed["id"])
    again = web_ui.end_of_backfill(parent=failed["id"])
    assert (again["status"], again["partitionNames"]) == ("COMPLETED_SUCCESS", [EDITED])
    assert [run.fire_year for run in web_ui.runs("dagster/backfill", again["id"])] == [EDITED]
    browser.open_lineage("sample_points")
    browser.wait(lambda _: "100% filled" in browser.node("sample_points"))


def test_only_the_year_of_an_edited_fire_is_marked_stale(browser: Browser, web_ui: WebUi, world: DataRoot) -> None:
    edit_fires(world.path / "release.gpkg", lambda fires: grow_a_fire(fires, int(EDITED)))
    run_command(world, "burnscar", "refresh", "--select", "calfire_release", "--in-process")
    for year in YEARS:
        browser.open_year("fire_perimeters", year)
        if year == EDITED:
            browser.wait(lambda _: "Unsynced (1)" in browser.text())
        assert ("Unsynced" in browser.text()) == (year == EDITED)
    seen = stale_in_the_web_ui(web_ui)
    assert {state for state in seen if state[2] == "STALE"} == {
        ("burn_history", int(EDITED), "STALE"),
        ("fire_perimeters", int(EDITED), "STALE"),
    }
    assert seen == planned(world)


def test_a_year_is_picked_in_the_lineage_and_made(browser: Browser, web_ui: WebUi, world: DataRoot) -> None:
    browser.open_lineage("fire_perimeters")
    browser.wait(lambda _: "100% filled" in browser.node("fire_perimeters"))
    browser.click("//*[name()='foreignObject']//*[text()='fire_perimeters']")
    browser.launch(EDITED)
    browser.wait(lambda _: "Materializing" in browser.node("fire_perimeters"))
    browser.wait(lambda _: "100% filled" in browser.node("fire_perimeters"))
    browser.open_year("fire_perimeters", EDITED)
    assert "Unsynced" not in browser.text()
    assert min(browser.picture_size()) > 100
    assert stale_in_the_web_ui(web_ui) == planned(world)


def test_a_refresh_goes_through_the_queue_of_the_web_ui(browser: Browser, web_ui: WebUi, world: DataRoot) -> None:
    unedited = {path: path.stat().st_mtime_ns for path in world.tables.rglob(f"fire_year={UNEDITED}/*")}
    refresh = ("burnscar", "refresh", "--select", "calfire_release", "fire_perimeters", "burn_history", "sample_points")
    assert "1 runs, 2 partitions made" in run_command(world, *refresh).stdout
    newest = web_ui.backfills()[0]
    assert (newest["title"], newest["status"]) == (f"refresh {EDITED}", "COMPLETED_SUCCESS")
    assert [(run.fire_year, run.assets) for run in web_ui.runs(REFRESH_TAG)] == [
        (EDITED, {"burn_history", "sample_points"})
    ]
    browser.open("/runs?view=backfills")
    browser.wait(lambda _: f"{REFRESH_TAG}: queue" in browser.text())
    assert unedited and {path: path.stat().st_mtime_ns for path in unedited} == unedited
    assert "nothing is stale" in run_command(world, *refresh).stdout
    assert stale_in_the_web_ui(web_ui) == planned(world)
