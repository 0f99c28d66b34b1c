import math
import sqlite3
import struct
import warnings
from pathlib import Path

import pyogrio
import pytest

from burnscar_assets.errors import InputError
from burnscar_assets.labels.layers import find_layers, read_layer
from burnscar_assets.settings import ReleaseSettings
from burnscar_assets_tests.labels.label_records import frap_fires
from burnscar_assets_tests.test_crs import LOCAL, UNDEFINED_GEOGRAPHIC

SETTINGS = ReleaseSettings(source="x")


def _circle(radius_m: float) -> bytes:
    """A GeoPackage blob of a curve polygon: one circular string of four arcs' ends and middles."""
    points = [(-radius_m, 0), (0, radius_m), (radius_m, 0), (0, -radius_m), (-radius_m, 0)]
    ring = struct.pack("<BII", 1, 8, len(points)) + b"".join(struct.pack("<dd", *point) for point in points)
    return b"GP" + struct.pack("<BBi", 0, 1, 3310) + struct.pack("<BII", 1, 10, 1) + ring


def test_curves_become_polygons(tmp_path: Path) -> None:
    path = tmp_path / "fires.gpkg"
    pyogrio.write_dataframe(frap_fires({}), path, layer="firep24_1", SPATIAL_INDEX="NO")
    with sqlite3.connect(path) as database:
        for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f'drop trigger "{trigger}"')
        database.execute("update firep24_1 set geom = ?", (_circle(500.0),))
        database.execute("update gpkg_geometry_columns set geometry_type_name = 'CURVEPOLYGON'")
    database.close()
    shape = read_layer(find_layers(path, SETTINGS, path.name).fires[0]).geometry[0]
    assert shape.geom_type == "Polygon"
    assert shape.area == pytest.approx(math.pi * 500**2, rel=1e-3)


def test_of_several_releases_in_one_file_the_highest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fires.gpkg"
    for name in ("FIREP25_1", "firep9_1", "firep24_1", "rxburn25_1"):
        pyogrio.write_dataframe(frap_fires({}), path, layer=name, append=path.exists())
    layers = find_layers(path, SETTINGS, path.name)
    assert (layers.fires[0].name, layers.release_number) == ("FIREP25_1", 25)
    assert layers.prescribed is not None
    assert layers.prescribed.name == "rxburn25_1"


def test_what_a_mac_adds_to_a_folder_is_passed_over(tmp_path: Path) -> None:
    pyogrio.write_dataframe(frap_fires({}), tmp_path / "firep24_1.shp")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._firep24_1.shp").write_bytes(b"\0\5\x16\7")
    assert find_layers(tmp_path, SETTINGS, "fires.zip").fires[0].name == "firep24_1"


def test_shapefiles_side_by_side_are_layers(tmp_path: Path) -> None:
    for name in ("rxburn23_1", "firep23_1"):
        fires = frap_fires({}).drop(columns=["ALARM_DATE", "CONT_DATE"])
        pyogrio.write_dataframe(fires, tmp_path / f"{name}.shp")
    layers = find_layers(tmp_path, SETTINGS, "fires")
    assert layers.fires[0].name == "firep23_1"
    assert layers.prescribed is not None


def test_a_lone_layer_of_prescribed_burns_is_not_taken_for_wildfires(tmp_path: Path) -> None:
    path = tmp_path / "burns.gpkg"
    pyogrio.write_dataframe(frap_fires({}), path, layer="rxburn24_1")
    with pytest.raises(InputError, match="layers found: rxburn24_1"):
        find_layers(path, SETTINGS, path.name)


def test_a_table_without_geometry_is_no_layer(tmp_path: Path) -> None:
    path = tmp_path / "fires.gpkg"
    pyogrio.write_dataframe(frap_fires({}).drop(columns="geometry"), path, layer="firep24_1")
    with pytest.raises(InputError, match="layers found: none"):
        find_layers(path, SETTINGS, path.name)


@pytest.mark.parametrize("crs", [None, LOCAL, UNDEFINED_GEOGRAPHIC])
def test_a_crs_without_a_place_on_earth_is_told_as_a_missing_one(crs: str | None, tmp_path: Path) -> None:
    path = tmp_path / "fires.gpkg"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyogrio.write_dataframe(frap_fires({}).set_crs(crs, allow_override=True), path, layer="firep24_1")
    with pytest.raises(InputError, match=r"layer firep24_1 of fires\.gpkg has no coordinate reference system.*3310"):
        read_layer(find_layers(path, SETTINGS, path.name).fires[0], source=SETTINGS.label_source)
