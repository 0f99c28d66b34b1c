"""Weights come from the hub whole, of the commit that is pinned, and the right ones, or it is said what to do."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from burnscar_assets.encoders import weights
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.prithvi import Prithvi
from burnscar_assets.encoders.weights import resolve_encoder
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.settings import ModelSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.encoders.hub import COMMIT, Hub, served

TINY = ModelSettings(encoder="prithvi", variant="tiny")
TERRAMIND = ModelSettings(encoder="terramind")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with Prithvi tiny's own weights and, in place of others, bytes."""
    files = {_place(TINY): _prithvi(), _place(TERRAMIND): b"terramind" * 100_000}
    with served(Hub(files), monkeypatch) as hub:
        yield hub


def _place(settings: ModelSettings) -> str:
    published = load_encoder(settings.encoder).published(settings.variant)
    return f"{published.repository}/{published.weights_file}"


def _prithvi() -> bytes:
    """A file of Prithvi tiny as it is published: the encoder's tensors among others."""
    model = Prithvi("image", ["B02"], 4, 192, 12, 3, "", random=True).model
    state = {f"encoder.{name}": value for name, value in model.state_dict().items()} | {"decoder.x": torch.ones(2)}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_a_large_file_is_fetched_from_where_the_hub_keeps_it_then_from_the_cache(
    hub: Hub, root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    chosen = resolve_encoder(TINY, root)
    assert chosen.sha256 == hub.sha256(_place(TINY))
    assert (chosen.revision, chosen.random) == (COMMIT, False)
    assert "Apache License 2.0" in chosen.notice
    assert hub.asked("GET")[-1].startswith("/store/ibm-nasa-geospatial/")
    assert not hub.tokens
    asked = len(hub.requests)
    assert resolve_encoder(TINY, root) == chosen
    assert len(hub.requests) == asked
    built = Prithvi("image", ["B02"], 4, 192, 12, 3, str(chosen.path / str(chosen.variant.weights_file)))
    published = torch.load(io.BytesIO(hub.files[_place(TINY)]), weights_only=True)
    assert torch.equal(built.model.norm.weight, published["encoder.norm.weight"])
    assert torch.equal(built.model.blocks[3].mlp.fc1.weight, published["encoder.blocks.3.mlp.fc1.weight"])


def test_the_commit_that_the_encoders_file_pins_is_asked_for(hub: Hub, root: DataRoot) -> None:
    large = ModelSettings(encoder="prithvi", variant="300m")
    hub.files[_place(large)] = b"weights"
    resolve_encoder(large, root)
    pinned = load_encoder("prithvi").variants["300m"].revision
    assert all(f"/resolve/{pinned}/" in path for path in hub.asked("HEAD"))


def test_weights_of_another_hash_are_refused(hub: Hub, root: DataRoot) -> None:
    presto = ModelSettings(encoder="presto")
    hub.files[_place(presto)] = b"other weights"
    with pytest.raises(InputError, match=r"not that of training\.model\.sha256 or else of the encoder's file"):
        resolve_encoder(presto, root)
    with pytest.raises(InputError, match="SHA-256"):
        resolve_encoder(TERRAMIND.model_copy(update={"sha256": "0" * 64}), root)


def test_what_the_store_changed_under_way_is_damaged(hub: Hub, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = resolve_encoder(TERRAMIND, root)
    (chosen.path / str(chosen.variant.weights_file)).resolve().write_bytes(b"others")
    with pytest.raises(InputError, match="is damaged"):
        resolve_encoder(TERRAMIND, root)


def test_a_download_that_breaks_off_goes_on_where_it_was(
    hub: Hub, root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.dropped = 3
    chosen = resolve_encoder(TERRAMIND, root)
    assert hub.dropped == 0
    assert chosen.sha256 == hub.sha256(_place(TERRAMIND))


def test_a_download_that_never_ends_says_what_to_do(hub: Hub, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.dropped = 1000
    with pytest.raises(SourceUnavailableError, match=r"cannot fetch ibm-esa-geospatial.*training\.model\.weights"):
        resolve_encoder(TERRAMIND, root)
    hub.dropped = 0
    assert resolve_encoder(TERRAMIND, root).sha256 == hub.sha256(_place(TERRAMIND))


def test_a_hub_that_does_not_answer_is_not_waited_for(
    hub: Hub, root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "HUB_TIMEOUT_S", 0.2)
    hub.slow_s = 3.0
    started = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=r"training\.model\.weights"):
        resolve_encoder(TERRAMIND, root)
    assert time.monotonic() - started < 2.5


def test_a_download_that_drips_is_given_up(hub: Hub, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "HUB_DEADLINE_S", 0.2)
    hub.slow_s = 0.3
    with pytest.raises(SourceUnavailableError, match=r"\(TimeoutError\).*training\.model\.weights"):
        resolve_encoder(TERRAMIND, root)


@pytest.mark.parametrize("name", ["presto", "prithvi", "terramind"])
def test_without_a_network_it_is_said_what_to_do(root: DataRoot, name: str) -> None:
    file = load_encoder(name).published().weights_file
    with pytest.raises(SourceUnavailableError, match=rf"put its {file}.*training\.model\.weights.*allow_random"):
        resolve_encoder(ModelSettings(encoder=name), root)
    warned: list[str] = []
    chosen = resolve_encoder(ModelSettings(encoder=name, allow_random=True), root, warned.append)
    assert chosen.random
    assert "RANDOM WEIGHTS" in warned[0]


def test_what_the_hub_refuses_is_said(hub: Hub, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated = (load_encoder("terramind").published().repository or "",)
    with pytest.raises(InputError, match=r"the hub answers 401 for ibm-esa-geospatial.*HF_TOKEN"):
        resolve_encoder(TERRAMIND, root)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert not resolve_encoder(TERRAMIND, root).random
    with pytest.raises(InputError, match="the hub answers 401"):
        resolve_encoder(ModelSettings(encoder="prithvi", variant="100m"), root)
    hub.files = {name: content for name, content in hub.files.items() if "tiny" not in name} | {
        f"{load_encoder('prithvi').published('tiny').repository}/README.md": b"moved"
    }
    with pytest.raises(InputError, match="the hub answers 404"):
        resolve_encoder(TINY, root)
