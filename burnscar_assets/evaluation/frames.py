"""A checkpoint's answers for whole frames of fires, as its maps would have them: what the rules of maps are fixed on.

Frames are those of stage `fire_scenes`; pixels are answered by the code that makes maps. Frames without fire have no
part in it: maps are made where something burned.
"""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import Split
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.frame_pixels import FramePixels
from burnscar_assets.evaluation.ground import frame_clusters
from burnscar_assets.evaluation.map_baselines import BurnImages
from burnscar_assets.evaluation.map_scores import blocks_of
from burnscar_assets.evaluation.rules import MapRules, Rules, fix_map_rules
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.mapping.fire_scenes import TRUTH_UNKNOWN, FireScene, read_fire_scenes
from burnscar_assets.mapping.ground import near
from burnscar_assets.mapping.inference import NO_ANSWER, Lattice, check_mappable, predict_block, seen_box
from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.old_scars import BurnRatios
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.progress import Progress
from burnscar_assets.storage.tables import table_crs


def fix_rules_of_maps(
    spec: EvaluationSpec, checkpoint: Path, manifest: CheckpointManifest, rules: Rules, seen: gpd.GeoDataFrame,
    progress: Progress,
) -> MapRules:  # fmt: skip
    """Fix calibration and threshold of a checkpoint's maps on frames of validation fires; else those of windows.

    Frames are of the checkpoint's own fire year, and of those before it that it has seen, newest first, until there are
    `evaluation.validation_frames`.

    Args:
        spec: of the evaluation.
        checkpoint: the checkpoint's folder.
        manifest: its manifest.
        rules: of its windows.
        seen: windows that it has seen.
        progress: reports steps.

    Raises:
        MissingDataError: a year has no fire scenes, or an image of one is gone.
    """
    scenes = validation_scenes(spec, manifest.fire_years)
    if not scenes:
        return rules.without_frames("no validation fire has an image")
    try:
        frames = count_frames(spec, checkpoint, scenes, seen[seen["split"] == Split.TRAIN], progress)
    except InputError as error:
        return rules.without_frames(str(error))
    found = fix_map_rules(frames, spec.settings.confidence)
    return found or rules.without_frames(f"the frames of {len(frames)} validation fires show one class")


def validation_scenes(spec: EvaluationSpec, fire_years: Sequence[int]) -> list[FireScene]:
    """Frames of validation fires of the newest of some years and of those before it, until there are enough.

    Fires that a person took out have no part in it.

    Raises:
        MissingDataError: a year has no fire scenes.
    """
    scenes: list[FireScene] = []
    for year in sorted(fire_years, reverse=True):
        if len(scenes) < spec.settings.validation_frames:
            scenes += _scenes(spec, year, Split.VAL)
    return scenes


def count_frames(
    spec: EvaluationSpec,
    checkpoint: Path,
    scenes: Sequence[FireScene],
    left_out: gpd.GeoDataFrame,
    progress: Progress,
) -> list[FramePixels]:
    """The pixels of fires' frames, by a checkpoint's probability and the truth; clusters are pieces of ground.

    Args:
        spec: of the evaluation, with the settings of maps.
        checkpoint: the checkpoint's folder.
        scenes: frames of fires.
        left_out: windows whose ground doesn't count.
        progress: reports frames.

    Raises:
        InputError: the checkpoint reads other layers than maps are made of, or the scenes are of another.
        MissingDataError: an image is gone.
    """
    places = gpd.GeoSeries([scene.frame.footprint for scene in scenes], crs=GEOGRAPHIC_CRS).to_crs(table_crs())
    clusters = frame_clusters([scene.cluster_id for scene in scenes], places.to_numpy())
    model, frames = model_of_frames(spec, checkpoint, scenes), []
    for number, (scene, cluster) in enumerate(zip(scenes, clusters, strict=True)):
        progress("frames judged", number, len(scenes))
        probability = predict_frame(spec, model, scene)
        frames.append(counted(scene, cluster, probability, left_out, burn_ratios(spec, scene)))
    progress("frames judged", len(scenes), len(scenes))
    return frames


def model_of_frames(spec: EvaluationSpec, checkpoint: Path, scenes: Sequence[FireScene]) -> Predictor:
    """A checkpoint that answers frames as maps do.

    Raises:
        InputError: it reads other layers than maps are made of, or the scenes are of another.
    """
    from burnscar_assets.models.model import load_model

    for scene in scenes:
        scene.check_layer(spec.layer)
    model = load_model(checkpoint, spec.accelerator, spec.classes)
    check_mappable(model, spec.layer, spec.sensor)
    return model


def predict_frame(spec: EvaluationSpec, model: Predictor, scene: FireScene) -> NDArray[np.float32]:
    """(height, width) probability of burnt of a frame's pixels; `NO_ANSWER` where the ground isn't seen or asked for.

    Raises:
        MissingDataError: an image is gone.
    """
    lattice = Lattice(spec.size_px, spec.mapping.stride_of(spec.size_px))
    frame = scene.frame
    probability = np.full(frame.shape, NO_ANSWER, np.float32)
    for box in blocks_of(frame, scene.name, spec.settings.max_frame_km2):
        images = scene.images(model.layers, seen_box(model, lattice, box))
        if images is None:
            break
        answer = predict_block(
            model, images, box, lattice,
            min_clear_share=spec.mapping.min_clear_share, batch_size=spec.mapping.batch_size,
        )  # fmt: skip
        clear = images[scene.layer].mosaic.part(box).validity == Validity.VALID
        probability[box.slices_in(frame.box)] = np.where(clear, answer, NO_ANSWER)
    return probability


def burn_ratios(spec: EvaluationSpec, scene: FireScene) -> BurnRatios | None:
    """What tells old scars of a frame, in the blocks that are looked at; None without an image before.

    Raises:
        MissingDataError: an image is gone.
    """
    return BurnImages.read(scene, spec.sensor, spec.settings).ratios() if scene.moments_before else None


def old_scars(spec: EvaluationSpec, scene: FireScene, rules: MapRules) -> NDArray[np.bool_] | None:
    """(height, width) old scars of a frame by the rules of maps; None without an image before or a rule.

    Raises:
        MissingDataError: an image is gone.
    """
    return None if rules.scar_bound is None else rules.old_scars(burn_ratios(spec, scene))


def counted(
    scene: FireScene,
    cluster: str,
    probability: NDArray[np.float32],
    left_out: gpd.GeoDataFrame,
    ratios: BurnRatios | None = None,
) -> FramePixels:
    """The pixels of a frame by probability and truth, off the ground of some windows; old scars by its burn ratios.

    Raises:
        MissingDataError: the truth is gone.
    """
    pixel_ha = scene.frame.pixel_ha
    scars = None if ratios is None else ratios.scars_by_bound()
    return FramePixels.of(str(scene.fire_id), cluster, probability, truth_off(scene, left_out), pixel_ha, scars)


def truth_off(scene: FireScene, left_out: gpd.GeoDataFrame) -> NDArray[np.uint8]:
    """(height, width) truth of a frame; `TRUTH_UNKNOWN` on the ground of some windows, too.

    Raises:
        MissingDataError: the truth is gone.
    """
    frame, truth = scene.frame, scene.truth()
    truth[frame.covers(near(left_out, frame), frame.box, touched=True)] = TRUTH_UNKNOWN
    return truth


def _scenes(spec: EvaluationSpec, fire_year: int, split: Split) -> list[FireScene]:
    scenes = read_fire_scenes(spec.data_root, fire_year, spec.splits(split))
    return [scene for scene in scenes if scene.fire_id is not None and scene.fire_id not in spec.fires_out]
