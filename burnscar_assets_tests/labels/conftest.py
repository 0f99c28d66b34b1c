"""No test of the labels waits between tries."""

import pytest

from burnscar_assets.labels import http


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", 0.0)
