import os
from collections.abc import Iterator

import pytest

from burnscar_assets.errors import InputError
from burnscar_assets.imagery.parallel import run_shards

SHARDS = ["a", "bb", "", "dddd"]


def letters(shard: str) -> Iterator[tuple[str, int]]:
    for letter in shard:
        yield letter, os.getpid()


def refuse(shard: str) -> Iterator[str]:
    raise InputError(f"no use for {shard}: give another")
    yield shard


@pytest.mark.parametrize("workers", [0, 2])
def test_every_shard_is_worked_on_where_it_should_be(workers: int) -> None:
    results = list(run_shards(letters, SHARDS, workers))
    assert sorted(letter for letter, _ in results) == sorted("".join(SHARDS))
    assert ({process for _, process in results} == {os.getpid()}) is (workers == 0)


def test_results_come_as_they_are_made() -> None:
    results = run_shards(letters, SHARDS, 0)
    assert next(results)[0] == "a"
    results.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_are_those_of_the_work(workers: int) -> None:
    with pytest.raises(InputError, match="give another"):
        list(run_shards(refuse, SHARDS, workers))


@pytest.mark.slow
def test_a_ray_cluster_works_on_shards_too() -> None:
    results = list(run_shards(letters, SHARDS, 0, "local"))
    assert sorted(letter for letter, _ in results) == sorted("".join(SHARDS))
    assert os.getpid() not in {process for _, process in results}
    with pytest.raises(InputError, match="give another"):
        list(run_shards(refuse, SHARDS, 0, "local"))
