"""Images and fires of a person through the whole chain, from two paths to the comparison and the pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from burnscar_assets.cli import main
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.orchestration.execution import open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, FIRE_SCENES, SETUP_COMPARISON, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years
from burnscar_assets.study.prepare import StudyOptions, prepare_study
from burnscar_assets_tests.orchestration.fault_kit import started, wait_until
from burnscar_assets_tests.study.own_chips import write_chips

YEARS = (2023, 2024)
UP_TO_SCENES = ("calfire_release", "fire_perimeters", "burn_history", "folds", "sample_points", "windows",
                "scene_matches", "tiles", "fire_scenes")  # fmt: skip


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    monkeypatch.setenv(DATA_VARIABLE, "")
    yield monkeypatch


def cheap(world_file: Path) -> None:
    """Edit the settings of a study, so that it takes seconds: three folds, one epoch, one network, two set-ups."""
    content = yaml.safe_load(world_file.read_text())
    content["sampling"]["splits"]["folds"] = 3
    content["training"] |= {"max_epochs": 1, "further_seeds": [1]}
    content["setups"]["exclude"] = ["[!nt]*", "t[!r]*", "trees-per-pixel-*"]
    world_file.write_text(yaml.safe_dump(content))


@pytest.mark.slow
def test_a_study_is_killed_goes_on_and_ends_in_comparison_and_pages(
    tmp_path: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, images = DataRoot(tmp_path / "root"), tmp_path / "images"
    perimeters = write_chips(images)
    environment.setenv(DATA_VARIABLE, str(root.path))
    cheap(prepare_study(StudyOptions(images, perimeters), root).settings_file)
    given = ["study", "--images", str(images), "--perimeters", str(perimeters), "--data", str(root.path)]
    environment.setenv(CONFIG_VARIABLE, "")
    with started(root, "burnscar", *given, **{CONFIG_VARIABLE: ""}) as running:
        wait_until(running.has_told(12), "some stages are done")
        running.kill(others=True)
    assert main(given) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "left out: 1 fires have no image of all bands after them: GINKGO" in said
    assert "commission is an upper bound" in said
    assert f"comparison: {root.comparison}" in said and "maps of the fires: open" in said
    fires = read_years(root, FIRE_PERIMETERS, YEARS)
    assert set(fires["end_kind"]) == {"assumed"} and fires["flag"].notna().sum() == 1
    compared = read_table(root, SETUP_COMPARISON, None)
    assert {"default", "nbr-threshold", "trees-per-pixel"} <= set(compared["setup"])
    page = Path(said.partition("maps of the fires: open ")[2].partition("\n")[0])
    assert page.is_file()
    assert main(given) == 0
    assert "everything was fresh" in capsys.readouterr().out


@pytest.mark.real_data
@pytest.mark.slow
def test_real_fires_go_as_far_as_scenes(real_data: Path, tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    root, images = DataRoot(tmp_path / "root"), real_data / "imagery" / "california_fires"
    environment.setenv(DATA_VARIABLE, str(root.path))
    prepared = prepare_study(StudyOptions(images, images / "perimeters.geojson"), root)
    assert "6 fires have no image of all bands" in " ".join(prepared.left_out)
    world = World(prepared.settings, root)
    with open_runner(world, prepared.settings_file) as runner:
        years = runner.planner.choose_years(None)
        runner.planner.observe()
        assert not runner.refresh(years, assets=UP_TO_SCENES).failures
    fires, scenes = read_years(root, FIRE_PERIMETERS, years), read_years(root, FIRE_SCENES, years)
    tiles = read_years(root, TILES, years)
    assert (len(fires), int(fires["flag"].notna().sum()), set(fires["end_kind"])) == (33, 4, {"assumed"})
    complete = scenes[scenes["complete"].astype(bool)]
    assert len(complete) == 27 and set(scenes.loc[~scenes["complete"].astype(bool), "reason"]) == {"no_scene"}
    assert (complete["before_items"].map(len) > 0).sum() == 10
    assert complete["clear_fraction"].min() > 0.9
    assert tiles["complete"].sum() > 200
