"""The same model by four protocols: random windows, windows and maps of held-out fires, maps of a held-out year."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import Fold, Split
from burnscar_assets.evaluation.champion_record import champion_folder, champion_manifest, serving, windows_seen
from burnscar_assets.evaluation.held_out_maps import evaluate_season_maps
from burnscar_assets.evaluation.map_figures import FireMaps, fires_judged
from burnscar_assets.evaluation.metrics import Interval, binary_metrics, metric_intervals
from burnscar_assets.evaluation.predictions import describe_windows, fix_rules, predict
from burnscar_assets.evaluation.report import MODEL, SEASON, answers_of, counting, fire_ids_of
from burnscar_assets.models.plan import (
    ChosenWindows,
    by_clearness,
    complete_windows,
    names_by_split,
    of_one_class,
    plan_training,
    seen_counts,
    seen_hash,
    seen_windows,
)
from burnscar_assets.models.trainer import train
from burnscar_assets.orchestration.assets.model import evaluation_spec
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.process import prepare_environment
from burnscar_assets.progress import silent
from burnscar_assets.sampling.randomness import key_of
from burnscar_assets.storage.contracts import MAP_SCORES, PREDICTIONS
from burnscar_assets.storage.tables import read_years

SHARES: Final = {Split.TRAIN: 0.6, Split.VAL: 0.2}
"""Of windows, by random split; the rest is for testing."""


_BY_NAME: Final = Fold(0, 3)
"""Of some fold, a checkpoint's windows are those that are named, whatever split their tags say."""


@dataclass(frozen=True)
class Protocol:
    """How the model looks by one protocol.

    Attributes:
        name: of the protocol.
        f1, iou: of burnt windows or pixels; of maps, means over fires.
        interval: of the F1, over fires; None where fires are on both sides of the split.
        counted: what was scored, in words.
    """

    name: str
    f1: float
    iou: float
    interval: Interval | None
    counted: str


def by_protocols(world: World, folder: Path) -> Iterator[Protocol]:
    """Score a set-up that trains a network, once more for random windows, in a folder.

    Args:
        world: whose models were judged, as the set-up sees it; one with folds, or of one year, knows no held-out one.
        folder: for the checkpoint that is trained.
    """
    prepare_environment()
    confidence = world.settings.evaluation.confidence
    years = [int(key) for key in world.fire_years.get_partition_keys()]
    held_out = read_years(world.root, PREDICTIONS, years)
    yield _of_windows("pure windows of held-out fires", held_out, confidence)
    yield _of_maps("maps of held-out fires", read_years(world.root, MAP_SCORES, years), MODEL, confidence)
    before = world.year_before(years[-1])
    if before is not None:
        yield _of_maps("maps of a held-out year", _season(world, years[-1], before), SEASON, confidence)
    yield _of_windows("random windows", _random_windows(world, folder), None)  # last, as it alone trains


def _season(world: World, year: int, before: int) -> gpd.GeoDataFrame:
    """Maps of all fires of a year by the champion of the year before; contract MAP_SCORES."""
    root, champion = world.root, serving(world.root, before)
    return evaluate_season_maps(
        evaluation_spec(world, year), champion_folder(root, before), champion_manifest(root, before),
        champion.rules.for_maps, windows_seen(root, before), silent,
    )  # fmt: skip


def _of_windows(name: str, predictions: pd.DataFrame, confidence: float | None) -> Protocol:
    rows = counting(predictions)
    answers, fires = answers_of(rows, MODEL), fire_ids_of(rows)
    values, interval = binary_metrics(answers), None
    if confidence is not None:
        interval = metric_intervals(answers, rows["cluster_id"].astype(str).to_list(), fires != "", confidence)[
            "f1_burnt"
        ]
    counted = f"{len(rows)} windows of {len(set(fires) - {''})} fires, pooled"
    return Protocol(name, values["f1_burnt"], values["iou_burnt"], interval, counted)


def _of_maps(name: str, scores: gpd.GeoDataFrame, predictor: str, confidence: float) -> Protocol:
    fires = fires_judged(scores)
    rows = fires[fires["predictor"] == predictor].reset_index(drop=True)
    f1, interval = FireMaps(rows, confidence).mean(rows["f1"].to_numpy(float, na_value=np.nan), "share")
    return Protocol(name, f1, float(rows["iou"].astype(float).mean()), interval, f"{len(rows)} fires, mean of fires")


def _random_windows(world: World, folder: Path) -> pd.DataFrame:
    """What the set-up answers for windows drawn at random, trained on the others; contract PREDICTIONS."""
    member, year = world.by_fold()[0], max(int(key) for key in world.model_years.get_partition_keys())
    planned = plan_training(member.settings, member.root, year, fold=member.fold, warn=lambda said: None)
    every = complete_windows(world.root, planned.fire_years, planned.layer, planned.layers, edges=True)
    clear, _ = by_clearness(every, planned.min_clear_fraction)
    windows = clear.assign(split=pd.array([_drawn(name) for name in clear["window_id"]], dtype="string"))
    nothing = windows.iloc[:0]
    spec = planned.model_copy(
        update={
            "checkpoint": folder.resolve() / "random_windows",
            "names": names_by_split(windows),
            "seen_hash": seen_hash(windows),
            "fold": _BY_NAME,
            **seen_counts(ChosenWindows(windows, nothing, nothing)),
        }
    )
    train(spec, lambda event: None)
    test: gpd.GeoDataFrame = of_one_class(windows[windows["split"] == Split.TEST])
    judged = evaluation_spec(world, year)
    rules = fix_rules(judged, spec.checkpoint, seen_windows(windows), silent)
    return predict(judged, spec.checkpoint, describe_windows(judged, test), rules, silent)


def _drawn(window_id: str) -> str:
    share = int(key_of("random-windows", str(window_id))) / 2**64
    if share < SHARES[Split.TRAIN]:
        return str(Split.TRAIN)
    return str(Split.VAL if share < SHARES[Split.TRAIN] + SHARES[Split.VAL] else Split.TEST)
