"""Progress of a stage: to Dagster's log every few seconds, and to whoever listens in this process."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import dagster as dg

from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.progress import Progress, StageProgress, silent

LOG_INTERVAL_S = 10.0

_listener: ContextVar[StageProgress | None] = ContextVar("listener", default=None)


@contextmanager
def listening(stages: StageProgress) -> Iterator[None]:
    """Within the block, stages that run in this process are told to `stages` too."""
    token = _listener.set(stages)
    try:
        yield
    finally:
        _listener.reset(token)


def listener() -> StageProgress | None:
    """Who listens to the stages of this process, if anybody does."""
    return _listener.get()


@dataclass
class Told:
    """What is told of a stage while it runs.

    Attributes:
        progress: told of its work.
        made: what it made, in words.
    """

    progress: Progress = silent
    made: str = ""


@contextmanager
def told_of(pair: Pair) -> Iterator[Told]:
    """Tell whoever listens that a stage begins, and at the end of the block what it made, or that it failed."""
    stages, stage = _listener.get(), str(pair)
    if stages is None:
        yield Told()
        return
    told = Told(stages.started(stage))
    try:
        yield told
    except BaseException:
        stages.ended(stage, None)
        raise
    stages.ended(stage, told.made)


def in_words(pair: Pair, metadata: Mapping[str, Any]) -> str:
    """What a stage made, of the metadata of its result."""

    def value(name: str) -> Any:
        return metadata.get(f"burnscar/{name}")

    def figure(said: str, name: str) -> list[str]:
        return [] if value(name) is None else [f"{said} {value(name):.2f}"]

    if pair.stage == "checkpoint":
        epochs = [] if value("epochs") is None else [_count(value("epochs"), "epoch")]
        return ", ".join([*epochs, _count(value("train_windows"), "window")])
    if pair.stage == "evaluation_metrics":
        return ", ".join([*figure("map IoU", "map_iou"), _count(value("windows"), "window"), *figure("F1", "f1_burnt")])
    if pair.stage in ("burned_area_maps", "in_season_maps"):
        without = value("without_imagery")
        missing = [f"{_count(without, 'fire')} without imagery"] if without else []
        return ", ".join([_count(value("maps"), "map"), *missing, *figure("median IoU", "median_iou")])
    return _count(metadata["dagster/partition_row_count"], STAGES[pair.stage].tables[0].row)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def reporter(context: dg.AssetExecutionContext, progress: Progress = silent) -> Progress:
    """The progress callback of one asset's run: to Dagster's log, and to another."""
    last_logged = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal last_logged
        progress(what, done, total)
        now = time.monotonic()
        if now - last_logged >= LOG_INTERVAL_S:
            last_logged = now
            context.log.info(f"{what}: {done} of {total}" if total else f"{what}: {done}")

    return report
