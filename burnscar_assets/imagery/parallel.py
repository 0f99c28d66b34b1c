"""Batches of work in the calling process or in processes of their own."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from burnscar_assets.errors import SettingsError
from burnscar_assets.parent import end_worker_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")


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
    context = multiprocessing.get_context("forkserver")
    count = min(workers, len(tasks))
    with ProcessPoolExecutor(count, mp_context=context, initializer=end_worker_with_parent) as pool:
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
