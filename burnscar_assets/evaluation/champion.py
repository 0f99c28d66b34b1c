"""Champion and challenger: which checkpoint of a fire year serves, and the reason.

The champion's files are kept in `evaluation/fire_year=YYYY/champion/`, with the windows that it has seen, so that it
can be judged on the same validation fires as a new checkpoint, whatever became of the tables since. Held-out fires have
no part in who is champion, and who is champion has none in the metrics.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from typing import Final, Literal

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT, CLASS_NAMES, Split
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import CheckpointError, InputError, MissingDataError
from burnscar_assets.evaluation.champion_record import (
    RECORD_FILE,
    SEEN_FILE,
    Champion,
    Refusal,
    Reign,
    champion_folder,
    champion_manifest,
    load_champion,
    windows_seen,
)
from burnscar_assets.evaluation.frames import model_of_frames, old_scars, predict_frame, validation_scenes
from burnscar_assets.evaluation.ground import frame_clusters, ground_clusters
from burnscar_assets.evaluation.held_out_maps import is_seen, lacks_before
from burnscar_assets.evaluation.map_scores import ground_of, score_map
from burnscar_assets.evaluation.metrics import Answers, cluster_intervals, weighted_metrics
from burnscar_assets.evaluation.predictions import scores_of
from burnscar_assets.evaluation.rules import MapRules, Rules
from burnscar_assets.evaluation.season import check_seen
from burnscar_assets.evaluation.separation import prove_separation
from burnscar_assets.evaluation.spec import EvaluationSpec, load_report
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.models.manifest import MANIFEST_FILE, CheckpointManifest, verify_checkpoint
from burnscar_assets.models.plan import of_one_class, seen_windows, windows_of
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.progress import Progress
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.atomic import atomic_folder, write_json
from burnscar_assets.storage.contracts import PREDICTIONS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs

FIRST: Final = "the first checkpoint of its fire year"
SAW_HELD_OUT: Final = "the champion was trained on ground that is held out now, so that its maps would prove nothing"
OF_ITS_FOLD: Final = "the checkpoint of its fold: folds have no contest"
BY_MAPS: Final = "mean IoU of maps"
BY_WINDOWS: Final = "F1 of burnt windows"
_SEEN_COLUMNS = ["window_id", "fire_year", "fire_id", "cluster_id", "split", "geometry"]


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
    predictions: gpd.GeoDataFrame

    @property
    def validation(self) -> gpd.GeoDataFrame:
        """Windows that its epoch, threshold and temperature were chosen on."""
        return of_one_class(self.seen[self.seen["split"] == Split.VAL])


@dataclass(frozen=True)
class Contest:
    """A challenger beside the champion on the same fires' frames or windows.

    Attributes:
        fires: fires that they belong to.
        champion, challenger: values of what decides, 0–1; NaN if undefined.
        low, high: interval of the challenger's less the champion's; NaN with too few clusters.
        what: decides.
    """

    fires: int
    champion: float
    challenger: float
    low: float
    high: float
    what: str = BY_WINDOWS

    @property
    def difference(self) -> float:
        """The challenger's value less the champion's."""
        return self.challenger - self.champion


def contest(spec: EvaluationSpec, challenger: Challenger, progress: Progress) -> Champion:
    """Decide whether a checkpoint becomes the champion of its year, by the rule in settings, and record the reason.

    Args:
        spec: of the evaluation.
        challenger: the checkpoint; the champion is judged on the same validation windows.
        progress: reports steps.

    Raises:
        CheckpointError: the champion's record is damaged.
    """
    root, year = spec.data_root, spec.fire_year
    champion = load_champion(root, year)
    weights = challenger.manifest.weights_sha256
    if champion is None:
        return _crown(root, challenger, None, "first", FIRST if spec.fold is None else OF_ITS_FOLD)
    if champion.reign.weights_sha256 == weights:
        return _record(root, champion.model_copy(update={"refused": None, "rules": challenger.rules}))
    if spec.fold is not None:
        return _crown(root, challenger, champion, "rule", OF_ITS_FOLD)
    if _has_seen(spec, challenger.predictions):
        return _crown(root, challenger, champion, "rule", SAW_HELD_OUT)
    behind = champion.behind
    try:
        found = _compare(spec, champion, challenger, progress)
    except (CheckpointError, InputError, OSError) as error:
        wins, reason = False, f"the champion can't be judged on the same validation fires: {error}"
    else:
        wins, reason = decide_challenge(found, behind, spec.settings)
        behind = min(0.0, behind + found.difference)
    if wins:
        return _crown(root, challenger, champion, "rule", reason, behind)
    said = f'{reason}; a person may decide otherwise: burnscar champion --years {year} --accept "REASON"'
    return _record(root, champion.model_copy(update={"refused": Refusal(weights_sha256=weights, reason=said)}))


def _has_seen(spec: EvaluationSpec, held_out: gpd.GeoDataFrame) -> bool:
    """Whether the champion has seen fires or ground that are held out now, as after another deal of the ground."""
    try:
        prove_separation(held_out, windows_seen(spec.data_root, spec.fire_year), spec.margin_m)
    except InputError:
        return True
    except CheckpointError:
        return False
    return False


def _compare(spec: EvaluationSpec, champion: Champion, challenger: Challenger, progress: Progress) -> Contest:
    """Judge both on frames of validation fires; without any, on the challenger's validation windows.

    The champion must not have been trained on either.
    """
    folder, windows = champion_folder(spec.data_root, spec.fire_year), challenger.validation
    champion_manifest(spec.data_root, spec.fire_year)
    seen = windows_seen(spec.data_root, spec.fire_year)
    trained_on = seen[seen["split"] == Split.TRAIN]
    windows = windows[~windows["fire_id"].isin(spec.fires_out)]
    prove_separation(windows, trained_on, spec.margin_m)
    if (found := _compare_maps(spec, champion, challenger, trained_on, progress)) is not None:
        return found
    by_both = [scores_of(spec, place, windows, progress)[0] for place in (folder, challenger.folder)]
    answered = np.isfinite(by_both).all(axis=0)
    truth = (windows["category"] == CLASS_NAMES[BURNT]).to_numpy(dtype=bool)[answered]
    old, new = (
        Answers(truth, rules.decision.predict(probability[answered]), probability[answered])
        for rules, probability in zip((champion.rules, challenger.rules), by_both, strict=True)
    )
    return compare_pair(old, new, windows[answered].reset_index(drop=True), spec.settings.confidence)


def _compare_maps(
    spec: EvaluationSpec,
    champion: Champion,
    challenger: Challenger,
    trained_on: gpd.GeoDataFrame,
    progress: Progress,
) -> Contest | None:
    """Judge both on frames of validation fires; None if there are none that both can map."""
    scenes = validation_scenes(spec, challenger.manifest.fire_years)
    folders = (champion_folder(spec.data_root, spec.fire_year), challenger.folder)
    if not scenes:
        return None
    try:
        models = [model_of_frames(spec, place, scenes) for place in folders]
    except InputError:
        return None
    judged = list(zip(models, (champion.rules.for_maps, challenger.rules.for_maps), strict=True))
    ious = _frame_ious(spec, scenes, judged, trained_on, progress)
    known = [bool(np.isfinite(pair).all()) for pair in ious]
    frames = [scene for scene, is_known in zip(scenes, known, strict=True) if is_known]
    return compare_maps(ious[known], frames, spec.settings.confidence) if frames else None


def _frame_ious(
    spec: EvaluationSpec,
    scenes: Sequence[FireScene],
    judged: Sequence[tuple[Predictor, MapRules]],
    trained_on: gpd.GeoDataFrame,
    progress: Progress,
) -> NDArray[np.float64]:
    """(n, 2) IoU of each frame by each of two checkpoints with its rules; NaN where it can't be judged.

    Raises:
        InputError: the champion was trained on ground that counts.
    """
    ious = np.full((len(scenes), len(judged)), np.nan)
    for number, scene in enumerate(scenes):
        progress("frames of validation fires judged", number, len(scenes))
        ground = ground_of(scene, spec.settings)
        if is_seen(scene, ground, trained_on):
            raise InputError(f"the champion was trained on ground of fire {scene.fire_id}")
        if ground.reason:
            continue
        for place, (model, rules) in enumerate(judged):
            if lacks_before(model, scene, ground):
                continue
            probability = predict_frame(spec, model, scene)
            called = rules.burnt(probability, old_scars(spec, scene, rules))
            ious[number, place] = score_map(called, probability >= 0, ground, spec.settings.outline_margin_m).iou
    return ious


def compare_maps(ious: NDArray[np.float64], frames: Sequence[FireScene], confidence: float) -> Contest:
    """Two checkpoints by their maps of the same fires, each counted once, with an interval over pieces of ground.

    Args:
        ious: (n, 2) IoU of each fire's frame by the champion and by the challenger.
        frames: (n,) the frames.
        confidence: of the interval, 0–1.
    """
    places = gpd.GeoSeries([scene.frame.footprint for scene in frames], crs=GEOGRAPHIC_CRS).to_crs(table_crs())
    clusters = frame_clusters([scene.cluster_id for scene in frames], places.to_numpy())
    gains = ious[:, 1] - ious[:, 0]

    def mean(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"": weights @ gains / weights.sum(axis=1)}

    found = cluster_intervals(mean, clusters, np.ones(len(gains), bool), confidence, "difference")[""]
    old, new = (float(value) for value in ious.mean(axis=0))
    return Contest(len(frames), old, new, found.low, found.high, BY_MAPS)


def compare_pair(champion: Answers, challenger: Answers, windows: gpd.GeoDataFrame, confidence: float) -> Contest:
    """Two checkpoints on the same windows, with an interval of their difference over pieces of ground.

    Args:
        champion: its answers.
        challenger: its answers to the same windows in the same order.
        windows: the windows, as contract WINDOWS has them.
        confidence: of the interval, 0–1.
    """

    def statistic(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        old, new = (weighted_metrics(one, weights)["f1_burnt"] for one in (champion, challenger))
        return {"champion": old, "challenger": new, "difference": new - old}

    fire_ids = windows["fire_id"].astype("string").fillna("")
    has_fire = (fire_ids != "").to_numpy(dtype=bool)
    found = cluster_intervals(statistic, ground_clusters(windows), has_fire, confidence, "difference")["difference"]
    plain = statistic(np.ones((1, len(windows))))
    old, new = (float(plain[name][0]) for name in ("champion", "challenger"))
    return Contest(int(fire_ids[has_fire].nunique()), old, new, found.low, found.high)


def decide_challenge(found: Contest, behind: float, settings: EvaluationSettings) -> tuple[bool, str]:
    """Whether a challenger takes the champion's place by the rule, and the reason in words.

    Args:
        found: both on the same windows.
        behind: what champions since the best one have lost already; 0 or less.
        settings: rule and margin.
    """
    said = (
        f"{found.what} {found.challenger:.3f} against the champion's {found.champion:.3f} on the same {found.fires} "
        "validation fires"
    )
    if settings.champion_rule == "person":
        return False, f"{said}; the rule leaves it to a person"
    if math.isnan(found.difference):
        return False, f"{said}: it is undefined, so that nothing can be compared"
    if settings.champion_rule == "better":
        better = found.difference > 0
        return better, f"{said}: {'better' if better else 'not better'}"
    if math.isnan(found.low):
        span = "too few clusters of fires for an interval and a margin"
        holds = behind + found.difference >= 0
    else:
        span = f"difference {found.low:+.3f} to {found.high:+.3f}, margin {settings.champion_margin:g}"
        holds = behind + found.low >= -settings.champion_margin
    lost = f", {-behind:.3f} lost before" if behind else ""
    return holds, f"{said} ({span}{lost}): {'not worse' if holds else 'not shown to be no worse'}"


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
    if report.held_out is None or report.held_out.weights_sha256 != manifest.weights_sha256:
        raise InputError(
            f"the checkpoint of {fire_year} is not the one that was evaluated: run burnscar refresh --years {fire_year}"
        )
    champion = load_champion(root, fire_year)
    if champion is not None and champion.reign.weights_sha256 == manifest.weights_sha256:
        return champion
    usable = windows_of(root, manifest, layer)
    check_seen(usable, manifest)
    predictions = read_table(root, PREDICTIONS, fire_year)
    challenger = Challenger(folder, manifest, seen_windows(usable), report.held_out.rules, predictions)
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
    behind: float = 0.0,
) -> Champion:
    """Put a checkpoint in the champion's place, with its files, whole or not at all."""
    manifest = challenger.manifest
    crowned = Champion(
        fire_year=manifest.fire_year,
        reign=Reign(weights_sha256=manifest.weights_sha256, by=by, reason=reason, decided_at=datetime.now(UTC)),
        rules=challenger.rules,
        behind=behind,
        before=() if champion is None else (*champion.before, champion.reign),
    )
    with atomic_folder(champion_folder(root, manifest.fire_year)) as place:
        for name in (*sorted(manifest.files), MANIFEST_FILE):
            (place / name).parent.mkdir(exist_ok=True)
            copyfile(challenger.folder / name, place / name)
        challenger.seen[_SEEN_COLUMNS].to_parquet(place / SEEN_FILE, index=False)
        write_json(place / RECORD_FILE, crowned.model_dump(mode="json"))
    return crowned


def _record(root: DataRoot, champion: Champion) -> Champion:
    """Write the champion's record, if it says something new."""
    if champion != load_champion(root, champion.fire_year):
        write_json(champion_folder(root, champion.fire_year) / RECORD_FILE, champion.model_dump(mode="json"))
    return champion
