"""What an encoder's architecture file may name: its package makes each class that stands under `_CLASS_`."""

from collections.abc import Collection, Iterator
from typing import Any


def foreign_classes_of_architecture(content: Any, prefixes: Collection[str]) -> list[str]:
    """Classes in the file of an encoder's architecture that lie outside the packages that may make them, sorted.

    Args:
        content: of the file.
        prefixes: of the classes that it may name.
    """
    return sorted(name for name in _classes(content) if not name.startswith(tuple(prefixes)))


def _classes(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for value in node:
            yield from _classes(value)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "_CLASS_":
                yield from map(str, value if isinstance(value, list) else [value])
            else:
                yield from _classes(value)
