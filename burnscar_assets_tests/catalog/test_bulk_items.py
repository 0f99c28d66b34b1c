import math
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rslearn.config import QueryConfig, SpaceMode
from rslearn.data_sources.planetary_computer import PlanetaryComputerStacClient
from rslearn.data_sources.stac import AxisAlignedStacDataSource, StacDataSource
from rslearn.utils.geometry import WGS84_PROJECTION, Projection, STGeometry

from burnscar_assets.catalog.archive import CogArchive
from burnscar_assets.catalog.bulk_items import SearchOptions, get_items_in_bulk, search_in_parts
from burnscar_assets.catalog.index_client import IndexClient
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets_tests.catalog.stac_server import StacService, serve_stac

BEGIN = datetime(2022, 6, 1, tzinfo=UTC)
CLOUD = "eo:cloud_cover"
ZONE_10 = Projection(CRS.from_epsg(32610), 10, -10)
ZONE_11 = Projection(CRS.from_epsg(32611), 10, -10)
AT_ONCE = SearchOptions(retries=3, retry_backoff_s=0)


def stac_item(
    name: str, shape: shapely.Geometry, time: datetime, cloud: float | None, **assets: bool
) -> dict[str, Any]:
    properties = {"datetime": time.isoformat().replace("+00:00", "Z"), "s2:processing_baseline": "05.00"}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "collection": "sentinel-2-l2a",
        "id": name,
        "geometry": shapely.geometry.mapping(shape),
        "bbox": list(shape.bounds),
        "properties": properties | ({} if cloud is None else {CLOUD: cloud}),
        "links": [],
        "assets": {key: {"href": f"http://127.0.0.1/{name}/{key}.tif"} for key in assets or {"B02": True}},
    }


def tilted(west: float, south: float, width: float, height: float, lean: float) -> shapely.Polygon:
    """A granule's outline, leaning as those of Sentinel-2 do."""
    return shapely.Polygon(
        [
            (west, south),
            (west + width, south + lean),
            (west + width - lean, south + height),
            (west - lean, south + height - lean),
        ]
    )


def window(east: float, north: float, size: int, times: tuple[datetime, datetime] | None) -> STGeometry:
    """A window by its longitude and latitude, in its own zone."""
    projection = ZONE_10 if east < -120 else ZONE_11
    spot = STGeometry(WGS84_PROJECTION, shapely.Point(east, north), None).to_projection(projection).shp
    x, y = math.floor(spot.x), math.floor(spot.y)
    return STGeometry(projection, shapely.box(x, y, x + size, y + size), times)


def told(groups: list[Any]) -> list[Any]:
    """Item groups as they can be compared and read."""
    return [[([item.name for item in group.items], group.request_time_range) for group in one] for one in groups]


def stac_source(service: StacService, kind: type[StacDataSource] = StacDataSource, **arguments: Any) -> StacDataSource:
    return kind(service.url, "sentinel-2-l2a", properties_to_record=[CLOUD], **arguments)


scenes = st.lists(
    st.builds(
        tilted,
        st.floats(-121.0, -119.2),
        st.floats(37.0, 38.2),
        st.sampled_from([0.02, 0.3, 1.2]),
        st.sampled_from([0.02, 0.3, 1.0]),
        st.sampled_from([0.0, 0.001, 0.1]),
    ),
    min_size=1,
    max_size=30,
)
days = st.sampled_from([0, 1, 3, 10, 10.5, 20, 30, 45, 100])
clouds = st.sampled_from([None, 0, 5, 5, 30, 70, 100])
spots = st.tuples(
    st.floats(-121.0, -119.2),
    st.floats(37.0, 38.2),
    st.sampled_from([8, 32, 128, 3000]),
    days,
    st.sampled_from([5, 30, 60]),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[STGeometry]]:
    shapes = draw(scenes)
    items = [
        stac_item(f"s{number:02}", shape, BEGIN + timedelta(days=draw(days)), draw(clouds))
        for number, shape in enumerate(shapes)
    ]
    corners = [corner for shape in shapes for corner in shape.exterior.coords]
    places = draw(st.lists(spots, min_size=1, max_size=25))
    windows = []
    for east, north, size, start, length in places:
        begin = BEGIN + timedelta(days=start)
        windows.append(window(east, north, size, (begin, begin + timedelta(days=length))))
        along = draw(st.floats(0, 1))
        one, other = (np.array(draw(st.sampled_from(corners))) for _ in range(2))
        edge = (one + (other - one) * along).tolist()
        windows.append(window(edge[0], edge[1], size, (begin, begin + timedelta(days=length))))
    return items, windows


queries = st.builds(
    QueryConfig,
    space_mode=st.sampled_from(list(SpaceMode)),
    max_matches=st.sampled_from([1, 2, 5]),
    min_matches=st.sampled_from([0, 2]),
    period_duration=st.sampled_from([None, timedelta(days=10), timedelta(days=30)]),
    mosaic_compositing_overlaps=st.sampled_from([1, 3]),
    per_period_mosaic_reverse_time_order=st.booleans(),
)
orders = st.fixed_dictionaries({"sort_by": st.sampled_from([None, CLOUD]), "sort_ascending": st.booleans()})
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@many
@given(worlds(), queries, orders, st.booleans(), st.booleans(), st.sampled_from(["POST", "GET"]))
def test_every_window_gets_what_rslearn_gives_it(
    world: tuple[list[dict[str, Any]], list[STGeometry]],
    query: QueryConfig,
    order: dict[str, Any],
    clear: bool,
    axis_aligned: bool,
    link_method: str,
) -> None:
    items, windows = world
    if order["sort_by"]:
        for item in items:
            item["properties"].setdefault(CLOUD, 50)
    kind = AxisAlignedStacDataSource if axis_aligned else StacDataSource
    with serve_stac(items, most=7, link_method=link_method) as service:
        arguments = order | {"query": {CLOUD: {"lte": 60}} if clear else None, "required_assets": ["B02"]}
        expected = stac_source(service, kind, **arguments).get_items(windows, query)
        asked = len(service.searches)
        found = get_items_in_bulk(stac_source(service, kind, **arguments), windows, query)
        assert told(found) == told(expected)
        assert len(service.searches) - asked <= asked


@pytest.mark.filterwarnings("ignore::FutureWarning")
@many
@given(worlds(), queries, orders, st.sampled_from([None, 60]))
def test_an_index_gives_what_rslearn_gives_too(
    tmp_path_factory: pytest.TempPathFactory,
    world: tuple[list[dict[str, Any]], list[STGeometry]],
    query: QueryConfig,
    order: dict[str, Any],
    limit: float | None,
) -> None:
    items, windows = world
    index = tmp_path_factory.mktemp("archive") / "index.parquet"
    write_index(items, index)
    source = CogArchive(str(index), max_cloud_cover=limit, **order)
    source.client = IndexClient(str(index), ["B02"], {}, limit)
    assert told(get_items_in_bulk(source, windows, query)) == told(source.get_items(windows, query))


def granules(days_of_year: range = range(0, 120, 5)) -> list[dict[str, Any]]:
    """A season over northern California: granules side by side, overlapping, every five days."""
    rng = np.random.default_rng(3)
    return [
        stac_item(f"{column}{row}-{day:03}", tilted(west, south, 1.24, 0.99, 0.012), BEGIN + timedelta(days=day), cloud)
        for column, west in enumerate(np.arange(-123.5, -117, 1.12).tolist())
        for row, south in enumerate(np.arange(36, 41, 0.9).tolist())
        for day in days_of_year
        for cloud in [float(rng.integers(0, 100))]
    ]


def windows_of_fires(fires: int, each: int) -> list[STGeometry]:
    """Windows around fires: most of them near, some in the land around."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(fires):
        begin = BEGIN + timedelta(days=float(rng.integers(0, 90)))
        east, north = rng.uniform(-123, -117.5), rng.uniform(36.3, 40.7)
        spread = np.where(rng.random(each) < 0.8, 0.05, 0.3)
        for de, dn in (rng.normal(size=(each, 2)) * spread[:, None]).tolist():
            found.append(window(east + de, north + dn, 32, (begin, begin + timedelta(days=30))))
    return found


def test_two_thousand_windows_of_forty_fires_take_few_requests() -> None:
    windows = windows_of_fires(40, 50)
    arguments: dict[str, Any] = {"sort_by": CLOUD, "query": {CLOUD: {"lte": 60}}}
    with serve_stac(granules(), most=100) as service:
        source = stac_source(service, **arguments)
        parts = list(search_in_parts(source, windows, QueryConfig()))
        assert sorted(i for part in parts for i in part.positions) == list(range(2000))
        assert len(service.bodies) <= 40
        found = {i: groups for part in parts for i, groups in zip(part.positions, part.groups, strict=True)}
        chosen = list(range(0, 2000, 40))
        expected = stac_source(service, **arguments).get_items([windows[i] for i in chosen], QueryConfig())
    assert told([found[i] for i in chosen]) == told(expected)
    assert sum(bool(groups) for groups in found.values()) > 1900


def test_long_lists_are_split_so_that_ties_stand_as_rslearn_has_them() -> None:
    # Planetary Computer's client orders lists of a thousand scenes and more by id, shorter ones by time.
    shape = tilted(-121, 37, 1.24, 0.99, 0.012)
    times = [BEGIN + timedelta(hours=6 * number) for number in range(1300)]
    items = [stac_item(f"{number * 7919 % 1300:04}", shape, time, 5) for number, time in enumerate(times)]
    windows = [
        window(-120.5, 37.5, 32, (BEGIN + timedelta(days=day), BEGIN + timedelta(days=day + 30)))
        for day in range(0, 300, 5)
    ]
    query = QueryConfig(space_mode=SpaceMode.INTERSECTS, max_matches=3)
    with serve_stac(items) as service:
        source = stac_source(service, sort_by=CLOUD, limit=1000)
        source.client = PlanetaryComputerStacClient(service.url)
        expected = told(source.get_items(windows, query))
        service.bodies.clear()
        assert told(get_items_in_bulk(source, windows, query)) == expected
        assert len(service.bodies) < 30


def test_a_window_across_the_antimeridian_has_a_search_of_its_own() -> None:
    projection = Projection(CRS.from_epsg(32601), 10, -10)
    edge = STGeometry(WGS84_PROJECTION, shapely.Point(-180, 52), None).to_projection(projection).shp
    times = (BEGIN, BEGIN + timedelta(days=30))
    windows = [
        STGeometry(projection, shapely.box(x, round(edge.y), x + 64, round(edge.y) + 64), times)
        for x in (round(edge.x) - 32, round(edge.x) + 500)
    ]
    east, west = shapely.box(179.2, 51.5, 180, 52.5), shapely.box(-180, 51.5, -179.3, 52.5)
    items = [stac_item(name, shape, BEGIN + timedelta(days=1), 5) for name, shape in (("e", east), ("w", west))]
    items.append(stac_item("both", shapely.MultiPolygon([east, west]), BEGIN + timedelta(days=2), 5))
    query = QueryConfig(space_mode=SpaceMode.MOSAIC, max_matches=3)
    with serve_stac(items) as service:
        source = stac_source(service)
        expected = told(source.get_items(windows, query))
        assert told(get_items_in_bulk(source, windows, query)) == expected
        assert [len(groups) for groups in expected] == [2, 2]


def test_a_scene_that_does_not_say_what_scenes_are_sorted_by_comes_last() -> None:
    times = (BEGIN, BEGIN + timedelta(days=30))
    there = window(-120.5, 37.5, 32, times)
    away = window(-120.5, 38.3, 32, times)
    good = stac_item("good", tilted(-121, 37, 1.2, 0.9, 0), BEGIN + timedelta(days=1), 5)
    unsortable = stac_item("unsortable", tilted(-121, 38, 1.2, 0.9, 0), BEGIN + timedelta(days=1), None)
    with serve_stac([good, unsortable]) as service:
        source = stac_source(service, sort_by=CLOUD)
        assert told(get_items_in_bulk(source, [there, there], QueryConfig())) == [[(["good"], times)]] * 2
        assert told(get_items_in_bulk(source, [there, away], QueryConfig(), AT_ONCE)) == [
            [(["good"], times)],
            [(["unsortable"], times)],
        ]


def test_sources_with_ways_of_their_own_are_asked_in_batches() -> None:
    class Own(StacDataSource):
        asked: ClassVar[list[int]] = []

        def get_items(self, geometries: list[STGeometry], query_config: QueryConfig) -> list[list[Any]]:
            self.asked.append(len(geometries))
            return [[] for _ in geometries]

    windows = windows_of_fires(1, 300)
    assert get_items_in_bulk(Own("http://nowhere", "c"), windows, QueryConfig()) == [[]] * 300
    assert Own.asked == [128, 128, 44]
    assert get_items_in_bulk(Own("http://nowhere", "c"), [], QueryConfig()) == []


@pytest.mark.parametrize("failure", [500, 503, 0, (200, {"Content-Type": "text/html"})])
def test_a_page_that_fails_is_asked_for_again(failure: Any) -> None:
    windows = windows_of_fires(1, 3)
    with serve_stac(granules(range(0, 120, 5)), most=5) as service:
        expected = told(stac_source(service).get_items(windows, QueryConfig()))
        service.bodies.clear()
        service.failing += [failure, failure]
        assert told(get_items_in_bulk(stac_source(service), windows, QueryConfig(), AT_ONCE)) == expected
        assert len(service.searches) == 3


def test_a_service_that_stays_away_is_named() -> None:
    with serve_stac([], failing=[503] * 4) as service:
        source = stac_source(service)
        with pytest.raises(SourceUnavailableError, match=rf"{service.url[7:]}.*HTTP 503.*4 tries"):
            get_items_in_bulk(source, windows_of_fires(1, 3), QueryConfig(), AT_ONCE)
        assert len(service.bodies) == 4


def test_a_search_that_the_service_refuses_is_not_repeated() -> None:
    with serve_stac([], failing=[400]) as service:
        with pytest.raises(InputError, match="HTTP 400"):
            get_items_in_bulk(stac_source(service), windows_of_fires(1, 3), QueryConfig(), AT_ONCE)
        assert len(service.bodies) == 1
