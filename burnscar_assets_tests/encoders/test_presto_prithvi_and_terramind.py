"""Presto, Prithvi and TerraMind are tuned and answer, and what they can't be fed is known before."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from burnscar_assets.encoders.feed import feed
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.weights import resolve_encoder
from burnscar_assets.environment import WEIGHTS_VARIABLE
from burnscar_assets.errors import CheckpointError, InputError, SettingsError
from burnscar_assets.models.plan import check_feeding
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import ModelSettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.encoders.test_training_with_encoders import answers_follow, planned
from burnscar_assets_tests.models.training_kit import Run, tiny_settings

PRESTO = {"encoder": "presto", "weights": "random"}
PRITHVI = {"encoder": "prithvi", "variant": "tiny", "weights": "random", "patch_size": 8}
TERRAMIND = {"encoder": "terramind", "variant": "tiny", "weights": "random", "patch_size": 8}
FIVE_BANDS = Sensor.model_validate(
    {
        "name": "five",
        "title": "Five bands",
        "resolution_m": 20,
        "bands": [
            {"name": name, "roles": [role], "metres": 20}
            for name, role in zip(
                ("B02", "B03", "B04", "B08", "B12"), ("blue", "green", "red", "nir", "swir2"), strict=True
            )
        ],
        "radiometry": {"scale": 0.0001},
    }
)


@pytest.mark.parametrize(("model", "tuning"), [(PRITHVI, "lora"), (PRITHVI, "frozen"), (TERRAMIND, "layer-decay")])
def test_an_encoder_is_tuned_and_answers(
    packed_world: DataRoot, tmp_path: Path, run: Run, model: dict[str, Any], tuning: str
) -> None:
    spec = planned(packed_world, tmp_path, model=model, tuning=tuning)
    manifest, _ = run(spec)
    published = load_encoder(model["encoder"]).published(model.get("variant"))
    assert manifest.encoder is not None
    assert manifest.encoder.parameters == published.parameters
    assert "RANDOM WEIGHTS" in manifest.notice
    assert (manifest.trainable_parameters < manifest.parameters) == (tuning in {"lora", "frozen"})
    answers_follow(spec, manifest, len(spec.sensor.names))


@pytest.mark.real_data
def test_presto_is_trained_from_its_weights(
    packed_world: DataRoot, tmp_path: Path, run: Run, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (real_data / "weights" / "presto").is_dir():
        pytest.skip(f"no weights of Presto in {real_data}")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(real_data / "weights"))
    spec = planned(packed_world, tmp_path, model={"encoder": "presto"}, tuning="frozen")
    manifest, _ = run(spec)
    assert manifest.encoder is not None
    assert manifest.encoder.sha256 == load_encoder("presto").variants["default"].sha256
    assert "MIT" in manifest.notice
    answers_follow(spec, manifest, len(spec.sensor.names))


def test_a_pickle_among_weights_runs_no_code(packed_world: DataRoot, tmp_path: Path, run: Run) -> None:
    (tmp_path / "TerraMind_v1_tiny.pt").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        run(planned(packed_world, tmp_path, model=TERRAMIND | {"weights": str(tmp_path)}))


@pytest.mark.parametrize(
    ("name", "read", "fed"),
    [
        ("presto", "B02 B03 B04 B08 B12", "B02 B03 B04 B08 B12"),
        ("prithvi", "B02 B03 B04 B08 B12", "B02 B03 B04 B05 B07"),
        ("terramind", "B02 B03 B04 B08 B12", "B02 B03 B04 B08 B12"),
    ],
)
def test_a_sensor_of_five_bands_feeds_what_it_has(name: str, read: str, fed: str) -> None:
    there = feed(load_encoder(name), FIVE_BANDS)
    assert (there.read, there.names, there.complete) == (tuple(read.split()), fed.split(), True)


def _checked(root: DataRoot, model: dict[str, Any], size_px: int = 32, undated: int = 0, **training: Any) -> None:
    settings = tiny_settings(model=model, **training)
    chosen = resolve_encoder(ModelSettings(**model), root, lambda text: None)
    acquired = pd.Series(pd.Timestamp("2020-09-01"), range(4)).mask(pd.RangeIndex(4) < undated)
    check_feeding(chosen, settings, pd.DataFrame({"size_px": size_px, "acquired": acquired}))


def test_what_an_encoder_cannot_be_fed_is_an_error_before_any_work(root: DataRoot) -> None:
    for model in (PRESTO, PRITHVI, TERRAMIND):
        _checked(root, model)
        with pytest.raises(SettingsError, match="takes windows of 1 to"):
            _checked(root, model, size_px=2048)
    with pytest.raises(SettingsError, match=r"patch_size to one of 1, 2, 4, or"):
        _checked(root, PRITHVI, size_px=36)
    with pytest.raises(SettingsError, match="has no patches of 3 px; choose one of 1, 2, 4, 8, 16"):
        _checked(root, TERRAMIND | {"patch_size": 3})
    with pytest.raises(SettingsError, match=r"TerraMind 1\.0 takes 1 images of a window at most, not 2"):
        _checked(root, TERRAMIND, earlier_layers=["before"])
    with pytest.raises(SettingsError, match=r"Prithvi-EO-2\.0 takes 4 images"):
        _checked(root, PRITHVI, earlier_layers=["a", "b", "c", "d"])
    with pytest.raises(SettingsError, match="can't be tuned by layer-decay"):
        _checked(root, PRITHVI, tuning="layer-decay")
    with pytest.raises(InputError, match="Presto is told when images were acquired, and those of 2 windows"):
        _checked(root, PRESTO, undated=2)
    _checked(root, PRITHVI, undated=2)
    lacking = FIVE_BANDS.model_copy(update={"bands": ()})
    with pytest.raises(SettingsError, match="which the sensor five has no band for"):
        feed(load_encoder("prithvi"), lacking)
