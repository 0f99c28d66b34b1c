"""Foreign vector files: what they are is told by content, what they name is neither read nor asked."""

import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from burnscar_assets import vector_files
from burnscar_assets.errors import InputError
from burnscar_assets.vector_files import files_of, format_of, list_layers, read_layer
from burnscar_assets_tests.labels.label_records import frap_fires

KMZ = "kmz/20210722_Beckwourth_IR_perimeter_only.kmz"


@contextmanager
def listening() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine, and who knocked."""
    knocks: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def count() -> None:
            while not done.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                knocks.append(address)
                connection.close()

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield server.getsockname()[1], knocks
        finally:
            done.set()
            thread.join()


def attacks(secret: Path, port: int) -> dict[str, str]:
    """Files that are something else than their names say, and name a file or a server of this machine."""
    here = f"http://127.0.0.1:{port}"
    step = {"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {secret} ! reproject"}
    return {
        "vrt": f'<OGRVRTDataSource><OGRVRTLayer name="firep24_1"><SrcDataSource>{secret}</SrcDataSource>'
        "<SrcLayer>firep24_1</SrcLayer></OGRVRTLayer></OGRVRTDataSource>",
        "vrt of a server": '<OGRVRTDataSource><OGRVRTLayer name="firep24_1"><SrcDataSource>'
        f"/vsicurl/{here}/fires.geojson</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
        "gdalg": json.dumps(step),
        "wfs": f"<OGRWFSDataSource><URL>{here}/wfs</URL></OGRWFSDataSource>",
        "oapif": f"<OGROAPIFDataSource><URL>{here}/api</URL></OGROAPIFDataSource>",
        "capabilities": f'<WFS_Capabilities version="2.0.0"><Get href="{here}/wfs"/></WFS_Capabilities>',
        "oapif json": json.dumps({"links": [{"rel": "data", "href": f"{here}/collections"}]}),
        "link of a page": json.dumps(
            {"exceededTransferLimit": True, "next": f"{here}/2", "links": [{"rel": "next", "href": f"{here}/2"}]}
        ),
        "csv": f'WKT,name\n"POINT (1 1)",{secret}\n',
        "wms": f"<GDAL_WMS><Service name='WMS'><ServerUrl>{here}/wms?</ServerUrl></Service></GDAL_WMS>",
    }


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "private" / "secret.gpkg"
    path.parent.mkdir()
    frap_fires({"FIRE_NAME": "SECRET"}).to_file(path, layer="firep24_1", driver="GPKG")
    return path


@pytest.mark.parametrize("ending", [".geojson", ".gpkg", ".shp", ".json", ".kml"])
def test_what_a_file_names_is_neither_read_nor_asked(ending: str, secret: Path, tmp_path: Path) -> None:
    with listening() as (port, knocks):
        files = []
        for name, content in attacks(secret, port).items():
            files.append(tmp_path / f"{name}{ending}")
            files[-1].write_text(content)
        found = list_layers(files)
        for file, layers in zip(files, found, strict=True):
            assert isinstance(layers, str), f"{file.name} has layers {layers}"
            with pytest.raises(InputError):
                read_layer(file, "firep24_1")
    assert not knocks


def test_a_virtual_table_in_a_database_reads_no_other_file(secret: Path, tmp_path: Path) -> None:
    path = tmp_path / "fires.gpkg"
    frap_fires({}).to_file(path, layer="firep24_1", driver="GPKG")
    with sqlite3.connect(path) as database:
        database.execute("pragma writable_schema = on")
        sql = f"create virtual table stolen using VirtualOGR('{secret}', 0, 'firep24_1')"
        database.execute("insert into sqlite_master values ('table', 'stolen', 'stolen', 0, ?)", (sql,))
        database.execute(
            "insert into gpkg_contents (table_name, data_type, identifier) values ('stolen', 'features', 's')"
        )
    database.close()
    (found,) = list_layers([path])
    names = found if isinstance(found, list) else []
    for name in names:
        try:
            assert "SECRET" not in set(read_layer(path, name).get("FIRE_NAME", []))
        except InputError:
            continue


def test_a_process_that_reads_knows_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("BURNSCAR_TOKEN", "t0ken")
    seen: list[dict[str, str]] = []
    plain = vector_files.subprocess.run

    def run(*arguments: object, **options: object) -> object:
        seen.append(options["env"])
        return plain(*arguments, **options)

    monkeypatch.setattr(vector_files.subprocess, "run", run)
    frap_fires({}).to_file(tmp_path / "fires.gpkg", layer="firep24_1", driver="GPKG")
    assert list_layers([tmp_path / "fires.gpkg"]) == [["firep24_1"]]
    assert len(seen) == 1
    assert not {"s3cret", "t0ken"} & set(seen[0].values())
    assert "GPKG" not in seen[0]["GDAL_SKIP"].split(",") and "GeoJSON" in seen[0]["GDAL_SKIP"].split(",")


def test_bombs_end_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_files, "MEMORY_BYTES", 2**30)
    monkeypatch.setattr(vector_files, "TIME_S", 60)
    nested, wide = tmp_path / "nested.geojson", tmp_path / "wide.geojson"
    polygon = '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":{"type":"Polygon",'
    nested.write_text(polygon + '"coordinates":' + "[" * 100_000 + "]" * 100_000 + "}}]}")
    wide.write_text(polygon + '"coordinates":[[' + "[0,0]," * 12_000_000 + "[0,0]]]}}]}")
    for path in (nested, wide):
        with pytest.raises(InputError, match=r"\w"):
            read_layer(path, path.stem)


@pytest.mark.parametrize("locked", [False, True])
def test_a_geopackage_is_read_with_the_edits_in_its_log(locked: bool, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    path = folder / "fires.gpkg"
    frap_fires({}, {}).to_file(path, layer="firep24_1", driver="GPKG")
    editor = sqlite3.connect(path)
    editor.execute("pragma journal_mode = wal")
    for (trigger,) in editor.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        editor.execute(f'drop trigger "{trigger}"')
    editor.execute("update firep24_1 set FIRE_NAME = 'EDITED' where FIRE_NAME = 'FIRE 1'")
    editor.commit()
    try:
        before = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".gpkg-shm"}
        if locked:
            folder.chmod(0o555)
        assert [file.name for file in files_of(path)] == ["fires.gpkg", "fires.gpkg-wal"]
        assert read_layer(path, "firep24_1")["FIRE_NAME"].tolist() == ["FIRE 0", "EDITED"]
        after = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".gpkg-shm"}
        assert after == before
    finally:
        folder.chmod(0o755)
        editor.close()


def test_a_geopackage_in_wal_mode_on_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "given" / "fires.gpkg"
    path.parent.mkdir()
    frap_fires({}).to_file(path, layer="firep24_1", driver="GPKG")
    with sqlite3.connect(path) as database:
        database.execute("pragma journal_mode = wal")
    database.close()
    path.parent.chmod(0o555)
    try:
        assert files_of(path) == [path]
        assert len(read_layer(path, "firep24_1")) == 1
        assert list(path.parent.iterdir()) == [path]
    finally:
        path.parent.chmod(0o755)


@pytest.mark.parametrize("name", ["fires.kml", "fires.kmz"])
def test_perimeters_of_an_incident_come_as_kml(name: str, tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / name
    frap_fires({})[["FIRE_NAME", "geometry"]].to_crs(4326).to_file(tmp_path / "doc.kml", driver="KML", layer="p")
    if name.endswith("kmz"):
        with zipfile.ZipFile(path, "w") as target:
            target.write(tmp_path / "doc.kml", "doc.kml")
    else:
        (tmp_path / "doc.kml").rename(path)
    ((layer,),) = list_layers([path])
    assert read_layer(path, layer).to_crs(3310).area.sum() == pytest.approx(1e6, rel=1e-3)


def test_a_real_kmz_of_an_infrared_perimeter_is_read(real_data: Path) -> None:
    ((*layers,),) = list_layers([real_data / KMZ])
    shapes = [read_layer(real_data / KMZ, layer).to_crs(3310).geometry for layer in layers]
    burnt_ha = max(shape.area.sum() for shape in shapes) / 1e4
    assert 10_000 < burnt_ha < 60_000, "the Beckwourth Complex"


@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
def test_geoparquet_is_read_however_its_geometry_is_encoded(encoding: str, tmp_path: Path) -> None:
    fires = frap_fires({}, {})
    fires.to_parquet(tmp_path / "fires.parquet", geometry_encoding=encoding)
    assert list_layers([tmp_path / "fires.parquet"]) == [["fires"]]
    found = read_layer(tmp_path / "fires.parquet", "fires")
    assert found.geometry.to_numpy().tolist() == fires.geometry.to_numpy().tolist()
    assert found.crs == fires.crs


def test_parquet_without_geometry_is_a_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"YEAR_": [2020], "FIRE_NAME": ["A"]}), tmp_path / "fires.parquet")
    with pytest.raises(InputError, match=r"a table without geometry, .*\(columns YEAR_, FIRE_NAME\)"):
        read_layer(tmp_path / "fires.parquet", "fires")


@pytest.mark.parametrize(("cpg", "encoding"), [("UTF-8", "cp1252"), ("ISO-8859-1", "UTF-8"), ("nonsense", "UTF-8")])
def test_text_in_another_encoding_than_the_cpg_says_is_read_and_said(cpg: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "firep24_1.shp"
    names = ["CAÑON", "PEÑASQUITOS", "PLAIN"]
    fires = frap_fires({}, {}, {}).assign(FIRE_NAME=names)[["FIRE_NAME", "geometry"]]
    fires.to_file(path, encoding=encoding)
    path.with_suffix(".cpg").write_text(cpg)
    notes: list[str] = []
    assert read_layer(path, "firep24_1", notes)["FIRE_NAME"].tolist() == names
    assert len(notes) == 1 and "layer firep24_1 of firep24_1.shp: its text is" in notes[0]


def test_the_format_is_told_by_content(tmp_path: Path) -> None:
    for name, content, expected in [
        ("a.geojson", b'\xef\xbb\xbf\n {"type": "FeatureCollection"}', "GeoJSON"),
        ("a.gpkg", b"SQLite format 3\0" + bytes(100), "GeoPackage"),
        ("a.txt", b"PAR1....PAR1", "Parquet"),
        ("a.kml", b'<?xml version="1.0"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">', "KML"),
        ("a.gml", b'<?xml version="1.0"?><gml:FeatureCollection>', None),
        ("a.shp", b"\0\0\x27\x0a" + bytes(96), "shapefile"),
        ("a.zip", b"PK\3\4", None),
        ("a.csv", b"a,b\n", None),
        ("empty.gpkg", b"", None),
    ]:
        (tmp_path / name).write_bytes(content)
        assert format_of(tmp_path / name) == expected, name


def test_shapefiles_parts_are_found_whatever_the_case_and_the_letters_of_the_name(tmp_path: Path) -> None:
    for name in ("[a] 1.shp", "[a] 1.DBF", "[a] 1.shp.xml", "[a] 10.shp", "[a] 1.shp.pc.lock"):
        (tmp_path / name).write_bytes(b"x")
    assert {file.name for file in files_of(tmp_path / "[a] 1.shp")} == {"[a] 1.shp", "[a] 1.DBF", "[a] 1.shp.xml"}


def test_geometry_that_geos_does_not_take_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fires.gpkg"
    frap_fires({}, {}).to_file(path, layer="firep24_1", driver="GPKG", SPATIAL_INDEX="NO")
    open_ring = shapely.to_wkb(shapely.box(0, 0, 9, 9), byte_order=1)
    open_ring = open_ring[:9] + (4).to_bytes(4, "little") + open_ring[13:-16]
    with sqlite3.connect(path) as database:
        for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f'drop trigger "{trigger}"')
        blob = b"GP\0\1" + (3310).to_bytes(4, "little") + open_ring
        database.execute("update firep24_1 set geom = ? where fid = 1", (blob,))
    database.close()
    found = read_layer(path, "firep24_1")
    assert isinstance(found, gpd.GeoDataFrame)
    assert found.geometry[0].equals(shapely.box(0, 0, 9, 9))
