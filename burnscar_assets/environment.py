"""What the environment chooses: the data root, the settings file, and where configuration files are found."""

import os
from pathlib import Path

from burnscar_assets.errors import SettingsError
from burnscar_assets.storage.paths import DataRoot

CONFIG_VARIABLE = "BURNSCAR_CONFIG"
DATA_VARIABLE = "BURNSCAR_DATA"
INSTANCE_VARIABLE = "BURNSCAR_INSTANCE"
"""Path of the `dagster.yaml` to use in the place of the embedded one; see deploy/."""

STORE_VARIABLE = "BURNSCAR_STORE"
"""Address of the object store that results go to and come from; without one they stay under the data root."""


WEIGHTS_VARIABLE = "BURNSCAR_WEIGHTS"
"""Folder with pretrained weights, a folder of each encoder's name; without it, `pretrained` under the data root."""


def _shipped(name: str) -> Path:
    """What comes with the package: the build puts it inside, in the repository it lies beside (`setup.py`)."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.exists() else package.parent / name


CONFIGS_DIR = _shipped("configs")
"""Configurations that come with the package: worlds, set-ups, datasets and models."""

INSTANCE_FILE = _shipped("dagster.yaml")
"""The embedded `dagster.yaml`."""


def data_root() -> Path:
    """The data root of this process: BURNSCAR_DATA, or data/<name of the settings file> under the current folder."""
    world = Path(os.environ.get(CONFIG_VARIABLE) or "demo").stem
    return Path(os.environ.get(DATA_VARIABLE) or f"data/{world}").resolve()


def weights_folder(root: DataRoot, encoder: str) -> Path:
    """Where a person may put an encoder's files: a folder of its name in BURNSCAR_WEIGHTS or under the data root."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or root.pretrained).resolve() / encoder


def settings_path(root: Path) -> Path:
    """The settings file of this process.

    BURNSCAR_CONFIG (a path, or the name of a shipped world) wins; else the world that the data root was made for
    (`world.yaml` in it); else the demo.
    """
    chosen = os.environ.get(CONFIG_VARIABLE)
    if not chosen:
        remembered = DataRoot(root).world_file
        return remembered if remembered.exists() else CONFIGS_DIR / "demo.yaml"
    named = CONFIGS_DIR / f"{chosen}.yaml"
    return named if named.exists() and not Path(chosen).is_file() else Path(chosen)


def corrections_file(root: DataRoot) -> Path:
    """Where a person's corrections of a world's labels lie: beside its settings, of which a folder may hold several.

    Of shipped settings, and of those in the data root, they lie in the data root.
    """
    settings = settings_path(root.path).resolve()
    if settings.parent in (root.path.resolve(), CONFIGS_DIR.resolve()):
        return root.path / "corrections.gpkg"
    return settings.with_name(f"{settings.stem}.corrections.gpkg")


def config_file(name: str) -> Path:
    """A configuration file, whatever the current folder: a full path, or one beside the settings or a shipped one.

    Raises:
        SettingsError: there is none.
    """
    beside = settings_path(data_root()).resolve().parent
    for candidate in (beside / name, CONFIGS_DIR / name):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(p.name for p in CONFIGS_DIR.glob("*.*")))
    raise SettingsError(f"no configuration {name!r} in {beside} or among the shipped {known}: give a full path")


def named_file(name: str, kind: str, folder: str) -> Path:
    """The file of a thing that is named for it, such as a sensor's or an encoder's.

    Args:
        name: of a file in the folder beside the settings or of a shipped one; or its path, full or from the settings.
        kind: what it holds, for errors.
        folder: of such files, beside the settings and among the shipped ones.

    Raises:
        SettingsError: there is none.
    """
    is_path = name.endswith((".yaml", ".yml"))
    try:
        return config_file(name if is_path else f"{folder}/{name}.yaml")
    except SettingsError as error:
        known = ", ".join(path.stem for path in shipped_files(folder))
        raise SettingsError(
            f"no {kind} {name!r}: there are {known}; put {Path(name).stem}.yaml into the folder {folder} beside the "
            "settings for one of your own"
        ) from error


def shipped_files(folder: str) -> list[Path]:
    """The shipped files of a folder of such, by name."""
    return sorted((CONFIGS_DIR / folder).glob("*.yaml"))
