"""Dagster's in-process executor, on runs that tell which process they run in.

A run is tagged before its first step, which may wait for hours for its place in a pool: one that is killed while it
waits is noticed like any other.
"""

from collections.abc import Iterator

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from burnscar_assets.orchestration.interrupted import PROCESS_TAG, this_process


class TaggedInProcessExecutor(InProcessExecutor):
    """Runs all steps in the run's own process."""

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Tag the run, then run the steps."""
        plan_context.instance.add_run_tags(plan_context.run_id, {PROCESS_TAG: this_process()})
        yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process")
def in_process_executor(_context: dg.InitExecutorContext) -> TaggedInProcessExecutor:
    """All steps of a run in its own process."""
    return TaggedInProcessExecutor(retries=RetryMode.ENABLED)
