"""What judging costs beside the models' arithmetic: the frames of held-out fires, answered and scored once more."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from burnscar_assets.evaluation.champion_record import windows_seen
from burnscar_assets.evaluation.held_out_maps import judge_held_out
from burnscar_assets.evaluation.spec import EvaluationSpec, load_report
from burnscar_assets.models import model as models
from burnscar_assets.models.manifest import load_manifest
from burnscar_assets.models.predictor import Images
from burnscar_assets.progress import silent
from kit.our_map import Timed


class WholeTimed(Timed):
    """A model that says how long it took, features that it makes of images included."""

    def prepare(self, images: Images) -> dict[str, Any]:
        """As the model does."""
        begin = time.perf_counter()
        prepared = super().prepare(images)
        self.seconds += time.perf_counter() - begin
        return prepared


class Judging(NamedTuple):
    """Seconds of judging, of these within the models, and frames judged."""

    wall_s: float
    model_s: float
    frames: int


def time_judging(spec: EvaluationSpec) -> Judging:
    """Judge the held-out fires of an evaluation that was made, as the evaluator does; nothing is written."""
    report, timed = load_report(spec.data_root, spec.fire_year), list[WholeTimed]()
    wall_s, frames = 0.0, 0
    for number, one in enumerate(spec.members):
        root, rules = one.data_root, report.judgements[number].rules.for_maps
        folder = root.checkpoint(spec.fire_year)
        manifest, seen = load_manifest(folder), windows_seen(root, spec.fire_year)
        with _timed_models(timed):
            begin = time.perf_counter()
            judged = judge_held_out(one, folder, manifest, rules, seen, silent)
            wall_s += time.perf_counter() - begin
        frames += judged.scores["frame_id"].nunique()
    return Judging(wall_s, sum(model.seconds for model in timed), frames)


@contextmanager
def _timed_models(timed: list[WholeTimed]) -> Iterator[None]:
    """Models that are loaded say how long they took."""
    load = models.load_model

    def load_timed(*args: Any, **options: Any) -> WholeTimed:
        timed.append(WholeTimed(load(*args, **options)))
        return timed[-1]

    models.load_model = load_timed
    try:
        yield
    finally:
        models.load_model = load
