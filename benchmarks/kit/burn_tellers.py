"""How well a burn is told on chips: by dNBR, by dNBR less its frame's median, by boosted trees of pixels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.ndimage import uniform_filter

from kit.fire_chips import Chip, Floats, Mask, normalized

LEAST_DNBR = 0.1
"""Key and Benson's lowest step of severity."""

GROUP_KM = 10
FOLDS = 5
WINDOWS = (3, 7)
PIXELS_A_CHIP = 2000
TREES = {
    "objective": "binary", "num_leaves": 31, "learning_rate": 0.08, "min_data_in_leaf": 100, "feature_fraction": 0.5,
    "bagging_fraction": 0.7, "bagging_freq": 1, "verbosity": -1, "seed": 0, "deterministic": True, "num_threads": 1,
}  # fmt: skip
ROUNDS = 100


def iou(found: Mask, wanted: Mask, seen: Mask) -> float:
    """Intersection over union among the pixels that are seen."""
    either = (found | wanted) & seen
    return float((found & wanted & seen).sum() / max(int(either.sum()), 1))


def by_dnbr(chip: Chip) -> Mask:
    """Pixels of which dNBR is above LEAST_DNBR."""
    return chip.dnbr > LEAST_DNBR


def by_dnbr_less_median(chip: Chip) -> Mask:
    """Pixels of which dNBR is so much above the median of the frame."""
    return chip.dnbr - np.nanmedian(chip.dnbr) > LEAST_DNBR


def by_trees(chips: Sequence[Chip]) -> list[Mask]:
    """Pixels that trees of the other folds take for burnt, a chip each; groups of near fires stay in one fold."""
    import lightgbm

    fold = folds(chips)
    features = [features_of(chip) for chip in chips]
    rng = np.random.default_rng(0)
    drawn = []
    for chip, rows in zip(chips, features, strict=True):
        seen = np.flatnonzero(np.isfinite(chip.dnbr).ravel())
        some = rng.choice(seen, min(PIXELS_A_CHIP, len(seen)), replace=False)
        drawn.append((rows[some], chip.perimeter.ravel()[some]))
    found: list[Mask] = [np.zeros(chip.perimeter.shape, bool) for chip in chips]
    for held_out in range(FOLDS):
        train = [pixels for pixels, number in zip(drawn, fold, strict=True) if number != held_out]
        data = lightgbm.Dataset(np.concatenate([x for x, _ in train]), np.concatenate([y for _, y in train]))
        booster = lightgbm.train(TREES, data, ROUNDS)
        for number in np.flatnonzero(fold == held_out).tolist():
            found[number] = (booster.predict(features[number]) > 0.5).reshape(chips[number].perimeter.shape)
    return found


def folds(chips: Sequence[Chip]) -> npt.NDArray[np.int64]:
    """The fold of each chip: groups of fires more than GROUP_KM apart, the largest dealt first to the emptiest."""
    places = np.array([chip.xy_m for chip in chips])
    group = fcluster(linkage(places, "single"), GROUP_KM * 1000, "distance")
    filled = np.zeros(FOLDS, np.int64)
    fold = np.zeros(len(chips), np.int64)
    for number in sorted(set(group), key=lambda g: (-(group == g).sum(), g)):
        emptiest = int(filled.argmin())
        fold[group == number] = emptiest
        filled[emptiest] += (group == number).sum()
    return fold


def features_of(chip: Chip) -> Floats:
    """Bands and indices before and after, with means and spreads around, shape (pixels, features)."""
    nbr = normalized(chip.after, "B08", "B12")
    ndvi, ndvi_before = (normalized(bands, "B08", "B04") for bands in (chip.after, chip.before))
    layers = [*chip.after, *chip.before, nbr, ndvi, chip.nbr_before, ndvi_before, chip.dnbr]
    columns = [*layers]
    for layer in layers:
        for size in WINDOWS:
            columns += _mean_and_spread(layer, size)
    return np.stack([column.ravel() for column in columns], axis=1)


def _mean_and_spread(layer: Floats, size: int) -> tuple[Floats, Floats]:
    seen = np.isfinite(layer)
    if not seen.any():
        return layer, layer
    middle = float(np.nanmean(layer))
    share = np.maximum(uniform_filter(seen.astype(np.float32), size), 1e-6)
    filled = np.where(seen, layer - middle, 0)
    mean = uniform_filter(filled, size) / share
    spread = np.sqrt(np.maximum(uniform_filter(filled**2, size) / share - mean**2, 0))
    return np.where(seen, mean + middle, np.nan), np.where(seen, spread, np.nan)
