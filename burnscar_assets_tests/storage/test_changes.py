"""What two versions of a table differ in is what the hashes of their rows say, noise and missing values included."""

from datetime import UTC, datetime

import geopandas as gpd
import pandas as pd
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.storage.changes import Changes, replace_table, table_changes
from burnscar_assets.storage.hashing import hash_rows
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Column, Table, read_table, table_path

TABLE = Table(
    "things",
    "Things of every type of column.",
    keys=("key", "part"),
    row="thing",
    columns=(
        Column("key", "string", ""),
        Column("part", "int", ""),
        Column("name", "string", ""),
        Column("area_ha", "float", ""),
        Column("burnt", "bool", ""),
        Column("seen", "timestamp", ""),
        Column("tags", "strings", ""),
        Column("geometry", "geometry", ""),
    ),
)

ROW = st.tuples(
    st.sampled_from("abcd"),
    st.integers(0, 2),
    st.sampled_from(["x", "y", "é", None]),
    st.sampled_from([1.0, 1.0 + 1e-13, -0.0, 0.0, 2.0, None]),
    st.sampled_from([True, False, None]),
    st.sampled_from([datetime(2020, 8, 1, tzinfo=UTC), datetime(2020, 8, 2, tzinfo=UTC), None]),
    st.lists(st.sampled_from("pq"), max_size=1),
    st.sampled_from([0.0, 0.001, 5.0, None]),
)
ROWS = st.lists(ROW, max_size=8, unique_by=lambda row: row[:2])


def things(rows: list[tuple]) -> gpd.GeoDataFrame:
    frame = pd.DataFrame(rows, columns=TABLE.column_names)
    shapes = [None if x is None else shapely.Point(x, 1) for x in frame.pop("geometry")]
    return TABLE.conform(gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries(shapes, crs="EPSG:3310")))


@given(ROWS, ROWS)
@settings(max_examples=200, deadline=None)
def test_changes_are_what_the_hashes_of_rows_say(before: list[tuple], after: list[tuple]) -> None:
    old, new = (
        dict(zip([row[:2] for row in rows], hash_rows(things(rows)), strict=True)) if rows else {}
        for rows in (before, after)
    )
    common = old.keys() & new.keys()
    kept = sum(old[key] == new[key] for key in common)
    expected = Changes(kept, len(new) - len(common), len(common) - kept, len(old) - len(common))
    assert table_changes(TABLE, things(before), things(after)) == expected
    assert table_changes(TABLE, None, things(after)) == Changes(0, len(after), 0, 0)


def test_a_table_of_the_same_content_keeps_its_file(root: DataRoot) -> None:
    row = ("a", 1, "x", 1.0, True, None, ["p"], 5.0)
    assert replace_table(root, TABLE, things([row]), 2020) == Changes(0, 1, 0, 0)
    written = table_path(root, TABLE, 2020).stat().st_mtime_ns
    same = replace_table(root, TABLE, things([(*row[:3], 1.0 + 1e-13, *row[4:])]), 2020)
    assert same == Changes(1, 0, 0, 0)
    assert not same.any
    assert table_path(root, TABLE, 2020).stat().st_mtime_ns == written
    changes = replace_table(root, TABLE, things([(*row[:3], 2.0, *row[4:]), ("b", *row[1:])]), 2020)
    assert changes == Changes(0, 1, 1, 0)
    assert changes.describe("thing") == "1 thing changed, 1 added"
    assert read_table(root, TABLE, 2020)["key"].tolist() == ["a", "b"]
