"""How the pixels of two datasets differ: `python -m kit.compare DATASET OTHER WINDOWS COUNT`.

Both are read through rslearn's own interface, at most COUNT windows. Prints one JSON line: windows that were read,
pixels, pixels that differ, and the largest difference in digital numbers.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rslearn.dataset import Dataset, Window  # noqa: TID253
from upath import UPath

from burnscar_assets.demo.spectra import BANDS
from kit.datasets import LAYER
from kit.scenes import FIRE_YEAR


def _windows(dataset_path: Path, names: list[str]) -> tuple[Any, dict[str, Window]]:
    dataset = Dataset(UPath(dataset_path))
    found = dataset.load_windows(groups=[str(FIRE_YEAR)], names=names)
    return dataset.layers[LAYER].band_sets[0].instantiate_raster_format(), {window.name: window for window in found}


def _pixels(window: Window, raster_format: Any) -> npt.NDArray[np.int64]:
    raster = window.data.read_raster(LAYER, list(BANDS), raster_format)
    return raster.get_chw_array().astype(np.int64)


def main(dataset: Path, other: Path, windows: Path, count: int) -> None:
    """Compare."""
    names = pd.read_parquet(windows, columns=["window_id"])["window_id"].tolist()[:count]
    (one_format, ones), (other_format, others) = _windows(dataset, names), _windows(other, names)
    pixels = differ = largest = 0
    for name in names:
        difference = abs(_pixels(ones[name], one_format) - _pixels(others[name], other_format))
        pixels += difference.size
        differ += int((difference > 0).sum())
        largest = max(largest, int(difference.max()))
    print(json.dumps({"done": len(names), "pixels": pixels, "differ": differ, "largest": largest}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
