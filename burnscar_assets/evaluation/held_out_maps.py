"""The frames of a year's held-out fires, and those without fire: answered once, scored, and read for reliability."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import Split
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.frame_pixels import Reliability
from burnscar_assets.evaluation.frames import burn_ratios, counted, model_of_frames, predict_frame, validation_scenes
from burnscar_assets.evaluation.ground import frame_clusters
from burnscar_assets.evaluation.land_cover import NO_AREAS, LandCover, areas_by_cover, cover_names
from burnscar_assets.evaluation.map_baselines import BASELINES, BurnImages, FrameIndices, tune
from burnscar_assets.evaluation.map_scores import (
    NO_CLASSES,
    MapScore,
    Mask,
    ScoredGround,
    ground_of,
    hits_by_severity,
    score_map,
    severity_codes,
)
from burnscar_assets.evaluation.report import MODEL, SEASON
from burnscar_assets.evaluation.rules import MapRules
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.mapping.fire_scenes import FireScene, read_frames
from burnscar_assets.mapping.ground import near
from burnscar_assets.mapping.inference import NO_ANSWER
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.progress import Progress
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, MAP_SCORES
from burnscar_assets.storage.tables import read_table, table_crs

TRAINED_THERE: Final = "the checkpoint was trained on its ground"
NO_IMAGE_BEFORE: Final = "no image before the fire, which the model reads, shows enough of it"
_FACTS: Final = ("fire_name", "area_ha", "flag")


@dataclass(frozen=True)
class HeldOutMaps:
    """What came of the frames of a year's held-out fires.

    Attributes:
        scores: contract MAP_SCORES.
        reliability: whether probabilities mean what they say there; None if the checkpoint can't answer frames.
    """

    scores: gpd.GeoDataFrame
    reliability: Reliability | None


@dataclass(frozen=True)
class _Prediction:
    """What a predictor calls burnt on a frame, where it has an answer, and where only the rule of old scars says no."""

    called: Mask
    answered: Mask
    threshold: float
    old_scars: Mask | None = None


def evaluate_held_out(
    spec: EvaluationSpec,
    checkpoint: Path,
    manifest: CheckpointManifest,
    rules: MapRules,
    seen: gpd.GeoDataFrame,
    progress: Progress,
) -> HeldOutMaps:
    """Answer the frames of the year's held-out fires and score them; in the world's own set-up beside baselines.

    Args:
        spec: of the evaluation.
        checkpoint: the checkpoint's folder.
        manifest: its manifest.
        rules: calibration and threshold of its maps, fixed on validation fires.
        seen: windows that it has seen.
        progress: reports frames.

    Raises:
        InputError: land cover is set and can't be used.
        MissingDataError: the year has no fire scenes, or an image of one is gone.
    """
    scenes = [one for year in spec.scored_years for one in read_frames(spec.data_root, year, spec.splits(Split.TEST))]
    places = gpd.GeoSeries([scene.frame.footprint for scene in scenes], crs=GEOGRAPHIC_CRS).to_crs(table_crs())
    clusters = frame_clusters([scene.cluster_id for scene in scenes], places.to_numpy())
    model, why = _model(spec, checkpoint, scenes)
    cover = _land_cover(spec)
    thresholds = _tuned(spec, manifest, progress) if spec.data_root.is_own else {}
    facts, rows, pixels = _facts(spec), [], []
    for number, (scene, cluster) in enumerate(zip(scenes, clusters, strict=True)):
        progress("held-out frames judged", number, len(scenes))
        known = _known(scene, facts, spec.fires_out)
        known |= {"seed": manifest.seed, "geometry": places.iloc[number]}
        if scene.reason or (model is None and not thresholds):
            rows.append(_unjudged(known | {"predictor": MODEL, "reason": scene.reason or why}))
            continue
        ground = ground_of(scene, spec.settings)
        probability = None if model is None else predict_frame(spec, model, scene)
        images = BurnImages.read(scene, spec.sensor, spec.settings)
        ratios = images.ratios()
        scars, severity = rules.old_scars(ratios), severity_codes(ratios, ground)
        grown = None if cover is None else cover.of(scene.frame)
        if probability is not None and scene.fire_id is not None:
            pixels.append(counted(scene, cluster, _without(probability, scars), seen))
        reason = (
            ground.reason
            or why
            or (TRAINED_THERE if is_seen(scene, ground, seen) else lacks_before(model, scene, ground))
        )
        own = None if probability is None else _by_rules(probability, rules, scars)
        rows.append(_row(known | {"predictor": MODEL, "reason": reason}, own, ground, severity, grown, spec.settings))
        for name, prediction in _baselines(images, ground, thresholds):
            known |= {"predictor": name, "reason": ""}
            rows.append(_row(dict(known), prediction, ground, severity, grown, spec.settings))
    progress("held-out frames judged", len(scenes), len(scenes))
    reliability = (
        None if model is None else Reliability.of(pixels, rules.slope, rules.intercept, spec.settings.confidence)
    )
    table = gpd.GeoDataFrame(rows, geometry="geometry", crs=table_crs()) if rows else MAP_SCORES.empty()
    return HeldOutMaps(MAP_SCORES.conform(table), reliability)


def evaluate_season_maps(
    spec: EvaluationSpec,
    checkpoint: Path,
    manifest: CheckpointManifest,
    rules: MapRules,
    seen: gpd.GeoDataFrame,
    progress: Progress,
) -> gpd.GeoDataFrame:
    """Score maps of all fires of the year that have frames, by a checkpoint of an earlier year.

    Ground within the margin of what it has seen doesn't count. Arguments and errors are those of `evaluate_held_out`.

    Returns:
        Contract MAP_SCORES, of predictor `season`; without rows where the checkpoint can't map.
    """
    frames = read_frames(spec.data_root, spec.fire_year, [Split.VAL, Split.TEST])
    scenes = [scene for scene in frames if scene.fire_id is not None and not scene.reason]
    model, _ = _model(spec, checkpoint, scenes)
    if model is None:
        return MAP_SCORES.empty()
    places = gpd.GeoSeries([scene.frame.footprint for scene in scenes], crs=GEOGRAPHIC_CRS).to_crs(table_crs())
    near_seen = seen.set_geometry(seen.geometry.buffer(spec.margin_m))
    facts, rows, cover = _facts(spec), [], _land_cover(spec)
    for number, scene in enumerate(scenes):
        progress("frames of the season judged", number, len(scenes))
        ground = ground_of(scene, spec.settings, off=near_seen)
        known = _known(scene, facts, spec.fires_out)
        known |= {"seed": manifest.seed, "geometry": places.iloc[number], "predictor": SEASON}
        ratios, answered = burn_ratios(spec, scene), None
        if not ground.reason:
            answered = _by_rules(predict_frame(spec, model, scene), rules, rules.old_scars(ratios))
        reason = ground.reason or lacks_before(model, scene, ground)
        severity, grown = severity_codes(ratios, ground), None if cover is None else cover.of(scene.frame)
        rows.append(_row(known | {"reason": reason}, answered, ground, severity, grown, spec.settings))
    return MAP_SCORES.conform(gpd.GeoDataFrame(rows, geometry="geometry", crs=table_crs()))


def _model(spec: EvaluationSpec, checkpoint: Path, scenes: list[FireScene]) -> tuple[Predictor | None, str]:
    """The checkpoint as it answers frames, or why it can't."""
    usable = [scene for scene in scenes if not scene.reason]
    if not usable:
        return None, ""
    try:
        return model_of_frames(spec, checkpoint, usable), ""
    except InputError as error:
        return None, str(error)


def _land_cover(spec: EvaluationSpec) -> LandCover | None:
    return None if spec.land_cover is None else LandCover(spec.land_cover, spec.settings.cover_classes).check()


def _by_rules(probability: NDArray[np.float32], rules: MapRules, scars: Mask | None) -> _Prediction:
    called, above = rules.burnt(probability, scars), rules.burnt(probability, None)
    return _Prediction(called, probability >= 0, rules.threshold, None if scars is None else above & ~called)


def _without(probability: NDArray[np.float32], scars: Mask | None) -> NDArray[np.float32]:
    """Probabilities without old scars, where they mean nothing."""
    return probability if scars is None else np.where(scars, np.float32(NO_ANSWER), probability)


def is_seen(scene: FireScene, ground: ScoredGround, seen: gpd.GeoDataFrame) -> bool:
    """Whether windows that a checkpoint has seen lie on ground that counts."""
    return bool((scene.frame.covers(near(seen, scene.frame), scene.frame.box) & ground.judged).any())


def lacks_before(model: Predictor | None, scene: FireScene, ground: ScoredGround) -> str:
    """Why a model isn't judged on a frame that others are: it reads the image before; empty if it is judged."""
    needs_before = model is not None and set(model.layers) != {scene.layer}
    return NO_IMAGE_BEFORE if needs_before and not ground.with_before else ""


def _tuned(spec: EvaluationSpec, manifest: CheckpointManifest, progress: Progress) -> dict[str, float]:
    """Thresholds of baselines by name, from frames of validation fires."""
    scenes = validation_scenes(spec, manifest.fire_years)

    def frames() -> Iterator[FrameIndices]:
        for number, scene in enumerate(scenes):
            progress("frames of validation fires by burn indices", number, len(scenes))
            ground = ground_of(scene, spec.settings)
            if not ground.reason:
                yield BurnImages.read(scene, spec.sensor, spec.settings).indices(ground)

    return tune(BASELINES, frames())


def _baselines(
    images: BurnImages, ground: ScoredGround, thresholds: Mapping[str, float]
) -> Iterator[tuple[str, _Prediction]]:
    """What baselines say of a frame, those that can; none where no thresholds are given."""
    if not thresholds or ground.reason:
        return
    frame = images.indices(ground)
    for one in BASELINES:
        values, threshold = one.of(frame), thresholds[one.name]
        if values is not None:
            yield one.name, _Prediction(values > threshold, np.isfinite(values), threshold)


def _facts(spec: EvaluationSpec) -> dict[str, dict[str, Any]]:
    """Name and area of the year's fires, and what the source remarks."""
    columns = ["fire_id", *_FACTS]
    found = (read_table(spec.data_root, FIRE_PERIMETERS, year, columns=columns) for year in spec.scored_years)
    return {str(fire_id): dict(row) for fire_id, row in pd.concat(found).set_index("fire_id").iterrows()}


def _known(scene: FireScene, facts: Mapping[str, Mapping[str, Any]], out: Container[str]) -> dict[str, Any]:
    of_fire = facts.get(str(scene.fire_id), {})
    flag = of_fire.get("flag")
    return {
        "frame_id": scene.name,
        "fire_id": scene.fire_id or "",
        "fire_name": of_fire.get("fire_name", ""),
        "fire_year": scene.fire_year,
        "cluster_id": scene.cluster_id,
        "area_ha": of_fire.get("area_ha", np.nan),
        "flag": "" if pd.isna(flag) else flag,
        "out": scene.fire_id in out,
    }


def _unjudged(row: dict[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(
        (*MapScore.names(), "coverage", "ring_coverage", "threshold", "old_scars_ha", *NO_CLASSES), None
    )
    return nothing | NO_AREAS | {"judged": False, "with_before": False} | row


def _row(
    row: dict[str, Any],
    prediction: _Prediction | None,
    ground: ScoredGround,
    severity: NDArray[np.uint8] | None,
    grown: NDArray[np.int16] | None,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    row |= {"coverage": ground.coverage, "ring_coverage": ground.ring_coverage, "with_before": ground.with_before}
    if row["reason"] or prediction is None:
        return _unjudged(row)
    score = score_map(prediction.called, prediction.answered, ground, settings.outline_margin_m)
    scars = prediction.old_scars
    refused_ha = None if scars is None else float((scars & ground.judged).sum() * ground.pixel_ha)
    called = prediction.called & prediction.answered
    apart = hits_by_severity(called, ground, severity)
    apart |= areas_by_cover(called, ground, grown, cover_names(settings.cover_classes))
    rules = {"judged": True, "threshold": prediction.threshold, "old_scars_ha": refused_ha}
    return row | asdict(score) | apart | rules
