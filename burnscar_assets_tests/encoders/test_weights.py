"""The encoder is found where it is, is what the settings name, and random weights are said loudly."""

import copy
import json
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from burnscar_assets.encoders.chosen import identity
from burnscar_assets.encoders.load import DEFAULT, DEFAULT_MODULE, load_encoder
from burnscar_assets.encoders.weights import resolve_encoder
from burnscar_assets.errors import InputError, SettingsError, SourceUnavailableError
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.settings import ModelSettings
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.encoders.hub import COMMIT, Hub, served

NANO = "allenai/OlmoEarth-v1_2-Nano"
VARIANTS = load_encoder("olmoearth").variants
CONFIG = VARIANTS["v1_2-nano"].architecture


@pytest.mark.parametrize("name", VARIANTS)
def test_architectures_are_those_of_the_package(name: str) -> None:
    import torch
    from olmoearth_pretrain_minimal import ModelID, OlmoEarthPretrain_v1
    from olmoearth_pretrain_minimal.model_loader import _build_model_from_config

    version, _, size = name.partition("-")
    with torch.device("meta"):
        true = OlmoEarthPretrain_v1(size, version.replace("_", ".")).model
        ours = _build_model_from_config(VARIANTS[name].architecture)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in true.state_dict().items()}
    variant = VARIANTS[name]
    assert sum(p.numel() for p in true.encoder.parameters()) == variant.parameters
    assert (true.encoder.embedding_size, len(true.encoder.blocks)) == (variant.width, variant.blocks)
    assert identity(load_encoder("olmoearth"), name) in {i.repo_id() for i in ModelID}


def test_numbers_are_those_of_the_packages_normaliser() -> None:
    import torch
    from rslearn.models.olmoearth_pretrain.norm import OlmoEarthNormalize
    from rslearn.train.model_context import RasterImage

    encoder = load_encoder("olmoearth")
    assert encoder.radar is not None
    for name, bands in ((encoder.input, encoder.bands), (encoder.radar.input, encoder.radar.bands)):
        values = torch.rand(len(bands), 1, 4, 4) * 5000
        normalise = OlmoEarthNormalize(band_names={name: [band.name for band in bands]})
        sample, _ = normalise({name: RasterImage(values.clone())}, {})
        low, width = (torch.tensor([getattr(b, what) for b in bands]) for what in ("subtract", "divide"))
        ours = (values - low[:, None, None, None]) / width[:, None, None, None]
        torch.testing.assert_close(sample[name].image, ours)


@pytest.mark.parametrize("name", ["v1-nano", "v1_2-nano", "v1_2-tiny"])
def test_random_weights_have_the_true_architecture(name: str, root: DataRoot) -> None:
    from olmoearth_pretrain_minimal import load_model_from_path

    with pytest.warns(UserWarning, match="RANDOM WEIGHTS"):
        encoder = resolve_encoder(ModelSettings(variant=name, allow_random=True), root)
    ours = load_model_from_path(encoder.path, load_weights=False)
    assert sum(p.numel() for p in ours.encoder.parameters()) == encoder.variant.parameters
    assert encoder.random
    assert encoder.sha256 is None
    assert encoder.notice.startswith("RANDOM WEIGHTS")
    assert root.pretrained in encoder.path.parents


@pytest.mark.slow
def test_features_of_v1_3_are_its_location_tokens(root: DataRoot) -> None:
    import torch
    from rslearn.models.olmoearth_pretrain.model import OlmoEarth
    from rslearn.train.model_context import ModelContext, RasterImage

    encoder = resolve_encoder(ModelSettings(variant="v1_3-base", weights="random", patch_size=4), root)
    values = {"FOLDER": str(encoder.path), "RANDOM": True, "METRES": 10, "AUTOCAST": None, "COMPILE": False}
    model = OlmoEarth(**encoder.constructed(default_sensor(), values)["init_args"])
    assert model.use_location_token_output
    moment = datetime(2020, 9, 1, tzinfo=UTC)
    images = RasterImage(torch.rand(12, 1, 16, 16), [(moment, moment)])
    with torch.inference_mode():
        (features,) = model(ModelContext([{"sentinel2_l2a": images}], [])).feature_maps
    assert features.shape == (1, encoder.variant.width, 4, 4)


def test_what_is_imported_beforehand_is_the_default_encoders_class() -> None:
    assert load_encoder(DEFAULT).class_path.rpartition(".")[0] == DEFAULT_MODULE


def test_without_weights_it_is_an_error_that_says_what_to_do(root: DataRoot) -> None:
    with pytest.raises(SourceUnavailableError, match=r"training\.model\.weights.*allow_random"):
        resolve_encoder(ModelSettings(), root)
    with pytest.raises(SettingsError, match="no OlmoEarth v1_1-small; choose one of v1-nano"):
        resolve_encoder(ModelSettings(variant="v1_1-small"), root)
    with pytest.raises(SettingsError, match=r"no encoder 'mine': there are galileo, olmoearth.*folder encoders"):
        resolve_encoder(ModelSettings(encoder="mine"), root)
    with pytest.raises(SettingsError, match=r"training\.model\.patch_size.*no patches of 9 px"):
        resolve_encoder(ModelSettings(patch_size=9), root)
    assert not root.path.exists()


@pytest.fixture
def folder(root: DataRoot) -> Path:
    """A folder with a configuration and what stands for weights."""
    path = root.path / "weights"
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "weights.pth").write_bytes(b"weights")
    return path


def test_a_local_folder_comes_first(root: DataRoot, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = resolve_encoder(ModelSettings(weights="weights", allow_random=True), root)
    assert (encoder.path, encoder.random, encoder.sha256) == (folder, False, hash_file(folder / "weights.pth"))
    assert "OlmoEarth Artifact License" in encoder.notice


def test_a_local_folder_must_hold_the_model_of_the_settings(root: DataRoot, folder: Path) -> None:
    with pytest.raises(InputError, match=r"128 channels and 4 blocks.*Tiny has 192 and 12"):
        resolve_encoder(ModelSettings(variant="v1_2-tiny", weights=str(folder)), root)
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no OlmoEarth configuration"):
        resolve_encoder(ModelSettings(weights=str(folder)), root)
    (folder / "weights.pth").unlink()
    with pytest.raises(InputError, match=r"has no weights\.pth"):
        resolve_encoder(ModelSettings(weights=str(folder)), root)


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine that serves the folder."""
    with served(Hub({f"{NANO}/{path.name}": path.read_bytes() for path in folder.iterdir()}), monkeypatch) as hub:
        yield hub


def test_the_hub_is_asked_once_then_its_cache(hub: Hub, root: DataRoot) -> None:
    encoder = resolve_encoder(ModelSettings(), root)
    assert encoder.sha256 == hub.sha256(f"{NANO}/weights.pth")
    assert (encoder.path / "config.json").is_file()
    asked = len(hub.requests)
    assert resolve_encoder(ModelSettings(), root) == encoder
    assert len(hub.requests) == asked


def test_weights_of_the_hub_have_a_revision_and_a_hash(hub: Hub, root: DataRoot) -> None:
    expected = hub.sha256(f"{NANO}/weights.pth")
    encoder = resolve_encoder(ModelSettings(revision=COMMIT, sha256=expected), root)
    assert (encoder.revision, encoder.sha256) == (COMMIT, expected)
    assert all(f"/resolve/{COMMIT}/" in path for path in hub.asked("HEAD"))
    with pytest.raises(InputError, match=r"not that of training\.model\.sha256"):
        resolve_encoder(ModelSettings(sha256="0" * 64), root)
    (encoder.path / "weights.pth").resolve().write_bytes(b"others")
    with pytest.raises(InputError, match="is damaged"):
        resolve_encoder(ModelSettings(), root)


def test_an_architecture_of_a_folder_names_no_foreign_class(root: DataRoot, folder: Path) -> None:
    config = copy.deepcopy(CONFIG)
    assert config is not None
    config["model"]["decoder_config"]["_CLASS_"] = "os.system"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"os\.system, which is no part of OlmoEarth"):
        resolve_encoder(ModelSettings(weights="weights"), root)
