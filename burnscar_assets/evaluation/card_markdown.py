"""The model card as Markdown, from what `card.model_card` says."""

from collections.abc import Iterator
from typing import Any

from burnscar_assets.evaluation.false_alarms import RATE
from burnscar_assets.evaluation.metrics import MIN_CLUSTERS
from burnscar_assets.evaluation.plots import WORST_FILE
from burnscar_assets.evaluation.report import (
    CALIBRATED,
    CLOUDY,
    FIRE,
    LAND,
    MAPS,
    MAPS_COVER,
    MAPS_DECIDE,
    MAPS_FIRE_COVER,
    MAPS_GAIN,
    MAPS_NO_FIRE,
    MAPS_SEVERITY,
    MAPS_SIZE,
    MAPS_UNFLAGGED,
    MAPS_WITH_OUT,
    MEAN,
    MEDIAN,
    METHODS,
    MODEL,
    PER_FIRE,
    POOLED,
    POOLED_WITH_OUT,
    SEASON,
    SEASON_ELSEWHERE,
    SEASON_MAPS,
)
from burnscar_assets.evaluation.subsets import SCOPES, STRATUM

_SHOWN = ("f1_burnt", "iou_burnt", "precision_burnt", "recall_burnt", "balanced_accuracy", "auroc", "brier", "ece")
_OF_MAPS = {
    "IoU, mean": (MAPS_DECIDE, MEAN),
    "IoU, median": (MAPS_DECIDE, MEDIAN),
    "IoU off the outline": ("iou_off_outline", MEAN),
    "boundary F, 2 px": ("boundary_f_2px", MEAN),
    "omission": ("omission", MEAN),
    "commission": ("commission", MEAN),
    "mapped / burned": ("area_ratio", MEDIAN),
}


def card_markdown(card: dict[str, Any]) -> str:
    """The card for a person to read."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: dict[str, Any]) -> Iterator[str]:
    yield f"# Model card: checkpoint of fire year {card['fire_year']}"
    yield ""
    yield f"World: {card['world'] or 'unnamed'}." + (" **Simulated imagery.**" if card["simulated"] else "")
    yield f"Weights: `{card['weights_sha256']}`. Encoder: {card['model']['encoder']}."
    yield f"Imagery that the encoder was pretrained on: {card['pretraining_imagery']}."
    yield f"Licence of the weights: {card['licence']}"
    yield ""
    yield from ("## Limits", "", *(f"- {limit}" for limit in card["limits"]), "")
    yield from (*_folds(card), *_seen(card))
    yield from ("", "## Maps of held-out fires", "", *_scores_of_maps(card), "")
    yield from ("## Windows of held-out fires", "", *_comparison(card, POOLED), *_beside(card, CLOUDY))
    if card["held_out"] is not None:
        rules = card["held_out"]["rules"]
        decision, temperature = rules["decision"], rules["temperature"]
        yield (
            f"Called burnt above {decision['threshold']:.3f} (fixed on {decision['fixed_on']}: {decision['burnt']} "
            f"burnt, {decision['unburnt']} unburnt windows). Temperature {temperature['value']:.2f}."
        )
        yield ""
        yield from ("## Calibration of maps", "", *_maps(rules["maps"], card["maps"]), "")
    yield from _season(card)
    yield from _parts(card)
    yield from ("", f"![The windows that are most wrong]({WORST_FILE})")


def _seen(card: dict[str, Any]) -> Iterator[str]:
    """Windows and fires that the checkpoint has seen, and how far what is scored lies from them."""
    data = card["data"]
    yield from (
        "## What it has seen",
        "",
        "| split | fire year | class | windows |",
        "| --- | --- | --- | --- |",
    )
    for split, years in data["windows"].items():
        for year, classes in years.items():
            yield from (f"| {split} | {year} | {name} | {count} |" for name, count in classes.items())
    fires, cloudy, judged = (
        ", ".join(f"{split} {count}" for split, count in data[name].items())
        for name in ("fires", "cloudy_windows", "judged_windows")
    )
    nearest_m = min(one["separation"]["nearest_m"] for one in card["folds"] or [card["held_out"]])
    yield ""
    yield (
        f"Fires by split: {fires}. The nearest scored window is {nearest_m:,.0f} m from a seen one; no fire "
        "and no cluster is on both sides."
    )
    yield f"Cloudy windows, less than {data['min_clear_fraction']:.0%} clear, that were left out: {cloudy or 'none'}."
    yield f"Windows in frames of judged fires that were left out: {judged or 'none'}."
    yield ""
    yield from (f"- {name}: `{version}`" for name, version in sorted(data["trained_on"].items()))


def _parts(card: dict[str, Any]) -> Iterator[str]:
    """Figures by part of the windows, of land without fire, and of calibration."""
    yield from (
        "## By part",
        "",
        "| part | windows | fires | F1 burnt | recall unburnt |",
        "| --- | --- | --- | --- | --- |",
    )
    for scope in SCOPES:
        names = list(dict.fromkeys(f["subset"] for f in card["metrics"] if f["scope"] == scope))
        yield from (_part(card, scope, name) for name in names)
    yield from ("", "## Land without fire, and calibration", "")
    for scope, metric in ((LAND, RATE), (POOLED, "ece"), (CALIBRATED, "ece")):
        found = _find(card, MODEL, scope, metric)
        yield f"- {scope}, {metric}: {_value(found)}" + (f" ({found['windows']} windows)" if found else "")


def _folds(card: dict[str, Any]) -> Iterator[str]:
    """The checkpoint of each fold, and what it was judged by, in a world with folds."""
    if not card["folds"]:
        return
    yield from (
        "## Folds",
        "",
        f"{card['season']['note']}. Below, what was seen is told of fold 0.",
        "",
        "| fold | weights | test fires | test windows | nearest seen, m | best epoch | burnt above | on maps |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    )
    for number, one in enumerate(card["folds"]):
        proof, rules = one["separation"], one["rules"]
        yield (
            f"| {number} | `{one['weights_sha256'][:12]}` | {proof['scored_fires']} | {proof['scored_windows']} "
            f"| {proof['nearest_m']:,.0f} | {one['best_epoch']} | {rules['decision']['threshold']:.3f} "
            f"| {rules['maps']['threshold']:.3f} |"
        )
    yield ""


def _scores_of_maps(card: dict[str, Any]) -> Iterator[str]:
    """The maps of held-out fires beside those of floors and burn indices on the same pixels."""
    methods = list(dict.fromkeys(f["method"] for f in card["metrics"] if f["scope"] == MAPS))
    if MODEL not in methods:
        yield f"Not judged: {card['no_maps']}."
        return
    yield (
        "Pixels against perimeters, each fire counted once, the same pixels for all. Gain: the model's IoU less that "
        "of the line, over the fires that both were judged on."
    )
    yield from ("", f"| maps | fires | {' | '.join(_OF_MAPS)} | gain |", "| --- |" + " --- |" * (len(_OF_MAPS) + 2))
    for method in methods:
        found = [_find(card, method, MAPS, metric, subset) for metric, subset in _OF_MAPS.values()]
        fires = next(figure["fires"] for figure in found if figure)
        gain = _value(_find(card, MODEL, MAPS_GAIN, MAPS_DECIDE, method)) if method != MODEL else ""
        yield f"| {method} | {fires} | {' | '.join(map(_value, found))} | {gain} |"
    yield ""
    yield f"Mean IoU by size: {_by_subset(card, MAPS_SIZE)}."
    if told := _by_subset(card, MAPS_SEVERITY):
        yield f"Omission by severity, dNBR less the frame's mode, all fires together: {told}."
    yield from _by_cover(card)
    if (unflagged := _find(card, MODEL, MAPS_UNFLAGGED, MAPS_DECIDE, MEAN)) is not None:
        yield f"Without fires that the source has a remark on: {_value(unflagged)} ({unflagged['fires']} fires)."
    if (every := _find(card, MODEL, MAPS_WITH_OUT, MAPS_DECIDE, MEAN)) is not None:
        yield f"With fires that a person took out of the scores: {_value(every)} ({every['fires']} fires)."
    false = [
        f"{f['method']} {f['value']:,.0f}"
        for f in card["metrics"]
        if (f["scope"], f["metric"]) == (MAPS_NO_FIRE, "false_ha_per_1000_km2")
    ]
    if false:
        yield f"Hectares mapped per 1,000 km² in frames without fire: {', '.join(false)}."


def _by_subset(card: dict[str, Any], scope: str) -> str:
    """The model's figure of each part of a scope, with the fires behind it."""
    of_scope = [f for f in card["metrics"] if (f["method"], f["scope"]) == (MODEL, scope)]
    return "; ".join(f"{f['subset']} {_value(f)} ({f['fires']})" for f in of_scope)


def _by_cover(card: dict[str, Any]) -> Iterator[str]:
    unknown = _find(card, MODEL, MAPS_COVER, "no_cover")
    if unknown is None:
        yield "By land cover: no land cover is set (`evaluation.land_cover`)."
        return
    if told := _by_subset(card, MAPS_FIRE_COVER):
        yield f"Mean IoU by the land cover on which most of a fire burned: {told}."
    yield (
        "By land cover, all fires' ground together; "
        f"{unknown['value']:.0%} of the ground that counts has no known class:"
    )
    yield from ("", "| land cover | fires | omission | commission | IoU |", "| --- |" + " --- |" * 4)
    of_cover = {f["subset"]: f["fires"] for f in card["metrics"] if (f["method"], f["scope"]) == (MODEL, MAPS_COVER)}
    for name in filter(None, of_cover):
        found = (_find(card, MODEL, MAPS_COVER, metric, name) for metric in ("omission", "commission", MAPS_DECIDE))
        yield f"| {name} | {of_cover[name]} | {' | '.join(map(_value, found))} |"
    yield ""


def _maps(rules: dict[str, Any], found: dict[str, Any] | None) -> Iterator[str]:
    """Calibration and threshold of maps, and whether probabilities of held-out fires' maps mean what they say."""
    said = f"Log odds × {rules['slope']:.3g} {rules['intercept']:+.3g}; called burnt above {rules['threshold']:.3f}"
    fixed = f"fixed on {rules['fixed_on']}"
    if rules["errors"]:
        fixed += f" of {len(rules['errors'])} fires, where the mean IoU is {rules['mean_iou']:.2f}"
    yield f"{said} ({fixed})."
    if rules["scar_bound"] is not None:
        yield (
            f"Where there is an image before, ground whose NBR was below {rules['scar_bound']:g} and hardly changed is "
            "an old scar, and unburnt."
        )
    if found is None or not found["after"]:
        yield from ("", "Reliability on held-out fires is not known: there is no frame with an answer.")
        return
    before, after = ({one["bin"]: one for one in found[name]} for name in ("before", "after"))
    yield from (
        "",
        f"Reliability on the frames of {found['fires']} held-out fires, each weighing the same. In the mean, "
        f"probability and burnt share differ by {found['error_before']:.3f} before calibration, by "
        f"{found['error_after']:.3f} after.",
        "",
        "| probability | mean, calibrated | burnt | mean, before | burnt, before |",
        "| --- | --- | --- | --- | --- |",
    )
    for name in sorted(before.keys() | after.keys()):
        yield f"| {name} | {_of_bin(after.get(name))} | {_of_bin(before.get(name))} |"


def _of_bin(one: dict[str, Any] | None) -> str:
    if one is None:
        return "– | –"
    span = "" if one["low"] is None else f" [{one['low']:.3g}, {one['high']:.3g}]"
    return f"{one['mean_probability']:.3g} | {one['burnt_share']:.3g}{span}"


def _season(card: dict[str, Any]) -> Iterator[str]:
    yield from ("## The season, by the champion of the year before", "")
    season = card["season"]
    if season["judgement"] is None:
        yield from (f"Not judged: {season['note']}.", "")
        return
    year, nearest_m = season["judgement"]["checkpoint_year"], season["judgement"]["separation"]["nearest_m"]
    yield f"Champion of {year} on all windows, the nearest {nearest_m:,.0f} m from a seen one. {season['note']}"
    yield ""
    if (mapped := _find(card, MODEL, SEASON_MAPS, MAPS_DECIDE, MEAN)) is not None:
        median = _value(_find(card, MODEL, SEASON_MAPS, MAPS_DECIDE, MEDIAN))
        yield f"Maps of {mapped['fires']} fires of the season: mean IoU {_value(mapped)}, median {median}."
        yield ""
    yield from (*_comparison(card, SEASON), *_beside(card, f"{SEASON}_{CLOUDY}"))
    windows, f1 = _told_beside(card, SEASON_ELSEWHERE)
    told = f" {windows} windows, F1 of burnt {f1}." if windows else ""
    yield from (f"Ecoregions that the champion has not seen: {season['elsewhere']}.{told}", "")


def _comparison(card: dict[str, Any], scope: str) -> Iterator[str]:
    pooled = next(f for f in card["metrics"] if f["scope"] == scope)
    before = "" if scope == POOLED else f"{SEASON}_"
    few = pooled["effective_clusters"] < MIN_CLUSTERS
    yield (
        f"{pooled['windows']} windows of {pooled['fires']} fires, which tell as much as "
        f"{pooled['effective_clusters']:.1f} clusters of equal size: "
        + ("too few for intervals, so each fire is listed." if few else "intervals are over clusters.")
    )
    yield from ("", f"| metric | {' | '.join(METHODS)} |", "| --- |" + " --- |" * len(METHODS))
    for metric in _SHOWN:
        yield f"| {metric} | {' | '.join(_value(_find(card, method, scope, metric)) for method in METHODS)} |"
    for subset in (MEAN, MEDIAN):
        found = [_find(card, method, before + PER_FIRE, "f1_burnt", subset) for method in METHODS]
        yield f"| f1_burnt, {subset} over fires | {' | '.join(_value(figure) for figure in found)} |"
    yield ""
    if few:
        yield from _each_fire(card, before + FIRE)


def _each_fire(card: dict[str, Any], scope: str) -> Iterator[str]:
    by_fire: dict[str, dict[str, dict[str, Any]]] = {}
    for figure in card["metrics"]:
        if figure["scope"] == scope:
            by_fire.setdefault(figure["fire_id"], {})[figure["method"]] = figure
    yield from (f"| fire | windows | {' | '.join(f'F1 {method}' for method in METHODS)} |", "| --- | --- | --- | --- |")
    for fire_id, found in by_fire.items():
        windows = next(iter(found.values()))["windows"]
        yield f"| {fire_id} | {windows} | {' | '.join(_value(found.get(method)) for method in METHODS)} |"
    yield ""


def _beside(card: dict[str, Any], scope: str) -> Iterator[str]:
    """What is told of windows that no other figure counts: cloudy ones, and those of fires that a person took out."""
    windows, f1 = _told_beside(card, scope)
    all_windows, with_out = _told_beside(card, POOLED_WITH_OUT if scope == CLOUDY else f"{SEASON}_{POOLED_WITH_OUT}")
    if all_windows:
        yield from (f"With fires that a person took out, {all_windows} windows: F1 of burnt {with_out}.", "")
    if windows:
        yield from (f"Beside these, {windows} cloudy windows, which no other figure counts: F1 of burnt {f1}.", "")


def _told_beside(card: dict[str, Any], scope: str) -> tuple[int, str]:
    """Number of windows of a scope, and F1 of burnt of each method on them."""
    windows = next((f["windows"] for f in card["metrics"] if f["scope"] == scope), 0)
    return windows, ", ".join(f"{method} {_value(_find(card, method, scope, 'f1_burnt'))}" for method in METHODS)


def _part(card: dict[str, Any], scope: str, subset: str) -> str:
    found = [f for f in card["metrics"] if (f["method"], f["scope"], f["subset"]) == (MODEL, scope, subset)]
    f1, recall = (
        _value(next((f for f in found if f["metric"] == name), None)) for name in ("f1_burnt", "recall_unburnt")
    )
    if scope == STRATUM:
        f1 = _value(None)  # one class has no F1 to speak of
    return f"| {scope.replace('_', ' ')}: {subset} | {found[0]['windows']} | {found[0]['fires']} | {f1} | {recall} |"


def _find(card: dict[str, Any], method: str, scope: str, metric: str, subset: str = "") -> dict[str, Any] | None:
    wanted = (method, scope, metric, subset)
    return next((f for f in card["metrics"] if (f["method"], f["scope"], f["metric"], f["subset"]) == wanted), None)


def _value(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "–"
    span = "" if figure["low"] is None else f" [{figure['low']:.3g}, {figure['high']:.3g}]"
    return f"{figure['value']:.3g}{span}"
