import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnscar_assets.dataset.parallel import run_shards
from burnscar_assets.errors import InputError

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


def test_workers_import_nothing_from_the_folder_that_they_start_in(tmp_path: Path) -> None:
    folder, script = tmp_path / "foreign", tmp_path / "script.py"
    folder.mkdir()
    folder.joinpath("multiprocessing.py").write_text("open('ran', 'w')\nraise SystemExit('foreign')\n")
    script.write_text(
        "from burnscar_assets.dataset.parallel import run_batches\n"
        "if __name__ == '__main__':\n    print(sorted(run_batches(abs, [-1, -2], 2)))\n"
    )
    project = {"PYTHONPATH": str(Path(__file__).parents[2])}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"} | project
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=60, check=False)
    assert done.stdout.split() == [b"[1,", b"2]"], done.stderr.decode()
    assert not folder.joinpath("ran").exists()


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
