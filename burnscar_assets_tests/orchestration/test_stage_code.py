"""The guard of stage versions: what counts as changed code, and that the record is up to date."""

import ast
import re
from pathlib import Path

import pytest

from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.orchestration.stage_code import (
    PACKAGE,
    Source,
    StageCode,
    current_code,
    differences,
    is_decisive,
    recorded_code,
)
from burnscar_assets.orchestration.stages import STAGES

FOR_PICTURES = {
    "fire_perimeters": {"sampling.land"},
    "burn_history": {"sampling.land"},
    "in_season_perimeters": {"sampling.land"},
    "setup_comparison": {"comparison.report"},
}
"""What bodies of assets call to draw, not to make the result."""

MODULES = {
    "area.py": '''
"""Areas."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from pack.shapes import Square
SIDE_M = 10
"""Side."""

def area(times):
    """Area."""
    from pack.units import hectares  # late
    return hectares(times * SIDE_M**2)
''',
    "units.py": "from .deep.base import ONE\ndef hectares(area):\n    return ONE * area / 10_000\n",
    "deep/__init__.py": "",
    "deep/base.py": "from pack import errors, plots\nONE = 1\n",
    "shapes.py": "class Square: ...\n",
    "plots.py": "COLOUR = 'red'\n",
    "errors.py": "class E(Exception): ...\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    (folder / "deep").mkdir(parents=True)
    for name, content in MODULES.items():
        (folder / name).write_text(content)
    return folder


def digests(package: Path) -> dict[str, str]:
    return Source(package).digests(("area",))


def test_the_record_is_up_to_date() -> None:
    changed = differences(recorded_code(), current_code())
    assert not changed, "\n".join(
        [
            "The code of stages changed. If a stage gives another result for the same input, raise its version in "
            "burnscar_assets/orchestration/stages.py. Then run make versions, and commit the record.",
            *changed,
        ]
    )


def test_code_is_what_is_imported_at_run_time_and_decides_results(package: Path) -> None:
    assert list(digests(package)) == ["area", "deep.base", "units"]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param("area.py", '"""Area."""', '"""The area, in ha."""', id="docstring"),
        pytest.param("area.py", '"""Side."""', "", id="docstring of a constant"),
        pytest.param("area.py", "  # late", "", id="comment"),
        pytest.param("area.py", "times * SIDE_M**2", "\n        times\n        * SIDE_M**2\n    ", id="line breaks"),
        pytest.param("area.py", "import Square", "import Square, Circle", id="imports for types"),
        pytest.param("plots.py", "red", "blue", id="picture"),
        pytest.param("errors.py", "class E", "class F", id="error"),
    ],
)
def test_what_decides_no_result_leaves_the_digests(package: Path, module: str, old: str, new: str) -> None:
    before, path = digests(package), package / module
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert digests(package) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param("area.py", "SIDE_M = 10", "SIDE_M = 20", id="constant"),
        pytest.param("area.py", "SIDE_M = 10", "SIDE_M = '10'", id="kind of a constant"),
        pytest.param("area.py", "**2", "**3", id="function"),
        pytest.param("units.py", "/ 10_000", "* 10_000", id="module imported in a function"),
        pytest.param("deep/base.py", "ONE = 1", "ONE = 2", id="relative import"),
    ],
)
def test_what_decides_a_result_changes_the_digest_of_its_module(package: Path, module: str, old: str, new: str) -> None:
    before, path = digests(package), package / module
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    after = digests(package)
    assert [name for name in before if before[name] != after[name]] == [module.removesuffix(".py").replace("/", ".")]


def test_differences_name_the_stage_its_version_and_the_modules() -> None:
    before = {"a": StageCode("1", {"x": "1", "y": "1"}), "b": StageCode("1", {"x": "1"}), "c": StageCode("1", {})}
    now = {"a": StageCode("1", {"x": "2", "z": "1"}), "b": StageCode("2", {"x": "1"}), "c": StageCode("1", {})}
    assert differences(before, now) == ["a (version 1, as before): x, y, z", "b (version now 2): the same code"]


def test_the_entries_are_what_the_bodies_of_assets_call() -> None:
    source, code = Source(PACKAGE), current_code()
    bodies = 0
    for path in sorted((PACKAGE / "orchestration" / "assets").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in STAGES:
                bodies += 1
                called = source.imports(node, f"orchestration.assets.{path.stem}") + _processes(node)
                decisive = {name for name in called if is_decisive(name)} - FOR_PICTURES.get(node.name, set())
                assert decisive <= code[node.name].code.keys(), node.name
    assert bodies == len(STAGES)


def _processes(node: ast.AST) -> list[str]:
    """Modules that a body names in a string: those that it runs."""
    strings = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [text.removeprefix("burnscar_assets.") for text in strings if text.startswith("burnscar_assets.")]


@pytest.mark.parametrize(
    ("pattern", "stages"), [("dataset*.json", ["scene_matches", "tiles"]), ("model*.yaml", ["checkpoint"])]
)
def test_modules_that_configuration_files_name_are_code_of_their_stages(pattern: str, stages: list[str]) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in CONFIGS_DIR.glob(pattern))
    named = set(re.findall(r"burnscar_assets\.([\w.]+)\.\w+", text))
    assert named
    for stage in stages:
        assert named <= current_code()[stage].code.keys()
