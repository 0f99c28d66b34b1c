"""The page of perimeters that the images of their fire speak against: pictures before and after, and no model's map."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.dataset.tile_plots import composites
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.mapping.frame import Frame, project
from burnscar_assets.mapping.mosaic import Mosaic
from burnscar_assets.publish.pages.drawing import as_webp, colour_picture, svg_path, to_pixels
from burnscar_assets.publish.pages.records import PAGE_FILE
from burnscar_assets.publish.pages.templating import hectares, period, render, share
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.atomic import write_if_changed
from burnscar_assets.storage.tables import table_crs

DOUBTS_FOLDER: Final = "label_doubts"
"""Beside the folders of maps."""

_WORDS: Final = {"nothing_changed": "hardly anything changed within", "goes_on": "the burn goes on beside"}


def write_doubts(
    folder: Path, doubts: gpd.GeoDataFrame, scenes: Iterable[FireScene], sensor: Sensor, *, simulated: bool
) -> Path:
    """Write the page of the listed fires with its pictures; those of fires that aren't listed any more go.

    Of fires without a doubt the number alone is told. Scenes are the frames of these fires. Returns the folder's
    `index.html`.

    Raises:
        MissingDataError: an image is gone.
        StorageError: a file can't be written.
    """
    by_frame = {(scene.fire_year, scene.name): scene for scene in scenes}
    listed = doubts[doubts["doubts"].map(len) > 0].sort_values(["fire_year", "fire_name", "fire_id"])
    fires = [_fire(folder, row, by_frame[(row.fire_year, row.frame_id)], sensor) for row in listed.itertuples()]
    shown = {picture["file"] for fire in fires for picture in fire["pictures"]}
    for gone in sorted({path.name for path in folder.glob("*.webp")} - shown):
        (folder / gone).unlink()
    page = render(
        "doubts",
        title="Doubtful perimeters",
        simulated=simulated,
        fires=fires,
        looked_at=len(doubts),
        without=int((doubts["evidence"] == "none").sum()),
    )
    write_if_changed(folder / PAGE_FILE, page.encode())
    return folder / PAGE_FILE


def _fire(folder: Path, row: Any, scene: FireScene, sensor: Sensor) -> dict[str, Any]:
    """What the page says of a fire; its pictures are written."""
    box = scene.frame.box
    images = (("before", scene.before(box), scene.moments_before), ("after", scene.after(box), scene.moments))
    pictures = []
    for when, image, moments in images:
        if image is not None:
            file = f"{scene.fire_year}-{scene.name}-{when}.webp"
            write_if_changed(folder / file, as_webp(_picture(image, scene, sensor)))
            days = period(min(moments).date().isoformat(), max(moments).date().isoformat())
            pictures.append({"file": file, "href": quote(file), "label": f"{when.capitalize()} · {days}"})
    return {
        "name": row.fire_id if pd.isna(row.fire_name) else row.fire_name or row.fire_id,
        "id": row.fire_id,
        "year": row.fire_year,
        "area": hectares(row.area_ha),
        "why": " and ".join(_WORDS[doubt] for doubt in row.doubts),
        "figures": [
            {"label": "Changed within", "value": share(row.changed_inside), "bound": share(row.least_inside)},
            {"label": "Changed beside", "value": share(row.changed_beside), "bound": share(row.most_beside)},
        ],
        "after_alone": row.evidence == "after",
        "references": row.reference_fires,
        "flag": row.flag,
        "width": box.width,
        "height": box.height,
        "outline": _outline(row.geometry, scene.frame),
        "pictures": pictures,
    }


def _picture(image: Mosaic, scene: FireScene, sensor: Sensor) -> Any:
    return colour_picture(image.of_bands(scene.bands, composites(sensor)[-1].bands).pixels)


def _outline(perimeter: shapely.Geometry, frame: Frame) -> str:
    """A perimeter (the region's CRS) as an SVG path in pixels of the frame."""
    drawn = to_pixels(project(perimeter, table_crs(), f"EPSG:{frame.epsg}"), frame.transform)
    return svg_path(drawn.simplify(0.25))
