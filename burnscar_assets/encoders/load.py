"""Reading encoders from their files, and what those of others may name.

An encoder's file lies in `encoders/` beside the world's settings or is a shipped one (`configs/encoders/`); of two
files of one name the one beside the settings counts.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from burnscar_assets.encoders.encoder import Encoder
from burnscar_assets.environment import named_file, shipped_files
from burnscar_assets.section import read_named

DEFAULT: Final = "olmoearth"
DEFAULT_MODULE: Final = "rslearn.models.olmoearth_pretrain.model"
"""Module of its class, which takes seconds to import."""

FOLDER: Final = "encoders"


def encoder_file(name: str) -> Path:
    """The file of an encoder, see `named_file`.

    Raises:
        SettingsError: there is none.
    """
    return named_file(name, "encoder", FOLDER)


def load_encoder(name: str) -> Encoder:
    """Read an encoder, see `encoder_file`.

    Raises:
        SettingsError: there is none, or it has mistakes, see `read_named`.
    """
    return read_named(encoder_file(name), "encoder", Encoder)


@cache
def shipped_encoders() -> tuple[Encoder, ...]:
    """The encoders that come with this project, by name."""
    return tuple(read_named(path, "encoder", Encoder) for path in shipped_files(FOLDER))


@cache
def shipped_classes() -> frozenset[str]:
    """Class paths of shipped encoders, which model configurations may name without a person's word."""
    return frozenset(encoder.class_path for encoder in shipped_encoders())


@cache
def shipped_architecture_classes() -> tuple[str, ...]:
    """Prefixes of the classes that files of shipped encoders' architectures may name."""
    return tuple(sorted({prefix for encoder in shipped_encoders() for prefix in encoder.architecture_classes}))


def foreign_arguments(class_path: str, bare: Mapping[str, Any]) -> list[str]:
    """Arguments with which somebody else's checkpoint would have a shipped encoder read more than its own folder.

    Args:
        class_path: of the encoder.
        bare: its arguments without weights, see `EncoderRecord`.

    Returns:
        Names that no shipped file of this class gives, or gives otherwise as to folder and weights.
    """
    given: dict[str, Any] = {}
    for encoder in shipped_encoders():
        if encoder.class_path == class_path:
            given |= encoder.init_args
            for variant in encoder.variants.values():
                given |= variant.init_args
    fixed = {"${FOLDER}": "${FOLDER}", "${WEIGHTS}": "${WEIGHTS}", "${RANDOM}": True}
    wrong = {name for name, said in given.items() if said in list(fixed) and bare.get(name) != fixed[said]}
    return sorted(wrong | (bare.keys() - given.keys())) if given else []


def foreign_classes_of_architecture(content: Any, prefixes: Collection[str]) -> list[str]:
    """Classes in the file of an encoder's architecture that lie outside the packages that may make them, sorted.

    Args:
        content: of the file; its package makes each class that stands under `_CLASS_`.
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
