import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rslearn.config import QueryConfig, SpaceMode
from rslearn.data_sources.stac import AxisAlignedStacDataSource, StacDataSource
from rslearn.data_sources.planetary_computer import PlanetaryComputerStacClient
from rslearn.utils.geometry import WGS84_PROJECTION, Projection, STGeometry

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.imagery.archive import CogArchive
from burnscar_assets.imagery.bulk_items import SearchOptions, get_items_in_bulk, search_in_parts
from burnscar_assets.imagery.index_client import IndexClient
from burnscar_assets.imagery.stac_index import write_index
from burnscar_assets_tests.imagery.stac_server import StacService, serve_stac

BEGIN = datetime(2022, 6, 1, tzinfo=UTC)
CLOUD = "eo:cloud_cover"
ZONE_10 = Projection(CRS.from_epsg(32610), 10, -10)
ZONE_11 = Projection(CRS.from_epsg(32611), 10, -10)
AT_ONCE = SearchOptions(retries=3, retry_backoff_s=0)


def stac_item(name: str, shape: shapely.Geometry, time: datetime, cloud: float | None, **assets: bool) -> dict[str, Any]:
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
        [(west, south), (west + width, south + lean), (west + width - lean, south + height), (west - lean, south + height - lean)]
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
    st.floats(-121.0, -119.2), st.floats(37.0, 38.2), st.sampled_from([8, 32, 128, 3000]), days, st.sampled_from([5, 30, 60])
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
        east, north = one + (other - one) * along
        windows.append(window(float(east), float(north), size, (begin, begin + timedelta(days=length))))
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
