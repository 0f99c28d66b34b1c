"""Presto of NASA Harvest, pixel by pixel: rslearn's model, built and filled without a network, given bands by name.

rslearn's own `Presto` fetches its file where a folder lacks it, and takes all ten bands of Sentinel-2 or none.
"""

from pathlib import Path
from typing import Final

import torch  # noqa: TID253 - a plug-in that only a process with torch loads
from rslearn.models.component import FeatureExtractor, FeatureMaps  # noqa: TID253 - as above
from rslearn.models.presto.presto import INPUT_PRESTO_BANDS  # noqa: TID253
from rslearn.models.presto.presto import Presto as RslearnPresto  # noqa: TID253
from rslearn.models.presto.single_file_presto import BANDS_GROUPS_IDX  # noqa: TID253
from rslearn.models.presto.single_file_presto import Presto as WholePresto  # noqa: TID253
from rslearn.train.model_context import ModelContext  # noqa: TID253
from torch import Tensor  # noqa: TID253

from burnscar_assets.encoders.patches import load_published


class Presto(RslearnPresto):
    """Presto's encoder: features of each pixel, of its bands and of the months of its images.

    It scales reflectance × 10,000 itself. Bands come in groups: blue, green and red; the red edges; near infrared;
    narrow near infrared; both short-wave infrareds. A group of which none is there is masked, as in its pretraining; in
    others, the nearest stands in for one that is lacking. Radar, weather, terrain, land cover and place are masked.

    Args:
        image: name of the input.
        bands: names of the input's bands, in its order, as Sentinel-2 has them.
        weights: file of the tensors.
        random: leave the weights as they are drawn.
        pixels: pixels that go through the model at once.

    Raises:
        ValueError: a band is unknown, or the file holds another model.
        CheckpointError: the file is missing or can't be read as tensors.
    """

    width: Final = 128

    def __init__(self, image: str, bands: list[str], weights: str, random: bool = False, pixels: int = 8192) -> None:
        FeatureExtractor.__init__(self)
        self.image = image
        if unknown := [name for name in bands if name not in INPUT_PRESTO_BANDS]:
            raise ValueError(f"Presto knows no band {unknown[0]}; it knows {', '.join(INPUT_PRESTO_BANDS)}")
        self.sources = _sources(bands)
        self.pixels = pixels
        self.month = 6  # rslearn's, for images without a date
        self.model = WholePresto.construct().encoder
        if not random:
            load_published(self.model, Path(weights), _named)

    def forward(self, context: ModelContext) -> FeatureMaps:
        """One feature map (windows, 128, rows, columns)."""
        inputs = [sample[self.image] for sample in context.inputs]
        images = torch.stack([entry.image[list(self.sources.values())] for entry in inputs])
        months = None
        if inputs[0].timestamps is not None:
            months = torch.stack([self.time_ranges_to_timestamps(entry.timestamps, images.device) for entry in inputs])
        values, mask, land_cover, months = self.construct_presto_input(
            s2=images, s2_bands=[*self.sources], months=months
        )
        rows, columns = images.shape[-2:]
        per_pixel = [part.movedim(1, 3).flatten(0, 2) for part in (values, mask, land_cover)]
        per_pixel.append(months.repeat_interleave(rows * columns, dim=0))
        chunks = zip(*(part.split(self.pixels) for part in per_pixel), strict=True)
        features: Tensor = torch.cat(
            [self.model(x=x, mask=masked, dynamic_world=land, month=month) for x, masked, land, month in chunks]
        )
        return FeatureMaps([features.unflatten(0, (len(inputs), rows, columns)).movedim(3, 1).contiguous()])


def _sources(bands: list[str]) -> dict[str, int]:
    """Bands that Presto is given, and the place of the one of the input that feeds each."""
    sources: dict[str, int] = {}
    for places in BANDS_GROUPS_IDX.values():
        there = [place for place in places if INPUT_PRESTO_BANDS[place] in bands]
        for place in places if there else ():
            nearest = min(there, key=lambda other, wanted=place: abs(other - wanted))  # type: ignore[misc]
            sources[INPUT_PRESTO_BANDS[place]] = bands.index(INPUT_PRESTO_BANDS[nearest])
    return sources


def _named(published: str) -> str | None:
    name = published.removeprefix("encoder.")
    return None if name == published else name
