"""Judging held-out fires once more: what it costs beside the models' arithmetic, and against what truly burned."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.evaluation.champion_record import windows_seen
from burnscar_assets.evaluation.held_out_maps import evaluate_held_out
from burnscar_assets.evaluation.spec import EvaluationSpec, load_report
from burnscar_assets.mapping.fire_scenes import TRUTH_BURNT, TRUTH_UNBURNT, TRUTH_UNKNOWN, FireScene
from burnscar_assets.models import model as models
from burnscar_assets.models.manifest import load_manifest
from burnscar_assets.models.predictor import Images
from burnscar_assets.progress import silent
from burnscar_assets.storage.contracts import MAP_SCORES
from burnscar_assets.storage.paths import DataRoot
from kit.our_map import Timed
from kit.true_burn import true_burns


class WholeTimed(Timed):
    """A model that says how long it took, features that it makes of images included."""

    def _prepare(self, images: Images) -> dict[str, Any]:
        """As the model does."""
        begin = time.perf_counter()
        prepared = super()._prepare(images)
        self.seconds += time.perf_counter() - begin
        return prepared


class Judging(NamedTuple):
    """What came of judging: contract MAP_SCORES, seconds in all, and of these within the models."""

    scores: pd.DataFrame
    wall_s: float
    model_s: float


def judge_again(spec: EvaluationSpec) -> Judging:
    """Judge the held-out fires of an evaluation that was made, as the evaluator does; nothing is written."""
    report, timed = load_report(spec.data_root, spec.fire_year), list[WholeTimed]()
    wall_s, scores = 0.0, []
    for number, one in enumerate(spec.members):
        root, rules = one.data_root, report.judgements[number].rules.for_maps
        folder = root.checkpoint(spec.fire_year)
        manifest, seen = load_manifest(folder), windows_seen(root, spec.fire_year)
        with _timed_models(timed):
            begin = time.perf_counter()
            scores.append(evaluate_held_out(one, folder, manifest, rules, seen, silent).scores)
            wall_s += time.perf_counter() - begin
    together = MAP_SCORES.conform(pd.concat(scores, ignore_index=True))
    return Judging(together, wall_s, sum(model.seconds for model in timed))


@contextmanager
def truly_burned(root: DataRoot, fire_years: Sequence[int]) -> Iterator[None]:
    """Within this, frames of simulated fires have what truly burned as their truth, in place of the perimeter.

    A fire whose perimeter shares no ground with what burned has none, and isn't judged.
    """
    burns = true_burns(root, fire_years)
    by_perimeter = FireScene.truth

    def truth(scene: FireScene) -> NDArray[np.uint8]:
        known = by_perimeter(scene)
        if scene.fire_id is None:
            return known
        if scene.fire_id not in burns:
            return np.full_like(known, TRUTH_UNKNOWN)
        burned = scene.frame.covers(burns[scene.fire_id], scene.frame.box)
        codes = np.where(burned, TRUTH_BURNT, TRUTH_UNBURNT).astype(np.uint8)
        return np.where(known == TRUTH_UNKNOWN, known, codes)

    scenes: Any = FireScene
    scenes.truth = truth
    try:
        yield
    finally:
        scenes.truth = by_perimeter


@contextmanager
def _timed_models(timed: list[WholeTimed]) -> Iterator[None]:
    """Models that are loaded say how long they took; of an ensemble it alone, which asks its members."""
    load, loading = models.load_model, False

    def load_timed(*args: Any, **options: Any) -> Any:
        nonlocal loading
        if loading:
            return load(*args, **options)
        loading = True
        try:
            timed.append(WholeTimed(load(*args, **options)))
        finally:
            loading = False
        return timed[-1]

    models.load_model = load_timed
    try:
        yield
    finally:
        models.load_model = load
