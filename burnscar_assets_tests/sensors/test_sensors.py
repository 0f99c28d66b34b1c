"""Files of sensors: what they say, what is said of faulty ones, and what follows from them in a world's settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from burnscar_assets.dataset.tile_plots import composites
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR
from burnscar_assets.errors import SettingsError
from burnscar_assets.models.baselines.features import feature_names
from burnscar_assets.orchestration.versions import stage_settings
from burnscar_assets.sensors.load import DEFAULT, default_sensor, load_sensor
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets_tests.demo_settings import demo_alone
from burnscar_assets_tests.orchestration.label_world import CHAIN

SHIPPED = ("hls", "landsat-c2-l2", "sentinel2-l2a")
OWN: dict[str, Any] = {
    "title": "Five bands",
    "layer": "five",
    "resolution_m": 20,
    "window_px": 24,
    "kind": "composites",
    "bands": [
        {"name": name, "roles": [role], "metres": 20}
        for name, role in (("b", "blue"), ("g", "green"), ("r", "red"), ("n", "nir"), ("s", "swir2"))
    ],
    "radiometry": {"scale": 0.0001},
}


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a world's settings."""
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "world.yaml"))
    (tmp_path / "sensors").mkdir()
    return tmp_path


def write(beside: Path, stem: str = "own", /, **content: Any) -> Path:
    path = beside / "sensors" / f"{stem}.yaml"
    path.write_text(yaml.safe_dump(OWN | content))
    return path


def world(beside: Path, **imagery: Any) -> Settings:
    content = demo_alone()
    path = beside / "world.yaml"
    path.write_text(yaml.safe_dump(content | {"imagery": content["imagery"] | imagery}))
    return load_settings(path)


def test_each_shipped_sensor_loads_and_has_what_all_need() -> None:
    assert sorted(path.stem for path in (CONFIGS_DIR / "sensors").glob("*.yaml")) == sorted(SHIPPED)
    for name in SHIPPED:
        sensor = load_sensor(name)
        assert sensor.name == name and sensor.has("red", "nir", "swir2", "green", "blue")
        assert len(composites(sensor)) == 2
    assert default_sensor() == load_sensor(DEFAULT)
    pretrained_on = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09")
    assert default_sensor().names == pretrained_on
    assert default_sensor().burn_ratio == ("B08", "B12") and default_sensor().shown == ("B12", "B08", "B04")


def test_a_sensor_of_ones_own_is_one_file_beside_the_settings(beside: Path) -> None:
    write(beside)
    settings = world(beside, sensor="own")
    assert settings.sensor.title == "Five bands" and settings.sensor.clear_ground is None
    assert (settings.windows.size_px, settings.windows.resolution_m) == (24, 20)
    assert (settings.imagery.layer, settings.imagery.dataset_config) == ("five", "dataset-sensor.json")
    assert world(beside, sensor="sensors/own.yaml").sensor == settings.sensor
    names = feature_names(settings.sensor)
    assert "nbr_mean" in names and "ndvi_mean" in names and not any(name.startswith("nbr2") for name in names)


def test_of_two_files_of_one_name_the_one_beside_the_settings_counts(beside: Path) -> None:
    write(beside, DEFAULT)
    content = demo_alone()
    (beside / "world.yaml").write_text(yaml.safe_dump(content | {"imagery": {"archive": "a.parquet"}, "windows": {}}))
    settings = load_settings(beside / "world.yaml")
    assert settings.sensor.title == "Five bands"
    assert (settings.windows.size_px, settings.windows.resolution_m) == (24, 20)
    assert (settings.imagery.layer, settings.imagery.dataset_config) == ("five", "dataset-sensor.json")


def test_what_the_settings_say_counts_more_than_the_sensor(beside: Path) -> None:
    write(beside)
    content = demo_alone()
    content |= {"imagery": {"sensor": "own", "layer": "mine"}, "windows": {"resolution_m": 40}}
    (beside / "world.yaml").write_text(yaml.safe_dump(content))
    settings = load_settings(beside / "world.yaml")
    assert (settings.windows.size_px, settings.windows.resolution_m, settings.imagery.layer) == (24, 40, "mine")


def test_the_shipped_sentinel_2_leaves_what_stages_read_as_it_was_and_others_dont(beside: Path) -> None:
    settings = world(beside)
    every = {stage: stage_settings(stage, settings) for stage in CHAIN}
    assert not any("sensor" in name for read in every.values() for name in read)
    assert every["windows"]["windows.resolution_m"] == 10
    path = write(beside)
    own = world(beside, sensor="own")
    before = {stage: stage_settings(stage, own) for stage in CHAIN}
    producer = {"name": "n", "url": "u", "credit": "c"}
    path.write_text(yaml.safe_dump(OWN | {"title": "Other", "producer": producer, "scene_km": 9, "scenes_per_day": 1}))
    assert before == {stage: stage_settings(stage, own) for stage in CHAIN}, "names and plans decide no result"
    path.write_text(yaml.safe_dump(OWN | {"nodata": 9}))
    changed = {stage for stage in CHAIN if stage_settings(stage, own) != before[stage]}
    assert changed == {stage for stage in CHAIN if "imagery.layer" in before[stage]} >= {"tiles", "burned_area_maps"}


def test_pictures_of_a_sensor_without_red_show_near_infrared_for_it(beside: Path) -> None:
    write(beside, bands=OWN["bands"][3:])
    sensor = world(beside, sensor="own").sensor
    assert sensor.shown == ("s", "n", "n")
    assert [composite.bands for composite in composites(sensor)] == [("s", "n", "n")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 1}, "colour: no such field; a sensor has title, "),
        ({"bands": OWN["bands"][:4]}, "no band has the role swir2: every sensor needs nir, swir2"),
        ({"bands": [*OWN["bands"], OWN["bands"][0]]}, "two bands have the name b"),
        ({"bands": [{"name": "b", "roles": ["infrared"], "metres": 20}]}, "bands.0.roles.0: Input should be 'coastal'"),
        ({"radiometry": {"rule": "sentinel2-baseline", "scale": 1}}, "takes scale 0.0001"),
        ({"radiometry": {"rule": "guess", "scale": 1}}, "radiometry.rule: Input should be 'sentinel2-baseline' or"),
        ({"assets": {"x": {"q": "quality"}}}, "assets name q, which is no band: there are b, g, r, n, s"),
        ({"absent": {"x": ["q"]}}, "absent names x, which assets doesn't"),
        ({"name": "own"}, "must hold a mapping, and no name; a sensor has title, "),
    ],
)
def test_mistakes_are_one_line_that_names_file_and_field(beside: Path, change: dict[str, Any], said: str) -> None:
    path = write(beside, **change)
    with pytest.raises(SettingsError) as error:
        world(beside, sensor="own")
    assert said in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_sensor_that_is_not_there_is_named_with_those_that_are(beside: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"no sensor 'modis': there are hls, landsat-c2-l2, sentinel2-l2a; put modis"
    ):
        world(beside, sensor="modis")
