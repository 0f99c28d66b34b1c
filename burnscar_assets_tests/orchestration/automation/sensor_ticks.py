"""Ticks of a sensor on a world, with what it asks for carried out in this process."""

from dataclasses import dataclass

import dagster as dg

from burnscar_assets.definitions import build_definitions
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets_tests.orchestration.label_world import LabelWorld


@dataclass
class SensorTicks:
    """A sensor, and what it remembers from tick to tick."""

    world: LabelWorld
    sensor: str
    cursor: str | None = None
    reason: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        """One tick; returns what it asked for."""
        with open_instance(self.world.world, self.world.root.world_file) as instance:
            definitions = build_definitions(self.world.world.settings, self.world.root)
            context = dg.build_sensor_context(instance=instance, cursor=self.cursor, definitions=definitions)
            result = definitions.resolve_sensor_def(self.sensor)(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.reason = result.skip_reason.skip_message if result.skip_reason else None
        return list(result.run_requests or [])

    def carry_out(self, requests: list[dg.RunRequest]) -> bool:
        """Run what was asked for; returns whether all of it succeeded."""
        with open_instance(self.world.world, self.world.root.world_file) as instance:
            job = build_definitions(self.world.world.settings, self.world.root).resolve_implicit_global_asset_job_def()
            done = [
                job.execute_in_process(
                    asset_selection=list(request.asset_selection or []),
                    partition_key=request.partition_key,
                    instance=instance,
                    raise_on_error=False,
                )
                for request in requests
            ]
        return all(run.success for run in done)

    def settle(self) -> list[list[str]]:
        """Tick and carry out until nothing is asked for; returns what was asked for, tick by tick."""
        asked = []
        while requests := self.tick():
            asked.append(sorted(described(request) for request in requests))
            self.carry_out(requests)
        return asked


def described(request: dg.RunRequest) -> str:
    """Assets and fire year of a request."""
    assets = "+".join(sorted(key.to_user_string() for key in request.asset_selection or []))
    return f"{assets} {request.partition_key or ''}".strip()
