"""The guarded web server, the daemon and the code location that they share, as `burnscar ui` starts them."""

import pytest

from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.label_world import LabelWorld
from burnscar_assets_tests.orchestration.web_ui_kit import running_web_ui, wait_for

DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"


@pytest.mark.slow
def test_the_web_ui_answers_and_its_daemons_live(root: DataRoot) -> None:
    world = LabelWorld(root)
    world.configure(automation={"enabled": False})
    world.publish(frap_fires(season(2020, 1)))
    with running_web_ui(root) as server:
        assert server.ask("{ assetNodes { id } }")["assetNodes"]

        def unhealthy() -> list[str]:
            told = server.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
            return [one["daemonType"] for one in told if one["required"] and not one["healthy"]]

        wait_for(lambda: unhealthy() == [])
