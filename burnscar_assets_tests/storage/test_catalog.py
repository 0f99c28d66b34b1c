"""SQL sees every table as it lies there now, and can neither write nor read anything else."""

from contextlib import closing
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import shapely

from burnscar_assets.errors import InputError
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.catalog import connect, query
from burnscar_assets.storage.contracts import ALL_TABLES, FIRE_PERIMETERS, SAMPLE_LOSSES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, write_table
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

COUNT = "select fire_year, count(*) as n from sample_losses group by 1 order by 1"


def losses(year: int, rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "fire_year": year,
            "fire_id": [f"f{n}" for n in range(rows)],
            "stratum": "ring",
            "reason": "capped",
            "points": 1,
        }
    )


@pytest.fixture
def filled(root: DataRoot) -> DataRoot:
    from burnscar_assets.storage.contracts import PREDICTIONS

    for year, rows in ((2020, 3), (2021, 5)):
        write_table(root, SAMPLE_LOSSES, losses(year, rows), year)
    write_table(root, PREDICTIONS, make_predictions(fires=2), 2021)
    (root.path / "secret.txt").write_text("secret")
    return root


def counts(root: DataRoot) -> dict[int, int]:
    return dict(query(root, COUNT).itertuples(index=False, name=None))


def test_fire_years_are_counted_once_each(filled: DataRoot) -> None:
    assert counts(filled) == {2020: 3, 2021: 5}
    assert list(query(filled, "select * from sample_losses").columns) == SAMPLE_LOSSES.column_names


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.name)
def test_a_table_has_the_same_columns_empty_and_written(table: Table, root: DataRoot) -> None:
    def described() -> dict[str, str]:
        rows = query(root, f"describe {table.name}")
        return {n: t.split("(")[0] for n, t in zip(rows["column_name"], rows["column_type"], strict=True)}

    absent = described()
    write_table(root, table, table.empty(), 2021)
    assert list(absent) == table.column_names and described() == absent


def test_an_unpartitioned_table_is_read(root: DataRoot) -> None:
    write_table(root, SAMPLE_LOSSES, losses(2021, 2), None)
    assert counts(root) == {2021: 2}


def test_an_open_connection_sees_what_was_written_since(filled: DataRoot) -> None:
    with closing(connect(filled)) as connection:
        assert connection.sql(COUNT).fetchall() == [(2020, 3), (2021, 5)]
        write_table(filled, SAMPLE_LOSSES, losses(2021, 50), 2021)
        write_table(filled, SAMPLE_LOSSES, losses(2022, 1), 2022)
        assert connection.sql(COUNT).fetchall() == [(2020, 3), (2021, 50), (2022, 1)]


def test_half_written_files_are_not_seen(filled: DataRoot) -> None:
    part = filled.tables / "sample_losses" / "fire_year=2021"
    with pytest.raises(ValueError), atomic_file(part / "part.parquet") as temporary:
        temporary.write_text("half")
        assert counts(filled) == {2020: 3, 2021: 5}
        raise ValueError
    assert counts(filled) == {2020: 3, 2021: 5}


def test_geometries_are_shapes_in_california_albers(filled: DataRoot) -> None:
    rows = query(filled, "select geometry, st_crs(geometry) as crs, 1 as one from predictions order by window_id")
    assert rows["geometry"].iloc[1].equals(shapely.box(400, 0, 720, 320))
    assert "Albers" in rows["crs"].iloc[0]


def test_a_missing_geometry_stays_missing(root: DataRoot) -> None:
    write_table(root, FIRE_PERIMETERS, FIRE_PERIMETERS.empty(), 2021)
    assert query(root, "select null::geometry as shape")["shape"].tolist() == [None]


def test_times_are_utc(root: DataRoot) -> None:
    assert str(query(root, "select timestamptz '2021-08-14 10:00:00+00' as t")["t"].dt.tz) in ("UTC", "Etc/UTC")


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{root}/tables/new.csv'",
        "copy (select 1) to '{root}/new.csv'",
        "with x as (copy (select 1) to '{root}/tables/new.csv') select 1",
        "with x as (copy (select 1) to 'tables://new.csv') select 1",
        "with x as (copy (select 1) to 'tables://sample_losses/fire_year=2020/part.parquet') select 1",
        "explain analyze copy (select 1) to 'tables://new.csv'",
        "export database 'tables://export'",
        "attach 'tables://new.db'",
        "attach '{root}/new.db'",
        "select * from read_text('{root}/secret.txt')",
        "select * from read_text('tables://../secret.txt')",
        "select * from read_text('tables://sample_losses/../../secret.txt')",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select * from glob('tables://../*')",
        "select * from read_text('file:///etc/passwd')",
        "select * from read_text('https://example.com')",
        "install spatial",
        "load spatial",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "create table t as select 1",
        "drop view windows",
        "create or replace view windows as select 1",
        "select 1; drop view windows",
        "select * from enable_logging(storage = 'file', storage_path = 'tables://log')",
        "",
    ],
)
def test_sql_cannot_write_or_read_anything_else(sql: str, filled: DataRoot) -> None:
    before = {p: p.read_bytes() for p in filled.path.rglob("*") if p.is_file()}
    with pytest.raises(InputError) as raised:
        query(filled, sql.format(root=filled.path))
    assert "root:" not in str(raised.value) and "Traceback" not in str(raised.value)
    assert {p: p.read_bytes() for p in filled.path.rglob("*") if p.is_file()} == before


def test_absolute_paths_are_under_the_tables(filled: DataRoot) -> None:
    assert query(filled, "select * from read_text('tables:///etc/passwd')").empty


def test_a_connection_itself_cannot_write_files(filled: DataRoot) -> None:
    with closing(connect(filled)) as connection:
        for place in (f"{filled.tables}/new.csv", "tables://new.csv", "tables://../new.csv"):
            with pytest.raises((duckdb.Error, PermissionError)):
                connection.execute(f"copy (select 1) to '{place}'")
    assert not list(filled.path.rglob("new.csv"))


def test_errors_name_the_tables(filled: DataRoot) -> None:
    with pytest.raises(InputError, match=r"(?s)Table with name fires does not exist.*Tables: .*windows"):
        query(filled, "select * from fires")
    with pytest.raises(InputError, match="syntax error"):
        query(filled, "selec 1")


def test_a_data_root_with_a_quote_in_its_name_works(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "fire's data")
    write_table(root, SAMPLE_LOSSES, losses(2021, 2), 2021)
    assert counts(root) == {2021: 2}


def test_a_broken_file_is_a_clear_error(filled: DataRoot) -> None:
    (filled.tables / "sample_losses" / "fire_year=2020" / "part.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(InputError, match=r"sample_losses can.t be read.*part\.parquet"):
        query(filled, COUNT)
