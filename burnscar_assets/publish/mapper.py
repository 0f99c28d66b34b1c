"""`python -m burnscar_assets.publish.mapper spec.json`: makes maps, in a process of its own.

Under Dagster Pipes it reports through Pipes, else on standard error. Torch is imported only after the champion's
checkpoint is verified. Maps are put in place one by one; the table and the pages of a year come after all of them.
"""

import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np

from burnscar_assets.classes import Split, fold_names
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.evaluation.champion_record import (
    Champion,
    champion_folder,
    champion_manifest,
    serving,
)
from burnscar_assets.mapping.fire_scenes import FireScene, read_frames
from burnscar_assets.mapping.ground import KnownGround, known_or_nothing
from burnscar_assets.mapping.inference import Lattice, check_mappable
from burnscar_assets.mapping.spec import MAP_FILE, MapSpec
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.process import Report, run_stage, step_reports
from burnscar_assets.progress import Progress, silent
from burnscar_assets.publish.catalogue import refresh_collection
from burnscar_assets.publish.making import MapModel, MapOutcome, make_map, map_frame, mapped_boxes
from burnscar_assets.publish.pages.records import Unmapped
from burnscar_assets.publish.pages.site import write_pages
from burnscar_assets.publish.reference import Reference, read_reference
from burnscar_assets.storage.atomic import storage_errors
from burnscar_assets.storage.changes import replace_table
from burnscar_assets.storage.contracts import BURNED_AREA_MAPS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table

TRIAL_WINDOWS: Final = 64
Scenes = Mapping[str, FireScene]
"""Fire scenes by fire."""

_AGREEMENT = (
    "iou", "omission", "commission", "boundary_distance_m_median", "boundary_distance_m_p95", "islands_ha",
    "islands_found_ha",
)  # fmt: skip


@dataclass(frozen=True)
class MapSummary:
    """What mapping came to.

    Maps that are there, those of them that were made now, areas without one for want of a usable scene, and the page of
    the maps.
    """

    maps: int
    made: int
    without: int
    index: Path | None


def make_maps(spec: MapSpec, progress: Progress = silent) -> tuple[MapSummary, list[MapOutcome]]:
    """Make the maps of a specification, with the table of a fire year and the pages.

    Raises:
        CheckpointError: the champion's checkpoint is damaged.
        MissingDataError: no checkpoint of the year was evaluated, so that none is champion.
        InputError: the checkpoint reads what maps lack, or was trained on a fire; an area of interest has no
            scene, is too large, or would take long; a scene can't be read; the sample is none of these maps.
        SourceUnavailableError: the archive does not answer.
        StorageError: something can't be written; whole maps stay.
    """
    root = spec.data_root
    made_by = [(one, found) for member in spec.members for one, found in _mapped(member, progress)]
    outcomes = [found for _, found in made_by]
    if spec.fire_year is not None:
        if spec.pages is not None:
            remove_others(spec.pages, [found.task.name for found in outcomes if found.record])
        write_map_table(root, BURNED_AREA_MAPS, spec.fire_year, [map_row(spec, *made) for made in made_by], outcomes)
    maps = sum(found.record is not None for found in outcomes)
    made = sum(found.record is not None and found.made for found in outcomes)
    index = None
    if spec.pages is not None:
        unmapped = [Unmapped(found.task.title, found.reason) for found in outcomes if found.record is None]
        of_fires = spec.fire_year is not None or any(task.fire_id is not None for task in spec.tasks)
        index = write_pages(
            spec.pages, title=spec.title, simulated=spec.simulated, unmapped=unmapped if of_fires else None
        )
    return MapSummary(maps, made, len(outcomes) - maps, index), outcomes


def _mapped(spec: MapSpec, progress: Progress) -> list[tuple[CheckpointManifest, MapOutcome]]:
    """What comes of the tasks of one checkpoint, with its manifest."""
    champion = serving(spec.data_root, spec.checkpoint_year)
    manifest = champion_manifest(spec.data_root, spec.checkpoint_year)
    scenes = _scenes(spec)
    _check_size(spec, scenes)
    by = _map_model(spec, champion, manifest, scenes, progress)
    _check_length(spec, by)
    outcomes = _outcomes(spec, by, scenes, progress)
    _check_found(spec, outcomes)
    return [(manifest, found) for found in outcomes]


def _scenes(spec: MapSpec) -> Scenes:
    """The fire scenes of a year's held-out fires, by fire; those of the season and areas of interest have none.

    Raises:
        MissingDataError: a fire has none.
    """
    if spec.fire_year is None:
        return {}
    years = sorted({task.fire_year for task in spec.tasks if task.fire_year is not None}) or [spec.fire_year]
    splits = fold_names(max(spec.fold_of.values()) + 1) if spec.fold_of else (Split.TEST,)
    scenes = {scene.fire_id: scene for year in years for scene in read_frames(spec.data_root, year, splits)}
    lacking = sorted(str(task.fire_id) for task in spec.tasks if task.fire_id not in scenes)
    if lacking:
        raise MissingDataError(
            f"{len(lacking)} of {len(spec.tasks)} fires have no fire scene (first: {lacking[0]}): "
            f"run burnscar refresh --years {spec.fire_year}"
        )
    return {str(fire_id): scene for fire_id, scene in scenes.items()}


def _outcomes(spec: MapSpec, by: MapModel, scenes: Scenes, progress: Progress) -> list[MapOutcome]:
    """What came of each task; where one fails, the catalogue still says what is there of those before."""
    outcomes = []
    try:
        for task in spec.tasks:
            if task.fire_id is not None and by.ground is not None:
                by.ground.check_unseen(task.fire_id)
            outcomes.append(make_map(task, spec, by, progress, scenes.get(task.fire_id or "")))
    except BaseException:
        if spec.pages is not None:
            refresh_collection(spec.pages)
        raise
    return outcomes


def _map_model(
    spec: MapSpec, champion: Champion, manifest: CheckpointManifest, scenes: Scenes, progress: Progress
) -> MapModel:
    """The champion's checkpoint with its rules for maps, both from before any map; and what it has seen."""
    from burnscar_assets.models.model import load_model

    root, year = spec.data_root, spec.checkpoint_year
    reference = _reference(spec, scenes)
    years = sorted({task.fire_year for task in spec.tasks if task.fire_year is not None})
    known = known_or_nothing if spec.fire_year is None else KnownGround.of
    ground = known(root, year, years)
    progress("loading the checkpoint", 0, 0)
    model = load_model(champion_folder(root, year), spec.accelerator, spec.classes)
    check_mappable(model, spec.imagery.layer, spec.sensor)
    return MapModel(model, manifest, champion.rules.for_maps, ground, reference)


def _reference(spec: MapSpec, scenes: Scenes) -> Reference | None:
    """Points that a person drew on the maps, each of which lies on its own."""
    if spec.reference is None:
        return None
    reference = read_reference(spec.reference, of_fires=any(task.fire_id is not None for task in spec.tasks))
    for task in spec.tasks:
        reference.on(map_frame(task, spec, scenes.get(task.fire_id or "")), task)
    return reference


def _check_size(spec: MapSpec, scenes: Scenes) -> None:
    for task in spec.tasks:
        rows, columns = map_frame(task, spec, scenes.get(task.fire_id or "")).shape
        km2 = rows * columns * (spec.resolution_m / 1000) ** 2
        if km2 > spec.settings.max_km2:
            raise InputError(
                f"{task.title} spans {km2:,.0f} km², more than the {spec.settings.max_km2:,.0f} of one map "
                "(mapping.max_km2): cut it, and map its parts one by one, or raise the limit"
            )


def _check_length(spec: MapSpec, by: MapModel) -> None:
    """Ask before an area keeps the model busy for long."""
    if spec.may_take_long or spec.fire_year is not None:
        return
    hours = sum(estimated_hours(spec, by, number) for number in range(len(spec.tasks)))
    if hours > spec.settings.ask_hours:
        raise InputError(
            f"the area would keep the model busy for about {hours:.1f} hours here, without reading its imagery: "
            "say --yes if it may, or map a smaller area, or a set-up with a smaller model"
        )


def estimated_hours(spec: MapSpec, by: MapModel, number: int) -> float:
    """About how long the model takes for an area, by a trial of a few windows; small areas are not tried."""
    task = spec.tasks[number]
    frame = map_frame(task, spec, None)
    lattice = Lattice(spec.size_px, spec.settings.stride_of(spec.size_px))
    boxes = mapped_boxes(task, frame, spec.settings.block_px)
    windows = sum(len(lattice.starts(box.left, box.right)) * len(lattice.starts(box.top, box.bottom)) for box in boxes)
    if windows <= spec.settings.batch_size:
        return 0.0
    model = by.model
    shape = (spec.size_px, spec.size_px)
    images = {
        name: np.full((TRIAL_WINDOWS, len(bands), *shape), 1000, np.uint16) for name, bands in model.layers.items()
    }
    times = dict.fromkeys(images, [datetime(2020, 7, 1, tzinfo=UTC)] * TRIAL_WINDOWS)
    model.predict(images, times)
    began = time.monotonic()
    model.predict(images, times)
    if model.reach_px is not None:
        windows = sum(box.width * box.height for box in boxes) // spec.size_px**2
    return (time.monotonic() - began) / TRIAL_WINDOWS * windows / 3600


def _check_found(spec: MapSpec, outcomes: Sequence[MapOutcome]) -> None:
    for found in outcomes:
        if found.record is None and found.task.fire_id is None:
            task = found.task
            if found.reason == "no_image_before":
                raise InputError(
                    f"{task.title} has no image from before, which the set-up reads: give other days with "
                    "--before-start and --before-end, or choose another with --setup"
                )
            why = (
                f"all scenes are cloudier than {spec.imagery.max_cloud_cover:.0f} % (imagery.max_cloud_cover)"
                if found.reason == "too_cloudy"
                else "the archive has none"
            )
            raise InputError(
                f"no scene of {task.title} from {task.start:%Y-%m-%d} to before {task.end:%Y-%m-%d}: {why}; take more "
                "days with --start and --end, or another archive"
            )


def main(arguments: Sequence[str]) -> int:
    """Make the maps that the file given specifies; returns the exit code."""

    def work(spec: Path, report: Report) -> None:
        summary, outcomes = make_maps(MapSpec.read(spec), step_reports(report))
        folders = [str(found.task.folder) for found in outcomes if found.record]
        report({"event": "done", "maps": summary.maps, "made": summary.made, "without": summary.without,
                "index": str(summary.index or ""), "folders": folders})  # fmt: skip

    return run_stage("burnscar_assets.publish.mapper", arguments, work)


def map_row(spec: MapSpec, manifest: CheckpointManifest, found: MapOutcome) -> dict[str, Any]:
    """The row of a fire, without its geometry."""
    task, record = found.task, found.record or {}
    area, agreement = record.get("area_ha") or {}, record.get("agreement") or {}
    ground, reliability = record.get("ground") or {}, record.get("reliability") or {}
    return {
        "fire_id": task.fire_id,
        "fire_year": task.fire_year,
        "fire_name": task.title,
        "source": task.source,
        "complete": found.record is not None,
        "reason": found.reason,
        "start": f"{task.start:%Y-%m-%d}",
        "end": f"{task.end - timedelta(seconds=1):%Y-%m-%d}",
        "checkpoint_year": spec.checkpoint_year,
        "weights_sha256": manifest.weights_sha256,
        "item_ids": [scene["item"] for scene in record.get("scenes", [])],
        "threshold": record.get("threshold"),
        "clear_fraction": record.get("clear_fraction"),
        "valid_fraction": record.get("valid_fraction"),
        "seen_fraction": ground.get("seen"),
        "other_burns_fraction": ground.get("other_burns"),
        "old_scars_fraction": ground.get("old_scars"),
        "old_scars_mapped_ha": ground.get("old_scars_mapped_ha"),
        "old_scars_refused_ha": (record.get("old_scars") or {}).get("refused_ha"),
        "mapped_ha": area.get("mapped"),
        "burned_ha": area.get("estimate"),
        "low_ha": area.get("low"),
        "high_ha": area.get("high"),
        "corrected_by": area.get("corrected_by"),
        **{name: agreement.get(name) for name in _AGREEMENT},
        "calibration_error_before": reliability.get("error_before"),
        "calibration_error": reliability.get("error_after"),
        "simulated": spec.simulated or task.simulated_perimeter,
        "inputs_hash": record.get("inputs_sha256", ""),
    }


def write_map_table(
    root: DataRoot, contract: Table, year: int, rows: Sequence[dict[str, Any]], outcomes: Sequence[MapOutcome]
) -> None:
    """Replace the table of a year's maps by rows, whose geometry is what each map covers."""
    table = contract.empty()
    if rows:
        footprints = [found.frame.footprint for found in outcomes]
        table = contract.conform(gpd.GeoDataFrame(rows, geometry=footprints, crs=GEOGRAPHIC_CRS))
    replace_table(root, contract, table, year)


def remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove maps that are not among those named; the catalogue leaves them out first."""
    others = [record.parent for record in folder.glob(f"*/{MAP_FILE}") if record.parent.name not in names]
    if others:
        refresh_collection(folder, without={path.name for path in others})
    with storage_errors(folder):
        for path in others:
            shutil.rmtree(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
