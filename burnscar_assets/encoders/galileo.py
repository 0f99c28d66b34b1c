"""rslearn's Galileo for sensors that lack some of its bands, on pixels of any size, also without its weights.

Its authors mask groups of bands of which none is there; within a group the nearest band stands for one that lacks, as
in their evaluation on data sets of other bands.
"""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import torch  # noqa: TID253 - rslearn loads this module, by the class path in a model's configuration
from rslearn.models.component import FeatureExtractor, FeatureMaps  # noqa: TID253 - as above
from rslearn.models.galileo.galileo import GalileoModel  # noqa: TID253
from rslearn.models.galileo.single_file_galileo import (  # noqa: TID253
    CONFIG_FILENAME,
    S2_BANDS,
    SPACE_TIME_BANDS,
    SPACE_TIME_BANDS_GROUPS_IDX,
    Encoder,
    MaskedOutput,
)
from rslearn.train.model_context import ModelContext  # noqa: TID253
from torch import Tensor  # noqa: TID253

_INPUTS: Final = ("s1", "s2")


class Galileo(GalileoModel):
    """Galileo on normalised Sentinel-2 (`s2`) and, if the samples have it, Sentinel-1 (`s1`).

    Args:
        folder: with config.json and, unless random, encoder.pt.
        patch_size: side of a patch, in pixels.
        bands: names of its Sentinel-2 bands that `s2` holds, in that order; by default all.
        metres: side of a pixel.
        random_initialization: whether to leave its weights random.
        autocast_dtype: `bfloat16`, `float32`, or None to compute as inputs are.

    Raises:
        ValueError: a band is none of its own.
    """

    def __init__(
        self,
        folder: str,
        patch_size: int = 4,
        bands: list[str] | None = None,
        metres: float = 10,
        random_initialization: bool = False,
        autocast_dtype: str | None = None,
    ) -> None:
        FeatureExtractor.__init__(self)  # rslearn's own needs weights, and fetches them
        there = list(S2_BANDS) if bands is None else bands
        if unknown := sorted(set(there) - set(S2_BANDS)):
            raise ValueError(f"Galileo has no band {unknown[0]}")
        path = Path(folder)
        if random_initialization:
            self.model = Encoder(**json.loads((path / CONFIG_FILENAME).read_bytes())["model"]["encoder"])
        else:
            self.model = Encoder.load_from_folder(path, device=torch.device("cpu"))
        self.patch_size, self.metres = patch_size, metres
        self.autocast_dtype = None if autocast_dtype is None else getattr(torch, autocast_dtype)
        self.places = _places(there)
        self.groups = {
            "s1": [_GROUPS.index("S1")],
            "s2": [_GROUPS.index(group) for group in self.places],
        }

    def forward(self, context: ModelContext) -> FeatureMaps:
        """One feature map (windows, width, rows of patches, columns of patches): the mean over steps and groups."""
        names = [name for name in _INPUTS if name in context.inputs[0]]
        images = {name: torch.stack([sample[name].image for sample in context.inputs]) for name in names}
        device = images[names[0]].device
        months = torch.stack(
            [self.time_ranges_to_timestamps(sample[names[0]].timestamps, device) for sample in context.inputs]
        )
        masked = self._masked({name: image.permute(0, 3, 4, 2, 1) for name, image in images.items()}, months)
        autocast = (
            nullcontext() if self.autocast_dtype is None else torch.amp.autocast(device.type, self.autocast_dtype)
        )
        with autocast:
            features: Tensor = self.model(
                **masked._asdict(), patch_size=self.patch_size, input_resolution_m=self.metres
            )[0]
        groups = [group for name in names for group in self.groups[name]]
        return FeatureMaps([features[:, :, :, :, groups].mean(dim=(3, 4)).permute(0, 3, 1, 2)])

    def _masked(self, images: dict[str, Tensor], months: Tensor) -> MaskedOutput:
        """Galileo's input of images (windows, rows, columns, steps, bands), all masked that they don't hold."""
        whole = dict(images)
        if "s2" in images:
            there = images["s2"]
            whole["s2"] = there.new_zeros((*there.shape[:-1], len(S2_BANDS)))
            for places in self.places.values():
                for band, place in places.items():
                    whole["s2"][..., S2_BANDS.index(band)] = there[..., place]
        masked = self.construct_galileo_input(**whole, months=months)
        masked.s_t_m.fill_(1)
        for name in images:
            masked.s_t_m[..., self.groups[name]] = 0
        return masked

    def get_backbone_channels(self) -> list[tuple[int, int]]:
        """(factor, channels) of the feature map."""
        return [(self.patch_size, self.model.embedding_size)]


_GROUPS: Final = list(SPACE_TIME_BANDS_GROUPS_IDX)


def _places(there: list[str]) -> dict[str, dict[str, int]]:
    """By group of Sentinel-2 bands of which one is there, where each of its bands is taken from."""
    groups = {
        group: [SPACE_TIME_BANDS[place] for place in places]
        for group, places in SPACE_TIME_BANDS_GROUPS_IDX.items()
        if group.startswith("S2")
    }
    found: dict[str, dict[str, int]] = {}
    for group, bands in groups.items():
        held = [band for band in bands if band in there]
        if held:  # a group's bands stand in the order of their wavelengths
            nearest = {band: min(held, key=lambda other: abs(bands.index(other) - bands.index(band))) for band in bands}
            found[group] = {band: there.index(nearest[band]) for band in bands}
    return found
