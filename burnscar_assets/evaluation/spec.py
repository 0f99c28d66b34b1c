"""Inputs and report of the evaluator's process: two JSON files."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import Field, TypeAdapter

from burnscar_assets.classes import Fold, Split, every_fold
from burnscar_assets.errors import MissingDataError
from burnscar_assets.evaluation.frame_pixels import Reliability
from burnscar_assets.evaluation.key_figures import EvaluationSummary
from burnscar_assets.evaluation.label_noise import LabelNoise
from burnscar_assets.evaluation.rules import Rules
from burnscar_assets.evaluation.separation import SeparationProof
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.process import ProcessSpec
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.settings.training import Accelerator
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.paths import DataRoot

REPORT_FILE = "report.json"


class EvaluationSpec(ProcessSpec):
    """Everything that the process needs, wherever it runs."""

    root: Path = Field(description="Data root: dataset, tables and checkpoints.")
    part: str = Field("", description="Folder under it of the set-up that is judged; empty: the world's own.")
    folds: int | None = Field(
        None, description="Folds that fires are dealt into, each with a checkpoint that is judged on it; empty: none."
    )
    fold: Fold | None = Field(None, description="The fold that one of these checkpoints is judged on.")
    fire_years: tuple[int, ...] = Field((), description="Fire years that are judged in a world with folds.")
    fire_year: int = Field(description="Fire year whose checkpoint is judged on its own test split.")
    year_before: int | None = Field(
        None, description="Fire year whose champion is judged on the whole year too, as it would have served."
    )
    first_day_after: int = Field(0, description="Days from containment to the start of a window's time range.")
    fires_out: tuple[str, ...] = Field((), description="Fires that a person took out of the scores.")
    ecoregions: Path | None = Field(None, description="Vector file of ecoregions; empty: none.")
    land_cover: Path | None = Field(None, description="Raster of classes of land cover; empty: none.")
    world: str = Field("", description="Name of the world, for the model card.")
    sensor: Sensor = Field(default_factory=default_sensor, description="Sensor of the imagery.")
    layer: str = Field(default_factory=lambda: default_sensor().layer, description="Raster layer that the model reads.")
    min_clear_fraction: float = Field(
        ge=0, le=1, description="Windows of which a smaller share is clear are told beside the headline, 0–1."
    )
    margin_m: float = Field(ge=0, description="Least distance of what is scored from what was seen, in metres.")
    settings: EvaluationSettings = EvaluationSettings()
    mapping: MappingSettings = Field(MappingSettings(), description="How pixels of whole frames are answered.")
    size_px: int = Field(default_factory=lambda: default_sensor().window_px, description="Side of a window, pixels.")
    accelerator: Accelerator = Field("cpu", description="Where the model runs.")
    classes: tuple[str, ...] = Field((), description="Classes beyond the known ones that a checkpoint may name.")
    batch_size: int = Field(256, ge=1, description="Windows per prediction step.")
    simulated: bool = Field(False, description="Whether the imagery is simulated.")
    data_versions: dict[str, str] = Field({}, description="Data versions of what is read, kept in the report.")

    @property
    def data_root(self) -> DataRoot:
        """Where to read and write."""
        return DataRoot(self.root, self.part)

    @property
    def members(self) -> "tuple[EvaluationSpec, ...]":
        """What each checkpoint is judged by: this, or one for each fold."""
        return tuple(
            self.model_copy(update={"part": self.data_root.fold(fold.number).part, "fold": fold})
            for fold in every_fold(self.folds or 0)
        ) or (self,)  # fmt: skip

    @property
    def scored_years(self) -> tuple[int, ...]:
        """Fire years whose held-out fires are judged."""
        return self.fire_years or (self.fire_year,)

    def splits(self, role: Split) -> tuple[str, ...]:
        """Splits of the tables that have a role for the checkpoint."""
        return (role,) if self.fold is None else self.fold.splits(role)


@dataclass(frozen=True)
class Judgement:
    """How one checkpoint was judged on one set of windows.

    Attributes:
        checkpoint_year: Fire year of the checkpoint.
        weights_sha256: Its weights.
        rules: Fixed on its training and validation splits before anything was scored.
        separation: Proof that nothing scored was trained on.
    """

    checkpoint_year: int
    weights_sha256: str
    rules: Rules
    separation: SeparationProof


@dataclass(frozen=True)
class Season:
    """How the champion of the year before did in the whole season, or why it was not judged.

    Attributes:
        judgement: How; None if it was not.
        note: Why not, or what was left out.
        left_out: Windows of the year that lie on or too near to windows that the champion has seen.
        elsewhere: Ecoregions of the season that it has not seen, or why there are none.
    """

    judgement: Judgement | None
    note: str
    left_out: int = 0
    elsewhere: str = ""


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation found, without times or places, so that the same evaluation writes the same file.

    Attributes:
        fire_year: Fire year.
        simulated: Whether the imagery is simulated.
        held_out: The year's checkpoint on the year's test split; None in a world with folds.
        season: The champion of the year before on the whole year.
        summary: Key figures.
        predictions_hash: Content hash of the predictions table.
        season_predictions_hash: Content hash of the table of the season's predictions.
        metrics_hash: Content hash of the metrics table.
        data_versions: Data versions of what was read.
        label_noise: What dNBR says of the labels' noise.
        maps: Whether probabilities of the held-out fires' maps mean what they say; None if it can't make maps.
        map_scores_hash: Content hash of the table of the held-out fires' maps.
        no_maps: Why none of the checkpoint's maps is judged; empty if one is.
        folds: In a world with folds, the checkpoint of each on its fires of all years.
    """

    fire_year: int
    simulated: bool
    held_out: Judgement | None
    season: Season
    summary: EvaluationSummary
    predictions_hash: str
    season_predictions_hash: str
    metrics_hash: str
    data_versions: dict[str, str]
    label_noise: LabelNoise = field(default_factory=LabelNoise)
    maps: Reliability | None = None
    map_scores_hash: str = ""
    no_maps: str = ""
    folds: tuple[Judgement, ...] = ()

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """How each checkpoint was judged."""
        return self.folds if self.held_out is None else (self.held_out,)


def write_report(root: DataRoot, report: EvaluationReport) -> Path:
    """Write `evaluation/fire_year=YYYY/report.json`; returns its path."""
    path = root.evaluation(report.fire_year) / REPORT_FILE
    write_json(path, asdict(report))
    return path


def load_report(root: DataRoot, fire_year: int) -> EvaluationReport:
    """Read a year's report.

    Raises:
        MissingDataError: there is none, or it is not whole; the message names the command that makes it.
    """
    path = root.evaluation(fire_year) / REPORT_FILE
    try:
        return TypeAdapter(EvaluationReport).validate_python(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise MissingDataError(
            f"no evaluation report for {fire_year} ({path}): run burnscar refresh --years {fire_year}"
        ) from error
