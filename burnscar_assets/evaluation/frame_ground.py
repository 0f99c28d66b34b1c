"""What of a frame is looked at, and which of its pixels count: the same for every predictor and every question."""

from typing import Final

import geopandas as gpd
import numpy as np

from burnscar_assets.evaluation.map_baselines import FrameIndices, read_indices
from burnscar_assets.evaluation.map_scores import JudgedGround
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.ground import near
from burnscar_assets.sampling.randomness import key_of
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import EvaluationSettings

BLOCK_PX: Final = 512
"""Side of the blocks that frames are answered in, which decides what of a large one is drawn."""


def blocks_of(frame: Frame, name: str, max_km2: float) -> list[Box]:
    """The blocks that a frame is answered in; of one larger than `max_km2`, some that are drawn by its name."""
    block_km2 = (BLOCK_PX * frame.resolution_m / 1000) ** 2
    drawn = sorted(frame.blocks(BLOCK_PX), key=lambda box: key_of("frame-block", name, *box.bounds))
    return drawn[: max(1, round(max_km2 / block_km2))]


def ground_of(scene: FireScene, settings: EvaluationSettings, off: gpd.GeoDataFrame | None = None) -> JudgedGround:
    """The pixels of a frame that every predictor is judged on.

    Args:
        scene: the frame.
        settings: least coverage, and how much of a large frame is looked at.
        off: windows whose ground doesn't count.

    Raises:
        MissingDataError: an image or the truth is gone.
    """
    looked_at = np.zeros(scene.frame.shape, bool)
    for box in blocks_of(scene.frame, scene.name, settings.max_frame_km2):
        looked_at[box.slices_in(scene.frame.box)] = True
    box, clear = scene.frame.box, scene.clear(scene.frame.box)
    if off is not None:
        clear &= ~scene.frame.covers(near(off, scene.frame), box, touched=True)
    return JudgedGround.of(
        scene.truth(), clear, scene.clear_before(box), looked_at, scene.frame.resolution_m,
        settings.min_map_coverage, has_fire=scene.fire_id is not None,
    )  # fmt: skip


def indices_of(scene: FireScene, sensor: Sensor, settings: EvaluationSettings, ground: JudgedGround) -> FrameIndices:
    """What burn indices are made of, of the part of a frame that is looked at.

    Raises:
        MissingDataError: an image is gone.
    """
    return read_indices(scene, sensor, blocks_of(scene.frame, scene.name, settings.max_frame_km2), ground)
