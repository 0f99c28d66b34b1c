"""Walk-forward: the checkpoint of the fire year before on the whole year, as it would have served in that season."""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.judge import describe_windows, fix_rules, predict
from burnscar_assets.evaluation.label_doubt import doubt_labels
from burnscar_assets.evaluation.separation import on_unseen_ground, prove_season_separation
from burnscar_assets.evaluation.spec import EvaluationSpec, Judgement, Season
from burnscar_assets.progress import Progress
from burnscar_assets.storage.contracts import SEASON_PREDICTIONS
from burnscar_assets.training.manifest import MANIFEST_FILE, CheckpointManifest, verify_checkpoint
from burnscar_assets.training.plan import seen_hash, seen_windows, usable_windows

FIRST_YEAR: Final = "it is the first fire year: no checkpoint was there before it"


@dataclass(frozen=True)
class SeasonOutcome:
    """What became of the season: how it was judged, and contract SEASON_PREDICTIONS, perhaps without rows."""

    season: Season
    predictions: gpd.GeoDataFrame


def judge_season(spec: EvaluationSpec, progress: Progress) -> SeasonOutcome:
    """Judge the checkpoint of the year before on all windows of the year but those that lie on windows it has seen.

    Without such a checkpoint, or where the windows that it has seen have changed since, the season is left out, and
    the note says why.

    Raises:
        CheckpointError: the checkpoint is there, but damaged.
        InputError: it has seen the season, or a fire of it.
        MissingDataError: a table is missing.
    """
    nothing = SEASON_PREDICTIONS.empty()
    if spec.year_before is None:
        return SeasonOutcome(Season(None, FIRST_YEAR), nothing)
    root = spec.data_root
    folder = root.checkpoint(spec.year_before)
    remedy = f"run burnscar refresh --years {spec.year_before} {spec.fire_year}"
    if not (folder / MANIFEST_FILE).exists():
        return SeasonOutcome(Season(None, f"there is no checkpoint of {spec.year_before}: {remedy}"), nothing)
    manifest = verify_checkpoint(folder)
    usable = usable_windows(root, manifest.fire_years, spec.layer, manifest.every_layer)
    if seen_hash(usable) != manifest.seen_hash:
        said = f"windows have changed since the checkpoint of {spec.year_before} was trained on them: {remedy}"
        return SeasonOutcome(Season(None, said), nothing)
    seen = seen_windows(usable)
    season = usable_windows(root, [spec.fire_year], spec.layer, manifest.every_layer)
    scored = on_unseen_ground(season, seen)
    left_out = len(season) - len(scored)
    if scored.empty:
        said = f"all {left_out} windows lie on windows that the checkpoint of {spec.year_before} has seen"
        return SeasonOutcome(Season(None, said, left_out), nothing)
    separation = prove_season_separation(scored, seen, spec.fire_year)
    rules = fix_rules(spec, folder, seen, progress)
    described = describe_windows(spec, scored, doubt_labels(root, scored, spec.layer))
    predictions = predict(spec, folder, described, rules, progress)
    judgement = Judgement(
        manifest.fire_year, manifest.weights_sha256, rules.threshold, rules.decision, rules.temperature, separation
    )
    said = f"windows left out because they lie on windows that it has seen: {left_out}" if left_out else ""
    return SeasonOutcome(Season(judgement, said, left_out), predictions)


def check_seen(usable: gpd.GeoDataFrame, manifest: CheckpointManifest) -> None:
    """Check that the windows of the years that a checkpoint has seen are still those that it saw, each in its split.

    Raises:
        InputError: they are not, so that a proof about them would say nothing of the checkpoint.
    """
    if seen_hash(usable) != manifest.seen_hash:
        year = manifest.fire_year
        raise InputError(
            f"the windows have changed since the checkpoint of {year} was trained on them: "
            f"run burnscar refresh --years {year}, which trains it anew"
        )
