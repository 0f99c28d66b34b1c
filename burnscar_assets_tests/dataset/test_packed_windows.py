"""Windows in packed files: the same for rslearn as folders, and changed in the same way."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnscar_assets.dataset.config import LABEL_LAYERS, ensure_label_layer
from burnscar_assets.dataset.packed.pack import Pack, pack_path
from burnscar_assets.dataset.packed.rasters import Grid, Raster, RasterRow
from burnscar_assets.dataset.windows import (
    DATA_STORAGE,
    WINDOW_STORAGE,
    WindowChanges,
    is_packed,
    write_windows,
)
from burnscar_assets.errors import InputError
from burnscar_assets_tests.dataset.window_tables import windows_of
from burnscar_assets_tests.sampling.fire_worlds import YEAR

WINDOWS = windows_of()
COUNT = len(WINDOWS)
CONFIG: dict[str, Any] = {
    "layers": {"label": LABEL_LAYERS["label"]},
    "storage": {"class_path": WINDOW_STORAGE},
    "window_data_storage": {"class_path": DATA_STORAGE},
}
TILE = Raster(("B02",), np.arange(32 * 32, dtype="uint16").reshape(1, 1, 32, 32), Grid("EPSG:32610", 10, -10), 0, 0)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return folder


def pack_of(dataset: Path, year: int = YEAR) -> Pack:
    return Pack(pack_path(dataset, str(year)))


def name_of(number: int) -> str:
    return str(WINDOWS["window_id"].iloc[number])


def put_tile(pack: Pack, name: str) -> None:
    with pack.transaction():
        pack.rasters.put([RasterRow(name, "sentinel2_l2a", 0, TILE)])
        pack.mark_completed([(name, "sentinel2_l2a", 0)])


def has_tile(pack: Pack, name: str) -> bool:
    return pack.is_completed(name, "sentinel2_l2a")


def test_rslearn_reads_the_same_from_both_layouts(tmp_path: Path, dataset: Path) -> None:
    from rslearn.dataset import Dataset
    from upath import UPath

    folders = tmp_path / "folders"
    for path in (folders, dataset):
        assert write_windows(WINDOWS, path) == WindowChanges(kept=0, made=COUNT, replaced=0, removed=0)
        ensure_label_layer(path)
    assert sorted(path.name for path in dataset.rglob("*") if path.is_file()) == [f"{YEAR}.sqlite", "config.json"]
    loaded = []
    for path in (folders, dataset):
        opened = Dataset(UPath(path))
        vector_format = opened.layers["label"].instantiate_vector_format()
        windows = sorted(opened.load_windows(groups=[str(YEAR)]), key=lambda window: window.name)
        loaded.append(
            [
                (
                    window.get_metadata(),
                    window.time_range,
                    window.projection,
                    window.list_completed_layers(),
                    [
                        (feature.to_geojson(), feature.geometry.projection, feature.geometry.time_range)
                        for feature in window.data.read_vector("label", vector_format)
                    ],
                )
                for window in windows
            ]
        )
    assert loaded[0] == loaded[1]
    assert len(loaded[0]) == COUNT


def test_the_label_text_is_what_rslearn_writes(dataset: Path) -> None:
    from rslearn.dataset import Dataset
    from rslearn.utils.feature import Feature
    from upath import UPath

    from burnscar_assets.dataset.packed.data import features_text

    write_windows(WINDOWS, dataset)
    opened = Dataset(UPath(dataset))
    vector_format = opened.layers["label"].instantiate_vector_format()
    for window in opened.load_windows():
        feature = Feature(window.get_geometry(), {"category": window.options["category"]})
        text = pack_of(dataset).vector(window.name, "label")
        assert json.loads(text) == json.loads(features_text(vector_format, [feature]))


def test_the_same_windows_again_change_no_byte(dataset: Path) -> None:
    write_windows(WINDOWS, dataset)
    put_tile(pack_of(dataset), name_of(0))
    path = pack_of(dataset).path
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert write_windows(WINDOWS.sample(frac=1, random_state=0), dataset) == WindowChanges(COUNT, 0, 0, 0)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_window_saved_by_rslearn_unchanged_is_kept(dataset: Path) -> None:
    from rslearn.dataset import Dataset
    from rslearn.utils.geometry import Projection
    from upath import UPath

    write_windows(WINDOWS, dataset)
    for window in Dataset(UPath(dataset)).load_windows():
        window.projection = Projection(window.projection.crs, 10, -10)
        window.save()
    assert write_windows(WINDOWS, dataset) == WindowChanges(COUNT, 0, 0, 0)


def test_changed_tags_replace_the_metadata_and_keep_the_pixels(dataset: Path) -> None:
    write_windows(WINDOWS, dataset)
    pack = pack_of(dataset)
    put_tile(pack, name_of(3))
    changed = WINDOWS.copy()
    changed.loc[3, "split"] = "test" if changed.loc[3, "split"] != "test" else "train"
    assert write_windows(changed, dataset) == WindowChanges(COUNT - 1, 0, 1, 0)
    assert has_tile(pack, name_of(3))
    (metadata,) = (json.loads(text) for _, text in pack.windows([name_of(3)]))
    assert metadata["options"]["split"] == changed.loc[3, "split"]


def test_windows_that_nobody_wants_go_with_their_pixels(dataset: Path) -> None:
    write_windows(WINDOWS, dataset)
    write_windows(windows_of(YEAR + 1), dataset)
    pack = pack_of(dataset)
    put_tile(pack, name_of(0))
    assert write_windows(WINDOWS.iloc[4:], dataset) == WindowChanges(COUNT - 4, 0, 0, 4)
    assert {name for name, _ in pack.windows()} == set(WINDOWS["window_id"].iloc[4:])
    assert not has_tile(pack, name_of(0))
    assert len(pack_of(dataset, YEAR + 1).windows()) == len(windows_of(YEAR + 1))
    assert write_windows(WINDOWS.head(1), dataset, remove_others=False).removed == 0
    assert write_windows(WINDOWS.head(0), dataset, fire_years=[YEAR, YEAR + 7]).removed == COUNT - 3
    assert not pack_of(dataset, YEAR + 7).path.exists()


DAMAGES = {
    "no metadata": "UPDATE windows SET metadata = NULL WHERE name = ?",
    "cut metadata": "UPDATE windows SET metadata = '{\"bounds\": [1' WHERE name = ?",
    "strange metadata": "UPDATE windows SET metadata = '[]' WHERE name = ?",
    "other time range": "UPDATE windows SET metadata = replace(metadata, 'T00:00:00', 'T01:00:00') WHERE name = ?",
    "no label": "DELETE FROM vectors WHERE window = (SELECT id FROM windows WHERE name = ?)",
    "label not completed": "DELETE FROM completed WHERE layer = 'label' AND window = "
    "(SELECT id FROM windows WHERE name = ?)",
    "damaged label": "UPDATE vectors SET features = features || ' ' WHERE window = "
    "(SELECT id FROM windows WHERE name = ?)",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_window_is_written_anew_without_pixels(dataset: Path, damage: str) -> None:
    write_windows(WINDOWS, dataset)
    pack = pack_of(dataset)
    whole = dict(pack.windows()), pack.vectors("label"), pack.completed("label")
    put_tile(pack, name_of(2))
    connection = sqlite3.connect(pack.path)
    with connection:
        connection.execute(DAMAGES[damage], (name_of(2),))
    connection.close()
    changes = write_windows(WINDOWS, dataset)
    assert (changes.kept, changes.made + changes.replaced, changes.removed) == (COUNT - 1, 1, 0)
    assert (dict(pack.windows()), pack.vectors("label"), pack.completed("label")) == whole
    assert not has_tile(pack, name_of(2))


def test_years_of_a_backfill_can_be_written_at_once(dataset: Path) -> None:
    years = [windows_of(YEAR + number) for number in range(4)]
    with ThreadPoolExecutor(len(years)) as pool:
        changes = list(pool.map(lambda windows: write_windows(windows, dataset), years))
    assert changes == [WindowChanges(0, len(windows), 0, 0) for windows in years]


def test_progress_ends_at_the_total(dataset: Path) -> None:
    told: list[tuple[str, int, int]] = []
    write_windows(WINDOWS, dataset, lambda what, done, total: told.append((what, done, total)))
    assert told[-1] == ("windows", COUNT, COUNT)


@pytest.mark.parametrize("lacking", ["storage", "window_data_storage"])
def test_half_a_packed_configuration_is_refused(dataset: Path, lacking: str) -> None:
    half = {key: value for key, value in CONFIG.items() if key != lacking}
    (dataset / "config.json").write_text(json.dumps(half), encoding="utf-8")
    with pytest.raises(InputError, match="window_data_storage"):
        write_windows(WINDOWS, dataset)


def test_which_layout(tmp_path: Path, dataset: Path) -> None:
    assert is_packed(dataset)
    assert not is_packed(tmp_path)
