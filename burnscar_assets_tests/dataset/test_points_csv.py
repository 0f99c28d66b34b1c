"""Windows from a CSV of points."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.dataset.points_csv import windows_from_csv, write_csv_windows
from burnscar_assets.dataset.windows import WindowChanges, write_windows
from burnscar_assets.errors import InputError
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.settings import SplitSettings, WindowSettings
from burnscar_assets_tests.dataset.window_tables import windows_of

GOOD = """lon,lat,time,label
-120.5,38.2,2021-08-30,burnt
-120.48,38.2,2021-08-30T10:00:00-08:00,unburnt
-118.2,34.4,2020-01-05,unburnt
"""


def csv_of(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> list[dict]:
    windows = windows_from_csv(csv_of(folder, text), WindowSettings(), SplitSettings(), default_sensor())
    windows = windows.drop(columns=["burnt_share", "unlabelled_share"])  # of label rasters, which these have not
    return sorted(windows.to_dict("records"), key=lambda row: (row["start_time"], row["category"]))


def test_each_point_lies_in_its_window(tmp_path: Path) -> None:
    windows = windows_from_csv(csv_of(tmp_path, GOOD), WindowSettings(), SplitSettings(), default_sensor())
    assert len(windows) == 3
    degrees = windows.to_crs(4326).set_index("window_id").geometry
    for lon, lat in ((-120.5, 38.2), (-120.48, 38.2), (-118.2, 34.4)):
        assert degrees.buffer(1e-7).contains(shapely.Point(lon, lat)).sum() == 1
    land, burnt, unburnt = read(tmp_path, GOOD)
    assert (land["utm_epsg"], land["fire_year"], land["category"]) == (32611, 2020, "unburnt")
    assert (burnt["utm_epsg"], burnt["category"], burnt["stratum"]) == (32610, "burnt", "burnt")
    assert burnt["start_time"].isoformat() == "2021-08-30T00:00:00+00:00"
    assert unburnt["start_time"].isoformat() == "2021-08-30T00:00:00+00:00"
    centres = windows.centroid
    expected = SplitMap(SplitSettings()).split_of(centres.x, centres.y)
    assert windows["split"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    "header",
    ["lon,lat,time,label", "Longitude,Latitude,Date,Category", "\ufefflng , y ,CONT_DATE, class"],
)
def test_usual_names_of_columns_are_known(tmp_path: Path, header: str) -> None:
    text = GOOD.replace("lon,lat,time,label", header)
    assert read(tmp_path, text) == read(tmp_path, GOOD)


def test_an_unusual_name_is_answered_with_the_usual_ones(tmp_path: Path) -> None:
    text = GOOD.replace("lon,lat,time,label", "lon,lat,when,label")
    with pytest.raises(InputError, match=r"no column for time: looked for time or date .* found lon, lat, when, label"):
        read(tmp_path, text)


def test_spellings_of_labels(tmp_path: Path) -> None:
    text = (
        GOOD.replace("30,burnt", "30,Burned")
        .replace("00,unburnt", "00,Not-Burned")
        .replace("05,unburnt", "05,UNBURNED")
    )
    assert read(tmp_path, text) == read(tmp_path, GOOD)


def test_points_of_one_window_day_and_label_are_one(tmp_path: Path) -> None:
    again = "-120.5001,38.2001,2021-08-30T23:00:00Z,burned\n\n"
    assert read(tmp_path, GOOD + again) == read(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("-220,38,2021-01-01,burnt", r"1 bad value\(s\) of lon \(row 5: '-220'\).*between -180 and 180"),
        ("-120,91,2021-01-01,burnt", r"bad value\(s\) of lat \(row 5: '91'\)"),
        ("38,-120,2021-01-01,burnt", r"bad value\(s\) of lat \(row 5: '-120'\)"),
        ("-120,north,2021-01-01,burnt", r"bad value\(s\) of lat \(row 5: 'north'\)"),
        ("-120,38,01/05/2021,burnt", r"bad value\(s\) of time \(row 5: '01/05/2021'\); allowed: an ISO 8601"),
        ("-120,38,,burnt", r"bad value\(s\) of time \(row 5: ''\)"),
        ("-120,38,2021-01-01,1", r"bad value\(s\) of label \(row 5: '1'\); allowed: burnt or unburnt"),
        ("nan,38,2021-01-01,burnt", r"bad value\(s\) of lon \(row 5: 'nan'\)"),
        ("-120.5,38.2,2021-08-30,unburnt", r"different labels share a window's ground in rows 2 and 5"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, GOOD + row + "\n")


def test_many_bad_rows_are_counted_and_the_first_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"20 bad value\(s\) of lon") as raised:
        read(tmp_path, GOOD + "x,38,2021-01-01,burnt\n" * 20)
    assert str(raised.value).count("row ") == 5


def test_the_zone_border_can_not_put_ground_into_two_splits(tmp_path: Path) -> None:
    """Two windows of different zones overlap where a border of ground blocks runs between their centres."""
    splits = SplitSettings(block_km=0.5)
    text = "lon,lat,time,label\n" + "".join(
        f"{-120 + side * 0.00002},{38 + 0.01 * n},2021-01-01,unburnt\n" for n in range(60) for side in (-1, 1)
    )
    with pytest.raises(InputError, match="different splits share a window's ground"):
        windows_from_csv(csv_of(tmp_path, text), WindowSettings(), splits, default_sensor())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV with a header"),
        ("lon,lat,time,label\n", "has no points"),
        ("lon,lat,label\n-120,38,burnt\n", "no column for time: looked for time or date"),
        ("lon,lat,time,label\n-120,38,2021-01-01,burnt,5,6\n1,2\n,,,,,,,,\n", "bad value|not a CSV"),
    ],
)
def test_what_is_no_points_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv"):
        windows_from_csv(tmp_path / "absent.csv", WindowSettings(), SplitSettings(), default_sensor())


def test_a_dataset_is_made_and_extended(tmp_path: Path) -> None:
    from rslearn.dataset import Dataset
    from upath import UPath

    windows = windows_from_csv(csv_of(tmp_path, GOOD), WindowSettings(), SplitSettings(), default_sensor())
    dataset = tmp_path / "dataset"
    assert write_csv_windows(windows, dataset) == WindowChanges(0, 3, 0, 0)
    assert write_csv_windows(windows, dataset) == WindowChanges(3, 0, 0, 0)
    assert {window.group for window in Dataset(UPath(dataset)).load_windows()} == {"2020", "2021"}
    write_windows(windows_of(2021), dataset, remove_others=False)
    assert write_csv_windows(windows, dataset) == WindowChanges(3, 0, 0, 0)
    assert len(list((dataset / "windows" / "2021").iterdir())) == 2 + len(windows_of(2021))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("-120,38,2048,burnt", r"bad value\(s\) of time \(row 5: '2048'\); allowed: an ISO 8601"),
        ("-120,38,2021,burnt", r"bad value\(s\) of time \(row 5: '2021'\); allowed: an ISO 8601"),
        ("-120,38,2021-08,burnt", r"bad value\(s\) of time \(row 5: '2021-08'\)"),
        ("-120,38,2062-08-30,burnt", r"row 5: '2062-08-30'.*from 2015-06-23 to today; did you mean 2026-08-30 or 20"),
        ("-120,38,2014-08-30,burnt", r"row 5: '2014-08-30'.*from 2015-06-23 to today"),
        ("-120,38,1630368000,burnt", r"'1630368000'\).*did you mean 2021-08-31\?"),
        ("-120,38,1630368000000,burnt", r"'1630368000000'\).*did you mean 2021-08-31\?"),
        ("-120,38,30/08/2021,burnt", r"'30/08/2021'\).*did you mean 2021-08-30\?"),
        ("-120,38,05/01/2021,burnt", r"'05/01/2021'\).*did you mean 2021-05-01 or 2021-01-05\?"),
        ("-120,38,44438,burnt", r"'44438'\).*did you mean 2021-08-30\?"),
        (
            "38.2,-120.5,2021-08-30,burnt",
            r"bad value\(s\) of lat \(row 5: '-120.5'\).*are longitude and latitude swapped",
        ),
        (
            "718884,4230959,2021-08-30,burnt",
            r"bad value\(s\) of lon \(row 5: '718884'\).*metres or feet of a projection",
        ),
        ("0,0,2021-08-30,burnt", r"bad value\(s\) of lat \(row 5: '0'\); allowed: a place"),
    ],
)
def test_what_can_not_be_is_refused_with_a_guess(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, GOOD + row + "\n")


@given(
    time=st.dates().map(str) | st.text("0123456789-/:T .Z+", max_size=14) | st.integers(-(10**14), 10**14).map(str),
    lon=st.floats(-400, 400) | st.floats(), lat=st.floats(-200, 200) | st.floats(),
    zone=st.integers(-1, 70).map(str) | st.text(max_size=3),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_row_is_a_window_of_a_possible_day_and_place_or_an_error(
    time: str, lon: float, lat: float, zone: str
) -> None:
    row = pd.DataFrame([{"lon": lon, "lat": lat, "time": time, "label": "burnt", "utm_zone": zone}])
    with tempfile.TemporaryDirectory() as temporary:
        row.to_csv(Path(temporary) / "points.csv", index=False)
        try:
            (window,) = windows_from_csv(
                Path(temporary) / "points.csv", WindowSettings(), SplitSettings(), default_sensor()
            ).itertuples()
        except InputError as error:
            assert "allowed: " in str(error) or "no points" in str(error) or "not a CSV" in str(error)
        else:
            assert date(2015, 5, 24) <= window.start_time.date() <= datetime.now(UTC).date() + timedelta(days=1)
            assert window.utm_epsg == (32601 if lat >= 0 else 32701) + int((lon + 180) // 6) and -80 <= lat <= 84


def test_a_fire_of_the_weeks_before_the_first_image_may_have_one(tmp_path: Path) -> None:
    assert len(read(tmp_path, GOOD + "-119,38,2015-06-10,burnt\n")) == 4
    with pytest.raises(InputError, match="from 2015-06-23 to today"):
        read(tmp_path, GOOD + "-119,38,2015-05-01,burnt\n")


@pytest.mark.parametrize("zone", ["10", "10S", "10 s", "32610", "EPSG:32610", ""])
def test_a_zone_that_fits_its_point_says_nothing_new(tmp_path: Path, zone: str) -> None:
    text = f"lon,lat,time,label,utm_zone\n-120.5,38.2,2021-08-30,burnt,{zone}\n"
    assert len(read(tmp_path, text)) == 1


@pytest.mark.parametrize("zone", ["0", "61", "11", "9", "10K", "32710", "32611", "EPSG:4326", "ten", "-10"])
def test_a_zone_that_does_not_fit_its_point_is_refused(tmp_path: Path, zone: str) -> None:
    text = f"lon,lat,time,label,UTM_Zone\n-120.5,38.2,2021-08-30,burnt,{zone}\n"
    with pytest.raises(InputError, match=rf"bad value\(s\) of zone \(row 2: '{zone}'\); allowed: the UTM zone of the"):
        read(tmp_path, text)


def test_southern_points_get_windows_of_their_own_hemisphere(tmp_path: Path) -> None:
    (window,) = read(tmp_path, "lon,lat,time,label,utm_zone\n150,-34,2019-12-20,burnt,56H\n")
    to_degrees = pyproj.Transformer.from_crs(window["utm_epsg"], 4326, always_xy=True)
    centre = to_degrees.transform((window["min_col"] + 16) * 10, -(window["min_row"] + 16) * 10)
    assert window["utm_epsg"] == 32756 and centre == pytest.approx((150, -34), abs=0.002)
