"""Planetary Computer and Element 84 through our stages, with a local STAC API and a local server of files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from planetary_computer import sas
from planetary_computer.settings import Settings
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2 as Element84
from rslearn.data_sources.planetary_computer import PlanetaryComputer

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import StacDict
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M, BANDS
from burnscar_assets.errors import SourceUnavailableError
from burnscar_assets.storage.contracts import SCENE_MATCHES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.gcs_server import metadata
from burnscar_assets_tests.catalog.small_archive import (
    WINDOW_PX,
    SmallScene,
    make_dataset,
    make_windows,
    serve,
    write_scene,
)
from burnscar_assets_tests.catalog.stac_server import StacService, serve_stac

LAYER = "sentinel2_l2a"
PLACES = [(5, 5), (60, 60), (150, 100)]
TEN_METRES = [band for band in BANDS if BAND_RESOLUTION_M[band] == 10]
FOLDER = "scenes"
SIGNATURE = "sig=secret"
OLD = SmallScene("old", time="2021-08-10T18:50:00Z", baseline="03.01", surface=5)
NEW = SmallScene("new", time="2022-08-10T18:50:00Z", baseline="05.09", surface=5)


@dataclass
class Web:
    """A folder with a server of its files, the paths that were asked for, and a STAC API."""

    folder: Path
    url: str
    requests: list[str]
    service: StacService

    def add(self, scene: SmallScene, keys: dict[str, str] | None = None) -> StacDict:
        """Write a scene's files and list it; returns its item."""
        item = write_scene(self.folder / FOLDER, scene, keys) | {"collection": "sentinel-2-l2a"}
        for asset in item["assets"].values():
            asset["href"] = f"{self.url}/{FOLDER}/{asset['href'].removeprefix('./')}"
        self.service.items = [*self.service.items, item]
        return item


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """Servers without any scene yet."""
    folder = tmp_path / "web"
    folder.mkdir()
    with serve(folder) as (url, requests), serve_stac([], most=2) as service:
        yield Web(folder, url, requests, service)


@pytest.fixture
def planetary_computer(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Servers in the place of Planetary Computer's, whose files are signed with a token."""
    host = urlsplit(web.url).netloc
    token = web.folder / "token" / host.split(".")[0] / FOLDER
    token.parent.mkdir(parents=True)
    signature = f"st=2022-01-01T00%3A00%3A00Z&se=2099-01-01T00%3A00%3A00Z&sp=r&{SIGNATURE}"
    token.write_text(json.dumps({"msft:expiry": "2099-01-01T00:00:00Z", "token": signature}))
    monkeypatch.setattr(PlanetaryComputer, "STAC_ENDPOINT", web.service.url)
    monkeypatch.setattr(sas, "BLOB_STORAGE_DOMAIN", host)
    monkeypatch.setenv("PC_SDK_SAS_URL", f"{web.url}/token")
    sas.TOKEN_CACHE.clear()
    Settings.get.cache_clear()
    yield web
    sas.TOKEN_CACHE.clear()
    Settings.get.cache_clear()


def add_to_planetary_computer(web: Web, scene: SmallScene) -> None:
    item = web.add(scene)
    (web.folder / FOLDER / scene.name / "MTD_MSIL2A.xml").write_text(metadata(scene, "image"))
    item["assets"]["product-metadata"] = {"href": f"{web.url}/{FOLDER}/{scene.name}/MTD_MSIL2A.xml"}


def element84_keys() -> dict[str, str]:
    return {bands[0]: key for key, bands in Element84.ASSET_BANDS.items()}


def tiles_of(root: DataRoot, config: str) -> np.ndarray:
    """Tiles of windows in August 2021 and of the same windows in August 2022: (year, window, band, row, column)."""
    imagery = make_dataset(root, "unused", dataset_config=config)
    tiles = []
    for year in (2021, 2022):
        windows = make_windows(root, PLACES, f"{year}-08-01", f"{year}-08-31", prefix=f"y{year}-")
        matches, _ = match_scenes(windows, root.dataset, imagery)
        assert matches["matched"].all()
        _, summary = materialize_tiles(windows, matches, root.dataset, imagery)
        assert (summary.complete, summary.left_out) == (3, 0)
        tiles.append([read_tile(root.dataset, "2022", name, LAYER, BANDS) for name in windows["window_id"]])
    return np.array(tiles)


def assert_harmonized_once(tiles: np.ndarray) -> None:
    np.testing.assert_array_equal(tiles[0], tiles[1])
    for number, (column, row) in enumerate(PLACES):
        for band in TEN_METRES:
            whole = NEW.reflectance(band)[row : row + WINDOW_PX, column : column + WINDOW_PX]
            np.testing.assert_array_equal(tiles[1, number, BANDS.index(band)], whole)


def test_planetary_computer_is_harmonized_once_and_signed(root: DataRoot, planetary_computer: Web) -> None:
    for scene in (OLD, NEW):
        add_to_planetary_computer(planetary_computer, scene)
    assert_harmonized_once(tiles_of(root, "dataset-planetary-computer.json"))
    assert len(planetary_computer.service.bodies) == 2
    files = [path for path in planetary_computer.requests if path.startswith(f"/{FOLDER}")]
    assert files
    assert all(SIGNATURE in path for path in files)
    tokens = [path for path in planetary_computer.requests if path.startswith("/token")]
    asked = [path for path in files if "MTD_MSIL2A.xml" in path]
    assert len(asked) == 2, "each scene's metadata are fetched once, not for each of its files"
    assert 0 < len(tokens) < len(files) / 2, "a token serves many requests; threads that start at once may each ask"


def test_element_84_is_harmonized_already(root: DataRoot, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Element84, "STAC_ENDPOINT", web.service.url)
    for scene in (OLD, SmallScene("new", time=NEW.time, baseline="03.01", surface=5)):
        item = web.add(scene, element84_keys())
        item["properties"] |= {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}
    assert_harmonized_once(tiles_of(root, "dataset-element84.json"))


@pytest.mark.parametrize("carries", [True, False])
@pytest.mark.parametrize("flag", [True, False])
def test_element_84s_flag_is_held_against_the_pixels(
    root: DataRoot, web: Web, monkeypatch: pytest.MonkeyPatch, carries: bool, flag: bool
) -> None:
    monkeypatch.setattr(Element84, "STAC_ENDPOINT", web.service.url)
    for scene in (OLD, SmallScene("new", NEW.time, baseline="04.00" if carries else "03.01", surface=5)):
        item = web.add(scene, element84_keys())
        item["properties"] |= {"s2:processing_baseline": "04.00", "earthsearch:boa_offset_applied": flag}
    assert_harmonized_once(tiles_of(root, "dataset-element84.json"))


def test_reasons_and_limits_hold_for_an_api_too(root: DataRoot, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Element84, "STAC_ENDPOINT", web.service.url)
    for name, cloud, east in (("cloudy", 80, 0), ("less cloudy", 61, 0), ("clear", 5, 5_000)):
        web.add(SmallScene(name, cloud=cloud, east_m=east), element84_keys())
    imagery = make_dataset(root, "unused", dataset_config="dataset-element84.json", max_cloud_cover=60)
    windows = make_windows(root, [(5, 5), (505, 5), (3_000, 5)])
    table, summary = match_scenes(windows, root.dataset, imagery)
    assert table["reason"].tolist() == ["too_cloudy", "", "no_scene_in_time_range"]
    assert len(web.service.searches) == 2
    again, repeated = match_scenes(windows, root.dataset, imagery)
    assert (summary.searched, repeated.searched, len(web.service.searches)) == (3, 0, 2)
    assert SCENE_MATCHES.content_hash(again) == SCENE_MATCHES.content_hash(table)


def test_a_search_that_fails_midway_keeps_what_was_matched(
    root: DataRoot, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Element84, "STAC_ENDPOINT", web.service.url)
    for year in (2020, 2022):
        web.add(SmallScene(f"{year}", time=f"{year}-08-10T18:50:00Z"), element84_keys())
    imagery = make_dataset(root, "unused", dataset_config="dataset-element84.json", retries=0, late_days=0)
    windows = make_windows(root, PLACES, "2020-08-01", "2020-08-31", prefix="a")
    later = make_windows(root, PLACES, "2022-08-01", "2022-08-31", prefix="b")
    both = gpd.GeoDataFrame(pd.concat([windows, later], ignore_index=True), crs=windows.crs)
    answer = StacService.answer

    def broken(service: StacService, body: dict[str, object]) -> dict[str, object]:
        if "2022" in str(body["datetime"]):
            return {}
        return answer(service, body)

    with monkeypatch.context() as patched:
        patched.setattr(StacService, "answer", broken)
        with pytest.raises(SourceUnavailableError, match="what was matched is kept"):
            match_scenes(both, root.dataset, imagery)
    table, summary = match_scenes(both, root.dataset, imagery)
    assert table["matched"].all()
    assert (summary.searched, summary.kept) == (3, 3)
