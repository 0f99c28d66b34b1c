"""Walk-forward: the champion of the fire year before on the whole year, as it would have served in that season."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import geopandas as gpd

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.champion_record import (
    champion_folder,
    champion_manifest,
    load_champion,
    windows_seen,
)
from burnscar_assets.evaluation.held_out_maps import evaluate_season_maps
from burnscar_assets.evaluation.label_doubt import doubt_labels
from burnscar_assets.evaluation.predictions import describe_windows, predict, predict_cloudy
from burnscar_assets.evaluation.report import CLOUDY, SEASON, SEASON_ELSEWHERE
from burnscar_assets.evaluation.separation import on_unseen_ground, prove_season_separation
from burnscar_assets.evaluation.spec import EvaluationSpec, Judgement, Season
from burnscar_assets.evaluation.subsets import ECOREGION, ecoregion_of, read_ecoregions
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.plan import by_clearness, complete_windows, seen_hash
from burnscar_assets.progress import Progress
from burnscar_assets.storage.contracts import MAP_SCORES, SEASON_PREDICTIONS

FIRST_YEAR: Final = "it is the first fire year: no checkpoint was there before it"
SEASON_CLOUDY: Final = f"{SEASON}_{CLOUDY}"


@dataclass(frozen=True)
class SeasonOutcome:
    """What became of the season.

    Attributes:
        season: how it was judged.
        predictions: contract SEASON_PREDICTIONS, perhaps without rows.
        beside: by scope, predictions that are reported beside these: of its cloudy windows, and of other ecoregions.
        maps: contract MAP_SCORES, of the season's fires; the world's own set-up alone has any.
    """

    season: Season
    predictions: gpd.GeoDataFrame
    beside: Mapping[str, gpd.GeoDataFrame] = field(default_factory=dict)
    maps: gpd.GeoDataFrame = field(default_factory=MAP_SCORES.empty)


def folds_note(folds: int, gap_km: float) -> str:
    """How fires are judged in a world with folds, and what that is not."""
    return (
        f"{folds} folds by ground at least {gap_km:g} km apart, each fire judged once by a checkpoint that was not "
        "trained on it; no walk-forward, as that was trained on fires of later years too"
    )


def evaluate_season(spec: EvaluationSpec, progress: Progress) -> SeasonOutcome:
    """Judge the champion of the year before on all windows of the year that keep the margin to those it has seen.

    It answers by its own threshold and temperature, as fixed when it was evaluated. Without a champion, the season is
    left out, and the note says why.

    Raises:
        CheckpointError: the champion is there, but damaged.
        InputError: it has seen the season, or a fire of it.
        MissingDataError: a table is missing.
    """
    root, before = spec.data_root, spec.year_before
    if spec.folds is not None:
        return _not_judged(folds_note(spec.folds, spec.margin_m / 1000))
    if before is None:
        return _not_judged(FIRST_YEAR)
    champion = load_champion(root, before)
    if champion is None:
        return _not_judged(f"{before} has no champion: run burnscar refresh --years {before} {spec.fire_year}")
    manifest, seen, rules = champion_manifest(root, before), windows_seen(root, before), champion.rules
    season = complete_windows(root, [spec.fire_year], spec.layer, manifest.every_layer)
    unseen = on_unseen_ground(season, seen, spec.margin_m)
    left_out = len(season) - len(unseen)
    said = f"windows left out because they lie within {spec.margin_m:g} m of windows that it has seen: {left_out}"
    scored, cloudy = by_clearness(unseen, spec.min_clear_fraction)
    if scored.empty:
        return _not_judged(f"{said}; {len(cloudy)} are cloudy, and there are no others", left_out)
    separation = prove_season_separation(scored, seen, spec.fire_year, spec.margin_m)
    if len(cloudy):
        prove_season_separation(cloudy, seen, spec.fire_year, spec.margin_m)
    doubt = doubt_labels(root, scored, spec.sensor, spec.layer, min_clear_fraction=spec.min_clear_fraction)
    folder = champion_folder(root, before)
    predictions = predict(spec, folder, describe_windows(spec, scored, doubt), rules, progress)
    judgement = Judgement(manifest.fire_year, manifest.weights_sha256, rules, separation)
    elsewhere, where = _other_ecoregions(spec, predictions, seen)
    beside = {SEASON_CLOUDY: predict_cloudy(spec, folder, cloudy, rules, progress), SEASON_ELSEWHERE: elsewhere}
    season_of = Season(judgement, said if left_out else "", left_out, where)
    if not root.is_own:
        return SeasonOutcome(season_of, predictions, beside)
    maps = evaluate_season_maps(spec, folder, manifest, rules.for_maps, seen, progress)
    return SeasonOutcome(season_of, predictions, beside, maps)


def _other_ecoregions(
    spec: EvaluationSpec, predictions: gpd.GeoDataFrame, seen: gpd.GeoDataFrame
) -> tuple[gpd.GeoDataFrame, str]:
    """The predictions in ecoregions without a seen window, and the names of these, or why there are none."""
    if spec.ecoregions is None:
        return predictions[:0], "none told apart, since no ecoregions are given (evaluation.ecoregions)"
    known = set(ecoregion_of(seen, read_ecoregions(spec.ecoregions, spec.settings.ecoregion_field)))
    elsewhere = predictions[~predictions[ECOREGION].isin({*known, ""})].reset_index(drop=True)
    return elsewhere, ", ".join(sorted(set(elsewhere[ECOREGION]))) or "none, it has seen all of the season's"


def _not_judged(why: str, left_out: int = 0) -> SeasonOutcome:
    return SeasonOutcome(Season(None, why, left_out), SEASON_PREDICTIONS.empty())


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
