"""A small archive without real models: maps over it are made by a model whose answer is a formula."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyproj
import shapely

from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.evaluation.rules import FRAMES, MapRules
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.mapping.spec import MapSpec, MapTask
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.predictor import Images, Predictor, Times
from burnscar_assets.publish.making import MapModel
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import EPSG, LEFT, SIDE_M, TOP, SmallScene, make_dataset, write_archive
from burnscar_assets_tests.publish.fire_error_tables import errors_of

SIZE_PX = 16
LAYER = "sentinel2_l2a"
ERRORS = tuple(errors_of(f"c{n}", 100.0 + n, 80.0 + 5 * n, 900.0) for n in range(8))
"""Of eight validation fires, whose maps show more or less than burned."""

AS_ANSWERED = MapRules(1.0, 0.0, 0.5, FRAMES, errors=ERRORS)
AUGUST = datetime(2022, 8, 1, tzinfo=UTC), datetime(2022, 9, 1, tzinfo=UTC)


class FormulaModel(Predictor):
    """Answers by the mean of the first band and by the day; counts the windows that it was asked about."""

    manifest = CheckpointManifest.model_construct(
        weights_sha256="abc", fire_years=(2022,), fire_year=2022, layer=LAYER, sensor=default_sensor(), notice=""
    )
    layers: ClassVar = {LAYER: BANDS}

    def __init__(self, *, per_pixel: bool = False, fail_after: int | None = None) -> None:
        self.per_pixel, self.fail_after, self.calls, self.windows = per_pixel, fail_after, 0, 0

    def _prepare(self, images: Images) -> dict[str, np.ndarray]:
        return {layer: pixels.astype(np.float64) / 6000 for layer, pixels in images.items()}

    def _answer(self, prepared: Mapping[str, np.ndarray], times: Times) -> np.ndarray:
        pixels = self._formula(prepared[LAYER], times[LAYER])
        return pixels if self.per_pixel else pixels.mean(axis=(1, 2))

    def _formula(self, windows: np.ndarray, acquired: Sequence[datetime]) -> np.ndarray:
        self.calls += 1
        if self.fail_after is not None and self.calls > self.fail_after:
            raise KeyboardInterrupt
        self.windows += len(windows)
        days = np.array([moment.day for moment in acquired])[:, None, None]
        return np.clip(windows[:, 0] * 0.8 + days / 310, 0.01, 0.99)


def degrees(left: float, bottom: float, right: float, top: float) -> shapely.Geometry:
    """A rectangle in metres from the archive's upper left corner, downwards negative, as degrees."""
    box = shapely.segmentize(shapely.box(LEFT + left, TOP + bottom, LEFT + right, TOP + top), 100)
    to_wgs84 = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    return shapely.transform(box, lambda xy: np.column_stack(to_wgs84(xy[:, 0], xy[:, 1])))


INSIDE = degrees(200, -1400, 1500, -200)
"""An area that the archive's first scene covers."""


def make_archive(root: DataRoot, *scenes: SmallScene, **settings: Any) -> ImagerySettings:
    """An archive under a data root, and the dataset's configuration for it."""
    index = write_archive(root.path / "archive", *(scenes or (SmallScene("one"),)))
    return make_dataset(root, index, packed=True, **settings)


def spec_of(root: DataRoot, imagery: ImagerySettings, *tasks: MapTask, **settings: Any) -> MapSpec:
    chosen = {"block_px": 64, "min_area_ha": 0, "min_hole_ha": 0} | settings
    return MapSpec(
        root=root.path,
        checkpoint_year=2022,
        tasks=tasks,
        imagery=imagery,
        settings=MappingSettings(**chosen),
        size_px=SIZE_PX,
        simulated=True,
    )


def task_of(folder: Path, area: shapely.Geometry = INSIDE, **changes: Any) -> MapTask:
    """A map of an area of interest in August; a fire's, if it has a fire_id."""
    start, end = AUGUST
    return MapTask(
        name="a", title="A", folder=folder / "maps" / "a", work=folder / "work" / "a", start=start, end=end,
        area=shapely.to_wkt(area, rounding_precision=-1), source="a test",
    ).model_copy(update=changes)  # fmt: skip


def judge_of(model: Predictor, **changes: Any) -> MapModel:
    known: dict[str, Any] = {"rules": AS_ANSWERED, "ground": None}
    return MapModel(model, FormulaModel.manifest, **known | changes)


def ground_of(seen_rows: int, other_rows: int, scar_columns: int = 0) -> Any:
    """Ground that is known beforehand.

    The uppermost rows were seen, the lowest burned in another fire of the season, the leftmost columns in an earlier
    season.
    """
    from burnscar_assets.mapping.ground import Ground

    def under(frame: Frame, task: MapTask, since: datetime | None = None) -> Ground:
        box = frame.box
        parts = (
            Box(box.left - 9, box.top - 9, box.right + 9, box.top + seen_rows),
            Box(box.left - 9, box.bottom - other_rows, box.right + 9, box.bottom + 9),
            Box(box.left - 9, box.top - 9, box.left + scar_columns, box.bottom + 9),
        )
        crs = f"EPSG:{frame.epsg}"
        seen, others, scars = (project(frame.metres(part).buffer(-0.1), crs, "EPSG:4326") for part in parts)
        return Ground(seen, others, scars if scar_columns else shapely.Polygon(), task.geometry)

    return SimpleNamespace(under=under, check_unseen=lambda fire_id: None)


__all__ = ["SIDE_M", "SmallScene"]
