"""The lattice of windows."""

import numpy as np
import pyproj
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.sampling.lattice import Cells, Lattice, utm_epsg_of

LONGITUDES, LATITUDES = st.floats(-124.4, -114.1), st.floats(32.5, 42.0)
LATTICE = Lattice(320)


def cell(lon: float, lat: float) -> Cells:
    return LATTICE.cells_at([lon], [lat])


@given(lon=LONGITUDES, lat=LATITUDES)
def test_a_point_lies_in_its_cell(lon: float, lat: float) -> None:
    x_m, y_m = pyproj.Transformer.from_crs(4326, 3310, always_xy=True).transform(lon, lat)
    footprint = LATTICE.footprints(cell(lon, lat))[0]
    assert footprint.distance(shapely.Point(x_m, y_m)) < 0.01
    assert abs(footprint.area / 320**2 - 1) < 0.005


@given(lon=LONGITUDES, lat=LATITUDES)
def test_the_centre_of_a_cell_is_in_that_cell(lon: float, lat: float) -> None:
    there = cell(lon, lat)
    again = LATTICE.cells_at(*LATTICE.centres(there, "EPSG:4326"))
    if LATTICE.within_zone(there)[0]:
        assert (again.utm_epsg, again.col, again.row) == (there.utm_epsg, there.col, there.row)


def test_places_have_their_utm_zone_and_its_hemisphere() -> None:
    lon = [-120.0001, -119.9999, -114.2, -126.0, 180.0]
    assert utm_epsg_of(lon, 38).tolist() == [32610, 32611, 32611, 32610, 32660]
    assert utm_epsg_of([150.0, 21.7, 21.7], [-34.0, 0.0, -1e-9]).tolist() == [32756, 32634, 32734]


@given(lon=st.floats(141.1, 153.5), lat=st.floats(-37.4, -28.2))
def test_southern_cells_lie_where_their_points_do(lon: float, lat: float) -> None:
    there = cell(lon, lat)
    east, north = pyproj.Transformer.from_crs(4326, int(there.utm_epsg[0]), always_xy=True).transform(lon, lat)
    assert there.utm_epsg[0] // 100 == 327 and 5.8e6 < north < 6.9e6
    assert (there.col[0], there.row[0]) == (east // 320, north // 320)
    lons, lats = LATTICE.centres(there, "EPSG:4326")
    assert abs(lons[0] - lon) < 0.003 and abs(lats[0] - lat) < 0.003
    if LATTICE.within_zone(there)[0]:
        again = LATTICE.cells_at(lons, lats)
        assert again.columns().tolist() == there.columns().tolist()


def test_cells_on_both_sides_of_the_equator_do_not_overlap() -> None:
    cells = Lattice(300).cells_at(np.full(40, 21.0), np.linspace(-0.02, 0.02, 40))  # 300 m cut southern cells there
    kept = Lattice(300).within_zone(cells)
    assert set(cells.utm_epsg[kept]) == {32634, 32734}
    assert (cells.row[~kept] == int(1e7 // 300)).all() and not kept.all()


@settings(max_examples=30, deadline=None)
@given(lat=LATITUDES)
def test_cells_on_both_sides_of_a_zone_border_do_not_overlap(lat: float) -> None:
    lon = np.linspace(-120.012, -119.988, 60)
    cells = LATTICE.cells_at(np.repeat(lon, 12), np.tile(lat + np.linspace(0, 0.02, 12), 60))
    cells = cells.take(LATTICE.within_zone(cells))
    unique = np.unique(np.column_stack([cells.utm_epsg, cells.col, cells.row]), axis=0)
    footprints = LATTICE.footprints(Cells(*unique.T))
    assert len(set(unique[:, 0])) == 2
    first, second = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    shared = shapely.area(shapely.intersection(footprints[first], footprints[second]))[first != second]
    assert shared.max() < 1.0


@settings(max_examples=30, deadline=None)
@given(
    x_m=st.integers(-200_000, 200_000),
    y_m=st.integers(-300_000, 300_000),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_box_gets_every_usable_cell_that_meets_it(x_m: int, y_m: int, share: tuple[float, float]) -> None:
    there = LATTICE.cells_at_albers([x_m + share[0] * 3_000], [y_m + share[1] * 2_000])
    found = LATTICE.cells_within((x_m, y_m, x_m + 3_000, y_m + 2_000))
    assert LATTICE.within_zone(found).all()
    in_box = bool(((found.utm_epsg == there.utm_epsg) & (found.col == there.col) & (found.row == there.row)).any())
    assert in_box == LATTICE.within_zone(there)[0]
    assert len(found) == len(np.unique(np.column_stack([found.utm_epsg, found.col, found.row]), axis=0))
