"""Alerts reach the log and the webhook, and never stop what they are about."""

import logging
import time

import pytest

from burnscar_assets.alerts import alert
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.network.session import Limits
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets_tests.labels.label_servers import Habits, Webhook, serving

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


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("same_host", [True, False])
def test_a_webhook_that_leads_elsewhere_is_not_followed(
    settings: Settings,
    status: int,
    same_host: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Webhook()
    with serving(other) as elsewhere, serving(Habits("/again" if same_host else elsewhere, status=status)) as address:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", address + SECRET)
        alert(settings, logging.getLogger("test"), "run 1 failed")
    assert not other.messages
    assert "webhook (BURNSCAR_WEBHOOK) failed" in caplog.text


def test_a_webhook_that_answers_a_byte_at_a_time_does_not_hold_up_what_it_is_about(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnscar_assets.alerts.LIMITS", Limits(deadline_s=0.5))
    begun = time.monotonic()
    with serving(Habits("drip")) as address:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", address + SECRET)
        alert(settings, logging.getLogger("test"), "run 1 failed")
    assert time.monotonic() - begun < 20
    assert "webhook (BURNSCAR_WEBHOOK) failed" in caplog.text


def test_what_an_alert_is_about_shows_no_secret(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = Webhook()
    with serving(webhook) as address:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", address + SECRET)
        alert(settings, logging.getLogger("test"), "https://user:S3kret@frap.org/a.zip?token=S3kret did not answer")
    assert webhook.messages == [{"text": "demo (simulated): https://***@frap.org/a.zip?token=*** did not answer"}]
    assert "S3kret" not in caplog.text


def test_without_a_webhook_nothing_is_posted(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BURNSCAR_WEBHOOK", raising=False)
    alert(settings, logging.getLogger("test"), "run 1 failed")
    assert [record.message for record in caplog.records if record.name == "test"] == ["demo (simulated): run 1 failed"]
