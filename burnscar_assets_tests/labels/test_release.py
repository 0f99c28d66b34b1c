import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest

from burnscar_assets.errors import InputError, SourceUnavailableError, StorageError
from burnscar_assets.labels.local_source import hash_local, stamp
from burnscar_assets.labels.release import Release, fetch_release
from burnscar_assets.settings import ReleaseSettings
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires
from burnscar_assets_tests.labels.label_servers import FileSite, serving

Writer = Callable[[gpd.GeoDataFrame, Path], Path]


def _fires() -> gpd.GeoDataFrame:
    return frap_fires({}, {"FIRE_NAME": "PEÑA"}, {"YEAR_": 2019, "CONT_DATE": pd.NaT}, {"INC_NUM": "00000000"})


def _gdb(fires: gpd.GeoDataFrame, folder: Path, **layers: gpd.GeoDataFrame) -> Path:
    path = folder / "fire24_1.gdb"
    for name, frame in ({"firep24_1": fires} | layers).items():
        pyogrio.write_dataframe(frame, path, layer=name, driver="OpenFileGDB", append=path.exists())
    return path


def _gpkg(fires: gpd.GeoDataFrame, folder: Path) -> Path:
    pyogrio.write_dataframe(fires, folder / "any name.gpkg", layer="perimeters")
    return folder / "any name.gpkg"


def _shapefile(fires: gpd.GeoDataFrame, folder: Path) -> Path:
    dates = {n: fires[n].dt.date.astype(object).where(fires[n].notna(), None) for n in ("ALARM_DATE", "CONT_DATE")}
    pyogrio.write_dataframe(fires.assign(**dates), folder / "firep24_1.shp", encoding="UTF-8", use_arrow=True)
    return folder / "firep24_1.shp"


def _parquet(fires: gpd.GeoDataFrame, folder: Path) -> Path:
    fires.to_parquet(folder / "fires.parquet")
    return folder / "fires.parquet"


def _geojson(fires: gpd.GeoDataFrame, folder: Path) -> Path:
    pyogrio.write_dataframe(fires.to_crs(4326), folder / "fires.geojson", COORDINATE_PRECISION=12)
    return folder / "fires.geojson"


def _zipped(path: Path, *, with_folder: bool = True) -> Path:
    archive = path.with_name("fire241gdb.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*")):
            if file.suffix != ".zip":
                target.write(file, file.relative_to(path.parent if with_folder else path))
    return archive


def _fetch(source: Path | str, root: DataRoot, **changes: Any) -> Release:
    return fetch_release(ReleaseSettings(source=str(source), **{"retries": 0, **changes}), root)


def _tree(folder: Path) -> dict[str, str]:
    """Hash of each file, but for locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hash_file(path) for path in files}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("write", [_gdb, _gpkg, _shapefile, _parquet, _geojson])
def test_every_format_gives_the_same_records(tmp_path: Path, root: DataRoot, write: Writer, zipped: bool) -> None:
    expected = _fetch(_gdb(_fires(), tmp_path), root)
    folder = tmp_path / "other"
    folder.mkdir()
    path = write(_fires(), folder)
    found = _fetch(_zipped(path) if zipped else path, root)
    columns = RELEASE_RECORDS.column_names[:-1]
    pd.testing.assert_frame_equal(pd.DataFrame(found.records[columns]), pd.DataFrame(expected.records[columns]))
    assert found.records.geometry.hausdorff_distance(expected.records.geometry).max() < 0.01
    assert found.info.fires == 4
    assert found.info.fires_by_year == {2019: 1, 2020: 3}


def test_layers_and_release_number_are_detected(tmp_path: Path, root: DataRoot) -> None:
    burns = frap_fires({}, {"YEAR_": None})
    legacy = frap_fires({})
    path = _gdb(_fires(), tmp_path, rxburn24_1=burns, Non_RXFire_Legacy13_2=legacy)
    info = _fetch(path, root).info
    assert (info.fire_layer, info.prescribed_layer, info.release_number) == ("firep24_1", "rxburn24_1", 24)
    assert (info.fires, info.prescribed, info.undated) == (4, 2, 0)
    chosen = _fetch(path, root, fire_layer="rxburn24_1", prescribed_layer="Non_RXFire_Legacy13_2").info
    assert (chosen.fires, chosen.prescribed, chosen.undated) == (2, 1, 1)
    with pytest.raises(InputError, match=r"no layer 'firep23_1' \(release\.fire_layer\).*firep24_1, rxburn24_1"):
        _fetch(path, root, fire_layer="firep23_1")


def test_a_filegdb_zipped_without_its_folder(tmp_path: Path, root: DataRoot) -> None:
    assert _fetch(_zipped(_gdb(_fires(), tmp_path), with_folder=False), root).info.fires == 4


def test_a_relative_source_lies_under_the_data_root(root: DataRoot) -> None:
    root.simulated.mkdir(parents=True)
    _parquet(_fires(), root.simulated)
    assert _fetch("simulated/fires.parquet", root).info.fires == 4
    with pytest.raises(InputError, match=r"no perimeters at .*nowhere\.zip.*release\.source"):
        _fetch("nowhere.zip", root)


def test_a_zip_in_the_zip_that_is_passed_over_is_noted_each_time(tmp_path: Path, root: DataRoot) -> None:
    archive = _zipped(_gdb(_fires(), tmp_path))
    with zipfile.ZipFile(archive, "a") as target:
        target.writestr("older.zip", b"PK no zip")
    for _ in range(2):
        release = _fetch(archive, root)
        assert release.info.fires == 4
        assert any(note.startswith("older.zip was passed over: it is not a zip") for note in release.info.notes)


def test_a_zip_is_unpacked_once_and_again_if_damaged(tmp_path: Path, root: DataRoot) -> None:
    archive = _zipped(_gdb(_fires(), tmp_path))
    first = _fetch(archive, root)
    folder = root.releases / hash_file(archive)[:16]
    before = folder.stat().st_mtime_ns
    assert _fetch(archive, root).info == first.info
    assert folder.stat().st_mtime_ns == before
    next(folder.rglob("a00000001.gdbtable")).write_bytes(b"cut short")
    assert _fetch(archive, root).info.fires == 4


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_truncated_zip_leaves_what_was_there(tmp_path: Path, root: DataRoot, keep: float) -> None:
    archive = _zipped(_gdb(_fires(), tmp_path))
    _fetch(archive, root)
    before = _tree(root.path)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * keep)])
    with pytest.raises(InputError, match=r"fire241gdb\.zip.*zip"):
        _fetch(archive, root)
    assert _tree(root.path) == before


def test_a_download_is_kept_and_not_fetched_twice(tmp_path: Path, root: DataRoot) -> None:
    archive = _zipped(_gdb(_fires(), tmp_path))
    site = FileSite(archive.read_bytes(), cuts=[1000])
    with serving(site) as address:
        url = f"{address}/2025/fire241gdb.ashx?rev=51177a"
        first = _fetch(url, root, retries=1)
        sent = site.sent
        again = _fetch(url, root)
    assert site.sent == sent
    assert again.info == first.info
    assert (first.info.kind, first.info.sha256, first.info.release_number) == ("zip_url", hash_file(archive), 24)
    kept = Path(str(first.info.path))
    assert kept.parent == root.releases / hash_file(archive)[:16]
    assert hash_file(kept) == first.info.sha256
    assert sorted(p.suffix for p in (root.releases / "sources").iterdir()) == [".json", ".lock"]


def test_a_new_version_is_fetched_and_the_old_one_stays(tmp_path: Path, root: DataRoot) -> None:
    site = FileSite(_zipped(_gdb(_fires(), tmp_path)).read_bytes())
    with serving(site) as address:
        old = _fetch(f"{address}/fire.zip", root)
        shutil.rmtree(tmp_path / "fire24_1.gdb")
        site.body, site.etag = _zipped(_gdb(_fires().iloc[:2], tmp_path)).read_bytes(), '"v2"'
        assert _fetch(f"{address}/fire.zip", root).info.fires == 2
    assert Path(str(old.info.path)).exists()


def test_a_wiped_store_is_fetched_again(tmp_path: Path, root: DataRoot) -> None:
    with serving(FileSite(_zipped(_gdb(_fires(), tmp_path)).read_bytes())) as address:
        first = _fetch(f"{address}/fire.zip", root)
        shutil.rmtree(Path(str(first.info.path)).parent)
        assert _fetch(f"{address}/fire.zip", root).info.fires == 4


def test_what_is_no_release_leaves_what_was_there(tmp_path: Path, root: DataRoot) -> None:
    good = _zipped(_gdb(_fires(), tmp_path)).read_bytes()
    site = FileSite(good)
    with serving(site) as address:
        url = f"{address}/fire.zip"
        _fetch(url, root)
        before = _tree(root.path)
        site.body, site.etag, site.content_type = b"<html>Access denied</html>", '"v2"', "text/html"
        with pytest.raises(InputError, match=r"not a zip.*release\.user_agent"):
            _fetch(url, root)
        site.body, site.etag = good[:-400], '"v3"'
        with pytest.raises(InputError, match="truncated"):
            _fetch(url, root)
        assert _tree(root.path) == before
        site.body, site.etag = good, '"v1"'
        assert _fetch(url, root).info.fires == 4
    with pytest.raises(SourceUnavailableError, match=r"A copy of .* is at .*archive\.zip"):
        _fetch(url, root)
    assert _tree(root.path) == before


def test_an_unwritable_data_root_is_one_clear_error(tmp_path: Path) -> None:
    archive = _zipped(_gdb(_fires(), tmp_path))
    if not Path("/sys/kernel").is_dir():
        pytest.skip("no unwritable folder to be had here")
    with pytest.raises(StorageError, match=r"cannot write .*BURNSCAR_DATA"):
        _fetch(archive, DataRoot(Path("/sys/kernel/burnscar")))


def test_a_layer_without_crs_is_refused(tmp_path: Path, root: DataRoot) -> None:
    shapefile = _shapefile(_fires(), tmp_path)
    shapefile.with_suffix(".prj").unlink()
    with pytest.raises(InputError, match=r"layer firep24_1 of firep24_1\.shp has no coordinate reference system"):
        _fetch(shapefile, root)
    _fires().set_crs(None, allow_override=True).to_parquet(tmp_path / "bare.parquet")
    with pytest.raises(InputError, match="no coordinate reference system"):
        _fetch(tmp_path / "bare.parquet", root)


def test_dates_that_are_text_are_refused(tmp_path: Path, root: DataRoot) -> None:
    path = _gpkg(_fires().assign(CONT_DATE="end of August"), tmp_path)
    with pytest.raises(InputError, match=r"layer perimeters of any name\.gpkg: field CONT_DATE holds 'end of August'"):
        _fetch(path, root)


def test_an_archive_without_perimeters_says_what_it_holds(tmp_path: Path, root: DataRoot) -> None:
    archive = tmp_path / "papers.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("readme.txt", "no map in here")
    with pytest.raises(InputError, match=r"papers\.zip holds no FileGDB, GeoPackage"):
        _fetch(archive, root)
    pyogrio.write_dataframe(frap_fires({}), tmp_path / "roads.gpkg", layer="roads")
    pyogrio.write_dataframe(frap_fires({}), tmp_path / "roads.gpkg", layer="rivers", append=True)
    with pytest.raises(InputError, match=r"no layer of fire perimeters .*layers found: rivers, roads.*fire_layer"):
        _fetch(tmp_path / "roads.gpkg", root)


@pytest.mark.parametrize("name", ["fires.gpkg", "fires.parquet", "fires.geojson", "fires.shp"])
def test_a_damaged_file_is_named(tmp_path: Path, root: DataRoot, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is nothing of the kind" * 10)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        _fetch(tmp_path / name, root)


def test_the_content_hash_ignores_the_order_of_the_rows(tmp_path: Path, root: DataRoot) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = _fetch(_gdb(_fires(), tmp_path / "a"), root).records
    other = _fetch(_gdb(_fires().iloc[::-1], tmp_path / "b"), root).records
    assert RELEASE_RECORDS.content_hash(one) == RELEASE_RECORDS.content_hash(other)


@pytest.mark.real_data
def test_frap_release_24(real_data: Path, root: DataRoot) -> None:
    release = _fetch(real_data / "frap" / "fire241gdb.zip", root)
    info = release.info
    assert (info.fire_layer, info.prescribed_layer, info.release_number) == ("firep24_1", None, 24)
    assert info.fires == 1001
    assert [info.fires_by_year[year] for year in range(2015, 2022)] == [46, 62, 89, 41, 22, 43, 20]
    assert (min(info.fires_by_year), max(info.fires_by_year)) == (1984, 2021)
    ratio = release.records.geometry.area / 10_000 / release.records["reported_area_ha"]
    assert ratio.mean() == pytest.approx(0.9995, abs=0.001)
    assert ratio.std() < 0.009
    assert 0.01 < (~release.records.geometry.is_valid).mean() < 0.03
    json.dumps(info.__dict__)


@pytest.mark.real_data
def test_a_filegdb_that_lost_tables(real_data: Path, root: DataRoot) -> None:
    with pytest.raises(InputError) as caught:
        _fetch(real_data / "frap" / "fire19_1_incomplete.gdb.zip", root)
    for part in ("layers found: Non_RXFire_Legacy13_2", "incomplete", "lists firep19_1, rxburn19_1", "missing"):
        assert part in str(caught.value)


def test_what_holds_no_features_is_passed_over_and_said(tmp_path: Path, root: DataRoot) -> None:
    folder = tmp_path / "perimeters"
    folder.mkdir()
    _shapefile(_fires(), folder)
    (folder / "metadata.json").write_text('{"title": "Fire perimeters"}')
    (folder / "old.gpkg").write_bytes(b"no database")
    (folder / "notes.parquet").write_bytes(b"PAR1")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "firep25_1.shp").write_bytes(b"\0\5\x16\7")
    info = _fetch(folder, root).info
    assert (info.fires, info.fire_layer) == (4, "firep24_1")
    passed_over = [note.split(":")[0] for note in info.notes]
    assert passed_over == ["metadata.json is passed over", "old.gpkg is passed over"]


def test_edits_that_are_still_in_a_geopackages_log_are_read(tmp_path: Path, root: DataRoot) -> None:
    path = _gpkg(_fires(), tmp_path)
    before = _fetch(path, root).info.sha256
    stamped, hashed = stamp(path), hash_local(path)
    editor = sqlite3.connect(path)
    try:
        editor.execute("pragma journal_mode = wal")
        for (trigger,) in editor.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            editor.execute(f'drop trigger "{trigger}"')
        editor.execute("update perimeters set FIRE_NAME = 'EDITED' where FIRE_NAME = 'FIRE 0'")
        editor.commit()
        edited = _fetch(path, root)
        assert "EDITED" in set(edited.records["fire_name"])
        assert edited.info.sha256 != before
        assert (stamp(path).digest, hash_local(path)) != (stamped.digest, hashed)
        assert stamp(path).files == 2
    finally:
        editor.close()


def test_an_incidents_kmz_is_no_release_and_that_is_said(real_data: Path, root: DataRoot) -> None:
    with pytest.raises(InputError, match=r"no layer of fire perimeters|lacks YEAR_"):
        _fetch(next((real_data / "kmz").glob("*.kmz")), root)


def test_parquet_without_geometry_is_no_damaged_file(tmp_path: Path, root: DataRoot) -> None:
    pd.DataFrame(_fires().drop(columns="geometry")).to_parquet(tmp_path / "firep24_1.parquet")
    with pytest.raises(InputError, match="a table without geometry") as caught:
        _fetch(tmp_path / "firep24_1.parquet", root)
    assert "get the file again" not in str(caught.value)
