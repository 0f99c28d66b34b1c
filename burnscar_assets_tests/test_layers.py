"""Which packages may import which."""

import ast
from pathlib import Path

import pytest

import burnscar_assets

PACKAGE = Path(burnscar_assets.__file__).parent


@pytest.mark.parametrize(
    "package", ["labels", "sampling", "catalog", "reader", "dataset", "models", "mapping", "evaluation"]
)
def test_what_maps_are_made_of_knows_nothing_of_their_publication(package: str) -> None:
    imported = {
        (path.name, node.module)
        for path in (PACKAGE / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    assert not {(name, module) for name, module in imported if module and module.startswith("burnscar_assets.publish")}
