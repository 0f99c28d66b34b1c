"""Fixtures that more than one stage's tests need."""

from pathlib import Path

import pytest

from burnscar_assets.storage.paths import DataRoot

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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
