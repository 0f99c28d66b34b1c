"""What a map's page shows that comes from its rasters and vectors: pictures, outlines and places to look at.

It lies in the map's folder under `page/`, with the identity of what it was drawn from, so an unchanged map isn't drawn
again.
"""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, ValidationError
from rasterio.enums import Resampling
from shapely import get_coordinates, get_parts
from shapely.geometry.base import BaseGeometry

from burnscar_assets.mapping import rasters
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.pages.disagreements import Disagreement, find_disagreements
from burnscar_assets.mapping.pages.outlines import gap_path, path_of, read_outline, to_pixels
from burnscar_assets.mapping.pages.pixels import (
    as_png,
    as_webp,
    colour_picture,
    palette_picture,
    picture_shape,
    probability_picture,
    read_pixels,
)
from burnscar_assets.mapping.pages.records import ReadMap
from burnscar_assets.mapping.pages.styles import MODEL_COLOUR, PERIMETER_COLOUR, severity_palette
from burnscar_assets.mapping.polygon_files import BURNED_LAYER, PERIMETER_LAYER
from burnscar_assets.storage.atomic import write_if_changed
from burnscar_assets.storage.hashing import hash_json

FOLDER: Final = "page"
DRAWN: Final = f"{FOLDER}/drawn.json"
DRAWING_VERSION: Final = 3
"""To be raised when the same map is drawn otherwise."""

AFTER, BEFORE, PROBABILITY, SEVERITY = "after.webp", "before.webp", "probability.png", "severity.png"
THUMBNAIL: Final = "thumbnail.webp"
THUMBNAIL_PX: Final = 320
GAP_PX: Final = 400


class Drawing(BaseModel):
    """What was drawn of a map.

    Attributes:
        key: identity of what it was drawn from.
        pictures: names of the pictures under `page/`.
        outlines: SVG paths in pixels of the grid, empty if there is none: `burned`, `perimeter`, and what has no
            answer as `cloud`, `nodata` and, for other reasons, `left_out`.
        disagreements: places where model and perimeter disagree.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    pictures: tuple[str, ...]
    outlines: dict[str, str]
    disagreements: tuple[Disagreement, ...]


def drawing_of(a_map: ReadMap) -> Drawing:
    """The drawing of a map, made if it isn't there or is one of other files.

    Raises:
        InputError: a raster or the GeoPackage can't be read.
        StorageError: a picture can't be written.
    """
    key = _key(a_map)
    kept = _kept(a_map.folder)
    if kept is not None and kept.key == key and all((a_map.folder / FOLDER / name).exists() for name in kept.pictures):
        return kept
    vectors = [read_outline(a_map.folder, layer, a_map.grid.crs) for layer in (BURNED_LAYER, PERIMETER_LAYER)]
    burned, perimeter = (None if vector is None else to_pixels(vector, a_map.grid) for vector in vectors)
    pictures = _pictures(a_map, burned, perimeter)
    drawing = Drawing(
        key=key,
        pictures=tuple(sorted(pictures)),
        outlines={
            BURNED_LAYER: path_of(burned, a_map.grid),
            PERIMETER_LAYER: path_of(perimeter, a_map.grid),
            **_gaps(a_map),
        },
        disagreements=_disagreements(a_map, vectors[1]),
    )
    for name, content in pictures.items():
        write_if_changed(a_map.folder / FOLDER / name, content)
    write_if_changed(a_map.folder / DRAWN, drawing.model_dump_json(indent=1).encode())
    return drawing


def _key(a_map: ReadMap) -> str:
    """Of the files' hashes if the record has them, else of their sizes and times."""
    own = {path.name: path.stat() for path in a_map.folder.glob("*.*") if path.suffix in (".tif", ".gpkg")}
    sizes = {name: (stat.st_size, a_map.record.files.get(name) or stat.st_mtime_ns) for name, stat in own.items()}
    return hash_json([DRAWING_VERSION, sizes])


def _kept(folder: Path) -> Drawing | None:
    try:
        return Drawing.model_validate_json((folder / DRAWN).read_bytes())
    except (OSError, ValidationError):
        return None


def _pictures(a_map: ReadMap, burned: BaseGeometry | None, perimeter: BaseGeometry | None) -> dict[str, bytes]:
    folder, shape = a_map.folder, picture_shape(a_map.grid)
    images = {AFTER: read_pixels(folder / rasters.AFTER.file, shape, Resampling.average)}
    if (folder / rasters.BEFORE.file).exists():
        images[BEFORE] = read_pixels(folder / rasters.BEFORE.file, shape, Resampling.average)
    drawn = {name: colour_picture(image) for name, image in images.items()}
    pictures = {name: as_webp(picture) for name, picture in drawn.items()}
    pictures[THUMBNAIL] = as_webp(_thumbnail(drawn[AFTER], a_map, {MODEL_COLOUR: burned, PERIMETER_COLOUR: perimeter}))
    probability = read_pixels(folder / rasters.PROBABILITY.file, shape)[0]
    pictures[PROBABILITY] = as_png(probability_picture(probability))
    if (folder / rasters.SEVERITY.file).exists():
        severity = read_pixels(folder / rasters.SEVERITY.file, shape)[0].astype(np.uint8)
        pictures[SEVERITY] = as_png(palette_picture(severity, severity_palette()))
    return pictures


def _thumbnail(after: Image.Image, a_map: ReadMap, outlines: dict[str, BaseGeometry | None]) -> Image.Image:
    """The image after the fire, small, with the outlines on it."""
    rows, columns = picture_shape(a_map.grid, 2 * THUMBNAIL_PX)
    picture = after.resize((columns, rows), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(picture)
    for colour, outline in outlines.items():
        for part in get_parts(outline) if outline is not None else ():
            for ring in (part.exterior, *part.interiors) if part.geom_type == "Polygon" else ():
                corners = get_coordinates(ring) * (columns / a_map.grid.width, rows / a_map.grid.height)
                pen.line([tuple(corner) for corner in corners], fill=colour, width=3, joint="curve")
    return picture.resize((max(1, columns // 2), max(1, rows // 2)), Image.Resampling.LANCZOS)


def _gaps(a_map: ReadMap) -> dict[str, str]:
    shape = picture_shape(a_map.grid, GAP_PX)
    validity, burned = (
        read_pixels(a_map.folder / raster.file, shape)[0] for raster in (rasters.VALIDITY, rasters.BURNED)
    )
    gaps = {
        "cloud": validity == Validity.UNCLEAR,
        "nodata": validity == Validity.NO_DATA,
        "left_out": (validity == Validity.VALID) & (burned == NO_ANSWER),
    }
    return {name: gap_path(where, a_map.grid) for name, where in gaps.items()}


def _disagreements(a_map: ReadMap, perimeter: BaseGeometry | None) -> tuple[Disagreement, ...]:
    if perimeter is None:
        return ()
    shape = picture_shape(a_map.grid)
    burned = read_pixels(a_map.folder / rasters.BURNED.file, shape)[0].astype(np.uint8)
    probability = read_pixels(a_map.folder / rasters.PROBABILITY.file, shape)[0].astype(np.float32)
    return find_disagreements(burned, probability, perimeter, a_map.grid)
