"""What fires leave on the land of a granule: how much char and how much lost vegetation, on any day.

Severity varies inside the perimeter (unburned islands, low under closed canopy, high on slopes and in shrub);
char fades within a winter or two, vegetation comes back at the pace of its cover.
"""

from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize
from rasterio.transform import from_origin

from burnscar_assets.demo.noise import Floats, block_mean, fractal_noise, upsample
from burnscar_assets.demo.plan import NODE_PX, PIXEL_M, Burn, Granule, project
from burnscar_assets.demo.spectra import Cover
from burnscar_assets.storage.tables import TABLE_CRS

CHAR_FADES_YEARS = 0.55
CHAR_EXPONENT = 0.7
"""Below 1: a light fire blackens more than it kills."""

RECOVERY_YEARS = {Cover.CONIFER: 14.0, Cover.SHRUB: 5.0, Cover.GRASS: 0.6}
OTHER_RECOVERY_YEARS = 3.0
UNBURNABLE = (Cover.WATER, Cover.LAVA, Cover.URBAN, Cover.BARE)
SHOWS_FOR_YEARS = 25
WILD_MARGIN_M = 250.0


@dataclass(frozen=True)
class BurnLayer:
    """One burn on the pixel grid of a granule, cropped to where it burned.

    Args:
        burn: the burn.
        rows: rows of the granule's 10 m grid.
        columns: columns of the granule's 10 m grid.
        severity: share of the vegetation lost, 0–1; 0 outside the perimeter.
        arrival: when the fire came, 0–1 from ignition to containment.
    """

    burn: Burn
    rows: slice
    columns: slice
    severity: Floats
    arrival: Floats


@dataclass(frozen=True)
class BurnState:
    """State of a granule on a day, at 10 m: share covered by char, and share of vegetation missing, 0–1."""

    char: Floats
    loss: Floats

    def at(self, factor: int) -> "BurnState":
        """The state at a coarser ground sampling distance."""
        return self if factor == 1 else BurnState(block_mean(self.char, factor), block_mean(self.loss, factor))


def wild_ground(granule: Granule, burns: tuple[Burn, ...]) -> npt.NDArray[np.bool_]:
    """10 m pixels in or near any perimeter."""
    size = (granule.side_px, granule.side_px)
    shapes = [project(burn.geometry, TABLE_CRS, granule.epsg).buffer(WILD_MARGIN_M) for burn in burns]
    near = [shape for shape in shapes if shape.intersects(granule.utm_box)]
    if not near:
        return np.zeros(size, bool)
    corner = from_origin(granule.west_m, granule.north_m, PIXEL_M, PIXEL_M)
    return rasterize(near, size, transform=corner, dtype=np.uint8).astype(bool)


def make_burn_layers(
    seed: int, granule: Granule, burns: tuple[Burn, ...], cover: npt.NDArray[np.uint8]
) -> list[BurnLayer]:
    """Burns of a granule, oldest first; those that don't reach a pixel are left out."""
    drawn = (_burn_layer(seed, granule, burn, cover) for burn in burns)
    return [layer for layer in drawn if layer is not None]


def burn_state(layers: list[BurnLayer], cover: npt.NDArray[np.uint8], day: date) -> BurnState:
    """Char and lost vegetation on a day."""
    char, loss = np.zeros(cover.shape, np.float32), np.zeros(cover.shape, np.float32)
    for layer in layers:
        age_years = (day - layer.burn.end).days / 365.25
        if day < layer.burn.start or age_years > SHOWS_FOR_YEARS:
            continue
        part = (layer.rows, layer.columns)
        severity = layer.severity
        if day < layer.burn.end:
            length = max((layer.burn.end - layer.burn.start).days, 1)
            severity = np.where(layer.arrival <= (day - layer.burn.start).days / length, severity, np.float32(0))
            age_years = 0.0
        years = np.array([RECOVERY_YEARS.get(c, OTHER_RECOVERY_YEARS) for c in Cover], np.float32)
        still_lost = severity * np.exp(-age_years / years).astype(np.float32)[cover[part]]
        still_black = severity**CHAR_EXPONENT * np.float32(0.92 * np.exp(-age_years / CHAR_FADES_YEARS))
        char[part] = np.maximum(char[part], still_black)
        loss[part] = 1 - (1 - loss[part]) * (1 - still_lost)
    return BurnState(char, loss)


def _burn_layer(seed: int, granule: Granule, burn: Burn, cover: npt.NDArray[np.uint8]) -> BurnLayer | None:
    shape = project(burn.geometry, TABLE_CRS, granule.epsg).intersection(granule.utm_box)
    if shape.is_empty or shape.area < PIXEL_M**2:
        return None
    west, south, east, north = shape.bounds
    to_px = partial(_pixel_range, side_px=granule.side_px)
    columns = to_px(west - granule.west_m, east - granule.west_m)
    rows = to_px(granule.north_m - north, granule.north_m - south)
    window = (rows.stop - rows.start, columns.stop - columns.start)
    left, top = granule.west_m + columns.start * PIXEL_M, granule.north_m - rows.start * PIXEL_M
    inside = rasterize([shape], window, transform=from_origin(left, top, PIXEL_M, PIXEL_M), dtype=np.uint8)

    def smooth(kind: str, cell_m: float, octaves: int) -> Floats:
        nodes = fractal_noise((seed, burn.burn_id, kind), granule.frame, cell_m, octaves, 0.6)
        return upsample(nodes, NODE_PX)[rows, columns]

    severity = _severity(burn.severity, smooth("severity", 900, 4), smooth("islands", 520, 3), cover[rows, columns])
    return BurnLayer(burn, rows, columns, severity * inside, smooth("arrival", 1500, 3))


def _severity(typical: float, patchiness: Floats, islands: Floats, cover: npt.NDArray[np.uint8]) -> Floats:
    """Severity around its typical value: closed canopy burns less, shrub more, rock and water not at all."""
    factors = np.ones(len(Cover), np.float32)
    factors[Cover.CONIFER], factors[Cover.SHRUB], factors[Cover.GRASS] = 0.92, 1.12, 1.05
    factors[list(UNBURNABLE)] = (0.0, 0.1, 0.15, 0.5)
    severity = factors[cover] * (typical + np.float32(1.4) * (patchiness - np.float32(0.5)))
    edge = np.clip((islands - np.float32(0.335)) / np.float32(0.03), 0, 1)
    return np.clip(severity * edge, 0, 0.98).astype(np.float32)


def _pixel_range(least_m: float, greatest_m: float, side_px: int) -> slice:
    return slice(max(int(least_m // PIXEL_M), 0), min(int(-(-greatest_m // PIXEL_M)), side_px))
