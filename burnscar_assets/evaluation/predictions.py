"""One checkpoint's predictions for a set of windows: its thresholds fixed on what it has seen, then its classes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT, CLASS_NAMES, UNBURNT, Split
from burnscar_assets.cost import Stopwatch
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.calibration import fit_temperature, fix_decision, tune_threshold, window_nbr
from burnscar_assets.evaluation.label_doubt import LabelDoubt
from burnscar_assets.evaluation.rules import Rules
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.evaluation.subsets import DAYS, ECOREGION, ecoregion_of, read_ecoregions
from burnscar_assets.models.plan import acquired_column, of_one_class
from burnscar_assets.progress import Progress
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, PREDICTIONS
from burnscar_assets.storage.tables import read_table

_CARRIED = ["window_id", "fire_year", "fire_id", "cluster_id", "stratum", "split", "category", "geometry"]
_DESCRIBED = ["fire_area_ha", DAYS, ECOREGION, "label_certain"]


def fix_rules(spec: EvaluationSpec, checkpoint: Path, seen: gpd.GeoDataFrame, progress: Progress) -> Rules:
    """Tune the baseline on a checkpoint's training windows, its decision and temperature on its validation windows.

    Windows of validation fires that a person took out have no part in it.

    Args:
        spec: of the evaluation.
        checkpoint: the checkpoint's folder.
        seen: windows of both splits that it has seen, with `acquired`; those of no single class don't count.
        progress: reports steps.
    """
    seen = of_one_class(seen)
    train, val = (seen[seen["split"] == split].reset_index(drop=True) for split in (Split.TRAIN, Split.VAL))
    val = val[~val["fire_id"].isin(spec.fires_out)].reset_index(drop=True)
    nbr = np.concatenate(
        [np.empty(0), *(window_nbr(images, spec.sensor) for _, images in _batches(spec, train, progress))]
    )
    probability, _ = scores_of(spec, checkpoint, val, progress)
    answered = np.isfinite(probability)
    probability, burnt = probability[answered], _burnt(val)[answered]
    return Rules(
        tune_threshold(nbr, _burnt(train)), fix_decision(probability, burnt), fit_temperature(probability, burnt)
    )


def describe_windows(
    spec: EvaluationSpec, windows: gpd.GeoDataFrame, doubt: LabelDoubt | None = None
) -> gpd.GeoDataFrame:
    """The windows with size of their fire, days from containment to the image, ecoregion, and certainty of the label.

    Raises:
        MissingDataError: the year has no perimeters.
        InputError: the ecoregions can't be read.
    """
    years = sorted(set(windows["fire_year"]))
    perimeters = (read_table(spec.data_root, FIRE_PERIMETERS, year, columns=["fire_id", "area_ha"]) for year in years)
    fires = pd.concat(perimeters).drop_duplicates("fire_id")
    area_ha = windows["fire_id"].map(fires.set_index("fire_id")["area_ha"]).astype("float64")
    containment = windows["start_time"] - pd.Timedelta(days=spec.first_day_after)
    regions = None if spec.ecoregions is None else read_ecoregions(spec.ecoregions, spec.settings.ecoregion_field)
    return windows.assign(
        fire_area_ha=area_ha,
        **{
            DAYS: (windows["acquired"].dt.normalize() - containment.dt.normalize()).dt.days.astype("Int64"),
            ECOREGION: "" if regions is None else ecoregion_of(windows, regions),
            "label_certain": None if doubt is None else windows["window_id"].map(doubt.certain).astype("boolean"),
        },
    )


def predict(
    spec: EvaluationSpec,
    checkpoint: Path,
    windows: gpd.GeoDataFrame,
    rules: Rules,
    progress: Progress,
    watch: Stopwatch | None = None,
) -> gpd.GeoDataFrame:
    """The predictions of a checkpoint and of the baseline for each of `describe_windows`, contract PREDICTIONS.

    Windows without any data are not judged.
    """
    probability, mean_nbr = scores_of(spec, checkpoint, windows, progress, watch)
    answered = np.isfinite(probability)
    windows, probability, mean_nbr = windows[answered], probability[answered], mean_nbr[answered]
    return PREDICTIONS.conform(
        windows[_CARRIED + _DESCRIBED].assign(
            burnt_probability=probability,
            calibrated_probability=rules.temperature.scale(probability),
            predicted=_class_names(rules.decision.predict(probability)),
            nbr=mean_nbr,
            baseline_predicted=_class_names(rules.threshold.predict(mean_nbr)),
            out=windows["fire_id"].isin(spec.fires_out),
        )
    )


def predict_cloudy(
    spec: EvaluationSpec, checkpoint: Path, cloudy: gpd.GeoDataFrame, rules: Rules, progress: Progress
) -> gpd.GeoDataFrame:
    """`predict` of cloudy windows, which may be none: what they are worth where the ground isn't seen."""
    if cloudy.empty:
        return PREDICTIONS.empty()
    return predict(spec, checkpoint, describe_windows(spec, cloudy), rules, progress)


def scores_of(
    spec: EvaluationSpec,
    checkpoint: Path,
    windows: gpd.GeoDataFrame,
    progress: Progress,
    watch: Stopwatch | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) probability of burnt by a checkpoint and (n,) mean NBR of `usable_windows`; NaN without data."""
    from burnscar_assets.models.model import load_model

    progress("loading the checkpoint", 0, 0)
    watch = watch or Stopwatch()
    model = load_model(checkpoint, spec.accelerator, spec.classes)
    probabilities, nbr = [np.empty(0)], [np.empty(0)]
    for rows, images in _batches(spec, windows, progress):
        read = {layer: _bands_of(spec, rows, images, layer, bands) for layer, bands in model.layers.items()}
        times = {layer: _moments(rows, layer) for layer in read}
        with watch.timed(len(rows)):
            probabilities.append(model.predict_windows(read, times))
        nbr.append(window_nbr(images, spec.sensor))
    return np.concatenate(probabilities), np.concatenate(nbr)


def _moments(rows: gpd.GeoDataFrame, layer: str) -> list[datetime]:
    """When the tiles of a layer were acquired.

    Raises:
        InputError: these windows were chosen without looking at the layer.
    """
    column = acquired_column(layer)
    if column not in rows:
        raise InputError(f"the model reads layer {layer}, which these windows were not chosen by: train it anew")
    return [moment.to_pydatetime() for moment in rows[column]]


def _batches(
    spec: EvaluationSpec, windows: gpd.GeoDataFrame, progress: Progress
) -> Iterator[tuple[gpd.GeoDataFrame, NDArray[np.uint16]]]:
    """Windows in their order with their tiles, (up to batch_size, 12, height, width) DN at a time."""
    for start in range(0, len(windows), spec.batch_size):
        progress("windows judged", start, len(windows))
        rows = windows.iloc[start : start + spec.batch_size]
        yield rows, _tiles(spec, rows, spec.layer, spec.sensor.names)
    progress("windows judged", len(windows), len(windows))


def _bands_of(
    spec: EvaluationSpec, rows: gpd.GeoDataFrame, images: NDArray[np.uint16], layer: str, bands: Sequence[str]
) -> NDArray[Any]:
    """Bands of a layer of windows whose images after the fire were read already."""
    if layer != spec.layer:
        return _tiles(spec, rows, layer, bands)
    names = spec.sensor.names
    return images if tuple(bands) == names else images[:, [names.index(band) for band in bands]]


def _tiles(spec: EvaluationSpec, rows: gpd.GeoDataFrame, layer: str, bands: Sequence[str]) -> NDArray[Any]:
    """Tiles of windows, (n, bands, height, width)."""
    from burnscar_assets.dataset.tiles import read_tiles

    return np.stack([np.asarray(tile) for tile in read_tiles(spec.data_root.dataset, rows, layer, bands)])


def _burnt(windows: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    return (windows["category"] == CLASS_NAMES[BURNT]).to_numpy(dtype=bool)


def _class_names(burnt: NDArray[np.bool_]) -> NDArray[np.str_]:
    return np.where(burnt, CLASS_NAMES[BURNT], CLASS_NAMES[UNBURNT])
