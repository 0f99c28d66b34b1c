"""A file of weights that somebody made to run code runs none, by whichever way it comes in."""

import io
import json
import pickle
from pathlib import Path

import pytest
import torch
from rslearn.train.lightning_module import RestoreConfig

from burnscar_assets.encoders.chosen import ChosenEncoder
from burnscar_assets.encoders.load import shipped_encoders
from burnscar_assets.encoders.weights import resolve_encoder
from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.spec import RUN_FILE, TrainingSpec
from burnscar_assets.models.trainer import _check_encoder, _prepare_run
from burnscar_assets.settings import ModelSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.encoders.hub import Hub, served

ENCODERS = {one.name: one for one in shipped_encoders()}


class Exploit:
    """Unpickled, it makes a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return Path.touch, (self.victim,)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """The file that hostile weights would make."""
    return tmp_path / "was run"


@pytest.fixture(params=["pickle", "archive"])
def hostile(request: pytest.FixtureRequest, victim: Path) -> bytes:
    """Hostile weights, as a plain pickle or in torch's own form."""
    state = {"model.weight": torch.ones(2), "other": Exploit(victim)}
    if request.param == "pickle":
        return pickle.dumps(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def refused(chosen: ChosenEncoder, victim: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        _check_encoder(TrainingSpec.model_construct(encoder=chosen))
    assert not victim.exists()


@pytest.mark.parametrize("name", ENCODERS)
def test_of_a_folder(name: str, hostile: bytes, victim: Path, root: DataRoot, tmp_path: Path) -> None:
    published = ENCODERS[name].published()
    folder = tmp_path / "weights" / published.folder
    folder.mkdir(parents=True)
    (folder / str(published.weights_file)).write_bytes(hostile)
    if (architecture := ENCODERS[name].architecture_file) is not None:
        (folder / architecture).write_text(json.dumps(published.architecture))
    # A revision of one's own has no hash that the encoder's file knows.
    settings = ModelSettings(encoder=name, weights=str(tmp_path / "weights"), revision="theirs")
    refused(resolve_encoder(settings, root), victim)


def test_of_the_hub(
    hostile: bytes, victim: Path, root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    published = ENCODERS["prithvi"].published("tiny")
    with served(Hub({f"{published.repository}/{published.weights_file}": hostile}), monkeypatch):
        refused(resolve_encoder(ModelSettings(encoder="prithvi", variant="tiny"), root), victim)


def test_of_a_run_that_is_resumed(hostile: bytes, victim: Path, tmp_path: Path) -> None:
    spec = TrainingSpec.model_construct(checkpoint=tmp_path / "fire_year=2020")
    spec.run_folder.mkdir()
    (spec.run_folder / RUN_FILE).write_text('{"run_hash": "ours"}')
    (spec.run_folder / "last.ckpt").write_bytes(hostile)
    assert _prepare_run(spec, "ours") is None, "it starts anew"
    assert not victim.exists() and not (spec.run_folder / "last.ckpt").exists()


def test_that_an_rslearn_configuration_names(hostile: bytes, victim: Path, tmp_path: Path) -> None:
    (tmp_path / "restored.ckpt").write_bytes(hostile)
    with pytest.raises(pickle.UnpicklingError):
        RestoreConfig(str(tmp_path / "restored.ckpt")).get_state_dict()
    assert not victim.exists()
