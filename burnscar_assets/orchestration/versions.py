"""Code versions: what of code and settings decides a stage's result.

Raise a stage's version when its code comes to give another result for the same input.
"""

from burnscar_assets.environment import config_file
from burnscar_assets.settings import Section, Settings
from burnscar_assets.storage.hashing import hash_file, hash_json

STAGE_VERSIONS = {
    "calfire_release": "1",
    "fire_perimeters": "1",
    "burn_history": "1",
    "sample_points": "1",
    "windows": "1",
    "scene_matches": "1",
    "tiles": "1",
    "checkpoint": "1",
    "evaluation_metrics": "1",
}


def code_version(stage: str, settings: Settings) -> str:
    """The stage's own version and the digest of the settings that it reads."""
    return f"{STAGE_VERSIONS[stage]}-{settings_digest(stage, settings)}"


def settings_digest(stage: str, settings: Settings) -> str:
    """Short hash of the settings and configuration files that a stage reads."""
    sections, files = _read_by(stage, settings)
    return hash_json([[s.digest() for s in sections], [hash_file(config_file(f)) for f in files]])[:12]


def _read_by(stage: str, settings: Settings) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    imagery_files = (settings.imagery.dataset_config,)
    return {
        "calfire_release": ((settings.release,), ()),
        "fire_perimeters": ((settings.perimeters,), ()),
        "burn_history": ((settings.perimeters,), ()),
        "sample_points": ((settings.sampling, settings.windows), ()),
        "windows": ((settings.windows,), ()),
        "scene_matches": ((settings.imagery,), imagery_files),
        "tiles": ((settings.imagery,), imagery_files),
        "checkpoint": ((settings.training,), (settings.training.config,)),
        "evaluation_metrics": ((settings.evaluation,), ()),
    }[stage]
