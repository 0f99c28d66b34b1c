"""A run is planned from the tables, its configuration from the one YAML, and what would fail is found first."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnscar_assets.classes import CLASS_NAMES, LABEL_PROPERTY
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import InputError, MissingDataError, SettingsError
from burnscar_assets.models.config import check_inputs, config_hash, run_config, write_run_config
from burnscar_assets.models.plan import plan_training
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.models.trainer import run_hash
from burnscar_assets.settings import YearSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.models.training_kit import Plan, tiny_settings

FREEZE = "rslearn.train.callbacks.freeze_unfreeze.FreezeUnfreeze"

pytestmark = pytest.mark.filterwarnings("ignore:.*RANDOM WEIGHTS")


def test_counts_leave_out_windows_without_tiles(plan: Plan) -> None:
    spec = plan()
    assert spec.fire_years == (2019, 2020)
    assert spec.window_count("train") == 96
    assert spec.window_count("val") == 32
    assert spec.fires == {"train": 8, "val": 4}
    assert spec.windows.keys() == {"train", "val"} < spec.names.keys(), "windows for testing are seen by nothing"


def test_a_spec_survives_its_file(plan: Plan, tmp_path: Path) -> None:
    spec = plan()
    assert TrainingSpec.read(spec.write(tmp_path / "spec.json")) == spec
    (tmp_path / "spec.json").write_text('{"fire_year": 2020')
    with pytest.raises(InputError, match="no specification"):
        TrainingSpec.read(tmp_path / "spec.json")


def test_years_of_the_look_back_that_were_made(tiny_world: DataRoot, own_world: DataRoot) -> None:
    def years(fire_year: int, **training: int) -> tuple[int, ...]:
        return plan_training(tiny_settings(**training), tiny_world, fire_year).fire_years

    assert years(2020, look_back_years=0) == (2020,)
    assert years(2020, look_back_years=10) == (2019, 2020)
    assert years(2019) == (2019,)
    without_2020 = tiny_settings(look_back_years=1).model_copy(
        update={"years": YearSettings(first=2018, last=2021, exclude=(2020,))}
    )
    for table in (FIRE_PERIMETERS, WINDOWS, TILES):
        write_table(own_world, table, read_table(tiny_world, table, 2019), 2019)
        write_table(own_world, table, read_table(tiny_world, table, 2020), 2021)
    assert plan_training(without_2020, own_world, 2021).fire_years == (2019, 2021)
    with pytest.raises(MissingDataError, match="no tiles for 2021: run burnscar refresh --years 2021"):
        years(2021)


@pytest.fixture
def own_world(tiny_world: DataRoot, tmp_path: Path) -> DataRoot:
    """A world whose tables can be changed; it shares the dataset's configuration."""
    root = DataRoot(tmp_path / "own")
    for table in (FIRE_PERIMETERS, WINDOWS, TILES):
        write_table(root, table, read_table(tiny_world, table, 2020), 2020)
    root.dataset.mkdir()
    (root.dataset / "config.json").write_bytes((tiny_world.dataset / "config.json").read_bytes())
    return root


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ({"split": "train"}, "train has no burnt windows and train has no unburnt windows"),
        ({"split": "train", "category": "burnt"}, "train has no burnt windows;"),
        ({"split": "train", "category": "unburnt"}, "train has no unburnt windows;"),
        ({"split": "val"}, "val has no windows;"),
    ],
)
def test_an_empty_split_or_class_is_an_error(own_world: DataRoot, gone: dict[str, str], message: str) -> None:
    windows, tiles = read_table(own_world, WINDOWS, 2020), read_table(own_world, TILES, 2020)
    lost = windows.loc[(windows[list(gone)] == pd.Series(gone)).all(axis=1), "window_id"]
    tiles["complete"] = tiles["complete"] & ~tiles["window_id"].isin(set(lost))
    write_table(own_world, TILES, tiles, 2020)
    with pytest.raises(InputError, match=message):
        plan_training(tiny_settings(), own_world, 2020)


def test_fires_that_no_deal_of_the_ground_parts_are_said_to_be_so(own_world: DataRoot) -> None:
    windows = read_table(own_world, WINDOWS, 2020)
    write_table(own_world, WINDOWS, windows.assign(split="train", cluster_id="one"), 2020)
    message = (
        r"val has no windows; its 9 fires lie so near each other that they are one cluster.*add fires farther away"
    )
    with pytest.raises(InputError, match=message):
        plan_training(tiny_settings(), own_world, 2020)


def cloud_over(root: DataRoot, clear: dict[str, float | None], year: int = 2020) -> None:
    """Say how clear some windows are."""
    tiles = read_table(root, TILES, year)
    tiles["clear_fraction"] = tiles["window_id"].map(clear).astype(float)
    write_table(root, TILES, tiles, year)


def test_cloudy_windows_are_counted_and_not_trained_on(own_world: DataRoot) -> None:
    windows = read_table(own_world, WINDOWS, 2020)
    train, val, test = (windows.loc[windows["split"] == s, "window_id"].to_list() for s in ("train", "val", "test"))
    cloudy, clear = {train[0], train[1], val[0], test[0]}, {train[2], val[1]}
    cloud_over(own_world, {train[0]: 0.0, train[1]: 0.89, val[0]: 0.5, test[0]: 0.1, train[2]: 0.9, val[1]: 1.0})
    spec = plan_training(tiny_settings(), own_world, 2020)
    assert (spec.window_count("train"), spec.window_count("val")) == (48 - 2, 16 - 1)
    assert spec.cloudy_windows == {"train": 2, "val": 1} and spec.min_clear_fraction == 0.9
    named = {name for names in spec.names.values() for name in names}
    assert clear <= named and not cloudy & named and len(named) == 80 - 4, "where nothing is known, a window counts"
    config = run_config(spec, "cpu")["data"]["init_args"]
    assert config["train_config"]["names"] == sorted(spec.names["train"])
    assert config["train_config"]["tags"] == {"split": "train"}, "the rest of the configuration stays"


def test_a_world_under_cloud_says_so(own_world: DataRoot) -> None:
    cloud_over(own_world, dict.fromkeys(read_table(own_world, WINDOWS, 2020)["window_id"], 0.2))
    with pytest.raises(InputError, match=r"of 0 windows with complete and clear tiles \(80 others are cloudy"):
        plan_training(tiny_settings(), own_world, 2020)


def test_another_deal_of_the_ground_is_another_run(own_world: DataRoot) -> None:
    def run_of(windows: pd.DataFrame) -> str:
        write_table(own_world, WINDOWS, windows, 2020)
        return run_hash(plan_training(tiny_settings(), own_world, 2020), "cpu")

    windows = read_table(own_world, WINDOWS, 2020)
    burnt = windows["category"] == "burnt"
    train, val = (windows.index[burnt & (windows["split"] == split)][1] for split in ("train", "val"))
    swapped = windows.copy()
    swapped.loc[[train, val], "split"] = ["val", "train"]
    before = run_of(windows)
    assert run_of(swapped) != before
    assert run_of(windows.sample(frac=1, random_state=0)) == before


def test_a_layer_or_band_that_the_dataset_lacks_is_found_first(own_world: DataRoot) -> None:
    path = own_world.dataset / "config.json"
    config = json.loads(path.read_bytes())
    layer = config["layers"]["sentinel2_l2a"]
    layer["band_sets"][0]["bands"].remove("B12")
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"lacks bands \['B12'\]"):
        plan_training(tiny_settings(), own_world, 2020)
    config["layers"] = {"sentinel2": layer, "label": config["layers"]["label"]}
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"reads layer sentinel2_l2a, which .* lacks"):
        plan_training(tiny_settings(), own_world, 2020)


def test_the_yaml_names_the_classes_and_bands_of_the_project(plan: Plan) -> None:
    data = run_config(plan(), "cpu")["data"]["init_args"]
    assert data["task"]["init_args"]["classes"] == list(CLASS_NAMES)
    assert data["task"]["init_args"]["property_name"] == LABEL_PROPERTY
    lists = [data["inputs"]["sentinel2_l2a"]["bands"]]
    normalize = [data[split]["transforms"][0] for split in ("default_config", "train_config")]
    assert lists == [list(BANDS)]
    assert normalize[0] == normalize[1]
    assert len(normalize[0]["init_args"]["mean"]) == len(BANDS)
    assert [data[f"{s}_config"]["tags"]["split"] for s in ("train", "val", "test")] == ["train", "val", "test"]


def test_another_order_of_classes_is_an_error(plan: Plan, tmp_path: Path) -> None:
    text = (CONFIGS_DIR / "model-classification.yaml").read_text()
    changed = tmp_path / "changed.yaml"
    changed.write_text(text.replace("classes: [burnt, unburnt]", "classes: [unburnt, burnt]"))
    with pytest.raises(SettingsError, match="must name the classes"):
        plan(config=str(changed))
    changed.write_text(text.replace("${BURNSCAR_SEED}", "${SEED}"))
    with pytest.raises(SettingsError, match="nothing fills in SEED"):
        plan(config=str(changed))
    changed.write_text("model: [")
    with pytest.raises(SettingsError, match="no rslearn model configuration"):
        plan(config=str(changed))


def test_the_settings_reach_the_configuration(plan: Plan, tmp_path: Path) -> None:
    def callbacks(spec: TrainingSpec) -> dict[str, dict]:
        return {c["class_path"]: c.get("init_args", {}) for c in run_config(spec, "cpu")["trainer"]["callbacks"]}

    assert callbacks(plan(freeze_epochs=3))[FREEZE]["unfreeze_at_epoch"] == 3
    assert FREEZE not in callbacks(plan(freeze_epochs=0))
    early = "lightning.pytorch.callbacks.EarlyStopping"
    assert callbacks(plan(early_stop_epochs=2))[early]["patience"] == 2
    assert callbacks(plan(max_epochs=9))[early]["patience"] == 9
    assert run_config(plan(loader_workers=2), "cpu")["data"]["init_args"]["use_in_memory_dataset"] is False
    assert run_config(plan(), "cpu")["data"]["init_args"]["use_in_memory_dataset"] is True


def test_the_configuration_that_is_written_is_the_same_seen_from_its_folder(plan: Plan, tmp_path: Path) -> None:
    spec = plan()
    written, config = yaml.safe_load(write_run_config(spec, tmp_path).read_text()), run_config(spec, "cpu")
    assert Path(config["management_dir"], config["project_name"], config["run_name"]) == spec.checkpoint
    assert {written.pop(name) for name in ("management_dir", "project_name", "run_name")} == {"."}
    for name in ("management_dir", "project_name", "run_name"):
        del config[name]
    data = written["data"]["init_args"]
    data["path"] = str((spec.checkpoint / data["path"]).resolve())
    encoder = written["model"]["init_args"]["model"]["init_args"]["encoder"][0]["init_args"]
    encoder["model_path"] = str((spec.checkpoint / encoder["model_path"]).resolve())
    first = written["trainer"]["callbacks"].pop(0)
    assert first == {"class_path": "burnscar_assets.models.own_folder.InOwnFolder", "init_args": {"folder": "."}}
    assert written == config


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(rate=st.floats(1e-12, 10), seed=st.integers(0, 2**31))
def test_numbers_reach_the_configuration_as_they_are(plan: Plan, rate: float, seed: int) -> None:
    """YAML 1.1 would read 1e-05 as text."""
    spec = plan()
    changed = spec.model_copy(
        update={"settings": spec.settings.model_copy(update={"learning_rate": rate, "seed": seed})}
    )
    config = run_config(changed, "cpu")
    assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == rate
    assert config["seed_everything"] == seed


def test_the_configuration_hash_is_free_of_this_machines_paths(plan: Plan) -> None:
    spec = plan()
    moved = spec.model_copy(
        update={
            "dataset": Path("/elsewhere"),
            "checkpoint": Path("/elsewhere/c/fire_year=2020"),
            "encoder": type(spec.encoder)(**{**vars(spec.encoder), "path": Path("/elsewhere/encoder")}),
        }
    )
    assert config_hash(moved, "cpu") == config_hash(spec, "cpu")
    assert config_hash(spec, "gpu") != config_hash(spec, "cpu")
    assert config_hash(plan(learning_rate=0.1), "cpu") != config_hash(spec, "cpu")


def test_a_dataset_without_configuration_is_an_error(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rslearn dataset configuration"):
        check_inputs(run_config(plan(), "cpu"), tmp_path)


def test_planning_loads_neither_torch_nor_rslearn() -> None:
    code = "import sys, burnscar_assets.models.plan as p; print({'torch', 'rslearn', 'lightning'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert out.stdout.strip() == "set()"


def test_the_warning_of_random_weights_names_the_model(tiny_world: DataRoot) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plan_training(tiny_settings(), tiny_world, 2020)
    assert any("OlmoEarth-v1_2-Nano: RANDOM WEIGHTS" in str(w.message) for w in caught)
