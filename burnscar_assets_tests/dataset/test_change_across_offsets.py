"""Two images of a burn whose numbers are worth different things: each is read by its own scale and offset."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from burnscar_assets.publish.making import make_map
from burnscar_assets.sensors.indices import dnbr, nbr
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SIDE_M, WINDOW_PX, SmallScene, make_dataset, make_windows
from burnscar_assets_tests.dataset.test_radiometry_of_tiles import write_as
from burnscar_assets_tests.publish.map_kit import AS_ANSWERED, FormulaModel, degrees, judge_of, spec_of, task_of

SIDE_PX = 160
BURNED_HA = SIDE_PX**2 / 100
MIXED_HA = 4 * SIDE_PX / 100
"""A pixel along each edge of the burned ground, where B12 of 20 m mixes what burned with what didn't."""
EDGE_M = (SIDE_M - 10 * SIDE_PX) // 2
LAYERS = "sentinel2_l2a", "sentinel2_l2a_pre"

CARRIED = 1000
WRITTEN: dict[str, dict[str, Any]] = {
    "without": {},
    "tags": {"scale": 1e-4, "offset": -0.1},
    "tags in DN": {"scale": 1.0, "offset": -1000.0},
}
"""How a scene's files are written: those with tags carry the offset, which nothing else says."""


@dataclass(frozen=True)
class Burn(SmallScene):
    """Forest, and after the fire a square of burned ground, whose dNBR is 1.1; what is dark is as dark in both."""

    burned: bool = False

    def reflectance(self, band: str) -> np.ndarray:
        """Digital numbers without the offset, (rows, columns) at the band's resolution."""
        size = BAND_RESOLUTION_M[band]
        dark = np.random.default_rng(BANDS.index(band)).integers(0, 20, (SIDE_M // size, SIDE_M // size))
        pixels = dark + {"B08": 4000, "B12": 1000}.get(band, 500)
        if self.burned:
            edge = slice(EDGE_M // size, (SIDE_M - EDGE_M) // size)
            pixels[edge, edge] = {"B08": 1000, "B12": 3000}.get(band, 400)
        return pixels.astype("uint16")


BEFORE = Burn("before", "2021-08-10T18:50:00Z")
AFTER = Burn("after", "2022-08-10T18:50:00Z", burned=True)


def write(folder: Path, before: str, after: str) -> Path:
    """An archive of both scenes, each written in its own way; returns its index."""
    items = []
    for scene, way in ((BEFORE, before), (AFTER, after)):
        carried = np.uint16(CARRIED if WRITTEN[way] else 0)
        items.append(write_as(folder, scene, lambda dn, added=carried: dn + added, nodata=0, **WRITTEN[way]))
    write_index(items, folder / "index.parquet")
    return folder / "index.parquet"


def change(numbers: dict[str, np.ndarray]) -> np.ndarray:
    """dNBR of what the scenes were made of, or of what was read of them: (bands, rows, columns) by layer."""
    near, short = BANDS.index("B08"), BANDS.index("B12")
    after, before = (nbr(numbers[layer][near], numbers[layer][short]) for layer in LAYERS)
    return dnbr(before, after)


@pytest.mark.parametrize("after", WRITTEN)
@pytest.mark.parametrize("before", WRITTEN)
def test_layers_before_and_after_are_each_read_by_their_own_tags(
    root: DataRoot, tmp_path: Path, before: str, after: str
) -> None:
    settings = make_dataset(root, write(tmp_path, before, after), dataset_config="dataset-pre-post.json")
    windows = make_windows(root, [(24, 24), (104, 104)])
    matches, _ = match_scenes(windows, root.dataset, settings)
    table, _ = materialize_tiles(windows, matches, root.dataset, settings)
    assert table["complete"].all()
    for name, (column, row) in zip(("w0", "w1"), ((24, 24), (104, 104)), strict=True):
        there = {layer: read_tile(root.dataset, "2022", name, layer, BANDS) for layer in LAYERS}
        for layer, scene in zip(LAYERS, (AFTER, BEFORE), strict=True):
            expected = scene.reflectance("B08")[row : row + WINDOW_PX, column : column + WINDOW_PX]
            np.testing.assert_array_equal(there[layer][BANDS.index("B08")], expected)
        high = change(there) > 0.66
        burned = np.zeros_like(high)
        burned[max(40 - row, 0) :, max(40 - column, 0) :] = True
        np.testing.assert_array_equal(high[2:-2, 2:-2], burned[2:-2, 2:-2])


@pytest.mark.parametrize(("before", "after"), [("without", "tags"), ("tags", "without"), ("tags in DN", "tags")])
def test_a_map_finds_the_severity_that_the_scenes_were_made_with(root: DataRoot, before: str, after: str) -> None:
    folder = root.path / "archive"
    folder.mkdir(parents=True)
    imagery = make_dataset(root, write(folder, before, after), packed=True)
    days = {"before_start": "2021-08-01T00:00:00Z", "before_end": "2021-09-01T00:00:00Z"}
    whole = degrees(100, 100 - SIDE_M, SIDE_M - 100, -100)
    task = task_of(root.path, whole)
    spec = spec_of(root, imagery, task.model_validate(task.model_dump() | days))
    record = make_map(spec.tasks[0], spec, judge_of(FormulaModel(), rules=replace(AS_ANSWERED, threshold=0))).record
    assert record is not None
    severity = record["severity_ha"]
    assert severity["high"] == pytest.approx(BURNED_HA, abs=0.1)
    assert sum(severity[name] for name in ("low", "moderate-low", "moderate-high")) <= MIXED_HA + 0.1
