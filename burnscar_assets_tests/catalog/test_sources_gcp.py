"""The tutorial's own source, `gcp_public_data.Sentinel2`, through our stages, from a simulated bucket."""

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from rslearn.data_sources import copernicus

from burnscar_assets.catalog.bulk_items import get_items_in_bulk
from burnscar_assets.catalog.items import drop_done_granules
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.dataset.config import data_source, load_windows, open_dataset
from burnscar_assets.dataset.materialize import TileSummary, materialize_tiles
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from burnscar_assets.errors import SourceUnavailableError
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog import small_archive
from burnscar_assets_tests.catalog.gcs_server import Bucket, serve_bucket
from burnscar_assets_tests.catalog.small_archive import WINDOW_PX, SmallScene, make_dataset, make_windows

PLACES = [(5, 5), (60, 60), (150, 100)]
LAYER = "sentinel2_l2a"
OLD = SmallScene("old", time="2021-08-10T18:50:00Z", baseline="03.01", surface=5)
NEW = SmallScene("new", time="2022-08-10T18:50:00Z", baseline="04.00", surface=5)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket in the place of Google's."""
    with serve_bucket() as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        monkeypatch.setattr(copernicus, "SENTINEL2_TILE_URL", f"{served.url}/tile_index.json")
        yield served


@pytest.fixture
def imagery(root: DataRoot, bucket: Bucket) -> ImagerySettings:
    """The tutorial's configuration, as it is in configs/."""
    return make_dataset(root, "unused", dataset_config="dataset-gcp.json", retries=0)


def windows_of(root: DataRoot, monkeypatch: pytest.MonkeyPatch, year: int, prefix: str) -> gpd.GeoDataFrame:
    monkeypatch.setattr(small_archive, "YEAR", year)
    return make_windows(root, PLACES, start=f"{year}-08-01", end=f"{year}-08-31", prefix=prefix)


def make(root: DataRoot, windows: pd.DataFrame, imagery: ImagerySettings) -> TileSummary:
    matches, _ = match_scenes(windows, root.dataset, imagery)
    return materialize_tiles(windows, matches, root.dataset, imagery)[1]


def truth(scene: SmallScene, place: tuple[int, int], band: str) -> np.ndarray:
    column, row = place
    return scene.reflectance(band)[row : row + WINDOW_PX, column : column + WINDOW_PX]


def test_pixels_are_those_of_the_scenes_harmonized_once(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {2021: bucket.add(OLD), 2022: bucket.add(NEW)}
    tiles = {}
    for year in (2021, 2022):
        windows = windows_of(root, monkeypatch, year, f"y{year}-")
        matches, _ = match_scenes(windows, root.dataset, imagery)
        assert matches["item_ids"].tolist() == [[names[year]]] * 3
        assert matches["cloud_cover"].tolist() == [10.0] * 3
        _, summary = materialize_tiles(windows, matches, root.dataset, imagery)
        assert (summary.complete, summary.left_out) == (3, 0)
        for number, place in enumerate(PLACES):
            tile = read_tile(root.dataset, str(year), f"y{year}-{number}", LAYER, BANDS)
            for band in (band for band in BANDS if BAND_RESOLUTION_M[band] == 10):
                np.testing.assert_array_equal(tile[BANDS.index(band)], truth(NEW, place, band))
            tiles[year, number] = tile
    for number in range(len(PLACES)):
        np.testing.assert_array_equal(tiles[2021, number], tiles[2022, number])


def test_each_image_is_fetched_once_for_all_windows_and_years(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.add(NEW)
    make(root, windows_of(root, monkeypatch, 2022, "a"), imagery)
    assert len(bucket.images) == len(BANDS)
    asked = len(bucket.listings), len(bucket.downloads)
    more = windows_of(root, monkeypatch, 2022, "b")
    later = more.assign(fire_year=2023)
    for window in load_windows(open_dataset(root.dataset), more).values():
        window.group = "2023"
        window.save()
    assert make(root, later, imagery).complete == 3
    assert (len(bucket.listings), len(bucket.downloads)) == asked
    assert max(Counter(bucket.downloads).values()) == 1


def test_a_fetch_that_broke_off_goes_on_where_it_was(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket.add(NEW)
    image = next(path for path in bucket.objects if name in path and "B11" in path)
    bucket.failing[image] = [403]
    windows = windows_of(root, monkeypatch, 2022, "w")
    with pytest.raises(SourceUnavailableError, match="what was fetched is kept"):
        make(root, windows, imagery)
    before = len(bucket.images)
    assert 0 < before < len(BANDS)
    assert make(root, windows, imagery).complete == 3
    assert sorted(Counter(bucket.images).values()) == [1] * len(BANDS)


def test_a_busy_bucket_is_asked_again(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bucket.add(NEW)
    for path in bucket.objects:
        if name in path and path.endswith((".xml", "B02_10m.jp2")):
            bucket.failing[path] = [503]
    assert make(root, windows_of(root, monkeypatch, 2022, "w"), imagery).complete == 3


def test_windows_get_what_rslearn_s_own_search_gives_them(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day, cloud in ((10, 30.0), (12, 5.0), (14, 5.0), (20, 70.0)):
        for satellite, east in (("S2A", 0), ("S2B", 1_000)):
            time = f"2022-08-{day}T{'18' if east else '19'}:50:00Z"
            bucket.add(SmallScene("s", time=time, cloud=cloud, east_m=east), satellite)
    spots = [(column, row) for column in range(0, 400, 35) for row in (5, 100, 220)]
    windows = make_windows(root, spots, start="2022-08-01", end="2022-08-31")
    dataset = open_dataset(root.dataset)
    source, query = data_source(dataset, LAYER), dataset.layers[LAYER].data_source.query_config
    geometries = [window.get_geometry() for window in load_windows(dataset, windows).values()]
    monkeypatch.setattr(random, "shuffle", lambda values: values.sort())
    expected = source.get_items(geometries, query)
    found = get_items_in_bulk(source, geometries, query)
    names = [[[item.name for item in group.items] for group in groups] for groups in found]
    assert names == [[[item.name for item in group.items] for group in groups] for groups in expected]
    assert {len(groups) for groups in names} == {0, 1}
    assert {len(group) for groups in names for group in groups} == {1, 2}


def test_lists_of_a_year_that_goes_on_are_made_anew_each_day(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.add(OLD)
    year = datetime.now(UTC).year
    now = SmallScene("now", time=f"{year}-01-02T18:50:00Z")
    windows = make_windows(root, PLACES[:1], start=f"{year}-01-01", end=f"{year}-01-20")
    first, _ = match_scenes(windows, root.dataset, imagery)
    assert not first["matched"].any()
    name = bucket.add(now)
    list_file = root.dataset / "cache" / "sentinel2" / f"10SFJ_{year}.json"
    assert json.loads(list_file.read_text()) == []
    dataset = open_dataset(root.dataset)
    source, query = data_source(dataset, LAYER), dataset.layers[LAYER].data_source.query_config
    geometries = [window.get_geometry() for window in load_windows(dataset, windows).values()]
    assert get_items_in_bulk(source, geometries, query) == [[]]
    _age(list_file, hours=21)
    assert [[g.items[0].name for g in groups] for groups in get_items_in_bulk(source, geometries, query)] == [[name]]


def _age(path: Path, hours: float) -> None:
    made = path.stat().st_mtime - hours * 3600
    os.utime(path, (made, made))


def test_granules_are_dropped_once_no_window_waits_for_them(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = bucket.add(OLD), bucket.add(NEW)
    first = windows_of(root, monkeypatch, 2021, "a")
    second = windows_of(root, monkeypatch, 2022, "b")
    waiting, _ = match_scenes(second, root.dataset, imagery)
    make(root, first, imagery)
    folder = root.dataset / "tiles" / LAYER
    assert [path.name for path in folder.iterdir()] == [old]
    dropping = imagery.model_copy(update={"drop_granules": True})
    materialize_tiles(second.iloc[:0], waiting.iloc[:0], root.dataset, dropping)
    assert list(folder.iterdir()) == []
    _, summary = materialize_tiles(second, waiting, root.dataset, dropping)
    assert (summary.complete, list(folder.iterdir())) == (3, [])
    assert make(root, first, dropping).kept == 3
    assert sorted(Counter(bucket.images).values()) == [1] * (2 * len(BANDS))
    assert {path.split("/")[5].removesuffix(".SAFE") for path in bucket.images} == {old, new}


def test_granules_that_a_window_waits_for_stay(
    root: DataRoot, bucket: Bucket, imagery: ImagerySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.add(NEW)
    windows = windows_of(root, monkeypatch, 2022, "w")
    make(root, windows, imagery)
    match_scenes(windows_of(root, monkeypatch, 2022, "v"), root.dataset, imagery)
    assert drop_done_granules(open_dataset(root.dataset), LAYER) == []
