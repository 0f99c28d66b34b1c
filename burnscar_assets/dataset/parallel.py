"""Shards of work in the calling process, in processes of their own, or as tasks on a Ray cluster."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from typing import Any, Final, TypeVar

from burnscar_assets.errors import BurnscarError, SettingsError
from burnscar_assets.parent import end_worker_with_parent
from burnscar_assets.regions.load import work_in, working_region
from burnscar_assets.regions.region import Region

SAFE_PATH: Final = "PYTHONSAFEPATH"

Shard = TypeVar("Shard")
Task = TypeVar("Task")
Result = TypeVar("Result")


def run_shards(
    work: Callable[[Shard], Iterator[Result]], shards: Sequence[Shard], workers: int, ray_address: str | None = None
) -> Iterator[Result]:
    """Results of `work` on each shard, as they are ready; in the shards' order in the calling process only.

    Args:
        work: a function of a module, so that a worker can import it.
        shards: its arguments; they need nothing of each other.
        workers: processes; 0 for the calling one.
        ray_address: Ray cluster to run on instead: as `ray.init` takes it, or `local` for one on this machine.

    Raises:
        SettingsError: a worker was killed, as a rule for want of memory, or there is no such cluster.
    """
    if ray_address is not None:
        yield from _on_ray(work, shards, ray_address)
    elif workers == 0 or len(shards) <= 1:
        for shard in shards:
            yield from work(shard)
    else:
        for results in run_batches(partial(_collect, work), shards, workers):
            yield from results


def run_batches(work: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """Results of `work` on each task, as they are ready; the order is that of the tasks without workers only.

    Args:
        work: a function of a module, so that a worker process can import it.
        tasks: its arguments.
        workers: processes; 0 for the calling one.

    Raises:
        SettingsError: a worker process was killed, as a rule for want of memory.
    """
    if workers == 0 or len(tasks) <= 1:
        yield from map(work, tasks)
        return
    with _safe_path():
        forkserver.ensure_running()
    context = multiprocessing.get_context("forkserver")
    count = min(workers, len(tasks))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(working_region(),)) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise SettingsError(
                "a worker process died, perhaps out of memory: free some, or lower imagery.workers"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(region: Region) -> None:
    """Have a worker process end with its parent, and work in its parent's region."""
    end_worker_with_parent()
    work_in(region)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Within the block, a Python that is started imports nothing from the folder that it starts in."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def _on_ray(work: Callable[[Shard], Iterator[Result]], shards: Sequence[Shard], address: str) -> Iterator[Result]:
    """Each shard as a task; a task whose node died is run again by Ray, which changes no result."""
    try:
        import ray
    except ImportError as error:
        raise SettingsError("imagery.ray_address needs Ray: install burnscar-assets[ray]") from error

    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
        except ConnectionError as error:
            raise SettingsError(f"no Ray cluster at {address} ({error}): correct imagery.ray_address") from error
    try:
        task: Any = ray.remote(max_retries=3)(_collect_in)
        waiting: list[Any] = [task.remote(work, shard, working_region()) for shard in shards]
        while waiting:
            ready, waiting = ray.wait(waiting)
            for reference in ready:
                yield from _result(ray, reference)
    finally:
        if started:
            ray.shutdown()


def _result(ray: Any, reference: Any) -> list[Any]:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, BurnscarError) else error) from error


def _collect_in(work: Callable[[Shard], Iterator[Result]], shard: Shard, region: Region) -> list[Result]:
    work_in(region)
    return _collect(work, shard)


def _collect(work: Callable[[Shard], Iterator[Result]], shard: Shard) -> list[Result]:
    return list(work(shard))
