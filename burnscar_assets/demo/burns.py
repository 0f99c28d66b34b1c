"""What fires leave on the land of a granule: how much char and how much lost vegetation, on any day.

Severity varies inside the outline (unburned islands, patches of low severity, low under closed canopy, high in
shrub); char fades within a winter or two, vegetation comes back at the pace of its cover.
"""

from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize
from rasterio.transform import from_origin
from shapely import contains_xy

from burnscar_assets.demo.noise import Floats, Frame, block_mean, fractal_noise, generator, upsample
from burnscar_assets.demo.plan import NODE_PX, PIXEL_M, Burn, Granule, project
from burnscar_assets.demo.spectra import Cover
from burnscar_assets.storage.tables import table_crs

CHAR_FADES_YEARS = 0.55
CHAR_EXPONENT = 0.7
"""Below 1: a light fire blackens more than it kills."""

RECOVERY_YEARS = {Cover.CONIFER: 14.0, Cover.SHRUB: 5.0, Cover.GRASS: 0.6}
OTHER_RECOVERY_YEARS = 3.0
UNBURNABLE = {
    Cover.WATER: 0.0, Cover.LAVA: 0.0, Cover.URBAN: 0.08, Cover.BARE: 0.3, Cover.CROP_GREEN: 0.08,
}  # fmt: skip
"""Covers that fires leave alone or just touch, and what is left of the severity on them."""

PATCHINESS = 1.9
"""How far severity swings over a fire's ground: some of it burns lightly."""
SHOWS_FOR_YEARS = 25

ISLANDS_MEDIAN, ISLANDS_SPREAD, ISLANDS_AT_MOST = 0.085, 1.06, 0.5
"""Unburned share of a fire, log-normal: 9 % of the area in the median, 35 % at the ninth decile."""

ISLAND_CELL_OF_SIDE = 0.3
ISLAND_CELL_M = (120.0, 700.0)
"""Islands grow with the fire (the root of its area), within bounds."""

PATCH_OF_ISLAND = 1.5
"""Cell of the noise that draws severity, by that of islands."""

BURNED_FROM = 0.1
"""Severity from which a pixel truly burned."""

ISLAND_OCTAVES = 3
ISLAND_EDGE = 0.03
_ISLAND_NODES = 64


@dataclass(frozen=True)
class BurnLayer:
    """One burn on the pixel grid of a granule, cropped to where it burned.

    `severity` is the share of the vegetation lost, 0–1, and 0 outside the perimeter; `arrival` is when the fire came,
    0–1 from ignition to containment.
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


def fire_ground(granule: Granule, burns: tuple[Burn, ...]) -> npt.NDArray[np.bool_]:
    """10 m pixels within any outline."""
    size = (granule.side_px, granule.side_px)
    shapes = [project(burn.geometry, table_crs(), granule.epsg) for burn in burns]
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
    shape = project(burn.geometry, table_crs(), granule.epsg).intersection(granule.utm_box)
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

    cell_m, threshold = _islands(seed, burn)
    burned = np.clip((smooth("islands", cell_m, ISLAND_OCTAVES) - threshold) / np.float32(ISLAND_EDGE), 0, 1)
    severity = _severity(burn.severity, smooth("severity", PATCH_OF_ISLAND * cell_m, 4), cover[rows, columns])
    return BurnLayer(burn, rows, columns, severity * burned * inside, smooth("arrival", 1500, 3))


def _islands(seed: int, burn: Burn) -> tuple[float, np.float32]:
    """Cell of the noise that draws a fire's islands, metres, and its value below which nothing burned.

    The value is taken over the whole fire, so that granules that see parts of it agree.
    """
    share = ISLANDS_MEDIAN * np.exp(ISLANDS_SPREAD * generator(seed, "islands", burn.burn_id).standard_normal())
    cell_m = float(np.clip(ISLAND_CELL_OF_SIDE * np.sqrt(burn.geometry.area), *ISLAND_CELL_M))
    west, south, east, north = burn.geometry.bounds
    frame = Frame(*np.meshgrid(np.linspace(west, east, _ISLAND_NODES), np.linspace(south, north, _ISLAND_NODES)))
    inside = contains_xy(burn.geometry, frame.x_m, frame.y_m)
    noise = fractal_noise((seed, burn.burn_id, "islands"), frame, cell_m, ISLAND_OCTAVES, 0.6)[inside]
    if not len(noise):
        return cell_m, np.float32(0)
    return cell_m, np.float32(np.quantile(noise, min(share, ISLANDS_AT_MOST)) - ISLAND_EDGE * BURNED_FROM)


def _severity(typical: float, patchiness: Floats, cover: npt.NDArray[np.uint8]) -> Floats:
    """Severity around its typical value: closed canopy burns less, shrub more, rock and water not at all."""
    factors = np.ones(len(Cover), np.float32)
    factors[Cover.CONIFER], factors[Cover.SHRUB], factors[Cover.GRASS] = 0.85, 1.12, 1.05
    for unburnable, share in UNBURNABLE.items():
        factors[unburnable] = share
    severity = factors[cover] * (typical + np.float32(PATCHINESS) * (patchiness - np.float32(0.5)))
    return np.clip(severity, 0, 0.98).astype(np.float32)


def _pixel_range(least_m: float, greatest_m: float, side_px: int) -> slice:
    return slice(max(int(least_m // PIXEL_M), 0), min(int(-(-greatest_m // PIXEL_M)), side_px))
