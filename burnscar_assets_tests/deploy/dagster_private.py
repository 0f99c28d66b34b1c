"""The private parts of Dagster that the package uses, as its source names them."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

RELEASED_TOGETHER = ("dagster", "dagster-webserver", "dagster-graphql", "dagster-pipes", "dagster-shared")
"""Packages that have Dagster's own version; libraries of it, as for Kubernetes and Ray, have versions of their own."""

PACKAGES = tuple(name.replace("-", "_") for name in RELEASED_TOGETHER)
_PRIVATE_MODULE = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)*\._\w+(\.\w+)*")


def private_uses(folder: Path) -> dict[str, list[str]]:
    """Private names of Dagster by module below a folder; modules without any are left out.

    A name is private if a part of it begins with an underscore, or if it is imported from anywhere but a package's top.
    One without a name after its colon is a module.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name in sorted({*_imported(tree), *_attributes(tree), *_started(tree)}):
            found[path.relative_to(folder).as_posix()].append(name)
    return dict(found)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_dagster(node.module or ""):
            names = [f"{node.module}:{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [f"{alias.name}:" for alias in node.names if _is_dagster(alias.name)]
        else:
            continue
        yield from (name for name in names if "." in name or "._" in name.replace(":", "."))


def _attributes(tree: ast.AST) -> Iterator[str]:
    """What is reached through an imported name: `dg._core`, `dg.DagsterInstance._secret`."""
    known = {
        alias.asname or alias.name: f"{node.module}:{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if _is_dagster(alias.name if isinstance(node, ast.Import) else node.module or "")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            first, *rest = ast.unparse(node).split(".")
            if first in known:
                separator = "." if ":" in known[first] else ":"
                yield f"{known[first]}{separator}{'.'.join(rest)}"


def _started(tree: ast.AST) -> Iterator[str]:
    """Modules that stand as text, to be run as programs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _PRIVATE_MODULE.fullmatch(node.value):
            yield f"{node.value}:"


def _is_dagster(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in PACKAGES
