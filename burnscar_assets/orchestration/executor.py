"""Dagster's in-process executor, on runs that tell which process they run in.

A run is tagged before its first step, which may wait for hours for its place in a pool: one that is killed while it
waits is noticed like any other.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from burnscar_assets.orchestration.interrupted import PROCESS_TAG, this_process


class TaggedExecutor(dg.Executor):
    """Tags a run, then has another executor run its steps."""

    def __init__(self, steps: dg.Executor) -> None:
        self._steps = steps

    @property
    def retries(self) -> Any:
        """How steps are tried again."""
        return self._steps.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Tag the run, then run the steps."""
        plan_context.instance.add_run_tags(plan_context.run_id, {PROCESS_TAG: this_process()})
        yield from self._steps.execute(plan_context, execution_plan)


def _tagged(context: dg.InitExecutorContext) -> TaggedExecutor:
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None  # noqa: S101 - only an executor that others are made of has none
    return TaggedExecutor(create(context))


_options: Any = dg.in_process_executor.config_schema  # of a kind that its signature doesn't name
in_process_executor = dg.ExecutorDefinition("in_process", _options, executor_creation_fn=_tagged)
"""All steps of a run in its own process."""
