"""Classes of encoders answer as their authors' do, and take no other model's weights for theirs."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from rslearn.models.presto.presto import INPUT_PRESTO_S2_BANDS
from rslearn.models.presto.presto import Presto as RslearnPresto
from rslearn.models.prithvi import PrithviMAE
from rslearn.train.model_context import ModelContext, RasterImage
from torch import Tensor, nn

from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.presto import Presto
from burnscar_assets.encoders.prithvi import Prithvi
from burnscar_assets.encoders.terramind import TerraMind
from burnscar_assets.errors import CheckpointError

FIVE_BANDS = ["B02", "B03", "B04", "B08", "B12"]
TERRAMIND: dict[bool, tuple[list[float], list[float]]] = {
    False: ([-1.19879, -1.29742, -2.01185, -0.88218], [-0.15172, 1.1779, 0.18852, 1.90997]),
    True: ([-0.81904, -1.33971, -1.36505, -1.14193], [0.56467, 0.75322, 0.98295, 1.15194]),
}
"""What TerraTorch 1.2.11 answers for `_wave`, by whether blocks are gated: channels of the first and another patch."""


def answer(encoder: nn.Module, images: Tensor, name: str = "image") -> Tensor:
    moments = [(datetime(2020, month, 3),) * 2 for month in range(6, 6 + images.shape[2])]
    with torch.inference_mode():
        maps = encoder.eval()(ModelContext([{name: RasterImage(image, moments)} for image in images], [])).feature_maps
    assert len(maps) == 1
    return maps[0]


def _wave(shape: tuple[int, ...], start: int) -> Tensor:
    numbers = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (0.1 * torch.sin(0.37 * numbers + start)).float().reshape(shape)


def _published_terramind(own: nn.Module, folder: Path) -> None:
    """A file with TerraMind's published names and values that waves give."""
    published = {"mask_token": torch.zeros(3)}
    for name, value in own.state_dict().items():
        told = name.replace("blocks.", "encoder.").replace("patch_embeddings.", "encoder_embeddings.untok_sen2l2a@224.")
        told = "encoder_norm.weight" if name == "norm.weight" else told
        wave = _wave(tuple(value.shape), len(told)) + ("norm" in told)
        published[told] = value if name.endswith("pos_emb") else wave
    torch.save(published, folder / "weights.pt")


@pytest.mark.parametrize("gated", [False, True])
def test_terramind_answers_as_terratorch_does(tmp_path: Path, gated: bool) -> None:
    arguments: dict[str, Any] = {"patch_size": 4, "width": 32, "blocks": 2, "heads": 2, "gated": gated}
    arguments |= {"weights": str(tmp_path / "weights.pt")}
    bands = list(TerraMind.known)
    _published_terramind(TerraMind("image", bands, **arguments, random=True).model, tmp_path)
    features = answer(TerraMind("image", bands, **arguments), 20 * _wave((1, 12, 32, 48), 0).unsqueeze(2))
    assert features.shape == (1, 32, 8, 12)
    first, last = TERRAMIND[gated]
    assert features[0, :4, 0, 0].tolist() == pytest.approx(first, abs=2e-5)
    assert features[0, -4:, 7, 5].tolist() == pytest.approx(last, abs=2e-5)
    images = torch.randn(2, 12, 1, 16, 16)
    images[:, [bands.index(name) for name in bands if name not in FIVE_BANDS]] = 0
    some = TerraMind("image", FIVE_BANDS, **arguments)
    given = images[:, [bands.index(name) for name in FIVE_BANDS]]
    torch.testing.assert_close(answer(some, given), answer(TerraMind("image", bands, **arguments), images))
    with pytest.raises(ValueError, match="one image of a window, not 2"):
        answer(some, given.expand(-1, -1, 2, -1, -1))


@pytest.fixture
def prithvi(tmp_path: Path) -> dict[str, Any]:
    """Arguments of a small Prithvi, and a file of its own with the names that are published."""
    whole = PrithviMAE(embed_dim=48, depth=2, num_heads=3, decoder_embed_dim=32, decoder_depth=1, num_frames=4)
    torch.save(whole.state_dict(), tmp_path / "weights.pt")
    sizes = {"patch_size": 4, "width": 48, "blocks": 2, "heads": 3}
    return sizes | {"weights": str(tmp_path / "weights.pt")}


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_prithvi_answers_as_its_encoder_does(prithvi: dict[str, Any], tmp_path: Path, steps: int) -> None:
    whole = PrithviMAE(embed_dim=48, depth=2, num_heads=3, decoder_embed_dim=32, decoder_depth=1, num_frames=steps)
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    whole.load_state_dict({name: value for name, value in state.items() if "pos_embed" not in name}, strict=False)
    images = torch.randn(2, 6, steps, 56, 56)
    enlarged = nn.functional.interpolate(images.flatten(1, 2), 224, mode="bilinear").unflatten(1, (6, steps))
    with torch.inference_mode():
        theirs = whole.encoder.prepare_features_for_image_model([whole.encoder.forward_features(enlarged)[-1]], steps)
    torch.testing.assert_close(answer(Prithvi("image", list(Prithvi.known), **prithvi), images), theirs[0])


def test_a_band_that_prithvi_lacks_is_as_if_its_weights_were_taken_out(prithvi: dict[str, Any]) -> None:
    whole, without = Prithvi("image", list(Prithvi.known), **prithvi), Prithvi("image", ["B02", "B05"], **prithvi)
    images = torch.randn(1, 2, 2, 16, 24)
    with torch.no_grad():
        whole.model.patch_embed.proj.weight[:, [1, 2, 4, 5]] = 0
    all_six = torch.randn(1, 6, 2, 16, 24)
    all_six[:, [0, 3]] = images
    features = answer(without, images)
    assert features.shape == (1, 48, 4, 6)
    torch.testing.assert_close(features, answer(whole, all_six))


@pytest.mark.parametrize("patch", [14, 16])
def test_windows_and_patches_of_any_side_are_answered(prithvi: dict[str, Any], patch: int) -> None:
    sizes = prithvi | {"random": True, "pretrained_patch": patch}
    for patch_size in load_encoder("prithvi").patch_sizes:
        encoder = Prithvi("image", ["B07"], **sizes | {"patch_size": patch_size})
        assert answer(encoder, torch.randn(1, 1, 1, 16, 32)).shape == (1, 48, 16 // patch_size, 32 // patch_size)


def test_weights_of_another_model_are_refused(prithvi: dict[str, Any], tmp_path: Path) -> None:
    bands = list(Prithvi.known)
    with pytest.raises(
        CheckpointError, match=r"weights\.pt has no blocks\.2\.attn.*PrithviViT.*training\.model\.weights"
    ):
        Prithvi("image", bands, **prithvi | {"blocks": 3})
    with pytest.raises(CheckpointError, match="another shape of blocks"):
        Prithvi("image", bands, **prithvi | {"width": 96})
    with pytest.raises(CheckpointError, match="has no blocks"):
        TerraMind("image", ["B02"], **prithvi, gated=True)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        Prithvi("image", bands, **prithvi | {"weights": "absent.pt"})
    with pytest.raises(ValueError, match="knows no band B8A; it knows B02"):
        Prithvi("image", ["B8A"], **prithvi)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_weights_that_would_run_code_are_refused(
    prithvi: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder.norm.weight": _Runs()}, tmp_path / "weights.pt")
    for build in (Prithvi, TerraMind):
        with pytest.raises(CheckpointError, match="cannot be read as weights"):
            build("image", ["B02"], **prithvi, **({"gated": True} if build is TerraMind else {}))
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        Presto("image", ["B02"], prithvi["weights"])
    assert not Path("ran").exists()


@pytest.fixture
def presto_weights(real_data: Path) -> str:
    """Presto's published weights, or a skip that says so."""
    path = real_data / "weights" / "presto" / "default_model.pt"
    if not path.is_file():
        pytest.skip(f"Presto's weights not found at {path}")
    return str(path)


@pytest.mark.real_data
def test_presto_answers_as_rslearn_does_with_its_weights(presto_weights: str) -> None:
    ours = Presto("image", INPUT_PRESTO_S2_BANDS, presto_weights, pixels=37)
    theirs = RslearnPresto(Path(presto_weights).parent)
    images = torch.rand(2, 10, 2, 6, 9) * 5000
    features = answer(ours, images)
    assert features.shape == (2, ours.width, 6, 9)
    torch.testing.assert_close(features, answer(theirs, images, "s2"), atol=1e-5, rtol=1e-5)


@pytest.mark.real_data
def test_presto_masks_groups_of_bands_and_the_nearest_of_a_group_stands_in(presto_weights: str) -> None:
    five = Presto("image", FIVE_BANDS, presto_weights)
    seven = Presto("image", [*FIVE_BANDS[:4], "B8A", "B11", "B12"], presto_weights)
    images = torch.rand(1, 5, 1, 4, 4) * 5000
    with_both = images[:, [0, 1, 2, 3, 3, 4, 4]]
    assert list(five.sources) == ["B02", "B03", "B04", "B08", "B11", "B12"]
    assert (answer(five, images) - answer(seven, with_both)).abs().max() > 1e-3  # B8A is a group of its own
    six = Presto("image", [*FIVE_BANDS[:4], "B11", "B12"], presto_weights)
    torch.testing.assert_close(answer(five, images), answer(six, images[:, [0, 1, 2, 3, 4, 4]]))
    assert (answer(five, images) - answer(five, images * torch.tensor([1, 1, 1, 1, 2])[:, None, None, None])).any()


def test_presto_sees_the_month_and_no_neighbour() -> None:
    encoder = Presto("image", FIVE_BANDS, "", random=True)
    images = torch.rand(1, 5, 1, 4, 4) * 5000
    june = answer(encoder, images)
    with torch.inference_mode():
        other = encoder(ModelContext([{"image": RasterImage(images[0], [(datetime(2020, 1, 3),) * 2])}], []))
    assert (june - other.feature_maps[0]).abs().min(dim=1).values.max() > 0
    changed = images.clone()
    changed[..., 0, 0] = 0
    same = (answer(encoder, changed) == june).all(dim=1)[0]
    assert same.sum() == 15
    assert not same[0, 0]
    with pytest.raises(ValueError, match="Presto knows no band B01"):
        Presto("image", ["B01"], "", random=True)
