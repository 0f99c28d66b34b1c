"""Tables of scores of maps, made from IoU alone."""

import geopandas as gpd
import numpy as np
import shapely

from burnscar_assets.evaluation.land_cover import NO_AREAS
from burnscar_assets.evaluation.map_scores import NO_CLASSES, MapScore
from burnscar_assets.storage.contracts import MAP_SCORES


def scores_of(ious: dict[str, list[float]], *, year: int = 2020, seed: int = 0, **columns: object) -> gpd.GeoDataFrame:
    """Maps of fires ten kilometres apart by several predictors, and of a frame without fire; NaN: not judged."""
    rows = []
    for predictor, values in ious.items():
        for number, iou in enumerate([*values, 0.0]):
            has_fire = number < len(values)
            judged = not np.isnan(iou)
            areas = {"judged_ha": 100.0, "burnt_ha": 50.0, "mapped_ha": 50.0, "hits_ha": 100 * iou / (1 + iou)}
            if not has_fire:
                areas |= {"burnt_ha": 0.0, "mapped_ha": 2.0, "hits_ha": 0.0}
            scored = dict.fromkeys(MapScore.names(), iou) | {"false_patches": 1} | areas
            if not judged:
                scored = dict.fromkeys(scored, None)
            place = shapely.box(0, 0, 1000, 1000)
            rows.append(
                {
                    "frame_id": f"f{number}" if has_fire else "no_fire",
                    "fire_id": f"f{number}" if has_fire else "",
                    "fire_name": "FIRE", "fire_year": year, "cluster_id": f"c{number}-{year}",
                    "area_ha": 50.0 * 10 ** (number % 3) if has_fire else None, "flag": "", "out": False,
                    "predictor": predictor,
                    "seed": seed, "judged": judged, "reason": "" if judged else "cloud", "coverage": 1.0,
                    "ring_coverage": 1.0, "with_before": True, "threshold": 0.5, "old_scars_ha": None,
                    **NO_CLASSES, **NO_AREAS,
                    "geometry": shapely.transform(place, lambda xy, n=number: xy + n * 10_000),
                }
                | scored
                | columns
            )  # fmt: skip
    return MAP_SCORES.conform(gpd.GeoDataFrame(rows, geometry="geometry", crs="EPSG:3310"))
