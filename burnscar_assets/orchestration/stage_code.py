"""The code that each stage's version stands for, recorded so that a test notices when it changes.

The code of a stage is the modules that its asset's body calls and what they import of this package, within
functions too. Comments, docstrings, line breaks and imports for types alone don't count, nor do modules that
decide no result: pictures, progress, errors, places of files, and settings, whose values are part of the code
version already. `make versions` writes the record anew.
"""

import ast
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, NamedTuple

from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.storage.atomic import read_json, write_json
from burnscar_assets.storage.hashing import hash_json

RECORD = Path(__file__).with_name("stage_code.json")
PACKAGE = Path(__file__).parents[1]

UNDECISIVE = frozenset(
    {
        "environment", "errors", "publish.pages", "publish.qgis", "mapping.settings", "network", "operations",
        "orchestration",
        "parent", "process", "progress", "section", "settings",
        "storage.atomic", "storage.paths", "terminal",
    }
)  # fmt: skip
"""Modules, or packages of them, that decide no result; so do all whose names end in `plots`."""

_DIGEST_LENGTH = 12


class StageCode(NamedTuple):
    """A stage's version, and a digest of each module of its code."""

    version: str
    code: dict[str, str]


class Source:
    """The source of a package: which modules import which, and a digest of each.

    Modules go by their names within the package (`sampling.points`).

    Args:
        folder: the package's folder, whose name is the package's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trees: dict[str, ast.Module] = {}

    def digests(self, entries: tuple[str, ...]) -> dict[str, str]:
        """Digests of modules and of all that they import, in alphabetical order.

        Raises:
            FileNotFoundError: the package has no such module.
        """
        found: set[str] = set()
        ahead = list(entries)
        while ahead:
            module = ahead.pop()
            if module not in found and is_decisive(module):
                found.add(module)
                ahead += self.imports(self._tree(module), module)
        return {module: hash_json(_content(self._tree(module)))[:_DIGEST_LENGTH] for module in sorted(found)}

    def imports(self, node: ast.AST, module: str) -> list[str]:
        """Modules of the package that the code at and below a node of a module imports."""
        prefix = f"{self._folder.name}."
        parent = (prefix + module).rpartition(".")[0]
        names = [name.removeprefix(prefix) for name in _imported(node, parent) if name.startswith(prefix)]
        return [name for name in names if self._path(name).is_file()]

    def _tree(self, module: str) -> ast.Module:
        if module not in self._trees:
            self._trees[module] = ast.parse(self._path(module).read_text(encoding="utf-8"))
        return self._trees[module]

    def _path(self, module: str) -> Path:
        return self._folder.joinpath(*module.split(".")).with_suffix(".py")


def is_decisive(module: str) -> bool:
    """Whether a module can decide a stage's result."""
    parts = module.split(".")
    packages = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return not parts[-1].endswith("plots") and not packages & UNDECISIVE


def current_code() -> dict[str, StageCode]:
    """Version and code of every stage, as they are now."""
    source = Source(PACKAGE)
    return {name: StageCode(spec.version, source.digests(spec.code)) for name, spec in STAGES.items()}


def recorded_code() -> dict[str, StageCode]:
    """Version and code of every stage, as they were recorded."""
    return {stage: StageCode(**entry) for stage, entry in read_json(RECORD).items()}


def differences(before: Mapping[str, StageCode], now: Mapping[str, StageCode]) -> list[str]:
    """What changed, a line for each stage that did."""
    none = StageCode("none", {})
    lines = []
    for stage in sorted(before.keys() | now.keys()):
        old, new = before.get(stage, none), now.get(stage, none)
        modules = [name for name in sorted(old.code | new.code) if old.code.get(name) != new.code.get(name)]
        version = f"version {new.version}, as before" if old.version == new.version else f"version now {new.version}"
        if old != new:
            lines.append(f"{stage} ({version}): {', '.join(modules) or 'the same code'}")
    return lines


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """Names that the code at and below a node imports at run time, relative ones from a package."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        origin = resolve_name("." * node.level + (node.module or ""), package)
        yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))
    elif not _is_for_types(node):
        for child in ast.iter_child_nodes(node):
            yield from _imported(child, package)


def _content(node: Any) -> Any:
    """What code says, as JSON: the same under any version of Python, which differ in fields that are empty."""
    if isinstance(node, ast.AST):
        fields = {name: _content(value) for name, value in ast.iter_fields(node)}
        return [type(node).__name__, {name: value for name, value in fields.items() if value not in (None, [])}]
    if isinstance(node, list):
        return [_content(item) for item in node if not _is_docstring(item) and not _is_for_types(item)]
    return None if node is None else repr(node)


def _is_docstring(node: ast.AST) -> bool:
    constant = node.value if isinstance(node, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


if __name__ == "__main__":
    for difference in differences(recorded_code(), current := current_code()):
        print(difference)
    write_json(RECORD, {stage: code._asdict() for stage, code in current.items()})
