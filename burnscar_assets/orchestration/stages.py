"""The register of stages: one record each, and nothing else says which stages there are.

Assets, their checks, artifacts, code versions, stage code, planning and documentation follow from it. The order is that
in which a world's stages are made. What a stage does belongs into its body, in `assets/`.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from burnscar_assets.orchestration.stage_spec import OWN_KIND, Folder, Input, Partitions, StageSpec, Years
from burnscar_assets.setups import load_setup
from burnscar_assets.storage import contracts as tables

if TYPE_CHECKING:
    from burnscar_assets.orchestration.partitions import World

_CLEANED = ("perimeters.max_duration_days", "perimeters.max_repair_area_change", "perimeters.max_area_mismatch")
_SCARS = ("perimeters.scar_years", "perimeters.scar_years_prescribed")
_DAYS = ("windows.days_after", "windows.days_before")
_WINDOW = ("windows.size_px", "windows.resolution_m")
_DATASET = ("imagery.dataset_config", "imagery.archive", "imagery.layer")
_DATASET_FILES = ("imagery.dataset_config", "imagery.fallback")
_MATCHED = (
    *_DATASET, "imagery.max_cloud_cover", "imagery.min_clear_fraction", "imagery.candidates", "imagery.exclude",
    "imagery.allowed_hosts", "imagery.selection", "imagery.fallback",
)  # fmt: skip
"""What a window is matched with, and what takes its place: the second may change where the first doesn't."""

_OF_WHOLE_FRAMES = (
    *_DAYS, *_DATASET, "imagery.max_cloud_cover", "imagery.min_clear_fraction",
    "imagery.candidates", "imagery.exclude", "imagery.allowed_hosts",
)  # fmt: skip
"""Which images a map is made of, before and after the fire."""

_SEEN = ("imagery.layer", "imagery.min_clear_fraction")
"""Which windows are trained on and scored."""

_SPLIT = ("sampling.splits", "sampling.ring_gap_m", "sampling.ring_width_m", "sampling.max_fires_per_year")
_LAND = ("sampling.seed", "sampling.land", "sampling.only_on_land")
_JUDGED = (*_SPLIT, *_LAND, "windows.resolution_m", "fire_scenes.margin_m", "fire_scenes.margin_share")
"""Which fires judge a checkpoint, and their frames, which training keeps off."""

_FRAMES_ANSWERED = (
    "windows.size_px", "mapping.overlap", "mapping.stride_px", "mapping.min_clear_share", "evaluation.max_frame_km2",
)  # fmt: skip
"""How a checkpoint answers whole frames."""

_SEASON = ("source", "format", "fields", "fire_layer", "prescribed_layer", "state")
"""Which perimeters of a season are read, and how."""

_FOLDS = ("sampling.splits.folds", "sampling.splits.fold_gap_km")
"""Into how many folds fires are dealt, which worlds of blocks don't have."""

_COMPARED = (
    "evaluation.bootstrap_samples", "evaluation.confidence", "evaluation.seed", "evaluation.caveat",
    "setups.reference", "setups.title",
)  # fmt: skip
_TRAINED_BY = (
    "models.callbacks", "models.manifest", "models.optimizer", "models.plan", "models.to_pixels", "models.trainer",
    "models.unet",
)  # fmt: skip
_MANIFEST = "manifest.json"
_PAGE = "index.html"


def _follows_season(world: "World") -> bool:
    return world.settings.in_season.enabled


def _has_folds(world: "World") -> bool:
    return world.folds


_DEALT = Input("folds", where=_has_folds)


_LABELS = (
    StageSpec(
        name="calfire_release",
        version="7",
        group="labels",
        kinds=frozenset({"geoparquet"}),
        module=".assets.labels",
        inputs=("release_source",),
        settings=("release",),
        code=("labels.plausibility", "labels.release"),
        tables=(tables.RELEASE_RECORDS,),
        partitions=Partitions.NONE,
        watched=True,
        can_look_wrong=True,
    ),
    StageSpec(
        name="fire_perimeters",
        version="6",
        group="labels",
        kinds=frozenset({"geoparquet", "geopandas"}),
        module=".assets.labels",
        inputs=("release_year", "corrected_fires"),
        settings=(*_CLEANED, "perimeters.assumed_duration_days", "release.format", "release.further"),
        code=("labels.corrections", "labels.perimeters"),
        tables=(tables.FIRE_PERIMETERS, tables.FIRE_PERIMETER_REJECTS),
        watched=True,
    ),
    StageSpec(
        name="burn_history",
        version="5",
        group="labels",
        kinds=frozenset({"geoparquet", "geopandas"}),
        module=".assets.labels",
        inputs=("release_burns", "corrected_burns"),
        settings=_SCARS,
        code=("labels.corrections", "labels.history"),
        tables=(tables.BURN_HISTORY,),
        watched=True,
    ),
    StageSpec(
        name="in_season_records",
        version="5",
        group="in_season",
        kinds=frozenset({"geoparquet"}),
        module=".assets.in_season",
        inputs=("in_season_year",),
        settings=tuple(f"in_season.{name}" for name in _SEASON),
        code=("labels.plausibility", "labels.season_source"),
        tables=(tables.IN_SEASON_RECORDS,),
        where=_follows_season,
        watched=True,
        can_look_wrong=True,
    ),
    StageSpec(
        name="in_season_perimeters",
        version="8",
        group="in_season",
        kinds=frozenset({"geoparquet", "geopandas"}),
        module=".assets.in_season",
        inputs=("in_season_records", "fire_perimeters", "calfire_release"),  # the release for older scars
        settings=("in_season.min_area_ha", *_CLEANED, *_SCARS),
        code=("labels.in_season",),
        tables=(tables.IN_SEASON_PERIMETERS, tables.IN_SEASON_REJECTS, tables.IN_SEASON_BURNS),
        where=_follows_season,
        watched=True,
    ),
)

_DATA = (
    StageSpec(
        name="folds",
        version="1",
        group="sampling",
        kinds=frozenset({"geoparquet", "geopandas"}),
        module=".assets.samples",
        inputs=(Input("fire_perimeters", Years.ALL), "sampling_ground"),
        settings=(*_JUDGED, "windows.size_px"),
        code=("mapping.scene_frames", "sampling.folds"),
        tables=(tables.FOLDS,),
        partitions=Partitions.NONE,
        where=_has_folds,
    ),
    StageSpec(
        name="sample_points",
        version="6",
        group="sampling",
        kinds=frozenset({"geoparquet", "geopandas"}),
        module=".assets.samples",
        inputs=("fire_perimeters", "burn_history", _DEALT, "sampling_ground"),
        settings=("sampling", *_WINDOW),
        code=("sampling.folds", "sampling.land", "sampling.points"),
        tables=(tables.SAMPLE_POINTS, tables.SAMPLE_LOSSES),
    ),
    StageSpec(
        name="windows",
        version="4",
        group="sampling",
        kinds=frozenset({"geoparquet", "rslearn"}),
        module=".assets.samples",
        inputs=("sample_points", "fire_perimeters", "burn_history"),  # perimeters and burns are drawn as label rasters
        settings=("windows",),
        code=(
            "dataset.config",
            "dataset.windows",
            "dataset.definition",
            "dataset.label_layer",
            "dataset.label_rasters",
        ),
        tables=(tables.WINDOWS,),
        needs_config=True,
        in_dataset=True,
    ),
    StageSpec(
        name="scene_matches",
        version="6",
        group="imagery",
        kinds=frozenset({"geoparquet", "rslearn"}),
        module=".assets.imagery",
        inputs=("windows", "imagery_catalogue"),
        settings=_MATCHED,
        files=_DATASET_FILES,
        code=("catalog.archive", "dataset.config", "catalog.matching", "dataset.packed.data"),
        tables=(tables.SCENE_MATCHES,),
        needs_config=True,
        in_dataset=True,
    ),
    StageSpec(
        name="tiles",
        version="6",
        group="imagery",
        kinds=frozenset({"rslearn", "cog"}),
        module=".assets.imagery",
        inputs=("scene_matches",),
        settings=(*_MATCHED, "imagery.max_nodata_fraction", "imagery.max_unreadable_fraction"),
        files=_DATASET_FILES,
        code=("catalog.archive", "dataset.materialize"),
        tables=(tables.TILES, tables.SCENE_RADIOMETRY),
        needs_config=True,
        in_dataset=True,
    ),
    StageSpec(
        name="fire_scenes",
        version="5",
        group="imagery",
        kinds=frozenset({"geoparquet", "rslearn", "cog"}),
        module=".assets.imagery",
        inputs=(
            "fire_perimeters",
            "burn_history",
            _DEALT,
            Input("windows", where=lambda world: bool(world.settings.sampling.max_fires_per_year)),  # the fires chosen
            "sampling_ground",
            "imagery_catalogue",
        ),
        settings=("fire_scenes", "mapping.mosaics", *_SPLIT, *_LAND, *_WINDOW, *_OF_WHOLE_FRAMES),
        files=("imagery.dataset_config",),
        code=("catalog.archive", "mapping.fires", "mapping.scene_frames", "mapping.scene_making", "sampling.land"),
        tables=(tables.FIRE_SCENES,),
        folders=(Folder(lambda root, year: root.fire_scene_windows(year)),),
        needs_config=True,
    ),
    StageSpec(
        name="label_doubts",
        version="1",
        group="imagery",
        kinds=frozenset({"geoparquet"}),
        module=".assets.imagery",
        inputs=(Input("fire_perimeters", Years.ALL), Input("fire_scenes", Years.ALL)),
        settings=(*_FOLDS, "evaluation.min_map_coverage", "evaluation.max_frame_km2", "imagery.layer"),
        code=("evaluation.perimeter_doubt", "mapping.fire_scenes"),
        tables=(tables.LABEL_DOUBTS,),
        folders=(Folder(lambda root, _: root.label_doubts, _PAGE),),
        partitions=Partitions.NONE,
    ),
)

_CHECKPOINT = StageSpec(
    name="checkpoint",
    version="9",
    group="model",
    kinds=frozenset({"lightning"}),
    module=".assets.model",
    # A new deal of the ground changes windows, and leaves tiles; perimeters tell frames of judged fires, kept off.
    inputs=tuple(Input(name, Years.LOOK_BACK) for name in ("windows", "tiles", "fire_perimeters")),
    settings=("training", *_SEEN, *_JUDGED),
    files=("training.config",),
    code=_TRAINED_BY,
    folders=(Folder(lambda root, year: root.checkpoint(year), _MANIFEST),),
    partitions=Partitions.MODEL_YEARS,
    per_setup=True,
    setup_kinds=("fine_tuned",),
    gpu=True,
    needs_config=True,
)

_MODELS = (
    _CHECKPOINT,
    replace(
        _CHECKPOINT,
        name="baseline_checkpoint",
        version="6",
        kinds=frozenset({"numpy"}),
        module=".assets.setups",
        settings=("training.look_back_years", "training.seed", *_SEEN, *_JUDGED),
        files=(),
        code=("models.baselines.trainer", "models.manifest"),
        asset="checkpoint",
        setup_kinds=("threshold", "trees"),
        gpu=False,
    ),
    replace(
        _CHECKPOINT,
        name="ensemble_checkpoint",
        version="2",
        kinds=frozenset({"numpy"}),
        module=".assets.setups",
        inputs=(
            Input("checkpoint", of="members"),
            *(Input(name, Years.LOOK_BACK) for name in ("windows", "tiles", "fire_scenes")),
        ),
        settings=(*_FRAMES_ANSWERED, "evaluation.validation_frames", "training.seed", *_FOLDS, *_SEEN),
        files=(),
        code=("evaluation.ensembles", "models.manifest"),
        asset="checkpoint",
        setup_kinds=("ensemble",),
    ),
    StageSpec(
        name="evaluation_metrics",
        version="21",
        group="model",
        kinds=frozenset({"geoparquet"}),
        module=".assets.model",
        inputs=(
            "checkpoint",
            # Whose champion served the season.
            Input("evaluation_metrics", Years.BEFORE, where=lambda world: not world.folds),
            *(Input(name, Years.JUDGED) for name in ("windows", "tiles", "fire_perimeters")),
            Input("land_cover", where=lambda world: world.settings.evaluation.land_cover is not None),
            # Validation fires of earlier years fix the rules of maps.
            *(Input(name, Years.LOOK_BACK) for name in ("fires_out", "fire_scenes")),
        ),
        settings=("evaluation", "sampling.splits.margin_m", *_FOLDS, *_SEEN, *_FRAMES_ANSWERED),
        files=("evaluation.ecoregions",),
        code=("evaluation.evaluator", "evaluation.spec", "models.manifest"),
        tables=(tables.EVALUATION_METRICS, tables.PREDICTIONS, tables.SEASON_PREDICTIONS, tables.MAP_SCORES),
        folders=(Folder(lambda root, year: root.evaluation(year), "champion/champion.json"),),
        partitions=Partitions.MODEL_YEARS,
        per_setup=True,
        gpu=True,
        needs_config=True,
    ),
    StageSpec(
        name="setup_comparison",
        version="9",
        group="model",
        kinds=frozenset({"geoparquet"}),
        module=".assets.setups",
        inputs=(Input("evaluation_metrics", Years.ALL, of="all"),),
        settings=(*_COMPARED, *_FOLDS),
        code=("comparison.compare", "comparison.read", "evaluation.season"),
        tables=(tables.SETUP_COMPARISON,),
        folders=(Folder(lambda root, _: root.comparison),),
        partitions=Partitions.NONE,
        where=lambda world: bool(world.setups),
        inputs_alone=True,
    ),
)

_MAPS = (
    StageSpec(
        name="burned_area_maps",
        version="15",
        group="maps",
        kinds=frozenset({"cog", "stac", "geoparquet"}),
        module=".assets.maps",
        inputs=(
            Input("checkpoint", of="maps"),
            Input("evaluation_metrics", of="maps"),  # the threshold, and the errors that the area is corrected for
            # What else burned, older scars, frames and images; then the ground that was trained on.
            *(Input(name, Years.JUDGED) for name in ("fire_perimeters", "burn_history", "fire_scenes")),
            *(Input(name, Years.LOOK_BACK) for name in ("windows", "tiles")),
        ),
        settings=("mapping", *_SPLIT, *_WINDOW, *_DAYS, "imagery.layer", "evaluation.confidence", "release.source"),
        files=("mapping.reference",),
        code=("publish.mapper", "publish.plan"),
        tables=(tables.BURNED_AREA_MAPS,),
        folders=(Folder(lambda root, year: root.maps(year), _PAGE),),
        partitions=Partitions.MODEL_YEARS,
        gpu=True,
        needs_config=True,
    ),
    StageSpec(
        name="in_season_maps",
        version="16",
        group="in_season",
        kinds=frozenset({"cog", "stac", "geoparquet"}),
        module=".assets.in_season",
        inputs=(
            "in_season_perimeters",
            *(Input(name, Years.SEASON, of="maps") for name in ("checkpoint", "evaluation_metrics")),
            "imagery_catalogue",
        ),
        settings=("mapping", *_WINDOW, *_OF_WHOLE_FRAMES, "evaluation.confidence"),
        files=("imagery.dataset_config", "mapping.reference"),
        code=("publish.season",),
        tables=(tables.IN_SEASON_MAPS,),
        folders=(Folder(lambda root, year: root.season_maps(year), _PAGE),),
        where=_follows_season,
        gpu=True,
        needs_config=True,
        watched=True,
    ),
)

STAGES = {spec.name: spec for spec in (*_LABELS, *_DATA, *_MODELS, *_MAPS)}
"""Every stage that some world has, by name, in the order in which they are made."""


def spec_of(asset: str) -> StageSpec:
    """The stage that makes an asset (`tiles`, `unet/checkpoint`): kinds of set-ups may have stages of their own."""
    setup, _, stage = asset.rpartition("/")
    kind = load_setup(setup).kind if setup else OWN_KIND
    return next(spec for spec in STAGES.values() if spec.makes == stage and spec.is_for(kind))
