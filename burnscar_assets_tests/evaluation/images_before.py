"""Images from before the fires for the tiny world, from which dNBR is what a test wants."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.storage.contracts import TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.tiny_dataset import LAYER

BEFORE = f"{LAYER}_pre"


def add_images_before(root: DataRoot, year: int, burned: Mapping[str, np.ndarray], offset: float = 0.0) -> None:
    """Give windows an image from before the fire: where `burned`, (32, 32), much greener; else as after the fire.

    Args:
        root: data root.
        year: fire year.
        burned: by window.
        offset: dNBR of ground that did not burn.
    """
    from rslearn.dataset import Dataset
    from rslearn.utils.raster_array import RasterArray
    from rslearn.utils.raster_format import GeotiffRasterFormat
    from upath import UPath

    config = json.loads((root.dataset / "config.json").read_text())
    config["layers"][BEFORE] = config["layers"][LAYER]
    (root.dataset / "config.json").write_text(json.dumps(config))
    dataset = Dataset(UPath(root.dataset))
    for window in dataset.load_windows(groups=[str(year)], names=list(burned)):
        image = read_tile(root.dataset, str(year), window.name, LAYER, BANDS).copy()
        nir, swir = image[BANDS.index("B08")].astype(float), image[BANDS.index("B12")]
        ratio = (nir - swir) / (nir + swir) + offset
        if offset:
            image[BANDS.index("B12")] = np.round(nir * (1 - ratio) / (1 + ratio))
        image[BANDS.index("B08")][burned[window.name]] = 6000
        image[BANDS.index("B12")][burned[window.name]] = 600
        with window.data.open_layer_writer(BEFORE) as writer:
            raster = RasterArray(chw_array=image, time_range=window.time_range)
            writer.write_raster(list(BANDS), GeotiffRasterFormat(), window.projection, window.bounds, raster)
        window.mark_layer_completed(BEFORE)
    tiles = read_table(root, TILES, year)
    there = tiles[(tiles["layer"] == LAYER) & tiles["window_id"].isin(burned)]
    write_table(root, TILES, pd.concat([tiles, there.assign(layer=BEFORE)], ignore_index=True), year)
