"""What the evaluator's process is told, and what it reports: two JSON files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from burnscar_assets.errors import MissingDataError
from burnscar_assets.evaluation.baseline import NbrThreshold
from burnscar_assets.evaluation.report import EvaluationSummary
from burnscar_assets.evaluation.separation import SeparationProof
from burnscar_assets.process import ProcessSpec
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.paths import DataRoot

REPORT_FILE = "report.json"


class EvaluationSpec(ProcessSpec):
    """Everything that the process needs, wherever it runs."""

    root: Path = Field(description="Data root: dataset, tables and checkpoints.")
    fire_year: int = Field(description="Fire year whose checkpoint is judged on its own test split.")
    layer: str = Field("sentinel2_l2a", description="Raster layer that the model reads.")
    settings: EvaluationSettings = EvaluationSettings()
    device: str = Field("cpu", description="Where the model runs: cpu, cuda, or auto.")
    batch_size: int = Field(256, ge=1, description="Windows per prediction step.")
    simulated: bool = Field(False, description="Whether the imagery is simulated.")
    data_versions: dict[str, str] = Field({}, description="Data versions of what is read, kept in the report.")


@dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation found, without times or places, so that the same evaluation writes the same file.

    Attributes:
        fire_year: Fire year.
        simulated: Whether the imagery is simulated.
        weights_sha256: Weights of the checkpoint that was judged.
        threshold: Baseline, tuned on the training split.
        separation: Proof that nothing scored was trained on.
        summary: Key figures.
        predictions_hash: Content hash of the predictions table.
        metrics_hash: Content hash of the metrics table.
        data_versions: Data versions of what was read.
    """

    fire_year: int
    simulated: bool
    weights_sha256: str
    threshold: NbrThreshold
    separation: SeparationProof
    summary: EvaluationSummary
    predictions_hash: str
    metrics_hash: str
    data_versions: dict[str, str]


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
        content: dict[str, Any] = json.loads(path.read_bytes())
        separation = content["separation"] | {"seen_years": tuple(content["separation"]["seen_years"])}
        return EvaluationReport(
            **content
            | {
                "threshold": NbrThreshold(**content["threshold"]),
                "separation": SeparationProof(**separation),
                "summary": EvaluationSummary(**content["summary"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingDataError(
            f"no evaluation report for {fire_year} ({path}): run burnscar refresh --years {fire_year}"
        ) from error
