"""The pages in Chromium, opened as files: swipe, layers, zoom and sorting work, nothing is asked of a network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from burnscar_assets.publish.pages.site import write_pages
from burnscar_assets_tests.browser import running_chromium
from burnscar_assets_tests.publish.page_kit import make_map

pytestmark = [pytest.mark.slow, pytest.mark.browser]

DESK, PHONE = (1300, 950), (500, 900)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year with three maps; one has no image from before the fire."""
    year = tmp_path_factory.mktemp("world") / "maps" / "fire_year=2021"
    make_map(year / "bear", name="Bear <b>Creek</b>", seed=0)
    make_map(year / "larch", name="Larch", seed=1, before=False, size=(90, 120))
    make_map(year / "oak", name="Oak", seed=2, size=(60, 60))
    write_pages(year, title="Burned area, fire year 2021", simulated=True)
    return year


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), DESK, record=True) as driver:
        yield driver


def find(driver: Chrome, css: str) -> WebElement:
    return driver.find_element(By.CSS_SELECTOR, css)


def run(driver: Chrome, script: str) -> Any:
    return driver.execute_script(f"return {script}")


def open_page(driver: Chrome, path: Path, place: str = "") -> None:
    driver.get("about:blank")
    driver.get(path.as_uri() + place)
    WebDriverWait(driver, 20).until(lambda _: run(driver, "document.readyState === 'complete'"))


def errors(driver: Chrome) -> list[dict[str, Any]]:
    return [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def share_before(driver: Chrome) -> int:
    return int(find(driver, "#swipe").get_attribute("aria-valuenow") or -1)


def view(driver: Chrome) -> list[float]:
    return [float(part) for part in run(driver, "document.getElementById('stage').getAttribute('viewBox')").split()]


def test_from_all_years_to_a_fire_by_links_alone(chromium: Chrome, maps: Path) -> None:
    open_page(chromium, maps.parent / "index.html")
    find(chromium, "table a").click()
    assert chromium.title == "Burned area, fire year 2021 (simulated imagery)"
    find(chromium, "table th a").click()
    assert "Simulated imagery." in find(chromium, "body").text
    loaded = "[...document.querySelectorAll('image')].length"
    assert run(chromium, loaded) >= 3 and not errors(chromium)


def test_the_swipe_follows_pointer_and_keys(chromium: Chrome, maps: Path) -> None:
    open_page(chromium, maps / "bear" / "index.html")
    assert find(chromium, "h1").text == "Bear <b>Creek</b> 2021"
    swipe, frame = find(chromium, "#swipe"), find(chromium, ".frame")
    assert share_before(chromium) == 50
    quarter = frame.size["width"] // 4
    ActionChains(chromium).drag_and_drop_by_offset(swipe, quarter, 0).perform()
    assert share_before(chromium) == pytest.approx(75, abs=1)
    assert float(find(chromium, "#swipe-rect").get_attribute("width") or 0) == pytest.approx(0.75 * 220, abs=2)
    ActionChains(chromium).move_to_element_with_offset(frame, -quarter, 60).click().perform()
    assert share_before(chromium) == pytest.approx(25, abs=1), "a click on the picture calls the swipe"
    swipe.send_keys(Keys.ARROW_RIGHT)
    assert share_before(chromium) == pytest.approx(27, abs=1)
    for key, wanted in ((Keys.HOME, 0), (Keys.END, 100), (Keys.PAGE_DOWN, 90)):
        swipe.send_keys(key)
        assert share_before(chromium) == wanted
    assert swipe.get_attribute("aria-valuetext") == "90 % before" and not errors(chromium)


def test_layers_come_and_go(chromium: Chrome, maps: Path) -> None:
    open_page(chromium, maps / "bear" / "index.html")
    for name in ("burned", "perimeter", "gaps", "probability", "severity"):
        box, layer = find(chromium, f"#show-{name}"), find(chromium, f"#layer-{name}")
        shown = box.is_selected()
        assert layer.is_displayed() == shown
        box.click()
        assert layer.is_displayed() != shown
    probability = find(chromium, "#layer-probability")
    find(chromium, "#opacity").send_keys(Keys.HOME)
    assert float(probability.value_of_css_property("opacity")) == 0
    find(chromium, "#opacity").send_keys(Keys.END)
    assert float(probability.value_of_css_property("opacity")) == 1 and not errors(chromium)


def test_a_place_of_disagreement_is_shown_large(chromium: Chrome, maps: Path) -> None:
    open_page(chromium, maps / "bear" / "index.html")
    whole, label = view(chromium), find(chromium, "#scale").text
    find(chromium, ".places a").click()
    x, y, width, height = (
        float(part) for part in (find(chromium, ".places a").get_attribute("data-box") or "").split()
    )
    left, top, across, down = view(chromium)
    assert across < whole[2] and across / down == pytest.approx(whole[2] / whole[3], rel=1e-3)
    assert left <= x and top <= y and x + width <= left + across and y + height <= top + down
    assert find(chromium, ".place.chosen").is_displayed() and find(chromium, "#scale").text != label
    frame = find(chromium, ".frame")
    ActionChains(chromium).move_to_element_with_offset(frame, 60, 60).click_and_hold().move_by_offset(
        40, 30
    ).release().perform()
    assert view(chromium)[:2] != [left, top] and share_before(chromium) == 50, "zoomed in, a drag moves the map"
    find(chromium, "#zoom-reset").click()
    assert view(chromium) == whole
    frame.send_keys("+")
    assert view(chromium)[2] < whole[2] and not errors(chromium)
    open_page(chromium, maps / "bear" / "index.html", "#place-1")
    WebDriverWait(chromium, 20).until(lambda _: view(chromium)[2] == pytest.approx(across))
    assert find(chromium, ".frame").rect["y"] >= run(chromium, "window.scrollY") - 1, "the whole map is to be seen"


def test_without_a_before_image_the_page_works_too(chromium: Chrome, maps: Path) -> None:
    open_page(chromium, maps / "larch" / "index.html")
    assert not chromium.find_elements(By.CSS_SELECTOR, "#swipe")
    find(chromium, "#zoom-in").click()
    assert view(chromium)[2] < 120 and not errors(chromium)


def test_the_table_sorts_and_nothing_runs_over_on_a_phone(chromium: Chrome, maps: Path) -> None:
    open_page(chromium, maps / "index.html")
    names = "[...document.querySelectorAll('tbody th a')].map((a) => a.textContent)"
    heading = find(chromium, "[data-key=name] button")
    heading.click()
    assert run(chromium, names) == ["Bear <b>Creek</b>", "Larch", "Oak"]
    heading.send_keys(Keys.ENTER)
    assert run(chromium, names) == ["Oak", "Larch", "Bear <b>Creek</b>"]
    assert find(chromium, "[data-key=name]").get_attribute("aria-sort") == "descending"
    chromium.set_window_size(*PHONE)
    try:
        for path in (maps / "index.html", maps / "bear" / "index.html", maps.parent / "index.html"):
            open_page(chromium, path)
            assert run(chromium, "document.documentElement.scrollWidth <= window.innerWidth"), path
    finally:
        chromium.set_window_size(*DESK)
    assert not errors(chromium)


def test_no_page_asked_for_anything_but_files_beside_it(chromium: Chrome, maps: Path) -> None:
    open_page(chromium, maps / "bear" / "index.html")
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    ours = {one["requestId"]: one["request"]["url"] for one in sent if one["documentURL"].startswith("file:")}
    assert any(url.endswith("after.webp") for url in ours.values()), "Chromium's own first page is none of ours"
    assert [url for url in ours.values() if not url.startswith((maps.parent.as_uri(), "data:"))] == []
    failed = [event["params"] for event in events if event["method"] == "Network.loadingFailed"]
    missing = [ours[one["requestId"]] for one in failed if one["requestId"] in ours and not one.get("canceled")]
    assert missing == [], "all but what a page that was left still waited for is there"
