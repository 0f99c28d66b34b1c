"""What set-ups without a network are trained on: clear pixels of windows, of each class a few drawn for trees."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT, UNBURNT
from burnscar_assets.dataset.layout import LABEL_BAND, LABEL_RASTER_LAYER
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.errors import InputError
from burnscar_assets.models.baselines.pixel_features import Mask, pixel_features, with_data
from burnscar_assets.models.baselines.trees import Examples
from burnscar_assets.progress import Progress
from burnscar_assets.reader.clearness import mask_of
from burnscar_assets.sampling.randomness import key_of, mix
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.paths import DataRoot

WINDOWS_AT_ONCE: Final = 64


def pixel_examples(
    sensor: Sensor,
    layers: Mapping[str, Sequence[str]],
    root: DataRoot,
    windows: gpd.GeoDataFrame,
    *,
    per_class: int,
    seed: int,
    progress: Progress,
) -> Examples:
    """Features of pixels of windows, and whether each is burnt.

    Args:
        sensor: whose images.
        layers: of the image after the fire and, if it is read, of that before, with their bands.
        root: data root.
        windows: table `windows`.
        per_class: pixels of each class that a window gives at most.
        seed: of the draw, which depends on a window's name and nothing else.
        progress: told of windows.

    Raises:
        InputError: no pixel has a label and data.
        MissingDataError: a window has no tile or label raster.
    """
    features, burnt = [], []
    for start in range(0, len(windows), WINDOWS_AT_ONCE):
        progress("windows read", start, len(windows))
        rows = windows.iloc[start : start + WINDOWS_AT_ONCE]
        labels = _tiles(root, rows, LABEL_RASTER_LAYER, (LABEL_BAND,))[:, 0]
        images = clear_images(root, rows, layers)
        at = draw_pixels(labels, with_data(*images), list(rows["window_id"]), per_class, seed)
        features.append(pixel_features(sensor, at, *images))
        burnt.append(labels[at] == BURNT)
    if not sum(map(len, burnt)):
        raise InputError(
            "no pixel of these windows has a label and data: label rasters may be empty, see burnscar check"
        )
    return np.concatenate(features), np.concatenate(burnt)


def clear_images(root: DataRoot, rows: gpd.GeoDataFrame, layers: Mapping[str, Sequence[str]]) -> list[NDArray[Any]]:
    """Tiles of windows by layer, (n, bands, height, width); what isn't clear in one of them is no data, as to maps.

    Args:
        root: data root.
        rows: of `complete_windows`.
        layers: with the bands wanted.

    Raises:
        MissingDataError: a window has no tile.
    """
    images = [_tiles(root, rows, layer, bands) for layer, bands in layers.items()]
    unclear = np.stack([mask_of(runs, images[0].shape[2:]) for runs in rows["unclear"]])[:, None]
    return [np.where(unclear, 0, image) for image in images]


def _tiles(root: DataRoot, rows: gpd.GeoDataFrame, layer: str, bands: Sequence[str]) -> NDArray[Any]:
    """(n, bands, height, width)."""
    return np.stack([np.asarray(tile) for tile in read_tiles(root.dataset, rows, layer, bands)])


def draw_pixels(labels: NDArray[np.integer], usable: Mask, names: Sequence[str], per_class: int, seed: int) -> Mask:
    """Draw at most so many usable pixels of each class from each window; those without a label are never drawn.

    Args:
        labels: (n, height, width) classes of pixels.
        usable: (n, height, width) which may be drawn.
        names: of the windows.
        per_class: pixels of each class at most.
        seed: of the draw.
    """
    drawn = np.zeros(labels.shape, bool)
    for window, name in enumerate(names):
        order = mix(key_of("pixels", seed, name), np.arange(labels[window].size))
        for label in (BURNT, UNBURNT):
            there = np.flatnonzero((labels[window] == label) & usable[window])
            chosen = there[np.argsort(order[there], kind="stable")[:per_class]]
            drawn[window].flat[chosen] = True
    return drawn
