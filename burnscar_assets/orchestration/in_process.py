"""Runs of a job's assets in this process, as `JobDefinition.execute_in_process` makes them, at less of a price.

Dagster cuts a job for each run's assets, and takes a snapshot of it, which costs more than many a stage; here the job
of a selection is kept. `execute_in_process` has no place for one, so what it calls is called here.

Runs may go on in several threads at once. What Dagster does for each run to the process as a whole would not bear that:
it configures Python's logging anew, in which two threads can wait for each other for ever, and redirects standard
output and error to a file. Here the first is done once, the second not at all.
"""

import logging
import threading
from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.execute_in_process import core_execute_in_process, merge_run_tags
from dagster._core.execution.plan import active
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager

from burnscar_assets.orchestration.pairs import Pair


class InProcess:
    """Runs pairs of one job in this process.

    Args:
        job: of all assets.
        instance: that the runs are recorded in.
    """

    def __init__(self, job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
        active.logger.setLevel(logging.ERROR)  # it warns of checks of what a run leaves as it is
        self._job, self._instance = job, instance
        self._of: dict[frozenset[dg.AssetKey], dg.JobDefinition] = {}
        self._cutting = threading.Lock()
        handlers = instance.get_yaml_python_handlers()
        vars(instance)["get_yaml_python_handlers"] = lambda: handlers
        vars(instance)["_compute_log_manager"] = NoOpComputeLogManager()

    def run(self, pairs: Collection[Pair], config: Mapping[str, Any], tags: Mapping[str, str]) -> list[Pair]:
        """One run of pairs of the same partition; returns those that were made.

        Raises:
            Exception: what the failing step raised.
        """
        selection, partition = frozenset(pair.key for pair in pairs), next(iter(pairs)).partition_key
        done = core_execute_in_process(
            job=InMemoryJob(self._cut(selection)),
            run_config=config,
            instance=self._instance,
            output_capturing_enabled=False,
            raise_on_error=True,
            run_tags=merge_run_tags(self._job, partition, tags, list(selection), self._instance, config),
            asset_selection=selection,
        )
        made = {event.asset_key for event in done.get_asset_materialization_events()}
        return [pair for pair in pairs if pair.key in made]

    def _cut(self, selection: frozenset[dg.AssetKey]) -> dg.JobDefinition:
        with self._cutting:
            if selection not in self._of:
                self._of[selection] = self._job.as_ephemeral_job({}, {}, asset_selection=list(selection))
            return self._of[selection]
