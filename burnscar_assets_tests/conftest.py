"""Fixtures that more than one stage's tests need, and how Hypothesis draws examples.

The same code gets the same examples, so the same verdict, on every machine. `--hypothesis-profile exploring` draws new
ones. Neither has a deadline: two busy cores are slow now and then.
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from burnscar_assets.storage.paths import DataRoot

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_UNHURRIED = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("exploring", derandomize=False, **_UNHURRIED)
settings.register_profile("repeated", derandomize=True, database=None, **_UNHURRIED)
settings.load_profile("repeated")

# Before torch is imported, here and in what tests start: threads that spin while they wait for each other triple the
# CPU seconds of a training where pytest's processes share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files so that none of pytest's processes waits for another one.

    The first file has the demo made, which takes longest. The other slow files come next, so that no long one is left
    to the end; then those that look at the demo, too, which it is ready for by then; then all others.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    of_demo = {item.path for item in items if "demo" in getattr(item, "fixturenames", ())}
    first = max(of_demo, key=lambda path: (slow[path], path), default=None)
    items.sort(key=lambda item: (item.path != first, not slow[item.path], item.path in of_demo, -slow[item.path]))


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """An empty data root."""
    return DataRoot(tmp_path / "data")


@pytest.fixture
def real_data() -> Path:
    """The folder of real data, or a skip that says so."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data not found at {REAL_DATA}")
    return REAL_DATA
