"""Walk-forward: the checkpoint of the fire year before on the whole year, as it would have served in that season."""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.judge import describe_windows, fix_rules, predict, predict_cloudy
from burnscar_assets.evaluation.label_doubt import doubt_labels
from burnscar_assets.evaluation.report import CLOUDY, SEASON
from burnscar_assets.evaluation.separation import on_unseen_ground, prove_season_separation
from burnscar_assets.evaluation.spec import EvaluationSpec, Judgement, Season
from burnscar_assets.progress import Progress
from burnscar_assets.storage.contracts import SEASON_PREDICTIONS
from burnscar_assets.training.manifest import MANIFEST_FILE, CheckpointManifest, verify_checkpoint
from burnscar_assets.training.plan import by_clearness, complete_windows, seen_hash, seen_windows, windows_of

FIRST_YEAR: Final = "it is the first fire year: no checkpoint was there before it"
SEASON_CLOUDY: Final = f"{SEASON}_{CLOUDY}"


@dataclass(frozen=True)
class SeasonOutcome:
    """What became of the season.

    Attributes:
        season: how it was judged.
        predictions: contract SEASON_PREDICTIONS, perhaps without rows.
        cloudy: the same of its cloudy windows, which are told beside.
    """

    season: Season
    predictions: gpd.GeoDataFrame
    cloudy: gpd.GeoDataFrame


def judge_season(spec: EvaluationSpec, progress: Progress) -> SeasonOutcome:
    """Judge the checkpoint of the year before on all windows of the year but those that lie on windows it has seen.

    Without such a checkpoint, or where the windows that it has seen have changed since, the season is left out, and
    the note says why.

    Raises:
        CheckpointError: the checkpoint is there, but damaged.
        InputError: it has seen the season, or a fire of it.
        MissingDataError: a table is missing.
    """
    if spec.year_before is None:
        return _not_judged(FIRST_YEAR)
    root = spec.data_root
    folder = root.checkpoint(spec.year_before)
    remedy = f"run burnscar refresh --years {spec.year_before} {spec.fire_year}"
    if not (folder / MANIFEST_FILE).exists():
        return _not_judged(f"there is no checkpoint of {spec.year_before}: {remedy}")
    manifest = verify_checkpoint(folder)
    usable = windows_of(root, manifest, spec.layer)
    if seen_hash(usable) != manifest.seen_hash:
        return _not_judged(
            f"windows have changed since the checkpoint of {spec.year_before} was trained on them: {remedy}"
        )
    seen = seen_windows(usable)
    season = complete_windows(root, [spec.fire_year], spec.layer, manifest.every_layer)
    unseen = on_unseen_ground(season, seen)
    left_out = len(season) - len(unseen)
    scored, cloudy = by_clearness(unseen, spec.min_clear_fraction)
    if scored.empty:
        said = f"{left_out} windows lie on windows that the checkpoint of {spec.year_before} has seen"
        return _not_judged(f"{said}, {len(cloudy)} are cloudy, and there are no others", left_out)
    separation = prove_season_separation(scored, seen, spec.fire_year)
    if len(cloudy):
        prove_season_separation(cloudy, seen, spec.fire_year)
    rules = fix_rules(spec, folder, seen, progress)
    doubt = doubt_labels(root, scored, spec.sensor, spec.layer, min_clear_fraction=spec.min_clear_fraction)
    described = describe_windows(spec, scored, doubt)
    predictions = predict(spec, folder, described, rules, progress)
    judgement = Judgement(manifest.fire_year, manifest.weights_sha256, rules, separation)
    said = f"windows left out because they lie on windows that it has seen: {left_out}" if left_out else ""
    return SeasonOutcome(
        Season(judgement, said, left_out), predictions, predict_cloudy(spec, folder, cloudy, rules, progress)
    )


def _not_judged(why: str, left_out: int = 0) -> SeasonOutcome:
    nothing = SEASON_PREDICTIONS.empty()
    return SeasonOutcome(Season(None, why, left_out), nothing, nothing)


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
