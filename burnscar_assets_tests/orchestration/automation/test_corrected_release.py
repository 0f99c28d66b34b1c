"""A release is corrected, and a fire taken out, while the daemon runs: it makes what that touches, by itself."""

import shutil
from collections.abc import Iterator
from itertools import groupby

import pytest
import yaml

from burnscar_assets.environment import corrections_file
from burnscar_assets.labels.corrections import LAYER
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path
from burnscar_assets_tests.orchestration.small_world import edit_fires, grow_a_fire
from burnscar_assets_tests.orchestration.web_ui_kit import Run, WebUi, running_web_ui, wait_for

pytestmark = [pytest.mark.slow]

UNEDITED, EDITED = 2019, 2020
PATIENCE_S = 240.0
ASKED_BY_SENSOR = "dagster/sensor_name"
CHAIN = [{"burn_history", "fire_perimeters"}, {"sample_points", "windows", "fire_scenes"}, {"scene_matches"}, {"tiles"}]


@pytest.fixture
def world(trained_world: DataRoot, root: DataRoot) -> DataRoot:
    """The small world, all of its CPU stages made and its first year judged; the daemon looks all the time."""
    shutil.copytree(trained_world.path, root.path)
    settings = yaml.safe_load(root.world_file.read_text())
    root.world_file.write_text(yaml.safe_dump(settings | {"automation": {"check_release_minutes": 0.1}}))
    return root


@pytest.fixture
def daemon(world: DataRoot) -> Iterator[WebUi]:
    with running_web_ui(world) as server:
        yield server


def test_what_a_person_or_a_release_corrects_is_made_without_anybody(world: DataRoot, daemon: WebUi) -> None:
    before = table_path(world, TILES, UNEDITED).stat().st_mtime_ns
    edit_fires(world.path / "release.gpkg", lambda fires: grow_a_fire(fires, EDITED))

    def asked() -> list[Run]:
        """Runs but that of what looks at all years, which comes once fire scenes are made."""
        return [run for run in daemon.runs(ASKED_BY_SENSOR) if run.assets != {"label_doubts"}]

    def tiles_were_made() -> bool:
        runs = asked()
        assert all(run.status != "FAILURE" for run in runs)
        return bool(runs) and (runs[-1].status, runs[-1].assets) == ("SUCCESS", {"tiles"})

    wait_for(tiles_were_made, PATIENCE_S)
    expected = [(None, {"calfire_release"}), *((str(EDITED), assets) for assets in CHAIN)]
    made = [(run.fire_year, run.assets) for run in asked()]
    # Dagster asks twice for what follows an observation that it reads while it is written; the second changes nothing.
    assert [run for run, _ in groupby(made)] == expected, "training waits for a person"
    assert table_path(world, TILES, UNEDITED).stat().st_mtime_ns == before

    fire = read_table(world, FIRE_PERIMETERS, UNEDITED).iloc[[0]]
    words = fire[["fire_id", "fire_year", "geometry"]].assign(word="out")
    words.to_file(corrections_file(world), layer=LAYER, driver="GPKG")
    judged = (str(UNEDITED), {"evaluation_metrics"})
    wait_for(lambda: asked()[len(made) :] and asked()[-1].status == "SUCCESS", PATIENCE_S)
    assert [(run.fire_year, run.assets) for run in asked()[len(made) :]] == [judged], "nothing else reads who is out"
    assert fire["fire_id"].iloc[0] in world.spec("evaluation", UNEDITED).read_text()
