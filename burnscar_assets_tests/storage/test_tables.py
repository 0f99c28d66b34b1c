"""Tables keep their contract: columns, types, keys, CRS; and a year is replaced whole."""

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from burnscar_assets.errors import InputError, MissingDataError, StorageError
from burnscar_assets.storage.contracts import ALL_TABLES, BURN_HISTORY, SAMPLE_LOSSES, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, read_years, table_path, write_table


def losses(year: int = 2021, points: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {"fire_year": [year, year], "fire_id": ["a", ""], "stratum": "ring", "reason": "capped", "points": points}
    )


def burns(*names: str) -> gpd.GeoDataFrame:
    known = {"burn_id": list(names), "source": "frap", "kind": "fire", "end_kind": None, "burn_year": 2020, "name": "A"}
    content = known | dict.fromkeys(("alarm_date", "containment_date"), pd.NaT)
    return gpd.GeoDataFrame(content, geometry=[shapely.box(0, 0, 1, 1)] * len(names), crs="EPSG:3310")


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.name)
def test_every_contract_makes_an_empty_table_that_is_written_read_and_hashed(table: Table, root: DataRoot) -> None:
    assert set(table.keys) <= set(table.column_names)
    assert len(set(table.column_names)) == len(table.columns) and all(c.description for c in table.columns)
    write_table(root, table, table.empty(), 2021)
    read = read_table(root, table, 2021)
    assert list(read.columns) == table.column_names and len(read) == 0
    assert table.content_hash(read) == table.content_hash(table.empty())


def test_a_round_trip_keeps_content_and_hash(root: DataRoot) -> None:
    write_table(root, SAMPLE_LOSSES, losses(), 2021)
    read = read_table(root, SAMPLE_LOSSES, 2021)
    assert SAMPLE_LOSSES.content_hash(read) == SAMPLE_LOSSES.content_hash(losses())
    assert read["points"].dtype == "Int64"


def test_list_columns_survive_the_round_trip(root: DataRoot) -> None:
    tiles = pd.DataFrame(
        {
            "window_id": ["a", "b"],
            "fire_year": 2021,
            "layer": "sentinel2_l2a",
            "complete": [True, False],
            "reason": [None, "no_scene"],
            "item_ids": [["S2A", "S2B"], []],
            "acquired": [pd.Timestamp("2021-08-14T10:00", tz="Etc/GMT+8"), None],
            "processing_baseline": ["05.09", None],
            "clear_fraction": [0.97, np.nan],
            "unclear": ["3+2 9+1", None],
            "passed_over": [["S2C: nodata"], []],
            "nodata_fraction": [0.0, np.nan],
            "content_hash": ["x", None],
        }
    )
    write_table(root, TILES, tiles, 2021)
    read = read_table(root, TILES, 2021)
    assert [list(ids) for ids in read["item_ids"]] == [["S2A", "S2B"], []]
    assert read["acquired"][0] == pd.Timestamp("2021-08-14T18:00", tz="UTC")
    assert TILES.content_hash(read) == TILES.content_hash(tiles)


def test_geometries_come_to_california_albers() -> None:
    rows = {
        "burn_id": ["a"],
        "source": ["frap"],
        "kind": ["fire"],
        "burn_year": [2019],
        "alarm_date": [None],
        "containment_date": [None],
        "end_kind": [None],
        "name": [None],
    }
    degrees = gpd.GeoDataFrame(rows, geometry=[shapely.Point(-120, 38)], crs="EPSG:4326")
    albers = BURN_HISTORY.conform(degrees)
    assert albers.crs == "EPSG:3310" and albers.geometry.iloc[0].distance(shapely.Point(0, -1819.3)) < 1
    unnamed = BURN_HISTORY.conform(gpd.GeoDataFrame(rows, geometry=[shapely.Point(5, 5)]))
    assert unnamed.crs == "EPSG:3310" and unnamed.geometry.iloc[0] == shapely.Point(5, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="points"), r"sample_losses: missing columns \['points'\]"),
        (lambda t: t.assign(extra=1), r"unknown \['extra'\]"),
        (lambda t: pd.concat([t, t]), "fire_id, stratum, reason must be unique"),
    ],
)
def test_a_broken_contract_is_named_and_writes_nothing(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, root: DataRoot
) -> None:
    write_table(root, SAMPLE_LOSSES, losses(), 2021)
    before = table_path(root, SAMPLE_LOSSES, 2021).read_bytes()
    with pytest.raises(InputError, match=message):
        write_table(root, SAMPLE_LOSSES, change(losses()), 2021)
    assert table_path(root, SAMPLE_LOSSES, 2021).read_bytes() == before


def test_writing_twice_replaces_the_year_and_leaves_the_others(root: DataRoot) -> None:
    for year, points in ((2020, 1), (2021, 2), (2021, 5)):
        write_table(root, SAMPLE_LOSSES, losses(year, points), year)
    both = read_years(root, SAMPLE_LOSSES, [2021, 2020, 2019])
    assert both.groupby("fire_year")["points"].sum().to_dict() == {2020: 2, 2021: 10}
    assert [p.name for p in table_path(root, SAMPLE_LOSSES, 2021).parent.iterdir()] == ["part.parquet"]


def test_years_that_were_not_made_give_an_empty_table(root: DataRoot) -> None:
    empty = read_years(root, WINDOWS, [2019])
    assert isinstance(empty, gpd.GeoDataFrame) and empty.empty and list(empty.columns) == WINDOWS.column_names


def test_what_was_read_before_is_neither_changed_by_a_reader_nor_taken_for_what_replaced_it(root: DataRoot) -> None:
    rows = BURN_HISTORY.conform(burns("a", "b"))
    write_table(root, BURN_HISTORY, rows, 2021)
    mine = read_table(root, BURN_HISTORY, 2021)
    mine["name"] = "changed"
    mine.loc[0, "burn_id"] = "changed"
    mine.loc[0, "geometry"] = shapely.box(0, 0, 9, 9)
    assert BURN_HISTORY.content_hash(read_table(root, BURN_HISTORY, 2021)) == BURN_HISTORY.content_hash(rows)
    assert list(read_table(root, BURN_HISTORY, 2021, ["burn_id"])["burn_id"]) == ["a", "b"]
    write_table(root, BURN_HISTORY, BURN_HISTORY.conform(burns("a", "c")), 2021)
    assert list(read_table(root, BURN_HISTORY, 2021)["burn_id"]) == ["a", "c"]


def test_a_missing_year_names_the_command(root: DataRoot) -> None:
    with pytest.raises(MissingDataError, match="no windows for 2021: run burnscar refresh --years 2021"):
        read_table(root, WINDOWS, 2021)
    with pytest.raises(MissingDataError, match=r"no windows: run burnscar refresh$"):
        read_table(root, WINDOWS, None)


def test_a_table_cut_short_is_one_clear_error(root: DataRoot) -> None:
    for table in (BURN_HISTORY, SAMPLE_LOSSES):
        path = write_table(root, table, table.empty(), 2020)
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(InputError, match=r"part\.parquet can't be read .*delete it and run burnscar refresh"):
            read_table(root, table, 2020)


def test_a_data_root_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StorageError, match="choose another BURNSCAR_DATA"):
        write_table(DataRoot(tmp_path / "data"), SAMPLE_LOSSES, losses(), 2021)


def test_looking_at_paths_makes_nothing(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "data")
    paths = [root.tables, root.dataset, root.releases, root.checkpoint(2021), root.evaluation(2021), root.dagster_home]
    assert len(set(paths)) == 6 and not root.path.exists()
    assert root.resolve("/abs/file") == Path("/abs/file") and root.resolve("a") == root.path / "a"
