"""Headless Chromium as tests drive it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server",
)  # fmt: skip


@contextmanager
def running_chromium(profile: Path, size: tuple[int, int], *, record: bool = False) -> Iterator[Chrome]:
    """Chromium until the end of the block; skips the test where it isn't installed.

    Args:
        profile: an empty folder for Chromium's own files.
        size: width and height of its window, pixels.
        record: whether to keep logs of what pages ask for and say in the console.
    """
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromedriver not found: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if record:
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()
