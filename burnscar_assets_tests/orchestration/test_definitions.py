"""The code location: what it holds, what it costs to load, and how Dagster finds it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIGS_DIR, DATA_VARIABLE, WEIGHTS_VARIABLE
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.demo_settings import settings_alone
from burnscar_assets_tests.orchestration.label_world import CHAIN

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings() -> Settings:
    """Those of the demo, without set-ups beside its own."""
    return settings_alone()


def test_loading_imports_neither_torch_nor_rslearn() -> None:
    program = (
        "import sys; from burnscar_assets.definitions import definitions; definitions();"
        "print([m for m in ('torch', 'rslearn', 'lightning', 'matplotlib') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_chain_of_assets(settings: Settings, root: DataRoot) -> None:
    graph = build_definitions(settings, root).resolve_asset_graph()
    stages = [key for key in graph.get_all_asset_keys() if graph.get(key).is_materializable]
    assert {key.to_user_string() for key in stages} == {*CHAIN, "label_doubts"}
    for key in stages:
        node = graph.get(key)
        assert node.group_name and node.owners and node.kinds and node.code_version and node.description
        assert node.is_partitioned == (key.to_user_string() not in ("calfire_release", "label_doubts"))
    assert not root.path.exists(), "loading must write nothing"


def test_checkpoints_look_back_and_metrics_only_to_the_champion_of_the_year_before(
    settings: Settings, root: DataRoot
) -> None:
    graph = build_definitions(settings, root).resolve_asset_graph()

    def parents(year: str, parent: str, child: str) -> set[str]:
        found = graph.get_parent_partition_keys_for_child(year, dg.AssetKey(parent), dg.AssetKey(child))
        return set(found.partitions_subset.get_partition_keys())

    assert parents("2022", "tiles", "checkpoint") == {"2020", "2021", "2022"}
    assert parents("2019", "tiles", "checkpoint") == {"2019"}
    assert parents("2022", "tiles", "evaluation_metrics") == {"2022"}
    assert parents("2022", "windows", "checkpoint") == {"2020", "2021", "2022"}
    assert parents("2022", "windows", "evaluation_metrics") == {"2022"}
    assert parents("2022", "checkpoint", "evaluation_metrics") == {"2022"}
    assert parents("2022", "evaluation_metrics", "evaluation_metrics") == {"2021"}, "whose champion served the season"
    assert parents("2019", "evaluation_metrics", "evaluation_metrics") == set()
    world = World(settings, root)
    assert world.training_years(2022) == [2020, 2021, 2022]
    assert (world.year_before(2022), world.year_before(2019)) == (2021, None)


@pytest.mark.parametrize(
    ("section", "change", "stale"),
    [
        (
            "windows",
            {"size_px": 64},
            {"sample_points", "windows", "fire_scenes", "evaluation_metrics", "burned_area_maps"},
        ),
        ("mapping", {"overlap": 0.6}, {"evaluation_metrics", "burned_area_maps"}),
        ("mapping", {"min_area_ha": 2}, {"burned_area_maps"}),
        ("evaluation", {"confidence": 0.9}, {"evaluation_metrics", "burned_area_maps"}),
        ("fire_scenes", {"without_fire": 9}, {"fire_scenes"}),
        ("perimeters", {"scar_years": 5}, {"burn_history"}),
        ("imagery", {"max_nodata_fraction": 0.1}, {"tiles"}),
        ("imagery", {"selection": "window"}, {"scene_matches", "tiles"}),
        ("imagery", {"exclude": ("S2A_*",)}, {"scene_matches", "tiles", "fire_scenes"}),
        (
            "imagery",
            {"min_clear_fraction": 0.5},
            {"scene_matches", "tiles", "fire_scenes", "checkpoint", "evaluation_metrics"},
        ),
        ("windows", {"days_after": (0, 40)}, {"windows", "fire_scenes", "burned_area_maps"}),
        ("windows", {"days_before": (1, 40)}, {"windows", "fire_scenes", "burned_area_maps"}),
        ("imagery", {"workers": 4}, set()),
        ("release", {"timeout_s": 5}, set()),
    ],
)
def test_a_setting_is_in_the_code_version_of_the_stages_that_read_it(
    settings: Settings, section: str, change: dict, stale: set[str]
) -> None:
    changed = settings.model_copy(update={section: getattr(settings, section).model_copy(update=change)})
    differs = {s for s in CHAIN if code_version(s, settings) != code_version(s, changed)}
    assert differs == stale


def test_weights_that_are_replaced_train_anew_what_starts_from_them(
    settings: Settings, root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(root.path))
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    fine_tuned = settings.training.model_copy(update={"config": "model-classification.yaml"})
    own = settings.model_copy(update={"training": fine_tuned})

    def versions() -> tuple[str, str]:
        return code_version("checkpoint", own), code_version("unet/checkpoint", own)

    without = versions()
    weights = root.pretrained / "olmoearth" / "weights.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    first, state = versions(), weights.stat()
    assert first[0] != without[0] and first[1] == without[1], "a network without an encoder starts from nothing"
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert versions() == first, "the content decides, not the time"
    weights.write_bytes(b"two")
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert versions()[0] != first[0], "of the same size and time"
    weights.write_bytes(b"one")
    assert versions() == first


def test_maps_are_stale_where_the_sample_that_was_drawn_on_them_changes(settings: Settings, tmp_path: Path) -> None:
    sample = tmp_path / "reference.gpkg"
    mapping = settings.mapping.model_copy(update={"reference": str(sample)})
    sampled = settings.model_copy(update={"mapping": mapping})
    stages = [*CHAIN, "in_season_records", "in_season_perimeters", "in_season_maps"]
    versions = []
    for content in (b"a point", b"two points"):
        sample.write_bytes(content)
        versions.append({stage: code_version(stage, sampled) for stage in stages})
    differs = {stage for stage in stages if versions[0][stage] != versions[1][stage]}
    assert differs == {"burned_area_maps", "in_season_maps"}


def test_dagster_and_dg_load_the_same_module() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())
    assert workspace == {"load_from": [{"python_module": project["code_location_target_module"]}]}


def test_every_configured_world_is_valid() -> None:
    for path in CONFIGS_DIR.glob("*.yaml"):
        if "model" not in path.name:
            assert load_settings(path).name
