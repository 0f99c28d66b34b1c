"""The land that negatives are drawn from."""

from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from burnscar_assets.errors import InputError
from burnscar_assets.sampling.land import load_land

SQUARE = shapely.box(-121, 38, -120.9, 38.1)


def layer(*shapes: shapely.Geometry, crs: str | None = "EPSG:4326") -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": ["x"] * len(shapes)}, geometry=list(shapes), crs=crs)


@pytest.mark.real_data
def test_the_coarse_outline_is_california(real_data: Path) -> None:
    land = shapely.union_all(load_land(real_data / "boundary" / "ecoregions.geojson").geometry.to_numpy())
    outline = load_land(None).geometry.iloc[0]
    assert outline.is_valid
    assert outline.intersection(land).area / land.area > 0.94
    assert outline.difference(land).area / outline.area < 0.005


@pytest.mark.parametrize("name", ["land.geojson", "land.gpkg", "land.parquet"])
def test_formats_and_repair(tmp_path: Path, name: str) -> None:
    bow_tie = shapely.Polygon([(-120, 38), (-119.9, 38.1), (-119.9, 38), (-120, 38.1)])
    path = tmp_path / name
    shapes = layer(SQUARE, bow_tie, shapely.Point(-120, 37))
    (shapes.to_parquet if name.endswith("parquet") else shapes.to_file)(path)
    land = load_land(path)
    assert land.crs.to_epsg() == 3310
    assert land.geometry.is_valid.all()
    assert set(land.geom_type) == {"Polygon"}
    expected = layer(SQUARE, shapely.make_valid(bow_tie)).to_crs(3310).area.sum()
    assert land.area.sum() == pytest.approx(expected, rel=1e-3)


def test_what_is_no_layer_of_polygons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_land(tmp_path / "absent.gpkg")
    text = tmp_path / "land.geojson"
    text.write_text("no layer", encoding="utf-8")
    with pytest.raises(InputError, match="cannot read"):
        load_land(text)
    points = tmp_path / "points.gpkg"
    layer(shapely.Point(-120, 37)).to_file(points)
    with pytest.raises(InputError, match="no polygons"):
        load_land(points)
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="no geometry"):
        load_land(table)
    unplaced = tmp_path / "unplaced.parquet"
    layer(SQUARE, crs=None).to_parquet(unplaced)
    with pytest.raises(InputError, match="coordinate reference system"):
        load_land(unplaced)


def test_land_of_other_fire_years_is_left_out(tmp_path: Path) -> None:
    boxes = [shapely.box(-121, 38, -120.9, 38.1), shapely.box(-120, 38, -119.9, 38.1)]
    layer = gpd.GeoDataFrame({"fire_years": [[2019], [2019, 2020]]}, geometry=boxes, crs="EPSG:4326")
    path = tmp_path / "land.geojson"
    layer.to_file(path, driver="GeoJSON")
    assert [len(load_land(path, year)) for year in (2019, 2020, None)] == [2, 1, 2]
    assert load_land(path, 2021, may_be_empty=True).empty
    with pytest.raises(InputError, match="no polygons"):
        load_land(path, 2021)


def test_parquet_is_read_apart_as_other_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "land.parquet"
    layer(SQUARE, SQUARE).assign(fire_years=[[2019], [2019, 2020]]).to_parquet(path)
    monkeypatch.setattr(gpd, "read_parquet", None)
    assert [len(load_land(path, year)) for year in (2019, 2020, None)] == [2, 1, 2]
