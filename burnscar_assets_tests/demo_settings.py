"""The demo's settings for small worlds, which read and map with the image after the fire alone."""

from typing import Any

import yaml

from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.settings import Settings, parse_settings


def demo_after() -> dict[str, Any]:
    """Content of `demo.yaml` without windows of images before fires, and without the set-ups that read these."""
    content: dict[str, Any] = yaml.safe_load((CONFIGS_DIR / "demo.yaml").read_text(encoding="utf-8"))
    del content["mapping"]["setup"], content["imagery"]["dataset_config"]
    content["setups"]["exclude"] += ["*-change", "*-pre-post"]
    return content


def demo_alone() -> dict[str, Any]:
    """The same without any set-up beside the demo's own."""
    return demo_after() | {"setups": {"exclude": ["*"]}}


def settings_alone() -> Settings:
    """The same as settings."""
    return parse_settings(demo_alone(), "demo.yaml")
