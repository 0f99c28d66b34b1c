"""Samples read from a dataset, as training reads them: `python -m kit.samples HOW DATASET WINDOWS WORKERS`.

HOW is `module` (one epoch of rslearn's own data module, as `configs/model-classification.yaml` makes it), or `bulk`
(our packed storage, all pixels as arrays). Prints how many there were and in what time, as one JSON line. A data
module's first batch is not in the time: it waits for worker processes to start.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from burnscar_assets.dataset.packed.pixels import iter_pixels
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.environment import CONFIGS_DIR
from kit.datasets import LAYER
from kit.scenes import FIRE_YEAR

BATCH = 32
BULK_BATCH = 512


def data_module(dataset: Path, workers: int) -> Any:
    """The data module of the model configuration, on a dataset, reading from disk."""
    import lightning
    from jsonargparse import ArgumentParser

    values = {
        "BURNSCAR_DATASET": str(dataset),
        "BURNSCAR_LAYERS": [LAYER],
        "BURNSCAR_INPUT": LAYER,
        "BURNSCAR_BANDS": [*BANDS],
        "BURNSCAR_NORMALISER": {
            "class_path": "rslearn.models.olmoearth_pretrain.norm.OlmoEarthNormalize",
            "init_args": {"band_names": {LAYER: [*BANDS]}},
        },
        "BURNSCAR_GROUPS": [str(FIRE_YEAR)],
        "BURNSCAR_BATCH_SIZE": BATCH,
        "BURNSCAR_LOADER_WORKERS": workers,
        "BURNSCAR_IN_MEMORY": False,
    }
    text = (CONFIGS_DIR / "model-classification.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{([^}]+)\}", lambda found: json.dumps(values.get(found[1], found[1])), text)
    content = json.loads(json.dumps(yaml.safe_load(text)["data"]))  # YAML's anchors become values of their own
    parser = ArgumentParser()
    parser.add_subclass_arguments(lightning.LightningDataModule, "data")
    return parser.instantiate_classes(parser.parse_object({"data": content})).data


def module_batches(dataset: Path, workers: int) -> Iterator[int]:
    """Sizes of the batches of one epoch."""
    module = data_module(dataset, workers)
    module.setup("fit")
    for inputs, _, _ in module.train_dataloader():
        yield len(inputs)


def bulk_batches(dataset: Path, names: list[str]) -> Iterator[int]:
    """Sizes of the batches of one pass over all pixels."""
    for pixels in iter_pixels(dataset, str(FIRE_YEAR), names, LAYER, batch=BULK_BATCH):
        yield len(pixels)


def main(how: str, dataset: Path, windows: Path, workers: int) -> None:
    """Read all samples of a dataset once."""
    import pandas as pd

    names = pd.read_parquet(windows, columns=["window_id"])["window_id"].tolist()
    batches = module_batches(dataset, workers) if how == "module" else bulk_batches(dataset, names)
    first = sum(islice(batches, 1 if how == "module" else 0))
    begin = time.perf_counter()
    done = sum(batches)
    print(json.dumps({"done": first + done, "timed": done, "wall_s": time.perf_counter() - begin}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
