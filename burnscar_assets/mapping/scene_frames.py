"""Which frames a fire year is judged on: one about each validation and test fire, and frames without fire.

Where a frame lies is a hash of its fire, or of its number: nothing is centred on a fire, and an edit elsewhere moves no
frame. Pure tables and geometry; nothing is read or written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.classes import BURNT, UNBURNT, UNLABELLED, Split
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.mapping.fires import task_of
from burnscar_assets.mapping.frame import Box, Frame, frame_around, project, zone_of
from burnscar_assets.mapping.ground import fresh_and_older
from burnscar_assets.mapping.spec import MapTask
from burnscar_assets.sampling.folds import ground_of
from burnscar_assets.sampling.ground import Pieces
from burnscar_assets.sampling.land import load_land
from burnscar_assets.sampling.randomness import key_of, mix, uniform
from burnscar_assets.sampling.splits import GroundMap, SplitMap
from burnscar_assets.settings import Settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs

FIRE, NO_FIRE = "fire", "no_fire"
"""Roles of frames."""

_UNLABELLED_GROUND: Final[dict[str, tuple[Split, ...]]] = {
    Split.VAL: (Split.TRAIN, Split.TEST),
    Split.TEST: (Split.VAL,),
}
"""Ground that isn't judged in frames of a split, so that no pixel is in two; folds lie apart."""

_SHIFT: Final = 0.5
"""Largest displacement, of the margin."""

_DRAWS, _ROUNDS = 2000, 20
_TURNED: Final = 1.1
"""A frame is a little turned in the tables' coordinate system: so much more ground is asked about."""


@dataclass(frozen=True)
class PlannedFrame:
    """One frame that is to have images.

    `cluster_id` is the fire's, or the frame's block of ground; `task` is the fire or the ground without, and when
    images may be from.
    """

    name: str
    split: str
    cluster_id: str
    frame: Frame
    task: MapTask


def frames_of_fires(fires: gpd.GeoDataFrame, settings: Settings, root: DataRoot) -> list[PlannedFrame]:
    """A frame about each fire: its bounds with a margin that grows with its area, displaced at random.

    Fires are those of `fires.judged_fires`.

    Raises:
        InputError: a fire reaches too far beyond its UTM zone.
    """
    frames = []
    land = {int(year): _parts_of_land(int(year), settings, root) for year in fires["fire_year"].unique()}
    for _, fire in fires.to_crs(GEOGRAPHIC_CRS).iterrows():
        task = _task(fire, settings, root)
        margin_m = settings.fire_scenes.margin_of(float(fire["area_ha"]) * 1e4)
        around = frame_around(task.geometry, settings.windows.resolution_m, margin_m)
        frame = _displaced(around, _SHIFT * margin_m, key_of("fire-scene", settings.sampling.seed, task.name))
        frame = _within(frame, task.geometry, land[int(fire["fire_year"])])
        frames.append(PlannedFrame(task.name, str(fire["split"]), str(fire["cluster_id"]), frame, task))
    return frames


def frame_footprints(perimeters: gpd.GeoDataFrame, settings: Settings, root: DataRoot) -> gpd.GeoSeries:
    """Footprints of the frames that fires would be judged on, in the order of the perimeters, EPSG:4326.

    Raises:
        InputError: a fire reaches too far beyond its UTM zone.
    """
    planned = frames_of_fires(perimeters.assign(split="", cluster_id=""), settings, root)
    return gpd.GeoSeries([one.frame.footprint for one in planned], crs=GEOGRAPHIC_CRS)


def frames_without_fire(
    perimeters: gpd.GeoDataFrame, burns: gpd.GeoDataFrame, land: gpd.GeoDataFrame, settings: Settings, root: DataRoot
) -> list[PlannedFrame]:
    """Frames on land of each split where nothing burned that could still show, on the days of a fire of the year.

    There are fewer where the ground of a split has no more room. Perimeters and burns are those of the year; the land
    is in the region's CRS.
    """
    if perimeters.empty:
        return []
    fires = perimeters.sort_values("fire_id", kind="stable").to_crs(GEOGRAPHIC_CRS)
    year, found = int(fires["fire_year"].iloc[0]), []
    burnt = Pieces(np.concatenate([burns.geometry.to_numpy(), perimeters.geometry.to_numpy()]))
    split_map = ground_of(settings.sampling.splits, root)
    for split in map(str, settings.sampling.splits.judged):
        places = _free_ground(split, split_map, year, burnt, land, settings)
        of_split = split if split in list(Split) else f"{year}_{split}"  # folds are judged on all years together
        for number, (x_m, y_m, block) in zip(range(settings.fire_scenes.without_fire), places, strict=False):
            fire = fires.iloc[_lot(fires["fire_id"], "no-fire-days", split, year, number)]
            frame = _frame_at(x_m, y_m, settings)
            task = _task(fire, settings, root).model_copy(
                update={
                    "name": (name := f"{NO_FIRE}_{of_split}_{number:02}"),
                    "title": f"no fire, {split} {number}",
                    "area": shapely.to_wkt(frame.footprint, rounding_precision=-1),
                    "fire_id": None,
                }
            )
            found.append(PlannedFrame(name, split, block, frame, task))
    return found


def draw_truth(
    planned: PlannedFrame, burns: gpd.GeoDataFrame, settings: Settings, since: datetime | None = None
) -> npt.NDArray[np.uint8]:
    """(height, width) class ids of a frame's pixels, `UNLABELLED` where nothing is judged.

    A pixel is what its centre is: inside the fire's perimeter burnt, outside it unburnt. Ground where something else
    burned between the two images, or in the same season, is unlabelled, but inside the own perimeter; older scars are
    unburnt. Ground of other splits is unlabelled: in a frame of validation all that isn't validation's, in one of test
    that of validation. `since` is when the image before was taken, if that was before the days that it was first looked
    for in.
    """
    frame, task = planned.frame, planned.task
    place = project(frame.footprint, GEOGRAPHIC_CRS, table_crs())
    near = burns[burns.geometry.intersects(place) & (burns["burn_id"] != task.fire_id)]
    fresh = near[fresh_and_older(near, task, since)[0]].to_crs(GEOGRAPHIC_CRS).geometry
    own = task.geometry if task.fire_id is not None else shapely.Polygon()
    codes = np.full(frame.shape, UNBURNT, np.uint8)
    for shape in fresh:
        codes[frame.covers(shape, frame.box)] = UNLABELLED
    codes[frame.covers(own, frame.box)] = BURNT
    for block in _blocks_of(_UNLABELLED_GROUND.get(planned.split, ()), place, settings):
        codes[frame.covers(project(block, table_crs(), GEOGRAPHIC_CRS), frame.box)] = UNLABELLED
    return codes


def _task(fire: pd.Series, settings: Settings, root: DataRoot) -> MapTask:
    year = int(fire["fire_year"])
    return task_of(fire, root.fire_scene_windows(year), root.fire_scene_work(year), settings)


def _displaced(frame: Frame, most_m: float, key: np.uint64) -> Frame:
    """A frame moved by up to so many metres along each axis."""
    share = 2 * uniform(mix(key, np.arange(2))) - 1
    columns, rows = np.round(share * most_m / frame.resolution_m).astype(int).tolist()
    return Frame(frame.epsg, frame.resolution_m, frame.box.moved(columns, rows))


def _parts_of_land(fire_year: int, settings: Settings, root: DataRoot) -> npt.NDArray[np.object_]:
    """Parts of a year's land that frames keep to, EPSG:4326; none where they may reach beyond it."""
    sampling = settings.sampling
    if not sampling.only_on_land or sampling.land is None:
        return np.array([], dtype=object)
    land = load_land(root.resolve(sampling.land), fire_year, may_be_empty=True)
    return shapely.get_parts(shapely.union_all(land.to_crs(GEOGRAPHIC_CRS).geometry.to_numpy()))


def _within(frame: Frame, fire: shapely.Geometry, land: npt.NDArray[np.object_]) -> Frame:
    """What of a frame lies within the bounds of the part of the land that has most of the fire (EPSG:4326)."""
    shared = shapely.area(shapely.intersection(land, fire))
    if not shared.any():
        return frame
    part = project(land[int(np.argmax(shared))], GEOGRAPHIC_CRS, f"EPSG:{frame.epsg}")
    west, south, east, north = np.array(part.bounds) / frame.resolution_m
    box = Box(
        max(frame.box.left, int(np.ceil(west))),
        max(frame.box.top, int(np.ceil(-north))),
        min(frame.box.right, int(np.floor(east))),
        min(frame.box.bottom, int(np.floor(-south))),
    )
    return Frame(frame.epsg, frame.resolution_m, box)


def _frame_at(x_m: float, y_m: float, settings: Settings) -> Frame:
    """The frame without fire about a point, metres of the region's CRS."""
    resolution_m = settings.windows.resolution_m
    centre = project(shapely.Point(x_m, y_m), table_crs(), GEOGRAPHIC_CRS)
    epsg = zone_of(centre.buffer(1e-6))
    point = project(centre, GEOGRAPHIC_CRS, f"EPSG:{epsg}")
    side_px = round(settings.fire_scenes.without_fire_m / resolution_m)
    left, top = round(point.x / resolution_m) - side_px // 2, round(-point.y / resolution_m) - side_px // 2
    return Frame(epsg, resolution_m, Box(left, top, left + side_px, top + side_px))


def _free_ground(
    split: str, split_map: GroundMap, year: int, burnt: Pieces, land: gpd.GeoDataFrame, settings: Settings
) -> Iterator[tuple[float, float, str]]:
    """Centres of frames that lie on a split's land off every burn and off each other, with their blocks' names."""
    half_m = settings.fire_scenes.without_fire_m * _TURNED / 2
    ground = shapely.union_all(land.geometry.to_numpy())
    shapely.prepare(ground)
    west, south, east, north = ground.bounds
    key, taken = key_of("no-fire", settings.sampling.seed, split, year), shapely.Polygon()
    for turn in range(_ROUNDS):
        numbers = np.arange(turn * _DRAWS, (turn + 1) * _DRAWS)
        x_m = west + uniform(mix(key, numbers, 0)) * (east - west)
        y_m = south + uniform(mix(key, numbers, 1)) * (north - south)
        boxes = shapely.box(x_m - half_m, y_m - half_m, x_m + half_m, y_m + half_m)
        usable = split_map.splits_touched(shapely.bounds(boxes)) == split
        usable[usable] = shapely.covers(ground, boxes[usable])
        usable[usable] = ~burnt.near(boxes[usable], settings.sampling.ring_gap_m)
        for number in np.flatnonzero(usable).tolist():
            if not boxes[number].intersects(taken):
                taken = shapely.union(taken, boxes[number])
                yield float(x_m[number]), float(y_m[number]), split_map.block_names(x_m[[number]], y_m[[number]])[0]


def _lot(names: pd.Series, *parts: str | int) -> int:
    """Place of the name that a lot falls on; it stays there while other names come and go."""
    keys = [key_of(*parts, str(name)) for name in names]
    return int(np.argmin(keys))


def _blocks_of(splits: tuple[Split, ...], place: shapely.Geometry, settings: Settings) -> Iterator[shapely.Geometry]:
    """Blocks of ground of some splits that a place (the region's CRS) touches."""
    split_map = SplitMap(settings.sampling.splits)
    west, south, east, north = place.bounds
    (first_col, last_col), (first_row, last_row) = split_map.block_of([west, east], [south, north])
    for col in range(first_col, last_col + 1):
        for row in range(first_row, last_row + 1):
            if str(split_map.split_of_block(col, row)) in splits:
                yield shapely.box(*split_map.block_bounds(col, row))
