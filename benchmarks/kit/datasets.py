"""The rslearn datasets that imagery is measured on: one configuration, with rslearn's storage or with ours."""

import json
from pathlib import Path
from typing import Any, Final

from burnscar_assets.dataset.config import LABEL_LAYERS
from burnscar_assets.dataset.windows import LABEL_LAYER
from burnscar_assets.demo.spectra import BANDS

LAYER: Final = "sentinel2_l2a"

PACKED: Final = {
    "storage": {"class_path": "burnscar_assets.dataset.packed.storage.PackedWindowStorageFactory"},
    "window_data_storage": {"class_path": "burnscar_assets.dataset.packed.data.PackedDataStorageFactory"},
}


def write_config(folder: Path, catalogue: str, *, packed: bool) -> Path:
    """Write the `config.json` of a dataset; returns its folder.

    Args:
        folder: the dataset.
        catalogue: address of the STAC API.
        packed: our storage, or rslearn's default files.
    """
    source = {
        "class_path": "kit.sources.Element84At",
        "init_args": {"endpoint": catalogue, "sort_by": "eo:cloud_cover"},
        "query_config": {"space_mode": "MOSAIC", "max_matches": 1},
        "ingest": False,
    }
    layer = {
        "type": "raster",
        "band_sets": [{"dtype": "uint16", "bands": list(BANDS), "nodata_value": 0}],
        "resampling_method": "bilinear",
        "data_source": source,
    }
    content: dict[str, Any] = {"layers": {LABEL_LAYER: LABEL_LAYERS[LABEL_LAYER], LAYER: layer}} | (
        PACKED if packed else {}
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def count_files(dataset: Path) -> int:
    """Files of a dataset, its configuration aside."""
    return sum(path.is_file() for path in dataset.rglob("*")) - 1
