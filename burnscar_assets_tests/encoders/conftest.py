"""The tiny world of the tests of models, and the means to train on it."""

from burnscar_assets_tests.models.conftest import (  # noqa: F401
    _offline_hub,
    packed_plan,
    packed_world,
    run,
)
