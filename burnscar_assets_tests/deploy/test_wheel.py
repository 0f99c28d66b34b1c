"""The wheel, built from the repository's files and installed without the repository, is the whole product."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.orchestration.small_world import make_small_world, use_geopackage
from burnscar_assets_tests.orchestration.web_ui_kit import running_web_ui

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("burnscar_assets", "configs")
FILES = (
    *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "NOTICE", "dagster.yaml", "workspace.yaml"),
)
UV = Path(sys.executable).with_name("uv")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network from a source distribution, which is built from a copy of the repository."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in FOLDERS:
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copyfile(REPOSITORY / name, source / name)
    options = ("--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", built)
    done = subprocess.run([UV, "build", *options, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(built.glob("*.whl"))


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_holds_what_is_read_at_run_time_and_nothing_else(wheel: Path) -> None:
    names = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    code = {name for name in files_of(REPOSITORY / "burnscar_assets") if "__pycache__" not in name}
    code -= {"orchestration/stage_code.json"}  # the record of `make versions`, for the repository's tests
    shipped = {f"configs/{name}" for name in files_of(CONFIGS_DIR)} | {"dagster.yaml"}
    assert len(shipped) > 20
    assert names == {f"burnscar_assets/{name}" for name in code | shipped}
    with ZipFile(wheel) as archive:
        for name in shipped:
            assert archive.read(f"burnscar_assets/{name}") == (REPOSITORY / name).read_bytes()


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and this environment's libraries, without this repository."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    here = {name: str(place) for name in ("base", "platbase")}
    libraries = Path(sysconfig.get_path("purelib", vars=here))
    (libraries / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel], check=True)
    return place / "bin"


@pytest.fixture
def run(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a program of that environment in an empty folder, with stderr behind stdout."""
    for name in [name for name in os.environ if name.startswith(("BURNSCAR_", "DAGSTER_"))] + ["PYTHONPATH"]:
        monkeypatch.delenv(name, raising=False)

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(programs / program), *arguments]
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(command, cwd=tmp_path, env=os.environ | {"COLUMNS": "300"}, check=False, **pipe)

    return run


@pytest.mark.slow
def test_commands_work_in_an_empty_folder(run: Run, programs: Path) -> None:
    imported = run("python", "-c", "import burnscar_assets.environment as e; print(e.__file__, e.INSTANCE_FILE)").stdout
    assert all(Path(path).is_relative_to(programs.parent) for path in imported.split())
    for command in (["--help"], ["doctor"], ["plan", "--config", "demo"]):
        done = run("burnscar", *command)
        assert done.returncode == 0, done.stdout
        assert not re.search(rf"{re.escape(str(REPOSITORY))}|make (demo|ui|docs|versions)|docs/|deploy/", done.stdout)
    assert "never made" in done.stdout
    unknown = run("burnscar", "plan", "--config", "mars")
    assert unknown.returncode == 1 and "Traceback" not in unknown.stdout
    assert "error: cannot read settings mars" in unknown.stdout and "demo or california" in unknown.stdout


@pytest.mark.slow
def test_the_web_ui_starts_in_an_empty_folder(run: Run, programs: Path, tmp_path: Path) -> None:
    with running_web_ui(DataRoot(tmp_path / "demo"), programs) as server:
        assert server.answers()


@pytest.mark.slow
def test_the_demo_runs_in_an_empty_folder(run: Run, tmp_path: Path) -> None:
    """Over given perimeters of one year, which takes the least; the whole demo differs in its amount alone."""
    made = DataRoot(tmp_path / "made")
    make_small_world(made)
    done = run("burnscar", "demo", "--perimeters", str(use_geopackage(made)), "--years", "2019", "--fires", "4")
    assert done.returncode == 0, done.stdout
    assert "nothing is stale" in run("burnscar", "plan", "--data", "data/release").stdout
