import warnings

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.labels.normalise import normalise
from burnscar_assets_tests.labels.label_records import frap_fires

NUMBER = 8
PLACES = ((-122.5, 40.5), (-121.0, 39.2), (-119.3, 37.2), (-117.0, 34.2))
SWAP, WEST, FEET = np.array([[0, 1], [1, 0]]), np.diag([-1, 1]), np.eye(2) / 0.3048

MISTAKES = {
    "degrees": ("EPSG:4326", "EPSG:3310", np.eye(2)),
    "degrees (EPSG:4326)": ("EPSG:4269", "EPSG:26910", np.eye(2)),
    "axes swapped": ("EPSG:4326", "EPSG:4326", SWAP),
    "without the minus": ("EPSG:4326", "EPSG:4326", WEST),
    "California Albers (EPSG:3310)": ("EPSG:3310", "EPSG:4326", np.eye(2)),
    "California Albers": ("EPSG:3310", "EPSG:3857", np.eye(2)),
    "UTM zone 10N": ("EPSG:26910", "EPSG:26911", np.eye(2)),
    "UTM zone 11N": ("EPSG:32611", "EPSG:32610", np.eye(2)),
    "UTM zone 10N (EPSG:26910)": ("EPSG:32610", "EPSG:32710", np.eye(2)),
    "with its axes swapped": ("EPSG:26910", "EPSG:26910", SWAP),
    "feet in place of the metres": ("EPSG:3310", "EPSG:3310", FEET),
    "feet of a state plane zone": ("EPSG:2227", "EPSG:3310", np.eye(2)),
    "Pseudo-Mercator": ("EPSG:3857", "EPSG:3310", np.eye(2)),
}
"""What the message names: the true CRS, the one that the layer says, and what was done to x and y."""


def _layer(lon: float, lat: float, *, acres: bool = True) -> gpd.GeoDataFrame:
    """Fires of about 100 ha in a row to the north, with the areas that they have."""
    fires = frap_fires(*({} for _ in range(NUMBER)))
    places = gpd.GeoSeries(gpd.points_from_xy([lon] * NUMBER, lat + 0.02 * np.arange(NUMBER)), crs=4326).to_crs(3310)
    shapes = places.buffer(564.0)
    return fires.set_geometry(shapes).assign(GIS_ACRES=shapes.area / 4046.8564224 if acres else np.nan)


def _mistaken(layer: gpd.GeoDataFrame, true: str, named: str, matrix: np.ndarray) -> gpd.GeoDataFrame:
    moved = layer.to_crs(true)
    shapes = shapely.transform(moved.geometry.to_numpy(), lambda xy: xy @ matrix.T)
    return moved.set_geometry(gpd.GeoSeries(shapes)).set_crs(named, allow_override=True)


@pytest.mark.parametrize("cause", MISTAKES)
@pytest.mark.parametrize("acres", [True, False])
def test_a_wrong_crs_is_refused_with_the_likely_cause(cause: str, acres: bool) -> None:
    lon = -121.5 if "10" in cause or "UTM" not in cause else -118.0
    layer = _layer(lon, 38.0 if lon < -120 else 36.0, acres=acres)
    with pytest.raises(InputError) as caught:
        normalise(_mistaken(layer, *MISTAKES[cause]), "fire", "layer firep24_1")
    assert str(caught.value).startswith("layer firep24_1: its coordinates look like ")
    if acres:
        assert cause in str(caught.value).split(", its CRS says")[0]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(PLACES),
    st.sampled_from(["EPSG:3310", "EPSG:4326", "EPSG:4269", "EPSG:26910", "EPSG:26911", "EPSG:3857", "EPSG:2227"]),
    st.booleans(),
    st.integers(0, NUMBER // 2 - 1),
)
def test_a_right_crs_is_taken_even_if_some_records_are_wrong(
    place: tuple[float, float], crs: str, acres: bool, wrong: int
) -> None:
    layer = _layer(*place, acres=acres)
    layer.loc[: wrong - 1, "GIS_ACRES"] = 1e6
    found = normalise(layer.to_crs(crs), "fire", "layer x")
    assert gpd.GeoSeries(found["geometry"]).area.to_numpy() == pytest.approx(layer.area.to_numpy(), rel=1e-3)


@pytest.mark.parametrize(("factor", "unit"), [(0.40468564, "hectares"), (4046.86, "square metres"), (1e4, None)])
def test_areas_in_another_unit_are_refused(factor: float, unit: str | None) -> None:
    layer = _layer(-121.5, 38.0).assign(GIS_ACRES=lambda rows: rows["GIS_ACRES"] * factor)
    with pytest.raises(InputError, match=f"look like {unit}" if unit else r"their areas are 0\.0001 of those reported"):
        normalise(layer, "fire", "layer x")
    normalise(layer.head(2), "fire", "layer x")
    normalise(layer, "prescribed", "layer x")


def test_fires_of_another_state_are_refused() -> None:
    with pytest.raises(InputError, match=r"lie around 46\.\d+° N, -11\d\.\d+° E.*the right file\?"):
        normalise(_layer(-115.0, 46.0), "fire", "layer x")


def test_a_layer_without_usable_geometry_is_not_judged() -> None:
    empty = _layer(-121.5, 38.0)
    empty["geometry"] = [None, shapely.Polygon()] * (NUMBER // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(normalise(empty.set_crs(3310), "fire", "layer x")) == NUMBER
