"""What a map's page shows that comes from its rasters and vectors: pictures, outlines and places to look at.

It lies in the map's folder under `page/`, with the identity of what it was drawn from, so an unchanged map isn't drawn
again. Outlines are SVG paths in pixels of the grid, with the origin in its upper left corner, so they lie where the
pixels do, whatever the size of the picture. Colours are those that QGIS projects have too: both outlines can be told
apart by people who don't see red from green, and by their dashes.
"""

from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, ValidationError
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from shapely import get_coordinates, get_parts
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import outlines
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.severity import SEVERITY_CLASSES
from burnscar_assets.publish import rasters
from burnscar_assets.publish.agreement import compare, rank_disagreements
from burnscar_assets.publish.pages.records import REPAIR, Grid, ReadMap
from burnscar_assets.publish.polygons import BURNED_LAYER, PERIMETER_LAYER
from burnscar_assets.storage.atomic import write_if_changed
from burnscar_assets.storage.hashing import hash_json

MODEL_COLOUR: Final = "#ffd23f"
PERIMETER_COLOUR: Final = "#4fc3f7"
VALIDITY: Final = ((1, "Cloud or shadow", "#e8e8e8"), (2, "No data", "#4a4a4a"))
LONGEST_PX: Final = 1600
"""Longest side of a picture; a map that is no larger is shown pixel by pixel."""

LOSSLESS_PX: Final = 1_000_000
"""Pictures of more pixels are compressed with (invisible) loss."""

RAMP_STEPS: Final = 256
FAINT: Final = 0.2
"""Probability below which the ramp fades out, so that the image under it can be seen."""

BRIGHTEST: Final = 0.78
"""Share of the ramp that is used: its yellow end would swallow the model's outline."""

STRETCH_DN: Final = (4200, 5000, 3200)
"""Digital numbers of short-wave infrared, near infrared and red at full brightness, fixed so that dates compare."""

GAMMA: Final = 0.62
Pixels = npt.NDArray[Any]
VECTORS: Final = "burned_area.gpkg"
LEAST_GAP_PX: Final = 3
MOST_PLACES: Final = 12
FOLDER: Final = "page"
DRAWN: Final = f"{FOLDER}/drawn.json"
DRAWING_VERSION: Final = 3
"""To be raised when the same map is drawn otherwise."""

AFTER, BEFORE, PROBABILITY, SEVERITY = "after.webp", "before.webp", "probability.png", "severity.png"
THUMBNAIL: Final = "thumbnail.webp"
THUMBNAIL_PX: Final = 320
GAP_PX: Final = 400


def severity_palette() -> npt.NDArray[np.uint8]:
    """Red, green, blue and opacity of all 256 codes of severity; transparent for what is no class."""
    palette = np.zeros((256, 4), np.uint8)
    for severity in SEVERITY_CLASSES:
        palette[severity.code] = (*bytes.fromhex(severity.colour.removeprefix("#")), 255)
    return palette


def picture_shape(grid: Grid, longest: int = LONGEST_PX) -> tuple[int, int]:
    """Rows and columns of a picture of the whole grid, none of them more than `longest`."""
    shrink = max(1.0, grid.height / longest, grid.width / longest)
    return max(1, round(grid.height / shrink)), max(1, round(grid.width / shrink))


def read_pixels(path: Path, shape: tuple[int, int], resampling: Resampling = Resampling.nearest) -> Pixels:
    """All bands of a raster at another size, (bands, rows, columns).

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with rasterio.open(path) as raster:
            return raster.read(out_shape=(raster.count, *shape), resampling=resampling)
    except RasterioError as error:
        raise InputError(f"{path.name} of {path.parent.name} can't be read: {REPAIR}") from error


def colour_picture(image: Pixels) -> Image.Image:
    """SWIR, NIR and red, (3, rows, columns), as red, green and blue; transparent where there is no data (0)."""
    bright = np.clip(image.astype(np.float32) / np.array(STRETCH_DN, np.float32)[:, None, None], 0, 1) ** GAMMA
    there = (image > 0).all(axis=0)
    levels = (bright * 255).round().astype(np.uint8)
    return Image.fromarray(np.dstack([*levels, np.where(there, 255, 0).astype(np.uint8)]), "RGBA")


def probability_ramp() -> npt.NDArray[np.uint8]:
    """Red, green, blue and opacity of 256 probabilities from 0 to 1: perceptually even, fading out at the bottom."""
    from matplotlib import colormaps

    steps = np.linspace(0, 1, RAMP_STEPS)
    colours = (colormaps["plasma"](steps * BRIGHTEST) * 255).round().astype(np.uint8)
    colours[:, 3] = (np.clip(steps / FAINT, 0, 1) * 255).round().astype(np.uint8)
    colours[0, 3] = 0
    return colours


def palette_picture(indices: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> Image.Image:
    """Classes or steps, (rows, columns), in the colours of a palette, (256, 4)."""
    return Image.fromarray(palette[indices], "RGBA")


def probability_picture(probability: Pixels) -> Image.Image:
    """Probabilities 0–1, (rows, columns), in the colours of the ramp; transparent where negative."""
    known = probability >= 0
    steps = np.clip(probability.astype(np.float32) * (RAMP_STEPS - 1), 0, RAMP_STEPS - 1)
    return palette_picture(np.where(known, steps.round(), 0).astype(np.uint8), probability_ramp())


def as_webp(picture: Image.Image) -> bytes:
    """A picture as WebP, every pixel as it is if it isn't large."""
    buffer = BytesIO()
    lossless = picture.width * picture.height <= LOSSLESS_PX
    picture.save(buffer, "WEBP", lossless=lossless, quality=80 if lossless else 92, method=4)
    return buffer.getvalue()


def as_png(picture: Image.Image) -> bytes:
    """A picture as PNG."""
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def read_outline(folder: Path, layer: str, crs: CRS) -> BaseGeometry | None:
    """The polygons of a layer of a map's GeoPackage as one geometry in a CRS; None if it is not there or empty.

    Raises:
        InputError: the GeoPackage can't be read, or the layer has no CRS.
    """
    import geopandas as gpd

    path = folder / VECTORS
    try:
        if layer not in pyogrio.list_layers(path)[:, 0]:
            return None
        rows = gpd.read_file(path, layer=layer)
    except (DataSourceError, DataLayerError) as error:
        raise InputError(f"{VECTORS} of {folder.name} can't be read: {REPAIR}") from error
    if rows.crs is None:
        raise InputError(f"{VECTORS} of {folder.name} has a layer {layer} without a CRS: {REPAIR}")
    whole = rows.geometry.to_crs(crs).make_valid().union_all()
    polygons = [part for part in shapely.get_parts(whole) if part.geom_type == "Polygon" and not part.is_empty]
    return shapely.MultiPolygon(polygons) if polygons else None


def to_pixels(geometry: BaseGeometry, transform: Affine) -> BaseGeometry:
    """A geometry in a grid's CRS, in pixels of the grid: x to the right, y downwards."""
    inverse = ~transform
    return affine_transform(geometry, [inverse.a, inverse.b, inverse.d, inverse.e, inverse.c, inverse.f])


def path_of(geometry: BaseGeometry | None, grid: Grid) -> str:
    """An outline as the `d` of an SVG path, simplified to half a pixel of the picture."""
    if geometry is None:
        return ""
    tolerance = 0.5 * max(1.0, grid.height / LONGEST_PX, grid.width / LONGEST_PX)
    return svg_path(geometry.simplify(tolerance))


def svg_path(geometry: BaseGeometry) -> str:
    """Polygons, holes and all, as the `d` of an SVG path with the even-odd rule; other geometries are passed over."""
    polygons = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and not part.is_empty]
    return "".join(_ring(ring) for polygon in polygons for ring in (polygon.exterior, *polygon.interiors))


def gap_path(gaps: Pixels, grid: Grid) -> str:
    """Pixels without an answer as an SVG path in pixels of the grid; specks are left out.

    Gaps are (rows, columns) of the whole grid at any size, true where there is no answer.
    """
    rows, columns = gaps.shape
    to_grid = Affine.scale(grid.width / columns, grid.height / rows)
    least = LEAST_GAP_PX * to_grid.a * to_grid.e
    return "".join(svg_path(part) for part in outlines(gaps, to_grid) if part.area >= least)


def _ring(ring: shapely.LinearRing) -> str:
    corners = shapely.get_coordinates(ring)[:-1]
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z"


class Disagreement(BaseModel):
    """One place.

    Attributes:
        kind: `omission` or `commission`, as in `agreement.py`.
        area_ha: its area, hectares.
        confidence: of the map against the perimeter, 0–1.
        depth_m: how far it reaches from the perimeter's outline, metres.
        lon, lat: of a point in it.
        box: left, top, right, bottom in pixels of the grid.
        outline: SVG path in pixels of the grid.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    area_ha: float
    confidence: float
    depth_m: float | None
    lon: float
    lat: float
    box: tuple[float, float, float, float]
    outline: str


def find_disagreements(
    burned: npt.NDArray[np.uint8], probability: npt.NDArray[np.float32], perimeter: BaseGeometry, grid: Grid
) -> tuple[Disagreement, ...]:
    """What a person should look at, the largest and surest first.

    Rasters are (rows, columns) of the whole grid at any size; the perimeter is in the grid's CRS.
    """
    rows, columns = burned.shape
    transform = grid.transform @ Affine.scale(grid.width / columns, grid.height / rows)
    found = compare(burned, perimeter, transform, grid.crs, probability=probability)
    ranked = rank_disagreements(found, "map", MOST_PLACES)
    places = [to_pixels(place, grid.transform) for place in ranked.geometry.to_crs(grid.crs)]
    return tuple(_place(row, place, grid) for row, place in zip(ranked.to_dict("records"), places, strict=True))


def _place(row: dict[Any, Any], place: BaseGeometry, grid: Grid) -> Disagreement:
    left, top, right, bottom = (round(side, 1) for side in place.bounds)
    return Disagreement(
        kind=row["kind"],
        area_ha=round(row["area_ha"], 2),
        confidence=round(row["confidence"], 3),
        depth_m=round(row["depth_m"]) if np.isfinite(row["depth_m"]) else None,
        lon=round(row["lon"], 5),
        lat=round(row["lat"], 5),
        box=(left, top, right, bottom),
        outline=path_of(place, grid),
    )


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
    burned, perimeter = (None if vector is None else to_pixels(vector, a_map.grid.transform) for vector in vectors)
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
