"""Label rasters: what each pixel's centre says by shapely, the same in both layouts, written where they changed."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.classes import BURNT, UNBURNT, UNLABELLED, Stratum
from burnscar_assets.dataset import label_layer
from burnscar_assets.dataset.config import LABEL_LAYERS
from burnscar_assets.dataset.label_layer import bring_labels, has_label_raster, labels_hold, write_labels
from burnscar_assets.dataset.label_rasters import Labels, describe_labels, draw_labels
from burnscar_assets.dataset.packed.pack import pack_path
from burnscar_assets.dataset.windows import DATA_STORAGE, WINDOW_STORAGE, write_windows
from burnscar_assets.storage.contracts import BURN_HISTORY, WINDOWS
from burnscar_assets_tests.dataset.window_tables import FIRES, windows_of
from burnscar_assets_tests.sampling.fire_worlds import YEAR, Fire, history_of, perimeters_of

TABLE = windows_of()
PERIMETERS = perimeters_of(FIRES)
MARGIN_M = 20.0
TOLERANCE_M = 1.0
"""Nearer than this to a bound, a pixel may be either: margins are polygons, and projections stretch a little."""


def centres_of(window: pd.Series) -> np.ndarray:
    """Centres of a window's pixels in EPSG:3310, as points (rows, columns)."""
    step = np.arange(window.size_px) + 0.5
    x, y = np.meshgrid((window.min_col + step) * 10, -(window.min_row + step) * 10)
    to_albers = pyproj.Transformer.from_crs(int(window.utm_epsg), 3310, always_xy=True)
    return shapely.points(*to_albers.transform(x, y))


def assert_true(
    window: pd.Series, raster: np.ndarray, own: list[shapely.Geometry], others: list[shapely.Geometry], margin_m: float
) -> None:
    """Each pixel, but for those on a bound, is what its centre says."""
    points = centres_of(window)
    inside = np.any([shapely.contains(shape, points) for shape in own], axis=0) if own else np.zeros_like(points, bool)
    expected = np.where(inside, BURNT, UNBURNT)
    sure = np.ones(points.shape, bool)
    for shape in others:
        away = shapely.distance(shape, points)
        expected[((away < margin_m) | (away == 0)) & ~inside] = UNLABELLED
    for shape in (*own, *others):
        edge = shapely.distance(shape.boundary, points)
        sure &= (edge > TOLERANCE_M) & (np.abs(edge - margin_m) > TOLERANCE_M)
    for shape in own:
        expected[shapely.distance(shape.boundary, points) < margin_m] = UNLABELLED
    np.testing.assert_array_equal(raster[sure], expected[sure])
    assert sure.mean() > 0.5


_STARS = st.lists(st.floats(40, 400), min_size=3, max_size=12)


def star_of(x: float, y: float, radii: list[float], hole: bool = False) -> shapely.Geometry:
    """A star-shaped polygon about a point, with an island inside it."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    rim = np.column_stack([x + np.cos(angles) * radii, y + np.sin(angles) * radii])
    shape = shapely.make_valid(shapely.Polygon(rim))
    return shape.difference(shapely.Point(x, y).buffer(30)) if hole else shape


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, len(TABLE) - 1),
    _STARS,
    _STARS,
    st.booleans(),
    st.floats(-200, 200),
    st.sampled_from([0.0, 10.0, 35.0]),
)
def test_each_pixel_is_what_its_centre_says(
    number: int, own: list[float], other: list[float], hole: bool, aside_m: float, margin_m: float
) -> None:
    window = TABLE.iloc[number]
    middle = window.geometry.centroid
    fire = star_of(middle.x + aside_m / 3, middle.y, own, hole)
    scar = star_of(middle.x + aside_m, middle.y - aside_m, other)
    named = TABLE.iloc[[number]].assign(fire_id="mine", stratum=Stratum.BURNT.value)
    perimeters = gpd.GeoDataFrame({"fire_id": ["mine"]}, geometry=[fire], crs="EPSG:3310")
    burns = _burns([("mine", YEAR, fire.buffer(5)), ("older", YEAR - 4, scar)])
    drawn = draw_labels(named, perimeters, burns, margin_m)
    assert_true(window, drawn[window.window_id], [fire], [scar], margin_m)


def _burns(rows: list[tuple[str, int | None, shapely.Geometry]]) -> gpd.GeoDataFrame:
    names, years, shapes = zip(*rows, strict=True)
    undated = dict.fromkeys(("alarm_date", "containment_date"), pd.NaT)
    table = {
        "burn_id": names,
        "source": "frap",
        "kind": "fire",
        "burn_year": years,
        "name": "",
        "end_kind": None,
        **undated,
    }
    return BURN_HISTORY.conform(gpd.GeoDataFrame(table, geometry=list(shapes), crs="EPSG:3310"))


@pytest.fixture(scope="module")
def labels() -> Labels:
    return draw_labels(TABLE, PERIMETERS, history_of(FIRES, YEAR), MARGIN_M)


def test_sampled_windows_are_labelled_as_they_were_sampled(labels: Labels) -> None:
    """Both UTM zones: burnt windows are mostly burnt, no pixel of an unburnt one is, and windows on edges are mixed."""
    described = describe_labels(TABLE, labels)
    assert set(TABLE["utm_epsg"]) == {32610, 32611}
    assert list(labels) == TABLE["window_id"].tolist()
    burnt = described["category"] == "burnt"
    assert described.loc[burnt, "burnt_share"].min() > 0.7
    unburnt = described["category"] == "unburnt"
    assert described.loc[unburnt, "burnt_share"].max() == 0
    edges = described[described["category"] == "mixed"]
    assert len(edges) and (edges["unlabelled_share"] > 0).all() and 0.1 < edges["burnt_share"].mean() < 0.7
    assert described.loc[unburnt, "unlabelled_share"].max() == 0
    assert WINDOWS.content_hash(described) != WINDOWS.content_hash(TABLE)


def test_old_scars_that_are_sampled_as_unburnt_stay_so() -> None:
    window = TABLE[TABLE["category"] == "unburnt"].iloc[[0]]
    burns = _burns(
        [(f"b{year}", year, window.geometry.iloc[0].buffer(100)) for year in (YEAR - 5, YEAR)]
        + [("?", None, window.geometry.iloc[0].buffer(100))]
    )

    def seen(stratum: Stratum, which: slice) -> set[int]:
        drawn = draw_labels(window.assign(stratum=stratum.value), PERIMETERS, burns.iloc[which], MARGIN_M)
        return set(np.unique(drawn[window["window_id"].iloc[0]]).tolist())

    assert seen(Stratum.OLD_SCAR, slice(0, 1)) == {UNBURNT}
    assert seen(Stratum.GRANULE, slice(0, 1)) == {UNLABELLED}
    assert seen(Stratum.OLD_SCAR, slice(1, 2)) == {UNLABELLED}
    assert seen(Stratum.OLD_SCAR, slice(2, 3)) == {UNLABELLED}


def test_a_burnt_window_whose_fire_is_unknown_says_nothing() -> None:
    burnt = TABLE[TABLE["category"] == "burnt"].head(2)
    drawn = draw_labels(burnt, PERIMETERS.head(0), history_of([]), MARGIN_M)
    assert all((raster == UNLABELLED).all() for raster in drawn.values())
    assert draw_labels(TABLE.head(0), PERIMETERS, history_of([]), MARGIN_M) == {}


@pytest.fixture(params=["folders", "packed"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A dataset of the sampled windows, without label rasters yet."""
    storage = {"storage": {"class_path": WINDOW_STORAGE}, "window_data_storage": {"class_path": DATA_STORAGE}}
    config = {"layers": LABEL_LAYERS} | (storage if request.param == "packed" else {})
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_windows(TABLE, tmp_path)
    return tmp_path


def _bring(dataset: Path) -> int:
    return bring_labels(TABLE, PERIMETERS, history_of(FIRES, YEAR), MARGIN_M, dataset)[1]


def _state(dataset: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in dataset.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_rslearn_reads_them_back_and_only_what_changed_is_written(dataset: Path, labels: Labels) -> None:
    from rslearn.dataset import Dataset
    from upath import UPath

    assert has_label_raster(dataset)
    assert _bring(dataset) == len(TABLE)
    opened = Dataset(UPath(dataset))
    band_set = opened.layers["label_raster"].band_sets[0]
    for window in opened.load_windows():
        assert window.is_layer_completed("label_raster")
        raster = window.data.read_raster("label_raster", ["label"], band_set.instantiate_raster_format())
        assert raster.metadata.nodata_value == UNLABELLED
        np.testing.assert_array_equal(raster.get_chw_array()[0], labels[window.name])
    before = _state(dataset)
    assert _bring(dataset) == 0
    assert write_windows(TABLE, dataset).kept == len(TABLE)
    assert _state(dataset) == before
    name = TABLE["window_id"].iloc[3]
    write_labels(TABLE[TABLE["window_id"] == name], {name: np.full((32, 32), UNLABELLED, np.uint8)}, dataset)
    assert _bring(dataset) == 1


def test_a_damaged_raster_is_written_anew(dataset: Path) -> None:
    import sqlite3

    _bring(dataset)
    pack = pack_path(dataset, str(YEAR))
    if pack.exists():
        with sqlite3.connect(pack) as connection:
            connection.execute("UPDATE rasters SET crc = crc + 1 WHERE id = (SELECT min(id) FROM rasters)")
        connection.close()
    else:
        next(dataset.rglob("geotiff.tif")).write_bytes(b"II*")
    assert _bring(dataset) == 1
    assert _bring(dataset) == 0


def test_only_windows_near_a_change_are_drawn_again(
    dataset: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is remembered, the rasters are those that would be drawn."""
    drawn: list[int] = []

    def counted(windows: gpd.GeoDataFrame, *rest: Any) -> Labels:
        drawn.append(len(windows))
        return draw_labels(windows, *rest)

    monkeypatch.setattr(label_layer, "draw_labels", counted)
    burns = history_of(FIRES, YEAR)

    def bring(perimeters: gpd.GeoDataFrame, burns: gpd.GeoDataFrame, code: str = "1") -> tuple[int, int]:
        came, written = bring_labels(TABLE, perimeters, burns, MARGIN_M, dataset, code=code)
        wanted = draw_labels(TABLE, perimeters, burns, MARGIN_M)
        assert list(came) == list(wanted)
        assert all(np.array_equal(came[name], wanted[name]) for name in wanted)
        return drawn.pop(), written

    assert bring(PERIMETERS, burns) == (len(TABLE), len(TABLE))
    assert bring(PERIMETERS, burns) == (0, 0)
    assert bring(PERIMETERS, burns, "2") == (len(TABLE), 0)
    edited = PERIMETERS.copy()
    edited.loc[0, "geometry"] = shapely.affinity.translate(edited.geometry.iloc[0], 60, 60)
    again, written = bring(edited, burns, "2")
    own = int((TABLE["fire_id"] == PERIMETERS["fire_id"].iloc[0]).sum())
    assert 0 < written <= again == own < len(TABLE)
    unburnt = TABLE.loc[TABLE["category"] == "unburnt", "geometry"].iloc[0]
    scar = shapely.affinity.translate(unburnt, 80, 80)
    with_scar = BURN_HISTORY.conform(pd.concat([_burns([("new", YEAR - 1, scar)]), burns], ignore_index=True))
    again, written = bring(edited, with_scar, "2")
    assert 0 < written <= again < len(TABLE)
    write_labels(TABLE, labels, dataset)
    again, written = bring(edited, with_scar, "2")
    assert again == written > 0


def test_labels_hold_while_no_pixel_would_be_another(dataset: Path) -> None:
    burns, state = history_of(FIRES, YEAR), _state(dataset)

    def hold(burns: gpd.GeoDataFrame, code: str = "") -> bool:
        return labels_hold(TABLE, PERIMETERS, burns, MARGIN_M, dataset, code=code)

    def with_scar(scar: shapely.Geometry) -> gpd.GeoDataFrame:
        return BURN_HISTORY.conform(pd.concat([_burns([("new", YEAR - 1, scar)]), burns], ignore_index=True))

    assert not hold(burns), "nothing is remembered yet"
    assert _state(dataset) == state
    _bring(dataset)
    state = _state(dataset)
    unburnt = TABLE.loc[TABLE["category"] == "unburnt", "geometry"].iloc[0]
    assert hold(burns)
    assert not hold(burns, code="2")
    assert hold(with_scar(shapely.affinity.translate(unburnt, 1e6, 0))), "far from all"
    assert hold(with_scar(shapely.affinity.translate(unburnt, 320 + 2 * MARGIN_M, 0).buffer(-1))), "near, not in it"
    assert not hold(with_scar(shapely.affinity.translate(unburnt, 80, 80)))
    assert _state(dataset) == state


def test_a_dataset_may_have_no_such_layer(tmp_path: Path) -> None:
    assert not has_label_raster(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"layers": {"label": LABEL_LAYERS["label"]}}), encoding="utf-8")
    assert not has_label_raster(tmp_path)


def test_many_windows_of_a_large_fire_are_drawn_fast() -> None:
    """A fire of 200,000 vertices is cut before it is projected: the time must not grow with both."""
    import time

    angles = np.linspace(0, 2 * np.pi, 200_000)
    radius = 20_000 + 300 * np.sin(angles * 997)
    shape = shapely.Polygon(np.column_stack([1_000 + np.cos(angles) * radius, 2_000 + np.sin(angles) * radius]))
    perimeters = perimeters_of([Fire(1_000, 2_000, 1_500)]).set_geometry([shape], crs="EPSG:3310")
    windows = TABLE[TABLE["fire_id"] == perimeters["fire_id"].iloc[0]]
    windows = gpd.GeoDataFrame(pd.concat([windows] * 5, ignore_index=True))
    started = time.monotonic()
    draw_labels(windows, perimeters, history_of([]), MARGIN_M)
    assert (time.monotonic() - started) / len(windows) < 0.1
