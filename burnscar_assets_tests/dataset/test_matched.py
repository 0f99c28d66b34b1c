"""What is kept of matching beside rslearn's items: rslearn is shown layers alone, and no kill loses a scene."""

import json
from pathlib import Path
from typing import Any

import pytest
from rslearn.dataset import Dataset, Window
from rslearn.dataset.window import WindowLayerData
from upath import UPath

from burnscar_assets.catalog.items import read_candidates, read_groups, set_aside, take_back
from burnscar_assets.dataset import matched
from burnscar_assets.dataset.config import LABEL_LAYERS
from burnscar_assets.dataset.matched import CANDIDATES, load_all_matched, load_matched, save_matched
from burnscar_assets.dataset.packed import pack
from burnscar_assets.dataset.packed.storage import PackedWindowStorage
from burnscar_assets.dataset.windows import DATA_STORAGE, WINDOW_STORAGE, write_windows
from burnscar_assets_tests.dataset.window_tables import windows_of

LAYER = "sentinel2_l2a"
SCENES: list[list[dict[str, Any]]] = [[{"name": "s1"}], [{"name": "s2"}]]


@pytest.fixture(params=["folders", "packed"])
def window(request: pytest.FixtureRequest, tmp_path: Path) -> Window:
    storage = {"storage": {"class_path": WINDOW_STORAGE}, "window_data_storage": {"class_path": DATA_STORAGE}}
    config = {"layers": LABEL_LAYERS} | (storage if request.param == "packed" else {})
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_windows(windows_of(), tmp_path)
    found: Window = Dataset(UPath(tmp_path)).load_windows()[0]
    candidates = WindowLayerData(CANDIDATES + LAYER, [[{"name": "s1"}, {"name": "s3"}]])
    save_matched({found: {LAYER: WindowLayerData(LAYER, SCENES), candidates.layer_name: candidates}})
    return found


def test_rslearn_is_shown_layers_alone(window: Window) -> None:
    assert list(window.load_layer_datas()) == [LAYER]
    assert [item["name"] for item in read_candidates(window, LAYER)] == ["s1", "s3"]
    set_aside(window, LAYER)
    assert list(window.load_layer_datas()) == [LAYER]
    assert window.load_layer_datas()[LAYER].serialized_item_groups == []
    assert read_groups(window, LAYER) == SCENES
    take_back([window], LAYER)
    assert window.load_layer_datas()[LAYER].serialized_item_groups == SCENES


def test_what_rslearn_writes_leaves_notes_as_they_are(window: Window) -> None:
    set_aside(window, LAYER)
    before = load_matched(window).keys()
    window.save_layer_datas(window.load_layer_datas() | {"other": WindowLayerData("other", SCENES)})
    assert load_matched(window).keys() == before | {"other"}
    assert dict(load_all_matched([window]))[window].keys() == before | {"other"}


WRITERS = {True: [(pack, "_number")], False: [(matched, "_write_notes"), (Window, "save_layer_datas")]}
"""What writes scenes, whether packed or not."""


@pytest.mark.parametrize("back", [False, True])
def test_a_kill_as_scenes_are_written_loses_no_scene(
    window: Window, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    for broken in WRITERS[isinstance(window.storage, PackedWindowStorage)]:
        set_aside(window, LAYER) if back else take_back([window], LAYER)
        with monkeypatch.context() as patched:
            patched.setattr(*broken, die)
            with pytest.raises(KeyboardInterrupt):
                take_back([window], LAYER) if back else set_aside(window, LAYER)
        assert read_groups(window, LAYER) == SCENES
        assert [item["name"] for item in read_candidates(window, LAYER)] == ["s1", "s3"]
