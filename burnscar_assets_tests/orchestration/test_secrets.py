"""Secrets of addresses are used, and neither shown nor stored: on the terminal, in databases, tables, logs, alerts."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnscar_assets.cli import main
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.errors import SettingsError
from burnscar_assets.labels import http
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.labels.label_servers import ArcGisSite, FileSite, Habits, Webhook, serving
from burnscar_assets_tests.orchestration.automation.sensor_ticks import SensorTicks
from burnscar_assets_tests.orchestration.label_world import LabelWorld

PASSWORD, TOKEN, SIGNATURE, NAMED = "S3kretPass", "S3kretToken", "S3kretSig", "S3kretEnv"
FIRES = tuple(season(year, n) for year in (2020, 2021) for n in range(3))
CHAIN = ["--years", "2021", "--select", "calfire_release", "fire_perimeters"]


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE", "BURNSCAR_WEBHOOK"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("FRAP_KEY", NAMED)
    monkeypatch.setattr(http, "BACKOFF_S", 0.01)


def configure(folder: Path, source: str) -> Path:
    path = folder / "settings.yaml"
    service = {"source": source, "retries": 1, "timeout_s": 5, "deadline_s": 5}
    content = {"name": "secrets", "years": {"first": 2020, "last": 2021}, "setups": {"exclude": ["*"]}}
    automation = {"check_release_minutes": 0.0001}
    path.write_text(yaml.safe_dump(content | {"release": service, "automation": automation}))
    return path


def with_secrets(address: str, path: str) -> str:
    own = address.replace("http://", f"http://user:{PASSWORD}@")
    return f"{own}/{path}?rev=7&token={TOKEN}&sig={SIGNATURE}&subscription-key=${{FRAP_KEY}}"


def zipped(folder: Path) -> bytes:
    frap_fires(*FIRES).to_file(folder / "fire241.gpkg", driver="GPKG", layer="firep24_1")
    with zipfile.ZipFile(folder / "fire241.zip", "w") as archive:
        archive.write(folder / "fire241.gpkg", "fire241.gpkg")
    return (folder / "fire241.zip").read_bytes()


def found_in(folder: Path) -> list[str]:
    """Files below a folder that hold a secret, as text of any encoding."""
    secrets = ["S3kret".encode(coding) for coding in ("utf-8", "utf-16-le")]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(secret in path.read_bytes() for secret in secrets)]


def run_all(root: DataRoot, settings: Path) -> list[int]:
    place = ["--data", str(root.path), "--config", str(settings)]
    commands = [["plan"], ["refresh", "--in-process", *CHAIN], ["plan", "--json"], ["doctor"], ["funnel"]]
    return [main([*command, *place]) for command in commands]


def tick(root: DataRoot, settings: Path) -> None:
    """Two looks of the sensor, of which the second tells people where the first failed too."""
    world = LabelWorld(root)
    root.world_file.write_text(settings.read_text())
    ticks = SensorTicks(world, "release_watch")
    for _ in range(2):
        ticks.tick()
        ticks.cursor = json.dumps(json.loads(str(ticks.cursor)) | {"looked_at": 0})
    root.world_file.unlink()


def test_a_release_that_wants_secrets_is_read_and_they_are_nowhere(
    root: DataRoot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    site = FileSite(zipped(tmp_path / "made"))
    with serving(site) as address:
        settings = configure(tmp_path, with_secrets(address, "fire241.zip"))
        assert run_all(root, settings)[:3] == [0, 0, 0]
        tick(root, settings)
    assert len(read_table(root, RELEASE_RECORDS, None)) == len(FIRES)
    asked = site.requests[0]
    assert asked["Authorization"].startswith("Basic ")
    assert "S3kret" not in "".join(capfd.readouterr())
    assert found_in(root.path) == []


def test_a_layer_that_wants_secrets_is_read_and_they_are_nowhere(
    root: DataRoot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = frap_fires(*FIRES)
    rows["OBJECTID"] = range(1, len(rows) + 1)
    for name in ("ALARM_DATE", "CONT_DATE"):
        rows[name] = [int(time.timestamp() * 1000) for time in rows[name]]
    with serving(ArcGisSite(rows)) as address:
        own = address.replace("http://", f"http://user:{PASSWORD}@")
        settings = configure(tmp_path, f"{own}/arcgis/rest/services/x/FeatureServer/0?token={TOKEN}")
        assert run_all(root, settings)[:3] == [0, 0, 0]
    assert "S3kret" not in "".join(capfd.readouterr())
    assert found_in(root.path) == []


@pytest.mark.parametrize("broken", ["down", "forbidden", "page", "elsewhere", "drip", "name"])
def test_failures_show_no_secret(
    root: DataRoot, tmp_path: Path, broken: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sites: dict[str, Any] = {
        "forbidden": FileSite(b"", statuses=[403] * 99, head_status=403),
        "page": FileSite(b"<html></html>", content_type="text/html"),
        "elsewhere": Habits(f"http://127.0.0.1:9/x?token={TOKEN}"),
        "drip": Habits("drip"),
    }
    webhook = Webhook()
    with serving(sites.get(broken, FileSite(b""))) as address, serving(webhook) as told:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", f"{told}/S3kretHook")
        where = {"down": "http://127.0.0.1:9", "name": "http://no-such-host.invalid"}.get(broken, address)
        settings = configure(tmp_path, with_secrets(where, "fire241.zip"))
        assert run_all(root, settings)[1] == 1
        tick(root, settings)
    assert "S3kret" not in "".join(capfd.readouterr())
    assert found_in(root.path) == []
    assert webhook.messages or broken == "drip", "its headers come in time"
    assert "S3kret" not in json.dumps(webhook.messages)


def test_another_password_makes_nothing_stale(tmp_path: Path) -> None:
    digests = {
        load_settings(configure(tmp_path, f"https://user:{password}@host/a.zip?token={password}")).release.digest()
        for password in ("one", "two")
    }
    assert len(digests) == 1


def test_an_archive_names_its_secret(tmp_path: Path) -> None:
    path = configure(tmp_path, "fires.zip")
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"imagery": {"archive": f"https://host/index.parquet?sig={SIGNATURE}"}}))
    with pytest.raises(SettingsError, match=r"environment variable and write \$\{NAME\}") as refused:
        load_settings(path)
    assert "S3kret" not in str(refused.value) + str(refused.value.__cause__)
    named = {"archive": "https://host/index.parquet?sig=${FRAP_KEY}"}
    path.write_text(yaml.safe_dump(content | {"imagery": named}))
    assert load_settings(path).imagery.archive == named["archive"]
