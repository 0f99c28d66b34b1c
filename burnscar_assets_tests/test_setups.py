"""Set-up files: what they change, what they become, and what is said of faulty ones."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR
from burnscar_assets.errors import SettingsError
from burnscar_assets.models.config import needs_encoder
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.publish.plan import home_of
from burnscar_assets.settings import ModelSettings, Settings, load_settings, parse_settings
from burnscar_assets.setups import load_setup, load_setups
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.demo_settings import demo_alone

SHIPPED = sorted(path.stem for path in (CONFIGS_DIR / "setups").glob("*.yaml"))
ASSETS = ("evaluation_metrics", "x/checkpoint", "x/evaluation_metrics", "y/checkpoint", "setup_comparison")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `setups` beside a settings file that leaves out those that come with the package."""
    content = demo_alone() | {"setups": {"exclude": SHIPPED}}
    (tmp_path / "world.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "world.yaml"))
    (tmp_path / "setups").mkdir()
    return tmp_path / "setups"


@pytest.fixture
def settings(folder: Path) -> Settings:
    return load_settings(folder.parent / "world.yaml")


def write(folder: Path, name: str, **content: Any) -> None:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"title": name.upper()} | content))


def assets(settings: Settings, root: DataRoot) -> set[str]:
    graph = build_definitions(settings, root).resolve_asset_graph()
    return {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_materializable}


def test_a_file_becomes_assets_and_changes_nothing_else(folder: Path, settings: Settings, root: DataRoot) -> None:
    before = assets(settings, root)
    assert not any("/" in name for name in before) and "setup_comparison" not in before
    write(folder, "x", kind="threshold")
    write(folder, "y-2", training={"model": {"patch_size": 2}})
    own = {f"{name}/{stage}" for name in ("x", "y-2") for stage in ("checkpoint", "evaluation_metrics")}
    assert assets(settings, root) == before | own | {"setup_comparison"}
    graph = build_definitions(settings, root).resolve_asset_graph()
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    pools = {key.to_user_string(): graph.get(key).pools for key in graph.get_all_asset_keys()}
    assert groups["y-2/checkpoint"] == "setup_y_2"
    assert pools["y-2/checkpoint"] == {"gpu"} and not pools["x/checkpoint"]


def test_a_set_up_replaces_values_field_by_field_and_has_its_own_place(folder: Path, settings: Settings) -> None:
    write(folder, "x", training={"model": {"patch_size": 2}, "max_epochs": 3}, layer="after", seeds=[4, 5])
    applied = load_setup("x").applied_to(settings)
    assert (applied.training.model.patch_size, applied.training.model.variant) == (2, settings.training.model.variant)
    assert (applied.training.max_epochs, applied.training.seed, applied.imagery.layer) == (3, 4, "after")
    assert load_setup("x").applied_to(settings, seed=5).training.seed == 5
    root = DataRoot(Path("/d"))
    assert root.setup("x").checkpoint(2020) == Path("/d/setups/x/checkpoints/fire_year=2020")
    assert root.setup("x", 5).evaluation(2020) == Path("/d/setups/x/seed=5/evaluation/fire_year=2020")
    assert root.setup("x").dataset == root.dataset and root.setup("x").tables == root.tables


def test_another_encoder_takes_nothing_that_the_world_says_of_its_own(folder: Path, settings: Settings) -> None:
    write(folder, "x", training={"model": {"encoder": "galileo"}})
    write(folder, "y", training={"model": {"encoder": "olmoearth"}})
    assert load_setup("x").applied_to(settings).training.model == ModelSettings(encoder="galileo")
    assert load_setup("y").applied_to(settings).training.model == settings.training.model != ModelSettings()


def test_every_file_that_comes_with_the_package_is_valid(settings: Settings) -> None:
    for name in SHIPPED:
        setup = load_setup(name)
        assert setup.applied_to(settings) and setup.description, name


def test_a_set_up_of_an_encoder_has_one_whatever_network_the_world_has(settings: Settings) -> None:
    assert not needs_encoder(settings.training), "the demo's own is a plain U-Net"
    named = [setup for name in SHIPPED if "model" in (setup := load_setup(name)).training]
    assert {"tutorial", "olmoearth-frozen"} <= {setup.name for setup in named}
    for setup in named:
        assert needs_encoder(setup.applied_to(settings).training), setup.name


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"kind": "forest"}, ("kind", "fine_tuned", "trees")),
        ({"patch": 2}, ("patch", "no such field", "training")),
        ({"title": ""}, ("title",)),
        ({"training": {"epochs": 2}}, ("set-up x", "training.epochs", "max_epochs")),
        ({"training": {"model": {"patch_size": 0}}}, ("set-up x", "training.model.patch_size", "1")),
        ({"seeds": [1, 1]}, ("seeds must differ",)),
        ({"seeds": [1], "training": {"seed": 2}}, ("not both",)),
        ({"trees": {"leaves": 3}}, ("trees is not of kind fine_tuned",)),
        ({"kind": "threshold", "threshold": {"index": "nbr", "before_layer": "x"}}, ("before_layer",)),
        ({"kind": "trees", "trees": {"leaves": 1}}, ("trees.leaves", "2")),
        ({"kind": "ensemble"}, ("members",)),
        ({"members": ["default", "nbr-threshold"]}, ("members are of kind ensemble",)),
        ({"kind": "ensemble", "members": ["default", "default"]}, ("members must differ",)),
        ({"kind": "ensemble", "members": ["default", "nowhere"]}, ("no member 'nowhere'", "nbr-threshold")),
        ({"kind": "ensemble", "members": ["default", "unet"], "training": {"max_epochs": 2}}, ("trains nothing",)),
    ],
)
def test_a_mistake_is_named_with_its_file(folder: Path, settings: Settings, content: dict, expected: tuple) -> None:
    write(folder, "x", **content)
    with pytest.raises(SettingsError) as raised:
        load_setups(settings)
    assert all(words in str(raised.value) for words in ("x", *expected)), raised.value


@pytest.mark.parametrize("name", ["Upper", "a_b", "default", "-a"])
def test_a_name_that_is_none_is_refused(folder: Path, settings: Settings, name: str) -> None:
    write(folder, name)
    with pytest.raises(SettingsError, match=name):
        load_setups(settings)


def test_a_reference_that_does_not_stand_beside_the_others_is_refused(folder: Path, settings: Settings) -> None:
    write(folder, "x")
    aimless = settings.model_copy(update={"setups": settings.setups.model_copy(update={"reference": "z"})})
    with pytest.raises(SettingsError, match="z"):
        load_setups(aimless)


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"training": {"learning_rate": 0.5}}, {"x/checkpoint"}),
        ({"seeds": [1, 2]}, {"x/checkpoint", "x/evaluation_metrics", "setup_comparison"}),
        ({"title": "Another"}, {"setup_comparison"}),
        ({"description": "In other words."}, set()),
        ({"layer": "after"}, {"x/checkpoint", "x/evaluation_metrics"}),
    ],
)
def test_a_changed_file_changes_the_code_of_its_own_assets_and_of_the_comparison(
    folder: Path, settings: Settings, change: dict, stale: set[str]
) -> None:
    write(folder, "x", training={"max_epochs": 2})
    write(folder, "y", kind="trees")
    before = {name: code_version(name, settings) for name in ASSETS}
    write(folder, "x", **{"training": {"max_epochs": 2}} | change)
    assert {name for name in ASSETS if code_version(name, settings) != before[name]} == stale


def test_an_ensemble_waits_for_its_members_and_goes_with_them(folder: Path, settings: Settings, root: DataRoot) -> None:
    write(folder, "x", kind="threshold")
    write(folder, "y", kind="ensemble", members=["default", "x"])
    graph = build_definitions(settings, root).resolve_asset_graph()
    own = next(key for key in graph.get_all_asset_keys() if key.to_user_string() == "y/checkpoint")
    parents = {key.to_user_string() for key in graph.get(own).parent_keys}
    assert {"checkpoint", "x/checkpoint", "fire_scenes"} <= parents and graph.get(own).pools == {"gpu"}
    before = code_version("y/checkpoint", settings)
    write(folder, "x", kind="threshold", seeds=[1, 2])
    assert code_version("y/checkpoint", settings) == before, "it follows the member's checkpoint"
    write(folder, "y", kind="ensemble", members=["x", "default"])
    assert code_version("y/checkpoint", settings) != before
    write(folder, "z", kind="ensemble", members=["x", "y"])
    with pytest.raises(SettingsError, match="is an ensemble"):
        load_setups(settings)
    write(folder, "z", kind="threshold")
    without = settings.model_copy(update={"setups": settings.setups.model_copy(update={"exclude": (*SHIPPED, "x")})})
    assert set(load_setups(without)) == {"z"}


def test_how_clear_a_window_must_be_is_read_by_every_set_up(folder: Path, settings: Settings) -> None:
    write(folder, "x", training={"max_epochs": 2})
    write(folder, "y", kind="trees")
    other = settings.model_copy(update={"imagery": settings.imagery.model_copy(update={"min_clear_fraction": 0.5})})
    stale = {name for name in ASSETS if code_version(name, settings) != code_version(name, other)}
    assert stale == set(ASSETS) - {"setup_comparison"}, "the comparison follows their answers"


def test_maps_are_by_the_set_up_that_the_settings_name(folder: Path, tmp_path: Path) -> None:
    write(folder, "x", training={"batch_size": 8})
    content = yaml.safe_load((folder.parent / "world.yaml").read_text())
    named = parse_settings(content | {"mapping": {"setup": "x"}}, "test")
    world, root = World(named, DataRoot(tmp_path)), DataRoot(tmp_path)
    assert world.mapped.root == root.setup("x") and world.mapped.settings.training.batch_size == 8
    read = dict(world.inputs("burned_area_maps"))
    assert {"x/checkpoint", "x/evaluation_metrics", "fire_scenes"} <= read.keys() and "checkpoint" not in read
    for setup, home in (("x", root), ("y", root.setup("y"))):
        assert home_of(named, root.setup(setup), setup) == home
    missing = parse_settings(content | {"mapping": {"setup": "z"}}, "test")
    with pytest.raises(SettingsError, match=r"mapping\.setup: no set-up 'z'; there are default, x"):
        load_setups(missing)
