"""`burnscar curve` on a small world: checkpoints of more and more fires, judged on the same; killed, it goes on."""

import shutil
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
import yaml

from burnscar_assets.labels.corrections import FILE, LAYER, OUT
from burnscar_assets.models.manifest import load_manifest
from burnscar_assets.storage.contracts import LEARNING_CURVES, MAP_SCORES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, table_path
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.fault_kit import kill_once_there

LAST, SIZES, SEEDS = 2020, (1, 3), (1, 2)
WOOD = {
    "title": "Trees", "kind": "trees", "seeds": [*SEEDS],
    "trees": {"per": "pixel", "rounds": 20, "pixels_per_class": 6},
}  # fmt: skip
COMMAND = ("burnscar", "curve", "--fires", *map(str, SIZES))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(small_world: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The small world with a set-up of trees, whose curve was killed once it had judged a checkpoint, and went on."""
    root = DataRoot(tmp_path_factory.mktemp("curve") / "data")
    shutil.copytree(small_world.path, root.path, symlinks=True)
    (root.path / "setups").mkdir()
    (root.path / "setups" / "wood.yaml").write_text(yaml.safe_dump(WOOD))
    first = table_path(root.curve("wood", SIZES[0], SEEDS[0]), MAP_SCORES, LAST)
    kill_once_there(root, first, *COMMAND, "--setup", "wood")
    written = manifest(root, SIZES[0], SEEDS[0]).stat().st_mtime_ns
    assert not manifest(root, SIZES[-1], SEEDS[-1]).exists(), "it was killed before the end"
    said = run_command(root, *COMMAND, "--setup", "wood").stdout
    assert "training fires" in said and "wood.png" in said
    assert manifest(root, SIZES[0], SEEDS[0]).stat().st_mtime_ns == written, "what was trained was trained anew"
    return root


def manifest(root: DataRoot, size: int, seed: int) -> Path:
    return root.curve("wood", size, seed).checkpoint(LAST) / "manifest.json"


def test_each_checkpoint_has_as_many_fires_and_all_are_judged_on_the_same(world: DataRoot) -> None:
    judged = set()
    for size in SIZES:
        for seed in SEEDS:
            place = world.curve("wood", size, seed)
            made = load_manifest(place.checkpoint(LAST))
            assert made.training_fires == size and made.seed == seed and made.windows["train"]
            scores = read_table(place, MAP_SCORES, LAST)
            judged.add(tuple(sorted(scores.loc[scores["judged"], "fire_id"])))
            assert set(scores["fire_year"]) == {2019, LAST}, "held-out fires of every year that it was trained on"
    assert len(judged) == 1
    curve = read_table(world, LEARNING_CURVES, None)
    assert curve["training_fires"].tolist() == [*SIZES] and set(curve["seeds"]) == {2}
    assert curve["training_windows"].is_monotonic_increasing
    assert (world.curves / "wood.png").stat().st_size > 5000


def test_the_worlds_own_results_and_what_is_stale_stay(world: DataRoot, small_world: DataRoot) -> None:
    plans = [run_command(root, "burnscar", "plan", "--json").stdout for root in (small_world, world)]
    assert plans[0] == plans[1] and not (world.path / "setups" / "wood").exists()
    assert not world.checkpoint(LAST).exists()


def test_networks_are_trained_too_and_more_fires_than_there_are_are_refused(world: DataRoot) -> None:
    run_command(world, "burnscar", "curve", "--fires", "3")
    curve = read_table(world, LEARNING_CURVES, None)
    assert set(curve["setup"]) == {"wood", "default"}, "another set-up's curve stays"
    refused = run_command(world, "burnscar", "curve", "--fires", "3", "999", check=False)
    assert refused.returncode == 1 and "--fires 999: there are" in refused.stdout
    refused = run_command(world, "burnscar", "curve", "--setup", "ensemble", check=False)
    assert refused.returncode == 1 and "draw the curves of default, trees-per-pixel" in refused.stdout


def test_a_fire_of_an_earlier_year_that_a_person_took_out_is_in_no_curve(world: DataRoot) -> None:
    place = world.curve("wood", SIZES[0], SEEDS[0])
    scores = read_table(place, MAP_SCORES, LAST)
    judged = scores[scores["judged"] & (scores["fire_id"] != "")]
    fire = min(judged.loc[judged["fire_year"] == 2019, "fire_id"])
    word = {"word": [OUT], "fire_id": [fire], "fire_year": [2019]}
    said = gpd.GeoDataFrame(word, geometry=[shapely.box(0, 0, 1, 1)], crs=table_crs())
    said.to_file(world.path / FILE, layer=LAYER, driver="GPKG")
    run_command(world, *COMMAND, "--setup", "wood")
    scores = read_table(place, MAP_SCORES, LAST)
    assert set(scores.loc[scores["out"], "fire_id"]) == {fire}
    curve = read_table(world, LEARNING_CURVES, None)
    assert set(curve.loc[curve["setup"] == "wood", "fires"]) == {judged["fire_id"].nunique() - 1}
