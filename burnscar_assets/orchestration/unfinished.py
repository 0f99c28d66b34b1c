"""Stages and runs that did not come to their end: what lies on disk may be of other inputs than Dagster knows.

A stage's files are there before Dagster's event that tells of them. So each stage leaves a note in the instance before
it writes, and takes it away once the event is there; a note that stays means that the pair must be made again, even if
its inputs are again what they were. Stages of a fire year's dataset share its windows: the note of one is one on those
after it, unless its content came out as it was.

A run whose process is gone, killed or lost with the machine, Dagster would take for running for ever. So each run is
tagged with its process, before its first step, which may wait for hours for its place in a pool; where that isn't there
any more the run is reported as failed, and its places in pools are freed, also if Dagster noticed its end first.
"""

import os
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from burnscar_assets.orchestration.artifacts import DATASET_STAGES
from burnscar_assets.orchestration.dagster_private import claim_in_turn
from burnscar_assets.orchestration.pairs import VERSION_TAG, Pair

_PREFIX = "burnscar/unfinished/"
DAMAGED = "damaged"
"""Stands for a run in the note on a pair whose files aren't what was made."""


class Note(NamedTuple):
    """Which run wrote what a pair consists of, as a stage of which asset."""

    run_id: str
    asset: str

    def cause(self, pair: Pair) -> str:
        """Why a pair with this note must be made again."""
        if self.run_id == DAMAGED:
            return "damaged: a file of it is gone or is not what was made"
        run = f"run {self.run_id.partition('-')[0]}"
        if self.asset == pair.asset:
            return f"{run} of it did not come to its end"
        return f"{run} of {Pair(self.asset, pair.fire_year)} changed the dataset under it"


def notes(instance: dg.DagsterInstance, pairs: Collection[Pair]) -> dict[Pair, Note]:
    """The notes on some pairs: one question to the instance, and one more if there are any."""
    keys = {_key(pair): pair for pair in pairs}
    found = instance.run_storage.get_cursor_values(set(keys)) if keys else {}
    return {keys[key]: Note(*value.split()) for key, value in found.items() if value}


def cut_off(instance: dg.DagsterInstance, pairs: Collection[Pair]) -> dict[Pair, Note]:
    """Those notes on pairs whose run isn't at work any more."""
    left = notes(instance, pairs)
    run_ids = {note.run_id for note in left.values()}
    runs = instance.get_runs(dg.RunsFilter(run_ids=list(run_ids))) if run_ids else ()
    at_work = {run.run_id for run in runs if not run.is_finished}
    return {pair: note for pair, note in left.items() if note.run_id not in at_work}


def note_damage(instance: dg.DagsterInstance, pairs: Collection[Pair]) -> None:
    """Note that pairs must be made again since a file of theirs isn't what was made."""
    _write(instance, {pair: Note(DAMAGED, pair.asset) for pair in pairs})


def is_damaged(instance: dg.DagsterInstance, pair: Pair) -> bool:
    """Whether a file of a pair was found not to be what was made."""
    return notes(instance, [pair]).get(pair, Note("", "")).run_id == DAMAGED


def begin(instance: dg.DagsterInstance, pair: Pair, run_id: str) -> Note | None:
    """Note that a run is about to write a pair; what is noted of pairs that share its files stays.

    Returns:
        The note on the pair itself: a run of it before did not come to its end, or it was found damaged.
    """
    note, after = Note(run_id, pair.asset), _after(pair)
    known = notes(instance, [pair, *after])
    _write(instance, {pair: note} | {other: note for other in after if other not in known})
    before = known.get(pair)
    return before if before is not None and before.asset == pair.asset else None


def end(instance: dg.DagsterInstance, pair: Pair, run_id: str) -> None:
    """Take the note away, the event being there; with other content, pairs that share its files keep theirs."""
    after = _after(pair)
    ours = [other for other, note in notes(instance, after).items() if note == (run_id, pair.asset)]
    _write(instance, dict.fromkeys([pair, *([] if ours and _changed(instance, pair) else ours)]))


def _changed(instance: dg.DagsterInstance, pair: Pair) -> bool:
    """Whether the last materialization of a pair has another content than the one before."""
    chosen = dg.AssetRecordsFilter(asset_key=pair.key, asset_partitions=[str(pair.fire_year)])
    made = [found.asset_materialization for found in instance.fetch_materializations(chosen, limit=2).records]
    versions = {(event.tags or {}).get(VERSION_TAG) for event in made if event}
    return len(made) < 2 or len(versions) > 1


def _after(pair: Pair) -> list[Pair]:
    """The pairs after it that share its files."""
    place = DATASET_STAGES.index(pair.asset) + 1 if pair.asset in DATASET_STAGES else len(DATASET_STAGES)
    return [Pair(asset, pair.fire_year) for asset in DATASET_STAGES[place:]]


def _write(instance: dg.DagsterInstance, said: Mapping[Pair, Note | None]) -> None:
    """Write notes; new keys by themselves, since Dagster's SQLite storage loses those that come with known ones."""
    values = {_key(pair): " ".join(note) if note else "" for pair, note in said.items()}
    known = instance.run_storage.get_cursor_values(set(values))
    for keys in (values.keys() & known.keys(), values.keys() - known.keys()):
        if keys:
            instance.run_storage.set_cursor_values({key: values[key] for key in keys})


def _key(pair: Pair) -> str:
    return f"{_PREFIX}{pair.asset}/{pair.fire_year or ''}"


PROCESS_TAG = "burnscar/process"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def this_process() -> str:
    """Host, process id and start time of this process."""
    return _identity(os.getpid())


def fail_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs of this machine whose process is gone as failed; returns their ids."""
    failed = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        process = run.tags.get(PROCESS_TAG)
        if process and _is_gone(process):
            instance.report_run_failed(run, f"its process ({process}) is gone: run the same partition again")
            failed.append(run.run_id)
    _free_places_of_ended_runs(instance)
    return failed


def fail_runs_of_this_process(instance: dg.DagsterInstance) -> None:
    """Report runs of this process that were interrupted, and didn't come to tell so, as failed."""
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={PROCESS_TAG: this_process()})):
        instance.report_run_failed(run, "it was interrupted: run the same partition again")
    _free_places_of_ended_runs(instance)


def _free_places_of_ended_runs(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    holders = storage.get_concurrency_run_ids()
    for run in instance.get_runs(dg.RunsFilter(run_ids=list(holders))) if holders else ():
        if run.is_finished:
            storage.free_concurrency_slots_for_run(run.run_id)


def _is_gone(process: str) -> bool:
    host, pid, _ = process.split(":")
    return host == socket.gethostname() and _identity(int(pid)) != process


def _identity(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_start_time(pid)}"


def _start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty if there is none, or none that can be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


class TaggedExecutor(dg.Executor):
    """Tags a run, then has another executor run its steps."""

    def __init__(self, steps: dg.Executor) -> None:
        self._steps = steps

    @property
    def retries(self) -> Any:
        """How steps are tried again."""
        return self._steps.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Tag the run, then run the steps, which wait for their places in pools in turn."""
        claim_in_turn(plan_context.instance)
        plan_context.instance.add_run_tags(plan_context.run_id, {PROCESS_TAG: this_process()})
        yield from self._steps.execute(plan_context, execution_plan)


def _tagged(context: dg.InitExecutorContext) -> TaggedExecutor:
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None  # noqa: S101 - only an executor that others are made of has none
    return TaggedExecutor(create(context))


_options: Any = dg.in_process_executor.config_schema  # of a kind that its signature doesn't name
in_process_executor = dg.ExecutorDefinition("in_process", _options, executor_creation_fn=_tagged)
"""All steps of a run in its own process."""
