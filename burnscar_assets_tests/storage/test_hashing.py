"""The content hash sees content: not order, dtype backends, files, time zones or noise below its precision."""

import hashlib
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burnscar_assets.storage.hashing import hash_file, hash_json, hash_rows, hash_table

ROWS = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.one_of(st.none(), st.text(max_size=5)),
        st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda v: float(f"{v:.6g}"))),
        st.integers(-900_000, 900_000),
        st.lists(st.sampled_from("abc"), max_size=2),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[0],
)

FEWER = settings(max_examples=30, deadline=None)


def table(rows: list[tuple]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {
            "key": [f"k{r[0]}" for r in rows],
            "name": pd.array([r[1] for r in rows], dtype="string"),
            "area_ha": [r[2] for r in rows],
            "number": pd.array([r[3] for r in rows], dtype="Int64"),
            "tags": [r[4] for r in rows],
        },
        geometry=[shapely.Point(r[3] / 3, -r[3] / 7).buffer(100, 4) for r in rows],
        crs="EPSG:3310",
    ).astype({"area_ha": "float64"})


def hashed(rows: pd.DataFrame) -> str:
    return hash_table(rows, ["key"])


@given(ROWS, st.integers(0, 99))
@FEWER
def test_row_and_column_order_are_no_content(rows: list[tuple], seed: int) -> None:
    expected = hashed(table(rows))
    shuffled = table(rows).sample(frac=1, random_state=seed)
    assert hashed(shuffled[shuffled.columns[::-1]].set_index(np.arange(7, 7 + len(rows)))) == expected


@given(ROWS)
@FEWER
def test_dtype_backends_are_no_content(rows: list[tuple]) -> None:
    frame = table(rows)
    other = frame.copy()
    other["name"] = np.array([r[1] for r in rows], dtype=object)
    other["number"] = np.array([r[3] for r in rows], dtype="int64")
    other["area_ha"] = pd.array([r[2] for r in rows], dtype="Float64")
    other["tags"] = [np.array(r[4], dtype=object) for r in rows]
    assert hashed(other) == hashed(frame)


@given(ROWS, st.floats(-1e-11, 1e-11))
@FEWER
def test_float_noise_is_no_content(rows: list[tuple], noise: float) -> None:
    frame = table(rows)
    expected = hashed(frame)
    frame["area_ha"] *= 1 + noise
    assert hashed(frame) == expected


def test_negative_zero_is_zero() -> None:
    def one(value: float) -> pd.DataFrame:
        return gpd.GeoDataFrame({"key": ["a"], "v": [value]}, geometry=[shapely.Point(value, 0)], crs=3310)

    assert hashed(one(-0.0)) == hashed(one(0.0))
    small_left, small_right = one(0.0), one(0.0)
    small_left["geometry"] = gpd.GeoSeries([shapely.Point(-0.001, 0)], crs=3310)
    small_right["geometry"] = gpd.GeoSeries([shapely.Point(0.001, 0)], crs=3310)
    assert hashed(small_left) == hashed(small_right)


@pytest.mark.parametrize(("shift_m", "same"), [(0.004, True), (0.02, False)])
def test_coordinates_count_to_a_centimetre(shift_m: float, same: bool) -> None:
    square = shapely.box(100, 200, 300, 400)
    frames = [
        gpd.GeoDataFrame({"key": ["a"]}, geometry=[shapely.transform(square, lambda c, s=s: c + s)], crs=3310)
        for s in (0, shift_m)
    ]
    assert (hashed(frames[0]) == hashed(frames[1])) is same


def test_what_counts_as_content_changes_the_hash() -> None:
    base = table([(1, "a", 2.5, 7, ["x"]), (2, None, None, 8, [])])
    seen = {hashed(base)}
    for column, value in (("name", "b"), ("area_ha", 2.5001), ("number", 9), ("key", "k9")):
        changed = base.copy()
        changed.loc[0, column] = value
        seen.add(hashed(changed))
    seen.add(hashed(base.rename(columns={"name": "title"})))
    seen.add(hashed(base.iloc[:1]))
    empty_text = base.copy()
    empty_text.loc[1, "name"] = ""
    seen.add(hashed(empty_text))
    literal = base.copy()
    literal.loc[1, "name"] = "<NA>"
    seen.add(hashed(literal))
    assert len(seen) == 9


def test_time_resolution_is_no_content_but_the_moment_is() -> None:
    def at(times: list[str | None], unit: str) -> str:
        moments = pd.to_datetime(times, utc=True).astype(f"datetime64[{unit}, UTC]")
        return hash_table(pd.DataFrame({"key": range(len(times)), "t": moments}), ["key"])

    assert at(["2021-08-14", None], "us") == at(["2021-08-14", None], "ns") == at(["2021-08-14", None], "s")
    assert at(["2021-08-14", None], "us") != at(["2021-08-15", None], "us")


def test_empty_and_missing_geometries_are_told_apart_and_accepted() -> None:
    hashes = {
        hashed(gpd.GeoDataFrame({"key": ["a"]}, geometry=[shape], crs=3310))
        for shape in (None, shapely.Polygon(), shapely.Point(1, 1))
    }
    assert len(hashes) == 3


def test_the_hash_seed_of_python_does_not_matter() -> None:
    code = (
        "import pandas as pd; from burnscar_assets.storage.hashing import hash_table, hash_json;"
        "print(hash_table(pd.DataFrame({'k': ['b', 'a'], 'v': [['x', 'y'], []]}), ['k']),"
        " hash_json({'b': 1, 'a': {'d': 2, 'c': 3}}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_json_order_is_no_content_and_files_hash_by_their_bytes(tmp_path: Path) -> None:
    assert hash_json({"a": 1, "b": [1, 2]}) == hash_json({"b": [1, 2], "a": 1}) != hash_json({"a": 1, "b": [2, 1]})
    (tmp_path / "f").write_bytes(b"abc")
    assert hash_file(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


@given(
    st.lists(
        st.tuples(
            st.none() | st.text(max_size=3),
            st.none() | st.integers(-3, 3),
            st.none() | st.booleans(),
            st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
        ),
        max_size=12,
    )
)
@example([("\x00", None, None, None)])
def test_a_rows_hash_is_that_of_its_values_one_by_one(rows: list[tuple[Any, ...]]) -> None:
    types = {"text": "string", "number": "Int64", "flag": "boolean", "time": "datetime64[us, UTC]"}
    table = pd.DataFrame(rows, columns=list(types), dtype=object)
    table = table.assign(time=pd.to_datetime(table["time"], utc=True)).astype(types)
    expected = []
    for row in table.itertuples(index=False):
        told = [None if pd.isna(value) else np.array(value).item() for value in (row.number, row.flag)]
        number, flag = (json.dumps(value).encode() for value in told)
        text = json.dumps(None if pd.isna(row.text) else row.text).encode()
        time = b"" if pd.isna(row.time) else row.time.isoformat().encode()
        expected.append(hashlib.sha256(b"\0".join([flag, number, text, time])).hexdigest())
    assert hash_rows(table) == expected
