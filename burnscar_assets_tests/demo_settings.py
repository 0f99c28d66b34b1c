"""The demo's settings for small worlds: its own set-up alone, which reads and maps with the image after the fire."""

from typing import Any

import yaml

from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.settings import Settings, parse_settings


def demo_alone() -> dict[str, Any]:
    """Content of `demo.yaml` without set-ups beside its own, and without windows of images before fires."""
    content: dict[str, Any] = yaml.safe_load((CONFIGS_DIR / "demo.yaml").read_text(encoding="utf-8"))
    del content["mapping"]["setup"], content["imagery"]["dataset_config"]
    return content | {"setups": {"exclude": ["*"]}}


def settings_alone() -> Settings:
    """The same as settings."""
    return parse_settings(demo_alone(), "demo.yaml")
