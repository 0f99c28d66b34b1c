"""The tiny world, trained and evaluated once a session."""

import shutil
import warnings
from pathlib import Path

import pytest

from burnscar_assets.evaluation.evaluator import evaluate
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.evaluation.tiny_world import spec_of, train_world


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Two fire years with a checkpoint each, that of 2020 has seen both, and their evaluations."""
    from huggingface_hub import constants

    root = DataRoot(tmp_path_factory.mktemp("evaluated") / "data")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(root.path / "hub"))
        train_world(root)
    evaluate(spec_of(root, fire_year=2019, year_before=None))
    evaluate(spec_of(root))
    return root


@pytest.fixture
def world(trained: DataRoot, tmp_path: Path) -> DataRoot:
    """A copy of the trained world, to be changed."""
    shutil.copytree(trained.path, tmp_path / "data")
    return DataRoot(tmp_path / "data")
