import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from burnscar_assets.catalog.api_client import PatientSession
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.network.session import Limits
from burnscar_assets_tests.catalog.stac_server import serve_stac
from burnscar_assets_tests.labels.label_servers import Habits, serving

HERE = ("127.0.0.1",)


@pytest.mark.parametrize(("asked", "least", "most"), [("7", 7, 7), (None, 2, 4), ("100000", 300, 300)])
def test_the_server_s_own_wait_is_kept(asked: str | None, least: float, most: float) -> None:
    waits: list[float] = []
    headers = {"Retry-After": asked} if asked else {}
    with serve_stac([], failing=[(429, headers)]) as service:
        answer = PatientSession(1, 2, waits.append, named_hosts=HERE).post(f"{service.url}/search", json={})
    assert answer.json()["features"] == []
    assert len(waits) == 1
    assert least <= waits[0] <= most


def test_a_wait_may_be_a_date() -> None:
    waits: list[float] = []
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with serve_stac([], failing=[(503, {"Retry-After": until})]) as service:
        PatientSession(1, 2, waits.append, named_hosts=HERE).post(f"{service.url}/search", json={})
    assert 60 < waits[0] <= 90


def test_a_wait_ends_when_nobody_wants_the_answer_any_more() -> None:
    session = PatientSession(3, 2, named_hosts=HERE)
    threading.Timer(0.2, session.stop).start()
    with (
        serve_stac([], failing=[(429, {"Retry-After": "250"})] * 4) as service,
        pytest.raises(SourceUnavailableError, match="HTTP 429"),
    ):
        session.post(f"{service.url}/search", json={})
    assert len(service.bodies) == 1


def test_a_service_that_answers_a_byte_at_a_time_is_given_up_on() -> None:
    session = PatientSession(1, 0.01, named_hosts=HERE, limits=Limits(deadline_s=0.5))
    begun = time.monotonic()
    with serving(Habits("drip")) as address, pytest.raises(SourceUnavailableError, match=r"deadline_s.*2 tries"):
        session.post(f"{address}/search", json={})
    assert time.monotonic() - begun < 20


def test_a_service_that_leads_elsewhere_is_not_followed() -> None:
    other = Habits("drip")
    with serving(other) as elsewhere, serving(Habits(elsewhere, status=307)) as address:
        session = PatientSession(1, 0.01, named_hosts=HERE)
        with pytest.raises(InputError, match="redirects elsewhere"):
            session.post(f"{address}/search?token=S3kret", json={}, headers={"Authorization": "Bearer S3kret"})
    assert not other.requests
