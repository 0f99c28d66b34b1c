"""Fires as chips before and after, at 20 m, simulated and real, cut alike: what tells a burn must find it in both."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from shapely.geometry.base import BaseGeometry

from burnscar_assets.demo.fires import SimulatedFire
from burnscar_assets.demo.noise import block_mean
from burnscar_assets.demo.plan import Granule, ScenePlan, project
from burnscar_assets.demo.scenes import CLOUDY_CLASSES, Ground, make_ground, render
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M
from burnscar_assets.demo.truth import truly_burned
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN
from burnscar_assets.storage.tables import table_crs

BANDS = ("B02", "B03", "B04", "B08", "B12")
PIXEL_M = 20
FIRE_SHARE = 0.17
"""Share of a chip that its perimeter fills: the median of the real chips (0.08–0.24)."""

MARGIN_PX = 5
NO_DATA = 0
LEAST_SEEN = 0.9
"""Share of a fire that must be clear in an image."""

MOST_DAYS_BEFORE, MOST_DAYS_AFTER = 60, 30

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chip:
    """A fire with its surroundings.

    Attributes:
        name: the fire.
        xy_m: its centre in EPSG:3310.
        after: reflectance × 10,000 after the fire, shape (5, rows, columns), NaN where a band or a pixel isn't there.
        before: the same of before the fire.
        nbr_before: NBR before the fire, which some real chips have without the bands.
        perimeter: pixels within the perimeter.
        burned: pixels that truly burned; only of simulated fires.
    """

    name: str
    xy_m: tuple[float, float]
    after: Floats
    before: Floats
    nbr_before: Floats
    perimeter: Mask
    burned: Mask | None = None

    @property
    def perimeter_ha(self) -> float:
        """Area of the perimeter's pixels."""
        return float(self.perimeter.sum()) * PIXEL_M**2 / 10_000

    @property
    def dnbr(self) -> Floats:
        """NBR before less NBR after; NaN where one isn't there."""
        return self.nbr_before - normalized(self.after, "B08", "B12")


def normalized(bands: Floats, first: str, second: str) -> Floats:
    """Normalized difference of two bands."""
    one, other = (bands[BANDS.index(band)] for band in (first, second))
    return (one - other) / np.maximum(one + other, 1)


def real_chips(folder: Path) -> list[Chip]:
    """Chips of `california_fires` that have an image before or its dNBR, without those that its index flags."""
    with (folder / "index.csv").open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["dnbr"] == "True" and not row["flag"]]
    perimeters = gpd.read_file(folder / "perimeters.geojson").set_index("chip")
    centres = perimeters.to_crs(table_crs()).centroid
    return [
        _real_chip(folder / name, perimeters.geometry[name], (centres[name].x, centres[name].y))
        for name in (row["chip"] for row in rows)
    ]


def _real_chip(folder: Path, perimeter: BaseGeometry, xy_m: tuple[float, float]) -> Chip:
    with rasterio.open(folder / "dnbr.tif") as source:
        dnbr, grid, shape = source.read(1), source.transform, source.shape
    after = _read_bands(folder / "post.tif", grid, shape)
    before = _read_bands(folder / "pre.tif", grid, shape)
    inside = rasterize([perimeter], shape, transform=grid).astype(bool)
    return Chip(folder.name, xy_m, after, before, dnbr + normalized(after, "B08", "B12"), inside)


def _read_bands(path: Path, grid: Affine, shape: tuple[int, int]) -> Floats:
    bands = np.full((len(BANDS), *shape), np.nan, np.float32)
    if not path.exists():
        return bands
    with rasterio.open(path) as source, WarpedVRT(source, transform=grid, height=shape[0], width=shape[1]) as onto:
        names = BANDS if source.count == len(BANDS) else ("B08", "B12")
        for name, pixels in zip(names, onto.read().astype(np.float32), strict=True):
            bands[BANDS.index(name)] = np.where(pixels > 0, pixels, np.nan)
    return bands


def simulated_chips(
    seed: int, granules: tuple[Granule, ...], fires: list[SimulatedFire], scenes: list[ScenePlan]
) -> Iterator[Chip]:
    """A chip of each fire that a granule shows whole and that clear scenes show before and after.

    Args:
        seed: the world's seed.
        granules: ground that scenes show.
        fires: all fires of the world; chips are cut around wildfires of the demo's years.
        scenes: its acquisitions.
    """
    for granule in granules:
        touching = [fire for fire in fires if fire.geometry.intersects(granule.ground)]
        burns = tuple(fire.burn() for fire in sorted(touching, key=lambda fire: (fire.containment, fire.key)))
        ground = make_ground(seed, granule, burns)
        of_granule = [scene for scene in scenes if scene.granule == granule]
        images: dict[str, Floats] = {}
        for fire in touching:
            if fire.kind == "fire" and granule.ground.contains(fire.geometry.union(fire.perimeter)):
                inside = _rasterized(granule, fire.perimeter)
                before, after = (_first_clear(ground, days, inside, images) for days in _days_around(fire, of_granule))
                if before is not None and after is not None:
                    yield _simulated_chip(ground, fire, before, after)


def _days_around(fire: SimulatedFire, scenes: list[ScenePlan]) -> tuple[list[ScenePlan], list[ScenePlan]]:
    """Scenes of the 60 days before the alarm, the last one first, and of the 30 days after containment."""
    by_day = sorted(scenes, key=lambda scene: scene.acquired)
    before = [s for s in reversed(by_day) if 0 < (fire.alarm - s.acquired.date()).days <= MOST_DAYS_BEFORE]
    return before, [s for s in by_day if 0 < (s.acquired.date() - fire.containment).days <= MOST_DAYS_AFTER]


def _first_clear(ground: Ground, scenes: list[ScenePlan], inside: Mask, images: dict[str, Floats]) -> Floats | None:
    """The first of the scenes that shows enough of a fire; `images` keeps what was drawn."""
    for scene in scenes:
        if scene.scene_id not in images:
            images[scene.scene_id] = _image(ground, scene)
        if np.isfinite(images[scene.scene_id][0][inside]).mean() >= LEAST_SEEN:
            return images[scene.scene_id]
    return None


def _image(ground: Ground, plan: ScenePlan) -> Floats:
    """The five bands of a scene at 20 m, NaN under cloud and its shadow."""
    scene = render(ground, plan)
    offset = BASELINE_OFFSET_DN if plan.has_offset else 0
    at_20_m = [
        block_mean(scene.bands[band].astype(np.float32), PIXEL_M // BAND_RESOLUTION_M[band]) - offset for band in BANDS
    ]
    hidden = np.isin(scene.classification, (NO_DATA, *CLOUDY_CLASSES))
    return np.where(hidden, np.nan, np.stack(at_20_m)).astype(np.float32)


def _simulated_chip(ground: Ground, fire: SimulatedFire, before: Floats, after: Floats) -> Chip:
    window = _frame(ground.granule, project(fire.perimeter, table_crs(), ground.granule.epsg))
    burned = block_mean(truly_burned(ground, fire.key).astype(np.float32), 2) >= 0.5
    cut = before[:, *window]
    centre = fire.perimeter.centroid
    return Chip(
        fire.key, (centre.x, centre.y), after[:, *window], cut, normalized(cut, "B08", "B12"),
        _rasterized(ground.granule, fire.perimeter)[window], burned[window],
    )  # fmt: skip


def _rasterized(granule: Granule, perimeter: BaseGeometry) -> Mask:
    size, corner = granule.side_m // PIXEL_M, from_origin(granule.west_m, granule.north_m, PIXEL_M, PIXEL_M)
    return rasterize([project(perimeter, table_crs(), granule.epsg)], (size, size), transform=corner).astype(bool)


def _frame(granule: Granule, perimeter: BaseGeometry) -> tuple[slice, slice]:
    """Rows and columns around a perimeter that it fills FIRE_SHARE of, as far as the granule reaches."""
    west, south, east, north = perimeter.bounds
    width, height = ((most - least) / PIXEL_M for least, most in ((west, east), (south, north)))
    wanted = perimeter.area / PIXEL_M**2 / FIRE_SHARE
    more = max((np.sqrt((width - height) ** 2 + 4 * wanted) - width - height) / 4, MARGIN_PX)
    left, right = (west - granule.west_m) / PIXEL_M - more, (east - granule.west_m) / PIXEL_M + more
    top, bottom = (granule.north_m - north) / PIXEL_M - more, (granule.north_m - south) / PIXEL_M + more
    most = granule.side_m // PIXEL_M
    rows, columns = ((max(int(a), 0), min(int(b) + 1, most)) for a, b in ((top, bottom), (left, right)))
    return slice(*rows), slice(*columns)
