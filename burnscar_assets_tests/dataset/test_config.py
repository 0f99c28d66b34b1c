import json
import shutil
from pathlib import Path

import pytest
from rslearn.config import DatasetConfig, LayerType

from burnscar_assets.dataset.config import (
    data_source,
    image_layers,
    load_windows,
    open_dataset,
    validate_layers,
    write_dataset_config,
)
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import InputError, MissingDataError, SettingsError
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, write_archive

CONFIGS = sorted(path.name for path in CONFIGS_DIR.glob("dataset*.json"))


@pytest.mark.parametrize("name", CONFIGS)
def test_each_configuration_loads_with_its_source(name: str, root: DataRoot) -> None:
    settings = ImagerySettings(dataset_config=name, archive="a.parquet", max_cloud_cover=35)
    written = json.loads(write_dataset_config(settings, root).read_text())
    config = DatasetConfig.model_validate(written)
    assert config.layers["label"].type == LayerType.VECTOR
    assert tuple(config.layers["sentinel2_l2a"].band_sets[0].bands) == BANDS
    validate_layers(root.dataset, "sentinel2_l2a", BANDS)
    dataset = open_dataset(root.dataset)
    assert dataset.layers["label"].instantiate_vector_format().coordinate_mode.value == "pixel"
    source = data_source(dataset, "sentinel2_l2a")
    assert (
        type(source).__module__ + "." + type(source).__name__ == config.layers["sentinel2_l2a"].data_source.class_path
    )
    arguments = written["layers"]["sentinel2_l2a"]["data_source"]["init_args"]
    limit = arguments.get("max_cloud_cover", arguments.get("query", {}).get("eo:cloud_cover", {}).get("lte", 35))
    assert limit == 35


def test_the_three_public_sources_are_ready_and_harmonized() -> None:
    def arguments(name: str) -> dict:
        return json.loads((CONFIGS_DIR / name).read_text())["layers"]["sentinel2_l2a"]["data_source"]["init_args"]

    assert len(CONFIGS) == 9
    assert (arguments("dataset-gcp.json")["product_type"], arguments("dataset-gcp.json")["harmonize"]) == ("L2A", True)
    assert arguments("dataset-planetary-computer.json")["harmonize"] is True
    assert "harmonize" not in arguments("dataset-element84.json")


def test_archive_under_the_root_moves_with_it(root: DataRoot, tmp_path: Path) -> None:
    write_archive(root.simulated / "imagery", SmallScene("s"))
    make_dataset(root, "simulated/imagery/index.parquet")
    root.path.rename(tmp_path / "moved")
    source = data_source(open_dataset(tmp_path / "moved" / "dataset"), "sentinel2_l2a")
    assert source.client.endpoint == str(tmp_path / "moved" / "simulated" / "imagery" / "index.parquet")
    assert source.get_item_by_name("s").asset_urls["B02"].startswith(str(tmp_path / "moved"))


@pytest.mark.parametrize(
    "archive", ["https://example.org/index.parquet", "s3://bucket/catalog.json", "/far/index.parquet"]
)
def test_archive_elsewhere_is_written_as_it_is(root: DataRoot, archive: str) -> None:
    make_dataset(root, archive)
    assert f'"index": "{archive}"' in (root.dataset / "config.json").read_text()


def test_configuration_is_written_only_if_it_differs(root: DataRoot) -> None:
    make_dataset(root, "a.parquet")
    path = root.dataset / "config.json"
    before = path.stat().st_mtime_ns
    make_dataset(root, "a.parquet")
    assert path.stat().st_mtime_ns == before
    make_dataset(root, "b.parquet")
    assert "b.parquet" in path.read_text()


def test_bad_configuration_leaves_the_old_one(root: DataRoot, tmp_path: Path) -> None:
    make_dataset(root, "a.parquet")
    before = (root.dataset / "config.json").read_bytes()
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SettingsError, match=r"broken\.json is no rslearn dataset configuration"):
        write_dataset_config(ImagerySettings(dataset_config=str(tmp_path / "broken.json")), root)
    with pytest.raises(SettingsError, match=r"imagery\.archive"):
        write_dataset_config(ImagerySettings(), root)
    with pytest.raises(SettingsError, match=r"dataset-gcp\.json"):
        write_dataset_config(ImagerySettings(dataset_config="nothing.json"), root)
    assert (root.dataset / "config.json").read_bytes() == before


def test_layer_or_band_that_is_not_there_is_named(root: DataRoot) -> None:
    make_dataset(root, "a.parquet")
    with pytest.raises(InputError, match="no raster layer 'sentinel2', only label_raster, sentinel2_l2a"):
        validate_layers(root.dataset, "sentinel2", BANDS)
    with pytest.raises(InputError, match="has no B10, only B02"):
        validate_layers(root.dataset, "sentinel2_l2a", [*BANDS, "B10"])
    with pytest.raises(MissingDataError, match="run burnscar refresh"):
        validate_layers(root.path / "elsewhere", "sentinel2_l2a", BANDS)


def test_unusable_configurations_are_clear_errors(root: DataRoot) -> None:
    make_dataset(root, "a.parquet")
    path = root.dataset / "config.json"
    content = json.loads(path.read_text())
    sqlite = {"class_path": "rslearn.dataset.storage.sqlite.SQLiteWindowStorageFactory"}
    path.write_text(json.dumps(content | {"storage": sqlite}))
    with pytest.raises(InputError, match="must be rslearn's default or"):
        open_dataset(root.dataset)
    content["layers"]["sentinel2_l2a"]["data_source"]["init_args"]["cloudy"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=r"(?s)data source of layer 'sentinel2_l2a'.*cloudy"):
        data_source(open_dataset(root.dataset), "sentinel2_l2a")
    path.write_text(json.dumps({"layers": {"x": {"type": "raster"}}}))
    with pytest.raises(InputError, match="no valid dataset configuration"):
        open_dataset(root.dataset)


def test_windows_come_in_the_tables_order_and_missing_ones_are_named(root: DataRoot) -> None:
    make_dataset(root, "a.parquet")
    table = make_windows(root, [(0, 0), (40, 0), (80, 0)])
    dataset = open_dataset(root.dataset)
    assert list(image_layers(dataset)) == ["sentinel2_l2a"]
    assert list(load_windows(dataset, table.iloc[::-1])) == ["w2", "w1", "w0"]
    shutil.rmtree(root.dataset / "windows" / "2022" / "w1")
    with pytest.raises(MissingDataError, match=r"1 of 3 windows .* \(first: w1\): run burnscar refresh --years 2022"):
        load_windows(dataset, table)
