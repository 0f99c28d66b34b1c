"""Mining on a real chain: a checkpoint looks at land, what it takes for burnt joins the next round's negatives."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import shapely
import yaml

from burnscar_assets.classes import Split, Stratum
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.evaluation.champion_record import RECORD_FILE, champion_folder
from burnscar_assets.mining.mine import FILE, mine
from burnscar_assets.orchestration.execution import Runner, open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import MINED_NEGATIVES, SAMPLE_POINTS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.orchestration.conftest import run_command

YEAR = 2019


@pytest.fixture(scope="module")
def mined(trained_world: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """A trained world whose champion calls everything burnt, and what was mined with it, whatever was trained since."""
    root = DataRoot(tmp_path_factory.mktemp("mined") / "data")
    shutil.copytree(trained_world.path, root.path, symlinks=True)
    configure(root, mining={"candidates": 600, "keep": 20, "spacing_windows": 2})
    record = champion_folder(root, YEAR) / RECORD_FILE
    content = json.loads(record.read_text())
    content["rules"]["decision"]["threshold"] = -1.0
    record.write_text(json.dumps(content))
    shutil.rmtree(root.checkpoint(YEAR))
    run_command(root, "burnscar", "mine", "--years", str(YEAR), "--config", str(root.world_file))
    return root


def configure(root: DataRoot, **sections: dict) -> None:
    content = yaml.safe_load(root.world_file.read_text())
    for name, values in sections.items():
        content[name] = content.get(name, {}) | values
    root.world_file.write_text(yaml.safe_dump(content))


@contextmanager
def runner_of(root: DataRoot) -> Iterator[Runner]:
    """A runner that has looked at the sources."""
    with open_runner(World(load_settings(root.world_file), root), root.world_file) as runner:
        runner.planner.observe()
        yield runner


def stale(root: DataRoot) -> dict[int | None, str]:
    """Fire years whose points are stale, each with its causes."""
    with runner_of(root) as runner:
        plan = runner.planner.plan(runner.planner.fire_years(), ["sample_points"])
        return {pair.fire_year: "; ".join(pair.causes) for pair in plan.stale}


@pytest.mark.slow
def test_what_was_mined_joins_the_next_years_negatives_and_nothing_else_changes(
    mined: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    settings = load_settings(mined.world_file)
    found = read_table(mined, MINED_NEGATIVES, YEAR)
    assert 1 < len(found) <= 20 and found["acquired"].notna().all()
    bounds = shapely.bounds(found.geometry.to_numpy())
    assert set(SplitMap(settings.sampling.splits).splits_touched(bounds)) == {Split.TRAIN}
    before = {year: set(read_table(mined, SAMPLE_POINTS, year)["point_id"]) for year in (YEAR, YEAR + 1)}
    assert not stale(mined), "what is mined is not used before the settings say so"

    unburnt = {stratum.value: share for stratum, share in settings.sampling.unburnt_per_burnt.items()}
    configure(mined, sampling={"hard_negatives": FILE, "unburnt_per_burnt": unburnt | {"hard": 0.3}})
    assert set(stale(mined)) == {YEAR, YEAR + 1}
    with runner_of(mined) as runner:
        assert not runner.refresh([YEAR, YEAR + 1], assets=["sample_points"]).failures
    points = {year: read_table(mined, SAMPLE_POINTS, year) for year in before}
    hard = points[YEAR + 1][points[YEAR + 1]["stratum"] == Stratum.HARD]
    assert len(hard) and set(hard["split"]) == {Split.TRAIN}
    assert hard.geometry.within(found.geometry.union_all().buffer(200)).all()
    assert set(points[YEAR + 1]["point_id"]) - set(hard["point_id"]) == before[YEAR + 1]
    assert set(points[YEAR]["point_id"]) == before[YEAR], "its own year's round is over"
    assert not stale(mined)

    configure(mined, mining={"keep": 2})
    assert mine(load_settings(mined.world_file), mined, YEAR).kept == 2
    assert "sampling_ground" in stale(mined)[YEAR + 1]


@pytest.mark.slow
def test_how_mining_is_done_decides_no_stage(small_world: DataRoot) -> None:
    settings = load_settings(small_world.world_file)
    other = settings.model_copy(update={"mining": settings.mining.model_copy(update={"keep": 7})})
    assert all(
        code_version(stage, settings) == code_version(stage, other)
        for stage in (spec.makes for spec in STAGES.values())
    )
