"""Alerts reach the log and the webhook, and never stop what they are about."""

import logging

import pytest

from burnscar_assets.alerts import alert
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets_tests.labels.label_servers import Webhook, serving

SECRET = "/T0KEN"


@pytest.fixture
def settings() -> Settings:
    return load_settings(CONFIGS_DIR / "demo.yaml")


def test_an_alert_is_logged_and_posted(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = Webhook()
    with serving(webhook) as address:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", address + SECRET)
        alert(settings, logging.getLogger("test"), "run 1 failed")
    assert webhook.messages == [{"text": "demo (simulated): run 1 failed"}]
    assert [(record.levelname, record.message) for record in caplog.records if record.name == "test"] == [
        ("ERROR", "demo (simulated): run 1 failed")
    ]


@pytest.mark.parametrize("status", [404, 500, None])
def test_a_broken_webhook_costs_a_warning_that_does_not_tell_its_address(
    settings: Settings, status: int | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Webhook(status or 200)) as address:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", (address if status else "http://127.0.0.1:9") + SECRET)
        alert(settings, logging.getLogger("test"), "run 1 failed")
    assert "webhook (BURNSCAR_WEBHOOK) failed" in caplog.text
    assert SECRET not in " ".join(record.message for record in caplog.records if record.name == "test")


def test_without_a_webhook_nothing_is_posted(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BURNSCAR_WEBHOOK", raising=False)
    alert(settings, logging.getLogger("test"), "run 1 failed")
    assert [record.message for record in caplog.records if record.name == "test"] == ["demo (simulated): run 1 failed"]
