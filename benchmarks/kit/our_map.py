"""Our map of an area as a process: `python -m kit.our_map ROOT CHECKPOINT AREA DAY FOLDER`, one JSON line.

ROOT is a data root whose dataset has the archive's configuration, AREA a file with WKT in EPSG:4326, DAY the scene's.
Everything from the search to the map's folder is done; told is how much of the time was the model's.
"""

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.rules import WINDOWS, MapRules
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.mapping.spec import MapSpec, MapTask
from burnscar_assets.models.model import load_model
from burnscar_assets.models.predictor import Images, Predictor, Times
from burnscar_assets.publish.making import MapModel, make_map
from burnscar_assets.settings import ImagerySettings
from kit.clock import CLOCK
from kit.map_windows import BATCH, SIZE_PX, STRIDE_PX
from kit.windows import DAYS_AFTER, DAYS_BEFORE

RULES = MapRules(1.0, 0.0, 0.5, WINDOWS)


class Timed(Predictor):
    """A model that says how long it took."""

    def __init__(self, model: Predictor) -> None:
        self.manifest, self.layers = model.manifest, model.layers
        self.per_pixel, self.reach_px = model.per_pixel, model.reach_px
        self._model = model
        self.windows, self.seconds = 0, 0.0

    def _prepare(self, images: Images) -> dict[str, Any]:
        """As the model does."""
        return self._model.prepare(images)

    def _answer(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.floating]:
        """As the model does."""
        begin = time.perf_counter()
        answers = self._model.answer(prepared, times)
        self.seconds += time.perf_counter() - begin
        self.windows += len(answers)
        return answers


def main(root: Path, checkpoint: Path, area: str, day: datetime, folder: Path) -> None:
    """Make the map."""
    begin = time.perf_counter()
    task = MapTask(
        name="area", title="Area", folder=folder / "map", work=folder / "work", area=area, source="benchmark",
        start=day - timedelta(days=DAYS_BEFORE), end=day + timedelta(days=DAYS_AFTER),
    )  # fmt: skip
    spec = MapSpec(
        root=root, checkpoint_year=day.year, tasks=(task,), size_px=SIZE_PX, simulated=True,
        imagery=ImagerySettings(allowed_hosts=(str(root.parent),)),
        settings=MappingSettings(stride_px=STRIDE_PX, batch_size=BATCH),
    )  # fmt: skip
    model = Timed(load_model(checkpoint, classes=[CLOCK]))
    outcome = make_map(task, spec, MapModel(model, model.manifest, RULES, None))
    said = {"done": int(outcome.record is not None), "wall_s": time.perf_counter() - begin}
    print(json.dumps(said | {"model_s": model.seconds, "windows": model.windows}))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]).read_text(encoding="utf-8"),
        datetime.fromisoformat(sys.argv[4]), Path(sys.argv[5]),
    )  # fmt: skip
