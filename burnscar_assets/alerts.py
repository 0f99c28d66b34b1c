"""Telling people that something needs them: a line in the log, and a message to a webhook if there is one."""

import logging
import os
from typing import Final

import requests

from burnscar_assets.errors import BurnscarError
from burnscar_assets.network.addresses import host_of
from burnscar_assets.network.masking import mask_address
from burnscar_assets.network.session import Limits, Session
from burnscar_assets.settings import Settings

LIMITS: Final = Limits(timeout_s=10, deadline_s=20, max_answer_mb=1)


def alert(settings: Settings, log: logging.Logger, text: str) -> None:
    """Log an alert as an error, and post it as `{"text": …}` to the webhook that the environment names, if any.

    A webhook that fails, or leads elsewhere, costs a warning, never the work that the alert is about. Its address is a
    secret: it is read from the environment and never logged; nor are secrets of addresses that the text names.
    """
    said = mask_address(f"{settings.name}: {text}")
    log.error(said)
    address = os.environ.get(settings.automation.webhook_variable)
    if not address:
        return
    try:
        with Session(LIMITS, [host_of(address)]) as session:
            answer = session.post(address, json={"text": said}, allow_redirects=False)
            answer.raise_for_status()
            problem = f"it leads elsewhere ({answer.status_code})" if answer.is_redirect else ""
    except (requests.RequestException, BurnscarError) as error:
        problem = type(error).__name__
    if problem:
        log.warning(f"the alert's webhook ({settings.automation.webhook_variable}) failed: {problem}")
