"""The model card of a checkpoint: what it has seen, how well it does, and its limits; `card_markdown` writes it out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pandas as pd

from burnscar_assets.evaluation.card_markdown import card_markdown
from burnscar_assets.evaluation.metrics import FEW_CLUSTERS, MIN_CLUSTERS
from burnscar_assets.evaluation.report import (
    CALIBRATED,
    CLOUDY,
    FIRE,
    LAND,
    MAPS,
    MAPS_COVER,
    MAPS_FIRE_COVER,
    MAPS_GAIN,
    MAPS_NO_FIRE,
    MAPS_SEVERITY,
    MAPS_SIZE,
    MAPS_UNFLAGGED,
    MAPS_WITH_OUT,
    PER_FIRE,
    POOLED,
    POOLED_WITH_OUT,
    SEASON,
    SEASON_ELSEWHERE,
    SEASON_MAPS,
)
from burnscar_assets.evaluation.rules import Rules
from burnscar_assets.evaluation.spec import EvaluationReport, EvaluationSpec
from burnscar_assets.evaluation.subsets import SCOPES
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.storage.atomic import atomic_file, write_json
from burnscar_assets.storage.paths import DataRoot

JSON_FILE: Final = "model_card.json"
MARKDOWN_FILE: Final = "MODEL_CARD.md"

_GENERAL_LIMITS = (
    "A window is called burnt or unburnt as a whole; edges of scars finer than a window are not mapped.",
    "Perimeters hold unburned islands, and burnt windows may have some: the labels are that noisy.",
    "Held-out windows keep the sample's class balance and strata, not those of a map: of the metrics, false alarms per "
    "area alone speak of a map.",
    "The epoch was chosen, and threshold and temperature were fixed, on the validation split.",
)


def model_card(
    spec: EvaluationSpec, manifests: Sequence[CheckpointManifest], report: EvaluationReport, metrics: pd.DataFrame
) -> dict[str, Any]:
    """What the card says, as JSON has it; no times and no places of this machine.

    Of the checkpoints of a world with folds, what they have in common is told of the first.
    """
    manifest = manifests[0]
    said = manifest.model_dump(mode="json")
    return {
        "world": spec.world,
        "fire_year": report.fire_year,
        "simulated": report.simulated,
        "weights_sha256": manifest.weights_sha256,
        "licence": manifest.notice,
        "encoder": said["encoder"],
        "pretraining_imagery": _pretraining(manifest),
        "model": {
            "encoder": manifest.encoder_name,
            **{name: said[name] for name in ("per_pixel", "layers", "parameters", "trainable_parameters")},
        },
        "training": {
            name: said[name] for name in ("seed", "device", "epochs", "best_epoch", "config_hash", "run_hash")
        },
        "data": {
            "trained_on": manifest.data_versions,
            "judged_on": report.data_versions,
            "packages": manifest.package_versions,
            "fire_years": list(manifest.fire_years),
            "windows": said["windows"],
            "min_clear_fraction": said["min_clear_fraction"],
            "cloudy_windows": said["cloudy_windows"],
            "judged_windows": {split: len(names) for split, names in manifest.judged_windows.items()},
            "fires": said["fires"],
        },
        "held_out": None if report.held_out is None else asdict(report.held_out),
        "folds": [
            {"epochs": one.epochs, "best_epoch": one.best_epoch, "fires": one.fires} | asdict(judgement)
            for one, judgement in zip(manifests, report.folds, strict=False)
        ],
        "season": asdict(report.season),
        "label_noise": asdict(report.label_noise),
        "no_maps": report.no_maps,
        "maps": None if report.maps is None else asdict(report.maps),
        "metrics": [_figure(row) for row in _told(metrics).to_dict("records")],
        "limits": [*_limits(spec, manifest, report), *_GENERAL_LIMITS],
    }


def write_card(
    root: DataRoot,
    spec: EvaluationSpec,
    manifests: Sequence[CheckpointManifest],
    report: EvaluationReport,
    metrics: pd.DataFrame,
) -> Path:
    """Write `model_card.json` and `MODEL_CARD.md` beside the report; returns the path of the latter."""
    card = model_card(spec, manifests, report, metrics)
    folder = root.evaluation(report.fire_year)
    write_json(folder / JSON_FILE, card)
    with atomic_file(folder / MARKDOWN_FILE) as temporary:
        temporary.write_text(card_markdown(card), encoding="utf-8")
    return folder / MARKDOWN_FILE


def _told(metrics: pd.DataFrame) -> pd.DataFrame:
    """The figures that a card has; of single fires F1 alone, where they are too few for an interval."""
    scopes = [
        MAPS,
        MAPS_SIZE,
        MAPS_SEVERITY,
        MAPS_FIRE_COVER,
        MAPS_COVER,
        MAPS_UNFLAGGED,
        MAPS_WITH_OUT,
        MAPS_GAIN,
        MAPS_NO_FIRE,
        POOLED,
        PER_FIRE,
        *SCOPES,
        LAND,
        CALIBRATED,
        POOLED_WITH_OUT,
        CLOUDY,
    ]
    of_season = (PER_FIRE, LAND, POOLED_WITH_OUT, CLOUDY)
    scopes += [SEASON_MAPS, SEASON, SEASON_ELSEWHERE, *(f"{SEASON}_{scope}" for scope in of_season)]
    told = metrics["scope"].isin(scopes)
    for scope, of_fires in ((POOLED, FIRE), (SEASON, f"{SEASON}_{FIRE}")):
        if (metrics.loc[metrics["scope"] == scope, "effective_clusters"] < MIN_CLUSTERS).any():
            told |= (metrics["scope"] == of_fires) & (metrics["metric"] == "f1_burnt")
    return metrics[told & metrics["value"].notna()]


def _figure(row: dict[str, Any]) -> dict[str, Any]:
    named = {name: row[name] for name in ("method", "scope", "subset", "fire_id", "metric")}
    values = {name: None if math.isnan(row[name]) else float(row[name]) for name in ("value", "low", "high")}
    counted = {"windows": int(row["windows"]), "fires": int(row["fires"])}
    return named | values | counted | {"effective_clusters": round(float(row["effective_clusters"]), 2)}


def _pretraining(manifest: CheckpointManifest) -> str:
    if manifest.encoder is None:
        return "none, there is no encoder"
    return manifest.encoder.pretraining


def _limits(spec: EvaluationSpec, manifest: CheckpointManifest, report: EvaluationReport) -> Iterator[str]:
    """Limits of this very checkpoint."""
    if report.simulated:
        yield "SIMULATED imagery: the figures say that the chain works, not how well a model maps real fires."
    if spec.settings.caveat:
        yield spec.settings.caveat
    if manifest.random_encoder:
        yield "The encoder started from random weights: it was never pretrained."
    elif manifest.encoder is not None:
        yield "Images of held-out fires, and of seasons after the training data, may have been in the pretraining."
    if report.summary.effective_clusters < FEW_CLUSTERS:
        yield (
            f"{report.summary.fires} held-out fires are few: they tell as much as "
            f"{report.summary.effective_clusters:.1f} clusters of equal size. Below {MIN_CLUSTERS:.0f} there is no "
            f"interval; below {FEW_CLUSTERS:.0f} it holds less often than it says if some fires fail altogether."
        )
    yield from dict.fromkeys(limit for one in report.judgements for limit in _limits_of_rules(one.rules))
    yield f"Noise of the labels: {report.label_noise.note}."
    if report.season.judgement is None:
        yield f"Not judged on a season after its training data: {report.season.note}."


def _limits_of_rules(rules: Rules) -> Iterator[str]:
    if rules.decision.fixed_on != "validation":
        yield "The validation split has one class or one probability: the decision threshold is a default."
    if rules.temperature.at_bound or not rules.temperature.windows:
        yield "The temperature is at its bound or was not fitted: calibrated probabilities are not to be trusted."
    if (maps := rules.for_maps).note:
        yield f"Calibration and threshold of maps are those of {maps.fixed_on}: {maps.note}."
    if maps.at_bound:
        yield "The calibration of maps is at its bound: their probabilities are not to be trusted."
