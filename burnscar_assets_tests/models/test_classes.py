"""A model's configuration of somebody else takes no more time and memory than one of ours."""

import time
from pathlib import Path

import pytest

from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.classes import read_foreign_yaml
from burnscar_assets.models.manifest import CONFIG_FILE
from burnscar_assets.models.model import _config

LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)), "model: *a11"]
)
ATTACKS = {"laughs": LAUGHS, "itself": "a: &a [*a, *a]", "deep": "[" * 5000 + "]" * 5000, "no yaml": "a: [b"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_configuration_that_never_ends_is_refused(attack: str, tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text(ATTACKS[attack])
    began = time.monotonic()
    with pytest.raises(CheckpointError, match="no configuration of a model"):
        _config(tmp_path, None, ())
    assert time.monotonic() - began < 30


def test_aliases_that_are_no_attack_are_read() -> None:
    assert read_foreign_yaml("a: &a {b: [1, 2]}\nc: *a") == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}
