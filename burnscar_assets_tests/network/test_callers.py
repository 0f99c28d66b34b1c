"""Whoever asks a server is safe from its habits: an error in time, and nothing asked elsewhere."""

import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from burnscar_assets.catalog import stac_index
from burnscar_assets.catalog.api_client import PatientSession
from burnscar_assets.errors import BurnscarError
from burnscar_assets.labels.download import RemoteVersion, download
from burnscar_assets.labels.layer_facts import look_at_layer
from burnscar_assets.labels.season_source import observe_season
from burnscar_assets.labels.watch import observe_source
from burnscar_assets.network.session import Limits
from burnscar_assets.settings import InSeasonSettings, ReleaseSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_servers import FileSite, Habits, serving

LAYER = "x/FeatureServer/0"
QUICK = {"retries": 0, "deadline_s": 1.0, "timeout_s": 5.0, "max_answer_mb": 10, "max_download_mb": 10}


def _release(address: str, path: str) -> ReleaseSettings:
    return ReleaseSettings(source=f"{address}/{path}", **QUICK)


def _season(address: str) -> InSeasonSettings:
    return InSeasonSettings(source=f"{address}/{LAYER}", **QUICK)


CALLERS: dict[str, Callable[[str, Path], object]] = {
    "download": lambda address, place: download(
        f"{address}/a.zip", place / "part", _release(address, "a.zip"), RemoteVersion()
    ),
    "look at a layer": lambda address, place: look_at_layer(f"{address}/{LAYER}", _release(address, LAYER)),
    "look at a season": lambda address, place: observe_season(_season(address), DataRoot(place), 2025),
    "look at a source": lambda address, place: observe_source(_release(address, LAYER), DataRoot(place)),
    "index": lambda address, place: stac_index.read_index(f"{address}/index.parquet"),
    "catalogue": lambda address, place: stac_index.read_index(f"{address}/catalog.json"),
    "search": lambda address, place: (
        PatientSession(0, 0.01, named_hosts=["127.0.0.1"], limits=Limits(5, 1, 10))
        .post(f"{address}/search", json={})
        .json()
    ),
}


HABITS = ("drip", "drip_headers", "bomb", "endless", "deep", "short", "elsewhere", "file:///etc/hosts")
HARMLESS = {("download", "bomb"), ("download", "deep"), ("search", "deep")}
"""Nothing is decompressed or read as JSON there."""


@pytest.mark.parametrize(("caller", "habit"), sorted({*product(CALLERS, HABITS)} - HARMLESS))
def test_a_habit_ends_in_an_error_in_time(
    caller: str, habit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stac_index, "LIMITS", Limits(5, 1, 10))
    other = FileSite(b"{}")
    with serving(other) as elsewhere, serving(Habits(elsewhere if habit == "elsewhere" else habit)) as address:
        begun = time.monotonic()
        with pytest.raises(BurnscarError):
            CALLERS[caller](address, tmp_path)
        assert time.monotonic() - begun < 30
    assert not other.requests
