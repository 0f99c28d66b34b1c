"""Any encoder of a file is trained and answers, on whatever bands a sensor has."""

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from burnscar_assets.environment import CONFIG_VARIABLE, WEIGHTS_VARIABLE
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.model import load_model
from burnscar_assets.models.plan import plan_training
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import Run, tiny_settings

SEGMENTATION = {"config": "model-segmentation.yaml", "max_epochs": 1, "freeze_epochs": 0}
FIVE = [("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir"), ("B12", "swir2")]
SENSOR = {
    "title": "Five bands",
    "layer": "sentinel2_l2a",
    "resolution_m": 20,
    "bands": [{"name": name, "roles": [role], "metres": 20} for name, role in FIVE],
    "radiometry": {"scale": 0.0001},
}
OWN: dict[str, Any] = {
    "title": "Swin",
    "class_path": "rslearn.models.swin.Swin",
    "init_args": {"arch": "swin_t", "input_channels": 4, "output_layers": [1]},
    "input": "image",
    "bands": [
        {"name": role, "role": role, "subtract": 1500, "divide": 1500} for role in ("swir2", "nir", "red", "green")
    ],
    "patch_sizes": [4],
    "patch_size": 4,
    "sides_px": [32, 224],
    "licence": {"name": "none", "notice": "No weights, no licence."},
    "variant": "tiny",
    "variants": {"tiny": {"width": 96, "blocks": 12, "parameters": 28_000_000}},
}


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a world's settings, with a sensor of five bands."""
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "world.yaml"))
    for folder, content in (("sensors/five", SENSOR), ("encoders/own", OWN)):
        path = tmp_path / f"{folder}.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump(content))
    return tmp_path


def planned(root: DataRoot, folder: Path, sensor: str | None = None, **training: Any) -> TrainingSpec:
    settings = tiny_settings(**SEGMENTATION | training)
    if sensor is not None:
        settings = settings.model_copy(update={"imagery": settings.imagery.model_copy(update={"sensor": sensor})})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = plan_training(settings, root, 2020)
    return spec.model_copy(update={"checkpoint": folder / "checkpoints" / "fire_year=2020"})


def answers_follow(spec: TrainingSpec, manifest: CheckpointManifest, bands: int) -> None:
    """The checkpoint answers pixel by pixel as training did, and looks at the images."""
    model = load_model(spec.checkpoint)
    assert manifest.layers == {"sentinel2_l2a": spec.sensor.names} and len(spec.sensor.names) == bands
    images = np.random.default_rng(0).integers(500, 4000, (2, bands, 32, 32)).astype(np.uint16)
    (layer,) = model.layers
    days = {layer: [datetime(2020, 9, 1, tzinfo=UTC)] * 2}
    pixels = model.predict({layer: images}, days)
    assert pixels.shape == (2, 32, 32)
    assert ((pixels > 0) & (pixels < 1)).all()
    assert not np.allclose(model.predict({layer: images // 2}, days), pixels)


def test_an_encoder_of_ones_own_is_one_file(packed_world: DataRoot, beside: Path, run: Run) -> None:
    spec = planned(packed_world, beside, "five", model={"encoder": "own"})
    manifest, _ = run(spec)
    assert manifest.reader == "bulk"
    assert (manifest.encoder_name, manifest.notice) == ("own tiny", "No weights, no licence.")
    (beside / "encoders" / "own.yaml").unlink()  # a checkpoint needs its own folder only
    answers_follow(spec, manifest, 5)


def test_what_an_encoder_cant_be_fed_is_said_before_any_work(packed_world: DataRoot, beside: Path) -> None:
    def refused(kind: type[Exception], match: str, content: dict[str, Any], **training: Any) -> None:
        (beside / "encoders" / "own.yaml").write_text(yaml.safe_dump(OWN | content))
        with pytest.raises(kind, match=match):
            planned(packed_world, beside, "five", **{"model": {"encoder": "own"}} | training)

    of_swir = [{"name": "x", "role": "swir1"}, {"name": "B08", "role": "nir"}]
    refused(SettingsError, r"Swin reads x, which the sensor five has no band for.*another training", {"bands": of_swir})
    refused(SettingsError, r"64 to 224 px, not 32: set windows\.size_px", {"sides_px": [64, 224]})
    refused(SettingsError, r"can't be tuned by lora; choose one of freeze-then-unfreeze, frozen", {}, tuning="lora")
    refused(SettingsError, r"no patches of 8 px; choose one of 4", {}, model={"encoder": "own", "patch_size": 8})
    refused(SettingsError, r"no multiple of a patch's 5 px.*one of 4,", {"patch_sizes": [4, 5], "patch_size": 5})
    refused(SettingsError, r"1 images of a window at most, not 2", {}, earlier_layers=["sentinel2_l2a"])
    foreign = {"class_path": "mine.Encoder"}
    refused(SettingsError, r"names mine\.Encoder.*training\.classes", foreign)


def test_an_encoder_that_is_told_days_takes_no_images_without(packed_world: DataRoot, beside: Path) -> None:
    import pandas as pd

    from burnscar_assets.encoders.weights import resolve_encoder
    from burnscar_assets.models.plan import check_feeding

    settings = tiny_settings(model={"weights": "random"})
    with pytest.warns(UserWarning, match="RANDOM"):
        encoder = resolve_encoder(settings.training.model, packed_world)
    windows = pd.DataFrame({"size_px": [32, 32], "acquired": pd.to_datetime(["2020-09-01", None], utc=True)})
    with pytest.raises(InputError, match="those of 1 windows have no day"):
        check_feeding(encoder, settings, windows)


@pytest.mark.parametrize("encoder", ["olmoearth", "galileo", "presto", "prithvi", "terramind"])
def test_random_weights_train_on_five_bands(packed_world: DataRoot, beside: Path, run: Run, encoder: str) -> None:
    variant = "tiny" if encoder in {"prithvi", "terramind"} else None
    patch_size = 1 if encoder == "presto" else 8
    model = {"encoder": encoder, "variant": variant, "weights": "random", "patch_size": patch_size}
    spec = planned(packed_world, beside, "five", model=model)
    manifest, _ = run(spec)
    assert manifest.reader == "bulk" and manifest.random_encoder
    answers_follow(spec, manifest, 5)


@pytest.mark.parametrize("patch_px", [1, 3, 4, 5, 8])
def test_features_of_any_patch_become_pixels(patch_px: int) -> None:
    import math

    import torch
    from rslearn.models.component import FeatureMaps
    from rslearn.models.unet import UNetDecoder
    from rslearn.train.model_context import ModelContext, RasterImage

    from burnscar_assets.models.to_pixels import ToPixels

    side = 8 * patch_px
    context = ModelContext([{"s2": RasterImage(torch.zeros(3, 1, side, side))}] * 2, [])
    decoder = UNetDecoder([[1 << math.ceil(math.log2(patch_px)), 16]], 2, num_channels={4: 8, 2: 8, 1: 8})
    maps = ToPixels()(decoder(FeatureMaps([torch.rand(2, 16, 8, 8)]), context), context)
    assert maps.feature_maps[0].shape == (2, 2, side, side)


class TestGalileoWithItsWeights:
    """Nano, as published."""

    @pytest.fixture(autouse=True)
    def _weights(self, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if not (real_data / "weights" / "galileo").is_dir():
            pytest.skip(f"no weights of Galileo in {real_data}")
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(real_data / "weights"))

    @pytest.mark.real_data
    def test_all_bands_give_what_rslearns_gives(self, real_data: Path) -> None:
        import torch
        from rslearn.models.galileo.galileo import GalileoModel
        from rslearn.train.model_context import ModelContext, RasterImage

        from burnscar_assets.encoders.galileo import Galileo
        from burnscar_assets.encoders.load import load_encoder

        bands = load_encoder("galileo").bands
        low, width = (torch.tensor([getattr(b, what) for b in bands]) for what in ("subtract", "divide"))
        image, moment = torch.rand(len(bands), 2, 16, 16) * 4000, datetime(2020, 9, 1, tzinfo=UTC)
        normal = (image - low[:, None, None, None]) / width[:, None, None, None]
        folder = real_data / "weights" / "galileo"
        theirs = GalileoModel("nano", 4, folder, autocast_dtype=None).eval()
        ours = Galileo(str(folder / "models" / "nano"), 4).eval()
        with torch.inference_mode():
            maps = [
                model(ModelContext([{"s2": RasterImage(given, [(moment, moment)] * 2)}], [])).feature_maps[0]
                for model, given in ((theirs, image), (ours, normal))
            ]
        assert maps[0].shape == (1, 128, 4, 4)
        torch.testing.assert_close(maps[0], maps[1], atol=1e-4, rtol=1e-3)

    @pytest.mark.real_data
    @pytest.mark.parametrize("sensor", [None, "five"])
    def test_it_trains_and_answers_by_pixel(
        self, sensor: str | None, packed_world: DataRoot, beside: Path, run: Run
    ) -> None:
        spec = planned(packed_world, beside, sensor, model={"encoder": "galileo", "patch_size": 8})
        manifest, _ = run(spec)
        assert manifest.encoder is not None and not manifest.encoder.random
        assert manifest.encoder.sha256 is not None and "MIT" in manifest.notice
        assert manifest.encoder.bare["bands"] == ["B2", "B3", "B4", "B8", "B12"] or sensor is None
        answers_follow(spec, manifest, 5 if sensor else 12)

    def test_bands_that_lack_are_masked_or_stood_for(self) -> None:
        from burnscar_assets.encoders.galileo import _places

        assert _places(["B2", "B3", "B4", "B8", "B12"]) == {
            "S2_RGB": {"B2": 0, "B3": 1, "B4": 2},
            "S2_NIR_10m": {"B8": 3},
            "S2_SWIR": {"B11": 4, "B12": 4},
        }
