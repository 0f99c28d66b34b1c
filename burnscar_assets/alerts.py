"""Telling people that something needs them: a line in the log, and a message to a webhook if there is one."""

import logging
import os

import requests

from burnscar_assets.settings import Settings

TIMEOUT_S = 10.0


def alert(settings: Settings, log: logging.Logger, text: str) -> None:
    """Log an alert as an error, and post it as `{"text": …}` to the webhook that the environment names, if any.

    A webhook that fails costs a warning, never the work that the alert is about. Its address is a secret: it is
    read from the environment and never logged.
    """
    said = f"{settings.name}: {text}"
    log.error(said)
    address = os.environ.get(settings.automation.webhook_variable)
    if not address:
        return
    try:
        requests.post(address, json={"text": said}, timeout=TIMEOUT_S).raise_for_status()
    except requests.RequestException as error:
        log.warning(f"the alert's webhook ({settings.automation.webhook_variable}) failed: {type(error).__name__}")
