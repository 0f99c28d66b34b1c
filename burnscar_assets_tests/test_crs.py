import warnings

import pytest
import rasterio.crs
from pyproj import CRS

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError

UNDEFINED_CARTESIAN = 'LOCAL_CS["Undefined Cartesian SRS",UNIT["Meter",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
UNDEFINED_CARTESIAN_2019 = (
    'ENGCRS["Undefined Cartesian SRS with unknown unit",EDATUM["Unknown engineering datum"],CS[Cartesian,2],'
    'AXIS["X",unspecified,ORDER[1],LENGTHUNIT["unknown",0]],AXIS["Y",unspecified,ORDER[2],LENGTHUNIT["unknown",0]]]'
)
UNDEFINED_GEOGRAPHIC = (
    'GEOGCS["Undefined geographic SRS",DATUM["unknown",SPHEROID["unknown",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)
UNRETRIEVABLE = (
    'GEOGCS["unknown",DATUM["unknown",SPHEROID["unretrievable - using WGS84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)
LOCAL = 'LOCAL_CS["unnamed",UNIT["metre",1]]'


@pytest.mark.parametrize("crs", [None, ""])
def test_a_missing_crs_names_what_lacks_it_and_the_remedy(crs: object) -> None:
    with pytest.raises(InputError, match=r"^fires.shp has no coordinate reference system: save it with one \(a shape"):
        usable_crs(crs, "fires.shp")


@pytest.mark.parametrize(
    "crs",
    [
        UNDEFINED_CARTESIAN,
        UNDEFINED_CARTESIAN_2019,
        UNDEFINED_GEOGRAPHIC,
        UNRETRIEVABLE,
        LOCAL,
        CRS(LOCAL),
        "EPSG:5703",
        "EPSG:4978",
        "IAU_2015:30100",
        "no such system",
        "EPSG:999999",
    ],
    ids=str,
)
def test_a_crs_without_a_place_on_earth_gets_the_message_of_a_missing_one(crs: object) -> None:
    with pytest.raises(InputError, match=r"a\.tif has no coordinate reference system.* give a GeoTIFF that has one$"):
        usable_crs(crs, "a.tif", "give a GeoTIFF that has one")


def test_a_local_crs_of_a_raster_is_refused_too() -> None:
    with pytest.raises(InputError, match="has no coordinate reference system that can be used"):
        usable_crs(rasterio.crs.CRS.from_wkt(LOCAL), "a.tif")


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:3310",
        "EPSG:4326",
        "EPSG:4269",
        "EPSG:6349",
        "EPSG:4979",
        "EPSG:2227",
        "ESRI:102039",
        "+proj=utm +zone=11 +ellps=WGS84 +units=m",
        "+proj=sinu +R=6371007.181 +units=m",
        "+proj=longlat +a=6378137 +b=6356752.3",
        "+proj=utm +zone=10 +datum=NAD27 +towgs84=0,0,0",
        rasterio.crs.CRS.from_epsg(32611),
    ],
    ids=str,
)
def test_a_crs_that_can_be_transformed_is_given_back(crs: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert usable_crs(crs, "a file") == CRS.from_user_input(crs)
