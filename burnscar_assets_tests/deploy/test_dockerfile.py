"""The image copies what is there, with the Python that the lock is for."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def copied(instructions: list[tuple[str, str]]) -> set[str]:
    return {path for name, rest in instructions if name == "COPY" for path in shlex.split(rest)[:-1]}


def test_everything_copied_exists_and_reaches_the_builder(instructions: list[tuple[str, str]]) -> None:
    paths = copied(instructions)
    assert paths and all((REPOSITORY / path).exists() for path in paths)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {line.removeprefix("!") for line in allowed if line.startswith("!")} == paths


def test_the_package_finds_in_the_image_what_it_reads_of_the_repository(instructions: list[tuple[str, str]]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = {
        "burnscar_assets",
        "configs",
        "dagster.yaml",
        "workspace.yaml",
        project["readme"],
        *project["license-files"],
    }
    assert needed <= copied(instructions)


def test_what_is_copied_is_enough_to_load_the_code_location(
    instructions: list[tuple[str, str]], tmp_path: Path
) -> None:
    for name in copied(instructions):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, tmp_path / name)
    program = (
        "import burnscar_assets.definitions as d; print(d.__file__);"
        "print(len(d.definitions().resolve_asset_graph().get_all_asset_keys()))"
    )
    environment = {
        "PYTHONPATH": str(tmp_path),
        "BURNSCAR_CONFIG": "california",
        "BURNSCAR_DATA": str(tmp_path / "data"),
    }
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    place, assets = loaded.stdout.split()
    assert Path(place).is_relative_to(tmp_path) and int(assets) > 5


def test_python_is_the_one_that_the_lock_is_for(instructions: list[tuple[str, str]]) -> None:
    image = next(rest for name, rest in instructions if name == "FROM")
    assert image == "python:3.11-slim@${BASE_DIGEST}", "named by digest, which the build is given"
    assert "--python-version 3.11" in (REPOSITORY / "Makefile").read_text()


def test_the_image_says_what_it_was_built_on(instructions: list[tuple[str, str]]) -> None:
    names = [name for name, _ in instructions]
    assert ("ARG", "BASE_DIGEST") in instructions[names.index("FROM") :], "it is not known after FROM otherwise"
    assert 'org.opencontainers.image.base.digest="${BASE_DIGEST}"' in dict(instructions)["LABEL"]
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "image: deploy/base.digest" in makefile and "BASE_DIGEST=$$(cat $<)" in makefile


def test_the_image_holds_what_production_needs_as_it_was_tested() -> None:
    tested, shipped = (_pins(REPOSITORY / name) for name in ("requirements.lock", "deploy/requirements.lock"))
    assert shipped.items() <= tested.items()
    assert {"dagster-postgres", "dagster-k8s", "rslearn", "torch"} <= shipped.keys()
    assert not {"pytest", "moto", "selenium", "ruff"} & shipped.keys()


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def test_the_image_runs_as_the_user_and_on_the_port_of_the_chart(instructions: list[tuple[str, str]]) -> None:
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    commands = dict(instructions)
    assert int(commands["USER"]) == deployment["podSecurityContext"]["fsGroup"]
    assert int(commands["EXPOSE"]) == deployment["port"]
    assert deployment["codeServerArgs"][-1] in commands["CMD"]
