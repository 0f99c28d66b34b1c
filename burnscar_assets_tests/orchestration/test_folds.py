"""A world with folds, run whole: every fire is judged once, by a checkpoint that never saw it; killed, it goes on."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR, DATA_VARIABLE
from burnscar_assets.evaluation.champion_record import windows_seen
from burnscar_assets.evaluation.report import MODEL
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.models.manifest import load_manifest
from burnscar_assets.orchestration.lineage import Lineage
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.publish.mapper import make_maps
from burnscar_assets.publish.plan import plan_year
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import (
    BURNED_AREA_MAPS,
    EVALUATION_METRICS,
    FIRE_SCENES,
    FOLDS,
    LABEL_DOUBTS,
    MAP_SCORES,
    PREDICTIONS,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years
from burnscar_assets_tests.made_once import made_once
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.fault_kit import kill_once_there
from burnscar_assets_tests.orchestration.small_world import make_small_world, write_settings

YEARS, LAST, COUNT, GAP_M = (2019, 2020), 2020, 3, 10_000
DATA = ("calfire_release", "fire_perimeters", "folds", "burn_history", "sample_points", "windows", "scene_matches",
        "tiles", "fire_scenes", "label_doubts")  # fmt: skip
SETUPS = {
    "line": {"title": "Line", "kind": "threshold"},
    "both": {"title": "Both", "kind": "ensemble", "members": ["line", "wood"], "seeds": [1, 2]},
    "wood": {"title": "Trees", "kind": "trees", "trees": {"rounds": 20, "min_windows_in_leaf": 3}, "seeds": [1, 2]},
}
SECTIONS = {
    "sampling": {"splits": {"folds": COUNT}},
    "setups": {"exclude": [path.stem for path in (CONFIGS_DIR / "setups").glob("*.yaml")], "reference": "line"},
    "evaluation": {"bootstrap_samples": 100},
}


def test_models_have_one_partition_which_depends_on_all_years(root: DataRoot) -> None:
    settings = load_settings(write_settings(root, **SECTIONS))
    graph = build_definitions(settings, root).resolve_asset_graph()
    lineage = Lineage(graph, YEARS)
    models = [
        pair for pair in lineage.pairs() if pair.stage in ("checkpoint", "evaluation_metrics", "burned_area_maps")
    ]
    assert {pair.fire_year for pair in models} == {LAST}
    for name in ("windows", "tiles", "fire_perimeters"):
        assert {Pair(name, year) for year in YEARS} <= set(lineage.parents(Pair("checkpoint", LAST)))
        assert {Pair(name, year) for year in YEARS} <= set(lineage.parents(Pair("evaluation_metrics", LAST)))
    assert Pair("evaluation_metrics", YEARS[0]) not in lineage.parents(Pair("evaluation_metrics", LAST)), "no season"
    perimeters = {Pair("fire_perimeters", year) for year in YEARS}
    assert perimeters | {Pair("sampling_ground", None)} == set(lineage.parents(Pair("folds", None)))
    assert {Pair(n, y) for n in ("fire_scenes", "fire_perimeters") for y in YEARS} == set(
        lineage.parents(Pair("label_doubts", None))
    )
    assert Pair("folds", None) in lineage.parents(Pair("sample_points", YEARS[0]))
    said = [graph.get(Pair(name, LAST).key).description for name in ("checkpoint", "evaluation_metrics")]
    assert all("no walk-forward" in str(text) for text in said)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """A small world with folds up to tiles and fire scenes, with set-ups that need no network."""

    def make(folder: Path) -> None:
        made = DataRoot(folder / "data")
        make_small_world(made, **SECTIONS)
        (made.path / "setups").mkdir()
        for name, content in SETUPS.items():
            (made.path / "setups" / f"{name}.yaml").write_text(yaml.safe_dump(content))
        refresh(made, *DATA)

    return DataRoot(made_once(tmp_path_factory, "folds", make) / "data")


@pytest.fixture(scope="module")
def judged(data: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The same with checkpoints and metrics of the set-ups; training of one was killed, and went on."""
    root = DataRoot(tmp_path_factory.mktemp("judged") / "data")
    shutil.copytree(data.path, root.path, symlinks=True)
    places = members(root, "wood")
    kill_once_there(root, manifest_of(places[3]), "burnscar", "refresh", "--in-process", "--select", "wood")
    before = written_when(root)
    assert not manifest_of(places[-1]).exists(), "it was killed before the end"
    refresh(root, "line", "wood")
    kept = [place for place in places[1:3] if manifest_of(place).stat().st_mtime_ns == before[place]]
    assert kept == places[1:3], "checkpoints that were whole were trained anew"
    refresh(root, "both")
    refresh(root, "setup_comparison")
    return root


def test_every_judged_fire_is_weighed_by_bounds_of_other_folds(data: DataRoot) -> None:
    doubts, scenes = read_table(data, LABEL_DOUBTS, None), read_years(data, FIRE_SCENES, YEARS)
    assert sorted(doubts["fire_id"]) == sorted(scenes.loc[scenes["role"] == "fire", "fire_id"])
    assert (doubts.groupby(["split", "evidence"])["least_inside"].nunique(dropna=False) == 1).all()
    listed = doubts[doubts["doubts"].map(len) > 0]
    pictures = [path.name for path in data.label_doubts.glob("*-after.webp")]
    assert len(pictures) == len(listed) and "judged fires" in (data.label_doubts / "index.html").read_text()


def refresh(root: DataRoot, *assets: str) -> str:
    return run_command(root, "burnscar", "refresh", "--in-process", "--select", *assets).stdout


def members(root: DataRoot, setup: str) -> list[DataRoot]:
    """Where the results of a set-up's checkpoints lie, in the order in which they are trained."""
    os.environ |= {DATA_VARIABLE: str(root.path), CONFIG_VARIABLE: str(root.world_file)}
    try:
        return [one.root for one in World(load_settings(root.world_file), root).of(setup).trained()]
    finally:
        del os.environ[DATA_VARIABLE], os.environ[CONFIG_VARIABLE]


def manifest_of(root: DataRoot) -> Path:
    return root.checkpoint(LAST) / "manifest.json"


def written_when(root: DataRoot) -> dict[DataRoot, int]:
    """When the manifests of `wood` that are there were written."""
    there = [place for place in members(root, "wood") if manifest_of(place).exists()]
    return {place: manifest_of(place).stat().st_mtime_ns for place in there}


@pytest.mark.slow
def test_every_fire_with_an_image_is_judged_once_by_a_checkpoint_that_never_saw_it(judged: DataRoot) -> None:
    folds = read_table(judged, FOLDS, None).set_index("fire_id")
    windows = read_years(judged, WINDOWS, YEARS)
    scenes = read_years(judged, FIRE_SCENES, YEARS)
    with_image = set(scenes.loc[(scenes["reason"] == "") & (scenes["role"] == "fire"), "fire_id"])
    for name, seeds in (("line", [None]), ("wood", [None, 2]), ("both", [None, 2])):
        for seed in seeds:
            root = judged.setup(name, seed)
            scores = read_table(root, MAP_SCORES, LAST)
            of_fires = scores[(scores["predictor"] == MODEL) & (scores["fire_id"] != "") & (scores["reason"] == "")]
            assert sorted(of_fires["fire_id"]) == sorted(with_image) and set(of_fires["fire_year"]) == set(YEARS)
            answered = read_table(root, PREDICTIONS, LAST)
            assert set(answered["window_id"]) <= set(windows["window_id"]) and answered["window_id"].is_unique
            assert len(load_report(root, LAST).folds) == COUNT and load_report(root, LAST).held_out is None
            for number in range(COUNT):
                seen = windows_seen(root.fold(number), LAST)
                own = folds.index[folds["fold"] == f"fold_{number}"]
                ours = answered[answered["fire_id"].isin(own)]
                assert len(ours) and not set(own) & set(seen["fire_id"]), "judged by what has not seen it"
                assert load_report(root, LAST).folds[number].separation.nearest_m >= GAP_M
                assert ours.distance(seen.union_all()).min() >= GAP_M


@pytest.mark.slow
def test_an_ensemble_of_a_seed_and_fold_is_of_its_members_of_the_same(judged: DataRoot) -> None:
    for seed in (None, 2):
        for number in range(COUNT):
            places = [judged.setup("line"), judged.setup("wood", seed), judged.setup("both", seed)]
            line, wood, both = (load_manifest(place.fold(number).checkpoint(LAST)) for place in places)
            known = {"line/checkpoint": line.weights_sha256, "wood/checkpoint": wood.weights_sha256}
            assert known.items() <= both.data_versions.items() and both.fold == wood.fold
            assert sum(both.members.values()) == pytest.approx(1)


@pytest.mark.slow
def test_what_was_killed_comes_out_as_what_was_not(data: DataRoot, judged: DataRoot, tmp_path: Path) -> None:
    undisturbed = DataRoot(tmp_path / "data")
    shutil.copytree(data.path, undisturbed.path, symlinks=True)
    refresh(undisturbed, "wood")
    for seed in (None, 2):
        one, other = judged.setup("wood", seed), undisturbed.setup("wood", seed)
        for table in (PREDICTIONS, MAP_SCORES, EVALUATION_METRICS):
            hashes = [table.content_hash(read_table(place, table, LAST)) for place in (one, other)]
            assert hashes[0] == hashes[1], table.name
        assert load_report(one, LAST).folds == load_report(other, LAST).folds
    assert "nothing is stale" in refresh(judged, *DATA, "line", "wood", "both", "setup_comparison")
    compared = run_command(judged, "burnscar", "compare").stdout
    assert "no walk-forward" in compared and "of 2019, 2020" in compared


@pytest.mark.slow
def test_maps_are_of_the_fires_of_all_years_by_the_checkpoint_of_their_fold(
    judged: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(judged.path))
    monkeypatch.setenv(CONFIG_VARIABLE, str(judged.world_file))
    world = World(load_settings(judged.world_file), judged).of("line")
    spec = plan_year(world.settings, world.root, LAST, "line")
    summary, _ = make_maps(spec)
    maps, folds = read_table(world.root, BURNED_AREA_MAPS, LAST), read_table(judged, FOLDS, None)
    assert summary.maps and sorted(maps["fire_id"]) == sorted(folds["fire_id"])
    weights = [judgement.weights_sha256 for judgement in load_report(world.root, LAST).folds]
    expected = folds.set_index("fire_id")["fold"].map(lambda name: weights[int(name[-1])])
    assert maps.set_index("fire_id")["weights_sha256"].to_dict() == expected.to_dict()
    assert (maps["seen_fraction"].dropna() == 0).all()
    page = (world.root.maps(LAST) / "index.html").read_text(encoding="utf-8")
    assert "3 folds by ground at least 10 km apart, no walk-forward" in page
    assert make_maps(spec)[0].made == 0
