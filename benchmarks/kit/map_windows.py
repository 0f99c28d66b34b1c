"""Areas to map, and the windows that a map of them is made of, as a table that rslearn can be given too."""

import geopandas as gpd
import numpy as np
import pyproj
import shapely

from burnscar_assets.classes import CLASS_NAMES, UNBURNT, Split, Stratum
from burnscar_assets.mapping.frame import Frame, frame_around
from burnscar_assets.mapping.inference import Lattice
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.storage.contracts import WINDOWS
from burnscar_assets.storage.tables import table_crs
from kit.scenes import EPSG, Scene
from kit.windows import RESOLUTION_M, on_scene

SIZE_PX, STRIDE_PX = 32, 16
BATCH = MappingSettings().batch_size
LATTICE = Lattice(SIZE_PX, STRIDE_PX)
MARGIN_M = SIZE_PX * RESOLUTION_M
"""Between an area and the scene's edge, for windows that reach beyond the area."""


def area_in(scene: Scene, side_m: float) -> shapely.Geometry:
    """A square near the upper left corner of a scene, EPSG:4326."""
    west, north = scene.granule.west_m + MARGIN_M, scene.granule.north_m - MARGIN_M
    degrees = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True)
    square = shapely.segmentize(shapely.box(west, north - side_m, west + side_m, north), 1000)
    return shapely.transform(square, lambda xy: np.column_stack(degrees.transform(xy[:, 0], xy[:, 1])))


def frame_of(area: shapely.Geometry) -> Frame:
    """The pixels of the area's map."""
    return frame_around(area, RESOLUTION_M)


def windows_over(area: shapely.Geometry, scene: Scene) -> gpd.GeoDataFrame:
    """The windows that an area's map is made of, row by row, whose time range has the scene's day: table `windows`."""
    box = frame_of(area).box
    rows, columns = (a.ravel() for a in np.meshgrid(
        LATTICE.starts(box.top, box.bottom), LATTICE.starts(box.left, box.right), indexing="ij"
    ))  # fmt: skip
    side_m = SIZE_PX * RESOLUTION_M
    left, top = columns * RESOLUTION_M, -rows * RESOLUTION_M
    names = [f"w{number:07d}" for number in range(len(rows))]
    footprints = shapely.box(left, top - side_m, left + side_m, top)
    own = {
        "window_id": names, "point_id": names, "fire_id": "", "cluster_id": "", "stratum": Stratum.LAND.value,
        "category": CLASS_NAMES[UNBURNT], "split": Split.TEST.value, "min_col": columns, "min_row": rows,
    }  # fmt: skip
    geometry = gpd.GeoSeries(footprints, crs=EPSG).to_crs(table_crs())
    return WINDOWS.conform(gpd.GeoDataFrame(own | on_scene(scene, SIZE_PX), geometry=geometry))
