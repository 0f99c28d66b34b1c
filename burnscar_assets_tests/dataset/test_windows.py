"""Windows in the rslearn dataset."""

import errno
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets.dataset import file_layout
from burnscar_assets.dataset.config import ensure_label_layer
from burnscar_assets.dataset.windows import WindowChanges, write_windows
from burnscar_assets.errors import InputError, StorageError
from burnscar_assets_tests.dataset.window_tables import windows_of
from burnscar_assets_tests.sampling.fire_worlds import YEAR

WINDOWS = windows_of()
COUNT = len(WINDOWS)


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and modification time of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def folder_of(dataset_path: Path, number: int) -> Path:
    return dataset_path / "windows" / str(YEAR) / WINDOWS["window_id"].iloc[number]


def put_tile(window: Path) -> Path:
    tile = window / "layers" / "sentinel2_l2a" / "B02" / "geotiff.tif"
    tile.parent.mkdir(parents=True)
    tile.write_bytes(b"tile")
    return tile


def test_rslearn_reads_windows_and_labels_back(tmp_path: Path) -> None:
    from rslearn.dataset import Dataset
    from rslearn.utils.vector_format import GeojsonVectorFormat
    from upath import UPath

    assert write_windows(WINDOWS, tmp_path) == WindowChanges(kept=0, made=COUNT, replaced=0, removed=0)
    ensure_label_layer(tmp_path)
    dataset = Dataset(UPath(tmp_path))
    loaded = {window.name: window for window in dataset.load_windows(groups=[str(YEAR)])}
    assert set(loaded) == set(WINDOWS["window_id"])
    assert dataset.layers["label"].class_names == ["burnt", "unburnt"]
    for row in WINDOWS.itertuples():
        window = loaded[row.window_id]
        assert window.projection.crs.to_epsg() == row.utm_epsg
        assert (window.projection.x_resolution, window.projection.y_resolution) == (10, -10)
        assert window.bounds == (row.min_col, row.min_row, row.min_col + 32, row.min_row + 32)
        assert window.time_range == (row.start_time, row.end_time)
        assert window.options == {
            name: getattr(row, name) for name in ("split", "category", "stratum", "fire_id", "cluster_id")
        }
        assert window.is_layer_completed("label")
        (feature,) = window.data.read_vector("label", GeojsonVectorFormat())
        assert feature.properties == {"category": row.category}
        assert feature.geometry.shp.equals(shapely.box(*window.bounds))


def test_the_footprint_is_where_rslearn_puts_the_window(tmp_path: Path) -> None:
    from rslearn.const import WGS84_PROJECTION
    from rslearn.dataset import Dataset
    from upath import UPath

    write_windows(WINDOWS.head(5), tmp_path)
    ensure_label_layer(tmp_path)
    degrees = WINDOWS.to_crs(4326).set_index("window_id").geometry
    for window in Dataset(UPath(tmp_path)).load_windows():
        there = window.get_geometry().to_projection(WGS84_PROJECTION).shp
        assert there.symmetric_difference(degrees[window.name]).area < 1e-3 * there.area


def test_the_same_windows_again_change_nothing(tmp_path: Path) -> None:
    write_windows(WINDOWS, tmp_path)
    put_tile(folder_of(tmp_path, 0))
    before = state_of(tmp_path)
    assert write_windows(WINDOWS.sample(frac=1, random_state=0), tmp_path) == WindowChanges(COUNT, 0, 0, 0)
    assert state_of(tmp_path) == before


def test_changed_tags_replace_the_metadata_and_keep_the_imagery(tmp_path: Path) -> None:
    write_windows(WINDOWS, tmp_path)
    tile = put_tile(folder_of(tmp_path, 3))
    before = state_of(tmp_path)
    changed = WINDOWS.copy()
    changed.loc[3, "split"] = "test" if changed.loc[3, "split"] != "test" else "train"
    assert write_windows(changed, tmp_path) == WindowChanges(COUNT - 1, 0, 1, 0)
    after = state_of(tmp_path)
    touched = {name for name in after if after[name] != before[name]}
    assert touched == {str((folder_of(tmp_path, 3) / "metadata.json").relative_to(tmp_path))}
    assert tile.read_bytes() == b"tile"


def test_windows_that_nobody_wants_go_with_their_imagery(tmp_path: Path) -> None:
    write_windows(WINDOWS, tmp_path)
    other_year = windows_of(YEAR + 1)
    write_windows(other_year, tmp_path)
    put_tile(folder_of(tmp_path, 0))
    assert write_windows(WINDOWS.iloc[4:], tmp_path) == WindowChanges(COUNT - 4, 0, 0, 4)
    left = {path.name for path in (tmp_path / "windows" / str(YEAR)).iterdir()}
    assert left == set(WINDOWS["window_id"].iloc[4:])
    assert len(list((tmp_path / "windows" / str(YEAR + 1)).iterdir())) == len(other_year)
    assert write_windows(WINDOWS.head(1), tmp_path, remove_others=False).removed == 0


def test_a_year_that_lost_all_its_windows(tmp_path: Path) -> None:
    write_windows(WINDOWS, tmp_path)
    assert write_windows(WINDOWS.head(0), tmp_path).removed == 0
    assert write_windows(WINDOWS.head(0), tmp_path, fire_years=[YEAR]).removed == COUNT


@pytest.mark.parametrize(
    "damage",
    [
        lambda window: (window / "metadata.json").unlink(),
        lambda window: (window / "metadata.json").write_text('{"bounds": [1', encoding="utf-8"),
        lambda window: (window / "metadata.json").write_text("[]", encoding="utf-8"),
        lambda window: shutil.rmtree(window / "layers"),
        lambda window: (window / "layers" / "label" / "completed").unlink(),
        lambda window: (window / "layers" / "label" / "data.geojson").write_text("", encoding="utf-8"),
    ],
    ids=["no metadata", "cut metadata", "strange metadata", "no label", "label not completed", "empty label"],
)
def test_a_damaged_window_is_written_anew(tmp_path: Path, damage: object) -> None:
    write_windows(WINDOWS, tmp_path)
    whole = {name: content for name, (content, _) in state_of(tmp_path).items()}
    damage(folder_of(tmp_path, 2))
    assert write_windows(WINDOWS, tmp_path) == WindowChanges(COUNT - 1, 0, 1, 0)
    assert {name: content for name, (content, _) in state_of(tmp_path).items()} == whole


def test_a_window_with_another_time_range_loses_its_imagery(tmp_path: Path) -> None:
    """Rslearn would take the old tiles for those of the new time range."""
    write_windows(WINDOWS, tmp_path)
    metadata = folder_of(tmp_path, 1) / "metadata.json"
    content = json.loads(metadata.read_text(encoding="utf-8"))
    content["time_range"][1] = "2030-01-01T00:00:00+00:00"
    metadata.write_text(json.dumps(content), encoding="utf-8")
    tile = put_tile(folder_of(tmp_path, 1))
    assert write_windows(WINDOWS, tmp_path).replaced == 1
    assert not tile.exists()


def test_an_interrupted_run_leaves_whole_windows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rslearn.dataset import Dataset
    from rslearn.utils.vector_format import GeojsonVectorFormat
    from upath import UPath

    ensure_label_layer(tmp_path)
    whole, left = GeojsonVectorFormat.encode_vector, []

    def full_disk(self: GeojsonVectorFormat, path: UPath, features: list) -> None:
        left.append(path)
        if len(left) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, path, features)

    monkeypatch.setattr(GeojsonVectorFormat, "encode_vector", full_disk)
    with pytest.raises(StorageError, match="no space left"):
        write_windows(WINDOWS, tmp_path)
    windows = Dataset(UPath(tmp_path)).load_windows()
    assert len(windows) == 5
    assert all(window.is_layer_completed("label") for window in windows)
    monkeypatch.undo()
    (tmp_path / f"{file_layout._STAGING_PREFIX}left-by-a-kill" / "windows").mkdir(parents=True)
    assert write_windows(WINDOWS, tmp_path) == WindowChanges(5, COUNT - 5, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".windows.lock", "config.json", "windows"]


def test_years_of_a_backfill_can_be_written_at_once(tmp_path: Path) -> None:
    years = [windows_of(YEAR + number) for number in range(4)]
    with ThreadPoolExecutor(len(years)) as pool:
        changes = list(pool.map(lambda windows: write_windows(windows, tmp_path), years))
    assert changes == [WindowChanges(0, len(windows), 0, 0) for windows in years]


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    write_windows(WINDOWS, tmp_path, lambda what, done, total: told.append((what, done, total)))
    assert told[-1] == ("windows", COUNT, COUNT)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


@pytest.mark.parametrize("content", ["{", "[]", '{"layers": {}}', '{"layers": {"label": {"type": "raster"}}}'])
def test_a_configuration_without_label_layer_is_refused(tmp_path: Path, content: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="label"):
        ensure_label_layer(tmp_path)
    assert config.read_text(encoding="utf-8") == content


def test_a_table_of_two_years_makes_two_groups(tmp_path: Path) -> None:
    both = gpd.GeoDataFrame(pd.concat([WINDOWS.head(3), windows_of(YEAR + 1).head(2)]))
    assert write_windows(both, tmp_path).made == 5
    assert sorted(path.name for path in (tmp_path / "windows").iterdir()) == [str(YEAR), str(YEAR + 1)]
