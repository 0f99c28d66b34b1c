"""The module that uses private parts of Dagster, run with the newest Dagster of the registry.

A version inside of pyproject.toml's range that breaks them fails the test, since an installation from pyproject.toml
gets it; one beyond the range is told of as an expected failure, so that whoever moves the range knows what to mend.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from burnscar_assets_tests.deploy.dagster_private import RELEASED_TOGETHER, private_uses

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = Path("burnscar_assets_tests")
PATIENCE_S = 600

RUN = "orchestration/test_planning.py::test_an_edited_fire_makes_its_year_stale_and_says_so_back_to_the_root"
CHECKS = "orchestration/test_planning.py::test_nothing_is_made_from_a_suspicious_release_without_a_persons_word"
WEB_UI = "orchestration/test_web_server.py::test_the_web_ui_answers_and_its_daemons_live"
PROVEN_BY = {
    "orchestration/dagster_private.py": (
        "orchestration/test_dagster_private.py",
        "orchestration/test_queue.py",
        "orchestration/test_lineage.py",
        RUN,
        CHECKS,
        WEB_UI,
    ),
    "orchestration/services.py": (WEB_UI,),
}
"""The module that imports private parts of Dagster, and the one that starts its daemon, with tests that run them."""

IMPORTS = """
import importlib, json, sys
broken = {}
for module, names in json.load(sys.stdin).items():
    for name in names:
        parent, _, rest = name.partition(":")
        try:
            found = importlib.import_module(parent)
            for part in filter(None, rest.split(".")):
                if hasattr(found, part):
                    found = getattr(found, part)
                else:
                    found = importlib.import_module(f"{found.__name__}.{part}")
        except Exception as error:
            broken.setdefault(module, []).append(f"{name} ({type(error).__name__}: {error})")
print(json.dumps(broken))
"""
UNREACHABLE = re.compile(
    r"error sending request|failed to fetch|could not connect|connect(ion)? (error|refused|reset)|dns error|timed out"
    r"|network was disabled",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import dagster as dg\ndg.job\nself._core", []),
        ("from dagster_pipes import open_dagster_pipes", []),
        ("from dagster_ray.core.pipes import Client", []),
        ("command = ['-m', 'dagster._daemon', 'run']", ["dagster._daemon:"]),
        ("told = 'dagster_cloud._x and dagster._core'", []),
        ("from dagster_k8s.client import DagsterK8sError", []),
        ("from dagster._core import storage as kept", ["dagster._core:storage"]),
        ("def f():\n    from dagster_webserver.app import create_app", ["dagster_webserver.app:create_app"]),
        ("from dagster import _core", ["dagster:_core"]),
        ("import dagster._core.storage", ["dagster._core.storage:"]),
        ("import dagster as dg\ndg.DagsterInstance._find", ["dagster:DagsterInstance._find"]),
        ("from dagster import DagsterInstance as I\nI._find = 1", ["dagster:DagsterInstance._find"]),
    ],
)
def test_a_private_use_is_found_in_the_source(tmp_path: Path, source: str, names: list[str]) -> None:
    (tmp_path / "module.py").write_text(source)
    assert private_uses(tmp_path) == ({"module.py": names} if names else {})


def test_each_module_on_private_parts_has_a_test_that_runs_them() -> None:
    uses = private_uses(REPOSITORY / "burnscar_assets")
    assert set(uses) == set(PROVEN_BY), "private parts of Dagster stand in orchestration/dagster_private.py alone"
    for test in chain.from_iterable(PROVEN_BY.values()):
        file, _, name = test.partition("::")
        tree = ast.parse((REPOSITORY / TESTS / file).read_text(encoding="utf-8"))
        assert not name or name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


@pytest.mark.parametrize("name", ["dagster._core.no_such_part:Thing", "dagster:DagsterInstance._no_such_name"])
def test_a_private_part_that_is_gone_is_named_with_its_module(name: str) -> None:
    broken = gone(Path(sys.executable), {"orchestration/queue.py": [name, "dagster._core.utils:make_new_backfill_id"]})
    (text,) = broken.pop("orchestration/queue.py")
    assert name in text and not broken


@dataclass(frozen=True)
class Newest:
    """An environment with the newest Dagster that has a web server, and else what the lock has."""

    python: Path
    version: str


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newest]:
    """Made by uv in seconds, from links into its cache; gone afterwards."""
    home = tmp_path_factory.mktemp("newest")
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = [line.removesuffix(" \\") for line in lines if re.match(r"[A-Za-z0-9]", line)]
    others = home / "others.txt"
    others.write_text("\n".join(line for line in locked if not line.startswith("dagster")), encoding="utf-8")
    python = home / "env" / "bin" / "python"
    _uv("venv", "--python", sys.executable, str(python.parents[1]))
    install = ("pip", "install", "--python", str(python))
    _uv(*install, "--no-deps", "-r", str(others))
    at_least = [f"{name}>={version(name)}" for name in RELEASED_TOGETHER]
    _uv(*install, "--prerelease", "disallow", *at_least)
    command = python.with_name("burnscar")
    command.write_text(f"#!{python}\nimport sys\nfrom burnscar_assets.__main__ import main\nsys.exit(main())\n")
    command.chmod(0o755)
    program = "from importlib.metadata import version; print(version('dagster'))"
    yield Newest(python, subprocess.check_output([str(python), "-c", program], text=True).strip())
    shutil.rmtree(python.parents[1])


def _uv(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", *command], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip(f"the package registry can't be reached: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr


def gone(python: Path, uses: dict[str, list[str]]) -> dict[str, list[str]]:
    """The private names that aren't there any more, by module."""
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", IMPORTS],
        input=json.dumps(uses),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def failing(python: Path, tests: set[str]) -> tuple[set[str], str]:
    """Which of the tests fail with another Python, and what pytest says of them."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "BURNSCAR_", "DAGSTER_"))}
    done = subprocess.run(
        [str(python), "-m", "pytest", "-rfE", "--tb=line", "-p", "no:cacheprovider", *(str(TESTS / t) for t in tests)],
        cwd=REPOSITORY,
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stdout[-6000:] + done.stderr[-2000:]
    bad = {test for test in tests if re.search(rf"^(FAILED|ERROR) {re.escape(str(TESTS / test))}", done.stdout, re.M)}
    return (bad if done.returncode in (0, 1) else tests), said


@pytest.mark.slow
def test_the_newest_dagster_has_what_the_package_uses_of_its_private_parts(newest: Newest) -> None:
    uses = private_uses(REPOSITORY / "burnscar_assets")
    broken = gone(newest.python, uses)
    told = [f"{module}: {', '.join(names)}" for module, names in broken.items()]
    if not told and newest.version != version("dagster"):
        bad, said = failing(newest.python, set(chain.from_iterable(PROVEN_BY.values())))
        told = [f"{module}: {test} fails" for module, tests in PROVEN_BY.items() for test in tests if test in bad]
        told += [said] if bad else []
    judge(newest.version, told)


def judge(newest: str, broken: list[str]) -> None:
    """Report a version: what breaks fails if it is inside of the range of pyproject.toml, else it is expected to.

    pytest's summary shows warnings, but not the reasons of expected failures.
    """
    found = f"Dagster {newest}, the newest of the registry (the lock has {version('dagster')}),"
    if not broken:
        warnings.warn(f"{found} has all that is used of its private parts", RuntimeWarning, stacklevel=1)
        return
    report = f"{found} breaks modules:\n" + "\n".join(broken)
    if newest in _pinned():
        pytest.fail(f"{report}\nmend them, or leave this version out in pyproject.toml", pytrace=False)
    warnings.warn(report, RuntimeWarning, stacklevel=1)
    pytest.xfail(report)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_version_inside_of_the_range_must_not_break_and_one_beyond_it_may() -> None:
    here = version("dagster")
    judge(here, [])
    with pytest.raises(pytest.fail.Exception, match=f"(?s)Dagster {here}.*queue.py: gone"):
        judge(here, ["queue.py: gone"])
    with pytest.raises(pytest.xfail.Exception, match=r"(?s)Dagster 99\.0.*queue.py: gone"):
        judge("99.0", ["queue.py: gone"])
    with (
        pytest.warns(RuntimeWarning, match=r"(?s)Dagster 99\.0.*queue.py: gone"),
        pytest.raises(pytest.xfail.Exception),
    ):
        judge("99.0", ["queue.py: gone"])


def _pinned() -> SpecifierSet:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return next(r.specifier for r in map(Requirement, project["dependencies"]) if r.name == "dagster")
