"""A checkpoint is known by its hashes, refused when it does not match them, and predicts as it was trained to."""

import json
import pickle
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rslearn.train.transforms.transform import Transform

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.manifest import (
    CONFIG_FILE,
    ENCODER_FILE,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    load_manifest,
    verify_checkpoint,
)
from burnscar_assets.models.model import load_model
from burnscar_assets.models.weights import hash_weights
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import Trained
from burnscar_assets_tests.tiny_dataset import LAYER


class OwnNormaliser(Transform):
    """Names no input, as a transform of somebody's own may."""

    def forward(self, input_dict: dict[str, Any], target_dict: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        for image in input_dict.values():
            image.image = (image.image - 100) / 50
        return input_dict, target_dict


@pytest.mark.parametrize("name", ["weights.pth", "model.yaml", "encoder.json"])
@pytest.mark.parametrize("damage", ["truncated", "tampered", "missing"])
def test_damage_is_noticed(checkpoint: Path, name: str, damage: str) -> None:
    path = checkpoint / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name}.*run burnscar refresh --years 2020"):
        load_model(checkpoint)


@pytest.mark.parametrize("content", [None, "", "{}", '{"fire_year": 2020'])
def test_without_a_whole_manifest_there_is_no_checkpoint(checkpoint: Path, content: str | None) -> None:
    path = checkpoint / MANIFEST_FILE
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match="run burnscar refresh --years 2020"):
        verify_checkpoint(checkpoint)


def test_weights_of_another_run_are_refused_even_with_the_right_file_hash(checkpoint: Path) -> None:
    import torch

    path = checkpoint / WEIGHTS_FILE
    state = torch.load(path, weights_only=True)
    name = next(iter(state))
    state[name] = state[name] + 1
    torch.save(state, path)
    _accept_file(checkpoint)
    with pytest.raises(CheckpointError, match="not those of its manifest"):
        load_model(checkpoint)


class _Exploit:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.victim,))


def test_code_in_weights_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    victim = tmp_path / "was run"
    (checkpoint / WEIGHTS_FILE).write_bytes(pickle.dumps({"weights": _Exploit(victim)}))
    _accept_file(checkpoint)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_model(checkpoint)
    assert not victim.exists()


def test_a_manifest_vouches_for_each_file_that_a_prediction_needs(checkpoint: Path) -> None:
    path = checkpoint / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    for files in ({}, {WEIGHTS_FILE: manifest["files"][WEIGHTS_FILE]}):
        path.write_text(json.dumps(manifest | {"files": files}))
        with pytest.raises(CheckpointError, match=r"vouches for no .*model\.yaml.*run burnscar refresh --years 2020"):
            load_model(checkpoint)
    for change in (
        {"files": manifest["files"] | {"../../secret": "0" * 64}},
        {"kind": "ensemble", "members": {"..": 1.0}, "files": {f"../{MANIFEST_FILE}": "0" * 64}},
    ):
        path.write_text(json.dumps(manifest | change))
        with pytest.raises(CheckpointError, match="outside its folder"):
            load_model(checkpoint)


ANYSAT = {"class_path": "rslearn.models.anysat.AnySat", "init_args": {"modalities": ["s2"], "patch_size_meters": 10}}


def _replace_encoder(config: dict[str, Any], hub: Path) -> None:
    foreign = {**ANYSAT, "init_args": {**ANYSAT["init_args"], "hub_repo": str(hub)}}
    config["model"]["init_args"]["model"]["init_args"]["encoder"] = [foreign]


def _name_a_transform(config: dict[str, Any], hub: Path) -> None:
    config["data"]["init_args"]["default_config"]["transforms"].append({"class_path": "evil.Transform"})


def _name_a_class_as_text(config: dict[str, Any], hub: Path) -> None:
    config["model"]["init_args"]["model"]["init_args"]["decoder"] = ["evil.Decoder"]


def _name_a_class_without_its_module(config: dict[str, Any], hub: Path) -> None:
    config["model"]["init_args"]["model"]["class_path"] = "AnySat"


def _name_another_encoder(config: dict[str, Any], hub: Path) -> None:
    galileo = {"class_path": "burnscar_assets.encoders.galileo.Galileo", "init_args": {"folder": str(hub)}}
    config["model"]["init_args"]["model"]["init_args"]["encoder"].append(galileo)


@pytest.mark.parametrize(
    "attack",
    [
        _replace_encoder,
        _name_a_transform,
        _name_a_class_as_text,
        _name_a_class_without_its_module,
        _name_another_encoder,
    ],
)
def test_a_configuration_runs_no_code_of_its_own(
    attack: Callable[[dict[str, Any], Path], None],
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    victim, hub = tmp_path / "was run", tmp_path / "hub"
    hub.mkdir()
    code = f"import pathlib\npathlib.Path({str(victim)!r}).touch()\n"
    (hub / "hubconf.py").write_text(code)
    (hub / "evil.py").write_text(code)
    monkeypatch.syspath_prepend(hub)
    config = yaml.safe_load((checkpoint / CONFIG_FILE).read_text())
    attack(config, hub)
    (checkpoint / CONFIG_FILE).write_text(yaml.safe_dump(config))
    _accept_file(checkpoint, CONFIG_FILE)
    with pytest.raises(CheckpointError, match=r"whose code a checkpoint may not run.*training\.classes"):
        load_model(checkpoint)
    assert not victim.exists()


def _encoder_in_a_file(config: dict[str, Any], evil: Path) -> None:
    config["model"]["init_args"]["model"]["init_args"]["encoder"] = [str(evil)]


def _decoder_in_a_file(config: dict[str, Any], evil: Path) -> None:
    config["model"]["init_args"]["model"]["init_args"]["decoder"].insert(0, str(evil))


def _arguments_in_a_file(config: dict[str, Any], evil: Path) -> None:
    config["model"]["init_args"]["model"]["init_args"] = str(evil)


def _encoder_by_a_short_name(config: dict[str, Any], evil: Path) -> None:
    config["model"]["init_args"]["model"]["init_args"]["encoder"] = ["Presto"]


def _encoder_as_text(config: dict[str, Any], evil: Path) -> None:
    config["model"]["init_args"]["model"]["init_args"]["encoder"] = ['{"class_path": "evilmod.X"}']


def _transform_in_a_file(config: dict[str, Any], evil: Path) -> None:
    config["data"]["init_args"]["default_config"]["transforms"].append(str(evil))


def _argument_in_a_file(config: dict[str, Any], evil: Path) -> None:
    pooling = {"class_path": "rslearn.models.simple_time_series.SimpleTimeSeries", "init_args": {"inner": str(evil)}}
    config["model"]["init_args"]["model"]["init_args"]["encoder"].append(pooling)


@pytest.mark.parametrize("name", ["fe2.yaml", "fe2"])
@pytest.mark.parametrize(
    "attack",
    [
        _encoder_in_a_file,
        _decoder_in_a_file,
        _arguments_in_a_file,
        _encoder_by_a_short_name,
        _encoder_as_text,
        _transform_in_a_file,
        _argument_in_a_file,
    ],
)
def test_a_configuration_leads_to_no_other(
    attack: Callable[[dict[str, Any], Path], None],
    name: str,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    victim, evil = tmp_path / "was run", tmp_path / name
    (tmp_path / "evilmod.py").write_text(f"import pathlib\npathlib.Path({str(victim)!r}).touch()\n")
    evil.write_text("class_path: evilmod.X\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((checkpoint / CONFIG_FILE).read_text())
    attack(config, Path(name) if name == "fe2" else evil)
    (checkpoint / CONFIG_FILE).write_text(yaml.safe_dump(config))
    _accept_file(checkpoint, CONFIG_FILE)
    with pytest.raises(CheckpointError, match=r"may not|no file or bare name may stand|is no configuration of a model"):
        load_model(checkpoint)
    assert not victim.exists()


def test_a_class_that_jsonargparse_found_by_itself_is_refused() -> None:
    from torch.nn import Module

    from burnscar_assets.models.model import _instantiate

    with pytest.raises(CheckpointError, match="Bilinear may not be run"):
        _instantiate({"class_path": "torch.nn.Bilinear", "init_args": dict.fromkeys(_SIDES, 1)}, Module, ())


_SIDES = ("in1_features", "in2_features", "out_features")


def test_a_persons_word_allows_a_class(checkpoint: Path) -> None:
    config = yaml.safe_load((checkpoint / CONFIG_FILE).read_text())
    config["trainer"]["callbacks"].append({"class_path": "my.Callback"})
    (checkpoint / CONFIG_FILE).write_text(yaml.safe_dump(config))
    _accept_file(checkpoint, CONFIG_FILE)
    with pytest.raises(CheckpointError, match=r"my\.Callback"):
        load_model(checkpoint)
    load_model(checkpoint, classes=["my.Callback"])


def test_an_architecture_imports_nothing_outside_its_package(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "was run"
    (tmp_path / "evil.py").write_text(f"import pathlib\npathlib.Path({str(victim)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    encoder = json.loads((checkpoint / ENCODER_FILE).read_text())
    encoder["model"]["encoder_config"]["tokenization_config"]["_CLASS_"] = "evil.Config"
    (checkpoint / ENCODER_FILE).write_text(json.dumps(encoder))
    _accept_file(checkpoint, ENCODER_FILE)
    with pytest.raises(CheckpointError, match=r"evil\.Config, which no shipped encoder has"):
        load_model(checkpoint)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_path": "/elsewhere"}, "model_path"),
        ({"random_initialization": False}, "random_initialization"),
        ({"checkpoint_path": "/elsewhere"}, "checkpoint_path"),
        ({"forward_kwargs": {"x": "evil.Thing"}}, r"evil\.Thing"),
    ],
)
def test_an_encoder_reads_nothing_outside_the_folder(checkpoint: Path, change: dict[str, Any], said: str) -> None:
    path = checkpoint / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    manifest["encoder"]["bare"] |= change
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=said):
        load_model(checkpoint)


def _accept_file(folder: Path, name: str = WEIGHTS_FILE) -> None:
    path = folder / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    manifest["files"][name] = hash_file(folder / name)
    path.write_text(json.dumps(manifest))


def test_predictions_are_those_of_training(checkpoint: Path, undisturbed: Trained, tiny_world: DataRoot) -> None:
    """Normalisation, dates and the order of bands are the same in training and in prediction."""
    images, acquired, burnt = _windows(tiny_world, undisturbed[0].fire_years, "val")
    model = load_model(checkpoint)
    probabilities = model.predict_windows({LAYER: images}, {LAYER: acquired})

    assert probabilities.shape == (32,)
    loss = -np.log(np.where(burnt, probabilities, 1 - probabilities)).mean()
    assert loss == pytest.approx(load_manifest(checkpoint).metrics["val_loss"], abs=2e-5)
    assert ((probabilities > 0.5) == burnt).mean() == pytest.approx(model.manifest.metrics["val_accuracy"], abs=1e-6)
    split = np.concatenate(
        [
            model.predict_windows({LAYER: images[:5]}, {LAYER: acquired[:5]}),
            model.predict_windows({LAYER: images[5:]}, {LAYER: acquired[5:]}),
        ]
    )
    np.testing.assert_allclose(split, probabilities, atol=1e-5)


@pytest.mark.parametrize("selectors", [None, ["input/sentinel2_l2a"]])
def test_a_normaliser_of_ones_own_is_applied(checkpoint: Path, selectors: list[str] | None) -> None:
    config = yaml.safe_load((checkpoint / CONFIG_FILE).read_text())
    own = {"class_path": f"{OwnNormaliser.__module__}.OwnNormaliser"}
    if selectors is not None:
        own = {
            "class_path": "rslearn.train.transforms.normalize.Normalize",
            "init_args": {"mean": 100.0, "std": 50.0, "selectors": selectors},
        }
    config["data"]["init_args"]["default_config"]["transforms"] = [own]
    (checkpoint / CONFIG_FILE).write_text(yaml.safe_dump(config))
    _accept_file(checkpoint, CONFIG_FILE)
    model = load_model(checkpoint, classes=[f"{OwnNormaliser.__module__}.OwnNormaliser"])
    images = np.random.default_rng(0).integers(1, 4000, (len(BANDS), 2, 8, 8)).astype(np.uint16)
    prepared = model.prepare({LAYER: images})[LAYER]
    said = config["data"]["init_args"]["inputs"]["sentinel2_l2a"]["bands"]
    expected = images[[BANDS.index(band) for band in said]].astype(np.float32)
    np.testing.assert_allclose(prepared.numpy(), (expected - 100) / 50, rtol=1e-6)


def test_a_transform_for_no_input_is_refused(checkpoint: Path) -> None:
    config = yaml.safe_load((checkpoint / CONFIG_FILE).read_text())
    config["data"]["init_args"]["default_config"]["transforms"][0]["init_args"]["selectors"] = ["other"]
    (checkpoint / CONFIG_FILE).write_text(yaml.safe_dump(config))
    _accept_file(checkpoint, CONFIG_FILE)
    with pytest.raises(CheckpointError, match="is for none of the model's inputs"):
        load_model(checkpoint)


def _windows(root: DataRoot, fire_years: tuple[int, ...], split: str) -> tuple[np.ndarray, list[datetime], np.ndarray]:
    from rslearn.dataset import Dataset
    from rslearn.utils.raster_format import GeotiffRasterFormat
    from upath import UPath

    windows = Dataset(UPath(root.dataset)).load_windows(groups=[str(year) for year in fire_years])
    chosen = [window for window in windows if window.options["split"] == split]
    rasters = [w.data.read_raster("sentinel2_l2a", list(BANDS), GeotiffRasterFormat()) for w in chosen]
    images = np.stack([raster.get_chw_array() for raster in rasters])
    burnt = np.array([window.options["category"] == CLASS_NAMES[BURNT] for window in chosen])
    return images, [raster.timestamps[0][0] for raster in rasters], burnt


def test_the_month_matters_so_it_must_be_given(checkpoint: Path, tiny_world: DataRoot) -> None:
    images, acquired, _ = _windows(tiny_world, (2020,), "test")
    model = load_model(checkpoint)
    winter = [moment.replace(month=1, day=1) for moment in acquired]
    assert not np.allclose(
        model.predict_windows({LAYER: images}, {LAYER: acquired}),
        model.predict_windows({LAYER: images}, {LAYER: winter}),
        atol=1e-4,
    )
    with pytest.raises(ValueError, match="N dates"):
        model.predict_windows({LAYER: images}, {LAYER: acquired[1:]})
    with pytest.raises(ValueError, match="12"):
        model.predict_windows({LAYER: images[:, :6]}, {LAYER: acquired})
    assert model.predict_windows({LAYER: images[:0]}, {LAYER: []}).shape == (0,)


_STATES = st.dictionaries(
    st.text(min_size=1, max_size=5), st.lists(st.floats(-10, 10, width=32), max_size=4), max_size=4
)


@given(_STATES, st.randoms())
def test_the_weights_hash_depends_on_the_content_alone(state: dict[str, list[float]], random: Random) -> None:
    import torch

    tensors = {name: torch.tensor(values, dtype=torch.float32) for name, values in state.items()}
    shuffled = dict(random.sample(list(tensors.items()), len(tensors)))
    assert hash_weights(shuffled) == hash_weights(tensors)
    for name, tensor in tensors.items():
        assert hash_weights(tensors | {name: tensor.double()}) != hash_weights(tensors)
        assert hash_weights(tensors | {name: tensor[None]}) != hash_weights(tensors)
        if len(tensor):
            assert hash_weights(tensors | {name: tensor + 1}) != hash_weights(tensors)
