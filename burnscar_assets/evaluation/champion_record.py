"""What is kept of a fire year's champion in `evaluation/fire_year=YYYY/champion/`, from which maps are made.

Beside its checkpoint lie the windows that it has seen, and `champion.json`.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnscar_assets.errors import CheckpointError, MissingDataError
from burnscar_assets.evaluation.rules import Rules
from burnscar_assets.storage.paths import DataRoot

if TYPE_CHECKING:
    import geopandas as gpd

    from burnscar_assets.models.manifest import CheckpointManifest

FOLDER: Final = "champion"
RECORD_FILE: Final = "champion.json"
SEEN_FILE: Final = "seen.parquet"


class Refusal(BaseModel):
    """A checkpoint that did not take the champion's place, and why."""

    model_config = ConfigDict(frozen=True)

    weights_sha256: str
    reason: str


class Reign(BaseModel):
    """A checkpoint that is or was champion, by what, and why."""

    model_config = ConfigDict(frozen=True)

    weights_sha256: str
    by: Literal["first", "rule", "person"]
    reason: str
    decided_at: datetime


class Champion(BaseModel):
    """The champion of a fire year, those before it, and the last checkpoint that it withstood."""

    model_config = ConfigDict(frozen=True)

    fire_year: int
    reign: Reign
    rules: Rules = Field(description="Thresholds and temperature, as fixed on its own training and validation splits.")
    behind: float = Field(
        0.0,
        le=0,
        description="By how much the champions since the best one were lower in what decides, in sum: what each lost "
        "to the one before it on validation fires counts, so that small losses don't add up.",
    )
    before: tuple[Reign, ...] = ()
    refused: Refusal | None = None

    @property
    def said(self) -> str:
        """Who is champion and why, in a line; and why the last challenger is not."""
        reign = f"{self.reign.weights_sha256[:12]}, by {self.reign.by}: {self.reign.reason}"
        return (
            reign
            if self.refused is None
            else f"{reign}; refused {self.refused.weights_sha256[:12]}: {self.refused.reason}"
        )


def champion_folder(root: DataRoot, fire_year: int) -> Path:
    """Folder of a year's champion: its checkpoint, the windows that it has seen, and `champion.json`."""
    return root.evaluation(fire_year) / FOLDER


def load_champion(root: DataRoot, fire_year: int) -> Champion | None:
    """The champion of a year, if there is one.

    Raises:
        CheckpointError: its record is damaged.
    """
    path = champion_folder(root, fire_year) / RECORD_FILE
    try:
        return Champion.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise CheckpointError(
            f"{path} is no record of a champion: delete {path.parent}, then run burnscar refresh --years {fire_year}"
        ) from error


def serving(root: DataRoot, fire_year: int) -> Champion:
    """The champion of a year, which maps are made by.

    Raises:
        CheckpointError: its record is damaged.
        MissingDataError: the year has none.
    """
    champion = load_champion(root, fire_year)
    if champion is None:
        raise MissingDataError(
            f"no checkpoint of {fire_year} was evaluated, so that none is its champion: run burnscar refresh --years "
            f"{fire_year}"
        )
    return champion


def champion_manifest(root: DataRoot, fire_year: int) -> "CheckpointManifest":
    """The manifest of a year's champion, after a look at its files.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    from burnscar_assets.models.manifest import verify_checkpoint

    try:
        return verify_checkpoint(champion_folder(root, fire_year))
    except CheckpointError as error:
        raise CheckpointError(
            f"the champion of {fire_year} is damaged ({error}): run burnscar verify --years {fire_year}, then burnscar "
            f"refresh --years {fire_year}"
        ) from error


def windows_seen(root: DataRoot, fire_year: int) -> "gpd.GeoDataFrame":
    """Windows that a year's champion was trained on, or its best epoch chosen by: fire_id, split, geometry and more.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    import geopandas as gpd

    path = champion_folder(root, fire_year) / SEEN_FILE
    try:
        return gpd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} can't be read ({error}): delete {path.parent}, then run burnscar refresh --years {fire_year}"
        ) from error
