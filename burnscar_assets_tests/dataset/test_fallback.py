"""A second catalogue behind the first: for windows that the first has no scene for, and when it doesn't answer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2 as Element84

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import SettingsError, SourceUnavailableError
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    WINDOW_PX,
    SmallScene,
    make_dataset,
    make_windows,
    serve,
    write_archive,
)
from burnscar_assets_tests.catalog.stac_server import serve_stac
from burnscar_assets_tests.catalog.test_sources_stac import LAYER, Web, element84_keys

WEST, EAST = (5, 5), (505, 5)
FIRST, SECOND = SmallScene("first", surface=1), SmallScene("second", surface=2, east_m=5_000)
CONFIGS = {"dataset_config": "dataset-element84.json", "fallback": "dataset.json"}


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Element 84's catalogue with the western scene."""
    folder = tmp_path / "web"
    folder.mkdir()
    with serve(folder) as (url, requests), serve_stac([]) as service:
        monkeypatch.setattr(Element84, "STAC_ENDPOINT", service.url)
        found = Web(folder, url, requests, service)
        found.add(FIRST, element84_keys())
        service.items[0]["properties"]["earthsearch:boa_offset_applied"] = True
        yield found


def test_what_the_first_lacks_comes_from_the_second(root: DataRoot, tmp_path: Path, web: Web) -> None:
    index = write_archive(tmp_path / "archive", SECOND)
    settings = make_dataset(root, index, **CONFIGS)
    windows = make_windows(root, [WEST, EAST, (3_000, 5)])
    table, _ = match_scenes(windows, root.dataset, settings)
    assert table["item_ids"].tolist() == [["first"], ["second"], []]
    assert table["source"].tolist() == ["in-folders.json", "dataset.json", ""]
    assert table["reason"].tolist() == ["", "", "no_scene_in_time_range"]
    tiles, _ = materialize_tiles(windows, table, root.dataset, settings)
    assert tiles["complete"].tolist() == [True, True, False]
    for name, scene, column in (("w0", FIRST, 5), ("w1", SECOND, 5)):
        whole = scene.reflectance("B02")[5 : 5 + WINDOW_PX, column : column + WINDOW_PX]
        np.testing.assert_array_equal(read_tile(root.dataset, "2022", name, LAYER, BANDS)[BANDS.index("B02")], whole)
    again, repeated = match_scenes(windows, root.dataset, settings)
    assert (repeated.searched, again["source"].tolist()) == (0, table["source"].tolist())


def test_when_the_first_does_not_answer_the_second_does(root: DataRoot, tmp_path: Path, web: Web) -> None:
    index = write_archive(tmp_path / "archive", SmallScene("west"), SECOND)
    settings = make_dataset(root, index, retries=0, **CONFIGS)
    web.service.failing += [503] * 100
    windows = make_windows(root, [WEST, EAST])
    table, _ = match_scenes(windows, root.dataset, settings)
    assert table["source"].tolist() == ["dataset.json", "dataset.json"]
    more = make_windows(root, [(3_000, 5)], prefix="far")
    with pytest.raises(SourceUnavailableError, match="HTTP 503"):
        match_scenes(more, root.dataset, settings)


def test_a_window_that_the_second_lacks_too_keeps_the_reason_that_says_more(
    root: DataRoot, tmp_path: Path, web: Web
) -> None:
    web.service.items[0]["properties"]["eo:cloud_cover"] = 90
    settings = make_dataset(root, write_archive(tmp_path / "archive", SECOND), **CONFIGS)
    table, _ = match_scenes(make_windows(root, [WEST]), root.dataset, settings)
    assert table["reason"].tolist() == ["too_cloudy"]


def test_a_fallback_that_cannot_make_the_same_layers_is_refused(root: DataRoot, tmp_path: Path) -> None:
    index = write_archive(tmp_path / "archive", SECOND)
    with pytest.raises(SettingsError, match="read directly"):
        make_dataset(root, index, dataset_config="dataset.json", fallback="dataset-gcp.json")


@pytest.mark.parametrize(("pattern", "chosen"), [("best", "good"), ("b*", "good"), ("[bg]*", ""), ("BEST", "best")])
def test_excluded_scenes_are_left_out(root: DataRoot, tmp_path: Path, pattern: str, chosen: str) -> None:
    index = write_archive(tmp_path, SmallScene("best", cloud=1), SmallScene("good", cloud=5))
    settings = make_dataset(root, index, exclude=(pattern,))
    table, summary = match_scenes(make_windows(root, [WEST]), root.dataset, settings)
    assert table["item_ids"].tolist() == [[chosen] if chosen else []]
    assert summary.set_aside.get("excluded", 0) == (0 if chosen == "best" else 1 + (not chosen))
