"""Shipped encoders are as large as their files say, and their files say what their authors publish."""

from importlib import import_module
from typing import Any

import pytest
import torch
from rslearn.models.presto.presto import HF_HUB_ID, INPUT_PRESTO_S2_BANDS, MODEL_FILENAME
from rslearn.models.prithvi import MODEL_TO_HF_INFO
from torch import nn

from burnscar_assets.encoders.encoder import Encoder, filled
from burnscar_assets.encoders.load import load_encoder, shipped_classes

PATCHWISE = ("presto", "prithvi", "terramind")


def built(encoder: Encoder, variant: str) -> nn.Module:
    """The encoder with random weights, given all its bands."""
    said = encoder.variants[variant]
    values: dict[str, Any] = {
        "WEIGHTS": "", "RANDOM": True, "INPUT": encoder.input, "BANDS": [band.name for band in encoder.bands],
        "PATCH_SIZE": encoder.patch_size, "WIDTH": said.width, "BLOCKS": said.blocks,
    }  # fmt: skip
    module, _, name = encoder.class_path.rpartition(".")
    model: nn.Module = getattr(import_module(module), name)(**filled(encoder.init_args | said.init_args, values))
    return model


@pytest.mark.parametrize(
    ("name", "variant"), [(name, variant) for name in PATCHWISE for variant in load_encoder(name).variants]
)
def test_variants_are_of_the_size_that_is_said(name: str, variant: str) -> None:
    encoder = load_encoder(name)
    said = encoder.variants[variant]
    with torch.device("meta"):
        model = built(encoder, variant)
    assert encoder.class_path in shipped_classes()
    assert sum(parameter.numel() for parameter in model.parameters()) == said.parameters
    assert len(model.model.blocks) == said.blocks
    assert model.width == said.width
    attention = model.model.blocks[0].attn
    assert all(isinstance(getattr(attention, projection), nn.Linear) for projection in encoder.projections)


def test_prithvi_is_fetched_of_the_commit_that_rslearn_pins() -> None:
    encoder = load_encoder("prithvi")
    for size, variant in (("VIT_300", "300m"), ("VIT_600", "600m")):
        said, theirs = encoder.variants[variant], MODEL_TO_HF_INFO[size]
        assert (said.repository, said.weights_file, said.revision) == tuple(
            theirs[key] for key in ("hf_hub_id", "weights", "revision")
        )


def test_presto_is_that_of_rslearn() -> None:
    encoder = load_encoder("presto")
    assert (encoder.repository, encoder.weights_file) == (HF_HUB_ID, MODEL_FILENAME)
    assert [band.name for band in encoder.bands] == INPUT_PRESTO_S2_BANDS
    assert all((band.subtract, band.divide) == (0, 1) for band in encoder.bands)
