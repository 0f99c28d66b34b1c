"""Scores of maps by land cover: areas counted by hand, ground without a class, and files that can't be used."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_bounds, from_origin
from rasterio.warp import reproject, transform_bounds

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.land_cover import NO_AREAS, NO_COVER, LandCover, areas_by_cover, cover_names
from burnscar_assets.evaluation.map_scores import ScoredGround
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets_tests.evaluation.map_score_tables import scores_of
from burnscar_assets_tests.evaluation.test_map_figures import figures_of

FRAME = Frame(32610, 10, Box(50_000, -420_000, 50_100, -419_900))
NAMES = {10: "forest", 11: "forest", 30: "grass"}
CLASSES = cover_names(NAMES)


def cover(path: Path, codes: np.ndarray, crs: str | None = "EPSG:32610", place: Affine = FRAME.transform) -> LandCover:
    bands = codes if codes.ndim == 3 else codes[None]
    profile = {"width": bands.shape[2], "height": bands.shape[1], "count": len(bands), "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=place, nodata=0, **profile) as target:
        target.write(bands)
    return LandCover(path, NAMES)


def two_covers() -> np.ndarray:
    """Forest of two numbers in the west, grass in the east."""
    codes = np.full((100, 100), 30, np.uint8)
    codes[:, :50], codes[:, :20] = 10, 11
    return codes


def fire() -> tuple[np.ndarray, ScoredGround]:
    """A fire of 40 by 60 pixels, 30 columns of it in the forest; its map lies ten columns too far east, under cloud."""
    burnt, clear = np.zeros((2, 100, 100), bool)
    burnt[30:70, 20:80] = True
    clear[:] = True
    clear[:, 75:] = False
    called = np.roll(burnt, 10, axis=1)
    return called, ScoredGround.of(burnt.astype(np.uint8), clear, None, np.ones_like(clear), 10, 0.5)


def test_areas_of_two_covers_are_those_counted_by_hand(tmp_path: Path) -> None:
    called, ground = fire()
    there = cover(tmp_path / "cover.tif", two_covers()).check()
    assert CLASSES == ["forest", "grass"]
    assert areas_by_cover(called, ground, there.of(FRAME), CLASSES) == {
        "cover": ["forest", "grass"],
        "cover_burnt_ha": [12.0, 10.0],  # 40 rows of columns 20 to 50, and of 50 to 75
        "cover_mapped_ha": [8.0, 10.0],
        "cover_hits_ha": [8.0, 10.0],
        "no_cover": 0.0,
    }
    assert areas_by_cover(called, ground, None, []) == dict(NO_AREAS)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3310", "EPSG:32611"])
def test_a_raster_of_another_crs_says_the_same(tmp_path: Path, crs: str) -> None:
    expected = cover(tmp_path / "own.tif", two_covers()).of(FRAME)
    bounds = rasterio.transform.array_bounds(100, 100, FRAME.transform)
    fine = from_bounds(*transform_bounds(FRAME.crs, crs, *bounds), 400, 400)
    codes = np.zeros((400, 400), np.uint8)
    reproject(two_covers(), codes, src_transform=FRAME.transform, src_crs=FRAME.crs, dst_transform=fine, dst_crs=crs)
    found = cover(tmp_path / "other.tif", codes, crs, fine).of(FRAME)
    assert (found == expected).mean() > 0.98, "but for the pixels along its edges"


def test_ground_beyond_the_raster_or_without_data_has_no_class_and_is_told(tmp_path: Path) -> None:
    called, ground = fire()
    codes = two_covers()[:, :60]
    codes[:, 40:50] = 0
    there = cover(tmp_path / "part.tif", codes)
    places = there.of(FRAME)
    assert (places[:, 40:50] == NO_COVER).all() and (places[:, 60:] == NO_COVER).all()
    found = areas_by_cover(called, ground, places, CLASSES)
    assert (found["cover_burnt_ha"], found["cover_hits_ha"]) == ([8.0, 4.0], [4.0, 4.0])
    assert found["no_cover"] == pytest.approx(25 / 75)
    elsewhere = cover(tmp_path / "far.tif", codes, place=from_origin(200_000, 5_000_000, 10, 10))
    found = areas_by_cover(called, ground, elsewhere.of(FRAME), CLASSES)
    assert found["cover"] == [] and found["no_cover"] == 1


def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    codes = two_covers()
    with pytest.raises(
        InputError, match=r"evaluation\.land_cover: .*none\.tif can't be read .*leave the setting empty"
    ):
        LandCover(tmp_path / "none.tif", NAMES).check()
    for wrong, crs, said in (
        (np.stack([codes, codes]), "EPSG:32610", "has 2 bands of uint8"),
        (codes.astype(np.float32), "EPSG:32610", "has 1 bands of float32"),
        (codes, None, "has no coordinate reference system"),
    ):
        with pytest.raises(InputError, match=said):
            cover(tmp_path / "wrong.tif", wrong, crs).check()
    codes[50, 50] = 31
    with pytest.raises(InputError, match=r"has class 31, which evaluation\.cover_classes has no name for"):
        cover(tmp_path / "unknown.tif", codes).of(FRAME)
    assert len(set(EvaluationSettings().cover_classes.values())) == 11


def test_figures_are_pooled_by_cover_and_fires_are_told_apart_by_what_burned_most() -> None:
    scores = scores_of({"model": [0.8, 0.6, 0.4]})
    assert not {"maps_cover", "maps_fire_cover"} & set(figures_of(scores).reset_index()["scope"])
    of_fires = {"cover": [["forest", "grass"], ["grass"], []], "cover_burnt_ha": [[30.0, 20.0], [40.0], []]}
    of_fires |= {"cover_mapped_ha": [[20.0, 25.0], [30.0], []], "cover_hits_ha": [[15.0, 20.0], [25.0], []]}
    for column, values in of_fires.items():
        scores[column] = [*values, []]
    scores["no_cover"] = [0.0, 0.2, 1.0, 1.0]
    found = figures_of(scores)
    values = found.loc[("model", "maps_cover"), "value"]
    assert values["forest"].to_dict() == pytest.approx({"omission": 0.5, "commission": 0.25, "iou": 15 / 35})
    assert values["grass"].to_dict() == pytest.approx({"omission": 15 / 60, "commission": 10 / 55, "iou": 45 / 70})
    assert values[("", "no_cover")] == pytest.approx(0.4), "frames without fire have no part in it"
    fires = found.loc[("model", "maps_cover"), "fires"]
    assert (fires[("forest", "iou")], fires[("grass", "iou")], fires[("", "no_cover")]) == (1, 2, 3)
    assert found.loc[("model", "maps_fire_cover"), "value"].to_dict() == {
        ("forest", "iou"): 0.8,
        ("grass", "iou"): 0.6,
    }
    assert found.loc[("model", "maps_cover"), "low"].isna().all(), "three fires are too few for an interval"
