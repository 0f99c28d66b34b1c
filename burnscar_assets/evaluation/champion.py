"""Champion and challenger: which checkpoint of a fire year serves, and the reason.

The champion's files are kept in `evaluation/fire_year=YYYY/champion/`, with the windows that it has seen, so that it
can be judged on the same held-out fires as a new checkpoint, whatever became of the tables since. Who is champion
has no part in the metrics.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from typing import Final, Literal

import geopandas as gpd
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnscar_assets.errors import CheckpointError, InputError, MissingDataError
from burnscar_assets.evaluation.bootstrap import Interval, bootstrap_intervals
from burnscar_assets.evaluation.judge import Rules, predict
from burnscar_assets.evaluation.metrics import binary_metrics
from burnscar_assets.evaluation.report import MODEL, answers_of, fire_ids_of
from burnscar_assets.evaluation.season import check_seen
from burnscar_assets.evaluation.separation import prove_separation
from burnscar_assets.evaluation.spec import EvaluationSpec, load_report
from burnscar_assets.progress import Progress
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.atomic import atomic_folder, write_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.training.manifest import MANIFEST_FILE, CheckpointManifest, verify_checkpoint
from burnscar_assets.training.plan import seen_windows, windows_of

FOLDER: Final = "champion"
RECORD_FILE: Final = "champion.json"
SEEN_FILE: Final = "seen.parquet"
FIRST: Final = "the first checkpoint of its fire year"
_SEEN_COLUMNS = ["window_id", "fire_year", "fire_id", "cluster_id", "split", "geometry"]


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


@dataclass(frozen=True)
class Challenger:
    """A checkpoint that was just evaluated.

    Attributes:
        folder: its folder.
        manifest: its manifest.
        seen: windows that it has seen.
        rules: fixed on these.
        predictions: its answers for the held-out windows, contract PREDICTIONS.
    """

    folder: Path
    manifest: CheckpointManifest
    seen: gpd.GeoDataFrame
    rules: Rules
    predictions: pd.DataFrame


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
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise CheckpointError(
            f"{path} is no record of a champion: delete {path.parent}, then run burnscar refresh --years {fire_year}"
        ) from error


def contest(spec: EvaluationSpec, challenger: Challenger, held_out: gpd.GeoDataFrame, progress: Progress) -> Champion:
    """Decide whether a checkpoint becomes the champion of its year, by the rule in settings, and record the reason.

    Args:
        spec: of the evaluation.
        challenger: the checkpoint.
        held_out: the windows that it was judged on, of `describe_windows`; the champion is judged on the same.
        progress: told of steps.

    Raises:
        CheckpointError: the champion's record is damaged.
    """
    root, year = spec.data_root, spec.fire_year
    champion = load_champion(root, year)
    weights = challenger.manifest.weights_sha256
    if champion is None:
        return _crown(root, challenger, None, "first", FIRST)
    if champion.reign.weights_sha256 == weights:
        return _record(root, champion.model_copy(update={"refused": None}))
    folder = champion_folder(root, year)
    try:
        verify_checkpoint(folder)
        prove_separation(held_out, gpd.read_parquet(folder / SEEN_FILE))
        predictions = predict(spec, folder, held_out, champion.rules, progress)
    except (CheckpointError, InputError, OSError) as error:
        wins, reason = False, f"the champion can't be judged on the same held-out fires: {error}"
    else:
        wins, reason = judge_challenge(predictions, challenger.predictions, spec.settings)
    if wins:
        return _crown(root, challenger, champion, "rule", reason)
    said = f'{reason}; a person may decide otherwise: burnscar champion --years {year} --accept "REASON"'
    return _record(root, champion.model_copy(update={"refused": Refusal(weights_sha256=weights, reason=said)}))


def judge_challenge(champion: pd.DataFrame, challenger: pd.DataFrame, settings: EvaluationSettings) -> tuple[bool, str]:
    """Whether a challenger takes the champion's place by the rule, and the reason in words.

    Args:
        champion: the champion's answers, contract PREDICTIONS.
        challenger: the challenger's, of the same windows.
        settings: the rule, and those of the interval.
    """
    (now, interval), (new, _) = (_f1_burnt(predictions, settings) for predictions in (champion, challenger))
    fires = len(set(fire_ids_of(challenger)) - {""})
    said = f"F1 of burnt {new:.3f} against the champion's {now:.3f} on the same {fires} held-out fires"
    if settings.champion_rule == "person":
        return False, f"{said}; the rule leaves it to a person"
    if math.isnan(new) or math.isnan(now):
        return False, f"{said}: it is undefined, so that nothing can be compared"
    if settings.champion_rule == "better":
        return new > now, f"{said}: {'better' if new > now else 'not better'}"
    least = now if math.isnan(interval.low) else interval.low
    span = "no interval" if math.isnan(interval.low) else f"interval {interval.low:.3f} to {interval.high:.3f}"
    return new >= least, f"{said} ({span}): {'not worse' if new >= least else 'worse'}"


def accept_checkpoint(root: DataRoot, fire_year: int, layer: str, reason: str) -> Champion:
    """Make the evaluated checkpoint of a year its champion, by a person's word.

    Raises:
        InputError: there is no reason, or the checkpoint was not evaluated as it is.
        CheckpointError, MissingDataError: the checkpoint, its evaluation or what it has seen is missing or damaged.
    """
    if not reason.strip():
        raise InputError('a champion needs a reason: burnscar champion --years YEAR --accept "REASON"')
    folder = root.checkpoint(fire_year)
    manifest, report = verify_checkpoint(folder), load_report(root, fire_year)
    if report.held_out.weights_sha256 != manifest.weights_sha256:
        raise InputError(
            f"the checkpoint of {fire_year} is not the one that was evaluated: run burnscar refresh --years {fire_year}"
        )
    champion = load_champion(root, fire_year)
    if champion is not None and champion.reign.weights_sha256 == manifest.weights_sha256:
        return champion
    usable = windows_of(root, manifest, layer)
    check_seen(usable, manifest)
    judged = report.held_out
    rules = Rules(judged.threshold, judged.decision, judged.temperature)
    challenger = Challenger(folder, manifest, seen_windows(usable), rules, pd.DataFrame())
    return _crown(root, challenger, champion, "person", reason.strip())


def champions(root: DataRoot, fire_years: Sequence[int]) -> list[Champion]:
    """The champions of some years, those that have one.

    Raises:
        MissingDataError: none has.
    """
    found = [champion for year in fire_years if (champion := load_champion(root, year)) is not None]
    if not found:
        raise MissingDataError("no year has a champion yet: run burnscar refresh")
    return found


def _crown(
    root: DataRoot,
    challenger: Challenger,
    champion: Champion | None,
    by: Literal["first", "rule", "person"],
    reason: str,
) -> Champion:
    """Put a checkpoint in the champion's place, with its files, whole or not at all."""
    manifest = challenger.manifest
    crowned = Champion(
        fire_year=manifest.fire_year,
        reign=Reign(weights_sha256=manifest.weights_sha256, by=by, reason=reason, decided_at=datetime.now(UTC)),
        rules=challenger.rules,
        before=() if champion is None else (*champion.before, champion.reign),
    )
    with atomic_folder(champion_folder(root, manifest.fire_year)) as place:
        for name in (*sorted(manifest.files), MANIFEST_FILE):
            copyfile(challenger.folder / name, place / name)
        challenger.seen[_SEEN_COLUMNS].to_parquet(place / SEEN_FILE, index=False)
        write_json(place / RECORD_FILE, crowned.model_dump(mode="json"))
    return crowned


def _record(root: DataRoot, champion: Champion) -> Champion:
    """Write the champion's record, if it says something new."""
    if champion != load_champion(root, champion.fire_year):
        write_json(champion_folder(root, champion.fire_year) / RECORD_FILE, champion.model_dump(mode="json"))
    return champion


def _f1_burnt(predictions: pd.DataFrame, settings: EvaluationSettings) -> tuple[float, Interval]:
    rows = predictions.sort_values("window_id", kind="stable").reset_index(drop=True)
    answers = answers_of(rows, MODEL)
    intervals = bootstrap_intervals(
        answers,
        rows["cluster_id"].astype(str).to_list(),
        fire_ids_of(rows) != "",
        samples=settings.bootstrap_samples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    return binary_metrics(answers)["f1_burnt"], intervals["f1_burnt"]
