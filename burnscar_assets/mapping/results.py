"""What a fire year's maps come to: rows of the table `burned_area_maps`, and folders that no fire has any more."""

import shutil
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from burnscar_assets.mapping.catalogue import refresh_collection
from burnscar_assets.mapping.making import MapOutcome
from burnscar_assets.mapping.spec import MAP_FILE, MapSpec
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.storage.atomic import storage_errors

_AGREEMENT = (
    "iou", "omission", "commission", "boundary_distance_m_median", "boundary_distance_m_p95", "islands_ha",
    "islands_found_ha",
)  # fmt: skip


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


def remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove maps that are not among those named; the catalogue leaves them out first."""
    others = [record.parent for record in folder.glob(f"*/{MAP_FILE}") if record.parent.name not in names]
    if others:
        refresh_collection(folder, without={path.name for path in others})
    with storage_errors(folder):
        for path in others:
            shutil.rmtree(path)
