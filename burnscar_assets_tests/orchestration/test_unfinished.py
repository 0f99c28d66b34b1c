"""A stage killed between its last write and Dagster's event is made again, also if its inputs are what they were."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets.orchestration.pairs import VERSION_TAG, Pair
from burnscar_assets.orchestration.unfinished import Note, begin, cut_off, end, notes
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, season, square
from burnscar_assets_tests.orchestration.conftest import command_environment, run_command
from burnscar_assets_tests.orchestration.fault_kit import content
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld
from burnscar_assets_tests.orchestration.small_world import edit_fires, grow_a_fire

YEARS = (2019, 2020, 2021)
FIRES = [season(year, n) for year in YEARS for n in range(3)]
CORRECTED = [*FIRES[:4], FIRES[4] | {"geometry": square(4, 1200.0)}, *FIRES[5:]]
RUN = "0f1e2d3c-0000"

KILLED_ONCE_WRITTEN = """
import os, signal, sys
from burnscar_assets.cli import main
from burnscar_assets.orchestration import stage

def kill(world, pair, version):
    if str(pair) == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

stage.publish = kill
main(["refresh", "--in-process", "--no-gpu", *sys.argv[2:]])
"""


def refresh_killed(root: DataRoot, pair: str, *options: str) -> None:
    """A refresh that is killed as soon as a pair is written, before Dagster is told."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_ONCE_WRITTEN, pair, *options],
        env=command_environment(root),
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def plan(root: DataRoot) -> dict[str, list[str]]:
    """Causes of what is stale, the CPU stages."""
    said = json.loads(run_command(root, "burnscar", "plan", "--json", "--no-gpu").stdout)
    return {str(Pair(pair["asset"], pair["fire_year"])): pair["causes"] for pair in said}


def test_labels_killed_once_written_are_stale_though_the_release_is_what_it_was(root: DataRoot) -> None:
    world = LabelWorld(root)
    world.configure()
    world.publish(frap_fires(*FIRES))
    labels = ("--select", *LABELS)
    run_command(root, "burnscar", "refresh", "--in-process", *labels)
    undisturbed = content(root)

    world.publish(frap_fires(*CORRECTED))
    refresh_killed(root, "fire_perimeters 2020", *labels)
    world.publish(frap_fires(*FIRES))
    run_command(root, "burnscar", "refresh", "--in-process", "--select", "calfire_release")
    assert content(root) != undisturbed
    (cause,) = plan(root)["fire_perimeters 2020"]
    assert cause.startswith("run ") and cause.endswith(" of it did not come to its end")

    run_command(root, "burnscar", "refresh", "--in-process", *labels)
    assert content(root) == undisturbed
    assert not plan(root).keys() & {f"{asset} {year}" for asset in LABELS for year in YEARS}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["windows", "scene_matches"])
def test_a_dataset_changed_by_a_killed_run_comes_back(small_world: DataRoot, tmp_path: Path, stage: str) -> None:
    root = DataRoot(tmp_path / "data")
    shutil.copytree(small_world.path, root.path, symlinks=True)
    release, kept = root.path / "release.gpkg", tmp_path / "release.gpkg"
    shutil.copy2(release, kept)
    edit_fires(release, lambda fires: grow_a_fire(fires, 2020))
    refresh_killed(root, f"{stage} 2020")
    kept.replace(release)
    run_command(root, "burnscar", "refresh", "--no-gpu", "--in-process")
    assert plan(root) == {}
    assert content(root) == content(small_world)


def test_notes_on_what_shares_a_dataset() -> None:
    windows, matches, tiles = (Pair(asset, 2021) for asset in ("windows", "scene_matches", "tiles"))
    with dg.instance_for_test() as instance:
        assert not begin(instance, matches, "older")
        assert not begin(instance, windows, RUN)
        older = Note("older", "scene_matches")
        found = notes(instance, [windows, matches, tiles, Pair("windows", 2022)])
        assert found == {windows: Note(RUN, "windows"), matches: older, tiles: older}
        assert older.cause(tiles) == "run older of scene_matches 2021 changed the dataset under it"
        _materialized(instance, windows, "a", "a")
        end(instance, windows, RUN)
        assert notes(instance, [windows, matches]) == {matches: Note("older", "scene_matches")}
        assert begin(instance, matches, RUN)


def test_what_others_wrote_is_no_earlier_run_of_a_stage() -> None:
    windows, tiles = Pair("windows", 2021), Pair("tiles", 2021)
    with dg.instance_for_test() as instance:
        begin(instance, windows, "older")
        assert notes(instance, [tiles]) == {tiles: Note("older", "windows")}
        assert not begin(instance, tiles, RUN)
        assert begin(instance, tiles, "newer")


@pytest.mark.parametrize(("versions", "left"), [(["a", "a"], False), (["a", "b"], True), (["a"], True)])
def test_only_other_content_spoils_what_comes_after(versions: list[str], left: bool) -> None:
    windows, tiles = Pair("windows", 2021), Pair("tiles", 2021)
    with dg.instance_for_test() as instance:
        begin(instance, windows, RUN)
        _materialized(instance, windows, *versions)
        end(instance, windows, RUN)
        assert notes(instance, [windows, tiles]) == ({tiles: Note(RUN, "windows")} if left else {})


def test_a_run_that_is_at_work_has_not_been_cut_off() -> None:
    pair = Pair("windows", 2021)

    @dg.job
    def empty() -> None: ...

    with dg.instance_for_test() as instance:
        run = instance.create_run_for_job(empty)
        begin(instance, pair, run.run_id)
        assert cut_off(instance, [pair]) == {}
        instance.report_run_failed(run)
        assert cut_off(instance, [pair]) == {pair: Note(run.run_id, "windows")}


def _materialized(instance: dg.DagsterInstance, pair: Pair, *versions: str) -> None:
    for version in versions:
        tags = {VERSION_TAG: version}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(pair.asset, partition=pair.partition_key, tags=tags)
        )
